"""Files read in order and cut into pieces at row borders."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from recension.corpus.jsonrows import long_bad
from recension.corpus.rows import (
    BadPart,
    BadRow,
    LinePart,
    Part,
    Piece,
    Place,
    Reading,
    RowPart,
    SourceFile,
    TablePart,
)
from recension.corpus.splitting import BLANK, Cut, Lines, LongRow, Row, Splitter, splitter_for
from recension.corpus.streams import Stream, hash_file
from recension.corpus.tables import (
    UNREADABLE,
    Group,
    broken_off_row,
    footer_hash,
    groups_of,
    is_system_error,
    unreadable_row,
)
from recension.errors import InputError
from recension.identity import derived_id, sha256


@dataclass(slots=True)
class _Rows:
    """A `RowPart` in the making."""

    file: SourceFile
    payload: list[bytes]
    spans: array[int]

    def done(self) -> RowPart:
        return RowPart(self.file, b"".join(self.payload), self.spans.tobytes())


class Cutter:
    """Gathers rows into pieces. A piece ends at the first row border at which it holds `shard_bytes` or more."""

    def __init__(self, shard_bytes: int, limit: int | None, skip: Callable[[int], bool]) -> None:
        self._shard_bytes = shard_bytes
        self._left = limit
        self._skip = skip
        self._index = 0
        self._skips: bool | None = None  # not asked yet
        self._parts: list[Part | _Rows] = []
        self._size = 0
        self._rows = 0  # counted only under a limit, for blocks of lines
        self.done = limit == 0

    def add_lines(self, file: SourceFile, lines: Lines, row: int) -> Generator[Piece, None, int]:
        """A block of whole lines, which may end several pieces. Takes the number of its first line, gives the next."""
        data, start = lines.data, 0
        while start < len(data) and not self.done:
            end = self._border(data, start)
            payload = data[start:end]
            if self._left is not None:
                self._rows += sum(1 for line in payload.split(b"\n") if line.strip(BLANK))
            if not self._skipping():
                self._parts.append(LinePart(file, payload, lines.offset + start, row))
            yield from self._grow(len(payload))
            row += int(np.count_nonzero(np.frombuffer(payload, np.uint8) == 0x0A))  # many times as fast as bytes.count
            start = end
        return row

    def add_row(self, file: SourceFile, row: Row) -> Iterator[Piece]:
        if not self._skipping():
            last = self._parts[-1] if self._parts else None
            if not isinstance(last, _Rows) or last.file is not file:
                last = _Rows(file, [], array("q"))
                self._parts.append(last)
            last.payload.append(row.data)
            last.spans.extend((row.offset, len(row.data), row.row))
        self._rows += 1
        yield from self._grow(len(row.data) + 1)

    def add_bad(self, file: SourceFile, bad: BadRow) -> Iterator[Piece]:
        if not self._skipping():
            self._parts.append(BadPart(file, bad))
        self._rows += 1
        yield from self._grow(bad.place.length + 1)

    def add_group(self, file: SourceFile, number: int, group: Group, row: int) -> Iterator[Piece]:
        """A row group or record batch, of which `row` is the number of the first row."""
        if not self._skipping():
            part = TablePart(file, number, number + 1, row, group.rows)
            last = self._parts[-1] if self._parts else None
            if isinstance(last, TablePart) and last.file is file and last.stop == number:
                part = TablePart(file, last.start, part.stop, last.row, last.rows + part.rows)
                self._parts.pop()
            self._parts.append(part)
        self._rows += group.rows
        yield from self._grow(max(group.size, 1))

    def finish(self) -> Iterator[Piece]:
        if self._size and not self.done:
            yield self._close(None)

    def _skipping(self) -> bool:
        if self._skips is None:
            self._skips = self._skip(self._index)
        return self._skips

    def _border(self, data: bytes, start: int) -> int:
        """Where the piece at hand ends in these lines."""
        wanted = self._shard_bytes - self._size
        if len(data) - start < wanted:
            return len(data)
        return data.find(b"\n", start + wanted - 1) + 1 or len(data)

    def _grow(self, size: int) -> Iterator[Piece]:
        self._size += size
        full = self._size >= self._shard_bytes
        if self._left is None:
            if full:
                yield self._close(None)
        elif self._rows >= self._left:
            self.done = True
            # A piece that ends here anyway is whole; any other would be longer under a larger limit.
            yield self._close(None if full and self._rows == self._left else self._left)
        elif full:
            self._left -= self._rows
            yield self._close(None)

    def _close(self, cap: int | None) -> Piece:
        skipped = self._skipping()
        parts = tuple(part.done() if isinstance(part, _Rows) else part for part in self._parts)
        piece = Piece(self._index, parts, self._size, cap, skipped)
        self._index += 1
        self._skips = None
        self._parts, self._size, self._rows = [], 0, 0
        return piece


def draw_stream(
    file: SourceFile, reading: Reading, cutter: Cutter, known: str = ""
) -> Generator[Piece, None, str | None]:
    """Read a file of text or JSON; the value is the sha256 of its bytes, or None where a limit ended it.

    `known` is that hash where an earlier pass has found it: it is not computed again.
    """
    stream = Stream(file, known)
    splitter: Splitter | None = None
    row, length = 1, 0
    for chunk in stream:
        start = 0
        length += len(chunk)
        if splitter is None:
            splitter, start = splitter_for(file.format, chunk, reading)
        for cut in splitter.feed(chunk[start:] if start else chunk):
            row = yield from _add(file, cut, row, cutter, reading)
            if cutter.done:
                return None
    splitter = splitter or splitter_for(file.format, b"", reading)[0]
    last = list(splitter.finish())
    if stream.damage:
        yield from cutter.add_bad(file, _damaged(stream, last[-1] if last else length, row))
        return stream.digest
    for cut in last:
        row = yield from _add(file, cut, row, cutter, reading)
        if cutter.done:
            return None
    return stream.digest


def _add(file: SourceFile, cut: Cut, row: int, cutter: Cutter, reading: Reading) -> Generator[Piece, None, int]:
    """Hand one cut on; takes and gives the number of the line that comes next."""
    if isinstance(cut, Lines):
        return (yield from cutter.add_lines(file, cut, row))
    if isinstance(cut, Row):
        yield from cutter.add_row(file, cut)
        return row
    place = Place(file.label, cut.row or row, cut.offset, cut.length)
    yield from cutter.add_bad(file, long_bad(cut.head, cut.sha256, place, reading.max_row))
    return row + 1


def _damaged(stream: Stream, last: Cut | int, row: int) -> BadRow:
    """The row in which a compressed file broke off: what there is of it, or where it would begin."""
    label, fault = stream.file.label, stream.damage
    assert fault is not None
    if isinstance(last, int):
        place, original, digest = Place(label, row, last, 0), b"", sha256(b"")
    elif isinstance(last, LongRow):
        place = Place(label, last.row or row, last.offset, last.length)
        original, digest = last.head, last.sha256
    else:
        place = Place(label, last.row if isinstance(last, Row) else row, last.offset, len(last.data))
        original, digest = last.data, sha256(last.data)
    detail = f"{fault.detail}; the rows before it are whole, what follows is lost"
    return BadRow(derived_id(original, label, place.row), fault.reason, detail, place, original, digest)


@lru_cache(maxsize=1 << 14)
def _table_hash(file: SourceFile) -> str:
    """What stands for the content of a table. It is asked for again by every pass over a corpus."""
    return hash_file(file) if file.local or file.format == "arrow" else footer_hash(file)


def draw_table(
    file: SourceFile, reading: Reading, cutter: Cutter, known: str = ""
) -> Generator[Piece, None, str | None]:
    """List the groups of a columnar file; the value is the sha256 of the file, or of its footer where it is remote."""
    try:
        digest = known or (_table_hash(file) if file.stamp else _table_hash.__wrapped__(file))
    except OSError as error:
        raise InputError(f"cannot read {file.where}: {error}; check it and run again") from error
    groups = groups_of(file)
    row, number = 1, 0
    while not cutter.done:
        try:
            group = next(groups, None)
        except UNREADABLE as error:
            if is_system_error(error):
                raise InputError(f"cannot read {file.where}: {error}; check it and run again") from error
            bad = broken_off_row(file, error, row) if number else unreadable_row(file, error, hash_file(file))
            yield from cutter.add_bad(file, bad)
            break
        if group is None:
            break
        if group.rows:
            yield from cutter.add_group(file, number, group, row)
        row += group.rows
        number += 1
    return None if cutter.done else digest
