"""The chosen rows of a piece, read once more and whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.corpus.jsonrows import json_record, text_record
from recension.corpus.layout import Layout
from recension.corpus.pieces import read_part
from recension.corpus.rows import BadRow, LinePart, Piece, Place, Reading, Record, SpanPart
from recension.corpus.spans import read_lines
from recension.corpus.strings import Strings
from recension.corpus.texts import compiled, named

Ints = NDArray[np.int64]
READ_BYTES = 2 << 20  # of lines that are read by their places, at once


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
    of lines are not even split for the others, and where they are not read yet the others stay on the disk."""
    number = 0
    for part in piece.parts:
        if isinstance(part, LinePart | SpanPart):
            end = number + _rows_within(part, places, number)
            for block, numbers in _blocks(part, number + np.flatnonzero(wanted[number:end]), places):
                yield from _of_lines(block, numbers, (reading, layout), places)
            number = end
            continue
        for record in read_part(part, reading, layout, len(wanted) - number):
            if number >= len(wanted):
                return
            if wanted[number]:
                yield number, record
            number += 1


class _Block(NamedTuple):
    """Lines of a file, and where those that are wanted begin."""

    label: str
    text: bool
    payload: bytes
    starts: Ints


def _blocks(part: LinePart | SpanPart, numbers: Ints, places: Places) -> Iterator[tuple[_Block, Ints]]:
    """The wanted rows of a part with the lines that they stand in."""
    if not len(numbers):
        return
    label, text = part.file.label, part.file.format.startswith("txt")
    offsets, lengths = places.offsets[numbers], places.lengths[numbers]
    if isinstance(part, LinePart):
        yield _Block(label, text, part.payload, offsets - part.offset), numbers
        return
    at_once = np.flatnonzero(np.diff(np.cumsum(lengths) // READ_BYTES, prepend=0)).tolist()
    for start, end in zip([0, *at_once], [*at_once, len(numbers)], strict=True):
        if start < end:
            payload, starts = read_lines(part, offsets[start:end], lengths[start:end])
            yield _Block(label, text, payload, starts), numbers[start:end]


def _of_lines(
    block: _Block, numbers: Ints, how: tuple[Reading, Layout], places: Places
) -> Iterator[PlainRows | tuple[int, Record | BadRow]]:
    reading, layout = how
    build = text_record if block.text else json_record
    plain = not block.text and reading.sought[:1] == ("text",) and layout.holds_plain_texts and compiled() is not None
    done = 0
    while done < len(numbers):
        if plain:
            rows = _picked(block, numbers, done, reading, places)
            if len(rows.numbers):
                yield rows
            done += len(rows.numbers)
        for at in range(done, min(done + 1, len(numbers)) if plain else len(numbers)):
            row, start = int(numbers[at]), int(block.starts[at])
            place = Place(block.label, int(places.rows[row]), int(places.offsets[row]), int(places.lengths[row]))
            yield row, build(block.payload[start : start + place.length], place, reading, layout.shapes)
            done = at + 1


def _picked(block: _Block, numbers: Ints, done: int, reading: Reading, places: Places) -> PlainRows:
    """The next rows, as long as they are plain."""
    payload = block.payload if block.payload.endswith(b"\n") else block.payload + b"\n"
    numbers, starts = numbers[done:], block.starts[done:]
    size = int(places.lengths[numbers].sum())
    rooms = tuple(np.empty(size, np.uint8) for _ in range(3))
    keys = tuple(
        np.frombuffer(name.encode("utf-8", "surrogatepass"), np.uint8)
        for name in (reading.text_key, reading.id_key, "", "metadata", "origin")
    )
    ends = np.zeros((3, len(numbers)), np.int64)
    count = compiled().pick(np.frombuffer(payload, np.uint8), starts, keys, reading.max_row, rooms, ends)
    texts, ids, others = (
        Strings(room[: int(stops[count - 1]) if count else 0], stops[:count])
        for room, stops in zip(rooms, ends, strict=True)
    )
    numbers = numbers[:count]
    ids = named(ids, texts, ([block.label], np.zeros(count, np.int32)), places.rows[numbers])
    return PlainRows(numbers, texts, ids, others)


def _rows_within(part: LinePart | SpanPart, places: Places, first: int) -> int:
    """How many rows from the first one on stand in a block of lines."""
    length = len(part.payload) if isinstance(part, LinePart) else part.length
    inside = places.offsets[first:] < part.offset + length
    inside &= places.offsets[first:] >= part.offset
    inside &= places.files[first:] == (places.labels.index(part.file.label) if part.file.label in places.labels else -1)
    return len(inside) if inside.all() else int(np.argmin(inside))
