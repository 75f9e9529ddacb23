"""Rows found in a stream of bytes, without ever holding more than one of them beyond the chunk at hand.

Each splitter is fed chunks in order and gives what they complete: blocks of whole lines, single rows, or the remains of
a row that was too long to hold.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from recension.corpus.rows import HEAD_BYTES, Reading

BLANK = b" \t\r\n"
BOM = b"\xef\xbb\xbf"
PEEK = 1 << 20


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines, the last one perhaps without its end."""

    data: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class Row:
    """One whole row. `row` is its ordinal, or the number of its first line."""

    data: bytes
    offset: int
    row: int


@dataclass(frozen=True, slots=True)
class LongRow:
    """A row over the limit: its place, its hash and how it begins."""

    offset: int
    length: int
    row: int
    sha256: str
    head: bytes


Cut: TypeAlias = Lines | Row | LongRow


class Splitter(Protocol):
    def feed(self, chunk: bytes) -> Iterator[Cut]: ...

    def finish(self) -> Iterator[Cut]: ...


class Held:
    """A row in the making. Beyond `limit` bytes only its hash, its length and its head are kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._digest = hashlib.sha256()
        self._head = b""
        self.length = 0
        self.over = False

    def add(self, data: bytes) -> None:
        self.length += len(data)
        if self.over:
            self._digest.update(data)
            self._head += data[: HEAD_BYTES - len(self._head)]
            return
        self._parts.append(data)
        if self.length > self._limit:
            self.over = True
            for part in self._parts:
                self._digest.update(part)
            self._head = b"".join(self._parts)[:HEAD_BYTES]
            self._parts = []

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts, self.length = [], 0
        return data

    def take_long(self, offset: int, row: int) -> LongRow:
        long = LongRow(offset, self.length, row, self._digest.hexdigest(), self._head)
        self._digest = hashlib.sha256()
        self._head, self.length, self.over = b"", 0, False
        return long


class LineSplitter:
    """Rows end with a line feed. Rows are not looked at one by one here: a block of whole lines passes as it is."""

    def __init__(self, offset: int, max_row: int) -> None:
        self._held = Held(max_row)
        self._offset = offset  # of the first byte held

    def feed(self, chunk: bytes) -> Iterator[Cut]:
        if self._held.over:
            end = chunk.find(b"\n")
            if end < 0:
                self._held.add(chunk)
                return
            self._held.add(chunk[:end])
            yield self._long(1)
            chunk = chunk[end + 1 :]
        end = chunk.rfind(b"\n") + 1
        if end:
            block = b"".join((self._held.take(), memoryview(chunk)[:end]))
            yield Lines(block, self._offset)
            self._offset += len(block)
            chunk = chunk[end:]
        if chunk:
            self._held.add(chunk)

    def finish(self) -> Iterator[Cut]:
        if self._held.over:
            yield self._long(0)
        elif self._held.length:
            block = self._held.take()
            yield Lines(block, self._offset)
            self._offset += len(block)

    def _long(self, end: int) -> LongRow:
        long = self._held.take_long(self._offset, 0)
        self._offset += long.length + end
        return long


class WholeSplitter:
    """The file is one row."""

    def __init__(self, offset: int, max_row: int) -> None:
        self._held = Held(max_row)
        self._offset = offset

    def feed(self, chunk: bytes) -> Iterator[Cut]:
        self._held.add(chunk)
        yield from ()

    def finish(self) -> Iterator[Cut]:
        if self._held.over:
            yield self._held.take_long(self._offset, 1)
        else:
            yield Row(self._held.take(), self._offset, 1)


class ParagraphSplitter:
    """Rows are stretches of lines between blank lines; a row is numbered by its first line."""

    _gap = re.compile(rb"^[ \t\r]*\n", re.MULTILINE)

    def __init__(self, offset: int, max_row: int) -> None:
        self._held = Held(max_row)
        self._offset = offset  # of the first byte held
        self._row = 1  # the line at which the held bytes begin
        self._lines = 0  # line feeds held
        self._tail = b""  # an unfinished line that may still turn out to be blank
        self._midline = False

    def feed(self, chunk: bytes) -> Iterator[Cut]:
        data = self._tail + chunk
        start = 0
        search = data.find(b"\n") + 1 if self._midline else 0
        if search or not self._midline:
            for gap in self._gap.finditer(data, search):
                self._hold(data[start : gap.start()])
                yield from self._give()
                start = gap.end()
                self._offset += len(gap.group())
                self._row += 1
        last = max(data.rfind(b"\n") + 1, start)
        self._midline = (self._midline and not last) or bool(data[last:].strip(BLANK)) or len(data) - last > PEEK
        last = len(data) if self._midline else last
        self._hold(data[start:last])
        self._tail = data[last:]

    def finish(self) -> Iterator[Cut]:
        yield from self._give()  # the tail is blank, or it would have been held

    def _hold(self, data: bytes) -> None:
        if data:
            self._held.add(data)
            self._lines += data.count(b"\n")

    def _give(self) -> Iterator[Cut]:
        length = self._held.length
        if self._held.over:
            yield self._held.take_long(self._offset, self._row)
        else:
            data = self._held.take()
            if data.strip(BLANK):
                yield Row(data.rstrip(b"\r\n"), self._offset, self._row)
        self._offset += length
        self._row += self._lines
        self._lines = 0


class ValueSplitter:
    """Rows are JSON values: the elements of one array, or objects one after the other.

    Strings, escapes and brackets are followed with whole-chunk arithmetic; the state between chunks is whether a string
    is open, whether the next byte is escaped, and how deep the brackets are.
    """

    def __init__(self, offset: int, max_row: int, array: bool) -> None:
        self._array = array
        self._held = Held(max_row)
        self._offset = offset
        self._row = 1
        self._depth = 0
        self._quoted = 0
        self._escaped = False
        self._lost = False  # behind the end of the array, or behind a bracket that closes nothing: one last row

    def feed(self, chunk: bytes) -> Iterator[Cut]:
        start = 0
        if not self._lost:
            ends, kept, lost = self._ends(chunk)
            for end in ends:
                self._held.add(chunk[start : end + kept])
                start = end + 1
                yield from self._give(1 - kept)
            self._lost = lost
        if start < len(chunk):
            self._held.add(chunk[start:])

    def finish(self) -> Iterator[Cut]:
        yield from self._give(0)

    def _give(self, separator: int) -> Iterator[Cut]:
        """The held bytes are one row; white space around it belongs to no row."""
        if self._held.over:
            long = self._held.take_long(self._offset, self._row)
            yield long
            self._row += 1
            self._offset += long.length + separator
            return
        data = self._held.take()
        row = data.strip(BLANK)
        if row:
            yield Row(row, self._offset + data.index(row), self._row)
            self._row += 1
        self._offset += len(data) + separator

    def _ends(self, chunk: bytes) -> tuple[list[int], int, bool]:
        """Where rows end in this chunk, whether the byte there belongs to the row (1) or not (0), whether all ended."""
        raw = np.frombuffer(chunk, np.uint8)
        quotes = self._quotes(raw)
        marks = np.flatnonzero(_MARKS[raw])
        inside = (np.searchsorted(quotes, marks) + self._quoted) & 1
        marks = marks[inside == 0]
        self._quoted = (self._quoted + len(quotes)) & 1
        steps = _STEPS[raw[marks]]
        depths = self._depth + np.cumsum(steps, dtype=np.int64)
        if self._array:
            opening = len(depths) > 0 and self._depth == 0
            over = np.flatnonzero((steps < 0) & (depths <= 0))
            is_end = (steps == 0) & (depths == 1)
            if opening:
                is_end[0] = True  # the bracket that opens the array separates nothing from the first row
        else:
            over = np.flatnonzero(depths < 0)
            is_end = (steps < 0) & (depths == 0)
        lost = len(over) > 0
        if lost:
            is_end[over[0] + 1 :] = False
            is_end[over[0]] = True
        self._depth = int(depths[-1]) if len(depths) else self._depth
        return marks[is_end].tolist(), 0 if self._array else 1, lost

    def _quotes(self, raw: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Where strings open and close: every quotation mark that no odd run of backslashes stands before."""
        quotes = np.flatnonzero(raw == 0x22)
        slashes = np.flatnonzero(raw == 0x5C)
        escaped_first = self._escaped
        self._escaped = False
        escaped: list[NDArray[np.int64]] = []
        if len(slashes):
            begins = np.flatnonzero(np.diff(slashes, prepend=-2) != 1)
            lengths = np.diff(begins, append=len(slashes))
            firsts = slashes[begins]
            odd = (lengths & 1) == 1
            if escaped_first and firsts[0] == 0:
                odd[0] = not odd[0]
                escaped_first = False
            after = (firsts + lengths)[odd]
            self._escaped = bool(len(after)) and int(after[-1]) == len(raw)
            escaped.append(after)
        if escaped_first:
            escaped.append(np.zeros(1, np.int64))
        if not escaped:
            return quotes
        return np.setdiff1d(quotes, np.concatenate(escaped), assume_unique=True)


_MARKS = np.zeros(256, np.bool_)
_MARKS[[ord(c) for c in "{}[],"]] = True
_STEPS = np.zeros(256, np.int8)
_STEPS[[ord(c) for c in "{["]] = 1
_STEPS[[ord(c) for c in "}]"]] = -1


def splitter_for(format: str, head: bytes, reading: Reading) -> tuple[Splitter, int]:
    """The splitter for a file that begins with `head`, and how many bytes to pass over first: a byte order mark."""
    start = len(BOM) if head.startswith(BOM) else 0
    kind = format.partition(".")[0]
    if kind == "txt":
        if reading.text_unit == "line":
            return LineSplitter(start, reading.max_row), start
        whole = reading.text_unit == "document"
        return WholeSplitter(start, reading.max_row) if whole else ParagraphSplitter(start, reading.max_row), start
    mode = json_mode(head[start:PEEK]) if kind == "json" else "lines"
    if mode == "lines":
        return LineSplitter(start, reading.max_row), start
    return ValueSplitter(start, reading.max_row, mode == "array"), start


def json_mode(head: bytes) -> Literal["array", "values", "lines"]:
    """How a `.json` file is laid out, from its first bytes."""
    start = head.lstrip(BLANK)
    if start.startswith(b"["):
        return "array"
    lines = [line for line in start.split(b"\n", 4)[:-1] if line.strip(BLANK)]
    return "lines" if any(line.startswith(b"{") and _is_object(line) for line in lines[:3]) else "values"


def _is_object(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        return False
    except RecursionError:
        return False
    return True
