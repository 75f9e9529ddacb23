"""How different two texts are. Two human texts of different subjects differ as well: none of this says that one is narrower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.measures import Counted, bucket_counts, counted
from recension.methods.audit.panel import Panel, Side
from recension.methods.audit.resampling import (
    Match,
    interval,
    joined,
    pair_numbers,
    permuted_pair,
    quarters,
    shuffled,
    whole,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

DIVERGENCES = ("js_words", "js_bigrams", "kl_eq9")
FOLDS, FEATURES, RIDGE = 5, 4096, 1.0
NEIGHBOURS = 5


class Shift(NamedTuple):
    """A figure of difference, the same figure between parts of the reference, its interval and p-value."""

    value: float
    human: float
    low: float
    high: float
    p: float


# --- divergences ------------------------------------------------------------------------------------------------------


def divergences(panel: Panel, one: Counted, two: Counted) -> Floats:
    """Jensen-Shannon of words and bigrams in bits; KL(two || one) in nats over hash buckets (Eq. 9)."""
    parts = []
    for text in (one, two):
        counts = bucket_counts(panel, text) + 0.5
        parts.append(counts / counts.sum())
    kl = float((parts[1] * np.log(parts[1] / parts[0])).sum())
    return np.array([_js(one.grams[0], two.grams[0]), _js(one.grams[1], two.grams[1]), kl])


def _js(one: Ints, two: Ints) -> float:
    p, q = one / max(1, one.sum()), two / max(1, two.sum())
    middle = (p + q) / 2
    return (_entropy(middle) * 2 - _entropy(p) - _entropy(q)) / 2


def _entropy(p: Floats) -> float:
    seen = p[p > 0]
    return float(-(seen * np.log2(seen)).sum())


def excess(found: Match, count: int, seed: int) -> dict[str, Shift]:
    """Divergences of reference and candidate beyond those of two halves of the reference, at one size."""
    panel = found.panel
    rows, null = [], []
    for number in range(count):
        random = np.random.Generator(np.random.Philox(key=[seed + 1, number]))
        first, second, other = (counted(panel, joined(part)) for part in quarters(found, random))
        rows.append((divergences(panel, first, other), divergences(panel, first, second)))
        one, two = permuted_pair(found, random)
        null.append(divergences(panel, counted(panel, one), counted(panel, two)))
    across, within = (np.array([row[k] for row in rows]) for k in (0, 1))
    seen = divergences(panel, counted(panel, whole(found.left)), counted(panel, whole(found.right)))
    p = ((np.array(null) >= seen).sum(axis=0) + 1) / (count + 1)
    low, high = interval(across - within)
    return {
        name: Shift(*(float(v) for v in (across[:, i].mean(), within[:, i].mean(), low[i], high[i], p[i])))
        for i, name in enumerate(DIVERGENCES)
    }


# --- a classifier -----------------------------------------------------------------------------------------------------


def features(panel: Panel, side: Side) -> NDArray[np.float32]:
    """Each unit as hashed words and bigrams, damped, of length 1."""
    table = np.zeros((len(side.starts), FEATURES), dtype=np.float32)
    border = panel.kinds[0]
    for row, (start, size) in enumerate(zip(side.starts.tolist(), side.sizes.tolist(), strict=True)):
        words, pairs = (panel.grams[k][start : start + size] for k in (0, 1))
        places = np.concatenate([panel.buckets[0][words], panel.buckets[1][border + pairs[pairs >= 0]]])
        table[row] = np.log1p(np.bincount(places % FEATURES, minlength=FEATURES))
    length = np.linalg.norm(table, axis=1, keepdims=True)
    table /= np.maximum(length, 1e-9)
    return table


class Owned(NamedTuple):
    """The clusters of the left units, then of the right ones, and numbers of their names: a source of both has one name.

    `paired` where the two clusters of one name are versions of one text.
    """

    clusters: Ints
    names: Ints
    paired: bool = False


def owned(panel: Panel, sides: Sequence[Side], paired: bool = False) -> Owned:
    clusters = np.concatenate([side.clusters for side in sides])
    return Owned(clusters, pair_numbers(panel)[clusters], paired)


def classifier(left: NDArray[np.float32], right: NDArray[np.float32], owner: Owned, count: int, seed: int) -> Shift:
    """The area under the curve of a linear classifier (ridge) on units it has not seen, nor any of their source.

    0.5 is chance. The p-value permutes whole clusters, and swaps pairs; `human` is the same figure for two halves of the left
    clusters. A source that stands on both sides is held out on both at once: else the classifier would know it as the other
    side's. Where a side has one source, nothing of it is left to learn from, and there is no figure.
    """
    clusters = owner.clusters
    table = np.concatenate([left, right]).astype(np.float64)
    owners = np.arange(len(table)) >= len(left)
    random = np.random.Generator(np.random.Philox(key=[seed + 2, 0]))
    gram = _centred(table)
    if min(len(np.unique(owner.names[owners == side])) for side in (False, True)) < 2:
        return Shift(*[float("nan")] * 5)
    labels = _label_sets(owners, owner, count, random)
    scores = _held_out(gram, labels, folds_of(owners, owner.names))
    areas = np.array([area(scores[:, k], labels[:, k] > 0) for k in range(labels.shape[1])])
    spread = []
    for _ in range(count):
        half = _half(owners, owner, random)
        spread.append(area(scores[half, 0], owners[half]))
    apart = np.array(spread) - np.mean(spread)
    low, high = interval(apart)
    p = float((areas[1:] >= areas[0]).sum() + 1) / len(areas)
    value = float(areas[0])
    human = _among_themselves(left, clusters[: len(left)], random)
    return Shift(value, human, value + float(low), min(1.0, value + float(high)), p)


def _among_themselves(left: NDArray[np.float32], clusters: Ints, random: np.random.Generator) -> float:
    """The figure for random halves of one side: what the method sees where there is nothing but chance and subject."""
    found = []
    gram = _centred(left.astype(np.float64))
    for _ in range(4):
        distinct, numbers = np.unique(clusters, return_inverse=True)
        owners = (random.permutation(len(distinct)) >= len(distinct) // 2)[numbers]
        if owners.all() or not owners.any():
            return float("nan")
        scores = _held_out(gram, np.where(owners, 1.0, -1.0)[:, None], folds_of(owners, clusters))
        found.append(area(scores[:, 0], owners))
    return float(np.mean(found))


def _centred(table: Floats) -> Floats:
    table = table - table.mean(axis=0)
    found: Floats = table @ table.T
    return found


def _label_sets(owners: NDArray[np.bool_], owner: Owned, count: int, random: np.random.Generator) -> Floats:
    """The true labels, then permuted ones, by whole clusters of about the same number on each side; of pairs, swapped ones."""
    if owner.paired:
        own = np.where(owners, 1.0, -1.0)
        most = int(owner.names.max()) + 1
        return np.stack([own, *(own * random.choice([-1.0, 1.0], most)[owner.names] for _ in range(count))], axis=1)
    distinct, numbers = np.unique(owner.clusters, return_inverse=True)
    true = np.zeros(len(distinct))
    true[numbers] = np.where(owners, 1.0, -1.0)
    return np.stack([true[numbers], *(random.permutation(true)[numbers] for _ in range(count))], axis=1)


def folds_of(owners: NDArray[np.bool_], sources: Ints) -> Ints:
    """A fold for each unit: sources whole, those of both sides, of the left and of the right dealt out in turn."""
    distinct, numbers = np.unique(sources, return_inverse=True)
    sides = [np.isin(distinct, sources[owners == side]) for side in (False, True)]
    folds = np.zeros(len(distinct), dtype=np.int64)
    for kind in (sides[0] & sides[1], sides[0] & ~sides[1], sides[1] & ~sides[0]):
        folds[kind] = np.arange(int(kind.sum())) % FOLDS
    found: Ints = folds[numbers]
    return found


def _held_out(gram: Floats, labels: Floats, folds: Ints) -> Floats:
    scores = np.zeros_like(labels)
    for fold in range(FOLDS):
        test = folds == fold
        if not test.any() or test.all():
            continue
        inner = gram[np.ix_(~test, ~test)]
        known = labels[~test]
        solved = np.linalg.solve(inner + RIDGE * np.eye(len(inner)), known - known.mean(axis=0))
        found = gram[np.ix_(test, ~test)] @ solved
        scores[test] = found  # each fold has its own offset, so what counts is the rank within it
        scores[test] -= found.mean(axis=0)
    return scores


def area(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """The probability that a positive one has the higher score (ties count half)."""
    above, below = int(positive.sum()), int((~positive).sum())
    if not above or not below:
        return float("nan")
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return float((ranks[positive].sum() - above * (above + 1) / 2) / (above * below))


def _half(owners: NDArray[np.bool_], owner: Owned, random: np.random.Generator) -> NDArray[np.bool_]:
    """Half of the clusters of each side, or half of the pairs."""
    keep = np.zeros(len(owners), dtype=bool)
    parts = (np.ones_like(owners),) if owner.paired else (~owners, owners)
    for own in parts:
        distinct, numbers = np.unique((owner.names if owner.paired else owner.clusters)[own], return_inverse=True)
        keep[own] = (random.permutation(len(distinct)) < max(1, len(distinct) // 2))[numbers]
    return keep


# --- embeddings -------------------------------------------------------------------------------------------------------


class Embedded(NamedTuple):
    """Of the candidate's unit vectors against the reference's (Naeem and others, 2020); `human`: between its halves."""

    coverage: float
    density: float
    human_coverage: float
    human_density: float


def coverage(reference: NDArray[np.float32], candidate: NDArray[np.float32]) -> tuple[float, float]:
    """The share of reference points with a candidate among their nearest, and how many such balls hold a candidate.

    Both sides are cut to one size: with more points of one side the figures would mean something else.
    """
    size = min(len(reference), len(candidate))
    pool = np.concatenate([reference[:size], candidate[:size]]).astype(np.float64)
    found = _covered(2 - 2 * pool @ pool.T, np.arange(size), np.arange(size, 2 * size))
    return float(found[0]), float(found[1])


def _covered(apart: Floats, real: Ints, fake: Ints) -> Floats:
    """Coverage and density of some points by as many others, from the distances of all."""
    near = min(NEIGHBOURS, len(real) - 1)
    if near < 1:
        return np.full(2, np.nan)
    own = apart[np.ix_(real, real)]
    np.fill_diagonal(own, np.inf)
    radius = np.partition(own, near - 1, axis=1)[:, near - 1]
    inside = apart[np.ix_(real, fake)] <= radius[:, None]
    return np.array([inside.any(axis=1).mean(), inside.sum() / (near * len(real))])


def covering(
    left: NDArray[np.float32], right: NDArray[np.float32], owner: Owned, count: int, seed: int
) -> dict[str, Shift]:
    """Coverage and density of halves of the left vectors by halves of the right ones, beside the same by their other halves.

    The interval is that of what lies between the two. The p-value, for a difference of either sign, deals whole clusters out
    anew, and swaps pairs.
    """
    pool = np.concatenate([left, right]).astype(np.float64)
    apart = 2 - 2 * pool @ pool.T
    owners = np.arange(len(pool)) >= len(left)
    sides = np.flatnonzero(~owners), np.flatnonzero(owners)
    most = min(map(len, sides))
    random = np.random.Generator(np.random.Philox(key=[seed + 3, 0]))
    draws = []
    half = most // 2
    for _ in range(count):
        if owner.paired:  # halves of other pairs, as the other half of the reference is
            ranks = random.permutation(int(owner.names.max()) + 1)[owner.names]
            real, fake = (s[np.argsort(r[s], kind="stable")] for s, r in zip(sides, (ranks, -ranks), strict=True))
        else:
            real, fake = (side[shuffled(owner.clusters[side], random)] for side in sides)
        draws.append((_covered(apart, real[:half], fake[:half]), _covered(apart, real[:half], real[::-1][:half])))
    across, within = np.array(draws).transpose(1, 0, 2)
    null = []
    for labels in _label_sets(owners, owner, count, random).T:
        one, two = np.flatnonzero(labels < 0), np.flatnonzero(labels > 0)
        size = min(len(one), len(two), most)
        null.append(_covered(apart, one[:size], two[:size]))
    off = np.abs(np.array(null) - np.mean(null[1:], axis=0))
    p = ((off[1:] >= off[0]).sum(axis=0) + 1) / len(off)
    low, high = interval(across - within)
    return {
        name: Shift(*(float(v) for v in (across[:, i].mean(), within[:, i].mean(), low[i], high[i], p[i])))
        for i, name in enumerate(("coverage", "density"))
    }


def embedded(reference: NDArray[np.float32], candidate: NDArray[np.float32]) -> Embedded:
    half = min(len(reference), len(candidate)) // 2
    seen = coverage(reference[:half], candidate[:half])
    human = coverage(reference[:half], reference[half : 2 * half])
    return Embedded(*seen, *human)
