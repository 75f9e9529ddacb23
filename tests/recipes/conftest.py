"""Small corpora and helpers for whole runs."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

SENTENCES = [
    "The ship of the line was in that harbour and the men sang.",
    "In 1805 a storm took the mast; see https://example.org/log for more.",
    "“Never again,” said the captain, and he meant it.",
    "Größe, naïveté, 中的文字 and 🙂 are in the text as well.",
    "And the end of the day is the beginning of another.",
]


def make_rows(count: int, seed: int = 0) -> list[dict]:
    rng = random.Random(seed)
    return [
        {"id": f"doc-{i}", "text": " ".join(rng.choices(SENTENCES, k=rng.randint(1, 12))), "page": i, "tags": ["x", i]}
        for i in range(count)
    ]


def write_jsonl(path: Path, rows: list) -> Path:
    lines = [row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode() for row in rows]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def tree(out: Path, parts: tuple[str, ...] = ("data", "dropped", "edits")) -> dict[str, str]:
    """Every file of the promised parts with its hash: two runs are equal when these are."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for part in parts
        for path in sorted((out / part).glob("*"))
    }


def read(out: Path, part: str = "data") -> list[dict]:
    return [row for path in sorted((out / part).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """120 rows, some of them broken, in a folder."""
    folder = tmp_path / "in"
    folder.mkdir()
    rows: list = make_rows(120)
    rows[7] = b"{broken"
    rows[40] = {"id": "empty", "text": ""}
    rows[41] = rows[42]  # the same row twice
    rows[90] = b'{"id": "x", "text": "a\\u0000b"}'
    write_jsonl(folder / "a.jsonl", rows[:70])
    write_jsonl(folder / "b.jsonl", rows[70:])
    return folder
