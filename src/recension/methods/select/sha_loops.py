"""sha256 of words and pairs of words, modulo the buckets, by loops that numba compiles: a table remembers what was met, and
what was not is hashed sixteen at a time. It is one file, for numba keeps what it compiled as long as the file is the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numba
import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.words import BUCKETS
from recension.methods.select.letters import SPACE
from recension.methods.select.small_loops import kinds_in, small

Ints = NDArray[np.int64]

SLOTS = 1 << 23  # of the table of pairs; those beyond three quarters of it are computed and not remembered
WORD_SLOTS = 1 << 21  # of the table of words, or more for a long text: half of them stay free
SHORT = 55  # bytes that fill one block of sha256
LANES = 16  # numbers of 32 bits that a processor holds in one register, at best
_PRIMES = [number for number in range(2, 312) if all(number % other for other in range(2, number))]
_ROUNDS = np.array([int((prime ** (1 / 3) % 1) * (1 << 32)) for prime in _PRIMES[:64]], dtype=np.uint32)
_START = np.array([int((prime**0.5 % 1) * (1 << 32)) for prime in _PRIMES[:8]], dtype=np.uint32)
_LOW = np.frombuffer(bytes(range(256)).lower(), dtype=np.uint8).copy()


@dataclass(slots=True, eq=False)
class Table:
    """Words by number, with what they are spelled like and their buckets; pairs of numbers, and theirs."""

    word_keys: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(WORD_SLOTS, np.uint64))
    word_numbers: NDArray[np.int32] = field(default_factory=lambda: np.zeros(WORD_SLOTS, np.int32))
    texts: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(1 << 20, np.uint8))
    starts: Ints = field(default_factory=lambda: np.zeros(1 << 16, np.int64))
    buckets: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(1 << 16, np.uint16))
    pair_keys: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(SLOTS, np.uint64))
    pair_buckets: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(SLOTS, np.uint16))
    used: Ints = field(default_factory=lambda: np.zeros(2, np.int64))  # words, pairs

    @classmethod
    def sized(cls, size: int) -> Table:
        """With room for the words of so many bytes at least."""
        slots = max(WORD_SLOTS, 1 << (size + 2).bit_length())
        return cls(np.zeros(slots, np.uint64), np.zeros(slots, np.int32))

    @property
    def words(self) -> int:
        return int(self.used[0])

    def takes(self, size: int) -> bool:
        """Whether there is room for the words of so many bytes: two different ones have two bytes or more each, but for 256."""
        return self.words + size // 2 + 256 <= len(self.word_keys) // 2

    def of(self, data: NDArray[np.uint8], ends: Ints) -> tuple[NDArray[np.uint16], NDArray[np.uint16], Ints]:
        """Buckets of words, of pairs, and how many words each text has, of texts in UTF-8 that stand one after the other."""
        data, ends = small(data, ends)
        known = self.words
        self._make_room(len(data))
        numbers, sizes = np.empty(len(data), np.int32), np.empty(len(ends), np.int64)
        own = self.word_keys, self.word_numbers, self.texts, self.starts
        count = _words((data, ends, kinds_in(data)), own, self.used, (numbers, sizes))
        numbers = numbers[:count]
        longest = 2 * int(np.diff(self.starts[: self.words + 1]).max(initial=0)) + 128
        spelled = self.texts, self.starts, np.zeros(longest // 64 * 64 + 64, np.uint8)
        fresh = np.arange(known, self.words, dtype=np.int32)
        _hash(np.stack([fresh, np.full_like(fresh, -1)], axis=1), spelled, fresh, self.buckets)
        count = int(np.maximum(sizes - 1, 0).sum())
        slots, unmet = np.empty(count, np.int32), np.empty((count, 2), np.int32)
        where, keys = np.empty(count, np.int32), self.pair_keys
        met, beyond = _pairs((numbers, sizes), (keys, self.used), (slots, unmet, where))
        buckets = self.pair_buckets if not beyond else np.concatenate([self.pair_buckets, np.empty(beyond, np.uint16)])
        _hash(unmet[:met], spelled, where[:met], buckets)
        if beyond:
            self.pair_buckets = buckets[:SLOTS].copy()
        return self.buckets[numbers], buckets[slots], sizes

    def _make_room(self, size: int) -> None:
        """For as many words, and as much text, as so many bytes can hold."""
        spelled, words = int(self.starts[self.words]), self.words
        if spelled + size > len(self.texts):
            self.texts = np.concatenate([self.texts, np.zeros(len(self.texts) + size, np.uint8)])
        if words + size + 2 > len(self.starts):
            more = len(self.starts) + size
            self.starts = np.concatenate([self.starts, np.zeros(more, np.int64)])
            self.buckets = np.concatenate([self.buckets, np.zeros(more, np.uint16)])


@numba.njit(cache=True, inline="always")
def _turned(value, by):
    return np.uint32((value >> np.uint32(by)) | (value << np.uint32(32 - by)))


@numba.njit(cache=True)
def _compress(words, state, work):
    """One block in each lane: `words` holds its sixteen numbers, and has room for those made of them."""
    for i in range(16, 64):
        for lane in range(LANES):
            x, y = words[i - 15, lane], words[i - 2, lane]
            low = _turned(x, 7) ^ _turned(x, 18) ^ (x >> np.uint32(3))
            high = _turned(y, 17) ^ _turned(y, 19) ^ (y >> np.uint32(10))
            words[i, lane] = np.uint32(words[i - 16, lane] + low + words[i - 7, lane] + high)
    for row in range(8):
        for lane in range(LANES):
            work[row, lane] = state[row, lane]
    for i in range(64):
        # The eight letters of the standard take turns among the rows, so that nothing is moved.
        a, b, c, d = work[-i & 7], work[1 - i & 7], work[2 - i & 7], work[3 - i & 7]
        e, f, g, h = work[4 - i & 7], work[5 - i & 7], work[6 - i & 7], work[7 - i & 7]
        now, constant = words[i], _ROUNDS[i]
        for lane in range(LANES):
            x, y = e[lane], a[lane]
            first = h[lane] + (_turned(x, 6) ^ _turned(x, 11) ^ _turned(x, 25)) + ((x & f[lane]) ^ (~x & g[lane]))
            first = np.uint32(first + constant + now[lane])
            second = (_turned(y, 2) ^ _turned(y, 13) ^ _turned(y, 22)) + (
                (y & b[lane]) ^ (y & c[lane]) ^ (b[lane] & c[lane])
            )
            d[lane] = np.uint32(d[lane] + first)
            h[lane] = np.uint32(first + second)
    for row in range(8):
        for lane in range(LANES):
            state[row, lane] = np.uint32(state[row, lane] + work[row, lane])


@numba.njit(cache=True, inline="always")
def _number(block, i):
    return (
        np.uint32(block[4 * i]) << np.uint32(24)
        | np.uint32(block[4 * i + 1]) << np.uint32(16)
        | np.uint32(block[4 * i + 2]) << np.uint32(8)
        | np.uint32(block[4 * i + 3])
    )


@numba.njit(cache=True)
def _rest(state, lane):
    """A digest as one large number, modulo the buckets."""
    rest = np.uint64(0)
    for row in range(8):
        rest = ((rest << np.uint64(32)) + np.uint64(state[row, lane])) % np.uint64(BUCKETS)
    return np.uint16(rest)


@numba.njit(cache=True)
def _short_buckets(blocks, found):
    """The bucket of each of `LANES` texts that fill a block, with what the standard puts behind them."""
    words, state, work = (
        np.empty((64, LANES), np.uint32),
        np.empty((8, LANES), np.uint32),
        np.empty((8, LANES), np.uint32),
    )
    for lane in range(LANES):
        for i in range(16):
            words[i, lane] = _number(blocks[lane], i)
        for row in range(8):
            state[row, lane] = _START[row]
    _compress(words, state, work)
    for lane in range(LANES):
        found[lane] = _rest(state, lane)


@numba.njit(cache=True)
def _long_bucket(room, length):
    """The bucket of the first bytes of `room`, which has room for what stands behind them: the same in one lane."""
    count = (length + 9 + 63) // 64
    room[length : count * 64] = 0
    room[length] = 0x80
    for place in range(8):
        room[count * 64 - 1 - place] = ((length * 8) >> (8 * place)) & 0xFF
    words, state, work = (
        np.zeros((64, LANES), np.uint32),
        np.zeros((8, LANES), np.uint32),
        np.empty((8, LANES), np.uint32),
    )
    state[:, 0] = _START
    for block in range(count):
        for i in range(16):
            words[i, 0] = _number(room[64 * block :], i)
        _compress(words, state, work)
    return _rest(state, 0)


@numba.njit(cache=True)
def _words(given, own, used, found):
    """The words of texts by number. Those that were not met before get the next numbers."""
    data, ends, kinds = given
    keys, numbers, texts, starts = own
    flat, sizes = found
    out, place, mask = 0, 0, np.uint64(len(keys) - 1)
    for text in range(len(ends)):
        first, end = out, ends[text]
        while place < end:
            begin, kind, key = place, kinds[place], np.uint64(0)
            while place < end and kinds[place] == kind:
                key = (key + np.uint64(_LOW[data[place]]) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
                key ^= key >> np.uint64(29)
                place += 1
            if kind == SPACE:
                continue
            length = place - begin
            key |= np.uint64(1)  # never 0
            slot = (key >> np.uint64(20)) & mask
            number = -1
            while keys[slot] != 0:
                if keys[slot] == key:
                    known = numbers[slot]
                    if starts[known + 1] - starts[known] == length:
                        same = True
                        for byte in range(length):
                            if texts[starts[known] + byte] != _LOW[data[begin + byte]]:
                                same = False
                                break
                        if same:
                            number = known
                            break
                slot = (slot + np.uint64(1)) & mask
            if number < 0:
                number = used[0]
                at = starts[number]
                for byte in range(length):
                    texts[at + byte] = _LOW[data[begin + byte]]
                starts[number + 1] = at + length
                keys[slot], numbers[slot] = key, number
                used[0] += 1
            flat[out] = number
            out += 1
        sizes[text] = out - first
    return out


@numba.njit(cache=True)
def _pairs(given, table, found):
    """The slot of every pair; those that were not met before, and where their buckets belong: in the table, or beyond it."""
    words, sizes = given
    keys, used = table
    slots, unmet, where = found
    at, out, met, beyond = 0, 0, 0, 0
    for size in sizes:
        for place in range(at, at + size - 1):
            first, second = words[place], words[place + 1]
            key = (np.uint64(first) << np.uint64(32)) | np.uint64(second + 1)  # never 0
            slot = (key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(41)
            while keys[slot] != 0 and keys[slot] != key:
                slot = (slot + np.uint64(1)) & np.uint64(SLOTS - 1)
            if keys[slot] != key:
                if used[1] < SLOTS * 3 // 4:
                    keys[slot] = key
                    used[1] += 1
                else:
                    slot = np.uint64(SLOTS + beyond)
                    beyond += 1
                unmet[met, 0], unmet[met, 1], where[met] = first, second, slot
                met += 1
            slots[out] = slot
            out += 1
        at += size
    return met, beyond


@numba.njit(cache=True)
def _hash(wanted, spelled, where, buckets):
    """Buckets of words, or of pairs with a space between them, many at once. A single word has -1 in place of a second."""
    texts, starts, room = spelled
    blocks, rows = np.zeros((LANES, 64), np.uint8), np.empty(LANES, np.int64)
    found = np.empty(LANES, np.uint16)
    waiting = 0
    for row in range(len(wanted)):
        length = 0
        for number in wanted[row]:
            if number < 0:
                break
            if length:
                room[length] = 32
                length += 1
            size = starts[number + 1] - starts[number]
            for byte in range(size):
                room[length + byte] = texts[starts[number] + byte]
            length += size
        if length > SHORT:
            buckets[where[row]] = _long_bucket(room, length)
            continue
        blocks[waiting, :length] = room[:length]
        blocks[waiting, length] = 0x80
        blocks[waiting, length + 1 : 62] = 0
        blocks[waiting, 62], blocks[waiting, 63] = length * 8 >> 8, length * 8 & 0xFF
        rows[waiting] = row
        waiting += 1
        if waiting == LANES:
            _short_buckets(blocks, found)
            for lane in range(LANES):
                buckets[where[rows[lane]]] = found[lane]
            waiting = 0
    if waiting:
        _short_buckets(blocks, found)
        for lane in range(waiting):
            buckets[where[rows[lane]]] = found[lane]
