"""The best documents of a corpus, exactly, with the ranks of one part of it in memory at a time.

A rank is a number whose order as an unsigned integer is the order of the choice. What is chosen is everything below a *cut*: a
rank, and of the documents with exactly that rank those that stand first. The cut is found sixteen bits at a time, from
histograms, so the parts are read four times and nothing is sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.uint64]
Amounts = NDArray[np.int64]
Mask = NDArray[np.bool_]

LAST = 0xFFFFFFFFFFFFFFFF  # the rank of what cannot be chosen
_SIGN = np.uint64(1 << 63)
_DIGITS = (48, 32, 16, 0)


class Part(NamedTuple):
    """Some documents: how they rank, and how much each counts for (1, or its words)."""

    ranks: Ranks
    amounts: Amounts | None = None


Parts = Callable[[], Iterable[Part]]  # the parts of a corpus in order, as often as it is called


class Cut(NamedTuple):
    """Everything that ranks before `rank`; of `rank` itself what stands before place (`part`, `place`)."""

    rank: int = 0
    part: int = 0
    place: int = 0
    documents: int = 0  # that lie below it
    amount: int = 0  # and what they come to


def best_first(scores: NDArray[np.float64]) -> Ranks:
    """Ranks by which the largest score comes first; what is no number comes last."""
    bits = (-scores + 0.0).view(np.uint64)
    found = np.where(bits & _SIGN != 0, ~bits, bits | _SIGN)
    return np.where(np.isnan(scores), np.uint64(LAST), found)


def count_of(parts: Parts) -> int:
    """How many documents can be chosen."""
    return sum(int((part.ranks != np.uint64(LAST)).sum()) for part in parts())


def cut_at(parts: Parts, most: int) -> Cut:
    """The cut below which lie the first documents that come to `most` together, and not one more that would exceed it."""
    prefix, before, amount = 0, 0, 0
    for shift in _DIGITS:
        sums = np.zeros(1 << 16, dtype=np.int64)
        counts = np.zeros(1 << 16, dtype=np.int64)
        for part in parts():
            inside, weights = _under(part, prefix, shift)
            digits = ((inside >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64)
            counts += np.bincount(digits, minlength=1 << 16)
            sums += counts_of(digits, weights)
        reached = np.cumsum(sums)
        digit = int(np.searchsorted(reached, most - amount, side="right"))
        if digit >= 1 << 16:  # there is no more: everything is chosen
            digit = (1 << 16) - 1
            before, amount = before + int(counts[:digit].sum()), amount + int(sums[:digit].sum())
            prefix |= digit << shift
            continue
        before, amount = before + int(counts[:digit].sum()), amount + int(sums[:digit].sum())
        prefix |= digit << shift
    return _among_equals(parts, prefix, (before, amount), most)


def counts_of(digits: NDArray[np.int64], weights: Amounts | None) -> Amounts:
    """Sums of whole numbers by digit, exact also where they are large."""
    if weights is None:
        return np.bincount(digits, minlength=1 << 16)
    low = np.bincount(digits, weights & 0xFFFFFF, minlength=1 << 16)
    high = np.bincount(digits, weights >> 24, minlength=1 << 16)
    return low.astype(np.int64) + (high.astype(np.int64) << 24)


def _under(part: Part, prefix: int, shift: int) -> tuple[Ranks, Amounts | None]:
    """The documents whose upper bits are those found so far."""
    alive = part.ranks != np.uint64(LAST)
    if shift < 48:
        alive &= part.ranks >> np.uint64(shift + 16) == np.uint64(prefix >> (shift + 16))
    return part.ranks[alive], None if part.amounts is None else part.amounts[alive]


def _among_equals(parts: Parts, rank: int, found: tuple[int, int], most: int) -> Cut:
    """How many of those with the rank of the cut still fit, in order."""
    count, amount = found
    if rank == LAST:
        return Cut(rank, 0, 0, count, amount)
    number = 0
    for number, part in enumerate(parts()):
        for place in np.flatnonzero(part.ranks == np.uint64(rank)).tolist():
            more = 1 if part.amounts is None else int(part.amounts[place])
            if amount + more > most:
                return Cut(rank, number, place, count, amount)
            count, amount = count + 1, amount + more
    return Cut(rank, number + 1, 0, count, amount)


def below(ranks: Ranks, part: int, cut: Cut) -> Mask:
    """Which documents of a part lie below a cut."""
    limit = np.uint64(cut.rank)
    found = ranks < limit
    if part <= cut.part:
        equal = np.flatnonzero(ranks == limit)
        found[equal if part < cut.part else equal[equal < cut.place]] = True
    found &= ranks != np.uint64(LAST)
    return found
