"""Rows as texts, ids and places alone: what a score needs, for a fraction of what whole records cost.

The rows are those of `read_piece`, in the same order, under the same ids, and the same ones are bad; only what a record holds
beside that is left out. Plain rows of JSON lines go the short way, in compiled loops where numba is installed, and every other
row the long one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recension.corpus.columns import column_value
from recension.corpus.jsonrows import json_record, rows_of
from recension.corpus.jsonvalues import Raw, is_null
from recension.corpus.layout import Layout
from recension.corpus.pieces import read_part
from recension.corpus.rows import BadPart, BadRow, LinePart, Piece, Place, Reading, Record, RowPart
from recension.corpus.splitting import BLANK
from recension.corpus.strings import Strings
from recension.identity import derived_id

Ints = NDArray[np.int64]

BATCH_BYTES, BATCH_ROWS = 1 << 19, 4_096
STRETCH = 1 << 17  # bytes that are looked at at once

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_string = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True, eq=False)
class TextRows:
    """Rows in order, a column for each thing. A row that is not `good` has no text. `files` are numbers of `labels`, `values`
    those of one further column, where it is `valued`."""

    texts: Strings
    good: NDArray[np.bool_]
    ids: Strings
    given: NDArray[np.bool_]
    labels: list[str]
    files: NDArray[np.int32]
    rows: Ints
    offsets: Ints
    lengths: Ints
    values: Strings
    valued: NDArray[np.bool_]


def read_texts(piece: Piece, reading: Reading, layout: Layout, column: str = "") -> Iterator[TextRows]:
    """The rows of a piece in batches of about half a megabyte of text, with the values of a column."""
    maker = _Maker(reading, layout, column, piece.rows_cap)
    for part in piece.parts:
        label = part.bad.place.file if isinstance(part, BadPart) else part.file.label
        maker.begin(label)
        if isinstance(part, LinePart | RowPart) and not part.file.format.startswith("txt"):
            rows = maker.lines(part)
        else:
            rows = maker.records(read_part(part, reading, layout, maker.left))
        for _ in rows:
            yield maker.given()
        if maker.left == 0:
            break
    if maker.count:
        yield maker.given()


class _Maker:
    """Batches in the making: rooms that fill up, and are emptied by whoever takes a batch."""

    def __init__(self, reading: Reading, layout: Layout, column: str, cap: int | None) -> None:
        self.left, self.count = cap, 0
        self._reading, self._layout, self._column = reading, layout, column
        self._rooms = [np.empty(BATCH_BYTES << 1, np.uint8) for _ in range(3)]  # of texts, ids and values
        self._filled = [0, 0, 0]
        self._ends = np.zeros((3, BATCH_ROWS), np.int64)
        self._numbers = np.zeros((3, BATCH_ROWS), np.int64)  # row, offset and length
        self._flags = np.zeros((2, BATCH_ROWS), np.bool_)  # whether the id was given, and whether there is a value
        self._bad: list[int] = []
        self._files: list[tuple[int, int]] = []  # from which row on the rows are of which label
        self._labels: dict[str, int] = {}

    def begin(self, label: str) -> None:
        """What comes now is from this file."""
        self._files.append((self.count, self._labels.setdefault(label, len(self._labels))))

    def ready(self) -> bool:
        return self.count >= BATCH_ROWS or self._filled[0] >= BATCH_BYTES

    def given(self) -> TextRows:
        count, rows = self.count, self._numbers[:, : self.count].copy()
        texts, ids = self._taken(0), self._taken(1)
        good = np.ones(count, np.bool_)
        good[self._bad] = False
        files = np.zeros(count, np.int32)
        for start, number in self._files:
            files[start:] = number
        labels = list(self._labels)
        ids = named(ids, texts, (labels, files), rows[0])
        values, flags = self._taken(2), self._flags[:, :count].copy()
        self.count, self._filled, self._bad = 0, [0, 0, 0], []
        self._labels = {labels[self._files[-1][1]]: 0}
        self._files = [(0, 0)]
        return TextRows(texts, good, ids, flags[0], labels, files, rows[0], rows[1], rows[2], values, flags[1])

    def _taken(self, number: int) -> Strings:
        return Strings(self._rooms[number][: self._filled[number]].copy(), self._ends[number, : self.count].copy())

    def _make_room(self, number: int, size: int) -> None:
        room, filled = self._rooms[number], self._filled[number]
        if len(room) - filled < size:
            self._rooms[number] = np.empty(2 * filled + size, np.uint8)
            self._rooms[number][:filled] = room[:filled]

    def records(self, rows: Iterator[Record | BadRow]) -> Iterator[None]:
        """Take whole records, and say when a batch is ready."""
        for row in rows:
            if self.left == 0:
                return
            self._take(row)
            if self.ready():
                yield

    def _take(self, row: Record | BadRow) -> None:
        at = row.place.row, row.place.offset, row.place.length
        if isinstance(row, BadRow):
            self._bad.append(self.count)
            self._add(b"", row.id, False, at, None)
            return
        value = column_value(row, self._column) if self._column else None
        if isinstance(value, bool | int | float):
            value = msgspec.json.encode(value).decode("utf-8")
        document = row.document
        said = value if isinstance(value, str) else None
        self._add(document.text.encode("utf-8"), document.id, document.given_id, at, said)

    def _add(self, text: bytes, name: str, given: bool, at: tuple[int, int, int], value: str | None) -> None:
        count = self.count
        for number, raw in enumerate((text, name.encode("utf-8"), b"" if value is None else value.encode("utf-8"))):
            if raw:
                start, size = self._filled[number], len(raw)
                self._make_room(number, size)
                self._rooms[number][start : start + size] = np.frombuffer(raw, np.uint8)
                self._filled[number] = start + size
            self._ends[number, count] = self._filled[number]
        self._numbers[:, count] = at
        self._flags[:, count] = given, value is not None
        self.count += 1
        if self.left is not None:
            self.left -= 1

    def lines(self, part: LinePart | RowPart) -> Iterator[None]:
        """Take the rows of a block of JSON, and say when a batch is ready."""
        reading = self._reading
        plain = reading.sought[:1] == ("text",) and "text" in self._layout.shapes and "." not in self._column
        loops = compiled() if plain and isinstance(part, LinePart) else None
        if loops is not None and isinstance(part, LinePart):
            yield from self._scanned(loops, part)
            return
        short = plain and _is_plain(part.payload)
        names, label = (reading.text_key, reading.id_key, self._column), part.file.label
        for line, number, offset in _lines(part):
            if self.left == 0:
                return
            found = _short(line, names) if short and len(line) <= reading.max_row else None
            if found is None:
                self._take(json_record(line, Place(label, number, offset, len(line)), reading, self._layout.shapes))
            else:
                text, name, value = found
                self._add(text, name, bool(name), (number, offset, len(line)), value)
            if self.ready():
                yield

    def _scanned(self, loops: Any, part: LinePart) -> Iterator[None]:
        """The same by compiled loops, which come back with each line that is not plain."""
        reading, payload = self._reading, part.payload
        payload = payload if payload.endswith(b"\n") else payload + b"\n"
        data = np.frombuffer(payload, np.uint8)
        keys = tuple(
            np.frombuffer(name.encode("utf-8", "surrogatepass"), np.uint8)
            for name in (reading.text_key, reading.id_key, self._column, "metadata", "")
        )
        at, row, why = 0, part.row, loops.FULL
        while why != loops.ENDED and self.left != 0:
            for number in range(3):
                self._make_room(number, len(payload) - at)
            before, most = self.count, BATCH_ROWS if self.left is None else min(BATCH_ROWS, self.count + self.left)
            why, at, row, self.count, *self._filled = loops.scan(
                data, (at, row, before, *self._filled), keys, (most, BATCH_BYTES, reading.max_row), tuple(self._rooms),
                (self._ends, self._numbers, self._flags),
            )  # fmt: skip
            self._numbers[1, before : self.count] += part.offset
            if self.left is not None:
                self.left -= self.count - before
            if why == loops.STOPPED and self.left != 0:
                end = payload.index(b"\n", at)
                place = Place(part.file.label, row, part.offset + at, end - at)
                self._take(json_record(payload[at:end], place, reading, self._layout.shapes))
                at, row = end + 1, row + 1
            if self.ready():
                yield


@cache
def compiled() -> Any:
    """The loops, where numba is installed."""
    if find_spec("numba") is None:
        return None
    from recension.corpus import lineloops

    return lineloops


def named(ids: Strings, texts: Strings, files: tuple[Sequence[str], NDArray[np.int32]], rows: Ints) -> Strings:
    """The ids of all rows, derived where a row brought none; `files` are labels, and the number of that of each row."""
    unnamed = np.flatnonzero(ids.lengths == 0).tolist()
    if not unnamed:
        return ids
    raws, said = ids.raws(), texts.raws()
    for number in unnamed:
        label = files[0][files[1][number]]
        raws[number] = derived_id(said[number], label, int(rows[number])).encode("ascii")
    return Strings.of(raws)


def _lines(part: LinePart | RowPart) -> Iterator[tuple[bytes, int, int]]:
    if isinstance(part, RowPart):
        for data, place in rows_of(part):
            yield data, place.row, place.offset
        return
    offset, row = part.offset, part.row
    for line in part.payload.split(b"\n"):
        if line.strip(BLANK):
            yield line, row, offset
        offset += len(line) + 1
        row += 1


def _is_plain(payload: bytes) -> bool:
    """Whether the rows of a part are UTF-8 without control characters, and without a NUL however it is written."""
    if b"\\u0000" in payload:
        return False
    data = np.frombuffer(payload, np.uint8)
    for start in range(0, len(data), STRETCH):
        part = data[start : start + STRETCH]
        if np.count_nonzero(part < 0x20) != np.count_nonzero(part == 0x0A):
            return False  # control characters, which JSON does not allow in strings
    if payload.isascii():
        return True
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _short(line: bytes, names: tuple[str, str, str]) -> tuple[bytes, str, str | None] | None:
    """Text, given id and value of a plain row; None where anything about it is not plain."""
    text_key, id_key, column = names
    try:
        columns = _object.decode(line)
        raw = columns[text_key]
        size = sum(map(len, columns)) + sum(map(len, columns.values()))
        # The lengths tell whether the columns are all that the line holds: of a key that stands twice one is missing.
        count, colon = len(columns), len(next(iter(columns))) + 4
        if len(line) != size + (6 * count if line[colon : colon + 1] == b" " else 4 * count + 1):
            return None
        text = _unescaped(raw) or _string.decode(raw).encode("utf-8")
        identity = columns.get(id_key)
        name: str = "" if identity is None or is_null(identity) else _string.decode(identity)
        if column and column not in columns and "metadata" in columns:
            return None  # a row that we wrote: the column may stand in there
        said = _value_of(columns.get(column)) if column else None
    except (KeyError, StopIteration, msgspec.DecodeError, msgspec.ValidationError):
        return None
    return (text, name, said) if text else None


def _unescaped(raw: Raw) -> bytes:
    """The UTF-8 of a JSON string without escapes; nothing of any other."""
    body = bytes(raw)
    return body[1:-1] if body[:1] == b'"' and b"\\" not in body else b""


def _value_of(raw: Raw | None) -> str | None:
    """A string, or the JSON of a number or a truth value."""
    if raw is None:
        return None
    said = bytes(raw)
    if said[:1] == b'"':
        return _string.decode(said)
    return None if said[:1] in (b"{", b"[", b"n") else said.decode("utf-8")
