"""What a loss is a loss of: tokens that count, and the bytes of text that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Spans = NDArray[np.int64]


class Loss(NamedTuple):
    """The loss of a text: in nats, over `scored` of its tokens, which stand for `bytes` of its UTF-8."""

    nats: float
    scored: int
    bytes: float


def places(spans: NDArray[np.int32], length: int) -> Spans:
    """A stretch of a text of `length` characters for every token.

    Tokens without an exact span (parts of characters, changed by the tokenizer) share what lies between their neighbours.
    """
    exact = spans[:, 0] >= 0
    starts, ends = spans[:, 0].astype(np.int64), spans[:, 1].astype(np.int64)
    before = np.maximum.accumulate(np.where(exact, ends, 0)) if len(ends) else ends
    after = np.minimum.accumulate(np.where(exact, starts, length)[::-1])[::-1] if len(starts) else starts
    return np.stack([np.where(exact, starts, before), np.where(exact, ends, after)], axis=1)


def byte_shares(text: str, spans: NDArray[np.int32]) -> Floats:
    """How many bytes of the text each token stands for; tokens that share a stretch have equal parts of it."""
    where = places(spans, len(text))
    if text.isascii():
        sizes = (where[:, 1] - where[:, 0]).astype(np.float64)
    else:
        points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        widths = 1 + (points > 0x7F).astype(np.int64) + (points > 0x7FF) + (points > 0xFFFF)
        borders = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(widths)])
        sizes = (borders[where[:, 1]] - borders[where[:, 0]]).astype(np.float64)
    exact = spans[:, 0] >= 0
    if not exact.all():
        # Neighbours without a span lie between the same two exact tokens, so they share one number.
        groups = np.cumsum(exact)[~exact]
        sizes[~exact] /= np.bincount(groups)[groups]
    return sizes


def within(spans: NDArray[np.int32], length: int, stretches: Sequence[tuple[int, int]]) -> Flags:
    """The tokens that lie wholly in one of the stretches of a text."""
    where = places(spans, length)
    inside = np.zeros(len(where), dtype=bool)
    for start, end in stretches:
        inside |= (where[:, 0] >= start) & (where[:, 1] <= end) & (where[:, 1] > where[:, 0])
    return inside


def loss(text: str, spans: NDArray[np.int32], logprobs: NDArray[np.float32], counted: Flags) -> Loss:
    """The loss of the tokens that count and have a probability."""
    scored = counted & ~np.isnan(logprobs)
    nats = -float(logprobs[scored].astype(np.float64).sum())
    return Loss(nats, int(scored.sum()), round(float(byte_shares(text, spans)[scored].sum()), 6))
