"""What a listing of an input says: files that were found, by names whose formats we know or not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from recension.corpus.rows import shown
from recension.errors import InputError

PLAIN_FORMATS = ("jsonl", "ndjson", "json", "txt")
TABLE_FORMATS = ("parquet", "arrow")
KNOWN = ".jsonl .ndjson .json .txt (also with .gz or .zst), .parquet and .arrow"
MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Found:
    """A file in a listing: its path within the listed folder, and what opens it."""

    path: str
    url: str
    size: int
    stamp: str


def format_of(name: str) -> str | None:
    """The format of a file by its name, or None where it is none of ours."""
    stem = name.lower()
    packed = ""
    for ending in (".gz", ".zst"):
        if stem.endswith(ending):
            stem, packed = stem.removesuffix(ending), ending
    last = stem.rpartition(".")[2] if "." in stem else ""
    if last in PLAIN_FORMATS:
        return last + packed
    return last if last in TABLE_FORMATS and not packed else None


class Listing(NamedTuple):
    """The files behind one input, and the run folders among them as they would be given."""

    files: list[Found]
    runs: list[str]


def named(found: Found, given: str) -> Found:
    if format_of(found.path) is None:
        raise InputError(f"{shown(given)} is in no format we know by its name: Recension reads {KNOWN}")
    return found
