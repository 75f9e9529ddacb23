"""Curves of several seeds: what a policy costs, whether the cost still grows, and what a corpus takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Student's t for intervals of 95 %, by degrees of freedom.
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


class Spread(NamedTuple):
    """A mean over seeds with its interval of 95 %; with one seed the interval has no bounds."""

    value: float
    low: float
    high: float

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2


def spread(values: Sequence[float]) -> Spread:
    mean = float(np.mean(values))
    if len(values) < 2:
        return Spread(mean, -math.inf, math.inf)
    quantile = _T95[len(values) - 2] if len(values) - 2 < len(_T95) else 1.96
    half = quantile * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Spread(mean, mean - half, mean + half)


SETTLED, SLOWED = 0.1, 2 / 3  # growth at the end, as shares of the mean growth, below which a cost settles or slows


class Cost(NamedTuple):
    """What the last generation costs against the first, as a share of it; what one adds, at the end and on average."""

    total: Spread
    growth: Spread
    mean_growth: float

    @property
    def state(self) -> str:
        """`unknown` with one seed; `none shown`, as far as the seeds can tell; else it `settles`, `slows` or `grows` on."""
        if math.isinf(self.total.low):
            return "unknown"
        if not self.total.low > 0:
            return "none shown"
        share = self.growth.value / self.mean_growth
        if share < SETTLED or (self.growth.low <= 0 and self.growth.high < SLOWED * self.mean_growth):
            return "settles"
        return "slows" if share < SLOWED else "grows"


def cost(curves: Sequence[Sequence[float]]) -> Cost:
    """`curves` are bits per byte by generation, one for each seed. Seeds are compared with themselves.

    Growth at the end is that of the second half of the generations.
    """
    table = np.asarray(curves, dtype=np.float64)
    table = table / table[:, :1] - 1
    last = table.shape[1] - 1
    middle = last - max(1, last // 2)
    total = spread(table[:, -1].tolist())
    late = (table[:, last] - table[:, middle]) / max(1, last - middle)
    return Cost(total, spread(late.tolist()), total.value / max(1, last))
