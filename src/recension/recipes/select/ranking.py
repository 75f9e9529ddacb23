"""From sheets to ranks, and from ranks to the cut: what comes first, and how much of it is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recension.document import JSON
from recension.errors import InputError
from recension.methods.audit.words import Hashes, stirred
from recension.methods.density import Sketch
from recension.methods.density import from_bytes as sketch_from_bytes
from recension.methods.select import importance, tail
from recension.methods.select.bags import hashed_names
from recension.methods.select.choice import LAST, Cut, Part, below, best_first, count_of, cut_at
from recension.methods.select.importance import Effective, at_mean_length, effective, gumbel, log_ratio, log_weights
from recension.randomness import draws
from recension.recipes.audit.samples import artefact
from recension.recipes.audit.stages import Chunk
from recension.recipes.select.reading import left_of
from recension.recipes.select.sheets import READ, SCORE, Features, Ranked, Sheet, load, place, store
from recension.recipes.select.spec import SelectSpec

Floats = NDArray[np.float64]

TARGET = "target"
HELD_ROWS = 1 << 20  # whose ranks stay in memory, in some 40 MB; those of more are read again each time
PASSAGE_WORDS = 110  # about what a passage of the samples holds
BEFORE, AFTER = 11, 12  # what a document's number is stirred with, for each use


@dataclass(frozen=True)
class RankTask:
    """Ranks the documents of some sheets. Picklable, and small: whatever is large is read where it runs."""

    out: Path
    key: str
    spec: SelectSpec

    def __call__(self, piece: Chunk) -> bytes:
        spread, checks = Effective(), []
        for index in range(piece.start, piece.stop):
            ranked, found = self._ranked(index)
            spread = importance.joined(spread, found)
            checks.append(store(place(self.out, SCORE, index, "ranks"), ranked))
        return msgspec.msgpack.encode([checks, _numbers(spread)])

    def _ranked(self, index: int) -> tuple[Ranked, Effective]:
        spec, checks = self.spec, _left(self.out, self.key).pieces[index]
        sheet: Sheet = load(place(self.out, READ, index, "sheet"), Sheet, checks[0])
        features: Features = load(place(self.out, READ, index, "features"), Features, checks[1])
        good, words = sheet.good, sheet.words
        scores = np.full(len(good), np.nan)
        keys = np.full(len(good), np.nan)
        spread = Effective()
        if spec.method == "dedup":
            keys[good] = 0.0
        else:
            scores[good] = self._scores(features, words[good])
            keys[:] = -scores if spec.method == "perplexity" else scores
        keys[words < spec.shortest] = np.nan
        if spec.method in ("dsir", "density"):
            able = ~np.isnan(keys)
            weights = (-np.log(keys[able]) if spec.method == "density" else keys[able]) / spec.temperature
            spread = effective(weights)
            names = np.where(sheet.given, hashed_names(sheet.ids, sheet.id_ends), np.uint64(0))
            keys[able] = weights + gumbel(draws(spec.seed, sheet.digests[able], names[able]))
        ranks = best_first(keys)
        return Ranked(scores, ranks, sheet.tokens, words, sheet.digests), spread

    def _scores(self, features: Features, words: NDArray[np.int64]) -> Floats:
        if self.spec.method == "dsir":
            ratio, mean = _fit(self.out, self.key)
            weights = log_weights(features.singles, features.pairs, words, ratio)
            return at_mean_length(weights, words, mean) if self.spec.length_normalise else weights
        if self.spec.method == "density":
            sketch = _sketch(self.out, self.key)
            return sketch.density(features.vectors.reshape(len(words), -1)) if len(words) else np.zeros(0)
        return features.scores


def _numbers(spread: Effective) -> list[float]:
    return [spread.count, spread.peak, spread.first, spread.second, spread.sum, spread.squares]


def spread_of(state: bytes) -> Effective:
    return Effective(*msgspec.msgpack.decode(state)[1])


def checks_of(state: bytes) -> list[int]:
    """The checksum of the ranks of each piece."""
    return list(msgspec.msgpack.decode(state)[0])


def merge_ranked(left: bytes, right: bytes) -> bytes:
    spread = importance.joined(spread_of(left), spread_of(right))
    return msgspec.msgpack.encode([checks_of(left) + checks_of(right), _numbers(spread)])


# What passes have found, once in each process; the key tells runs in one folder apart.


@lru_cache(maxsize=1)
def _left(out: Path, key: str) -> Any:
    return left_of(artefact(out, READ).read_bytes())


@lru_cache(maxsize=1)
def _fit(out: Path, key: str) -> tuple[Floats, float]:
    """The log-ratio by bucket, and the mean number of n-grams of a document of the corpus."""
    holding = tail.from_bytes(_left(out, key).holding)
    target = np.frombuffer(artefact(out, TARGET).read_bytes(), np.int64)
    return log_ratio(target, holding.buckets), float(holding.buckets.sum() / max(1, holding.documents))


@lru_cache(maxsize=1)
def _sketch(out: Path, key: str) -> Sketch:
    return sketch_from_bytes(_left(out, key).sketch)


@dataclass(frozen=True)
class Ranks:
    """The ranks of all pieces, one after the other as often as they are wanted."""

    out: Path
    checks: tuple[int, ...]
    _held: dict[int, Ranked] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Ranked]:
        for index, check in enumerate(self.checks):
            yield self._held[index] if index in self._held else self._read(index, check)

    def _read(self, index: int, check: int) -> Ranked:
        one: Ranked = load(place(self.out, SCORE, index, "ranks"), Ranked, check)
        if sum(len(held.ranks) for held in self._held.values()) + len(one.ranks) <= HELD_ROWS:
            self._held[index] = one
        return one

    def parts(self, by_amount: bool) -> Iterable[Part]:
        for one in self:
            yield Part(one.ranks, one.amounts if by_amount else None)


def chosen(spec: SelectSpec, documents: int, ranks: Ranks) -> dict[str, JSON]:
    """The cuts: what lies below `upper` and not below `lower` is kept. Part of the key of every shard."""
    able = count_of(lambda: ranks.parts(False))
    if not able:
        raise InputError(
            f"no document can be kept: all of them have fewer than {spec.shortest:,} words (--min-words), or no score"
        )
    lower = Cut()
    if spec.keep_tokens is not None:
        near = _to_middle(able, ranks) if spec.method == "perplexity" else None
        upper = cut_at(lambda: _parts(ranks, near), spec.keep_tokens)
        if near is not None:
            return {"upper": list(upper), "lower": list(lower), "middle": near}
    elif spec.method == "perplexity":
        low, high = spec.band
        lower = cut_at(lambda: ranks.parts(False), round(low * able))
        upper = cut_at(lambda: ranks.parts(False), round(high * able))
    elif spec.min_score is not None:
        least = int(best_first(np.array([spec.min_score]))[0])
        upper = Cut(min(least + 1, LAST), 0, 0)
    elif spec.method == "dedup":
        upper = Cut(LAST, len(ranks.checks), 0)
    else:
        upper = cut_at(lambda: ranks.parts(False), max(1, round((spec.keep or 0.0) * documents)))
    return {"upper": list(upper), "lower": list(lower), "middle": None}


def _to_middle(able: int, ranks: Ranks) -> float:
    """The log of the median perplexity: with --keep-tokens what lies nearest to it is kept."""
    cut = cut_at(lambda: ranks.parts(False), able // 2)
    found = [one.scores[one.ranks == np.uint64(cut.rank)] for one in ranks]
    return float(np.log(np.concatenate(found)[0]))


def _parts(ranks: Ranks, near: float | None) -> Iterator[Part]:
    for one in ranks:
        yield Part(one.ranks if near is None else nearest(one, near), one.amounts)


def nearest(one: Ranked, middle: float) -> Hashes:
    """Ranks by the distance of the log-perplexity from a middle."""
    return np.where(one.ranks == np.uint64(LAST), np.uint64(LAST), best_first(-np.abs(np.log(one.scores) - middle)))


def kept_of(one: Ranked, number: int, choice: Any) -> NDArray[np.bool_]:
    """Which rows of a piece lie between the cuts."""
    ranks = one.ranks if choice["middle"] is None else nearest(one, choice["middle"])
    return below(ranks, number, Cut(*choice["upper"])) & ~below(ranks, number, Cut(*choice["lower"]))


def sample_cuts(words: int, ranks: Ranks, kept: Callable[[int, Ranked], NDArray[np.bool_]]) -> list[JSON]:
    """The cuts of two samples of about so many words: of everything, and of what is kept."""
    found: list[JSON] = []
    for after in (False, True):

        def parts(after: bool = after) -> Iterator[Part]:
            for number, one in enumerate(ranks):
                order = sample_ranks(one, after, kept(number, one) if after else one.words > 0)
                yield Part(order, np.minimum(one.words, PASSAGE_WORDS))

        found.append(list(cut_at(parts, words)))
    return found


def sample_ranks(one: Ranked, after: bool, able: NDArray[np.bool_]) -> Hashes:
    """The order in which documents come into a sample."""
    order = np.minimum(stirred(one.digests, AFTER if after else BEFORE), np.uint64(LAST - 1))
    return np.where(able, order, np.uint64(LAST))
