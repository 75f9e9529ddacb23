"""JSON taken apart where it is beyond doubt, by loops that numba compiles: places in, places out, -1 for what is not plain.

A line feed ends every line of the data, so nothing reads on beyond it.
"""

from __future__ import annotations

import numba
import numpy as np

from recension.corpus.utf8loops import size_of, spell

STRETCH = 32  # bytes of a string that are looked at together
DEPTH, DIGITS = 60, 18  # more brackets or digits are somebody else's

QUOTE, _SLASH, FEED, _SPACE = 0x22, 0x5C, 0x0A, 0x20
RUNS = np.array([byte >= 0x20 and byte < 0x80 and byte not in (QUOTE, _SLASH) for byte in range(256)])
_MEANT = np.zeros(256, np.uint8)  # what the letter behind a backslash stands for
for _letter, _means in zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True):
    _MEANT[_letter] = _means
_NIBBLES = np.full(256, 255, np.uint8)
for _digit in b"0123456789abcdefABCDEF":
    _NIBBLES[_digit] = int(chr(_digit), 16)


@numba.njit(cache=True, inline="always")
def blank(byte):
    return byte == _SPACE or byte == 0x09 or byte == 0x0D


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
def _run(data, at, out, to):
    """Copy what stands before the next byte that is looked at by itself. A stretch is string whole and what is too much of it
    written over, so that there is nothing to guess but where it ends."""
    while at + STRETCH <= len(data) and to + STRETCH <= len(out):
        part, room = data[at : at + STRETCH], out[to : to + STRETCH]
        odd = False
        for place in range(STRETCH):
            byte = part[place]
            odd |= (byte < 0x20) | (byte == QUOTE) | (byte == _SLASH) | (byte >= 0x80)
            room[place] = byte
        if odd:
            break
        at += STRETCH
        to += STRETCH
    while RUNS[data[at]]:
        out[to] = data[at]
        at += 1
        to += 1
    return at, to


@numba.njit(cache=True)
def string(data, at, out, to):
    """Copy the string that begins behind this quotation mark: the place behind its end, and how far `out` is filled. -1 if it
    is not plain."""
    while True:
        at, to = _run(data, at, out, to)
        byte = data[at]
        if byte == QUOTE:
            return at + 1, to
        if byte == _SLASH:
            letter = data[at + 1]
            if letter == 0x75:
                value, at = _escaped(data, at)
                if value < 0:
                    return -1, to
                to = spell(value, out, to)
                continue
            if _MEANT[letter] == 0:
                return -1, to
            out[to] = _MEANT[letter]
            to += 1
            at += 2
            continue
        width = size_of(data, at) if byte >= 0x80 else 0
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
def passed(data, at, spare):
    """The place behind a value of any kind; -1 if it is not plain. `spare` is room for its strings, and where it begins."""
    depth, objects = 0, np.uint64(0)  # one bit for each open bracket: whether it is an object
    while True:
        while blank(data[at]):
            at += 1
        byte = data[at]
        opened = byte == 0x7B or byte == 0x5B
        if opened:
            if depth == DEPTH:
                return -1
            depth += 1
            objects = objects << np.uint64(1) | np.uint64(byte == 0x7B)
            at += 1
            while blank(data[at]):
                at += 1
            closing = 0x7D if byte == 0x7B else 0x5D
            if data[at] != closing:
                if byte == 0x7B:
                    at = _key(data, at, spare)
                    if at < 0:
                        return -1
                continue
        else:
            at = string(data, at + 1, spare[0], spare[1])[0] if byte == QUOTE else _scalar(data, at)
            if at < 0:
                return -1
        # A value has ended, or an empty bracket is about to: go on to what comes next.
        while True:
            if depth == 0:
                return at
            while blank(data[at]):
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
                while blank(data[at]):
                    at += 1
                at = _key(data, at, spare)
                if at < 0:
                    return -1
            break


@numba.njit(cache=True)
def _key(data, at, spare):
    """The place behind a key and its colon; -1 if there is none."""
    if data[at] != QUOTE:
        return -1
    at = string(data, at + 1, spare[0], spare[1])[0]
    if at < 0:
        return -1
    while blank(data[at]):
        at += 1
    return at + 1 if data[at] == 0x3A else -1
