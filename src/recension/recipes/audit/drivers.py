"""What drives a finding: runs of words that the candidate repeats, and passages of both sides that show it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.measures import Stretch
from recension.methods.audit.panel import Panel

RUN = 4
SHOWN_RUNS, SHOWN_PASSAGES, SHOWN_BIGRAMS = 20, 3, 20
OFTEN = 3
LONGEST = 900


class Run(NamedTuple):
    """A run of words, how often it stands on each side, and in how many passages of the candidate."""

    text: str
    reference: int
    candidate: int
    passages: int


class Bigram(NamedTuple):
    text: str
    times: int
    share: float


class Example(NamedTuple):
    """A passage, and the share of its runs of four words that stand in its sample at least three times."""

    text: str
    repeated: float


def _tokens(chosen: Stretch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places of all words, and the passage of each."""
    before = np.cumsum(chosen.sizes) - chosen.sizes
    at = np.repeat(chosen.starts - before, chosen.sizes) + np.arange(int(chosen.sizes.sum()))
    return at, np.repeat(np.arange(len(chosen.sizes)), chosen.sizes)


def _grams(panel: Panel, chosen: Stretch, order: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of n-grams, where they begin, and in which passage."""
    at, passage = _tokens(chosen)
    numbers = panel.grams[order - 1][at].astype(np.int64)
    there = numbers >= 0
    return numbers[there], at[there], passage[there]


def _spelled(panel: Panel, start: int, order: int) -> str:
    return "".join(panel.texts[i] for i in panel.tokens[start : start + order].tolist()).strip()


def runs(panel: Panel, reference: Stretch, candidate: Stretch) -> list[Run]:
    """The runs of four words that the candidate has most of beyond the reference, with a word in them."""
    theirs, _, _ = _grams(panel, reference, RUN)
    mine, at, passage = _grams(panel, candidate, RUN)
    kinds = panel.kinds[RUN - 1]
    left, right = np.bincount(theirs, minlength=kinds), np.bincount(mine, minlength=kinds)
    pairs = np.unique(mine * (len(candidate.sizes) + 1) + passage) // (len(candidate.sizes) + 1)
    spread = np.bincount(pairs, minlength=kinds)
    first = np.full(kinds, -1, dtype=np.int64)
    first[mine[::-1]] = at[::-1]
    found: list[Run] = []
    for number in np.argsort(left - right, kind="stable")[: 40 * SHOWN_RUNS].tolist():
        if right[number] < OFTEN or right[number] <= left[number] or len(found) == SHOWN_RUNS:
            break
        text = _spelled(panel, int(first[number]), RUN)
        if sum(letter.isalpha() for letter in text) > len(text) / 2:
            found.append(Run(text, int(left[number]), int(right[number]), int(spread[number])))
    return found


def bigrams(panel: Panel, chosen: Stretch) -> list[Bigram]:
    """The most frequent pairs of words, largest first."""
    numbers, at, _ = _grams(panel, chosen, 2)
    counts = np.bincount(numbers, minlength=panel.kinds[1])
    first = np.full(panel.kinds[1], -1, dtype=np.int64)
    first[numbers[::-1]] = at[::-1]
    order = np.argsort(-counts, kind="stable")[:SHOWN_BIGRAMS].tolist()
    total = max(1, len(numbers))
    return [
        Bigram(_spelled(panel, int(first[n]), 2).lower(), int(counts[n]), float(counts[n] / total))
        for n in order
        if counts[n]
    ]


def examples(panel: Panel, chosen: Stretch) -> list[Example]:
    """The passages most of whose runs stand in the sample again and again."""
    numbers, _, passage = _grams(panel, chosen, RUN)
    counts = np.bincount(numbers, minlength=panel.kinds[RUN - 1])
    often = np.bincount(passage, weights=counts[numbers] >= OFTEN, minlength=len(chosen.sizes))
    total = np.bincount(passage, minlength=len(chosen.sizes))
    share = often / np.maximum(total, 1)
    share[total < 20] = -1
    order = np.argsort(-share, kind="stable")
    order = order[share[order] >= 0]
    found: list[Example] = []
    for number in order.tolist():
        start, size = int(chosen.starts[number]), int(chosen.sizes[number])
        text = _spelled(panel, start, size)[:LONGEST]
        if text not in [example.text for example in found]:
            found.append(Example(text, float(share[number])))
        if len(found) == SHOWN_PASSAGES:
            break
    return found
