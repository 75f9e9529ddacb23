"""Vectors to places on a plane: principal components, and t-SNE (van der Maaten and Hinton, 2008) from there.

Exact t-SNE, every point against every other: for a thousand points that takes seconds and needs no library.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PERPLEXITY, STEPS, EARLY = 30.0, 300, 100


def components(rows: NDArray[np.float32], count: int = 2) -> Floats:
    """The first principal components, each with the sign that makes its largest entry positive."""
    centred = rows.astype(np.float64) - rows.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:count]
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    found: Floats = centred @ (axes * signs[:, None]).T
    return found


def tsne(rows: NDArray[np.float32]) -> Floats:
    """Neighbours stay neighbours; distances between far groups mean nothing. The same rows give the same picture."""
    if len(rows) < 10:
        return components(rows)
    p = _affinities(rows.astype(np.float64))
    places = components(rows)
    places *= 1e-2 / max(float(places[:, 0].std()), 1e-12)
    speed, gain = np.zeros_like(places), np.ones_like(places)
    for step in range(STEPS):
        pull = 12.0 if step < EARLY else 1.0
        squares = (places**2).sum(axis=1)
        near = 1 / (1 + np.maximum(squares[:, None] + squares - 2 * places @ places.T, 0))
        np.fill_diagonal(near, 0)
        force = (pull * p - near / near.sum()) * near
        slope = 4 * (force.sum(axis=1)[:, None] * places - force @ places)
        gain = np.maximum(np.where((slope > 0) == (speed > 0), gain * 0.8, gain + 0.2), 0.01)
        speed = (0.5 if step < EARLY else 0.8) * speed - max(len(rows) / 12, 50.0) * gain * slope
        places = places + speed
        places -= places.mean(axis=0)
    return places


def _affinities(rows: Floats) -> Floats:
    """Each row's Gaussian is as wide as makes PERPLEXITY neighbours; found by halving, all rows at once."""
    squares = (rows**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0)
    np.fill_diagonal(distances, np.inf)
    distances -= distances.min(axis=1, keepdims=True)
    wanted = np.log(min(PERPLEXITY, (len(rows) - 1) / 3))
    low, high, beta = np.zeros(len(rows)), np.full(len(rows), np.inf), np.ones(len(rows))
    for _ in range(50):
        p = np.exp(-distances * beta[:, None])
        total = p.sum(axis=1)
        with np.errstate(invalid="ignore"):
            entropy = np.log(total) + beta * np.where(p > 0, distances * p, 0).sum(axis=1) / total
        wide = entropy > wanted
        low, high = np.where(wide, beta, low), np.where(wide, high, beta)
        beta = np.where(np.isinf(high), beta * 2, (low + high) / 2)
    p = np.exp(-distances * beta[:, None])
    p /= p.sum(axis=1, keepdims=True)
    found: Floats = (p + p.T) / (2 * len(rows))
    return found
