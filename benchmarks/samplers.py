"""Which sampler costs least at the same share of changed tokens? The evidence behind the defaults of `edit`.

    python benchmarks/samplers.py

A prior fitted on one half of samples/human.jsonl.gz edits samples/unseen.jsonl; a second model, fitted on the other half,
reads the result. For every setting: the threshold that was solved for, the shares flagged and changed, and what an
independent reader thinks of the edited text: bits per byte more than of the original, and the share of distinct bigrams.
The n-gram prior is the one that is at hand everywhere; a stronger prior will put all thresholds higher.
"""

from __future__ import annotations

import gzip
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import recension
from recension import Ask, EditSpec, RecensionError

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results" / "samplers.json"
SHARE = 0.03
SETTINGS: dict[str, dict[str, object]] = {
    "top-k 8 (default)": {},
    "top-k 8, temperature 1.5": {"temperature": 1.5},
    "top-k 64": {"top_k": 64},
    "top-p 0.9": {"sampler": "top-p", "top_p": 0.9},
    "rejection (64)": {"sampler": "rejection"},
    "top-k 8, exclude original": {"exclude_original": True},
}
FIXED: dict[str, dict[str, object]] = {
    "paper preset": {"preset": "paper"},
    "threshold 0.99, temperature 1": {},
    "top-p 0.9 at threshold 0.99": {"sampler": "top-p"},
    "below 0.001": {"below": 0.001},
}


def halves(folder: Path) -> tuple[Path, Path]:
    rows = gzip.decompress((ROOT / "samples" / "human.jsonl.gz").read_bytes()).splitlines(keepends=True)
    for name, part in (("a", rows[::2]), ("b", rows[1::2])):
        (folder / f"{name}.jsonl").write_bytes(b"".join(part))
        recension.train_ngram([folder / f"{name}.jsonl"], folder / name)
    return folder / "a", folder / "b"


def read(reader: recension.Prior, texts: list[str]) -> dict[str, float]:
    """Bits per byte, and distinct bigrams as a share of all."""
    scores = reader.score(texts, Ask())
    nats = -sum(float(s.logprobs.astype(np.float64).sum()) for s in scores)
    pairs = [(int(a), int(b)) for s in scores for a, b in zip(s.ids[:-1], s.ids[1:], strict=True)]
    size = sum(len(text.encode()) for text in texts)
    return {"bits_per_byte": nats / math.log(2) / size, "distinct_bigrams": len(set(pairs)) / len(pairs)}


def measure(
    folder: Path, name: str, settings: dict[str, object], reader: recension.Prior, prior: Path
) -> dict[str, object]:
    out = folder / f"out-{name}".replace(" ", "-")
    spec = EditSpec(prior=f"ngram:{prior}", **settings)  # type: ignore[arg-type]
    try:
        report = recension.edit([ROOT / "samples" / "unseen.jsonl"], out, spec)
    except RecensionError as error:
        return {"setting": name, "refused": str(error)}
    step = report.generations[0]
    texts = [t for path in sorted((out / "data").iterdir()) for t in pq.read_table(path)["text"].to_pylist()]
    return {
        "setting": name,
        "threshold": report.settings.get("threshold"),
        "temperature": report.settings["temperature"],
        "flagged": step.flagged / step.tokens,
        "changed": step.changed / step.tokens,
        **read(reader, texts),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prior, other = halves(folder)
        reader = recension.load_prior(f"ngram:{other}")
        lines = (ROOT / "samples" / "unseen.jsonl").read_text().splitlines()
        original = read(reader, [json.loads(line)["text"] for line in lines])
        rows = [measure(folder, n, {"change_share": SHARE, **s}, reader, prior) for n, s in SETTINGS.items()]
        rows += [measure(folder, n, s, reader, prior) for n, s in FIXED.items()]
    for row in rows:
        if "bits_per_byte" in row:
            row["more_bits_per_byte"] = float(row["bits_per_byte"]) - original["bits_per_byte"]  # type: ignore[arg-type]
            print(
                f"{row['setting']:32} flagged {row['flagged']:7.2%}  changed {row['changed']:7.3%}  "
                f"bits per byte {row['more_bits_per_byte']:+.4f}  distinct bigrams {row['distinct_bigrams']:.4f}"
            )
        else:
            print(f"{row['setting']:32} {row['refused']}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"share": SHARE, "original": original, "settings": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
