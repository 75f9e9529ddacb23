"""Texts in small letters, and the kinds of their characters, by loops that numba compiles."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from recension.corpus.utf8loops import code_point, spell
from recension.methods.select.letters import ODD, TABLED, kinds, small_letters

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

AS_IT_IS, TO_LOWER, ODD_TEXT = 0, 1, 2


def small(data: Bytes, ends: Ints) -> tuple[Bytes, Ints]:
    """Texts in UTF-8, one after the other, with small letters for capitals beyond ASCII: those of ASCII may stay."""
    if not beyond_ascii(data):
        return data, ends
    needs = np.zeros(len(ends), np.uint8)
    if not _survey(data, ends, small_letters(), needs):
        return data, ends
    if (odd := np.flatnonzero(needs == ODD_TEXT)).size:
        data, ends = _by_python(data, ends, odd.tolist())
        needs[odd] = AS_IT_IS
    out, stops = np.empty(2 * len(data), np.uint8), np.empty(len(ends), np.int64)
    size = _lower(data, ends, (small_letters(), needs), out, stops)
    return out[:size], stops


def kinds_in(data: Bytes) -> Bytes:
    """What Python's `re` takes the character for that each byte belongs to."""
    found = kinds()[data]  # right for ASCII
    if beyond_ascii(data):
        _spread(data, kinds(), found)
    return found


def _by_python(data: Bytes, ends: Ints, odd: list[int]) -> tuple[Bytes, Ints]:
    parts, before, sizes = [], 0, np.diff(ends, prepend=0)
    for number in odd:
        start = int(ends[number] - sizes[number])
        raw = data[start : int(ends[number])].tobytes().decode("utf-8", "replace").lower().encode("utf-8", "replace")
        parts += [data[before:start].tobytes(), raw]
        before, sizes[number] = int(ends[number]), len(raw)
    # An array that could be written to, as others are: loops are compiled anew for one that could not.
    return np.frombuffer(bytearray().join([*parts, data[before:].tobytes()]), np.uint8), np.cumsum(sizes)


@numba.njit(cache=True)
def beyond_ascii(data):
    found = np.uint8(0)
    for byte in data:
        found = np.uint8(found | byte)
    return found >= 0x80


@numba.njit(cache=True)
def _spread(data, table, found):
    at = 0
    while at < len(data):
        if data[at] < 0x80:
            at += 1
            continue
        point, width = code_point(data, at)
        for byte in range(at, at + width):
            found[byte] = table[point]
        at += width


@numba.njit(cache=True)
def _survey(data, ends, table, needs):
    """What has to be done to each text; whether to any."""
    at, some = 0, False
    for number in range(len(ends)):
        end = ends[number]
        if not beyond_ascii(data[at:end]):
            at = end
            continue
        need = AS_IT_IS
        while at < end:
            if data[at] < 0x80:
                at += 1
                continue
            point, width = code_point(data, at)
            if point < TABLED and table[point] != point:
                if table[point] == ODD:
                    need = ODD_TEXT
                    break
                need = TO_LOWER
            at += width
        at = end
        needs[number] = need
        some |= need != AS_IT_IS
    return some


@numba.njit(cache=True)
def _lower(data, ends, how, out, stops):
    table, needs = how
    at, to = 0, 0
    for number in range(len(ends)):
        end = ends[number]
        if needs[number] == AS_IT_IS:
            out[to : to + end - at] = data[at:end]
            to += end - at
            at = end
        while at < end:
            if data[at] < 0x80:
                out[to] = data[at]
                at += 1
                to += 1
                continue
            point, width = code_point(data, at)
            if point >= TABLED or table[point] == point:
                for byte in range(width):
                    out[to + byte] = data[at + byte]
                to += width
            else:
                to = spell(table[point], out, to)
            at += width
        stops[number] = to
    return to
