"""Effects over seeds: means with Student's intervals, differences seed by seed, and what could have been seen at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

FEWEST = 3  # seeds; less says nothing about how far runs of one setting lie apart
POWER = 0.8
Judgement = Literal["agrees", "contradicts", "not resolvable"]


class Spread(NamedTuple):
    """A mean over seeds and its 95 % interval; NaN where there are fewer than two."""

    value: float
    low: float
    high: float


def student(probability: float, freedom: int) -> float:
    """The quantile of Student's distribution, for a probability above one half."""
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        if _below(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _below(t: float, freedom: int) -> float:
    """P(T < t) for whole degrees of freedom: a finite sum (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan2(t, math.sqrt(freedom))
    cosine = math.cos(angle) ** 2
    if freedom % 2:
        term, total = math.cos(angle), 0.0
        for k in range(1, (freedom - 1) // 2 + 1):
            total += term
            term *= cosine * 2 * k / (2 * k + 1)
        inside = 2 / math.pi * (angle + math.sin(angle) * total)
    else:
        term, total = 1.0, 0.0
        for k in range(1, freedom // 2 + 1):
            total += term
            term *= cosine * (2 * k - 1) / (2 * k)
        inside = math.sin(angle) * total
    return 0.5 + inside / 2


_quantile = cache(student)


def spread(values: Sequence[float]) -> Spread:
    """The mean of what the seeds gave, with the interval of a mean of so few."""
    n = len(values)
    mean = math.fsum(values) / n if n else math.nan
    if n < 2:
        return Spread(mean, math.nan, math.nan)
    error = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n)
    half = _quantile(0.975, n - 1) * error
    return Spread(mean, mean - half, mean + half)


def apart(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours less theirs, seed by seed: what both runs of a seed share cancels."""
    return [a - b for a, b in zip(ours, theirs, strict=True)]


def detectable(null: Sequence[float]) -> float:
    """The smallest mean difference that as many seeds would find with a power of 80 % at a level of 5 %.

    `null` are differences, seed by seed, of two runs between which nothing is to be found. Their mean is zero, so each
    counts as a degree of freedom. Fewer than three say nothing: infinity.
    """
    n = len(null)
    if n < FEWEST:
        return math.inf
    scale = math.sqrt(math.fsum(v * v for v in null) / n)
    return (_quantile(0.975, n - 1) + _quantile(POWER, n - 1)) * scale / math.sqrt(n)


def judge(differences: Sequence[float], smallest: float, rises: bool) -> Judgement:
    """Whether a claim that a difference is above zero (or below it, where it does not rise) holds here.

    Resolved is what is at least as large as what could be seen, and whose interval leaves zero out.
    """
    found = spread(differences)
    seen = len(differences) >= FEWEST and abs(found.value) >= smallest and (found.low > 0 or found.high < 0)
    if not seen:
        return "not resolvable"
    return "agrees" if (found.value > 0) == rises else "contradicts"
