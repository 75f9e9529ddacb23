"""The order of the data: which row of which source stands where, as a pure function of seed and place.

Nothing is shuffled in memory and nothing advances, so a run that was killed finds its place again, and the number of
devices cannot change what a step sees: a device takes its part of a batch that is the same for all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import lcm

import numpy as np
from numpy.typing import NDArray

from recension.errors import UsageError

Ints = NDArray[np.int64]
ROUNDS = 4
LONGEST_TURN = 1 << 20
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def shuffled(places: Ints, size: int, keys: Ints) -> Ints:
    """Where each place of 0 .. size-1 goes in a shuffle of them; every key is a shuffle of its own.

    A Feistel network on the next even number of bits, walked until it lands inside: no table, any size.
    """
    half = max(1, -(-max(size - 1, 1).bit_length() // 2))
    mask = np.uint64((1 << half) - 1)
    found = places.astype(np.uint64)
    outside = np.ones(len(found), dtype=bool)
    while outside.any():
        left, right = found[outside] >> np.uint64(half), found[outside] & mask
        salt = keys[outside].astype(np.uint64)
        for number in range(ROUNDS):
            left, right = right, left ^ (_mixed(right, salt + np.uint64(number)) & mask)
        found[outside] = (left << np.uint64(half)) | right
        outside = found >= np.uint64(size)
    return found.astype(np.int64)


def _mixed(values: NDArray[np.uint64], salt: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        values = (values + salt * np.uint64(0x9E3779B97F4A7C15)) * _MIX_1
        values = (values ^ (values >> np.uint64(31))) * _MIX_2
    return values ^ (values >> np.uint64(29))


def _key(*parts: object) -> int:
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=7, person=b"order").digest()
    return int.from_bytes(digest, "little")


def turns(weights: Sequence[Fraction]) -> NDArray[np.int32]:
    """Whose turn it is, over one period: each source as often as its weight says, exactly, at every point of it.

    Tijdeman's rule for the chairman assignment: after any number of turns each count is within one of its share.
    """
    if len(weights) == 1:
        return np.zeros(1, dtype=np.int32)
    total = sum(weights, Fraction(0))
    shares = [weight / total for weight in weights]
    period = lcm(*(share.denominator for share in shares))
    if period > LONGEST_TURN:
        shares = _rounded(shares)
        period = lcm(*(share.denominator for share in shares))
    # Whole numbers from here on, in units of 1 / (scale * period).
    scale = 2 * len(shares) - 2
    each = [int(share * period) for share in shares]
    slack = [period * scale - part for part in each]  # (1 - share / scale), in those units
    counts, order = [0] * len(shares), np.empty(period, dtype=np.int32)
    for turn in range(1, period + 1):
        best, chosen = None, -1
        for i, part in enumerate(each):
            lead = part * turn - counts[i] * period  # how far behind its share, in 1 / period
            if part and lead * scale >= part:  # it may go now without running ahead
                due = Fraction(slack[i] - lead * scale, part)
                if best is None or due < best:
                    best, chosen = due, i
        if chosen < 0:  # rounding aside this does not happen: the one furthest behind goes
            chosen = max(range(len(each)), key=lambda i: each[i] * turn - counts[i] * period)
        counts[chosen] += 1
        order[turn - 1] = chosen
    return order


def _rounded(shares: Sequence[Fraction]) -> list[Fraction]:
    """Shares over one short denominator; the largest takes what rounding left."""
    whole = 1 << 16
    parts = [max(1, round(share * whole)) for share in shares]
    parts[parts.index(max(parts))] += whole - sum(parts)
    return [Fraction(part, whole) for part in parts]


def parse_weight(text: str) -> Fraction:
    try:
        weight = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"'{text}' is no weight: write a number such as 0.25, 3 or 1/3") from None
    if weight <= 0:
        raise UsageError(f"a weight is above 0, not {text}: leave the source out instead")
    return weight


@dataclass(frozen=True)
class Rows:
    """Rows by source: `source[i]` and `place[i]` say where the i-th comes from, `epoch[i]` how often it was read before."""

    source: NDArray[np.int32]
    place: Ints
    epoch: Ints


@dataclass(frozen=True)
class Order:
    """Sources of so many `sizes` rows each, mixed by `weights`; `batch` rows make a step.

    A source is read through in a shuffled order, then again in another one.
    """

    seed: int
    batch: int
    sizes: tuple[int, ...]
    weights: tuple[Fraction, ...]

    @cached_property
    def _turns(self) -> tuple[NDArray[np.int32], Ints, Ints]:
        """The period, the count of each source in it, and for each turn the turns of its source before it."""
        order = turns(self.weights)
        counts = np.bincount(order, minlength=len(self.sizes)).astype(np.int64)
        before = np.zeros(len(order), dtype=np.int64)
        for source in range(len(self.sizes)):
            mine = order == source
            before[mine] = np.arange(counts[source])
        return order, counts, before

    def rows(self, step: int, rank: int = 0, ranks: int = 1) -> Rows:
        """The part of one device of the rows of a step: all parts together, in order, are the rows for one device."""
        share = self.batch // ranks
        first = step * self.batch + rank * share
        return self.span(first, first + share)

    def span(self, first: int, last: int) -> Rows:
        order, counts, before = self._turns
        number = np.arange(first, last, dtype=np.int64)
        period, turn = np.divmod(number, len(order))
        source = order[turn]
        nth = period * counts[source] + before[turn]
        place, epoch = np.empty_like(nth), np.empty_like(nth)
        for i, size in enumerate(self.sizes):
            mine = source == i
            if not mine.any():
                continue
            epoch[mine], at = np.divmod(nth[mine], size)
            keys = {int(e): _key(self.seed, i, int(e)) for e in np.unique(epoch[mine])}
            salt = np.array([keys[int(e)] for e in epoch[mine]], dtype=np.int64)
            place[mine] = shuffled(at, size, salt)
        return Rows(source, place, epoch)

    def read(self, steps: int) -> list[int]:
        """How many rows of each source so many steps read."""
        order, counts, _ = self._turns
        periods, rest = divmod(steps * self.batch, len(order))
        tail = np.bincount(order[:rest], minlength=len(self.sizes))
        return [int(periods * counts[i] + tail[i]) for i in range(len(self.sizes))]
