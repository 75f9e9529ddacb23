"""sha256 of words and pairs of words, modulo the buckets, by loops that numba compiles: a table remembers what was met."""

from __future__ import annotations

from dataclasses import dataclass, field

import numba
import numpy as np
from numpy.typing import NDArray

from recension.methods.select.lane_loops import LANES, long_bucket, short_buckets
from recension.methods.select.letters import SPACE, kinds
from recension.methods.select.small_loops import code_point, small

Ints = NDArray[np.int64]

SLOTS = 1 << 23  # of the table of pairs; those beyond three quarters of it are computed and not remembered
WORD_SLOTS = 1 << 21  # of the table of words, or more for a long text: half of them stay free
SHORT = 55  # bytes that fill one block of sha256
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
        count = _words((data, ends, kinds()), own, self.used, (numbers, sizes))
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


@numba.njit(cache=True)
def _words(given, own, used, found):
    """The words of texts by number. Those that were not met before get the next numbers."""
    data, ends, table = given
    keys, numbers, texts, starts = own
    flat, sizes = found
    out, place, mask = 0, 0, np.uint64(len(keys) - 1)
    for text in range(len(ends)):
        first, end = out, ends[text]
        while place < end:
            begin, kind, key = place, np.uint8(255), np.uint64(0)
            while place < end:
                byte, width = data[place], 1
                if byte < 0x80:
                    here = table[byte]
                else:
                    point, width = code_point(data, place)
                    here = table[point]
                if kind == 255:
                    kind = here
                elif here != kind:
                    break
                for at in range(place, place + width):
                    key = (key + np.uint64(_LOW[data[at]]) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
                    key ^= key >> np.uint64(29)
                place += width
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
            buckets[where[row]] = long_bucket(room, length)
            continue
        blocks[waiting, :length] = room[:length]
        blocks[waiting, length] = 0x80
        blocks[waiting, length + 1 : 62] = 0
        blocks[waiting, 62], blocks[waiting, 63] = length * 8 >> 8, length * 8 & 0xFF
        rows[waiting] = row
        waiting += 1
        if waiting == LANES:
            short_buckets(blocks, found)
            for lane in range(LANES):
                buckets[where[rows[lane]]] = found[lane]
            waiting = 0
    if waiting:
        short_buckets(blocks, found)
        for lane in range(waiting):
            buckets[where[rows[lane]]] = found[lane]
