"""Two models on one text: where the one begins to be worse (MAGA, arXiv 2502.04235, the loss pattern).

The paper takes the difference of the losses token by token, the mean of it in a sliding window of 5 % of the text, and
calls the first window whose mean exceeds |mean| + k standard deviations (both of this text) its first anomaly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ROUNDING = 1e-9


class Anomaly(NamedTuple):
    """What the window rule finds in a text of T tokens.

    `first` is the first window beyond the bar, as a share of the text, and -1 where there is none. `highest` is the
    largest k under which there would be one: it says for every other k whether the text has an anomaly.
    """

    first: float
    highest: float


class Passage(NamedTuple):
    """The window in which a text has its largest mean difference."""

    start: int
    stop: int
    mean: float


def differences(real: NDArray[np.float32], synthetic: NDArray[np.float32]) -> Floats:
    """The loss under the model of synthetic text less that under the model of real text, from their log-probabilities."""
    found: Floats = real.astype(np.float64) - synthetic.astype(np.float64)
    return found


def window_length(tokens: int, share: float) -> int:
    return max(int(share * tokens), 1)


def window_means(values: Floats, length: int) -> Floats:
    """The mean of every window of `length` values, by its first value."""
    sums = np.concatenate([np.zeros(1), np.cumsum(values)])
    means: Floats = (sums[length:] - sums[:-length]) / length
    return means


def anomaly(values: Floats, k: float, share: float) -> Anomaly:
    if not len(values):
        return Anomaly(-1.0, float("-inf"))
    mean, spread = abs(float(values.mean())), float(values.std())
    # Where all values are alike, the bar is not to be passed by what rounding adds to a sum.
    bar = mean + ROUNDING * (1.0 + float(np.abs(values).max()))
    means = window_means(values, window_length(len(values), share))
    beyond = np.flatnonzero(means > bar + k * spread)
    first = float(beyond[0]) / len(values) if len(beyond) else -1.0
    over = float(means.max()) - bar
    return Anomaly(first, over / spread if spread > 0 else float("-inf"))


def worst_passage(values: Floats, length: int) -> Passage:
    """The worst window of `length` tokens, or the whole text where it is shorter."""
    length = min(length, len(values))
    means = window_means(values, length)
    start = int(means.argmax())
    return Passage(start, start + length, float(means[start]))


def by_place(values: Floats, bins: int) -> tuple[Floats, Floats]:
    """Sums and counts of the values by where in the text they stand, from its start to its end."""
    at = np.arange(len(values)) * bins // max(len(values), 1)
    sums = np.bincount(at, values, minlength=bins)
    return sums.astype(np.float64), np.bincount(at, minlength=bins).astype(np.float64)
