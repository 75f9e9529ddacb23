"""The buckets of the data-selection package (1.0.3): sha256 of every word and pair of words, modulo 10,000.

Words are those of its tokenizer on the small letters of a text. A text is numbered first, and only words and pairs that were
not met before are hashed, so that its weights cost a fraction of what they cost there.
"""

from __future__ import annotations

import hashlib
import re
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
        self.names: list[str] = []

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        self.names.append(word)
        return number


@dataclass(slots=True, eq=False)
class Published:
    """Buckets with a memory of words and pairs. How much it remembers changes none of them."""

    numbers: _Numbers = field(default_factory=_Numbers)
    buckets: Buckets = field(default_factory=lambda: np.zeros(0, np.uint16))
    pairs: dict[int, int] = field(default_factory=dict)
    table: Any = None  # in place of these where loops are compiled

    def bags_of(self, texts: Sequence[str], limits: Limits = NO_LIMITS) -> Bags:
        """Our digests and rare n-grams, with the package's words and buckets."""
        singles, pairs, sizes = self._by_dictionary(texts) if compiled() is None else self._by_table(texts)
        ours = bags_of(texts, limits)
        counts = counted(singles, pairs)
        return Bags(singles, pairs, sizes, ours.digests, ours.rare_singles, ours.rare_pairs, counts)

    def _by_table(self, texts: Sequence[str]) -> tuple[Buckets, Buckets, Ints]:
        from recension.methods.select.sha_loops import Table

        if self.table is None or self.table.words > MOST_WORDS:
            self.table = Table()
        kinds = [0 if text.isascii() else 1 for text in texts]
        spelled = (text if not kind else "\0".join(_words(text)) for text, kind in zip(texts, kinds, strict=True))
        found: tuple[Buckets, Buckets, Ints] = self.table.of([_raw(text) for text in spelled], kinds)
        return found

    def _by_dictionary(self, texts: Sequence[str]) -> tuple[Buckets, Buckets, Ints]:
        if len(self.numbers) > MOST_WORDS or len(self.pairs) > MOST_PAIRS:
            self.numbers, self.buckets, self.pairs = _Numbers(), np.zeros(0, np.uint16), {}
        found = [_words(text) for text in texts]
        sizes = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        numbers = map(self.numbers.__getitem__, chain.from_iterable(found))
        flat = np.fromiter(numbers, dtype=np.int64, count=int(sizes.sum()))
        fresh = sha_buckets(_raw(word) for word in self.numbers.names[len(self.buckets) :])
        self.buckets = np.concatenate([self.buckets, fresh.astype(np.uint16)])
        left = np.repeat(np.cumsum(sizes), sizes) - np.arange(len(flat))
        inside = np.flatnonzero(left[:-1] > 1)
        distinct, where = np.unique(flat[inside] << 32 | flat[inside + 1], return_inverse=True)
        pairs, names = self.pairs, self.numbers.names
        unmet = [key for key in distinct.tolist() if key not in pairs]
        raws = (_raw(f"{names[key >> 32]} {names[key & 0xFFFFFFFF]}") for key in unmet)
        pairs.update(zip(unmet, sha_buckets(raws).tolist(), strict=True))
        buckets = np.fromiter((pairs[key] for key in distinct.tolist()), dtype=np.uint16, count=len(distinct))
        return self.buckets[flat], buckets[where], sizes


def _words(text: str) -> list[str]:
    return WORDS.findall(text.lower())


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def sha_buckets(raws: Iterable[bytes]) -> Ints:
    """sha256 as one large number, modulo the number of buckets."""
    digests = b"".join([hashlib.sha256(raw).digest() for raw in raws])
    limbs = np.frombuffer(digests, dtype=">u4").reshape(-1, 8).astype(np.int64)
    rest = np.zeros(len(limbs), dtype=np.int64)
    for place in range(8):
        rest = ((rest << 32) + limbs[:, place]) % BUCKETS
    return rest
