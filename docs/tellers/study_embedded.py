"""What `studies/embedded/` found."""

from __future__ import annotations

import json
from pathlib import Path

from tellers.words import table

TITLE = "The embedded prior"
ROOT = Path(__file__).parents[2]


def told() -> str:
    study = ROOT / "studies" / "embedded"
    found = json.loads((study / "evaluation.json").read_text(encoding="utf-8"))
    keys = ("embedded", "embedded, bfloat16", "n-gram", "gzip -9", "zstd -19", "xz -9e")
    rows = [
        (name.replace("_", " "), "yes" if row["trained on"] else "no", *(f"{row[key]:.3f}" for key in keys))
        for name, row in found["domains"].items()
    ]
    ran = json.loads((study / "runtimes.json").read_text(encoding="utf-8"))
    columns = list(next(iter(ran.values())))
    speeds = [(name, *(f"{row[c]:,}" if "/s" in c else f"{row[c]:.1e}" for c in columns)) for name, row in ran.items()]
    return (
        "Bits per byte on text that neither model has seen, up to "
        f"{found['bytes of a domain']:,} bytes of each domain. The n-gram prior (order 5) was fitted on the same text as the "
        "embedded one. Compressors pack all documents of a domain in one piece. *Trained on*: whether the training text holds "
        "that kind of text.\n\n"
        + table(("domain", "trained on", *keys), rows)
        + "\n\nThe body of the model through several runtimes: tokens per second of one core at four lengths, the best of "
        "alternating rounds on a busy machine; the largest difference from torch, relative to the largest entry.\n\n"
        + table(("", *columns), speeds)
    )
