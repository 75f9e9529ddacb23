"""From a stream of words to the tables of an interpolated modified Kneser-Ney model (Chen and Goodman 1998).

Counting goes order by order over words that lie on disk, so memory goes with the number of distinct n-grams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.errors import ModelError
from recension.models.ngram_tables import Ints, Level, Tables

Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]
Times = NDArray[np.integer[Any]]
Tick = Callable[[str, int], None]

_UNKNOWN = np.uint32(0xFFFFFFFF)
_NONE = np.empty(0, dtype=np.uint32)
_FALLBACK = (0.5, 1.0, 1.5)


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """The n-grams of one order, sorted by `keys` = context node and word in one number.

    `raw` counts occurrences, `shorter` is the node of the n-gram without its first word.
    """

    keys: Keys
    raw: Times
    shorter: NDArray[np.uint32]


class Smoothed(NamedTuple):
    tables: Tables
    discounts: tuple[tuple[float, float, float], ...]


def count(spool: Path, vocabulary: int, order: int, tick: Tick, chunk: int = 1 << 22) -> list[Counts]:
    """Counts of order 1 to `order` of the words in the file `spool` (uint32, each text opened by `vocabulary`).

    `chunk` words are looked at together; it changes the memory, never the counts.
    """
    words = np.memmap(spool, dtype=np.uint32, mode="r")
    starts = range(0, len(words), chunk)
    raw: Times = np.zeros(vocabulary + 1, dtype=np.int64)
    for start in starts:
        raw = raw + np.bincount(words[start : start + chunk], minlength=vocabulary + 1)
    every = np.arange(vocabulary + 1)
    levels = [Counts(every.astype(np.uint64), raw, np.zeros(len(every), dtype=np.uint32))]
    nodes = words
    for n in range(2, order + 1):
        tick(f"count {n}-grams", n)
        keys, raw = _merge(
            _distinct(_keys(nodes, words, slice(start, start + chunk), vocabulary)[1]) for start in starts
        )
        if len(keys) >= _UNKNOWN:
            raise ModelError(f"the corpus has {len(keys):,} distinct {n}-grams, more than 2^32: lower the order")
        target = spool.with_name(f"{spool.name}.{n}")
        shorter = np.zeros(len(keys), dtype=np.uint32)
        with target.open("wb") as out:
            for start in starts:
                here = slice(start, start + chunk)
                out.write(_place(keys, shorter, _keys(nodes, words, here, vocabulary), nodes[here]).tobytes())
        levels.append(Counts(keys, raw, shorter))
        nodes = np.memmap(target, dtype=np.uint32, mode="r")
    return levels


def _keys(nodes: NDArray[np.uint32], words: NDArray[np.uint32], here: slice, vocabulary: int) -> tuple[Ints, Keys]:
    """The n-grams that end in one chunk: where they end, and their keys."""
    first = max(here.start, 1)
    last = np.asarray(words[first : here.stop])
    contexts = np.asarray(nodes[first - 1 : first - 1 + len(last)])
    ends = np.flatnonzero((contexts != _UNKNOWN) & (last != vocabulary))
    keys = contexts[ends].astype(np.uint64) << _bits(vocabulary) | last[ends].astype(np.uint64)
    return ends + (first - here.start), keys


def _bits(vocabulary: int) -> np.uint64:
    return np.uint64(vocabulary.bit_length())


def _distinct(keys: Keys) -> tuple[Keys, Times]:
    keys = np.sort(keys)
    new = np.ones(len(keys), dtype=bool)
    new[1:] = keys[1:] != keys[:-1]
    first = np.flatnonzero(new)
    return keys[first], _narrow(np.diff(first, append=len(keys)))


def _narrow(counts: Ints) -> Times:
    """Half the memory, unless a count really needs 64 bits."""
    return counts if counts.max(initial=0) > np.iinfo(np.uint32).max else counts.astype(np.uint32)


def _merge(runs: Iterable[tuple[Keys, Times]]) -> tuple[Keys, Times]:
    """One sorted run out of many; like sizes are joined first, so each n-gram moves a logarithmic number of times."""
    stack: list[tuple[Keys, Times]] = [(np.empty(0, dtype=np.uint64), _NONE)]
    for run in runs:
        stack.append(run)
        while len(stack) > 1 and len(stack[-2][0]) < 2 * len(stack[-1][0]):
            right = stack.pop()
            stack[-1] = _join(stack[-1], right)
    while len(stack) > 1:
        right = stack.pop()
        stack[-1] = _join(stack[-1], right)
    return stack[0]


def _join(left: tuple[Keys, Times], right: tuple[Keys, Times]) -> tuple[Keys, Times]:
    if not len(left[0]):
        return right
    keys = np.concatenate([left[0], right[0]])
    counts = np.concatenate([left[1], right[1]])
    by_key = np.argsort(keys, kind="stable")
    keys, counts = keys[by_key], counts[by_key]
    new = np.ones(len(keys), dtype=bool)
    new[1:] = keys[1:] != keys[:-1]
    first = np.flatnonzero(new)
    return keys[first], _narrow(np.add.reduceat(counts, first, dtype=np.int64)) if len(first) else counts


def _place(
    keys: Keys, shorter: NDArray[np.uint32], ends_and_keys: tuple[Ints, Keys], nodes: NDArray[np.uint32]
) -> NDArray[np.uint32]:
    """The node that ends at each place of a chunk; on the way, note the node of the same n-gram less its first word."""
    ends, wanted = ends_and_keys
    chunk = np.asarray(nodes)
    # Sorted questions walk through memory in one direction: about three times as fast.
    by_key = np.argsort(wanted)
    found = np.searchsorted(keys, wanted[by_key])
    places = ends[by_key]
    shorter[found] = chunk[places]
    placed = np.full(len(chunk), _UNKNOWN)
    placed[places] = found.astype(np.uint32)
    return placed


def smooth(
    counts: list[Counts], drawable: NDArray[np.bool_], min_count: int, tick: Tick, dtype: type[np.floating[Any]]
) -> Smoothed:
    """Interpolated modified Kneser-Ney over `counts`; n-grams of order 3 and up below `min_count` are left out.

    `drawable` says which words have a probability at all (not special tokens, not the beginning of a text).
    What is left out, as what is discounted, goes to the shorter context, so every distribution still sums to one.
    Probabilities are worked out in float64 and kept as `dtype`. `counts` is emptied on the way, to free its memory.
    """
    vocabulary = len(drawable) - 1
    narrow: type[np.unsignedinteger[Any]] = np.uint16 if vocabulary < 1 << 16 else np.uint32
    adjusted = _adjusted(counts, vocabulary)
    discounts = [_discounts(a) for a in adjusted]
    size = len(counts.pop(0).keys)
    p = _unigrams(adjusted.pop(0), discounts[0], drawable)
    kept = np.ones(size, dtype=bool)
    # `words` of order 1 stays empty: there the node is the word.
    levels = [Level(np.empty(0, narrow), p.astype(dtype), _ranked_words(p, drawable), _NONE, _NONE.astype(dtype))]
    for n in range(2, len(discounts) + 1):
        tick(f"smooth {n}-grams", n)
        level = counts.pop(0)
        keys, raw, shorter = level.keys, level.raw, level.shorter
        del level
        a = adjusted.pop(0)
        parents = (keys >> _bits(vocabulary)).astype(np.int64)
        totals = np.bincount(parents, weights=a, minlength=size)
        renamed = np.cumsum(kept) - 1
        keep = raw >= (min_count if n > 2 else 1)
        taken = np.where(keep, np.array([0.0, *discounts[n - 1]])[np.minimum(a, 3)], a)
        given = np.bincount(parents, weights=taken, minlength=size)
        gamma: Floats = np.divide(given, totals, out=np.ones(size), where=totals > 0)
        # Keeping an n-gram keeps its context and its shorter form, which occur at least as often.
        parents = parents[keep]
        p = (a[keep] - taken[keep]) / totals[parents] + gamma[parents] * p[renamed[shorter[keep]]]
        del a, taken, given, totals, shorter, raw
        first = np.zeros(int(kept.sum()) + 1, dtype=np.int64)
        np.cumsum(np.bincount(renamed[parents], minlength=len(first) - 1), out=first[1:])
        words = (keys[keep] & ((np.uint64(1) << _bits(vocabulary)) - np.uint64(1))).astype(narrow)
        levels[-1] = replace(levels[-1], first=first.astype(np.uint32), gamma=gamma[kept].astype(dtype))
        size, kept = len(keys), keep
        del keys, parents
        ranked = _ranked_children(p, first).astype(narrow)
        levels.append(Level(words, p.astype(dtype), ranked, _NONE, _NONE.astype(dtype)))
    return Smoothed(Tables(vocabulary, tuple(levels)), tuple(discounts))


def _unigrams(adjusted: Times, discounts: tuple[float, float, float], drawable: NDArray[np.bool_]) -> Floats:
    """Below the unigrams lies the same probability for every word, so that none has none."""
    total = int(adjusted.sum())
    taken = np.array([0.0, *discounts])[np.minimum(adjusted, 3)]
    spare = taken.sum() / total if total else 1.0
    return np.where(drawable, (adjusted - taken) / max(1, total) + spare / int(drawable.sum()), 0.0)


def _adjusted(counts: list[Counts], vocabulary: int) -> list[Times]:
    """Occurrences for the last order; below it, the number of different words that stand before an n-gram.

    Nothing can stand before an n-gram that begins a text: it keeps its occurrences. It sorts behind all others,
    since the beginning-of-text word is the largest.
    """
    adjusted = []
    opening = vocabulary
    for n, level in enumerate(counts, 1):
        if n > 1:
            opening = int(np.searchsorted(level.keys, np.uint64(opening) << _bits(vocabulary)))
        if n == len(counts):
            adjusted.append(level.raw)
            continue
        before = _narrow(np.bincount(counts[n].shorter, minlength=len(level.keys)))
        if n > 1:
            before[opening:] = level.raw[opening:]
        adjusted.append(before)
    return adjusted


def _discounts(adjusted: Times) -> tuple[float, float, float]:
    """What is taken from counts of 1, 2 and 3 or more, by the counts of counts; tiny corpora get usual values."""
    n1, n2, n3, n4 = (int(np.count_nonzero(adjusted == c)) for c in range(1, 5))
    if not (n1 and n2 and n3 and n4):
        return _FALLBACK
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return found if all(0 < d < c for c, d in enumerate(found, 1)) else _FALLBACK


def _ranked_words(p: Floats, drawable: NDArray[np.bool_]) -> NDArray[np.uint32]:
    words = np.flatnonzero(drawable)
    return words[np.argsort(-p[words].astype(np.float32), kind="stable")].astype(np.uint32)


def _ranked_children(p: Floats, first: Ints) -> NDArray[np.int64]:
    """For each context its children from the most probable on, as places counted from its first child."""
    sizes = np.diff(first)
    falling = np.uint64(0xFFFFFFFF) - p.astype(np.float32).view(np.uint32).astype(np.uint64)
    context = np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes)
    found: NDArray[Any] = np.argsort(context << np.uint64(32) | falling, kind="stable")
    return found - np.repeat(first[:-1], sizes)
