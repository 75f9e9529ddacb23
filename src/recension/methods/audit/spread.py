"""How a scorer's log-probabilities are spread over passages: narrower text has fewer surprising passages and more sure tokens.

The level of perplexity says little: its direction depends on the scorer. The spread is closer to what is meant, and still has
to be seen by several scorers alike before it counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.resampling import Draws

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FIGURES = ("spread", "beyond_90", "below_0.1", "above_0.9")
SENSES = np.array([-1.0, -1.0, -1.0, +1.0])
SURE, UNSURE = 0.9, 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Passages as one scorer sees them: nats and tokens, tokens of probability below 0.1 and above 0.9, clusters."""

    nats: Floats
    tokens: Ints
    unsure: Ints
    sure: Ints
    clusters: Ints

    @property
    def levels(self) -> Floats:
        """The mean log-perplexity of each passage."""
        found: Floats = self.nats / np.maximum(self.tokens, 1)
        return found

    def only(self, chosen: Ints | NDArray[np.bool_]) -> Scored:
        parts = (self.nats, self.tokens, self.unsure, self.sure, self.clusters)
        return Scored(*(part[chosen] for part in parts))  # type: ignore[arg-type]


def joined(parts: Sequence[Scored]) -> Scored:
    names = ("nats", "tokens", "unsure", "sure", "clusters")
    return Scored(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def figures(text: Scored, bar: float) -> Floats:
    """The interquartile range of log-perplexity, the share of passages above the bar, and both ends of the U."""
    levels = text.levels
    low, high = np.quantile(levels, [0.25, 0.75])
    tokens = max(1, int(text.tokens.sum()))
    beyond = (np.count_nonzero(levels > bar) + 0.5) / (len(levels) + 1)
    return np.array([
        max(high - low, 1e-9), beyond, (text.unsure.sum() + 0.5) / (tokens + 1), (text.sure.sum() + 0.5) / (tokens + 1)
    ])  # fmt: skip


def both(reference: Scored, candidate: Scored) -> tuple[Floats, Floats]:
    bar = float(np.quantile(reference.levels, 0.9))
    return figures(reference, bar), figures(candidate, bar)


def effects(reference: Scored, candidate: Scored) -> Floats:
    a, b = both(reference, candidate)
    found: Floats = SENSES * np.log(b / a)
    return found


def draws(reference: Scored, candidate: Scored, count: int, seed: int, paired: bool = False) -> Draws:
    """Permutations and halves of clusters, as for the other figures; the two of a pair have one number."""
    if paired:
        return _of_pairs(reference, candidate, count, seed)
    candidate = Scored(
        candidate.nats, candidate.tokens, candidate.unsure, candidate.sure,
        candidate.clusters + int(reference.clusters.max()) + 1,
    )  # fmt: skip
    pool = joined([reference, candidate])
    permuted, halves = [], []
    for number in range(count):
        random = np.random.Generator(np.random.Philox(key=[seed, number]))
        order = _shuffled(pool.clusters, random)
        border = len(reference.nats)
        permuted.append(effects(pool.only(order[:border]), pool.only(order[border:])))
        parts = [side.only(_shuffled(side.clusters, random)[: len(side.nats) // 2]) for side in (reference, candidate)]
        halves.append(effects(*parts))
    return Draws(np.array(permuted), np.array(halves))


def _of_pairs(reference: Scored, candidate: Scored, count: int, seed: int) -> Draws:
    """Pairs swapped, and halves of the pairs."""
    pool = joined([reference, candidate])
    own = np.arange(len(pool.nats)) < len(reference.nats)
    most = int(pool.clusters.max()) + 1
    permuted, halves = [], []
    for number in range(count):
        random = np.random.Generator(np.random.Philox(key=[seed, number]))
        first = own != (random.random(most) < 0.5)[pool.clusters]
        permuted.append(effects(pool.only(first), pool.only(~first)))
        ranks = random.permutation(most)
        order = [np.argsort(ranks[side.clusters], kind="stable") for side in (reference, candidate)]
        parts = [side.only(o[: len(o) // 2]) for side, o in zip((reference, candidate), order, strict=True)]
        halves.append(effects(*parts))
    return Draws(np.array(permuted), np.array(halves))


def left_out(reference: Scored, most: int = 20) -> Floats:
    """The effects of the reference without one of its sources against all of it."""
    distinct, numbers = np.unique(reference.clusters, return_inverse=True)
    groups = numbers % most if len(distinct) > most else numbers
    found = [
        effects(reference, reference.only(groups != group))
        for group in np.unique(groups)
        if 4 <= np.count_nonzero(groups != group)
    ]
    return np.array(found).reshape(-1, len(FIGURES))


def _shuffled(clusters: Ints, random: np.random.Generator) -> Ints:
    distinct, numbers = np.unique(clusters, return_inverse=True)
    return np.argsort(random.permutation(len(distinct))[numbers], kind="stable")
