"""The buckets of the data-selection package (1.0.3): sha256 of every word and pair of words, modulo 10,000.

Words are those of its tokenizer on the small letters of a text. A text is numbered first, and only words and pairs that were
not met before are hashed, so that its weights cost a fraction of what they cost there.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.words import BUCKETS
from recension.methods.select.bags import NO_LIMITS, Bags, Buckets, Limits, bags_of, compiled, counted

Ints = NDArray[np.int64]

WORDS = re.compile(r"\w+|[^\w\s]+")
MOST_WORDS, MOST_PAIRS = 1 << 20, 1 << 21  # remembered, in some hundred megabytes


class _Numbers(dict[str, int]):
    """Words by number, in the order in which they are met."""

    def __init__(self) -> None:
        super().__init__()
        self.fresh: list[str] = []  # met since somebody looked

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        self.fresh.append(word)
        return number


@dataclass(slots=True, eq=False)
class _Vocabulary:
    numbers: _Numbers = field(default_factory=_Numbers)
    names: list[str] = field(default_factory=list)
    texts: bytearray = field(default_factory=bytearray)  # all words, one after the other
    starts: array[int] = field(default_factory=lambda: array("q", [0]))
    buckets: Buckets = field(default_factory=lambda: np.zeros(0, np.uint16))
    pairs: dict[int, int] = field(default_factory=dict)
    table: Any = None  # of pairs, where loops are compiled

    def full(self) -> bool:
        return len(self.numbers) > MOST_WORDS or len(self.pairs) > MOST_PAIRS

    def grow(self) -> None:
        """Spell and hash the words that were met since."""
        fresh, self.numbers.fresh = self.numbers.fresh, []
        raws = [word.encode("utf-8", "surrogatepass") for word in fresh]
        for raw in raws:
            self.texts += raw
            self.starts.append(len(self.texts))
        self.names += fresh
        self.buckets = np.concatenate([self.buckets, sha_buckets(raws).astype(np.uint16)])


@dataclass(slots=True, eq=False)
class Published:
    """How much it remembers changes no bucket."""

    known: _Vocabulary = field(default_factory=_Vocabulary)

    def bags_of(self, texts: Sequence[str], limits: Limits = NO_LIMITS) -> Bags:
        """Our digests and rare n-grams, with the package's words and buckets."""
        if self.known.full():
            self.known = _Vocabulary()
        known = self.known
        found = [WORDS.findall(text.lower()) for text in texts]
        sizes = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        numbers = map(known.numbers.__getitem__, chain.from_iterable(found))
        flat = np.fromiter(numbers, dtype=np.int64, count=int(sizes.sum()))
        known.grow()
        singles = known.buckets[flat]
        pairs = _by_dictionary(known, flat, sizes) if compiled() is None else _by_table(known, flat, sizes)
        ours = bags_of(texts, limits)
        counts = counted(singles, pairs)
        return Bags(singles, pairs, sizes, ours.digests, ours.rare_singles, ours.rare_pairs, counts)


def _by_table(known: _Vocabulary, flat: Ints, sizes: Ints) -> Buckets:
    from recension.methods.select.sha_loops import Pairs

    if known.table is None:
        known.table = Pairs()
    texts = np.frombuffer(known.texts or b"\0", np.uint8)
    found: Buckets = known.table.of(flat, sizes, texts, np.array(known.starts, np.int64))
    return found


def _by_dictionary(known: _Vocabulary, flat: Ints, sizes: Ints) -> Buckets:
    left = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(flat))
    inside = np.flatnonzero(left[:-1] > 1)
    distinct, where = np.unique(flat[inside] << 32 | flat[inside + 1], return_inverse=True)
    keys = distinct.tolist()
    pairs, names = known.pairs, known.names
    fresh = [key for key in keys if key not in pairs]
    texts = (f"{names[key >> 32]} {names[key & 0xFFFFFFFF]}".encode("utf-8", "surrogatepass") for key in fresh)
    pairs.update(zip(fresh, sha_buckets(texts).tolist(), strict=True))
    buckets = np.fromiter((pairs[key] for key in keys), dtype=np.uint16, count=len(keys))
    return buckets[where]


def sha_buckets(raws: Iterable[bytes]) -> Ints:
    """sha256 as one large number, modulo the number of buckets."""
    digests = b"".join([hashlib.sha256(raw).digest() for raw in raws])
    limbs = np.frombuffer(digests, dtype=">u4").reshape(-1, 8).astype(np.int64)
    rest = np.zeros(len(limbs), dtype=np.int64)
    for place in range(8):
        rest = ((rest << 32) + limbs[:, place]) % BUCKETS
    return rest
