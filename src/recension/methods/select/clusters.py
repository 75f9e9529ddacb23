"""Near-duplicates of a whole corpus, in bounded memory.

Every document has sixteen bands (`methods/audit/near.py`). The bands of a piece are sorted by their hash, so that a
*partition*, a range of hashes, is one stretch of each piece: partitions are looked at one at a time, and equal bands in one
give *links* from a document to an earlier one. What links join is a cluster; its first document stays.

With N documents, 16 N bands of 12 bytes are on the disk and 16 N / 1,024 of them in memory at once; of the links those of
documents that have any, 16 bytes each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.near import band_keys
from recension.methods.audit.words import Hashes, hashed_words, stirred
from recension.methods.select.bags import lowered

Ints = NDArray[np.int64]

PARTITIONS = 1 << 10
_SHIFT = np.uint64(54)


@dataclass(slots=True, eq=False)
class Banded:
    """The bands of a piece in order of their hash, the document of each, and where every partition begins."""

    keys: Hashes
    documents: NDArray[np.uint32]
    starts: Ints


def banded(keys: Hashes, documents: NDArray[np.uint32]) -> Banded:
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    borders = np.arange(1, PARTITIONS, dtype=np.uint64) << _SHIFT
    starts = np.concatenate([[0], np.searchsorted(keys, borders), [len(keys)]]).astype(np.int64)
    return Banded(keys, documents[order], starts)


def bands_of(texts: Sequence[str], first: int) -> tuple[Hashes, NDArray[np.uint32]]:
    """The bands of texts, and their documents, numbered from `first`."""
    words = hashed_words([lowered(text) for text in texts])
    rows, _, keys = band_keys(words, np.arange(len(texts)), len(texts))
    bands = np.arange(keys.shape[1], dtype=np.uint64)
    # Bands of different numbers must not meet, so the number is stirred in.
    mixed = stirred(keys + bands * np.uint64(0x9E3779B97F4A7C15), 6)
    documents = np.repeat((rows + first).astype(np.uint32), keys.shape[1])
    return mixed.ravel(), documents


def links(keys: Sequence[Hashes], documents: Sequence[Ints]) -> Ints:
    """From the bands of one partition, piece by piece: pairs (later document, earliest with the same band), once each."""
    bands, numbers = np.concatenate(keys), np.concatenate(documents)
    order = np.lexsort((numbers, bands))
    bands, numbers = bands[order], numbers[order]
    fresh = np.ones(len(bands), dtype=bool)
    fresh[1:] = bands[1:] != bands[:-1]
    earliest = numbers[np.maximum.accumulate(np.where(fresh, np.arange(len(bands)), 0))]
    other = numbers != earliest
    found: Ints = np.unique(np.stack([numbers[other], earliest[other]], axis=1), axis=0)
    return found


def merged_links(left: Ints, right: Ints) -> Ints:
    found: Ints = np.unique(np.concatenate([left, right]), axis=0)
    return found


def clusters(found: Ints) -> Ints:
    """Pairs (document, the first one of its cluster) for every document that is not the first of its cluster."""
    numbers, where = np.unique(found, return_inverse=True)
    later, earlier = where.reshape(-1, 2).T
    labels = np.arange(len(numbers))
    while True:
        lowest = np.minimum(labels[later], labels[earlier])
        before = labels.copy()
        for ends in (labels[later], labels[earlier], later, earlier):
            np.minimum.at(labels, ends, lowest)
        labels = labels[labels]
        if np.array_equal(labels, before):
            break
    rest = np.flatnonzero(labels != np.arange(len(numbers)))
    return np.stack([numbers[rest], numbers[labels[rest]]], axis=1)
