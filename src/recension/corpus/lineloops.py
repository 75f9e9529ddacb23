"""Plain rows of JSON lines to texts, ids and the string of one more column, by loops that numba compiles.

Only what is beyond doubt goes this way: UTF-8, one JSON object to a line with no key twice, escapes that mean one character.
Any other line is left to the reader of whole records, which decides whether it is a row at all, and why not.
"""

from __future__ import annotations

import numba
import numpy as np

from recension.corpus.jsonloops import FEED, QUOTE, RUNS, blank, passed, string

STOPPED, FULL, ENDED = 0, 1, 2  # why the loop came back: a line that is not plain, enough rows, no more
KEYS = 64  # a row of more is not plain


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
        while blank(data[at]):
            at += 1
        if data[at] != QUOTE:
            return -1
        start = at + 1
        at = start
        while RUNS[data[at]]:
            at += 1
        end = at
        if data[at] != QUOTE or count == KEYS:
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
        while blank(data[at]):
            at += 1
        if data[at] != 0x3A:
            return -1
        at += 1
        while blank(data[at]):
            at += 1
        quoted = data[at] == QUOTE
        if _is(data, start, end, text_key):
            if not quoted:
                return -1
            at, to_text = string(data, at + 1, texts, to_text)
            has_text = True
        elif _is(data, start, end, id_key):
            if not quoted:
                return -1
            at, to_id = string(data, at + 1, ids, to_id)
            has_id = True
        elif len(column) and _is(data, start, end, column):
            if not quoted:
                return -1
            at, to_value = string(data, at + 1, values, to_value)
            has_value = True
        else:
            ours = _is(data, start, end, metadata)
            has_metadata |= ours
            begin = at
            at = passed(data, at, (texts, to_text))
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
        while blank(data[at]):
            at += 1
        if data[at] == 0x7D:
            at += 1
            break
        if data[at] != 0x2C:
            return -1
        at += 1
    while blank(data[at]):
        at += 1
    if data[at] != FEED or not has_text or to_text == fill[0]:
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
    # Where text, id and value end; line, offset and length; whether id and value were there.
    ends, numbers, flags = tables
    spans = np.empty((KEYS, 2), np.int64)
    found = np.zeros(5, np.int64)
    while at < len(data):
        if count >= most_rows or to_text >= most_bytes:
            return FULL, at, line, count, to_text, to_id, to_value
        begin = at
        while blank(data[at]):
            at += 1
        if data[at] == FEED:
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
        while blank(data[at]):
            at += 1
        end = _line(data, at, names, (spans, found), (found[0], found[1], found[2]), out) if data[at] == 0x7B else -1
        if end < 0 or end - starts[row] > longest:
            return row
        ends[0, row], ends[1, row], ends[2, row] = found[0], found[1], found[2]
    return len(starts)
