"""What one reading of a corpus leaves: counts and sketches that add up, however the corpus was cut.

`Fold.add` takes documents, `merged` joins two folds, and the order of neither matters: a corpus counted by one worker or by
a thousand gives the same state, to the byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from recension.methods.audit import near
from recension.methods.audit.near import Bands, bands_of
from recension.methods.audit.sample import Passage, drawn, rank, stretches, words_in
from recension.methods.audit.words import BUCKETS, SEEDS, Hashes, bucketed, hashed_words, ngrams

Ints = NDArray[np.int64]

LONG_RUN = 13  # words of a run that counts as copied
TEST_RUN = 8  # words of a run of an evaluation set
SKETCHED = 1 << 16  # different long runs that are kept, those with the smallest hashes
LENGTHS = 128  # bins of the lengths of documents, a quarter of an octave each
LARGEST_PART = 1 << 20  # characters of a document that are hashed at once


class Item(NamedTuple):
    """A document to be counted. `pair`, where there is one, decides whether it is drawn, in place of its content."""

    text: str
    document: str
    cluster: str
    stratum: str = ""
    pair: str = ""


@dataclass(slots=True, eq=False)
class Fold:
    """The state. `tests` are the hashed runs of evaluation sets, in order; `met` says which of them were met."""

    budget: int
    tests: Hashes = field(default_factory=lambda: np.zeros(0, np.uint64))
    documents: int = 0
    size: int = 0  # bytes of text
    words: int = 0
    lengths: Ints = field(default_factory=lambda: np.zeros(LENGTHS, np.int64))
    buckets: Ints = field(default_factory=lambda: np.zeros((SEEDS, BUCKETS), np.int64))
    runs: Hashes = field(default_factory=lambda: np.zeros(0, np.uint64))
    bands: Bands = field(default_factory=Bands.none)
    met: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    sample: list[Passage] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.met) != len(self.tests):
            self.met = np.zeros(len(self.tests), np.bool_)

    def add(self, documents: Sequence[Item]) -> None:
        """Count documents; about a megabyte at a time is best."""
        raws: list[bytes] = []
        owners: list[int] = []
        for number, item in enumerate(documents):
            for start, end in stretches(item.text, LARGEST_PART):
                raws.append(item.text[start:end].encode("utf-8", "replace"))
                owners.append(number)
        owner = np.array(owners, dtype=np.int64)
        words = hashed_words(raws)
        per_document = np.bincount(owner, weights=words.counts, minlength=len(documents)).astype(np.int64)
        self.documents += len(documents)
        self.size += sum(map(len, raws))
        self.words += len(words.hashes)
        bins = np.minimum((4 * np.log2(per_document + 1)).astype(np.int64), LENGTHS - 1)
        self.lengths += np.bincount(bins, minlength=LENGTHS)
        for size, hashes, _ in ngrams(words, (1, 2, LONG_RUN, *((TEST_RUN,) if len(self.tests) else ()))):
            if size <= 2:
                self._bucket(hashes)
            elif size == LONG_RUN:
                self._sketch(hashes)
            else:
                self._meet(hashes)
        self.bands = near.merged(self.bands, bands_of(words, owner, len(documents)))
        self._draw(documents)

    def _bucket(self, hashes: Hashes) -> None:
        for seed in range(SEEDS):
            self.buckets[seed] += np.bincount(bucketed(hashes, seed), minlength=BUCKETS)

    def _sketch(self, hashes: Hashes) -> None:
        if len(self.runs) == SKETCHED:
            hashes = hashes[hashes < self.runs[-1]]
        if len(hashes):
            self.runs = _smallest(self.runs, hashes)

    def _meet(self, hashes: Hashes) -> None:
        places = np.minimum(np.searchsorted(self.tests, hashes), len(self.tests) - 1)
        self.met[places[self.tests[places] == hashes]] = True

    def _draw(self, items: Sequence[Item]) -> None:
        """Passages whose rank is small enough to count; the others cost a hash each."""
        full = sum(p.words * p.times for p in self.sample) >= self.budget
        worst = self.sample[-1].rank if full else 1 << 64
        found = []
        for item in items:
            fixed = rank(item.pair.encode("utf-8", "replace")) if item.pair else None
            if fixed is not None and fixed > worst:
                continue
            for start, end in stretches(item.text):
                text = item.text[start:end]
                digest = rank(text.encode("utf-8", "replace"))
                place = digest if fixed is None else fixed
                if place <= worst and (words := words_in(text)):
                    found.append(Passage(place, digest, text, item.document, item.cluster, item.stratum, words))
        if found:
            self.sample = drawn([*self.sample, *found], self.budget)


def _smallest(runs: Hashes, more: Hashes) -> Hashes:
    both = np.sort(np.concatenate([runs, more]))
    first = np.ones(len(both), dtype=bool)
    first[1:] = both[1:] != both[:-1]
    return both[first][:SKETCHED]


def merged(left: Fold, right: Fold) -> Fold:
    return Fold(
        left.budget,
        left.tests,
        left.documents + right.documents,
        left.size + right.size,
        left.words + right.words,
        left.lengths + right.lengths,
        left.buckets + right.buckets,
        _smallest(left.runs, right.runs),
        near.merged(left.bands, right.bands),
        left.met | right.met,
        drawn([*left.sample, *right.sample], left.budget),
    )


def contained(runs: Hashes, others: Hashes) -> tuple[int, int]:
    """Of the different long runs that were looked at, how many stand in the other corpus as well, and how many those are.

    Only hashes below what both sketches reach are looked at: there both are complete.
    """
    limit = min(_reach(runs), _reach(others))
    mine = runs[runs <= np.uint64(limit)]
    return int(np.isin(mine, others, assume_unique=True).sum()), len(mine)


def _reach(runs: Hashes) -> int:
    return int(runs[-1]) if len(runs) >= SKETCHED else 0xFFFFFFFFFFFFFFFF


def runs_of(text: str) -> Hashes:
    """The hashed runs of an item of an evaluation set; of one that is shorter than a run, none."""
    raw = text.encode("utf-8", "replace")
    return next(ngrams(hashed_words([raw]), (TEST_RUN,)))[1]


_ARRAYS = ("lengths", "buckets", "runs", "met")


def to_bytes(fold: Fold) -> bytes:
    state: dict[str, Any] = {name: getattr(fold, name) for name in ("budget", "documents", "size", "words", "sample")}
    state |= {name: getattr(fold, name).tobytes() for name in _ARRAYS}
    bands = fold.bands
    state["bands"] = (bands.ranks.tobytes(), bands.keys.tobytes(), bands.times.tobytes(), bands.limit)
    return msgspec.msgpack.encode(state)


def from_bytes(raw: bytes, tests: Hashes) -> Fold:
    state = msgspec.msgpack.decode(raw)
    ranks, keys, times, limit = state["bands"]
    bands = Bands(
        np.frombuffer(ranks, np.uint64),
        np.frombuffer(keys, np.uint64).reshape(-1, near.BANDS),
        np.frombuffer(times, np.int64),
        limit,
    )
    return Fold(
        state["budget"],
        tests,
        state["documents"],
        state["size"],
        state["words"],
        np.frombuffer(state["lengths"], np.int64).copy(),
        np.frombuffer(state["buckets"], np.int64).reshape(SEEDS, BUCKETS).copy(),
        np.frombuffer(state["runs"], np.uint64).copy(),
        bands,
        np.frombuffer(state["met"], np.bool_).copy(),
        msgspec.convert(state["sample"], list[Passage]),
    )
