"""From a finished run to the model in the package: half precision, one file of weights, the tokenizer, the shape.

python studies/embedded/pack.py RUN FOLDER
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

EMBEDDING = "model.embed_tokens.weight"


def main(run: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    weights = load_file(run / "model" / "model.safetensors")
    # The head is the embedding (tied); one copy is enough for whoever loads it.
    weights = {name: weight.half().contiguous() for name, weight in weights.items() if name != "lm_head.weight"}
    assert EMBEDDING in weights
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((run / "model" / "config.json").read_text())
    config["dtype"] = "float16"
    config.pop("transformers_version", None)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(run / "model" / name, folder / name)
    print(f"{sum(w.numel() for w in weights.values()):,} parameters -> {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
