"""Bags by loops that numba compiles on their first use: the numbers of the arrays, to the bit, several times as fast."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from recension.methods.audit import words as arrays
from recension.methods.audit.words import BUCKETS, LETTER, MARK, SIGN, SPACE, Hashes
from recension.methods.select.bags import BLOCK, Bags, Buckets, Ints, Limits, Rare
from recension.methods.select.small_loops import small

__all__ = ["bags", "counted_in", "hashed_names", "small", "sums", "warm"]

Floats = NDArray[np.float64]

_GOLDEN = 0x9E3779B97F4A7C15
_BASE = np.uint64(_GOLDEN | 1)
_STEP = np.uint64(0xD6E8FEB86659FD93)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SINGLE, _PAIR, _TEXT, _BYTE, _NAME = (np.uint64(k * _GOLDEN & 0xFFFFFFFFFFFFFFFF) for k in (1, 2, 3, 4, 5))
_S27, _S30, _S31, _S21 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(21)
_BITS, _BUCKETS = np.uint64((1 << 21) - 1), np.uint64(BUCKETS)
_ZERO, _ONE = np.uint64(0), np.uint64(1)
LOOK = 255  # the table does not know: it takes more than one byte
WINDOW = 1 << 13  # bytes of a text that are looked at together


def _powers(factor: int) -> Hashes:
    factors = np.full(WINDOW + 1, np.uint64(factor))
    factors[0] = 1
    return np.multiply.accumulate(factors)


_POWERS, _INVERSES, _STEPS = (_powers(one) for one in (_GOLDEN | 1, pow(_GOLDEN | 1, -1, 1 << 64), int(_STEP)))
_KINDS = np.where(np.arange(256) < 0x80, arrays.KINDS, np.uint8(LOOK)).astype(np.uint8)


def bags(data: NDArray[np.uint8], ends: Ints, limits: Limits) -> Bags:
    """Of texts in UTF-8 and small letters, one after the other."""
    data = data if data.flags.writeable else data.copy()  # loops are compiled anew for one that could not be written to
    most = len(data)  # no word is shorter than a byte
    singles, pairs = _room(most, 0, np.uint16), _room(most, 1, np.uint16)
    words, digests = np.empty(len(ends), np.int64), np.empty(len(ends), np.uint64)
    rooms = [most if limit else 0 for limit in limits]
    hashes = _room(rooms[0], 2, np.uint64), _room(rooms[1], 3, np.uint64)
    owners = _room(rooms[0], 4, np.uint32), _room(rooms[1], 5, np.uint32)
    rare = hashes, owners, (np.uint64(limits.singles), np.uint64(limits.pairs))
    counts = np.zeros(BUCKETS, np.int64)
    out = (singles, pairs, words, digests, counts)
    a, b, c, d = _bags(data, ends, (_KINDS, arrays.VALUES, _POWERS, _INVERSES, _STEPS), out, rare)
    found = Rare(hashes[0][:c].copy(), owners[0][:c].copy()), Rare(hashes[1][:d].copy(), owners[1][:d].copy())
    return Bags(singles[:a], pairs[:b], words, digests, found, counts)


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
    return bags(np.frombuffer(bytearray(b"a b"), np.uint8), np.array([3]), Limits(1, 1)).digests


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
    last = len(data) - 1  # a text that is no UTF-8 may end within a character
    first, second, third = data[place], data[min(place + 1, last)], data[min(place + 2, last)]
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
def counted_in(values, sizes, chosen, found):
    """`bags.counted_in`."""
    place = 0
    for number in range(len(sizes)):
        end = place + sizes[number]
        if chosen[number]:
            for at in range(place, end):
                found[values[at]] += 1
        place = end


@numba.njit(cache=True)
def _hashed_names(data, ends, found):
    place = 0
    for number in range(len(ends)):
        total, power, first = _ZERO, _ONE, place
        while place < ends[number]:
            total += _stirred(np.uint64(data[place]) + _ONE, _BYTE) * power
            power *= _STEP
            place += 1
        found[number] = _stirred(total, _NAME) if place > first else _ZERO


def hashed_names(data: NDArray[np.uint8], ends: Ints) -> Hashes:
    """`bags.hashed_names`."""
    found = np.empty(len(ends), np.uint64)
    _hashed_names(data, ends, found)
    return found


@numba.njit(cache=True)
def _beyond(data, begin, size, found):
    """What each byte beyond ASCII belongs to, where the others are known. Signs take turns between two numbers, so that each of
    them is a word of its own."""
    found[0], turn = SPACE, np.uint8(0)
    for block in range(0, size, BLOCK):
        stop, seen = min(block + BLOCK, size), np.uint8(0)
        for at in range(block, stop):
            seen |= data[begin + at]
        if seen < 0x80:
            continue
        for at in range(block, stop):
            byte = data[begin + at]
            if byte >= 0xC0:
                kind = np.uint8(_kind(data, begin + at))
                if kind == SIGN:
                    kind = np.uint8(SIGN + turn)
                    turn ^= np.uint8(1)
                found[at + 1] = kind
            elif byte >= 0x80:
                found[at + 1] = found[at]


@numba.njit(cache=True)
def _borders(found, size, flags, places, starts):
    """Where words start and stop. No step of it depends on what the text says, so the processor has nothing to guess."""
    found[0] = SPACE
    found[size + 1] = SPACE
    for place in range(size + 1):
        flags[place] = np.uint8(found[place + 1] != found[place])
    runs = _ZERO  # without a sign, for numba counts from the end of an array where a place is below 0
    for place in range(size + 1):
        places[runs] = place
        runs += np.uint64(flags[place])
    places[runs] = size
    begins, stops = starts[0], starts[1]
    words = _ZERO
    for run in range(np.int64(runs)):
        begins[words], stops[words] = places[run], places[run + 1]
        words += np.uint64(found[places[run] + np.uint32(1)] != SPACE)
    return np.int64(words)


@numba.njit(cache=True)
def _one_word(data, place, end, tables):
    """The sum of the word that begins here, however long it is, and the place behind it."""
    kinds, values = tables
    byte = data[place]
    kind = kinds[byte] if kinds[byte] != LOOK else _kind(data, place)
    total, factor = _ZERO, _ONE
    while True:
        total += values[byte] * factor
        factor *= _BASE
        place += 1
        if place == end:
            break
        byte = data[place]
        if byte < 0x80:
            if kinds[byte] != kind:
                break
        elif byte >= 0xC0 and _kind(data, place) != kind:
            break
    return total, place


@numba.njit(cache=True)
def _window(data, place, end, tables, work):
    """The hashes of the next words of a text, from `work[3][1]` on: how many, and the place behind them."""
    kinds, values, powers, inverses, _ = tables
    found, flags, places, hashes, starts, sums = work
    stop = min(place + WINDOW, end)
    part, size = data[place:stop], stop - place
    total, seen = _ZERO, np.uint8(0)
    for at in range(size):
        seen = np.uint8(seen | part[at])
    for at in range(size):
        sums[at] = total
        total += values[part[at]] * powers[at]
    sums[size] = total
    for at in range(size):  # the table of ASCII as sums, which are done many at a time
        byte = part[at]
        letter = np.uint8((byte | np.uint8(32)) - np.uint8(97)) < np.uint8(26)
        letter |= (np.uint8(byte - np.uint8(48)) < np.uint8(10)) | (byte == np.uint8(95))
        space = (byte <= np.uint8(32)) | (byte == np.uint8(127))
        found[at + 1] = np.uint8(SPACE) if space else np.uint8(LETTER) if letter else np.uint8(MARK)
    if seen >= 0x80:
        _beyond(data, place, size, found)
    words = _borders(found, size, flags, places, starts)
    if stop < end and words and starts[1, words - 1] == size:  # it may go on behind the window
        words -= 1
        stop = place + starts[0, words]
        if stop == place:
            total, stop = _one_word(data, place, end, (kinds, values))
            hashes[1] = _stirred(total, _ZERO)
            return 1, stop
    begins, stops = starts[0], starts[1]
    for word in range(words):
        start = begins[word]
        hashes[word + 1] = _stirred((sums[stops[word]] - sums[start]) * inverses[start], _ZERO)
    return words, stop


@numba.njit(cache=True)
def _bags(data, ends, tables, out, rare):
    singles, pairs, words, digests, counts = out
    steps = tables[4]
    (rare_singles, rare_pairs), (single_owners, pair_owners), (single_bound, pair_bound) = rare
    hashes, sums = np.empty(WINDOW + 2, np.uint64), np.empty(WINDOW + 2, np.uint64)
    places, starts = np.empty(WINDOW + 3, np.uint32), np.empty((2, WINDOW + 3), np.uint32)
    work = np.empty(WINDOW + 3, np.uint8), np.empty(WINDOW + 3, np.uint8), places, hashes, starts, sums
    at_single = at_pair = at_rare = at_rare_pair = start = 0
    for number in range(len(ends)):
        end = ends[number]
        first, before, digest, power = at_single, _ZERO, _ZERO, _ONE
        place = start
        while place < end:
            more, place = _window(data, place, end, tables, work)
            hashes[0] = before
            part = _ZERO
            for word in range(more):
                part += hashes[word + 1] * steps[word]
            digest += part * power
            power *= steps[more]
            some = singles[at_single : at_single + more]
            for word in range(more):
                sums[word] = _stirred(hashes[word + 1], _SINGLE)
                some[word] = _bucket(sums[word])
            for word in range(more):
                counts[some[word]] += 1
            for word in range(more):
                if sums[word] < single_bound:
                    rare_singles[at_rare], single_owners[at_rare] = sums[word], number
                    at_rare += 1
            skipped = 1 if at_single == first else 0  # nothing stands before the first word of a text
            some, former, latter = pairs[at_pair : at_pair + more - skipped], hashes[skipped:], hashes[skipped + 1 :]
            for word in range(more - skipped):
                sums[word] = _stirred(former[word] * _STEP + latter[word], _PAIR)
                some[word] = _bucket(sums[word])
            for word in range(more - skipped):
                counts[some[word]] += 1
            for word in range(more - skipped):
                if sums[word] < pair_bound:
                    rare_pairs[at_rare_pair], pair_owners[at_rare_pair] = sums[word], number
                    at_rare_pair += 1
            if more:
                before = hashes[more]
                at_single += more
                at_pair += more - skipped
        words[number] = at_single - first
        digests[number] = _stirred(digest, _TEXT)
        start = end
    return at_single, at_pair, at_rare, at_rare_pair
