"""Write dsir_weights.json: what data-selection 1.0.3 says of a few texts.

pip install data-selection==1.0.3 nltk==3.9.1    # from nltk 3.10 on words are those of another library
python tests/data/dsir_weights.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from data_selection import HashedNgramDSIR

HERE = Path(__file__).parent
RAW = [
    "The ship of the line was in that harbour, and the men sang; it's 1805.",
    "Proteins fold. The cell's membrane (a bilayer) keeps ions apart: Na+ and K+ are pumped.",
    "“Größe”, naïveté, ÉCOLE and 中的文字 — 日本語の、テスト🙂 are in the text as well…",
    "Don't   stop\n\nnow!!! http://example.org/a_b?c=1 x_y __init__ 3.14e-10",
    "ΑΒΓ привет МИР ǅ İstanbul STRASSE ſ",
    "a",
    "...",
    "word " * 120,
    "The cell divides and the membrane folds; the cell's proteins are pumped into the ship of the cell.",
]
TARGET = [
    "The membrane of a cell is a bilayer of lipids, in which proteins sit.",
    "Ions are pumped by proteins; the cell divides, and each half has a membrane.",
]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, texts in (("raw", RAW), ("target", TARGET)):
            paths.append(Path(folder) / f"{name}.jsonl")
            paths[-1].write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        dsir = HashedNgramDSIR([str(paths[0])], [str(paths[1])], cache_dir=f"{folder}/cache", num_proc=1)
        dsir.fit_importance_estimator(num_tokens_to_fit="all")
        dsir.compute_importance_weights()
        weights = np.load(f"{folder}/cache/log_importance_weights/0.npy")
        lengths = np.load(f"{folder}/cache/perexample_metadata/0.npy")
    found = {"raw": RAW, "target": TARGET, "weights": weights.tolist(), "lengths": lengths.astype(int).tolist()}
    (HERE / "dsir_weights.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
