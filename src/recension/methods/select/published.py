"""The buckets of the data-selection package (1.0.3): sha256 of every word and pair of words, modulo 10,000.

Words are those of its tokenizer on the small letters of a text. A text is numbered first, and only words and pairs that were
not met before are hashed, so that its weights cost a fraction of what they cost there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.words import BUCKETS
from recension.methods.select.bags import NO_LIMITS, Bags, Buckets, Limits, bags_of, counted

Ints = NDArray[np.int64]

WORDS = re.compile(r"\w+|[^\w\s]+")
MOST_WORDS, MOST_PAIRS = 1 << 20, 1 << 21  # remembered; about 400 MB when both are full


@dataclass(slots=True)
class Published:
    """What was met so far. How much it remembers changes no bucket."""

    words: dict[str, int] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    buckets: list[int] = field(default_factory=list)
    pairs: dict[int, int] = field(default_factory=dict)

    def bags_of(self, texts: Sequence[str], limits: Limits = NO_LIMITS) -> Bags:
        """Our digests and rare n-grams, with its words and buckets."""
        if len(self.names) > MOST_WORDS or len(self.pairs) > MOST_PAIRS:
            self.words, self.names, self.buckets, self.pairs = {}, [], [], {}
        found = [WORDS.findall(text.lower()) for text in texts]
        known = self.words
        numbers: list[int] = []
        for words in found:
            for word in words:
                number = known.get(word)
                if number is None:
                    number = known[word] = len(self.names)
                    self.names.append(word)
                numbers.append(number)
        fresh = self.names[len(self.buckets) :]
        self.buckets += sha_buckets(word.encode("utf-8", "surrogatepass") for word in fresh).tolist()
        flat = np.array(numbers, dtype=np.int64)
        sizes = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        singles = np.array(self.buckets, dtype=np.uint16)[flat] if len(flat) else np.zeros(0, np.uint16)
        pairs = self._pairs(flat, sizes)
        ours = bags_of(texts, limits)
        counts = counted(singles, pairs)
        return Bags(singles, pairs, sizes, ours.digests, ours.rare_singles, ours.rare_pairs, counts)

    def _pairs(self, flat: Ints, sizes: Ints) -> Buckets:
        left = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(flat))
        inside = np.flatnonzero(left[:-1] > 1)
        distinct, where = np.unique(flat[inside] << 32 | flat[inside + 1], return_inverse=True)
        keys = distinct.tolist()
        pairs, names = self.pairs, self.names
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
