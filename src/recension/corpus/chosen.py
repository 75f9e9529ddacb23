"""The chosen rows of a piece, read once more and whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.corpus.jsonrows import json_record, text_record
from recension.corpus.layout import Layout
from recension.corpus.pieces import read_part
from recension.corpus.rows import BadRow, LinePart, Piece, Place, Reading, Record
from recension.corpus.strings import Strings
from recension.corpus.texts import compiled, named

Ints = NDArray[np.int64]


class Places(NamedTuple):
    """Where the rows of a piece stand, in order; `files` are numbers of `labels`."""

    labels: Sequence[str]
    files: NDArray[np.int32]
    rows: NDArray[np.int64]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]


class PlainRows(NamedTuple):
    """Rows of JSON that hold a text, under the ids that they brought or derived ones, and their other columns as JSON objects.
    Nothing is known of where they come from."""

    numbers: Ints
    texts: Strings
    ids: Strings
    others: Strings

    def between(self, start: int, stop: int) -> PlainRows:
        columns = (strings.between(start, stop) for strings in self[1:])
        return PlainRows(self.numbers[start:stop], *columns)

    def where(self, wanted: NDArray[np.bool_]) -> PlainRows:
        if wanted.all():
            return self
        return PlainRows(self.numbers[wanted], *(strings.where(wanted) for strings in self[1:]))


def read_chosen(
    piece: Piece, reading: Reading, layout: Layout, wanted: NDArray[np.bool_], places: Places
) -> Iterator[PlainRows | tuple[int, Record | BadRow]]:
    """The rows of a piece whose number is `wanted`, in order and whole; plain ones together where loops are compiled. Blocks
    of lines are not even split for the others."""
    number = 0
    for part in piece.parts:
        if isinstance(part, LinePart):
            end = number + _rows_within(part, places, number)
            yield from _of_lines(part, number + np.flatnonzero(wanted[number:end]), (reading, layout), places)
            number = end
            continue
        for record in read_part(part, reading, layout, len(wanted) - number):
            if number >= len(wanted):
                return
            if wanted[number]:
                yield number, record
            number += 1


def _of_lines(
    part: LinePart, numbers: Ints, how: tuple[Reading, Layout], places: Places
) -> Iterator[PlainRows | tuple[int, Record | BadRow]]:
    reading, layout = how
    text = part.file.format.startswith("txt")
    build = text_record if text else json_record
    plain = not text and reading.sought[:1] == ("text",) and layout.holds_plain_texts and compiled() is not None
    while len(numbers):
        if plain:
            rows = _picked(part, numbers, reading, places)
            if len(rows.numbers):
                yield rows
            numbers = numbers[len(rows.numbers) :]
        for row in numbers[: 1 if plain else None].tolist():
            place = Place(part.file.label, int(places.rows[row]), int(places.offsets[row]), int(places.lengths[row]))
            start = place.offset - part.offset
            yield row, build(part.payload[start : start + place.length], place, reading, layout.shapes)
        numbers = numbers[1:] if plain else numbers[:0]


def _picked(part: LinePart, numbers: Ints, reading: Reading, places: Places) -> PlainRows:
    """The first rows, as long as they are plain."""
    payload = part.payload if part.payload.endswith(b"\n") else part.payload + b"\n"
    size = int(places.lengths[numbers].sum())
    rooms = tuple(np.empty(size, np.uint8) for _ in range(3))
    keys = tuple(
        np.frombuffer(name.encode("utf-8", "surrogatepass"), np.uint8)
        for name in (reading.text_key, reading.id_key, "", "metadata", "origin")
    )
    ends = np.zeros((3, len(numbers)), np.int64)
    data, starts = np.frombuffer(payload, np.uint8), places.offsets[numbers] - part.offset
    count = compiled().pick(data, starts, keys, reading.max_row, rooms, ends)
    texts, ids, others = (
        Strings(room[: int(stops[count - 1]) if count else 0], stops[:count])
        for room, stops in zip(rooms, ends, strict=True)
    )
    numbers = numbers[:count]
    return PlainRows(numbers, texts, named(ids, texts, [part.file.label] * count, places.rows[numbers]), others)


def _rows_within(part: LinePart, places: Places, first: int) -> int:
    """How many rows from the first one on stand in a block of lines."""
    inside = places.offsets[first:] < part.offset + len(part.payload)
    inside &= places.offsets[first:] >= part.offset
    inside &= places.files[first:] == (places.labels.index(part.file.label) if part.file.label in places.labels else -1)
    return len(inside) if inside.all() else int(np.argmin(inside))
