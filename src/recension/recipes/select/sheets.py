"""What a reading leaves of each document, a file for each piece: later passes read these, and not the corpus again.

Sheets are no product. A checksum in the receipt of their pass says whether they are whole, and they go when a run is sealed.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, fields
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recension.corpus import Strings, TextRows, joined
from recension.errors import OutputError
from recension.methods.select.tail import Domains
from recension.run import folder

Ints = NDArray[np.int64]

READ, SCORE, KEPT, PAIRS = "read", "score", "kept", "pairs"


@dataclass(slots=True, eq=False)
class Sheet:
    """One entry for every row of a piece, good or bad, in order."""

    ids: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))  # one after the other
    id_ends: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    given: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    good: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    labels: list[str] = field(default_factory=list)  # of files
    files: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    rows: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    offsets: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    lengths: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    names: list[str] = field(default_factory=list)  # of domains
    domains: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    words: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    tokens: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    digests: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))

    @property
    def named(self) -> Strings:
        """The ids."""
        return Strings(self.ids, self.id_ends)


@dataclass(slots=True, eq=False)
class Features:
    """What the score is computed of, of the good rows alone: buckets, vectors, or the score itself. Beside buckets stand the
    hashes of the piece's sample of n-grams, with the number of the good row that each is of."""

    singles: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(0, np.uint16))
    pairs: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(0, np.uint16))
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    scores: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0, np.float64))
    rare_singles: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    single_rows: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    rare_pairs: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    pair_rows: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    limits: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))  # below which they lie


@dataclass(slots=True, eq=False)
class Ranked:
    """How the rows of a piece rank, bad ones last, with what a choice needs beside that."""

    scores: NDArray[np.float64]
    ranks: NDArray[np.uint64]
    amounts: Ints  # words or tokens
    words: Ints
    digests: NDArray[np.uint64]


class SheetMaker:
    """A sheet in the making, batch by batch."""

    def __init__(self) -> None:
        self._ids: list[Strings] = []
        self._columns: dict[str, list[NDArray[Any]]] = {}
        self._labels: dict[str, int] = {}
        self._domains: dict[str, int] = {}

    def add(self, batch: TextRows, domains: Domains, columns: dict[str, NDArray[Any]]) -> None:
        """Of a batch all that is kept of it, with further columns."""
        files = np.array([self._labels.setdefault(name, len(self._labels)) for name in batch.labels], np.int32)
        names = np.array([self._domains.setdefault(name, len(self._domains)) for name in domains.names], np.int32)
        self._ids.append(batch.ids)
        own = {"good": batch.good, "given": batch.given, "files": files[batch.files], "domains": names[domains.numbers]}
        own |= {"rows": batch.rows, "offsets": batch.offsets, "lengths": batch.lengths}
        for name, values in (own | columns).items():
            self._columns.setdefault(name, []).append(values)

    def done(self) -> Sheet:
        ids = joined(self._ids)
        columns = {name: np.concatenate(parts) for name, parts in self._columns.items()}
        return Sheet(ids=ids.data, id_ends=ids.ends, labels=list(self._labels), names=list(self._domains), **columns)


def place(out: Path, name: str, index: int, what: str) -> Path:
    return out / "passes" / name / f"{index:05d}.{what}"


def store(path: Path, sheet: Any) -> int:
    """Write a sheet beside its place and move it there; the value is its checksum. It need not survive a power cut."""
    packed = [_packed(getattr(sheet, item.name)) for item in fields(sheet)]
    with folder.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}")
        checksum = 0
        with beside.open("wb") as file:
            head = msgspec.msgpack.encode([kind for kind, _ in packed])
            for part in (len(head).to_bytes(8, "little"), head, *(body for _, body in packed)):
                file.write(part)
                checksum = _checked(part, checksum)
        beside.replace(path)
    return checksum


def load(path: Path, kind: type[Any], checksum: int | None = None) -> Any:
    """A sheet mapped; one that is not what was written is refused. Sheets are replaced whole, so a map of one stays good."""
    try:
        with path.open("rb") as file:
            raw = memoryview(mmap(file.fileno(), 0, access=ACCESS_READ))  # a copy takes far longer than reading the map
    except FileNotFoundError:
        raise OutputError(f"{path} has gone: start over with --fresh") from None
    except ValueError:
        raise OutputError(f"{path} is empty: start over with --fresh") from None
    size = int.from_bytes(raw[:8], "little")
    at, columns, found = 8 + size, [], _checked(raw[8 : 8 + size], _checked(raw[:8], 0))
    try:
        for form, length in msgspec.msgpack.decode(raw[8:at]):
            body = raw[at : at + length]
            found = _checked(body, found)
            columns.append(msgspec.msgpack.decode(body) if form == "names" else np.frombuffer(body, dtype=form))
            at += length
    except (msgspec.DecodeError, ValueError):
        found = -1
    if checksum is not None and found != checksum:
        raise OutputError(f"{path} is not what was written: start over with --fresh")
    return kind(*columns)


def _checked(part: Any, before: int) -> int:
    """A sum over all bytes and where they stand, many times as fast as a hash: nobody forges a sheet."""
    raw = np.frombuffer(part, dtype=np.uint8)
    whole = len(raw) // 8 * 8
    total = int(raw[:whole].view(np.uint64).sum(dtype=np.uint64)) + int.from_bytes(raw[whole:].tobytes(), "little")
    return (before * 0x9E3779B97F4A7C15 + total + len(raw)) & 0x7FFFFFFFFFFFFFFF


def _packed(value: Any) -> tuple[tuple[str, int], Any]:
    if isinstance(value, list):
        raw = msgspec.msgpack.encode(value)
        return ("names", len(raw)), raw
    flat = np.ascontiguousarray(value)
    return (flat.dtype.str, flat.nbytes), flat.reshape(-1).view(np.uint8).data


def clear(out: Path, name: str) -> None:
    """Let the sheets of a pass go."""
    with folder.writing(out):
        for path in (out / "passes" / name).glob("*"):
            if path.suffix in (".sheet", ".features", ".bands", ".ranks", ".kept"):
                path.unlink()


def forget(out: Path) -> None:
    """Begin anew: passes and receipts go."""
    with folder.writing(out):
        for name in ("receipts", "passes"):
            shutil.rmtree(out / name, ignore_errors=True)
