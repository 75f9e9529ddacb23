"""Effects of a candidate against a reference: intervals by half-samples of clusters, p-values by permuting them.

A bootstrap with replacement would draw documents twice, and text that stands there twice *is* narrower. So the interval is
made of random halves without replacement, whose figures spread about as those of the whole sample do (the delete-half
jackknife of Shao and Wu, 1989). Several figures are tested at once: the adjusted p-value compares each with the largest of
all in every permutation (Westfall and Young), which takes their correlation into account.

Draw number i is a function of (seed, i), so draws can be made anywhere and in any number at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.measures import NAMES, TAIL, Stretch, effects, figures_of, stretch
from recension.methods.audit.panel import Panel, Side

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SOURCES = 20  # as many groups of clusters are left out, one at a time, where there are more clusters than that


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """Two sides trimmed to the same number of words in each stratum. `paired` clusters share their names."""

    panel: Panel
    left: tuple[Side, ...]  # by stratum
    right: tuple[Side, ...]
    budgets: tuple[int, ...]
    paired: bool = False

    @property
    def words(self) -> int:
        return sum(self.budgets)

    @property
    def sources(self) -> int:
        """How many clusters the side has that has fewer."""
        both = ({int(c) for side in sides for c in side.clusters} for sides in (self.left, self.right))
        return min(map(len, both))


class Draws(NamedTuple):
    """The effects of so many draws, one row for each."""

    permuted: Floats
    halves: Floats


def match(panel: Panel, budget: int, paired: bool = False) -> Match:
    """Trim the first two sides of a panel: their first units, in equal amounts, up to the budget."""
    left, right = panel.sides[:2]
    common = sorted(set(left.strata.tolist()) & set(right.strata.tolist()))
    sides = [(left.only(left.strata == s), right.only(right.strata == s)) for s in common]
    if paired:
        sides = [_of_pairs(panel, a, b) for a, b in sides]
    available = np.array([min(a.words, b.words) for a, b in sides], dtype=np.float64)
    share = min(1.0, budget / max(1.0, available.sum()))
    budgets = tuple(int(amount * share) for amount in available)
    trimmed = [(_trimmed(a, most), _trimmed(b, most)) for (a, b), most in zip(sides, budgets, strict=True)]
    return Match(panel, tuple(a for a, _ in trimmed), tuple(b for _, b in trimmed), budgets, paired)


def _of_pairs(panel: Panel, left: Side, right: Side) -> tuple[Side, Side]:
    """The units whose cluster has a partner on the other side."""
    names = np.array(panel.clusters, dtype=object)
    common = set(names[left.clusters]) & set(names[right.clusters])
    keep = [np.array([name in common for name in names[side.clusters]], dtype=bool) for side in (left, right)]
    return left.only(keep[0]), right.only(keep[1])


def _trimmed(side: Side, budget: int) -> Side:
    chosen = stretch(side, np.arange(len(side.starts)), budget)
    count = len(chosen.starts)
    return Side(chosen.starts, chosen.sizes, side.clusters[:count], side.strata[:count])


def joined(parts: Sequence[Stretch]) -> Stretch:
    return Stretch(np.concatenate([p.starts for p in parts]), np.concatenate([p.sizes for p in parts]))


def whole(sides: Sequence[Side]) -> Stretch:
    return joined([Stretch(side.starts, side.sizes) for side in sides])


def interleaved(strata: Sequence[Side]) -> Ints:
    """All units, in an order whose beginning holds its share of every stratum; of one stratum, the order they have."""
    places = [(np.cumsum(side.sizes) - side.sizes) / max(1, side.words) for side in strata]
    return np.argsort(np.concatenate(places), kind="stable")


def observed(found: Match) -> tuple[Floats, Floats]:
    """The figures of both sides."""
    return figures_of(found.panel, whole(found.left), whole(found.right))


def draw(found: Match, numbers: range, seed: int) -> Draws:
    """The draws of these numbers."""
    permuted, halves = [], []
    for number in numbers:
        random = np.random.Generator(np.random.Philox(key=[seed, number]))
        permuted.append(effects(*figures_of(found.panel, *permuted_pair(found, random))))
        pairs = [_halved(found, s, random) for s in range(len(found.budgets))]
        halves.append(effects(*figures_of(found.panel, joined([a for a, _ in pairs]), joined([b for _, b in pairs]))))
    return Draws(np.array(permuted), np.array(halves))


def permuted_pair(found: Match, random: np.random.Generator) -> tuple[Stretch, Stretch]:
    """Both sides dealt out anew."""
    pairs = [_permuted(found, s, random) for s in range(len(found.budgets))]
    return joined([a for a, _ in pairs]), joined([b for _, b in pairs])


def quarters(found: Match, random: np.random.Generator) -> tuple[list[Stretch], list[Stretch], list[Stretch]]:
    """Two random halves of the reference, and one of the candidate."""
    parts: tuple[list[Stretch], list[Stretch], list[Stretch]] = ([], [], [])
    for left, right, budget in zip(found.left, found.right, found.budgets, strict=True):
        order = shuffled(left.clusters, random)
        parts[0].append(stretch(left, order, budget // 2))
        parts[1].append(stretch(left, order[::-1], budget // 2))
        parts[2].append(stretch(right, shuffled(right.clusters, random), budget // 2))
    return parts


def _permuted(found: Match, stratum: int, random: np.random.Generator) -> tuple[Stretch, Stretch]:
    left, right, budget = found.left[stratum], found.right[stratum], found.budgets[stratum]
    pool = Side(*(np.concatenate(parts) for parts in zip(_fields(left), _fields(right), strict=True)))
    if found.paired:
        names = _numbered(found.panel, pool)
        own = np.arange(len(pool.starts)) < len(left.starts)
        swapped = random.random(int(names.max(initial=0)) + 1)[names] < 0.5
        first = np.flatnonzero(own != swapped)
        second = np.flatnonzero(own == swapped)
        most = min(int(pool.sizes[first].sum()), int(pool.sizes[second].sum()), budget)
        return stretch(pool, first, most), stretch(pool, second, most)
    order = shuffled(pool.clusters, random)
    return stretch(pool, order, budget), stretch(pool, order[::-1], budget)


def _halved(found: Match, stratum: int, random: np.random.Generator) -> tuple[Stretch, Stretch]:
    left, right, budget = found.left[stratum], found.right[stratum], found.budgets[stratum] // 2
    if not found.paired:
        return tuple(stretch(side, shuffled(side.clusters, random), budget) for side in (left, right))  # type: ignore[return-value]
    ranks = random.permutation(len(found.panel.clusters))
    parts = []
    for side in (left, right):
        names = _numbered(found.panel, side)
        parts.append(stretch(side, np.argsort(ranks[names], kind="stable"), budget))
    return parts[0], parts[1]


def _fields(side: Side) -> tuple[Ints, ...]:
    return side.starts, side.sizes, side.clusters, side.strata


def pair_numbers(panel: Panel) -> Ints:
    """The number of each cluster by its name: the two of a pair have one."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(name, i) for i, name in enumerate(panel.clusters)], dtype=np.int64)


def _numbered(panel: Panel, side: Side) -> Ints:
    found: Ints = pair_numbers(panel)[side.clusters]
    return found


def shuffled(clusters: Ints, random: np.random.Generator) -> Ints:
    """Units with their clusters in random order."""
    distinct, numbers = np.unique(clusters, return_inverse=True)
    return np.argsort(random.permutation(len(distinct))[numbers], kind="stable")


def left_out(found: Match) -> Floats:
    """The effects of the reference without one of its sources against all of it, one row for each source."""
    clusters = np.concatenate([side.clusters for side in found.left])
    distinct = np.unique(clusters)
    groups = distinct % SOURCES if len(distinct) > SOURCES else np.arange(len(distinct))
    group_of = dict(zip(distinct.tolist(), groups.tolist(), strict=True))
    every = whole(found.left)
    rows = list(_without(found, every, np.array([group_of[c] for c in clusters.tolist()])))
    return np.array(rows).reshape(-1, len(NAMES))  # no rows where there is one source, and still so many figures


def _without(found: Match, every: Stretch, groups: Ints) -> Iterator[Floats]:
    for group in np.unique(groups):
        keep = groups != group
        rest = Stretch(every.starts[keep], every.sizes[keep])
        size = int(rest.sizes.sum())
        if size < found.words // 4:
            continue
        # The whole, thinned evenly to the same size, so that a smaller sample is not taken for a richer one.
        order = np.argsort(np.arange(len(keep)) * 0.6180339887498949 % 1.0)
        side = Side(every.starts, every.sizes, groups, groups)
        found_effects = effects(*figures_of(found.panel, stretch(side, order, size), rest))
        found_effects[TAIL] = 0.0  # the two share their words, so their tails cannot be compared
        yield found_effects


class Tested(NamedTuple):
    """Of each figure: the 95 % interval of its effect, and the p-value that it is not narrower, alone and adjusted."""

    low: Floats
    high: Floats
    error: Floats
    p: Floats
    adjusted: Floats


def interval(drawn: Floats) -> tuple[Floats, Floats]:
    """The ends that hold 95 % of all draws in expectation, however few there are (numpy's default holds 92 % of 60)."""
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0, method="weibull")
    return low, high


def tested(effect: Floats, draws: Draws) -> Tested:
    apart = draws.halves - draws.halves.mean(axis=0)
    low, high = interval(apart)
    scale = np.maximum(draws.permuted.std(axis=0), 1e-12)
    null = (draws.permuted - draws.permuted.mean(axis=0)) / scale
    seen = effect / scale
    count = len(null) + 1
    p = ((null >= seen).sum(axis=0) + 1) / count
    return Tested(effect + low, effect + high, apart.std(axis=0), p, stepped_down(seen, null))


def stepped_up(p: Floats) -> Floats:
    """P-values adjusted for the rate of false discoveries (Benjamini and Hochberg), for tests that were not drawn together."""
    order = np.argsort(-p)
    ranks = np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(p[order] * len(p) / ranks))
    return adjusted


def stepped_down(seen: Floats, null: Floats) -> Floats:
    """Westfall and Young's step-down: the largest first, each against the largest of those that are left."""
    order = np.argsort(-seen)
    adjusted = np.empty(len(seen))
    last = 0.0
    for place, figure in enumerate(order):
        largest = null[:, order[place:]].max(axis=1)
        last = max(last, float(((largest >= seen[figure]).sum() + 1) / (len(null) + 1)))
        adjusted[figure] = last
    return adjusted
