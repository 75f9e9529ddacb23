"""sha256 of pairs of words, modulo the buckets, by loops that numba compiles: a table remembers the pairs that were met."""

from __future__ import annotations

from dataclasses import dataclass, field

import numba
import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.words import BUCKETS

Ints = NDArray[np.int64]

SLOTS = 1 << 22  # of the table; pairs beyond three quarters of it are computed and not remembered
_MASK = 0xFFFFFFFF
_ROUNDS = np.array(
    [
        int((prime ** (1 / 3) % 1) * (1 << 32))
        for prime in [n for n in range(2, 312) if all(n % d for d in range(2, n))][:64]
    ],
    dtype=np.uint64,
)
_START = np.array(
    [int((prime**0.5 % 1) * (1 << 32)) for prime in (2, 3, 5, 7, 11, 13, 17, 19)],
    dtype=np.uint64,
)


@dataclass(slots=True, eq=False)
class Pairs:
    """Which pairs of numbered words were met, and their buckets."""

    keys: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(SLOTS, np.uint64))
    buckets: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(SLOTS, np.uint16))
    used: Ints = field(default_factory=lambda: np.zeros(1, np.int64))

    def of(self, words: Ints, sizes: Ints, texts: NDArray[np.uint8], starts: Ints) -> NDArray[np.uint16]:
        """The buckets of all pairs of neighbours; `texts` holds the bytes of word n from `starts[n]` to `starts[n + 1]`."""
        found = np.empty(int(np.maximum(sizes - 1, 0).sum()), np.uint16)
        longest = int(np.diff(starts).max(initial=0)) * 2 + 80
        room = np.zeros(-(-longest // 64) * 64 + 64, np.uint8)
        _pairs(
            (words, sizes),
            (texts, starts),
            (self.keys, self.buckets, self.used),
            (room, np.zeros(64, np.uint64)),
            found,
        )
        return found


@numba.njit(cache=True)
def _turned(value, by):
    return ((value >> np.uint64(by)) | (value << np.uint64(32 - by))) & np.uint64(_MASK)


@numba.njit(cache=True)
def _bucket(room, length, schedule):
    """The digest of the first bytes of `room` as one large number, modulo the buckets."""
    blocks = (length + 9 + 63) // 64
    room[length : blocks * 64] = 0
    room[length] = 0x80
    for place in range(8):
        room[blocks * 64 - 1 - place] = ((length * 8) >> (8 * place)) & 0xFF
    state = _START.copy()
    for block in range(blocks):
        for i in range(16):
            at = block * 64 + 4 * i
            schedule[i] = (
                (np.uint64(room[at]) << np.uint64(24))
                | (np.uint64(room[at + 1]) << np.uint64(16))
                | (np.uint64(room[at + 2]) << np.uint64(8))
                | np.uint64(room[at + 3])
            )
        for i in range(16, 64):
            x, y = schedule[i - 15], schedule[i - 2]
            low = _turned(x, 7) ^ _turned(x, 18) ^ (x >> np.uint64(3))
            high = _turned(y, 17) ^ _turned(y, 19) ^ (y >> np.uint64(10))
            schedule[i] = (schedule[i - 16] + low + schedule[i - 7] + high) & np.uint64(_MASK)
        a, b, c, d, e, f, g, h = state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7]
        for i in range(64):
            first = (
                h + (_turned(e, 6) ^ _turned(e, 11) ^ _turned(e, 25)) + ((e & f) ^ (~e & g)) + _ROUNDS[i] + schedule[i]
            )
            second = (_turned(a, 2) ^ _turned(a, 13) ^ _turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))
            h, g, f, e = g, f, e, (d + first) & np.uint64(_MASK)
            d, c, b, a = c, b, a, (first + second) & np.uint64(_MASK)
        for i, value in enumerate((a, b, c, d, e, f, g, h)):
            state[i] = (state[i] + value) & np.uint64(_MASK)
    rest = np.uint64(0)
    for value in state:
        rest = ((rest << np.uint64(32)) + value) % np.uint64(BUCKETS)
    return np.uint16(rest)


@numba.njit(cache=True)
def _pairs(given, spelled, table, work, found):
    words, sizes = given
    texts, starts = spelled
    keys, buckets, used = table
    room, schedule = work
    at, out = 0, 0
    for size in sizes:
        for place in range(at, at + size - 1):
            first, second = words[place], words[place + 1]
            key = (np.uint64(first) << np.uint64(32)) | np.uint64(second + 1)  # never 0
            slot = ((key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(42)) & np.uint64(SLOTS - 1)
            while keys[slot] != 0 and keys[slot] != key:
                slot = (slot + np.uint64(1)) & np.uint64(SLOTS - 1)
            if keys[slot] == key:
                found[out] = buckets[slot]
            else:
                length = 0
                for word in (first, second):
                    for byte in range(starts[word], starts[word + 1]):
                        room[length] = texts[byte]
                        length += 1
                    room[length] = 32
                    length += 1
                found[out] = _bucket(room, length - 1, schedule)
                if used[0] < SLOTS * 3 // 4:
                    keys[slot], buckets[slot] = key, found[out]
                    used[0] += 1
            out += 1
        at += size
