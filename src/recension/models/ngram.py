"""The n-gram prior: interpolated modified Kneser-Ney over byte-level BPE, a folder of plain arrays.

It needs neither torch nor a download, is fitted in seconds, and says the same bits whatever the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import RawIOBase
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.document import JSON
from recension.errors import ModelError, UsageError
from recension.models import ngram_counting, ngram_folder, ngram_tables
from recension.models.ngram_tables import Ints, Tables
from recension.models.ngram_tokens import batches, fit_tokenizer, open_tokenizer, tokenise
from recension.models.surfaces import Encoded, Surfaces, surfaces_of
from recension.ports import Ask, TokenScores

_BLOCK = 1 << 18
_ROWS = 1 << 14
_WORDS = "words"

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class NgramSettings:
    """How to fit.

    N-grams of order 3 and up that occur less than `min_count` times are left out. The vocabulary is fitted on the first
    `tokenizer_bytes` of the corpus, unless `tokenizer` gives the path of a tokenizer.json to use instead.
    """

    order: int = 5
    vocabulary: int = 8192
    min_count: int = 1
    tokenizer_bytes: int = 32 << 20
    tokenizer: str | None = None


@dataclass(frozen=True, slots=True)
class NgramSummary:
    """What was fitted: the n-grams kept of each order, and what is discounted from counts of 1, 2 and more."""

    documents: int
    tokens: int
    vocabulary: int
    ngrams: tuple[int, ...]
    discounts: tuple[tuple[float, float, float], ...]
    bytes: int
    sha256: str


def train(
    texts: Iterable[str], settings: NgramSettings, folder: Path, progress: Progress | None = None
) -> NgramSummary:
    """Fit a model on texts, which are read once, and write it to a new folder: the same texts give the same bytes.

    `progress` is told what is being done and how far it is. Memory goes with the number of distinct n-grams.
    """
    tick = progress or _silent
    _check(settings)
    ngram_folder.claim(folder)
    stream = iter(texts)
    if settings.tokenizer is None:
        read = list(_first(stream, settings.tokenizer_bytes))
        tick("fit the vocabulary", len(read))
        tokenizer = fit_tokenizer(read, settings.vocabulary)
    else:
        read = []
        tokenizer = open_tokenizer(Path(settings.tokenizer))
    surfaces = surfaces_of(tokenizer)
    documents, tokens = _spool(_spent(read, stream), tokenizer, surfaces, folder, tick)
    if not tokens:
        raise ModelError(f"cannot fit an n-gram model in {folder}: the corpus holds no text")
    with ngram_folder.writing(folder):
        spool = folder / ngram_folder.SPOOL / _WORDS
        counts = ngram_counting.count(spool, len(surfaces.characters), settings.order, tick)
    drawable = np.ones(len(surfaces.characters) + 1, dtype=bool)
    drawable[[*surfaces.special, -1]] = False
    tables, discounts = ngram_counting.smooth(counts, drawable, settings.min_count, tick, np.float32)
    about: dict[str, JSON] = {
        "settings": {k: v for k, v in asdict(settings).items() if k != "tokenizer"},
        "documents": documents,
        "tokens": tokens,
        "discounts": [list(d) for d in discounts],
    }
    tick("write", tables.order)
    with ngram_folder.writing(folder):
        digest = ngram_folder.write(tables, tokenizer, about, folder)
        size = sum(path.stat().st_size for path in folder.iterdir())
    ngrams = tuple(len(level.p) for level in tables.levels)
    return NgramSummary(documents, tokens, tables.vocabulary, ngrams, discounts, size, digest)


def _silent(stage: str, done: int) -> None:
    pass


def _check(settings: NgramSettings) -> None:
    if not 2 <= settings.order <= 16:
        raise UsageError(f"the order of an n-gram model must lie between 2 and 16, not {settings.order}")
    if not 256 <= settings.vocabulary <= 1 << 24:
        raise UsageError(f"the vocabulary must hold 256 (every byte) to 16,777,216 tokens, not {settings.vocabulary}")
    if settings.min_count < 1 or settings.tokenizer_bytes < 1:
        raise UsageError("min_count and tokenizer_bytes must be 1 or more")


def _first(texts: Iterator[str], size: int) -> Iterator[str]:
    for text in texts:
        yield text
        size -= len(text.encode("utf-8"))
        if size <= 0:
            return


def _spent(read: list[str], rest: Iterator[str]) -> Iterator[str]:
    """What was read already, each let go once it is passed on, and then the rest."""
    read.reverse()
    return chain((read.pop() for _ in range(len(read))), rest)


def _spool(texts: Iterable[str], tokenizer: Any, surfaces: Surfaces, folder: Path, tick: Progress) -> tuple[int, int]:
    """Write the words of all texts to one file, each text opened by the beginning-of-text word."""
    documents = tokens = 0
    opening = np.array([len(surfaces.characters)], dtype=np.uint32).tobytes()
    with ngram_folder.writing(folder):
        # Unbuffered, so that a full disk is met here and not while the file is closed.
        out = (folder / ngram_folder.SPOOL / _WORDS).open("wb", buffering=0)
    with out:
        for batch in batches(texts):
            words = []
            for encoded in tokenise(tokenizer, surfaces, batch):
                words += [opening, encoded.ids.astype(np.uint32).tobytes()]
                documents += 1
                tokens += len(encoded.ids)
            with ngram_folder.writing(folder):
                _write_all(out, b"".join(words))
            tick("tokenise", documents)
    return documents, tokens


def _write_all(out: RawIOBase, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[out.write(rest) :]


@dataclass(frozen=True, slots=True, eq=False)
class NgramPrior:
    """A fitted model as a `Prior`: scores are the same bits for any batch, order and thread count."""

    tables: Tables
    tokenizer: Any
    known: Surfaces
    sha256: str

    @classmethod
    def load(cls, path: str | Path, verify: bool = False) -> NgramPrior:
        """Open a folder that `train` wrote. `verify` hashes every file, not only the small ones."""
        stored = ngram_folder.read(Path(path), verify)
        surfaces = surfaces_of(stored.tokenizer)
        if len(surfaces.characters) != stored.tables.vocabulary:
            raise ModelError(f"the tokenizer in {path} does not belong to the model: fit it again or copy it again")
        return cls(stored.tables, stored.tokenizer, surfaces, stored.sha256)

    @property
    def spec(self) -> Mapping[str, JSON]:
        tables = self.tables
        return {"kind": "ngram", "sha256": self.sha256, "order": tables.order, "vocabulary": tables.vocabulary}

    @property
    def exact(self) -> bool:
        return True

    @property
    def surfaces(self) -> Sequence[str | None]:
        return self.known.characters

    def distribution(self, context: Sequence[int]) -> NDArray[np.float64]:
        """The probability of every token where a text begins with the tokens of `context`."""
        return ngram_tables.distribution(self.tables, [self.tables.vocabulary, *context])

    def score(self, texts: Sequence[str], ask: Ask) -> list[TokenScores]:
        encoded = [one for batch in batches(texts) for one in tokenise(self.tokenizer, self.known, batch)]
        opening = np.array([self.tables.vocabulary], dtype=np.int64)
        words = np.concatenate([opening[:0], *(part for one in encoded for part in (opening, one.ids))])
        p = np.empty(len(words), dtype=np.float32)
        found = _Flagged([], [])
        for start in range(0, len(words), _BLOCK):
            # The words before a block are its context; the first ones of all have none.
            lead = min(start, self.tables.order - 1)
            nodes = ngram_tables.find_nodes(self.tables, words[start - lead : start + _BLOCK])
            contexts = [c[lead:] for c in ngram_tables.contexts_of(nodes)]
            nodes = [node[lead:] for node in nodes]
            block = ngram_tables.probabilities(self.tables, nodes, contexts)
            p[start : start + _BLOCK] = block
            flagged = np.flatnonzero(_flags(block, ask) & (nodes[0] != self.tables.vocabulary))
            for first in range(0, len(flagged), _ROWS):
                rows = flagged[first : first + _ROWS]
                found.places.append(rows + start)
                found.rivals.append(_rivals(self.tables, [c[rows] for c in contexts], ask))
        return _results(encoded, p, found, ask.k)


class _Ragged(NamedTuple):
    """Rivals without padding: row r has the next `counts[r]` of them."""

    counts: Ints
    words: NDArray[np.int32]
    p: NDArray[np.float32]


class _Flagged(NamedTuple):
    places: list[Ints]
    rivals: list[_Ragged]


def _flags(p: NDArray[np.float32], ask: Ask) -> NDArray[np.bool_]:
    flags = np.zeros(len(p), dtype=bool)
    if ask.above is not None:
        flags |= p >= ask.above
    if ask.below is not None:
        flags |= p <= ask.below
    return flags


def _rivals(tables: Tables, contexts: Sequence[Ints], ask: Ask) -> _Ragged:
    best = ngram_tables.most_probable(tables, contexts, ask.k)
    counts = (best.words >= 0).sum(axis=1)
    words, p = best
    if ask.mass is not None and ask.cap > ask.k:
        short = np.flatnonzero((np.cumsum(best.p, axis=1, dtype=np.float64) < ask.mass).all(axis=1))
        if len(short):
            deep = ngram_tables.most_probable(tables, [c[short] for c in contexts], ask.cap)
            held = np.cumsum(deep.p, axis=1, dtype=np.float64)
            counts[short] = np.minimum((held < ask.mass).sum(axis=1) + 1, (deep.words >= 0).sum(axis=1))
            wider = ((0, 0), (0, ask.cap - ask.k))
            words, p = np.pad(words, wider), np.pad(p, wider)
            words[short], p[short] = deep
    there = np.arange(words.shape[1]) < counts[:, None]
    return _Ragged(counts, words[there], p[there])


def _results(encoded: Sequence[Encoded], p: NDArray[np.float32], found: _Flagged, k: int) -> list[TokenScores]:
    """Cut the scores of one long row of words into those of each text."""
    none = np.empty(0, dtype=np.int64)
    places = np.concatenate([none, *found.places])
    counts = np.concatenate([none, *(r.counts for r in found.rivals)])
    words = np.concatenate([none.astype(np.int32), *(r.words for r in found.rivals)])
    rival_p = np.concatenate([none.astype(np.float32), *(r.p for r in found.rivals)])
    ends = np.cumsum(np.fromiter((len(one.ids) + 1 for one in encoded), dtype=np.int64, count=len(encoded)))
    rows = np.concatenate([np.zeros(1, dtype=np.int64), np.searchsorted(places, ends)])
    cells = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])[rows]
    logprobs = np.log(p, dtype=np.float64).astype(np.float32)
    rival_logprobs = np.log(rival_p, dtype=np.float64).astype(np.float32)
    results = []
    for i, one in enumerate(encoded):
        end = int(ends[i])
        begin = end - len(one.ids)
        row = slice(rows[i], rows[i + 1])
        cell = slice(cells[i], cells[i + 1])
        there = np.arange(max(k, counts[row].max(initial=0))) < counts[row, None]
        results.append(
            TokenScores(
                ids=one.ids,
                spans=one.spans,
                logprobs=logprobs[begin:end].copy(),
                flagged=(places[row] - begin).astype(np.int32),
                rivals=_padded(there, words[cell], -1),
                rival_logprobs=_padded(there, rival_logprobs[cell], -np.inf),
                rival_mass=_padded(there, rival_p[cell], 0).sum(axis=1, dtype=np.float64).astype(np.float32),
            )
        )
    return results


def _padded(there: NDArray[np.bool_], values: NDArray[Any], empty: float) -> NDArray[Any]:
    table = np.full(there.shape, empty, dtype=values.dtype)
    table[there] = values
    return table
