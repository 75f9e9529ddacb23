"""Expected test errors of linear regression over generations, in units of sigma^2 d / (T - d - 1), the first model's.

With P the projection onto the features, e the noise in the answers, V = E|Pe|^2 / (sigma^2 d) is the test error in these
units: what a fit makes of the noise (P) is independent of how large the features are. A step with a mask M, by which the rows
are chosen that a model answers anew, gives e' = M (P e + E) + (1 - M) e. For fresh random masks and E|P_ii| = h = d/T this
closes over V and the rest of the noise; `h = 0` is the limit of many samples for each feature.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

NODES, SIZES = 400, 7


def replaced(generations: int) -> list[float]:
    """Every answer anew in every generation: exact."""
    return [float(n) for n in range(1, generations + 1)]


def accumulated(generations: int) -> list[float]:
    """All answers of all generations kept: exact, and below pi^2 / 6."""
    return [float(x) for x in np.cumsum(1.0 / np.arange(1, generations + 1) ** 2)]


def accumulated_fixed(generations: int, h: float) -> list[float]:
    """As many rows as at first, each with one of its answers so far, drawn afresh every time.

    `gram` holds the inner products, within the features, of what a row may be answered. What the draw adds is the variance of
    the answers within a row. For h = 0 the limit is pi^2 / 2 - 2.
    """
    gram = np.ones((1, 1))
    found = []
    for n in range(1, generations + 1):
        mean = float(gram.mean())
        drawn = h * (float(np.trace(gram)) / n - mean) + (1 - h) * (1 - 1 / n)
        found.append(mean + drawn)
        row = gram.mean(axis=1)
        gram = np.block([[gram, row[:, None]], [row[None, :], np.array([[found[-1] + 1]])]])
    return found


def chained(shares: Sequence[float], h: float) -> list[float]:
    """Each generation answers a fresh random share of the rows of the one before; `shares` has one less than there are."""
    error, rest = 1.0, 1.0 - h
    found = [error]
    for q in shares:
        error += q + q * (1 - q) * rest
        rest = (1 - q) * (1 - q * h) * rest + q * (1 - h)
        found.append(error)
    return found


def anchored(share: float, generations: int, h: float) -> list[float]:
    """Each generation answers a fresh random share of the rows of the original."""
    found = [1.0]
    for _ in range(generations - 1):
        found.append((share**2 + share * (1 - share) * h) * found[-1] + 1 + 2 * share * (1 - share) * (1 - h))
    return found


def same_set(share: float, generations: int, h: float, samples: int | None = None) -> list[float]:
    """The same rows in every generation; of a random number, where there are so many `samples` of which each is chosen or not.

    Along each direction of the features a share l of it lies in these rows. For many samples l is `share`; at a given h the
    shares are spread by Wachter's law, over which this is the mean.
    """
    if samples is not None:
        steps, parts = np.polynomial.hermite_e.hermegauss(SIZES)  # the number of rows, nearly normal, at a few points
        sizes = np.clip(share + math.sqrt(share * (1 - share) / samples) * steps, 0.0, 1.0)
        means = np.array([same_set(float(size), generations, h) for size in sizes])
        return [float(x) for x in parts @ means / parts.sum()]
    values, weights = wachter(share, h)
    found = []
    for n in range(1, generations + 1):
        kept = sum(values**k for k in range(n))  # (1 - l^n) / (1 - l), also where l is 1
        again = sum((values ** (2 * k + 1) for k in range(n - 1)), np.zeros_like(values))
        found.append(float(weights @ (kept**2 * (1 - values) + values ** (2 * n - 1) + again)))
    return found


def wachter(share: float, h: float) -> tuple[np.ndarray, np.ndarray]:
    """Which part of a random h T dimensional space lies in `share` T coordinates: values with their weights."""
    if h == 0 or share in (0, 1):
        return np.array([share]), np.ones(1)
    near, far = math.sqrt(share * (1 - h)), math.sqrt(h * (1 - share))
    low, high = (near - far) ** 2, (near + far) ** 2
    # Gauss-Chebyshev nodes of the second kind: the density has a root at both ends.
    angle = np.pi * np.arange(1, NODES + 1) / (NODES + 1)
    values = (low + high) / 2 + (high - low) / 2 * np.cos(angle)
    weights = (
        np.pi / (NODES + 1) * np.sin(angle) ** 2 * ((high - low) / 2) ** 2 / (2 * np.pi * h * values * (1 - values))
    )
    at_zero, at_one = max(0.0, 1 - share / h), max(0.0, 1 - (1 - share) / h)
    weights *= (1 - at_zero - at_one) / weights.sum()  # takes away what rounding left
    return np.append(values, [0.0, 1.0]), np.append(weights, [at_zero, at_one])


def disjoint(share: float, generations: int) -> list[float]:
    """Rows that no generation before has touched, for many samples (h = 0)."""
    grown = 1 + share
    found = []
    for n in range(1, generations + 1):
        touched = sum(grown ** (2 * (n - 1 - k)) * ((grown**k - 1) ** 2 + 1) for k in range(1, n))
        found.append((1 - (n - 1) * share) * grown ** (2 * (n - 1)) + share * touched)
    return found


# --- as printed -------------------------------------------------------------------------------------------------------


def theorem_1(shares: Sequence[float]) -> list[float]:
    """The error that Theorem 1 of ToEdit gives to a chain: 1 plus all shares so far. It bounds it by 2 (Eq. 6)."""
    return [1.0, *(1 + np.cumsum(shares)).tolist()]


def theorem_2(share: float, decay: float, samples: int, features: int) -> float:
    """The bound for shares that shrink by `decay`, in our units.

    E tr (X'X)^-2 is that of an inverse Wishart matrix. The norms of the masks shrink by the root of what their traces shrink
    by, which would make the bound larger; with `decay` itself it is the sharper of two readings.
    """
    if decay >= 1:
        return math.inf
    spare = samples - features
    trace = features * (samples - 1) / (spare * (spare - 1) * (spare - 3))
    unit = features / (spare - 1)
    return 1 + math.sqrt(trace) * math.sqrt(share * samples) / (1 - decay) / unit
