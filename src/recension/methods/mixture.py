"""How much of each source goes into a mixture: whole numbers of tokens that add up, and where a source is cut off.

Documents of a source stand in the order of their keys (64 bits, then their number, where keys are equal). What is taken
once is a beginning of that order, so more tokens of a source always hold the documents of fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.errors import UnreachableError, UsageError

Keys = NDArray[np.uint64]
Ints = NDArray[np.int64]
BUCKETS = 1 << 16
_SHIFT = np.uint64(48)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a recipe asks of one source: a weight, a number of tokens, or so many passes over it.

    `most` bounds the passes of the first two; `stated` says that somebody wrote it down. `place` is where.
    """

    name: str
    weight: Fraction | None = None
    tokens: int | None = None
    repeat: Fraction | None = None
    most: Fraction = Fraction(1)
    stated: bool = False
    place: str = ""


def allocate(
    wanted: Sequence[Wanted], pools: Sequence[int], total: int | None, bounds: Sequence[int] | None = None
) -> list[int]:
    """The tokens of each source, given how many it has. They add up to `total` where there is one.

    Without a total, weighted sources are as large as they can be with nothing read more often than was written down.
    `bounds` are what passes are counted by, where a pool of whole documents is a little less than what was granted.
    """
    fixed = [_fixed(ask, pool) for ask, pool in zip(wanted, pools, strict=True)]
    rest = [i for i, tokens in enumerate(fixed) if tokens is None]
    known = sum(tokens for tokens in fixed if tokens is not None)
    weights = [wanted[i].weight or Fraction(0) for i in rest]
    if rest and not sum(weights):
        raise UsageError(f"{_at(wanted[rest[0]])}the weights sum to 0: give one source a weight above 0")
    planned = [tokens or 0 for tokens in fixed]
    if rest:
        if total is None:
            left = _largest([wanted[i] for i in rest], [pools[i] for i in rest], weights)
        elif total < known:
            raise UsageError(f"tokens: {total:,} is less than the {known:,} that sources with tokens or repeat come to")
        else:
            left = total - known
        for i, share in zip(rest, _apportioned(weights, left), strict=True):
            planned[i] = share
    elif total is not None and total != known:
        raise UsageError(
            f"tokens: {total:,}, and the sources come to {known:,}: give one of them a weight, or leave tokens out"
        )
    for ask, pool, tokens in zip(wanted, bounds or pools, planned, strict=True):
        _check(ask, pool, tokens)
    return planned


def _fixed(ask: Wanted, pool: int) -> int | None:
    if ask.tokens is not None:
        return ask.tokens
    return round(ask.repeat * pool) if ask.repeat is not None else None


def _largest(wanted: Sequence[Wanted], pools: Sequence[int], weights: Sequence[Fraction]) -> int:
    """The largest whole of the weighted sources for which each has enough."""
    bounds = [
        pool * (ask.most if ask.stated else Fraction(1)) / weight
        for ask, pool, weight in zip(wanted, pools, weights, strict=True)
        if weight
    ]
    return int(min(bounds) * sum(weights))


def _apportioned(weights: Sequence[Fraction], total: int) -> list[int]:
    """Whole numbers that add up to the total: largest remainders first, the earlier source where they are equal."""
    exact = [weight * total / sum(weights) for weight in weights]
    parts = [int(share) for share in exact]
    order = sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))
    for i in order[: total - sum(parts)]:
        parts[i] += 1
    return parts


def _check(ask: Wanted, pool: int, tokens: int) -> None:
    if not tokens or ask.repeat is not None:
        return
    if not pool:
        raise UnreachableError(f"{_at(ask)}source '{ask.name}' holds no tokens, and {tokens:,} are asked of it")
    if tokens > ask.most * pool:
        times = f"{float(Fraction(tokens, pool)):.4g}"
        reach = int(ask.most * pool)
        raise UnreachableError(
            f"{_at(ask)}source '{ask.name}' is too small: {tokens:,} tokens are asked and it holds {pool:,}, which is "
            f"{times} passes; max_repeat {float(ask.most):g} comes to {reach:,}, {tokens - reach:,} too few: raise "
            f"max_repeat, or ask for less"
        )


def _at(ask: Wanted) -> str:
    return f"{ask.place}: " if ask.place else ""


class End(NamedTuple):
    """The last document of a beginning of the order."""

    key: int
    number: int


def histogram(keys: Keys, tokens: Ints) -> Ints:
    """Tokens by the first 16 bits of the key: enough to find a place in the order in a second look."""
    counts = np.bincount((keys >> _SHIFT).astype(np.int64), weights=tokens.astype(np.float64), minlength=BUCKETS)
    return counts.astype(np.int64)  # float64 is exact up to 2^53, and this is one shard


class Landing(NamedTuple):
    """The bucket in which a target is reached, and the tokens of all buckets before it."""

    bucket: int
    before: int


def landing(counts: Ints, target: int) -> Landing:
    sums = np.cumsum(counts)
    bucket = min(int(np.searchsorted(sums, target, side="left")), BUCKETS - 1)
    return Landing(bucket, int(sums[bucket - 1]) if bucket else 0)


def inside(keys: Keys, bucket: int) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (keys >> _SHIFT) == np.uint64(bucket)
    return found


class Stop(NamedTuple):
    """Where a beginning of so many tokens ends: its last document (None: there is none), what it comes to, which
    document would follow (None: none does), and what that comes to."""

    last: End | None
    tokens: int
    following: End | None
    next: int = 0

    def reaching(self, target: int) -> Stop:
        """The shortest beginning that is no smaller than the target."""
        if self.following is None or self.tokens >= target:
            return self
        return Stop(self.following, self.tokens + self.next, None)


def stop(keys: Keys, numbers: Ints, tokens: Ints, place: Landing, target: int) -> Stop:
    """The longest beginning that does not exceed the target, from the documents of the bucket where it is reached."""
    order = np.lexsort((numbers, keys))
    sums = place.before + np.cumsum(tokens[order])
    count = int(np.searchsorted(sums, target, side="right"))
    reached = int(sums[count - 1]) if count else place.before

    def end(at: int) -> End:
        return End(int(keys[order[at]]), int(numbers[order[at]]))

    floor = End(place.bucket << 48, -1)  # everything in the buckets before
    last = end(count - 1) if count else floor if place.before else None
    if count == len(order):
        return Stop(last, reached, None)
    return Stop(last, reached, end(count), int(tokens[order[count]]))


def up_to(keys: Keys, numbers: Ints, last: End | None) -> NDArray[np.bool_]:
    """Which documents stand in a beginning of the order."""
    if last is None:
        return np.zeros(len(keys), dtype=bool)
    key = np.uint64(last.key)
    found: NDArray[np.bool_] = (keys < key) | ((keys == key) & (numbers <= last.number))
    return found


def share_end(share: float) -> int:
    """The lineages whose hash is below this are the share."""
    return min(int(share * 2.0**64), (1 << 64) - 1)
