"""Vectors to places on a plane: principal components, and t-SNE (van der Maaten and Hinton, 2008) from there.

`exact` t-SNE compares every point with every other: for a thousand points that takes seconds and needs no library. openTSNE
(Poličar, Stražar and Zupan, 2019) takes more of them in the same time.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recension.errors import MissingExtraError

Floats = NDArray[np.float64]

Drawing = Literal["opentsne", "exact", "pca"]
POINTS = {"opentsne": 400, "exact": 240, "pca": 800}  # of each corpus

PERPLEXITY, STEPS, EARLY = 30.0, 300, 100


def drawing_of(wanted: Literal["auto"] | Drawing) -> tuple[Drawing, str]:
    """How the map is drawn, and by which version of what; auto: openTSNE where it is installed, else exactly."""
    from importlib.metadata import PackageNotFoundError, version

    if wanted == "exact" or wanted == "pca":  # noqa: PLR1714, mypy narrows nothing else
        return wanted, ""
    try:
        return "opentsne", version("openTSNE")
    except PackageNotFoundError:
        if wanted == "opentsne":
            raise MissingExtraError("audit", "--map opentsne") from None
        return "exact", ""


def placed(rows: NDArray[np.float32], drawing: Drawing) -> Floats:
    """The rows on a plane."""
    if drawing == "pca" or len(rows) < 10:
        return components(rows)
    return opentsne(rows) if drawing == "opentsne" else tsne(rows)


def opentsne(rows: NDArray[np.float32]) -> Floats:
    from openTSNE import TSNE

    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    settings = {"initialization": "pca", "neighbors": "exact", "negative_gradient_method": "bh"}
    found = TSNE(perplexity=perplexity, n_jobs=1, random_state=0, **settings).fit(rows.astype(np.float64))
    return np.asarray(found, dtype=np.float64)


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
