"""Near-duplicates: MinHash over runs of five words, sixteen bands of eight values.

Two documents count as near-duplicates where they share a band. With a share s of their runs in common (Jaccard) that happens
with probability 1 - (1 - s^8)^16: 6 % at s = 0.5, 61 % at 0.7, 95 % at 0.8. One hash of each run serves all 128 values (one
permutation hashing, with the empty places filled from the next one).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.words import Hashes, Words, ngrams, stirred

Ints = NDArray[np.int64]

RUN, VALUES, BANDS = 5, 128, 16
MOST = 1 << 17  # documents kept; beyond that those with the smallest hashes, which near-duplicates mostly share
_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """Documents by what they share: `ranks` decide who stays, `keys` are the bands, `times` how often each stands.

    `limit` is the rank above which documents were let go.
    """

    ranks: Hashes
    keys: Hashes  # (documents, BANDS)
    times: Ints
    limit: int = int(_EMPTY)

    @classmethod
    def none(cls) -> Bands:
        return cls(np.zeros(0, np.uint64), np.zeros((0, BANDS), np.uint64), np.zeros(0, np.int64))


def bands_of(words: Words, owners: Ints, documents: int) -> Bands:
    """The bands of documents whose passages the words are; `owners` names the document of each passage."""
    _, ranks, keys = band_keys(words, owners, documents)
    return _kept(Bands(ranks, keys, np.ones(len(keys), np.int64)))


def band_keys(words: Words, owners: Ints, documents: int) -> tuple[Ints, Hashes, Hashes]:
    """The documents that have any words, by number, with their ranks and bands."""
    table = np.full(documents * VALUES, _EMPTY, dtype=np.uint64)
    for _, hashes, passage in ngrams(words, (RUN,)):
        _fill(table, hashes, owners[passage])
    short = np.flatnonzero((table.reshape(-1, VALUES) == _EMPTY).all(axis=1))
    if len(short):  # too short for one run: all its words are one
        totals = np.zeros(documents, dtype=np.uint64)
        np.add.at(totals, np.repeat(owners, words.counts), words.hashes)
        there = np.bincount(owners, weights=words.counts, minlength=documents)[short] > 0
        _fill(table, stirred(totals[short[there]]), short[there])
    rows = table.reshape(-1, VALUES)
    numbers = np.flatnonzero(~(rows == _EMPTY).all(axis=1))
    rows = rows[numbers]
    ranks = stirred(rows.min(axis=1), 5)
    rows = _filled(rows)
    keys = np.zeros((len(rows), BANDS), dtype=np.uint64)
    for place in range(VALUES // BANDS):
        keys = stirred(keys + rows[:, place::8], place + 1)
    return numbers, ranks, keys


def _fill(table: Hashes, hashes: Hashes, documents: Ints) -> None:
    places = documents * VALUES + (hashes & np.uint64(VALUES - 1)).astype(np.int64)
    np.minimum.at(table, places, hashes >> np.uint64(7))


def _filled(rows: Hashes) -> Hashes:
    """Every empty place takes the next value to its right, stirred with the distance."""
    twice = np.concatenate([rows, rows], axis=1)
    places = np.where(twice == _EMPTY, 2 * VALUES, np.arange(2 * VALUES))
    nexts = np.minimum.accumulate(places[:, ::-1], axis=1)[:, ::-1][:, :VALUES]
    found = np.take_along_axis(twice, nexts, axis=1)
    distance = (nexts - np.arange(VALUES)).astype(np.uint64)
    return np.where(distance == 0, found, stirred(found + distance * np.uint64(0x9E3779B97F4A7C15)))


def merged(left: Bands, right: Bands) -> Bands:
    return _kept(
        Bands(
            np.concatenate([left.ranks, right.ranks]),
            np.concatenate([left.keys, right.keys]),
            np.concatenate([left.times, right.times]),
            min(left.limit, right.limit),
        )
    )


def _kept(bands: Bands) -> Bands:
    """Equal rows as one, in order, and not too many of them."""
    if not len(bands.ranks):
        return bands
    digest = bands.keys[:, 0]
    for band in range(1, BANDS):
        digest = stirred(digest + bands.keys[:, band])
    order = np.lexsort((digest, bands.ranks))
    ranks, digest = bands.ranks[order], digest[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (ranks[1:] != ranks[:-1]) | (digest[1:] != digest[:-1])
    starts = np.flatnonzero(first)
    times = np.add.reduceat(bands.times[order], starts)
    ranks, keys = ranks[starts], bands.keys[order[starts]]
    limit = bands.limit
    if len(starts) > MOST:
        limit = min(limit, int(ranks[MOST]))
    inside = ranks < np.uint64(limit)
    return Bands(ranks[inside], keys[inside], times[inside], limit)


def under(bands: Bands, limit: int) -> Bands:
    inside = bands.ranks < np.uint64(limit)
    return Bands(bands.ranks[inside], bands.keys[inside], bands.times[inside], limit)


def groups(bands: Bands) -> Ints:
    """For each row the number of its group: rows that share a band, directly or through others."""
    labels = np.arange(len(bands.ranks))
    orders = [np.argsort(bands.keys[:, band], kind="stable") for band in range(BANDS)] if len(labels) else []
    changed = True
    while changed:
        changed = False
        for band, order in enumerate(orders):
            keys = bands.keys[order, band]
            starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
            lowest = np.minimum.reduceat(labels[order], starts)
            found = np.repeat(lowest, np.diff(np.append(starts, len(order))))
            if (found != labels[order]).any():
                labels[order] = found
                changed = True
    return labels


class Found(NamedTuple):
    """So many of the documents that were looked at; `error` is half of the 95 % interval of the share, 0 where all were."""

    hits: int
    looked: int
    error: float
    sizes: Ints  # of the groups, largest first


def repeated(bands: Bands) -> Found:
    """How many documents could be left out with none of their kind lost."""
    labels = groups(bands)
    sizes = np.bincount(labels, weights=bands.times, minlength=1).astype(np.int64)
    sizes = np.sort(sizes[sizes > 0])[::-1]
    looked = int(bands.times.sum())
    return Found(looked - len(sizes), looked, _error(sizes - 1, sizes, bands.limit), sizes)


def shared(bands: Bands, others: Bands) -> Found:
    """How many documents have a near-duplicate among the others."""
    limit = min(bands.limit, others.limit)
    mine, theirs = under(bands, limit), under(others, limit)
    hit = np.zeros(len(mine.ranks), dtype=bool)
    for band in range(BANDS):
        hit |= np.isin(mine.keys[:, band], theirs.keys[:, band])
    hits = np.where(hit, mine.times, 0)
    return Found(int(hits.sum()), int(mine.times.sum()), _error(hits, mine.times, limit), mine.times[:0])


def _error(hits: Ints, sizes: Ints, limit: int) -> float:
    """Of a share whose sample was drawn in groups, the documents of one together: binomial where every group is one."""
    looked = int(sizes.sum())
    if limit == int(_EMPTY) or not looked:
        return 0.0
    if not hits.any():
        return 3 / looked  # the rule of three: so many could be there, and none be met
    apart = hits - hits.sum() / looked * sizes
    return float(1.96 * np.sqrt((apart**2).sum() * (1 - limit / int(_EMPTY))) / looked)
