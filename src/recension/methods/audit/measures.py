"""How rich a stretch of text is, in figures that can be compared at an equal number of words.

Each figure has a *sense*: +1 where more of it means a narrower text, -1 where less does. The *effect* of one text against
another is the logarithm of the ratio of their figures times the sense, so that above zero always means narrower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray

from recension.methods.audit.panel import Panel, Side
from recension.methods.audit.words import BUCKETS, SEEDS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PACKED = 4 << 20  # bytes that the compression ratio is taken of, at most
LEVEL = 3
RARE = 3  # words that occur at most so often are the tail of a vocabulary


class Kind(NamedTuple):
    """A figure: its sense, and the family of figures that it belongs to."""

    sense: int
    family: str


KINDS: Mapping[str, Kind] = {
    "compression_ratio": Kind(+1, "repetition"),
    "distinct_2": Kind(-1, "repetition"),
    "distinct_3": Kind(-1, "repetition"),
    "distinct_4": Kind(-1, "repetition"),
    "hapax_share": Kind(-1, "tail"),
    "tail_recall": Kind(-1, "tail"),
    "effective_words": Kind(-1, "concentration"),
    "effective_bigrams": Kind(-1, "concentration"),
    "effective_buckets": Kind(-1, "concentration"),
    "top_40_bigrams": Kind(+1, "concentration"),
    "top_64_bigrams": Kind(+1, "concentration"),
}
NAMES = tuple(KINDS)
SENSES = np.array([kind.sense for kind in KINDS.values()], dtype=np.float64)
TAIL = NAMES.index("tail_recall")


class Counted(NamedTuple):
    """How often every n-gram stands in a stretch of text, and the stretch itself as bytes."""

    grams: tuple[Ints, ...]
    packed: bytes


class Stretch(NamedTuple):
    """Units in order, the last one cut so that they hold exactly so many words."""

    starts: Ints
    sizes: Ints


def stretch(side: Side, order: Ints, budget: int) -> Stretch:
    """The first `budget` words of the units in this order."""
    sizes = side.sizes[order]
    ends = np.cumsum(sizes)
    count = int(np.searchsorted(ends, budget)) + 1
    starts, sizes = side.starts[order[:count]], sizes[:count].copy()
    if len(sizes) and ends[len(sizes) - 1] > budget:
        sizes[-1] -= ends[len(sizes) - 1] - budget
    return Stretch(starts, sizes)


def counted(panel: Panel, chosen: Stretch) -> Counted:
    total = int(chosen.sizes.sum())
    before = np.cumsum(chosen.sizes) - chosen.sizes
    at = np.repeat(chosen.starts - before, chosen.sizes) + np.arange(total)
    grams = tuple(
        np.bincount(numbers[at] + 1, minlength=kinds + 1)[1:]
        for numbers, kinds in zip(panel.grams, panel.kinds, strict=True)
    )
    parts, size = [], 0
    for start in chosen.starts.tolist():
        if size >= PACKED:
            break
        parts.append(panel.units[panel.places[start]])
        size += len(parts[-1]) + 2
    return Counted(grams, b"\n\n".join(parts)[:PACKED])


def figures(panel: Panel, text: Counted, other: Counted, packed: int) -> Floats:
    """The figures of a text, beside another one of the same size; `packed` bytes of it are compressed."""
    one, two = text.grams[0], text.grams[1]
    size = max(1, int(one.sum()))
    spread = [entropy(bucket_counts(panel, text, s)) for s in range(SEEDS)]
    top = np.sort(np.partition(two, -64)[-64:])[::-1] if len(two) >= 64 else np.sort(two)[::-1]
    raw = text.packed[:packed]
    rare = (one > 0) & (one <= RARE)
    theirs = (other.grams[0] > 0) & (other.grams[0] <= RARE)
    pairs = max(1, int(two.sum()))
    return np.array([
        len(raw) / max(1, len(zstandard.compress(raw, LEVEL))),
        *(np.count_nonzero(grams) / max(1, int(grams.sum())) for grams in text.grams[1:4]),
        max(0.5, float(np.count_nonzero(one == 1))) / size,
        # How much of the other's tail is here, over how much of this tail is there: what only differs loses both ways.
        _share(one[theirs] > 0) / _share(other.grams[0][rare] > 0),
        np.exp(entropy(one)),
        np.exp(entropy(two)),
        np.exp(np.mean(spread)),
        top[:40].sum() / pairs,
        top.sum() / pairs,
    ])  # fmt: skip


def bucket_counts(panel: Panel, text: Counted, seed: int = 0) -> Floats:
    """How many words and pairs of words of a text fall into each hash bucket."""
    both = np.concatenate(text.grams[:2]).astype(np.float64)
    return np.asarray(np.bincount(panel.buckets[seed], weights=both, minlength=BUCKETS), dtype=np.float64)


def entropy(counts: NDArray[np.int64] | Floats) -> float:
    """In nats, with the correction of Miller and Madow for what is too rare to have been seen."""
    seen = counts[counts > 0].astype(np.float64)
    total = seen.sum()
    if not total:
        return 0.0
    return float(np.log(total) - (seen * np.log(seen)).sum() / total + (len(seen) - 1) / (2 * total))


def _share(hits: NDArray[np.bool_]) -> float:
    """A share that is never 0, so that it has a logarithm."""
    return (np.count_nonzero(hits) + 0.5) / (len(hits) + 1)


def effects(reference: Floats, candidate: Floats) -> Floats:
    """How much narrower the candidate is by each figure: above 0 it is."""
    found: Floats = SENSES * np.log(candidate / reference)
    found[..., TAIL] /= 2  # both figures are ratios of the same two shares, one upside down
    return found


def figures_of(panel: Panel, left: Stretch, right: Stretch) -> tuple[Floats, Floats]:
    """The figures of both sides at once."""
    a, b = counted(panel, left), counted(panel, right)
    packed = min(len(a.packed), len(b.packed))
    return figures(panel, a, b, packed), figures(panel, b, a, packed)


def shown(names: Sequence[str]) -> list[str]:
    return [name.replace("_", " ") for name in names]
