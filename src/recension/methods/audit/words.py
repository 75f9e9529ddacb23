"""Bytes to hashed words and n-grams, as arrays: no Python object for a word, so that whole corpora can be counted.

A word is a run of letters, digits and underscores, or a run of other marks; a character of Chinese or Japanese is a word of
its own. Capitals of ASCII count as small letters. The hash of a word is a polynomial of its bytes modulo 2^64, read off
prefix sums, and stirred.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]

SPACE, LETTER, MARK, SIGN = 0, 1, 2, 3
_BASE = np.uint64(0x9E3779B97F4A7C15 | 1)
_INVERSE = np.uint64(pow(int(_BASE), -1, 1 << 64))
_STEP = np.uint64(0xD6E8FEB86659FD93)
_ROUNDS = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
_SMALLEST_TABLE = 1 << 20


SEEDS, BUCKETS = 3, 10_000  # hash buckets as DSIR has them, three times over


class Words(NamedTuple):
    """The words of several texts, one text after the other: a hash for each, and how many words each text has."""

    hashes: Hashes
    counts: Ints


def stirred(values: Hashes, seed: int = 0) -> Hashes:
    """The finaliser of SplitMix64: every input bit reaches every output bit."""
    values = values + np.uint64((seed * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
    for shift, factor in _ROUNDS:  # in place: the copies would cost more than the sums
        values ^= values >> shift
        values *= factor
    values ^= values >> np.uint64(31)
    return values


def bucketed(hashes: Hashes, seed: int) -> NDArray[np.int64]:
    """The bucket of each hash: every seed reads its own third of the bits."""
    bits = (hashes >> np.uint64(21 * seed)) & np.uint64((1 << 21) - 1)
    return (bits * np.uint64(BUCKETS) >> np.uint64(21)).view(np.int64)


def hashed_words(texts: Sequence[bytes]) -> Words:
    """The words of each text in UTF-8."""
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    joined = np.frombuffer(b"\0".join(texts), dtype=np.uint8)
    if not len(joined):
        return Words(np.zeros(0, np.uint64), np.zeros(len(texts), np.int64))
    kinds = kinds_of(joined)
    signs = bool((kinds == SIGN).any())
    edges = np.flatnonzero(np.diff(kinds, prepend=np.uint8(SPACE), append=np.uint8(SPACE)))
    if signs:
        # A sign begins anew at each of its first bytes; what follows them in UTF-8 belongs to them.
        leads = np.flatnonzero((kinds == SIGN) & (joined >= 0xC0))
        edges = np.union1d(edges, leads)
    wordy = kinds[edges[:-1]] != SPACE
    starts, ends = edges[:-1][wordy], edges[1:][wordy]
    powers, inverses = _powers(max(_SMALLEST_TABLE, 1 << len(joined).bit_length()))
    sums = np.empty(len(joined) + 1, dtype=np.uint64)
    sums[0] = 0
    np.cumsum(VALUES[joined] * powers[: len(joined)], out=sums[1:])
    hashes = stirred((sums[ends] - sums[starts]) * inverses[starts])
    borders = np.cumsum(lengths + 1) - 1  # where the zero byte behind each text stands
    counts = np.diff(np.searchsorted(starts, borders), prepend=0)
    return Words(hashes, counts)


def ngrams(words: Words, sizes: Sequence[int]) -> Iterator[tuple[int, Hashes, Ints]]:
    """For each wanted size the hashes of all n-grams within one text, and the text of each."""
    owner = np.repeat(np.arange(len(words.counts)), words.counts)
    left = np.repeat(np.cumsum(words.counts), words.counts) - np.arange(len(owner))
    rolled = words.hashes
    for size in range(1, max(sizes) + 1):
        if size > 1:
            rolled = rolled[:-1] * _STEP + words.hashes[size - 1 :]
        if size in sizes:
            inside = left[: len(rolled)] >= size
            yield size, stirred(rolled[inside], size), owner[: len(rolled)][inside]


@lru_cache(maxsize=2)
def _powers(size: int) -> tuple[Hashes, Hashes]:
    def table(factor: np.uint64) -> Hashes:
        factors = np.full(size, factor, dtype=np.uint64)
        factors[0] = 1
        return np.multiply.accumulate(factors)

    return table(_BASE), table(_INVERSE)


@lru_cache(maxsize=1)
def _step_powers(size: int) -> Hashes:
    factors = np.full(size, _STEP, dtype=np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


def powers_of(count: int) -> Hashes:
    """At least so many powers of one odd number, from 1 up: for hashes of whole sequences."""
    return _step_powers(max(1 << 12, 1 << (count - 1).bit_length()))


def _table() -> tuple[NDArray[np.uint8], Hashes]:
    kinds = np.full(256, LETTER, dtype=np.uint8)
    for byte in range(128):
        letter = chr(byte)
        kinds[byte] = SPACE if byte <= 32 or byte == 127 else LETTER if letter.isalnum() or letter == "_" else MARK
    low = np.frombuffer(bytes(range(256)).lower(), dtype=np.uint8).astype(np.uint64)
    return kinds, stirred(low + np.uint64(1))


KINDS, VALUES = _table()


def kinds_of(joined: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What each byte belongs to."""
    kinds = KINDS[joined]
    if int(joined.max()) < 0x80:
        return kinds
    second = np.append(joined[1:], np.uint8(0))
    third = np.append(second[1:], np.uint8(0))
    latin = np.flatnonzero((joined == 0xC2) & (second >= 0x80) & (second <= 0xBF))  # U+0080 to U+00BF
    for offset in (0, 1):
        kinds[latin + offset] = np.where(second[latin] == 0xA0, SPACE, MARK)
    general = np.flatnonzero((joined == 0xE2) & (second == 0x80))  # U+2000 to U+203F
    spaces = (third[general] <= 0x8B) | np.isin(third[general], (0xA8, 0xA9, 0xAF))
    for offset in (0, 1, 2):
        kinds[general + offset] = np.where(spaces, SPACE, MARK)
    eastern = np.flatnonzero((joined >= 0xE3) & (joined <= 0xE9))  # U+3000 to U+9FFF
    if len(eastern):
        marks = (joined[eastern] == 0xE3) & (second[eastern] == 0x80)
        kind = np.where(marks, np.where(third[eastern] == 0x80, SPACE, MARK), SIGN)
        for offset in (0, 1, 2):
            kinds[np.minimum(eastern + offset, len(kinds) - 1)] = kind
    return kinds
