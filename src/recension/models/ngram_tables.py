"""The arrays of a back-off n-gram model, and the questions they answer.

The n-grams of each order lie sorted by (context, word), so an n-gram is a *node*: its place in the arrays of its order.
The n-grams that extend node `c` by one word are the nodes `first[c]` to `first[c + 1]` of the next order. Each node
holds its interpolated probability, so the probability of a word is that of the longest n-gram that ends with it, times
the back-off weights (`gamma`) of the longer contexts that are known but were never followed by it.

Words are the ids of the tokenizer; one more, `vocabulary`, stands for the beginning of a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]

_SMALLEST = float(np.finfo(np.float32).tiny)
_CELLS = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The n-grams of one order. `ranked` lists the children of each context, from the most probable to the least.

    `words` is empty for order 1, where node and word are the same; `first` and `gamma` are empty for the last order.
    For order 1 `ranked` holds words, otherwise places counted from the first child.
    """

    words: NDArray[np.unsignedinteger[Any]]
    p: Floats
    ranked: NDArray[np.unsignedinteger[Any]]
    first: NDArray[np.unsignedinteger[Any]]
    gamma: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    vocabulary: int
    levels: tuple[Level, ...]

    @property
    def order(self) -> int:
        return len(self.levels)


class Rivals(NamedTuple):
    """The most probable words in falling order, padded with -1 and probability 0."""

    words: NDArray[np.int32]
    p: NDArray[np.float32]


def find_nodes(tables: Tables, words: Ints) -> list[Ints]:
    """For each order the node of the n-gram that ends at each position, -1 where it is unknown.

    `words` may hold many texts, each opened by the beginning-of-text word; no n-gram reaches across it.
    """
    node = words
    found = [node]
    for level, below in zip(tables.levels[1:], tables.levels[:-1], strict=True):
        node = children(level, below, _before(node), words)
        found.append(node)
    return found


def children(level: Level, below: Level, contexts: Ints, words: Ints) -> Ints:
    """The node of `level` that extends each context by each word: a bisection of all pairs at once."""
    found = np.full(len(contexts), -1, dtype=np.int64)
    place = np.flatnonzero(contexts >= 0)
    context = contexts[place]
    low = below.first[context].astype(np.int64)
    high = below.first[context + 1].astype(np.int64)
    some = np.flatnonzero(low < high)
    place, low, high = place[some], low[some], high[some]
    wanted = words[place]
    while len(place):
        middle = (low + high) >> 1
        here = level.words[middle].astype(np.int64)
        hit = here == wanted
        found[place[hit]] = middle[hit]
        lower = here < wanted
        low = np.where(lower, middle + 1, low)
        high = np.where(lower, high, middle)
        some = np.flatnonzero((low < high) & ~hit)
        place, low, high, wanted = place[some], low[some], high[some], wanted[some]
    return found


def contexts_of(nodes: Sequence[Ints]) -> list[Ints]:
    """For each length from 1 the node of the context that stands before each position."""
    return [_before(node) for node in nodes[:-1]]


def _before(node: Ints) -> Ints:
    shifted = np.full(len(node), -1, dtype=np.int64)
    shifted[1:] = node[:-1]
    return shifted


def probabilities(tables: Tables, nodes: Sequence[Ints], contexts: Sequence[Ints]) -> NDArray[np.float32]:
    """The probability of the word at each position, after what stands before it."""
    found = np.asarray(tables.levels[0].p[nodes[0]], dtype=np.float64)
    scale = np.ones(len(found))
    for length in range(tables.order - 1, 0, -1):
        # From the longest context to the shortest, as in `most_probable`: the same products, so the same bits.
        known = contexts[length - 1] >= 0
        missed = np.flatnonzero(known & (nodes[length] < 0))
        scale[missed] *= tables.levels[length - 1].gamma[contexts[length - 1][missed]]
    for level, node in zip(tables.levels[1:], nodes[1:], strict=True):
        hit = np.flatnonzero(node >= 0)
        found[hit] = level.p[node[hit]]
    return _float32(found * scale)


def most_probable(tables: Tables, contexts: Sequence[Ints], depth: int) -> Rivals:
    """The exact `depth` most probable words of the vocabulary after each of F contexts; ties go to the smaller id.

    A word that is missing from the best of every context length is outdone by `depth` others, because probability
    never falls where a longer context knows the word. So the best children of each length are candidates enough.
    """
    columns = depth * tables.order
    rows = len(contexts[0])
    step = _CELLS // (columns + 1) + 1
    parts = [_most_probable(tables, [c[i : i + step] for c in contexts], depth) for i in range(0, rows, step)]
    if not parts:
        return Rivals(np.empty((0, depth), dtype=np.int32), np.empty((0, depth), dtype=np.float32))
    return Rivals(np.concatenate([part.words for part in parts]), np.concatenate([part.p for part in parts]))


def _most_probable(tables: Tables, contexts: Sequence[Ints], depth: int) -> Rivals:
    rows = len(contexts[0])
    scale = np.ones(rows)
    steps = np.arange(depth)
    word_columns = []
    p_columns = []
    for length in range(tables.order - 1, 0, -1):
        below, level = tables.levels[length - 1 : length + 1]
        known = contexts[length - 1] >= 0
        if not known.any():
            continue
        context = np.where(known, contexts[length - 1], 0)
        start = below.first[context].astype(np.int64)
        children = np.where(known, below.first[context + 1].astype(np.int64) - start, 0)
        width = int(min(depth, children.max(initial=0)))
        there = steps[:width] < children[:, None]
        child = np.where(there, start[:, None] + steps[:width], 0)
        if width:
            child = np.where(there, start[:, None] + level.ranked[child].astype(np.int64), 0)
            word_columns.append(level.words[child].astype(np.uint64))
            p_columns.append(np.where(there, _float32(level.p[child] * scale[:, None]), np.float32(0)))
        scale = np.where(known, scale * below.gamma[context], scale)
    best = tables.levels[0].ranked[:depth]
    word_columns.append(np.broadcast_to(best.astype(np.uint64), (rows, len(best))))
    p_columns.append(_float32(tables.levels[0].p[best] * scale[:, None]))
    return _best(np.concatenate(word_columns, axis=1), np.concatenate(p_columns, axis=1), depth)


def _best(words: NDArray[np.uint64], p: NDArray[np.float32], depth: int) -> Rivals:
    # The bits of positive floats sort like the floats. Sorted by (word, falling p), only the first of each word counts.
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    falling = low - p.view(np.uint32)
    keys = np.sort(words << half | falling, axis=1)
    again = np.zeros(keys.shape, dtype=bool)
    again[:, 1:] = keys[:, 1:] >> half == keys[:, :-1] >> half
    keys = (keys & low) << half | keys >> half
    keys[again | (keys >> half == low)] = np.iinfo(np.uint64).max
    keys = np.sort(keys, axis=1)[:, :depth]
    found_p = (low - (keys >> half)).astype(np.uint32).view(np.float32)
    found_words = np.where(found_p > 0, (keys & low).astype(np.int64), -1).astype(np.int32)
    if (short := depth - keys.shape[1]) > 0:
        found_words = np.pad(found_words, ((0, 0), (0, short)), constant_values=-1)
        found_p = np.pad(found_p, ((0, 0), (0, short)))
    return Rivals(found_words, found_p)


def distribution(tables: Tables, context: Sequence[int]) -> NDArray[np.float64]:
    """The probability of every word of the vocabulary after `context` (the beginning-of-text word included by you)."""
    nodes = find_nodes(tables, np.asarray(context, dtype=np.int64)[1 - tables.order :])
    row = np.array(tables.levels[0].p[: tables.vocabulary], dtype=np.float64)
    for below, level, node in zip(tables.levels[:-1], tables.levels[1:], nodes[:-1], strict=True):
        if not len(node) or (last := int(node[-1])) < 0:
            break
        row *= below.gamma[last]
        children = slice(int(below.first[last]), int(below.first[last + 1]))
        row[level.words[children]] = level.p[children]
    return row


def _float32(p: Floats) -> NDArray[np.float32]:
    return np.maximum(p, _SMALLEST).astype(np.float32)
