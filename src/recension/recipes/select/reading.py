"""The one reading of a corpus: every piece leaves a sheet, what its score is computed of, and a state that adds up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from recension.corpus import Layout, Piece, Reading, Strings, TextRows, check_unchanged, numbered, read_texts
from recension.methods.audit.words import BUCKETS
from recension.methods.density import Sketch
from recension.methods.density import merged_bytes as merged_sketches
from recension.methods.density import to_bytes as sketch_to_bytes
from recension.methods.select import clusters, tail
from recension.methods.select.bags import Bags, bags_in
from recension.methods.select.published import Published
from recension.methods.select.tail import Domains, Holding
from recension.models.classifiers import load_classifier
from recension.models.embedders import load_embedder
from recension.models.load import PriorOptions
from recension.models.token_counts import TokenCounter
from recension.ports import Ask
from recension.recipes.priors import load
from recension.recipes.select.sheets import READ, Features, SheetMaker, place, store

Floats = NDArray[np.float64]
A_WORD = 4  # bytes of a piece for a word of it: few have shorter ones


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is computed of each document."""

    method: str
    hash: str = "fast"
    prior: str = ""
    head: str = ""
    embedder: str = "static"
    counter: TokenCounter | None = None
    domain_key: str = ""
    options: PriorOptions = PriorOptions()


class Left(NamedTuple):
    """The artefact of the reading: by piece (checksum of the sheet, of the features, rows, good rows), and what adds up."""

    pieces: list[list[int]]
    holding: bytes
    sketch: bytes


def left_of(state: bytes) -> Left:
    return Left(*msgspec.msgpack.decode(state))


def merge(left: bytes, right: bytes) -> bytes:
    """The merge of the pass."""
    a, b = left_of(left), left_of(right)
    sketch = merged_sketches(a.sketch, b.sketch) if a.sketch else b""
    return msgspec.msgpack.encode([a.pieces + b.pieces, tail.merged_bytes(a.holding, b.holding), sketch])


@dataclass(frozen=True)
class ReadTask:
    """Reads a piece. Picklable; models are loaded where it runs."""

    out: Path
    reading: Reading
    layout: Layout
    wanted: Wanted

    def __call__(self, piece: Piece) -> bytes:
        check_unchanged(piece.files)
        maker, holding, gathered = SheetMaker(), Holding(), _Gathered(self.wanted, piece.size // A_WORD)
        good_rows = 0
        counter = self.wanted.counter
        for batch in read_texts(piece, self.reading, self.layout, self.wanted.domain_key):
            good = batch.good
            ends = batch.texts.ends if good.all() else batch.texts.ends[good]  # a bad row has no text
            bags = self._bags(batch.texts.data, ends, holding)
            domains = _domains(batch)
            holding.add(bags, Domains(domains.names, domains.numbers[good]))
            texts = list(Strings(batch.texts.data, ends)) if counter is not None or self.wanted.method != "dsir" else []
            gathered.add(texts, bags, good_rows)
            columns = {"words": _spread(bags.words, good), "digests": _spread(bags.digests, good)}
            columns["tokens"] = columns["words"] if counter is None else _spread(counter.count(texts), good)
            maker.add(batch, domains, columns)
            good_rows += len(ends)
        check_unchanged(piece.files)
        sheet = maker.done()
        checks = [
            store(place(self.out, READ, piece.index, "sheet"), sheet),
            store(place(self.out, READ, piece.index, "features"), gathered.features(holding)),
        ]
        if self.wanted.method == "dedup":
            store(place(self.out, READ, piece.index, "bands"), gathered.bands())
        return msgspec.msgpack.encode(
            [[[*checks, len(sheet.good), good_rows]], tail.to_bytes(holding), gathered.sketched()]
        )

    def _bags(self, data: NDArray[np.uint8], ends: NDArray[np.int64], holding: Holding) -> Bags:
        made = self._published.bags_in if self.wanted.hash == "sha256" else bags_in
        return made(data, ends, holding.limits)

    @cached_property
    def _published(self) -> Published:
        return Published()


def _domains(batch: TextRows) -> Domains:
    """What stands in the column of domains; where nothing does, the file."""
    names, numbers = numbered(batch.values)
    told = batch.valued & (batch.values.lengths > 0)
    both = [name[: tail.LONGEST_NAME] for name in (*names, *batch.labels)]
    return Domains(both, np.where(told, numbers, len(names) + batch.files))


def _spread(values: NDArray[Any], good: NDArray[np.bool_]) -> NDArray[Any]:
    """Values of the good rows in the places of all rows."""
    if good.all():
        return values
    found = np.zeros(len(good), dtype=values.dtype)
    found[good] = values
    return found


class _Growing:
    """Arrays one after the other, each copied once."""

    def __init__(self, kind: Any, expected: int) -> None:
        self._room, self._size = np.empty(max(1, expected), kind), 0  # memory that nobody writes to costs nothing

    def add(self, values: NDArray[Any]) -> None:
        size = self._size + len(values)
        if size > len(self._room):
            self._room, before = np.empty(2 * size, self._room.dtype), self._room
            self._room[: self._size] = before[: self._size]
        self._room[self._size : size] = values
        self._size = size

    @property
    def all(self) -> NDArray[Any]:
        return self._room[: self._size]


class _Gathered:
    """What the score of a method is computed of, batch by batch."""

    def __init__(self, wanted: Wanted, expected: int) -> None:
        self._wanted = wanted
        self._singles, self._pairs = (_Growing(np.uint16, expected if wanted.method == "dsir" else 1) for _ in range(2))
        self._parts: list[tuple[NDArray[Any], ...]] = []
        self._sketch = Sketch.empty() if wanted.method == "density" else None

    def add(self, texts: Sequence[str], bags: Bags, first: int) -> None:
        wanted = self._wanted
        if wanted.method == "dsir":
            rare = [column for one in bags.rare for column in (one.hashes, one.texts + np.uint32(first))]
            self._singles.add(bags.singles)
            self._pairs.add(bags.pairs)
            self._parts.append(tuple(rare))
        elif not texts:
            return
        elif wanted.method == "perplexity":
            scores = load(wanted.prior, wanted.options).prior.score(list(texts), Ask())
            self._parts.append((np.array([_perplexity(one.logprobs) for one in scores]),))
        elif wanted.method == "edu":
            self._parts.append((load_classifier(wanted.head, wanted.options.device).rate(texts),))
        elif self._sketch is not None:
            vectors = load_embedder(wanted.embedder).embed(texts)
            self._sketch.add(vectors)
            self._parts.append((vectors.ravel(),))
        else:
            self._parts.append(clusters.bands_of(texts, first))

    def _column(self, number: int, kind: Any) -> NDArray[Any]:
        parts = [part[number] for part in self._parts]
        return np.concatenate(parts) if parts else np.zeros(0, kind)

    def features(self, holding: Holding) -> Features:
        if self._wanted.method == "dsir":
            found = Features(singles=self._singles.all, pairs=self._pairs.all)
            hashes, rows = self._column(0, np.uint64), self._column(1, np.uint32)
            below = hashes < np.uint64(holding.singles.settled().limit)
            found.rare_singles, found.single_rows = hashes[below], rows[below]
            hashes, rows = self._column(2, np.uint64), self._column(3, np.uint32)
            below = hashes < np.uint64(holding.pairs.settled().limit)
            found.rare_pairs, found.pair_rows = hashes[below], rows[below]
            found.limits = np.array([holding.singles.limit, holding.pairs.limit], np.uint64)
            return found
        if self._sketch is not None:
            return Features(vectors=self._column(0, np.float32))
        if self._wanted.method == "dedup":
            return Features()
        return Features(scores=self._column(0, np.float64))

    def bands(self) -> clusters.Banded:
        return clusters.banded(self._column(0, np.uint64), self._column(1, np.uint32))

    def sketched(self) -> bytes:
        return b"" if self._sketch is None else sketch_to_bytes(self._sketch)


def _perplexity(logprobs: NDArray[np.float32]) -> float:
    known = logprobs[np.isfinite(logprobs)].astype(np.float64)
    return float(np.exp(-known.mean())) if len(known) else float("nan")


@dataclass(frozen=True)
class TargetTask:
    """Counts the buckets of a piece of the target."""

    reading: Reading
    layout: Layout
    hash: str

    def __call__(self, piece: Piece) -> bytes:
        total, published = np.zeros(BUCKETS, np.int64), Published()
        for batch in read_texts(piece, self.reading, self.layout):
            made = published.bags_in if self.hash == "sha256" else bags_in
            total += made(batch.texts.data, batch.texts.ends[batch.good]).counts
        return total.tobytes()


def merge_counts(left: bytes, right: bytes) -> bytes:
    return (np.frombuffer(left, np.int64) + np.frombuffer(right, np.int64)).tobytes()
