"""Make samples/ from a folder of human text (`human/*.jsonl.gz` with `licence` in every row).

    python benchmarks/make_samples.py DATA

Only rows in the public domain, CC0 or MIT are taken. `human.jsonl.gz` is for fitting, `unseen.jsonl` for editing: it comes
from the held-out files, so no document is in both.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path

OPEN = {"public domain", "public domain (US gov)", "public domain / CC0", "CC0", "MIT"}
DOMAINS = {"fiction": 1_500_000, "gov_speeches": 700_000, "technical_proposals": 700_000, "math_word_problems": 600_000}
LONGEST = 6_000


def rows(path: Path, size: int) -> Iterator[dict[str, str]]:
    """Every n-th open row, so that the sample is spread over the file; long ones end at a paragraph."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        found = [row for row in map(json.loads, lines) if row["licence"] in OPEN]
    step = max(1, sum(min(len(r["text"]), LONGEST) for r in found) // size)
    for row in found[::step]:
        text = row["text"]
        if len(text) > LONGEST:
            text = text[:LONGEST].rsplit("\n", 1)[0]
        if len(text) >= 200:
            yield {k: row[k] for k in ("id", "domain", "source", "licence")} | {"text": text}


def main(data: Path, samples: Path) -> None:
    samples.mkdir(exist_ok=True)
    fit = [row for domain, size in DOMAINS.items() for row in rows(data / f"{domain}.train.jsonl.gz", size)]
    unseen = [row for domain, size in DOMAINS.items() for row in rows(data / f"{domain}.valid.jsonl.gz", size // 12)]
    packed = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in fit).encode()
    (samples / "human.jsonl.gz").write_bytes(gzip.compress(packed, 9, mtime=0))
    with (samples / "unseen.jsonl").open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in unseen)
    print(f"{len(fit)} documents to fit ({len(packed) / 1e6:.1f} MB), {len(unseen)} unseen")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent.parent / "samples")
