"""Bags by loops that numba compiles on their first use: the numbers of the arrays, to the bit, several times as fast."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from recension.methods.audit import words as arrays
from recension.methods.audit.words import BUCKETS, LETTER, MARK, SIGN, SPACE, Hashes
from recension.methods.select.bags import BLOCK, Bags, Buckets, Ints, Limits

Floats = NDArray[np.float64]

_GOLDEN = 0x9E3779B97F4A7C15
_BASE = np.uint64(_GOLDEN | 1)
_STEP = np.uint64(0xD6E8FEB86659FD93)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SINGLE, _PAIR, _TEXT = (np.uint64(k * _GOLDEN & 0xFFFFFFFFFFFFFFFF) for k in (1, 2, 3))
_S27, _S30, _S31, _S21 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(21)
_BITS, _BUCKETS = np.uint64((1 << 21) - 1), np.uint64(BUCKETS)
_ZERO, _ONE = np.uint64(0), np.uint64(1)
LOOK = 255  # the table does not know: it takes more than one byte
_KINDS = np.where(np.arange(256) < 0x80, arrays.KINDS, np.uint8(LOOK)).astype(np.uint8)


def bags(raws: Sequence[bytes], limits: Limits) -> Bags:
    joined = b"\0".join(raws) + b"\0\0\0"
    data = np.frombuffer(joined, dtype=np.uint8)
    lengths = np.fromiter(map(len, raws), dtype=np.int64, count=len(raws))
    ends = np.cumsum(lengths + 1)
    most = len(data)  # no word is shorter than a byte
    singles, pairs = _room(most, 0, np.uint16), _room(most, 1, np.uint16)
    words, digests = np.empty(len(raws), np.int64), np.empty(len(raws), np.uint64)
    rare = (
        _room(most if limits.singles else 0, 2, np.uint64),
        _room(most if limits.pairs else 0, 3, np.uint64),
        (np.uint64(limits.singles), np.uint64(limits.pairs)),
    )
    counts = np.zeros(BUCKETS, np.int64)
    out = (singles, pairs, words, digests, counts)
    a, b, c, d = _bags(data, ends, (_KINDS, arrays.VALUES), out, rare)
    return Bags(singles[:a].copy(), pairs[:b].copy(), words, digests, rare[0][:c].copy(), rare[1][:d].copy(), counts)


_rooms: dict[int, Any] = {}


def _room(size: int, number: int, kind: Any) -> Any:
    """Work space that is used again and again: fresh memory costs more than the work in it."""
    found = _rooms.get(number)
    if found is None or len(found) < size:
        found = _rooms[number] = np.empty(max(size, 1 << 20), kind)
    return found


@lru_cache(maxsize=1)
def warm() -> Hashes:
    """Compile now, so that a clock does not see it."""
    return bags([b"a b"], Limits(1, 1)).digests


@numba.njit(cache=True, inline="always")
def _stirred(value, seed):
    value = value + seed
    value ^= value >> _S30
    value *= _FIRST
    value ^= value >> _S27
    value *= _SECOND
    return value ^ (value >> _S31)


@numba.njit(cache=True, inline="always")
def _bucket(value):
    return np.uint16(((value & _BITS) * _BUCKETS) >> _S21)


@numba.njit(cache=True)
def _kind(data, place):
    """What a character beyond ASCII belongs to: `arrays.kinds_of`, a character at a time."""
    first, second, third = data[place], data[place + 1], data[place + 2]
    if first == 0xC2:
        return SPACE if second == 0xA0 else MARK
    if first == 0xE2 and second == 0x80:
        return SPACE if third <= 0x8B or third in (0xA8, 0xA9, 0xAF) else MARK
    if 0xE3 <= first <= 0xE9:
        if first == 0xE3 and second == 0x80:
            return SPACE if third == 0x80 else MARK
        return SIGN
    return LETTER


@numba.njit(cache=True)
def _sums(buckets, sizes, ratio, found):
    place = 0
    for number in range(len(sizes)):
        total, end = 0.0, place + sizes[number]
        while place < end:
            part = 0.0
            for at in range(place, min(place + BLOCK, end)):
                part += ratio[buckets[at]]
            total += part
            place = min(place + BLOCK, end)
        found[number] = total


def sums(buckets: Buckets, sizes: Ints, ratio: Floats) -> Floats:
    """Of each text the sum over its n-grams."""
    found = np.zeros(len(sizes))
    _sums(buckets, sizes, ratio, found)
    return found


@numba.njit(cache=True)
def _bags(data, ends, tables, out, rare):
    kinds, values = tables
    singles, pairs, words, digests, counts = out
    rare_singles, rare_pairs, (single_bound, pair_bound) = rare
    at_single = at_pair = at_rare = at_rare_pair = start = 0
    for number in range(len(ends)):
        end = ends[number]
        first, before, digest, power = at_single, _ZERO, _ZERO, _ONE
        place = start
        while place < end:
            byte = data[place]
            kind = kinds[byte]
            if kind == LOOK:
                kind = _kind(data, place)
            if kind == SPACE:
                place += 1
                while data[place] & 0xC0 == 0x80:
                    place += 1
                continue
            total, factor = _ZERO, _ONE
            while True:
                total += values[byte] * factor
                factor *= _BASE
                place += 1
                byte = data[place]
                if byte < 0x80:
                    if kinds[byte] != kind:
                        break
                elif byte >= 0xC0 and (kind == SIGN or _kind(data, place) != kind):
                    break
            word = _stirred(total, _ZERO)
            digest += word * power
            power *= _STEP
            single = _stirred(word, _SINGLE)
            if single < single_bound:
                rare_singles[at_rare] = single
                at_rare += 1
            if at_single > first:
                pair = _stirred(before * _STEP + word, _PAIR)
                if pair < pair_bound:
                    rare_pairs[at_rare_pair] = pair
                    at_rare_pair += 1
                pairs[at_pair] = _bucket(pair)
                counts[pairs[at_pair]] += 1
                at_pair += 1
            singles[at_single] = _bucket(single)
            counts[singles[at_single]] += 1
            at_single += 1
            before = word
        words[number] = at_single - first
        digests[number] = _stirred(digest, _TEXT)
        start = end
    return at_single, at_pair, at_rare, at_rare_pair
