"""A receipt says what became of one shard; a shard without one never happened."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from recension.run import folder

FOLDER = "receipts"
SEAL = "seal.json"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a shard. `part` is its folder: data, dropped, edits, ..."""

    part: str
    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """`units_by_row` is run-length encoded: [[units, rows], ...] in the order of the rows read.

    Every unit was `written` to data, `used` (a verb that fits a model writes no documents) or `dropped`.
    """

    index: int
    key: str
    rows: int
    units: int
    units_by_row: tuple[tuple[int, int], ...]
    written: int
    dropped: Mapping[str, int]
    files: tuple[FileEntry, ...]
    used: int = 0
    sources: tuple[str, ...] = ()  # the input files it was read from
    rows_cap: int | None = None
    stats: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seal:
    """Written when everything asked for is done."""

    key: str
    shards: int
    rows: int
    units: int
    written: int
    dropped: Mapping[str, int]
    limit: int | None
    receipts: str  # sha256 over the receipts in order
    inputs: Mapping[str, str]  # label to sha256
    files: Mapping[str, str]  # artefacts beside the shards, to sha256


def receipt_path(out: Path, index: int) -> Path:
    return out / FOLDER / f"{index:05d}.json"


def write_receipt(out: Path, receipt: Receipt) -> None:
    folder.write_atomic(receipt_path(out, receipt.index), msgspec.json.format(msgspec.json.encode(receipt), indent=1))


def read_receipt(out: Path, index: int) -> Receipt | None:
    try:
        return msgspec.json.decode(receipt_path(out, index).read_bytes(), type=Receipt)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None  # damaged: the shard is done again


def receipts(out: Path) -> Iterator[Receipt]:
    """All readable receipts, in the order of their shards."""
    if not (out / FOLDER).is_dir():
        return
    for path in sorted((p for p in (out / FOLDER).glob("*.json") if p.stem.isdigit()), key=lambda p: int(p.stem)):
        receipt = read_receipt(out, int(path.stem))
        if receipt is not None:
            yield receipt


def write_seal(out: Path, seal: Seal) -> None:
    folder.write_atomic(out / FOLDER / SEAL, msgspec.json.format(msgspec.json.encode(seal), indent=1))


def read_seal(out: Path) -> Seal | None:
    try:
        return msgspec.json.decode((out / FOLDER / SEAL).read_bytes(), type=Seal)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


def break_seal(out: Path) -> None:
    """A run that goes on is not finished: from here on a seal that does not fit means damage."""
    (out / FOLDER / SEAL).unlink(missing_ok=True)


def digest_of_receipts(out: Path, indices: Sequence[int]) -> str:
    digest = hashlib.sha256()
    for index in indices:
        digest.update(receipt_path(out, index).read_bytes())
    return digest.hexdigest()


def add_counts(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, count in more.items():
        total[name] = total.get(name, 0) + count
