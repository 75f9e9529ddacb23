"""What a corpus holds: lengths, domains, hash buckets, and a sample of its n-grams with how often each stands there.

A *holding* adds up however the corpus was cut. Two of them, of everything and of what was chosen, tell what tail was left
behind. The sample of n-grams are those with the smallest hashes, so it is the same one in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.measures import entropy
from recension.methods.audit.words import BUCKETS, Hashes
from recension.methods.select.bags import Bags, Limits

Ints = NDArray[np.int64]

LENGTHS = 128  # bins of lengths, a quarter of an octave each
TYPES = 8_192  # n-grams of the sample of each kind
WAITING = 1 << 16
FIRST = (1 << 64) // 16  # one n-gram in so many is looked at, until the sample is full
MOST_DOMAINS, LONGEST_NAME = 1_000, 80
OTHERS = "(others)"
RARE = 3  # an n-gram that stands in a corpus at most so often


@dataclass(slots=True, eq=False)
class Sampled:
    """Different n-grams with hashes below a limit, in order, and how often each was met. What is `waiting` is counted in
    when there is enough of it, or when somebody asks."""

    limit: int = FIRST
    hashes: Hashes = field(default_factory=lambda: np.zeros(0, np.uint64))
    counts: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    waiting: list[Hashes] = field(default_factory=list)

    def add(self, hashes: Hashes) -> None:
        """Count hashes in; those at or above the limit are no part of the sample."""
        self.waiting.append(hashes[hashes < np.uint64(self.limit)])
        if sum(map(len, self.waiting)) >= WAITING:
            self.settled()

    def settled(self) -> Sampled:
        """The same, with nothing waiting."""
        if self.waiting:
            more = np.concatenate(self.waiting)
            self.waiting = []
            self._count(*np.unique(more[more < np.uint64(self.limit)], return_counts=True))
        return self

    def join(self, other: Sampled) -> None:
        other.settled()
        self.limit = min(self.limit, other.limit)
        self.settled()._count(other.hashes, other.counts)

    def _count(self, hashes: Hashes, counts: Ints) -> None:
        both, weights = np.concatenate([self.hashes, hashes]), np.concatenate([self.counts, counts])
        inside = both < np.uint64(self.limit)
        distinct, where = np.unique(both[inside], return_inverse=True)
        sums = np.zeros(len(distinct), np.int64)
        np.add.at(sums, where, weights[inside])
        if len(distinct) > TYPES:
            self.limit = int(distinct[TYPES])
            distinct, sums = distinct[:TYPES], sums[:TYPES]
        self.hashes, self.counts = distinct, sums


class Lost(NamedTuple):
    """Of the rare n-grams of a sample: how many there are, the share that is gone, and what a random choice would lose."""

    kinds: int
    share: float
    expected: float


def lost(before: Sampled, after: Sampled, kept: float) -> Lost:
    """`kept` is the share of all words that was chosen."""
    before.settled(), after.settled()
    limit = np.uint64(min(before.limit, after.limit))
    rare = (before.counts <= RARE) & (before.hashes < limit)
    hashes, counts = before.hashes[rare], before.counts[rare]
    if not len(hashes):
        return Lost(0, 0.0, 0.0)
    gone = ~np.isin(hashes, after.hashes, assume_unique=True)
    return Lost(len(hashes), float(gone.mean()), float(((1 - kept) ** counts).mean()))


class Domains(NamedTuple):
    """Some names, and for each document which of them is its domain's. A name may stand there twice."""

    names: Sequence[str]
    numbers: NDArray[np.integer[Any]]


@dataclass(slots=True, eq=False)
class Holding:
    """The state of some documents."""

    documents: int = 0
    words: int = 0
    lengths: Ints = field(default_factory=lambda: np.zeros(LENGTHS, np.int64))
    buckets: Ints = field(default_factory=lambda: np.zeros(BUCKETS, np.int64))
    singles: Sampled = field(default_factory=Sampled)
    pairs: Sampled = field(default_factory=Sampled)
    domains: Counter[str] = field(default_factory=Counter)
    domain_words: Counter[str] = field(default_factory=Counter)

    @property
    def limits(self) -> Limits:
        return Limits(self.singles.limit, self.pairs.limit)

    def add(self, bags: Bags, domains: Domains) -> None:
        """Documents, with the domain of each."""
        self.documents += len(bags.words)
        self.words += int(bags.words.sum())
        self.lengths += np.bincount(bins_of(bags.words), minlength=LENGTHS)
        self.buckets += bags.counts
        self.singles.add(bags.rare[0].hashes)
        self.pairs.add(bags.rare[1].hashes)
        size = len(domains.names)
        documents = np.bincount(domains.numbers, minlength=size).tolist()
        words = np.zeros(size, np.int64)
        np.add.at(words, domains.numbers, bags.words)
        for name, count, more in zip(domains.names, documents, words.tolist(), strict=True):
            if count:
                self.domains[name] += count
                self.domain_words[name] += more
        self._trim()

    def join(self, other: Holding) -> None:
        self.documents += other.documents
        self.words += other.words
        self.lengths += other.lengths
        self.buckets += other.buckets
        self.singles.join(other.singles)
        self.pairs.join(other.pairs)
        self.domains.update(other.domains)
        self.domain_words.update(other.domain_words)
        self._trim()

    def _trim(self) -> None:
        """Not more domains than can be looked at: the smallest are counted together."""
        if len(self.domains) <= 2 * MOST_DOMAINS:
            return
        named = sorted((name for name in self.domains if name != OTHERS), key=lambda n: (-self.domains[n], n))
        for name in named[MOST_DOMAINS:]:
            self.domains[OTHERS] += self.domains.pop(name)
            self.domain_words[OTHERS] += self.domain_words.pop(name, 0)


def bins_of(words: Ints) -> Ints:
    found: Ints = np.minimum((4 * np.log2(words + 1)).astype(np.int64), LENGTHS - 1)
    return found


def words_of_bin(number: int) -> int:
    """The fewest words of a bin."""
    return int(np.ceil(2 ** (number / 4) - 1))


def median(lengths: Ints) -> int:
    """The middle of the lengths, to the bin."""
    total = int(lengths.sum())
    return words_of_bin(int(np.searchsorted(np.cumsum(lengths), total / 2))) if total else 0


class Coverage(NamedTuple):
    """Hash buckets: how many are filled, how many equally full ones would be as even, and what mass fell out of use."""

    filled: int
    effective: float
    uncovered: float


def coverage(buckets: Ints, within: Ints) -> Coverage:
    """Of `buckets`; the share of what is in `within` that lies in buckets which these do not fill."""
    empty = buckets == 0
    return Coverage(
        int((~empty).sum()), float(np.exp(entropy(buckets))), float(within[empty].sum() / max(1, int(within.sum())))
    )


def to_bytes(holding: Holding) -> bytes:
    raw: dict[str, Any] = {"documents": holding.documents, "words": holding.words}
    raw |= {"lengths": holding.lengths.tobytes(), "buckets": holding.buckets.tobytes()}
    raw |= {
        name: (sample.limit, sample.hashes.tobytes(), sample.counts.tobytes())
        for name, sample in (("singles", holding.singles.settled()), ("pairs", holding.pairs.settled()))
    }
    raw |= {"domains": sorted(holding.domains.items()), "domain_words": sorted(holding.domain_words.items())}
    return msgspec.msgpack.encode(raw)


def from_bytes(state: bytes) -> Holding:
    raw = msgspec.msgpack.decode(state)
    singles, pairs = (
        Sampled(limit, np.frombuffer(hashes, np.uint64), np.frombuffer(counts, np.int64))
        for limit, hashes, counts in (raw["singles"], raw["pairs"])
    )
    lengths, buckets = (np.frombuffer(raw[name], np.int64).copy() for name in ("lengths", "buckets"))
    domains, words = (Counter(dict(raw[name])) for name in ("domains", "domain_words"))
    return Holding(raw["documents"], raw["words"], lengths, buckets, singles, pairs, domains, words)


def joined(states: Iterable[bytes]) -> Holding:
    """All of them, one after the other."""
    whole = Holding()
    for state in states:
        whole.join(from_bytes(state))
    return whole


def merged_bytes(left: bytes, right: bytes) -> bytes:
    """The merge of a pass."""
    return to_bytes(joined([left, right]))


def largest(counts: Mapping[str, int], most: int) -> list[str]:
    """The names that stand for most."""
    return sorted((name for name in counts if name != OTHERS), key=lambda name: (-counts[name], name))[:most]
