"""Bits per byte of the embedded prior by domain, beside an n-gram prior of the same training text and beside compressors.

    recension train ngram TRAIN.jsonl.zst -o ngram --order 5 --min-count 2
    python studies/embedded/evaluate.py HUMAN --ngram ngram

HUMAN holds `NAME.valid.jsonl.gz`: text that neither model has seen. Of every domain the first documents up to --bytes count.
A compressor gets all of them in one piece, so it learns from what it has already packed; the models score each document
alone. `zstd --train`-like dictionaries are not used. The result goes to `evaluation.json` beside this script.
"""

from __future__ import annotations

import argparse
import gzip
import json
import lzma
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from recension import Ask, Prior, PriorOptions, load_prior

HERE = Path(__file__).parent
NONE = Ask(above=None)  # no candidates


def documents(path: Path, size: int) -> list[str]:
    found: list[str] = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if sum(map(len, found)) >= size:
                break
            found.append(json.loads(line)["text"])
    return found


def bits(prior: Prior, texts: list[str]) -> tuple[float, int]:
    """Bits per byte, and how many tokens."""
    nats, tokens = 0.0, 0
    for start in range(0, len(texts), 64):
        for scores in prior.score(texts[start : start + 64], NONE):
            nats -= float(np.nansum(scores.logprobs, dtype=np.float64))
            tokens += len(scores.ids)
    return nats / math.log(2) / sum(len(t.encode()) for t in texts), tokens


def compressors(raw: bytes) -> dict[str, float]:
    packed = {
        "gzip -9": len(gzip.compress(raw, 9)),
        "zstd -19": len(zstandard.ZstdCompressor(level=19).compress(raw)),
        "xz -9e": len(lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)),
    }
    return {name: round(8 * size / len(raw), 4) for name, size in packed.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("human", type=Path)
    parser.add_argument("--ngram", type=Path, required=True)
    parser.add_argument("--bytes", type=int, default=150_000)
    given = parser.parse_args()
    priors = {
        "embedded": load_prior("embedded"),
        "embedded, bfloat16": load_prior("embedded", PriorOptions(dtype="bfloat16")),
        "n-gram": load_prior(f"ngram:{given.ngram}"),
    }
    trained = json.loads((HERE / "data.json").read_text())["files"]
    domains: dict[str, Any] = {}
    for path in sorted(given.human.glob("*.valid.jsonl.gz")):
        name = path.name.removesuffix(".valid.jsonl.gz")
        texts = documents(path, given.bytes)
        raw = "\n".join(texts).encode()
        row: dict[str, Any] = {"documents": len(texts), "bytes": len(raw), "trained on": bool(trained[name]["taken"])}
        for prior_name, prior in priors.items():
            began = time.process_time()
            value, tokens = bits(prior, texts)
            row[prior_name] = round(value, 4)
            print(
                f"{name:24} {prior_name:20} {value:.3f}  {tokens / (time.process_time() - began):,.0f} tokens/s",
                flush=True,
            )
        domains[name] = row | compressors(raw)
    won = sum(d["embedded"] < d["n-gram"] for d in domains.values())
    result = {
        "bytes of a domain": given.bytes,
        "domains": domains,
        "embedded better than n-gram": f"{won} of {len(domains)}",
    }
    (HERE / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(result["embedded better than n-gram"])


if __name__ == "__main__":
    main()
