"""Intervals by resampling documents, in one pass and in memory that does not grow with them.

In each of `draws` resamples a document stands as often as a Poisson variable of mean 1 says (the Poisson bootstrap:
Chamandy and others, 2012). For sums and their ratios this is the usual bootstrap, but for the number of documents in a
resample, which varies and cancels out of a ratio; and no list of documents has to be kept. How often a document stands
in resample r is a function of (seed, name, its number, r), so the same documents in the same order give the same
interval, and figures of one document keep together: that is what makes a difference of two models a paired one.
"""

from __future__ import annotations

from math import exp, factorial

import numpy as np
from numpy.typing import NDArray

from recension.identity import fingerprint

Floats = NDArray[np.float64]
BLOCK = 1024
LEVEL = 0.95
FEWEST = 20

_STEPS = 1 << 16
_CHANCES = np.cumsum([exp(-1) / factorial(k) for k in range(12)])
# For each 16-bit number how often a document stands in a resample.
_TIMES = np.searchsorted(_CHANCES, (np.arange(_STEPS) + 0.5) / _STEPS).astype(np.uint8)


class Resampler:
    """Sums over documents, and the same sums over each resample of them."""

    def __init__(self, name: str, width: int, draws: int, seed: int) -> None:
        self.documents = 0
        self.totals: Floats = np.zeros(width)
        self._name, self._draws, self._seed = name, draws, seed
        self._resampled: Floats = np.zeros((draws, width))
        self._waiting: list[Floats] = []

    def add(self, rows: Floats) -> None:
        """One row of figures for each further document."""
        self.documents += len(rows)
        self.totals += rows.sum(axis=0)
        self._waiting.append(rows)
        while sum(map(len, self._waiting)) >= BLOCK:
            waiting = np.concatenate(self._waiting)
            self._resampled += self._drawn(waiting[:BLOCK], self.documents - len(waiting))
            self._waiting = [waiting[BLOCK:]]

    def resampled(self) -> Floats:
        """For each resample the sums of its documents."""
        waiting = np.concatenate([np.zeros((0, len(self.totals))), *self._waiting])
        return self._resampled + self._drawn(waiting, self.documents - len(waiting))

    def _drawn(self, rows: Floats, first: int) -> Floats:
        key = int(fingerprint([self._seed, self._name, first // BLOCK])[:32], 16)
        raw = np.random.Philox(key=key).random_raw(-(-self._draws * BLOCK // 4))
        times = _TIMES[raw.view(np.uint16)[: self._draws * BLOCK].reshape(self._draws, BLOCK)]
        found: Floats = times[:, : len(rows)].astype(np.float64) @ rows
        return found


def interval(resampled: Floats, level: float = LEVEL) -> tuple[float, float]:
    """The percentile interval; resamples in which nothing stood have no say."""
    known = resampled[np.isfinite(resampled)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
