"""Texts to hashed words and pairs of words, as arrays, in whole blocks.

Words and hashes are those of `methods/audit/words.py`, of the small letters of a text. Where numba is installed the same
numbers come out of compiled loops, several times as fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.words import BUCKETS, Hashes, Words, bucketed, hashed_words, ngrams, powers_of, stirred

Ints = NDArray[np.int64]
Buckets = NDArray[np.uint16]


class Rare(NamedTuple):
    """Some of the n-grams of several texts: their hashes, and the number of the text of each."""

    hashes: Hashes
    texts: NDArray[np.uint32]


class Bags(NamedTuple):
    """The words and pairs of several texts, one text after the other.

    `singles` and `pairs` are buckets, `words` how many words each text has, `digests` a number for what each says.
    `singles` and `pairs` may stand in space that the next call uses again: who keeps them copies them.
    `rare` are those hashes of words, and of pairs, that lie below the limits that were asked for, in any order.
    """

    singles: Buckets
    pairs: Buckets
    words: Ints
    digests: Hashes
    rare: tuple[Rare, Rare]
    counts: Ints  # how often each bucket is met


class Limits(NamedTuple):
    """Below which hashes n-grams are looked at one by one."""

    singles: int = 0
    pairs: int = 0


BLOCK = 128  # n-grams whose values are added up before they join the sum of a text
NO_LIMITS = Limits()
_ASCII = bytes(range(128))


def lowered(text: str | bytes) -> bytes:
    """A text, or its UTF-8, as its words are compared: ASCII is lowered byte by byte later on."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    if raw.isascii():
        return raw
    # Most texts have quotation marks and dashes beyond ASCII and no capitals, and lowering a whole text is slow.
    beyond = raw.translate(None, _ASCII).decode("utf-8")
    if beyond.lower() == beyond:
        return raw
    return raw.decode("utf-8", "replace").lower().encode("utf-8", "replace")


def bags_of(texts: Sequence[str | bytes], limits: Limits = NO_LIMITS) -> Bags:
    raws = [text if isinstance(text, bytes) else text.encode("utf-8", "replace") for text in texts]
    return bags_in(
        np.frombuffer(bytearray().join(raws), np.uint8), np.cumsum([len(raw) for raw in raws], dtype=np.int64), limits
    )


def bags_in(data: NDArray[np.uint8], ends: Ints, limits: Limits = NO_LIMITS) -> Bags:
    """The same of texts in UTF-8 that stand one after the other."""
    loops = compiled()
    if loops is not None:
        found: Bags = loops.bags(*loops.small(data, ends), limits)
        return found
    raw, stops = data.tobytes(), ends.tolist()
    return by_arrays([lowered(raw[a:b]) for a, b in zip([0, *stops], stops, strict=False)], limits)


@cache
def compiled() -> Any:
    """The compiled way, where there is one."""
    if find_spec("numba") is None:
        return None
    from recension.methods.select import loops

    return loops


def by_arrays(raws: Sequence[bytes], limits: Limits) -> Bags:
    words = hashed_words(raws)
    rare, buckets = [], []
    for (_, hashes, texts), limit in zip(ngrams(words, (1, 2)), limits, strict=True):
        below = hashes < np.uint64(limit)
        rare.append(Rare(hashes[below], texts[below].astype(np.uint32)))
        buckets.append(bucketed(hashes, 0).astype(np.uint16))
    return Bags(buckets[0], buckets[1], words.counts, digests_of(words), (rare[0], rare[1]), counted(*buckets))


def digests_of(words: Words) -> Hashes:
    """A number for the words of each text, in their order."""
    starts = np.cumsum(words.counts) - words.counts
    places = np.arange(len(words.hashes)) - np.repeat(starts, words.counts)
    weighted = words.hashes * powers_of(int(words.counts.max(initial=1)))[places]
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(weighted)])
    return stirred(sums[starts + words.counts] - sums[starts], 3)


def hashed_names(data: NDArray[np.uint8], ends: Ints) -> Hashes:
    """A number for each of the names that stand one after the other; 0 for an empty one. Names are told apart by every byte,
    capitals included."""
    loops = compiled()
    if loops is not None:
        found: Hashes = loops.hashed_names(data, ends)
        return found
    return names_by_arrays(data, ends)


def names_by_arrays(data: NDArray[np.uint8], ends: Ints) -> Hashes:
    lengths = np.diff(ends, prepend=0)
    if not lengths.sum():
        return np.zeros(len(ends), np.uint64)
    values = stirred(data.astype(np.uint64) + np.uint64(1), 4)
    starts = np.cumsum(lengths) - lengths
    weighted = values * powers_of(int(lengths.max()))[np.arange(len(values)) - np.repeat(starts, lengths)]
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(weighted)])
    found = stirred(sums[starts + lengths] - sums[starts], 5)
    return np.where(lengths > 0, found, np.uint64(0))


def counted(singles: Buckets, pairs: Buckets) -> Ints:
    """How often each bucket is met."""
    return np.bincount(singles, minlength=BUCKETS) + np.bincount(pairs, minlength=BUCKETS)


def counted_in(values: Buckets, sizes: Ints, chosen: NDArray[np.bool_]) -> Ints:
    """How often each bucket is met in the chosen ones of some texts, of which each has so many n-grams."""
    loops = compiled()
    if loops is None:
        return counted_by_arrays(values, sizes, chosen)
    found = np.zeros(BUCKETS, np.int64)
    loops.counted_in(values, sizes, chosen, found)
    return found


def counted_by_arrays(values: Buckets, sizes: Ints, chosen: NDArray[np.bool_]) -> Ints:
    return np.bincount(values[np.repeat(chosen, sizes)], minlength=BUCKETS)


def pairs_of(words: Ints) -> Ints:
    """How many pairs of neighbours texts of so many words have."""
    return np.maximum(words - 1, 0)
