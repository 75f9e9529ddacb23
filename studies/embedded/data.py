"""Choose what the embedded prior is trained on, row by row, and write the list of it.

    python studies/embedded/data.py HUMAN OUT

HUMAN holds `NAME.train.jsonl.gz` and `NAME.valid.jsonl.gz` with `licence` and `source` in every row. OUT gets `train.jsonl.zst`
and `valid.jsonl.zst`; `data.json` beside this script says what went in: documents, bytes and sources by licence.

A row is taken if its licence is named and permits weights under any terms: public domain, CC0, CC BY, MIT, Apache-2.0.
Share-alike, non-commercial and research-only rows are not, nor rows of a collection without one licence.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

OPEN = {
    "public domain", "public domain (US gov)", "public domain / CC0", "CC0", "CC BY 4.0", "CC BY 3.0", "MIT",
    "MIT / Apache-2.0",
}  # fmt: skip
VALID_BYTES = 60_000  # of each domain, to watch the training; the evaluation takes all


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def write(path: Path, chosen: Iterator[dict[str, Any]]) -> None:
    with path.open("wb") as raw, zstandard.ZstdCompressor(level=19, threads=-1).stream_writer(raw) as out:
        for row in chosen:
            kept = {key: row[key] for key in ("id", "domain", "source", "licence", "text")}
            out.write((json.dumps(kept, ensure_ascii=False) + "\n").encode())


def main(human: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    listed: dict[str, dict[str, Any]] = {}
    digest = hashlib.sha256()

    def train() -> Iterator[dict[str, Any]]:
        for path in sorted(human.glob("*.train.jsonl.gz")):
            taken: dict[str, dict[str, Any]] = defaultdict(lambda: {"documents": 0, "bytes": 0, "sources": set()})
            left: dict[str, int] = defaultdict(int)
            for row in rows(path):
                if row["licence"] not in OPEN:
                    left[row["licence"]] += 1
                    continue
                entry = taken[row["licence"]]
                entry["documents"] += 1
                entry["bytes"] += len(row["text"].encode())
                entry["sources"].add(row["source"])
                digest.update(row["text"].encode() + b"\0")
                yield row
            name = path.name.removesuffix(".train.jsonl.gz")
            listed[name] = {
                "taken": {k: v | {"sources": sorted(v["sources"])} for k, v in sorted(taken.items())},
                "left out": dict(sorted(left.items())),
            }

    def valid() -> Iterator[dict[str, Any]]:
        for path in sorted(human.glob("*.valid.jsonl.gz")):
            size = 0
            for row in rows(path):
                if row["licence"] in OPEN and size < VALID_BYTES:
                    size += len(row["text"].encode())
                    yield row

    write(out / "train.jsonl.zst", train())
    write(out / "valid.jsonl.zst", valid())
    total = [entry for name in listed.values() for entry in name["taken"].values()]
    summary = {
        "documents": sum(e["documents"] for e in total),
        "bytes": sum(e["bytes"] for e in total),
        "sha256 of the texts": digest.hexdigest(),
        "files": listed,
    }
    path = Path(__file__).parent / "data.json"
    path.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{summary['documents']:,} documents, {summary['bytes'] / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
