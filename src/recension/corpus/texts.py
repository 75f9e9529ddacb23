"""Rows as texts, ids and places alone: what a score needs, for a fraction of what whole records cost.

The rows are those of `read_piece`, in the same order, under the same ids, and the same ones are bad; only what a record holds
beside that is left out. Rows of JSON lines in one of the two usual spellings go the short way, every other row the long one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from recension.corpus.columns import column_value
from recension.corpus.jsonrows import json_record, rows_of, text_record
from recension.corpus.jsonvalues import Raw, is_null
from recension.corpus.layout import Layout
from recension.corpus.pieces import read_part
from recension.corpus.rows import BadRow, LinePart, Piece, Place, Reading, Record, RowPart
from recension.corpus.splitting import BLANK
from recension.identity import derived_id

BATCH_CHARACTERS, BATCH_ROWS = 1 << 19, 4_096
STRETCH = 1 << 17  # bytes that are looked at at once

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_string = msgspec.json.Decoder(str)


# text, id, whether the id was given, file, row, offset, length, value
Row: TypeAlias = "tuple[str | bytes | None, str, bool, str, int, int, int, str | None]"


@dataclass(slots=True)
class TextRows:
    """Rows in order, a column for each thing; a bad row has the text None. `values` are those of one further column.

    Where bytes were asked for, a text may come as its UTF-8.
    """

    texts: list[str | bytes | None] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    given: list[bool] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    values: list[str | None] = field(default_factory=list)

    def add(self, row: Row) -> None:
        for column, value in zip(
            (self.texts, self.ids, self.given, self.files, self.rows, self.offsets, self.lengths, self.values),
            row,
            strict=True,
        ):
            column.append(value)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of rows: their text, as bytes where that is cheaper, and what stands in a `column`."""

    column: str = ""
    as_bytes: bool = False


def read_texts(piece: Piece, reading: Reading, layout: Layout, wish: Wish = Wish()) -> Iterator[TextRows]:
    """The rows of a piece in batches of about half a million characters."""
    column = wish.column
    maker = _Maker(reading, layout, wish, piece.rows_cap)
    for part in piece.parts:
        if isinstance(part, LinePart | RowPart) and not part.file.format.startswith("txt"):
            yield from maker.lines(part)
        else:
            for row in read_part(part, reading, layout, maker.left):
                if maker.full():
                    break
                maker.take(_long(row, column))
                if maker.ready():
                    yield maker.given()
        if maker.full():
            break
    if maker.batch.texts:
        yield maker.given()


class _Maker:
    """Batches in the making."""

    def __init__(self, reading: Reading, layout: Layout, wish: Wish, cap: int | None) -> None:
        self.batch, self.size, self.left = TextRows(), 0, cap
        self._reading, self._layout, self._wish = reading, layout, wish

    def full(self) -> bool:
        """Whether no more rows count."""
        return self.left == 0

    def take(self, row: Row) -> None:
        self.batch.add(row)
        self.size += len(row[0]) if row[0] is not None else row[6]
        if self.left is not None:
            self.left -= 1

    def ready(self) -> bool:
        return self.size >= BATCH_CHARACTERS or len(self.batch.texts) >= BATCH_ROWS

    def given(self) -> TextRows:
        batch, self.batch, self.size = self.batch, TextRows(), 0
        return batch

    def lines(self, part: LinePart | RowPart) -> Iterator[TextRows]:
        reading, column, label = self._reading, self._wish.column, part.file.label
        plain = reading.sought[:1] == ("text",) and "text" in self._layout.shapes and "." not in column
        short = plain and _is_plain(part.payload)
        names = reading.text_key, reading.id_key, column
        as_bytes = self._wish.as_bytes
        for line, number, offset in _lines(part):
            if self.left == 0:
                return
            found = _short(line, names, as_bytes) if short and len(line) <= reading.max_row else None
            if found is None:
                place = Place(label, number, offset, len(line))
                self.take(_long(json_record(line, place, reading, self._layout.shapes), column))
            else:
                text, name, value = found
                batch = self.batch
                batch.texts.append(text)
                batch.ids.append(
                    name or derived_id(text if isinstance(text, bytes) else text.encode("utf-8"), label, number)
                )
                batch.given.append(bool(name))
                batch.files.append(label)
                batch.rows.append(number)
                batch.offsets.append(offset)
                batch.lengths.append(len(line))
                batch.values.append(value)
                self.size += len(text)
                if self.left is not None:
                    self.left -= 1
            if self.size >= BATCH_CHARACTERS or len(self.batch.texts) >= BATCH_ROWS:
                yield self.given()


class Places(NamedTuple):
    """Where the rows of a piece stand, in order; `files` are numbers of `labels`."""

    labels: Sequence[str]
    files: NDArray[np.int32]
    rows: NDArray[np.int64]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]


def read_chosen(
    piece: Piece, reading: Reading, layout: Layout, wanted: NDArray[np.bool_], places: Places
) -> Iterator[tuple[int, Record | BadRow]]:
    """The rows of a piece whose number is `wanted`, whole. Blocks of lines are not even split for the others."""
    number = 0
    for part in piece.parts:
        if isinstance(part, LinePart):
            build = text_record if part.file.format.startswith("txt") else json_record
            end = number + _rows_within(part, places, number)
            for row in (number + np.flatnonzero(wanted[number:end])).tolist():
                place = Place(
                    part.file.label, int(places.rows[row]), int(places.offsets[row]), int(places.lengths[row])
                )
                start = place.offset - part.offset
                yield row, build(part.payload[start : start + place.length], place, reading, layout.shapes)
            number = end
            continue
        for record in read_part(part, reading, layout, len(wanted) - number):
            if number >= len(wanted):
                return
            if wanted[number]:
                yield number, record
            number += 1


def _rows_within(part: LinePart, places: Places, first: int) -> int:
    """How many rows from the first one on stand in a block of lines."""
    inside = places.offsets[first:] < part.offset + len(part.payload)
    inside &= places.offsets[first:] >= part.offset
    inside &= places.files[first:] == (places.labels.index(part.file.label) if part.file.label in places.labels else -1)
    return len(inside) if inside.all() else int(np.argmin(inside))


def _lines(part: LinePart | RowPart) -> Iterator[tuple[bytes, int, int]]:
    if isinstance(part, RowPart):
        for data, place in rows_of(part):
            yield data, place.row, place.offset
        return
    offset, row = part.offset, part.row
    for line in part.payload.split(b"\n"):
        if len(line) > 64 or line.strip(BLANK):
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


def _short(line: bytes, names: tuple[str, str, str], as_bytes: bool) -> tuple[str | bytes, str, str | None] | None:
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
        text: str | bytes = (as_bytes and _unescaped(raw)) or _string.decode(raw)
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


def _long(row: Record | BadRow, column: str) -> Row:
    if isinstance(row, BadRow):
        return None, row.id, False, row.place.file, row.place.row, row.place.offset, row.place.length, None
    value = column_value(row, column) if column else None
    if isinstance(value, bool | int | float):
        value = msgspec.json.encode(value).decode("utf-8")
    said, place, document = value if isinstance(value, str) else None, row.place, row.document
    return document.text, document.id, document.given_id, place.file, place.row, place.offset, place.length, said
