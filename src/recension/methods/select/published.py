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
from recension.methods.select.bags import NO_LIMITS, Bags, Buckets, Limits, bags_in, compiled, counted

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
        raws = [text.encode("utf-8", "replace") for text in texts]
        ends = np.cumsum([len(raw) for raw in raws], dtype=np.int64)
        return self.bags_in(np.frombuffer(bytearray().join(raws), np.uint8), ends, limits)

    def bags_in(self, data: NDArray[np.uint8], ends: Ints, limits: Limits = NO_LIMITS) -> Bags:
        """Our digests and rare n-grams, with the package's words and buckets."""
        singles, pairs, sizes = self._counted(data, ends)
        ours = bags_in(data, ends, limits)
        counts = counted(singles, pairs)
        return Bags(singles, pairs, sizes, ours.digests, ours.rare, counts)

    def _counted(self, data: NDArray[np.uint8], ends: Ints) -> tuple[Buckets, Buckets, Ints]:
        if compiled() is None:
            raw, stops = data.tobytes(), ends.tolist()
            return self._by_dictionary(
                [raw[a:b].decode("utf-8", "replace") for a, b in zip([0, *stops], stops, strict=False)]
            )
        from recension.methods.select.sha_loops import Table

        if self.table is None or not self.table.takes(2 * len(data)):
            self.table = Table.sized(2 * len(data))  # in small letters a text can be longer
        found: tuple[Buckets, Buckets, Ints] = self.table.of(data, ends)
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
