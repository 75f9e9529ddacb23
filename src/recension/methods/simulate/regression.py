"""Linear regressions over generations: every one is drawn, fitted and answered for real, thousands in one go.

T samples x ~ N(0, Sigma) with d features, answers y = x w* + noise. Generation n fits the answers it is given and answers
some of the rows anew, with fresh noise; a policy says which rows, and of whose text the others are. The true weights cancel:
what is followed is the noise in the answers. One draw serves all policies, so that they differ by policy and not by luck.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.methods.simulate import theory

Floats = NDArray[np.float64]

POLICIES = (
    "replace",
    "accumulate",
    "accumulate_fixed",
    "chain",
    "chain_decay",
    "chain_same_set",
    "chain_disjoint",
    "anchor",
)
MEMORY = 4 << 20  # bytes of the arrays of one chunk, about: what a cache holds is fastest
MOST = 2_048


@dataclass(frozen=True, slots=True)
class Design:
    """What is simulated. `share` of the rows is answered anew, in `chain_decay` times `decay` in every generation.

    `correlation` r gives the features the covariance r^|i-j|.
    """

    generations: int
    samples: int
    features: int
    share: float
    decay: float
    correlation: float = 0.0

    @property
    def h(self) -> float:
        return self.features / self.samples

    @property
    def unit(self) -> float:
        """The expected test error of the first model, for noise of variance 1."""
        return self.features / (self.samples - self.features - 1)

    @property
    def disjoint_share(self) -> float:
        """Sets that do not meet cannot be larger than this."""
        return min(self.share, 1 / self.generations)

    @property
    def decaying(self) -> list[float]:
        return [self.share * self.decay**n for n in range(self.generations - 1)]

    @property
    def constant(self) -> list[float]:
        return [self.share] * (self.generations - 1)

    def chunk(self) -> int:
        """How many regressions fit into memory together; a function of the design, so that chunks are always the same."""
        each = 8 * self.samples * (4 * len(POLICIES) + self.generations + 3 * self.features)
        return int(np.clip(MEMORY // each, 1, MOST))


class Expected(NamedTuple):
    """What theory says by policy: at this d/T (None where only the limit is known), and for many samples."""

    here: list[float] | None
    limit: list[float]


def expected(design: Design) -> dict[str, Expected]:
    n, q, h = design.generations, design.share, design.h
    exact = {"replace": theory.replaced(n), "accumulate": theory.accumulated(n)}
    return {
        **{name: Expected(values, values) for name, values in exact.items()},
        "accumulate_fixed": Expected(theory.accumulated_fixed(n, h), theory.accumulated_fixed(n, 0)),
        "chain": Expected(theory.chained(design.constant, h), theory.chained(design.constant, 0)),
        "chain_decay": Expected(theory.chained(design.decaying, h), theory.chained(design.decaying, 0)),
        "chain_same_set": Expected(theory.same_set(q, n, h, design.samples), theory.same_set(q, n, 0)),
        "chain_disjoint": Expected(None, theory.disjoint(design.disjoint_share, n)),
        "anchor": Expected(theory.anchored(q, n, h), theory.anchored(q, n, 0)),
    }


def covariance(design: Design) -> Floats:
    places = np.arange(design.features)
    found: Floats = design.correlation ** np.abs(places[:, None] - places[None, :]).astype(np.float64)
    return found


def simulate(design: Design, count: int, seed: int, chunk: int) -> Floats:
    """Test errors (count, policies, generations) in units of the first model's. A function of seed and chunk."""
    random = np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, chunk])))
    rows = design.samples
    factor = np.linalg.cholesky(covariance(design))
    features = random.standard_normal((count, rows, design.features)) @ factor.T
    basis, upper = np.linalg.qr(features)
    across = np.ascontiguousarray(basis.transpose(0, 2, 1))
    # From what a fit holds within the basis to the error in its weights, measured by the covariance of the features.
    measure = np.linalg.solve(upper.transpose(0, 2, 1), factor[None])
    first = random.standard_normal((count, rows))
    noise = np.repeat(first[:, None], len(POLICIES), axis=1)  # (regression, policy, row)
    answers = np.empty((count, design.generations, rows))  # of accumulate_fixed
    answers[:, 0] = first
    places = random.random((count, rows))
    turns = np.argsort(random.random((count, rows)), axis=1)
    borders = np.rint(np.arange(design.generations + 1) * design.disjoint_share * rows).astype(np.int64)
    found = np.empty((count, len(POLICIES), design.generations))
    for n in range(design.generations):
        fit = noise @ basis
        found[:, :, n] = ((fit @ measure) ** 2).sum(axis=2) / design.unit
        if n == design.generations - 1:
            break
        fresh = random.standard_normal((count, rows))
        u = random.random((count, rows))
        new = fit @ across
        new += fresh[:, None]
        masks = {
            "chain": u < design.share,
            "chain_decay": u < design.share * design.decay**n,
            "chain_same_set": places < design.share,
            "chain_disjoint": (turns >= borders[n]) & (turns < borders[n + 1]),
            "anchor": u < design.share,
        }
        for i, name in enumerate(POLICIES):
            if name == "replace":
                noise[:, i] = new[:, i]
            elif (
                name == "accumulate"
            ):  # the mean of all answers to a row: the fit of the last ones, and a part of the noise
                noise[:, i] = new[:, i] - fresh * ((n + 1) / (n + 2))
            elif name == "accumulate_fixed":
                answers[:, n + 1] = new[:, i]
                noise[:, i] = np.take_along_axis(answers, (u * (n + 2)).astype(np.int64)[:, None], axis=1)[:, 0]
            elif name == "anchor":
                noise[:, i] = np.where(masks[name], new[:, i], first)
            else:
                np.copyto(noise[:, i], new[:, i], where=masks[name])
    return found


class Sums(NamedTuple):
    """What chunks leave: sums that add up."""

    drawn: int
    total: Floats  # (policies, generations)
    squares: Floats

    @property
    def mean(self) -> Floats:
        return self.total / self.drawn

    @property
    def standard_error(self) -> Floats:
        """Of the mean; with one regression there is none, and it is without bound."""
        if self.drawn < 2:
            return np.full_like(self.total, np.inf)
        variance = np.maximum(self.squares - self.total**2 / self.drawn, 0) / (self.drawn - 1)
        found: Floats = np.sqrt(variance / self.drawn)
        return found


def sums(errors: Floats) -> Sums:
    return Sums(len(errors), errors.sum(axis=0), (errors**2).sum(axis=0))


def added(left: Sums, right: Sums) -> Sums:
    return Sums(left.drawn + right.drawn, left.total + right.total, left.squares + right.squares)
