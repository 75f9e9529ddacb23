"""Text drawn from an n-gram model: many passages side by side, a word of each at a time.

An interpolated model is a mixture: with the back-off weight of a context the word comes from the shorter context, else it
is one of those that were seen there, by what is left of their counts after the discount. So no distribution is ever written
out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recension.models.ngram import NgramPrior
from recension.models.ngram_tables import Ints, Tables, children

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """`reached[k]` are running sums, over the nodes of order k + 1, of what a node has beyond its shorter form."""

    tables: Tables
    reached: tuple[Floats, ...]


def mixture(tables: Tables) -> Mixture:
    levels = tables.levels
    reached = [_running(levels[0].p[: tables.vocabulary].astype(np.float64))]
    shorter: Ints = np.zeros(tables.vocabulary + 1, dtype=np.int64)
    for k in range(1, tables.order):
        below, level = levels[k - 1], levels[k]
        starts = below.first.astype(np.int64)
        sizes: Ints = starts[1:] - starts[:-1]
        parents = np.repeat(np.arange(len(below.first) - 1), sizes)
        words = level.words.astype(np.int64)
        shorter = words if k == 1 else children(levels[k - 1], levels[k - 2], shorter[parents], words)
        base = np.where(shorter >= 0, below.p[np.maximum(shorter, 0)], 0.0)
        own = level.p.astype(np.float64) - below.gamma[parents].astype(np.float64) * base
        reached.append(_running(np.maximum(own, 0.0)))
    return Mixture(tables, tuple(reached))


def _running(values: Floats) -> Floats:
    return np.concatenate([np.zeros(1), np.cumsum(values)])


def draw(model: Mixture, lengths: Sequence[int], random: np.random.Generator) -> list[Ints]:
    """One passage of each length, from its beginning on."""
    tables, levels = model.tables, model.tables.levels
    rows = np.argsort(-np.asarray(lengths), kind="stable")  # long ones first: those that are full drop out at the end
    wanted = np.asarray(lengths, dtype=np.int64)[rows]
    out = np.zeros((len(rows), int(wanted.max(initial=0))), dtype=np.int64)
    # The node of the context of each length, -1 where it is unknown; a text begins behind the beginning-of-text word.
    contexts = [np.full(len(rows), tables.vocabulary if k == 0 else -1) for k in range(tables.order - 1)]
    for step in range(out.shape[1]):
        live = int(np.searchsorted(-wanted, -step, "left"))
        contexts = [context[:live] for context in contexts]
        words = _next(model, contexts, random)
        out[:live, step] = words
        longer = [children(levels[k], levels[k - 1], contexts[k - 1], words) for k in range(1, tables.order - 1)]
        contexts = [words, *longer]
    made: list[Ints] = [np.zeros(0, np.int64)] * len(rows)
    for row, place in enumerate(rows):
        made[int(place)] = out[row, : wanted[row]]
    return made


def _next(model: Mixture, contexts: Sequence[Ints], random: np.random.Generator) -> Ints:
    levels = model.tables.levels
    words = np.full(len(contexts[0]), -1, dtype=np.int64)
    open_ = np.arange(len(words))
    for k in range(model.tables.order - 1, 0, -1):
        node = contexts[k - 1][open_]
        known = node >= 0
        node = np.maximum(node, 0)
        first = levels[k - 1].first
        low, high = first[node].astype(np.int64), first[node + 1].astype(np.int64)
        reached = model.reached[k]
        u = random.random(len(open_))
        hit = known & (high > low) & (u < reached[high] - reached[low])
        place = np.searchsorted(reached, reached[low[hit]] + u[hit], "right") - 1
        place = np.clip(place, low[hit], high[hit] - 1)
        words[open_[hit]] = levels[k].words[place]
        open_ = open_[~hit]
    every = model.reached[0]
    place = np.searchsorted(every, random.random(len(open_)) * every[-1], "right") - 1
    words[open_] = np.minimum(place, model.tables.vocabulary - 1)
    return words


def write(prior: NgramPrior, lengths: Sequence[int], random: np.random.Generator) -> list[str]:
    """Texts of so many tokens. What is no whole character comes out as a replacement character."""
    drawn = draw(mixture(prior.tables), lengths, random)
    return list(prior.tokenizer.decode_batch([ids.tolist() for ids in drawn], skip_special_tokens=False))
