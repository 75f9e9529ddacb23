"""The edit budget: which threshold and temperature change a wanted share of the tokens.

Nothing is drawn. The probability that a flagged token changes is known from its candidates, so the expected share is a
sum, and it only falls as the threshold rises. The threshold is moved first; only where it reaches `FLOOR` (a token below
it is none that the prior expects, and ToEdit edits expected ones) the temperature rises too, up to `HOTTEST`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recension.document import Field
from recension.errors import UnreachableError
from recension.methods.toedit import Proposal, Sampling, Surfaces, propose, standing
from recension.ports import TokenScores

FLOOR = 0.1
HOTTEST = 3.0


@dataclass(frozen=True, slots=True)
class Scored:
    """One text of the sample, scored with everything above `FLOOR` flagged."""

    fields: tuple[Field, ...]
    scores: TokenScores
    protect: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Solution:
    """What the solver chose, and what it expects of it on its sample."""

    threshold: float
    temperature: float
    expected: float
    maximum: float
    documents: int
    tokens: int


def chances(sample: Sequence[Scored], surfaces: Surfaces, sampling: Sampling) -> tuple[NDArray[np.float64], ...]:
    """For the editable flagged tokens of the sample: their probability, and the chance that each changes."""
    sure: list[NDArray[np.float64]] = []
    change: list[NDArray[np.float64]] = []
    for item in sample:
        editable = standing(item.scores, item.fields, item.protect).editable
        proposal: Proposal = propose(item.scores, surfaces.drawable, sampling)
        chance = np.where(proposal.draw.sum(axis=1) > 0, 1.0 - proposal.keeps, 0.0)
        sure.append(np.exp(item.scores.logprobs[item.scores.flagged].astype(np.float64))[editable])
        change.append(chance[editable])
    if not sure:
        return np.empty(0), np.empty(0)
    return np.concatenate(sure), np.concatenate(change)


def count_tokens(sample: Sequence[Scored]) -> int:
    return sum(int(standing(item.scores, item.fields, item.protect).own.sum()) for item in sample)


def expected_share(sample: Sequence[Scored], surfaces: Surfaces, sampling: Sampling) -> float:
    """The expected share of changed tokens under `sampling`, whose thresholds the sample was scored with."""
    total = count_tokens(sample)
    if not total:
        return 0.0
    sure, change = chances(sample, surfaces, sampling)
    chosen = np.zeros(len(sure), dtype=bool)
    if sampling.above is not None:
        chosen |= sure >= sampling.above
    if sampling.below is not None:
        chosen |= sure <= sampling.below
    return float(change[chosen].sum() / total)


def solve(sample: Sequence[Scored], surfaces: Surfaces, sampling: Sampling, share: float) -> Solution:
    """The setting nearest to `sampling` that is expected to change `share` of the tokens."""
    total = count_tokens(sample)

    def reached(temperature: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        sure, change = chances(sample, surfaces, replace(sampling, temperature=temperature))
        order = np.argsort(-sure, kind="stable")
        order = order[sure[order] >= FLOOR]
        return sure[order], np.cumsum(change[order]) / max(total, 1)

    def top(temperature: float) -> float:
        shares = reached(temperature)[1]
        return float(shares[-1]) if len(shares) else 0.0

    hottest = max(HOTTEST, sampling.temperature)
    maximum = max(top(hottest), top(sampling.temperature))
    if maximum < share:
        raise UnreachableError(
            f"--change-share {share:g} cannot be reached with this prior and sampler: at most {maximum:.4f} "
            f"(threshold {FLOOR:g}, temperature {hottest:g}); ask for less"
            + ("" if sampling.exclude_original else ", or add --exclude-original")
        )
    temperature = sampling.temperature
    if top(temperature) < share:
        low, high = temperature, hottest
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if top(middle) >= share else (middle, high)
        temperature = high
    sure, shares = reached(temperature)
    at = int(np.searchsorted(shares, share - 1e-12))
    threshold = float(sure[at])
    # Tokens of equal probability are flagged together.
    expected = float(shares[np.searchsorted(-sure, -threshold, side="right") - 1])
    return Solution(threshold, temperature, expected, maximum, len(sample), total)
