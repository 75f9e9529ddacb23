"""Samples as arrays: every word and n-gram of several texts has a number, the same in all of them.

A *unit* is a passage of a limited number of words; n-grams stand within one. A *cluster* is what is drawn or left out as a
whole: a document, or all documents of one source. Units of one side have about the same length as those of the other, so
that a longer document is no narrower text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.words import SEEDS, bucketed, hashed_words, stirred

Ints = NDArray[np.int64]

LONGEST_NGRAM = 4
SIGNS = "\u3040-\u30ff\u3400-\u9fff"  # of Chinese and Japanese: words without spaces, so each of them counts as one
_WORD = re.compile(rf"\s*(?:[{SIGNS}]|[^\W{SIGNS}]+|[^\w\s]+)")


class Unit(NamedTuple):
    """A passage as surfaces: each word with the white space before it, so that they join to the text again."""

    surfaces: tuple[str, ...]
    cluster: str
    stratum: str = ""


def surfaces(text: str) -> list[str]:
    return _WORD.findall(text)


def units_of(text: str, cluster: str, longest: int, stratum: str = "") -> list[Unit]:
    """A passage in units of at most that many words; a short rest joins the unit before it."""
    found = surfaces(text)
    starts = list(range(0, max(1, len(found) - longest // 2), longest))
    ends = [*starts[1:], len(found)]
    return [Unit(tuple(found[a:b]), cluster, stratum) for a, b in zip(starts, ends, strict=True) if b > a]


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One corpus: `starts` and `sizes` of its units among all words, the cluster and stratum of each by number."""

    starts: Ints
    sizes: Ints
    clusters: Ints
    strata: Ints

    @property
    def words(self) -> int:
        return int(self.sizes.sum())

    def only(self, chosen: NDArray[np.bool_] | Ints) -> Side:
        return Side(self.starts[chosen], self.sizes[chosen], self.clusters[chosen], self.strata[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """All words of all sides. `grams[n-1]` is the number of the n-gram that begins at a word, -1 where none does."""

    tokens: Ints  # surfaces, by number
    grams: tuple[NDArray[np.int32], ...]
    kinds: tuple[int, ...]  # how many different n-grams there are
    buckets: Ints  # (seed, unigrams then bigrams): the hash bucket of each
    texts: tuple[str, ...]  # the surface of each number
    names: tuple[str, ...]  # the word of each unigram
    units: tuple[bytes, ...]  # each unit as it stands
    places: Mapping[int, int]  # from the start of a unit to its number among `units`
    clusters: tuple[str, ...]
    sides: tuple[Side, ...]


def panel_of(corpora: Sequence[Sequence[Unit]]) -> Panel:
    """Number everything. Clusters of different corpora are different ones."""
    texts: dict[str, int] = {}
    strata: dict[str, int] = {}
    clusters: list[str] = []
    sides: list[Side] = []
    numbers: list[NDArray[np.int32]] = []
    units: list[bytes] = []
    begun = 0
    for corpus in corpora:
        own: dict[str, int] = {}
        rows = []
        for unit in corpus:
            ids = [texts.setdefault(surface, len(texts)) for surface in unit.surfaces]
            numbers.append(np.array(ids, dtype=np.int32))
            units.append("".join(unit.surfaces).encode("utf-8", "replace"))
            cluster = own.setdefault(unit.cluster, len(clusters) + len(own))
            rows.append((begun, len(ids), cluster, strata.setdefault(unit.stratum, len(strata))))
            begun += len(ids)
        clusters += own
        sides.append(Side(*np.array(rows, dtype=np.int64).reshape(-1, 4).T.copy()))
    tokens = np.concatenate([np.zeros(0, np.int32), *numbers]).astype(np.int64)
    words: dict[str, int] = {}
    word_of = np.array([words.setdefault(text.strip().lower(), len(words)) for text in texts], dtype=np.int64)
    grams, kinds, hashes = _number(word_of[tokens], tuple(words), sides)
    places = {int(start): i for i, start in enumerate(np.concatenate([side.starts for side in sides]))}
    buckets = np.stack([bucketed(hashes, seed) for seed in range(SEEDS)])
    return Panel(
        tokens, grams, kinds, buckets, tuple(texts), tuple(words), tuple(units), places, tuple(clusters), tuple(sides)
    )


def rewritten(panel: Panel, corpora: Sequence[Sequence[Ints]]) -> Panel:
    """A panel of other texts that are made of the words of this one, in units that are lists of its tokens.

    Every unit is a cluster of its own.
    """
    word_of = np.zeros(len(panel.texts), dtype=np.int64)
    word_of[panel.tokens] = panel.grams[0]
    encoded = [text.encode("utf-8", "replace") for text in panel.texts]
    sizes = [np.fromiter(map(len, corpus), dtype=np.int64, count=len(corpus)) for corpus in corpora]
    ends = np.cumsum(np.concatenate([np.zeros(0, np.int64), *sizes]))
    borders = np.cumsum([0, *map(len, corpora)])
    sides = []
    for number, own in enumerate(sizes):
        places = np.arange(borders[number], borders[number + 1])
        sides.append(Side(ends[places] - own, own, places, np.zeros_like(places)))
    tokens = np.concatenate([np.zeros(0, np.int64), *(unit for corpus in corpora for unit in corpus)])
    grams, kinds, hashes = _number(word_of[tokens], panel.names, sides)
    units = tuple(b"".join([encoded[i] for i in unit.tolist()]) for corpus in corpora for unit in corpus)
    return replace(
        panel,
        tokens=tokens,
        grams=grams,
        kinds=kinds,
        buckets=np.stack([bucketed(hashes, seed) for seed in range(SEEDS)]),
        units=units,
        places={int(start): i for i, start in enumerate(np.concatenate([side.starts for side in sides]))},
        clusters=tuple(map(str, range(len(units)))),
        sides=tuple(sides),
    )


def spelt(panel: Panel, units: Iterable[Ints]) -> list[str]:
    """Units of tokens as they read."""
    return ["".join([panel.texts[i] for i in unit.tolist()]) for unit in units]


def _number(
    words: Ints, names: tuple[str, ...], sides: Iterable[Side]
) -> tuple[tuple[NDArray[np.int32], ...], tuple[int, ...], NDArray[np.uint64]]:
    """The n-grams of every order by number, and the hashes of unigrams and bigrams."""
    ends = np.concatenate([side.starts + side.sizes for side in sides]) if len(words) else np.zeros(0, np.int64)
    left = ends[np.searchsorted(ends, np.arange(len(words)), "right")] - np.arange(len(words))
    found = hashed_words([name.encode("utf-8", "replace") for name in names])
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(found.hashes)])
    last = np.cumsum(found.counts)
    singles = sums[last] - sums[last - found.counts]  # of a word that bytes see as several, the sum of their hashes
    grams, kinds = [words.astype(np.int32)], [len(names)]
    hashes = [stirred(singles)]
    for order in range(2, LONGEST_NGRAM + 1):
        before = grams[-1].astype(np.int64)
        numbers = np.full(len(words), -1, dtype=np.int32)
        inside = np.flatnonzero(left >= order)
        pairs = before[inside] * len(names) + words[inside + order - 1]
        distinct, where = np.unique(pairs, return_inverse=True)
        numbers[inside] = where
        grams.append(numbers)
        kinds.append(len(distinct))
        if order == 2:
            first, second = singles[distinct // len(names)], singles[distinct % len(names)]
            hashes.append(stirred(first * np.uint64(0xD6E8FEB86659FD93) + second, 2))
    return tuple(grams), tuple(kinds), np.concatenate(hashes)
