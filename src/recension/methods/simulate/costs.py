"""Curves of several seeds: what a policy costs, whether the cost still grows, and what a corpus takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recension.methods.seeds import Spread, spread

SETTLED, SLOWED = 0.1, 2 / 3  # growth at the end, as shares of the mean growth, below which a cost settles or slows


class Cost(NamedTuple):
    """What the last generation costs against the first, as a share of it; what one adds, at the end and on average."""

    total: Spread
    growth: Spread
    mean_growth: float

    @property
    def state(self) -> str:
        """`unknown` with one seed; `none shown`, as far as the seeds can tell; else it `settles`, `slows` or `grows` on."""
        if math.isnan(self.total.low):
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
