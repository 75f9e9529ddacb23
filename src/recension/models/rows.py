"""Scores of the rows of many windows, put together again as scores of texts. No model is known here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from recension.models.surfaces import Encoded, Surfaces
from recension.models.windows import Window
from recension.ports import Ask, TokenScores

Scalar = TypeVar("Scalar", np.int32, np.float32)


class Rows(NamedTuple):
    """Scores of rows: a log-probability each, and rivals where flagged (F, K), padded with -1."""

    logprobs: NDArray[np.float32]
    flagged: NDArray[np.int64]
    rivals: NDArray[np.int32]
    rival_logprobs: NDArray[np.float32]


def split(rows: Rows, counts: Sequence[int]) -> list[Rows]:
    """Rows that stand end to end, cut into stretches of these lengths."""
    cuts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
    at = np.searchsorted(rows.flagged, cuts)
    return [
        Rows(rows.logprobs[a:b], rows.flagged[i:j] - a, rows.rivals[i:j], rows.rival_logprobs[i:j])
        for a, b, i, j in zip(cuts, cuts[1:], at, at[1:], strict=False)
    ]


def joined(text: Encoded, windowed: Sequence[tuple[Window, Rows]], surfaces: Surfaces, k: int) -> TokenScores:
    """The windows of one text as its scores."""
    logprobs = np.full(len(text.ids), np.nan, dtype=np.float32)
    width = max([k, *(rows.rivals.shape[1] for _, rows in windowed)])
    flagged: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
    rivals: list[NDArray[np.int32]] = [np.zeros((0, width), dtype=np.int32)]
    chances: list[NDArray[np.float32]] = [np.zeros((0, width), dtype=np.float32)]
    for window, rows in windowed:
        logprobs[window.first : window.stop] = rows.logprobs
        flagged.append(rows.flagged + window.first)
        rivals.append(widen(rows.rivals, width, -1))
        chances.append(widen(rows.rival_logprobs, width, -np.inf))
    marked, ids, best = np.concatenate(flagged), np.concatenate(rivals), np.concatenate(chances)
    mass = np.exp(best.astype(np.float64)).sum(axis=1)
    kept = np.isin(text.ids, surfaces.rare, invert=True)
    if not kept.all():
        # A special token in a text is its "unknown": the model reads it, nobody edits it.
        marked = (np.cumsum(kept) - 1)[marked]
    return TokenScores(
        ids=text.ids[kept],
        spans=text.spans[kept],
        logprobs=logprobs[kept],
        flagged=marked.astype(np.int32),
        rivals=ids,
        rival_logprobs=best,
        rival_mass=np.minimum(mass, 1.0).astype(np.float32),
    )


def flags(logprobs: NDArray[np.float32], ask: Ask) -> NDArray[np.bool_]:
    """Which tokens the thresholds pick."""
    chances = np.exp(logprobs.astype(np.float64))
    picked = np.zeros(len(logprobs), dtype=bool)
    if ask.above is not None:
        picked |= chances >= ask.above
    if ask.below is not None:
        picked |= chances <= ask.below
    return picked


def cut_to_mass(best: NDArray[np.float32], ids: NDArray[np.int32], k: int, mass: float) -> int:
    """In place: of the rivals beyond the k-th, forget those that the wanted mass does not need. The width that is left."""
    held = np.exp(best.astype(np.float64)).cumsum(axis=1)
    needed = np.maximum(np.minimum((held < mass).sum(axis=1) + 1, best.shape[1]), k)
    unneeded = np.arange(best.shape[1])[None, :] >= needed[:, None]
    best[unneeded], ids[unneeded] = -np.inf, -1
    return int(needed.max(initial=k))


def widen(array: NDArray[Scalar], width: int, fill: float) -> NDArray[Scalar]:
    """The array with columns of `fill` added up to `width`."""
    if array.shape[1] >= width:
        return array
    padding = np.full((array.shape[0], width - array.shape[1]), fill, dtype=array.dtype)
    return np.concatenate([array, padding], axis=1)
