"""Characters as UTF-8, for the loops that numba compiles."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def size_of(data, at):
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
def spell(value, out, to):
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


@numba.njit(cache=True, inline="always")
def code_point(data, at):
    """The character that begins here, of more than one byte, and how many bytes it takes."""
    first = np.int64(data[at])
    if first < 0xE0:
        return (first & 0x1F) << 6 | np.int64(data[at + 1] & 0x3F), 2
    if first < 0xF0:
        return (first & 0x0F) << 12 | np.int64(data[at + 1] & 0x3F) << 6 | np.int64(data[at + 2] & 0x3F), 3
    high = (first & 0x07) << 18 | np.int64(data[at + 1] & 0x3F) << 12
    return high | np.int64(data[at + 2] & 0x3F) << 6 | np.int64(data[at + 3] & 0x3F), 4
