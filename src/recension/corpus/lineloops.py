"""Plain rows of JSON lines to texts, ids and the string of one more column, by loops that numba compiles.

Only what is beyond doubt goes this way: UTF-8, one JSON object to a line with no key twice, escapes that mean one character.
Any other line is left to the reader of whole records, which decides whether it is a row at all, and why not.
"""

from __future__ import annotations

import numba
import numpy as np

STOPPED, FULL, ENDED = 0, 1, 2  # why the loop came back: a line that is not plain, enough rows, no more
KEYS = 64  # a row of more is not plain
STRETCH = 32  # bytes of a string that are looked at together
DEPTH, DIGITS = 60, 18  # more brackets or digits are somebody else's

_QUOTE, _SLASH, _FEED, _SPACE = 0x22, 0x5C, 0x0A, 0x20
_RUNS = np.array([byte >= 0x20 and byte < 0x80 and byte not in (_QUOTE, _SLASH) for byte in range(256)])
_MEANT = np.zeros(256, np.uint8)  # what the letter behind a backslash stands for
for _letter, _means in zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True):
    _MEANT[_letter] = _means
_NIBBLES = np.full(256, 255, np.uint8)
for _digit in b"0123456789abcdefABCDEF":
    _NIBBLES[_digit] = int(chr(_digit), 16)


@numba.njit(cache=True, inline="always")
def _blank(byte):
    return byte == _SPACE or byte == 0x09 or byte == 0x0D


@numba.njit(cache=True)
def _width(data, at):
    """How many bytes the character takes that begins here, if it is UTF-8 and beyond ASCII; else 0."""
    first, second = data[at], data[at + 1]
    if first < 0xC2 or first > 0xF4 or second & 0xC0 != 0x80:
        return 0
    if first < 0xE0:
        return 2
    if data[at + 2] & 0xC0 != 0x80:
        return 0
    if first < 0xF0:
        return 0 if (first == 0xE0 and second < 0xA0) or (first == 0xED and second >= 0xA0) else 3
    if data[at + 3] & 0xC0 != 0x80 or (first == 0xF0 and second < 0x90) or (first == 0xF4 and second >= 0x90):
        return 0
    return 4


@numba.njit(cache=True)
def _unit(data, at):
    """The sixteen bits that four digits spell; -1 if they do not."""
    value = 0
    for place in range(at, at + 4):
        nibble = _NIBBLES[data[place]]
        if nibble == 255:
            return -1
        value = value * 16 + nibble
    return value


@numba.njit(cache=True)
def _escaped(data, at):
    """The character that `\\u` at this place spells, and the place behind it; -1 if it is half of a pair, or NUL."""
    value = _unit(data, at + 2)
    at += 6
    if 0xD800 <= value < 0xDC00 and data[at] == _SLASH and data[at + 1] == 0x75:
        low = _unit(data, at + 2)
        if 0xDC00 <= low < 0xE000:
            return 0x10000 + ((value - 0xD800) << 10) + low - 0xDC00, at + 6
        return -1, at
    if value <= 0 or 0xD800 <= value < 0xE000:
        return -1, at
    return value, at


@numba.njit(cache=True)
def _spell(value, out, to):
    """A character as UTF-8; the place behind it."""
    if value < 0x80:
        out[to] = value
        return to + 1
    if value < 0x800:
        out[to] = 0xC0 | value >> 6
        out[to + 1] = 0x80 | value & 0x3F
        return to + 2
    if value < 0x10000:
        out[to] = 0xE0 | value >> 12
        out[to + 1] = 0x80 | value >> 6 & 0x3F
        out[to + 2] = 0x80 | value & 0x3F
        return to + 3
    out[to] = 0xF0 | value >> 18
    out[to + 1] = 0x80 | value >> 12 & 0x3F
    out[to + 2] = 0x80 | value >> 6 & 0x3F
    out[to + 3] = 0x80 | value & 0x3F
    return to + 4


@numba.njit(cache=True)
def _run(data, at, out, to):
    """Copy what stands before the next byte that is looked at by itself. A stretch is _string whole and what is too much of it
    written over, so that there is nothing to guess but where it ends."""
    while at + STRETCH <= len(data) and to + STRETCH <= len(out):
        part, room = data[at : at + STRETCH], out[to : to + STRETCH]
        odd = False
        for place in range(STRETCH):
            byte = part[place]
            odd |= (byte < 0x20) | (byte == _QUOTE) | (byte == _SLASH) | (byte >= 0x80)
            room[place] = byte
        if odd:
            break
        at += STRETCH
        to += STRETCH
    while _RUNS[data[at]]:
        out[to] = data[at]
        at += 1
        to += 1
    return at, to


@numba.njit(cache=True)
def _string(data, at, out, to):
    """Copy the string that begins behind this quotation mark: the place behind its end, and how far `out` is filled. -1 if it
    is not plain. A line feed ends every line, so nothing reads on beyond it."""
    while True:
        at, to = _run(data, at, out, to)
        byte = data[at]
        if byte == _QUOTE:
            return at + 1, to
        if byte == _SLASH:
            letter = data[at + 1]
            if letter == 0x75:
                value, at = _escaped(data, at)
                if value < 0:
                    return -1, to
                to = _spell(value, out, to)
                continue
            if _MEANT[letter] == 0:
                return -1, to
            out[to] = _MEANT[letter]
            to += 1
            at += 2
            continue
        width = _width(data, at) if byte >= 0x80 else 0
        if width == 0:
            return -1, to
        for place in range(width):
            out[to + place] = data[at + place]
        to += width
        at += width


@numba.njit(cache=True)
def _word(data, at, word):
    for place in range(len(word)):
        if data[at + place] != word[place]:
            return -1
    return at + len(word)


@numba.njit(cache=True)
def _digits(data, at):
    start = at
    while 0x30 <= data[at] <= 0x39:
        at += 1
    return at if 0 < at - start <= DIGITS else -1


@numba.njit(cache=True)
def _scalar(data, at):
    """The place behind a number without an exponent, a truth value or null; -1 if it is none."""
    byte = data[at]
    if byte == 0x74:
        return _word(data, at, b"true")
    if byte == 0x66:
        return _word(data, at, b"false")
    if byte == 0x6E:
        return _word(data, at, b"null")
    if byte == 0x2D:
        at += 1
    start = at
    at = _digits(data, at)
    if at < 0 or (data[start] == 0x30 and at > start + 1):
        return -1
    if data[at] == 0x2E:
        at = _digits(data, at + 1)
    return at


@numba.njit(cache=True)
def _value(data, at, spare):
    """The place behind a value of any kind; -1 if it is not plain. `spare` is room for its strings, and where it begins."""
    depth, objects = 0, np.uint64(0)  # one bit for each open bracket: whether it is an object
    while True:
        while _blank(data[at]):
            at += 1
        byte = data[at]
        opened = byte == 0x7B or byte == 0x5B
        if opened:
            if depth == DEPTH:
                return -1
            depth += 1
            objects = objects << np.uint64(1) | np.uint64(byte == 0x7B)
            at += 1
            while _blank(data[at]):
                at += 1
            closing = 0x7D if byte == 0x7B else 0x5D
            if data[at] != closing:
                if byte == 0x7B:
                    at = _key(data, at, spare)
                    if at < 0:
                        return -1
                continue
        else:
            at = _string(data, at + 1, spare[0], spare[1])[0] if byte == _QUOTE else _scalar(data, at)
            if at < 0:
                return -1
        # A value has ended, or an empty bracket is about to: go on to what comes next.
        while True:
            if depth == 0:
                return at
            while _blank(data[at]):
                at += 1
            inside = objects & np.uint64(1)
            if data[at] == (0x7D if inside else 0x5D):
                at += 1
                depth -= 1
                objects >>= np.uint64(1)
                continue
            if data[at] != 0x2C:
                return -1
            at += 1
            if inside:
                while _blank(data[at]):
                    at += 1
                at = _key(data, at, spare)
                if at < 0:
                    return -1
            break


@numba.njit(cache=True)
def _key(data, at, spare):
    """The place behind a key and its colon; -1 if there is none."""
    if data[at] != _QUOTE:
        return -1
    at = _string(data, at + 1, spare[0], spare[1])[0]
    if at < 0:
        return -1
    while _blank(data[at]):
        at += 1
    return at + 1 if data[at] == 0x3A else -1


@numba.njit(cache=True)
def _copy(data, start, end, out, to):
    for place in range(end - start):
        out[to + place] = data[start + place]
    return to + end - start


@numba.njit(cache=True)
def _is(data, start, end, name):
    if end - start != len(name):
        return False
    for place in range(len(name)):
        if data[start + place] != name[place]:
            return False
    return True


@numba.njit(cache=True)
def _line(data, at, names, work, fill, out):
    """One object: the place behind it, or -1. `found` gets where text, id and value end in their rooms, and whether there were
    id and value. Where `origin` is named, the value is an object of all other columns, and a row that we wrote is not plain."""
    text_key, id_key, column, metadata, origin = names
    spans, found = work
    texts, ids, values = out
    to_text, to_id, to_value = fill
    count, has_text, has_id, has_value, has_metadata = 0, False, False, False, False
    at += 1
    while True:
        while _blank(data[at]):
            at += 1
        if data[at] != _QUOTE:
            return -1
        start = at + 1
        at = start
        while _RUNS[data[at]]:
            at += 1
        end = at
        if data[at] != _QUOTE or count == KEYS:
            return -1
        for place in range(count):
            if spans[place, 1] - spans[place, 0] == end - start:
                same = True
                for byte in range(end - start):
                    if data[spans[place, 0] + byte] != data[start + byte]:
                        same = False
                        break
                if same:
                    return -1
        spans[count, 0], spans[count, 1] = start, end
        count += 1
        at += 1
        while _blank(data[at]):
            at += 1
        if data[at] != 0x3A:
            return -1
        at += 1
        while _blank(data[at]):
            at += 1
        quoted = data[at] == _QUOTE
        if _is(data, start, end, text_key):
            if not quoted:
                return -1
            at, to_text = _string(data, at + 1, texts, to_text)
            has_text = True
        elif _is(data, start, end, id_key):
            if not quoted:
                return -1
            at, to_id = _string(data, at + 1, ids, to_id)
            has_id = True
        elif len(column) and _is(data, start, end, column):
            if not quoted:
                return -1
            at, to_value = _string(data, at + 1, values, to_value)
            has_value = True
        else:
            ours = _is(data, start, end, metadata)
            has_metadata |= ours
            begin = at
            at = _value(data, at, (texts, to_text))
            if len(origin):
                if at < 0 or ours or _is(data, start, end, origin):
                    return -1
                values[to_value] = 0x2C if has_value else 0x7B
                to_value = _copy(data, start - 1, end + 1, values, to_value + 1)
                values[to_value] = 0x3A
                to_value = _copy(data, begin, at, values, to_value + 1)
                has_value = True
        if at < 0:
            return -1
        while _blank(data[at]):
            at += 1
        if data[at] == 0x7D:
            at += 1
            break
        if data[at] != 0x2C:
            return -1
        at += 1
    while _blank(data[at]):
        at += 1
    if data[at] != _FEED or not has_text or to_text == fill[0]:
        return -1
    if len(origin):
        if not has_value:
            values[to_value] = 0x7B
            to_value += 1
        values[to_value] = 0x7D
        to_value += 1
    if len(column) and not has_value and has_metadata:
        return -1  # a row that we wrote: the column may stand in there
    found[0], found[1], found[2] = to_text, to_id, to_value
    found[3], found[4] = has_id and to_id > fill[1], has_value
    return at


@numba.njit(cache=True)
def scan(data, start, names, bounds, out, tables):
    """Rows from a place on, until a line is not plain, or there are enough. `start` is (place, line, and how many rows and
    bytes of texts, ids and values there are); the answer is why it ended, and the same again. The data end with a line feed,
    and each room has at least as many bytes left."""
    at, line, count, to_text, to_id, to_value = start
    most_rows, most_bytes, longest = bounds
    ends, numbers, flags = (
        tables  # where text, id and value end; line, offset and length; whether id and value were there
    )
    spans = np.empty((KEYS, 2), np.int64)
    found = np.zeros(5, np.int64)
    while at < len(data):
        if count >= most_rows or to_text >= most_bytes:
            return FULL, at, line, count, to_text, to_id, to_value
        begin = at
        while _blank(data[at]):
            at += 1
        if data[at] == _FEED:
            at += 1
            line += 1
            continue
        end = -1
        if data[at] == 0x7B:
            end = _line(data, at, names, (spans, found), (to_text, to_id, to_value), out)
        if end < 0 or end - begin > longest:
            return STOPPED, begin, line, count, to_text, to_id, to_value
        to_text, to_id, to_value = found[0], found[1], found[2]
        ends[0, count], ends[1, count], ends[2, count] = to_text, to_id, to_value
        numbers[0, count], numbers[1, count], numbers[2, count] = line, begin, end - begin
        flags[0, count], flags[1, count] = found[3], found[4]
        count += 1
        at = end + 1
        line += 1
    return ENDED, at, line, count, to_text, to_id, to_value


@numba.njit(cache=True)
def pick(data, starts, names, longest, out, ends):
    """Texts, ids and other columns of the rows that begin at these places, until one is not plain: how many."""
    spans = np.empty((KEYS, 2), np.int64)
    found = np.zeros(5, np.int64)
    for row in range(len(starts)):
        at = starts[row]
        while _blank(data[at]):
            at += 1
        end = _line(data, at, names, (spans, found), (found[0], found[1], found[2]), out) if data[at] == 0x7B else -1
        if end < 0 or end - starts[row] > longest:
            return row
        ends[0, row], ends[1, row], ends[2, row] = found[0], found[1], found[2]
    return len(starts)
