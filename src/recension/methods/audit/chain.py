"""An n-gram model retrained on its own output: what collapse does to the figures of exactly this text.

The model continues a context of two words with what stood behind one of its occurrences, drawn at random: sampling from the
relative frequencies of a trigram model, done by pointing into the text, so that no probability is ever computed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.panel import Panel, Side

Ints = NDArray[np.int64]
ORDER = 3


def generations(panel: Panel, side: Side, count: int, seed: int, order: int = ORDER) -> Iterator[list[Ints]]:
    """The units of one generation after the other, as tokens of the panel; each has as many as that of the reference in its
    place."""
    units = [panel.tokens[start : start + size] for start, size in zip(side.starts, side.sizes, strict=True)]
    random = np.random.Generator(np.random.Philox(key=seed))
    for _ in range(count):
        units = _generation(units, order, random)
        yield units


def _generation(units: list[Ints], order: int, random: np.random.Generator) -> list[Ints]:
    lead = order - 1
    sizes = np.array([len(unit) for unit in units], dtype=np.int64)
    vocabulary = int(max(int(unit.max()) for unit in units)) + 3
    # 0 opens a unit (as often as a context needs it), 1 ends it.
    text = np.concatenate([part for unit in units for part in (np.zeros(lead, np.int64), unit + 2, [1])])
    openings = np.cumsum(sizes + lead + 1) - (sizes + lead + 1)
    follows = np.ones(len(text), dtype=bool)
    for k in range(lead):
        follows[openings + k] = False
    places = np.flatnonzero(follows)
    contexts = np.zeros(len(places), dtype=np.int64)
    for k in range(lead, 0, -1):
        contexts = contexts * vocabulary + text[places - k]
    order_of = np.argsort(contexts, kind="stable")
    contexts, nexts = contexts[order_of], text[places[order_of]]
    # Long units first: those that are full drop out at the end, and the rest goes on.
    rows = np.argsort(-sizes, kind="stable")
    wanted = sizes[rows]
    out = np.zeros((len(rows), int(wanted.max())), dtype=np.int64)
    state = np.zeros(len(rows), dtype=np.int64)  # the context, as a number
    keep = vocabulary ** (lead - 1)
    for step in range(out.shape[1]):
        live = int(np.searchsorted(-wanted, -step, "left"))
        drawn = _drawn(contexts, nexts, state[:live], random)
        ended = drawn == 1
        if ended.any():  # a text that is over is followed by the beginning of another
            drawn[ended] = _drawn(contexts, nexts, np.zeros(int(ended.sum()), np.int64), random)
            state[:live][ended] = 0
        out[:live, step] = drawn - 2
        state[:live] = (state[:live] % keep) * vocabulary + drawn
    made: list[Ints] = [np.zeros(0, np.int64)] * len(units)
    for row, place in enumerate(rows):
        made[int(place)] = out[row, : wanted[row]]
    return made


def _drawn(contexts: Ints, nexts: Ints, states: Ints, random: np.random.Generator) -> Ints:
    low = np.searchsorted(contexts, states, "left")
    high = np.searchsorted(contexts, states, "right")
    found: Ints = nexts[low + (random.random(len(states)) * (high - low)).astype(np.int64)]
    return found
