"""Estimates with their standard errors, of one model and of the difference of two on the same documents.

Every metric here is a mean, a ratio of sums, or the exponential of one. Each document moves such an estimate by a
little, its influence; the standard error is that of the mean influence (the delta method). For a plain mean it is the
sample standard deviation over the root of n, which is what lm-evaluation-harness prints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054


class Rule(NamedTuple):
    """How values of documents become one: `scale` times their sum over the sum of their weights, perhaps as an exponent."""

    scale: float = 1.0
    exponential: bool = False


RULES: Mapping[str, Rule] = {
    "mean": Rule(),
    "bits": Rule(1 / math.log(2)),
    "exp": Rule(exponential=True),
}


class Item(NamedTuple):
    """What one document adds to a metric."""

    value: float
    weight: float = 1.0


class Estimate(NamedTuple):
    """A value, its standard error (None for fewer than two documents) and an interval of 95 %."""

    value: float
    stderr: float | None
    n: int
    low: float | None
    high: float | None


class _Moved(NamedTuple):
    value: float
    influence: NDArray[np.float64]


def estimate(rule: str, items: Sequence[Item]) -> Estimate:
    """The value of a metric over some documents. Of shares (all 0 or 1) the interval is Wilson's."""
    moved = _moved(rule, items)
    error = _error(moved.influence)
    plain = rule == "mean" and all(item.value in (0.0, 1.0) and item.weight == 1.0 for item in items)
    low: float | None
    high: float | None
    if plain:
        low, high = _wilson(moved.value, len(items))
    elif RULES[rule].exponential:
        low, high = _around_exponential(moved.value, error)
    else:
        low, high = interval(moved.value, error)
    return Estimate(moved.value, error, len(items), low, high)


def difference(rule: str, ours: Sequence[Item], theirs: Sequence[Item]) -> Estimate:
    """Ours minus theirs, document by document, so that what makes a document hard for both cancels."""
    if len(ours) != len(theirs):
        raise ValueError("the two models have to be judged on the same documents")
    left, right = _moved(rule, ours), _moved(rule, theirs)
    with np.errstate(invalid="ignore"):  # of two infinite perplexities there is no difference
        error = _error(left.influence - right.influence)
        value = left.value - right.value
    return Estimate(value, error, len(ours), *interval(value, error))


def _moved(rule: str, items: Sequence[Item]) -> _Moved:
    scale, exponential = RULES[rule]
    values, weights = np.array(items, dtype=np.float64).reshape(-1, 2).T
    ratio = values.sum() / weights.sum()
    influence = scale * (values - ratio * weights) / weights.mean()
    value = scale * ratio
    if exponential:
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # a model that gives a text no chance has an infinite perplexity
            value = np.exp(value)
            influence = influence * value
    return _Moved(float(value), influence)


def _error(influence: NDArray[np.float64]) -> float | None:
    n = len(influence)
    return math.sqrt(float(np.square(influence).sum()) / (n - 1) / n) if n > 1 else None


def interval(value: float, error: float | None) -> tuple[float | None, float | None]:
    """95 % around a value, as far as it is normal."""
    return (None, None) if error is None else (value - Z95 * error, value + Z95 * error)


def _around_exponential(value: float, error: float | None) -> tuple[float | None, float | None]:
    """The interval of the exponent, so that a perplexity stays above 0."""
    if error is None or not math.isfinite(value):
        return None, None
    return value * math.exp(-Z95 * error / value), value * math.exp(min(Z95 * error / value, 700.0))


def _wilson(share: float, n: int) -> tuple[float, float]:
    """An interval for a share that is honest at 0 and at 1, where the standard error is 0."""
    z2 = Z95 * Z95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)
