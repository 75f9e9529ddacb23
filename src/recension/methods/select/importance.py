"""DSIR (Xie and others, 2023): documents drawn by how much more a target is like them than the corpus is.

The log-weight of a document is the sum over its words and pairs of log p(bucket | target) - log p(bucket | corpus). A draw
without replacement takes the largest sums of log-weight and Gumbel noise. Log-weights of whole documents spread much wider than
the noise, so that the draw is mostly the plain top: the effective sample size says how far, a temperature and a normalised
length do something about it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recension.methods.select.bags import BLOCK, Buckets, compiled, pairs_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FLOOR = 1e-8


def log_ratio(target: Ints, corpus: Ints) -> Floats:
    """By bucket, how much more likely it is in the target."""
    shares = [counts / max(1, int(counts.sum())) for counts in (target, corpus)]
    found: Floats = np.log(shares[0] + FLOOR) - np.log(shares[1] + FLOOR)
    return found


def log_weights(singles: Buckets, pairs: Buckets, words: Ints, ratio: Floats) -> Floats:
    """One for each document; 0 for one without words."""
    return _sums(singles, words, ratio) + _sums(pairs, pairs_of(words), ratio)


def _sums(buckets: Buckets, sizes: Ints, ratio: Floats) -> Floats:
    loops = compiled()
    if loops is None:
        return sums_by_arrays(buckets, sizes, ratio)
    found: Floats = loops.sums(buckets, sizes, ratio)
    return found


def sums_by_arrays(buckets: Buckets, sizes: Ints, ratio: Floats) -> Floats:
    """Of each text the sum over its n-grams: in blocks, one after the other, then the blocks. Compiled loops do the same, to
    the bit, and long texts lose few digits."""
    blocks = -(-sizes // BLOCK)
    places = np.arange(len(buckets)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    owners = np.repeat(np.cumsum(blocks) - blocks, sizes) + places // BLOCK
    parts = np.bincount(owners, weights=ratio[buckets], minlength=int(blocks.sum()))
    found: Floats = np.bincount(np.repeat(np.arange(len(sizes)), blocks), weights=parts, minlength=len(sizes)).astype(
        np.float64
    )
    return found


def at_mean_length(weights: Floats, words: Ints, mean: float) -> Floats:
    """What the weights would be if every document had the mean number of n-grams."""
    sizes = words + pairs_of(words)
    found: Floats = weights * (mean / np.maximum(sizes, 1))
    return found


def gumbel(uniforms: Floats) -> Floats:
    """Standard Gumbel noise from uniform numbers in [0, 1)."""
    found: Floats = -np.log(-np.log(np.maximum(uniforms, 2.0**-54)))
    return found


@dataclass(frozen=True, slots=True)
class Effective:
    """Sums of weights that add up: `peak` is the largest log-weight, the sums are relative to it."""

    count: int = 0
    peak: float = -np.inf
    first: float = 0.0
    second: float = 0.0
    sum: float = 0.0
    squares: float = 0.0

    @property
    def size(self) -> float:
        """How many equal weights would be worth as much: (sum w)^2 / sum w^2."""
        return self.first**2 / self.second if self.second else 0.0

    @property
    def spread(self) -> float:
        """The standard deviation of the log-weights."""
        if not self.count:
            return 0.0
        mean = self.sum / self.count
        return float(np.sqrt(max(0.0, self.squares / self.count - mean**2)))


def effective(log_weights: Floats) -> Effective:
    if not len(log_weights):
        return Effective()
    peak = float(log_weights.max())
    weights = np.exp(log_weights - peak)
    sums = float(log_weights.sum()), float((log_weights**2).sum())
    return Effective(len(log_weights), peak, float(weights.sum()), float((weights**2).sum()), *sums)


def joined(left: Effective, right: Effective) -> Effective:
    if not left.count or not right.count:
        return left if left.count else right
    peak = max(left.peak, right.peak)
    a, b = np.exp(left.peak - peak), np.exp(right.peak - peak)
    first = float(left.first * a + right.first * b)
    second = float(left.second * a**2 + right.second * b**2)
    return Effective(left.count + right.count, peak, first, second, left.sum + right.sum, left.squares + right.squares)
