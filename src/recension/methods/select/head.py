"""A linear head on embeddings, fitted by ridge regression from sums that add up: no row has to be in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]

PENALTIES = tuple(10.0**power for power in range(-4, 4))


@dataclass(slots=True, eq=False)
class Sums:
    """Products of vectors, with a 1 at their end, and of labels."""

    gram: Floats
    moment: Floats
    count: int = 0
    labels: float = 0.0
    squares: float = 0.0

    @classmethod
    def empty(cls, dimensions: int) -> Sums:
        return cls(np.zeros((dimensions + 1, dimensions + 1)), np.zeros(dimensions + 1))

    def add(self, vectors: Vectors, labels: Floats) -> None:
        rows = np.hstack([vectors.astype(np.float64), np.ones((len(vectors), 1))])
        self.gram += rows.T @ rows
        self.moment += rows.T @ labels
        self.count += len(labels)
        self.labels += float(labels.sum())
        self.squares += float((labels**2).sum())

    def error(self, weights: Floats) -> float:
        """The mean square of what a head gets wrong on these rows."""
        total: float = self.squares - 2 * float(weights @ self.moment) + float(weights @ self.gram @ weights)
        return max(0.0, total / max(1, self.count))

    @property
    def variance(self) -> float:
        mean = self.labels / max(1, self.count)
        return self.squares / max(1, self.count) - mean**2


def solved(sums: Sums, penalty: float) -> Floats:
    """Weights, the intercept last; the intercept bears no penalty."""
    size = len(sums.moment)
    ridge = np.eye(size) * penalty * max(1, sums.count) / size
    ridge[-1, -1] = 0.0
    return np.asarray(np.linalg.lstsq(sums.gram + ridge, sums.moment, rcond=None)[0], dtype=np.float64)


def fitted(train: Sums, held_out: Sums) -> tuple[Floats, float]:
    """The head whose penalty serves best on rows that it was not fitted on, and that penalty."""
    heads = [(solved(train, penalty), penalty) for penalty in PENALTIES]
    return min(heads, key=lambda head: held_out.error(head[0]))


def scores(vectors: Vectors, weights: Floats) -> Floats:
    found: Floats = vectors.astype(np.float64) @ weights[:-1] + weights[-1]
    return found
