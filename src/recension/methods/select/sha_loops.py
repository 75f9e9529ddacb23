"""sha256 of words and pairs of words, modulo the buckets, by loops that numba compiles: a table remembers what was met."""

from __future__ import annotations

from collections.abc import Sequence
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


SPACE, LETTER, MARK = 0, 1, 2


def _kinds() -> NDArray[np.uint8]:
    """What Python's `re` takes the characters of ASCII for; in the second row every byte but 0 belongs to a word."""
    table = np.full((2, 256), LETTER, dtype=np.uint8)
    for byte in range(128):
        letter = chr(byte)
        wordy = letter.isalnum() or letter == "_"
        table[0, byte] = LETTER if wordy else SPACE if letter.isspace() else MARK
    table[1, 0] = SPACE
    return table


_KINDS = _kinds()
_LOW = np.frombuffer(bytes(range(256)).lower(), dtype=np.uint8).copy()


@dataclass(slots=True, eq=False)
class Table:
    """Words by number, with what they are spelled like and their buckets; pairs of numbers, and theirs."""

    word_keys: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(SLOTS, np.uint64))
    word_numbers: NDArray[np.int32] = field(default_factory=lambda: np.zeros(SLOTS, np.int32))
    texts: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(1 << 20, np.uint8))
    starts: Ints = field(default_factory=lambda: np.zeros(1 << 16, np.int64))
    buckets: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(1 << 16, np.uint16))
    pair_keys: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(SLOTS, np.uint64))
    pair_buckets: NDArray[np.uint16] = field(default_factory=lambda: np.zeros(SLOTS, np.uint16))
    used: Ints = field(default_factory=lambda: np.zeros(2, np.int64))  # words, pairs

    @property
    def words(self) -> int:
        return int(self.used[0])

    def of(self, raws: Sequence[bytes], kinds: Sequence[int]) -> tuple[NDArray[np.uint16], NDArray[np.uint16], Ints]:
        """Buckets of words, of pairs, and how many words each text has. Of kind 0 are texts of ASCII; of kind 1 words of
        small letters with a zero byte between them."""
        data = np.frombuffer(b"".join(raws) + b"\0", np.uint8)
        ends = np.cumsum(np.fromiter(map(len, raws), dtype=np.int64, count=len(raws)))
        self._make_room(len(data))
        numbers, sizes = np.empty(len(data), np.int64), np.empty(len(raws), np.int64)
        longest = 2 * int(np.diff(ends, prepend=0).max(initial=0)) + int(np.diff(self.starts).max(initial=0)) * 2 + 256
        work = np.zeros(longest // 64 * 64 + 64, np.uint8), np.zeros(64, np.uint64)
        own = self.word_keys, self.word_numbers, self.texts, self.starts, self.buckets
        count = _words((data, ends, np.array(kinds, np.int64)), own, self.used, work, (numbers, sizes))
        numbers = numbers[:count]
        pairs = np.empty(int(np.maximum(sizes - 1, 0).sum()), np.uint16)
        table = self.pair_keys, self.pair_buckets, self.used
        _pairs((numbers, sizes), (self.texts, self.starts), table, work, pairs)
        return self.buckets[numbers], pairs, sizes

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
def _words(given, own, used, work, found):
    data, ends, kinds = given
    keys, numbers, texts, starts, buckets = own
    room, schedule = work
    flat, sizes = found
    out, place = 0, 0
    for text in range(len(ends)):
        first, table = out, _KINDS[kinds[text]]
        while place < ends[text]:
            kind = table[data[place]]
            begin = place
            key = np.uint64(0)
            while place < ends[text] and table[data[place]] == kind:
                key = (key + np.uint64(_LOW[data[place]]) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
                key ^= key >> np.uint64(29)
                place += 1
            if kind == SPACE:
                continue
            length = place - begin
            key |= np.uint64(1)  # never 0
            slot = (key >> np.uint64(20)) & np.uint64(SLOTS - 1)
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
                slot = (slot + np.uint64(1)) & np.uint64(SLOTS - 1)
            if number < 0:
                number = used[0]
                at = starts[number]
                for byte in range(length):
                    texts[at + byte] = room[byte] = _LOW[data[begin + byte]]
                starts[number + 1] = at + length
                buckets[number] = _bucket(room, length, schedule)
                keys[slot], numbers[slot] = key, number
                used[0] += 1
            flat[out] = number
            out += 1
        sizes[text] = out - first
    return out


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
                if used[1] < SLOTS * 3 // 4:
                    keys[slot], buckets[slot] = key, found[out]
                    used[1] += 1
            out += 1
        at += size
