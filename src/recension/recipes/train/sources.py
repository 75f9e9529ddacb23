"""The sources of a training: corpora side by side, each cut into pieces of its own, all in one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from recension.corpus import Corpus, Piece, Reading, SourceFile, check_unchanged, expected_size, open_corpus
from recension.document import JSON
from recension.errors import UsageError
from recension.recipes.pages import identity_of
from recension.training.order import parse_weight


@dataclass(frozen=True)
class Source:
    """A corpus with a name and its weight in the mixture."""

    name: str
    weight: Fraction
    corpus: Corpus


@dataclass(frozen=True, slots=True)
class SourcePiece:
    """A piece of one source, numbered among the pieces of all."""

    index: int
    source: int
    piece: Piece

    @property
    def size(self) -> int:
        return self.piece.size

    @property
    def rows_cap(self) -> int | None:
        return self.piece.rows_cap

    @property
    def skipped(self) -> bool:
        return self.piece.skipped


@dataclass(frozen=True)
class Sources:
    """All sources in order, as one input of a run."""

    all: tuple[Source, ...]

    def pieces(
        self, shard_bytes: int, limit: int | None = None, skip: Callable[[int], bool] = lambda _: False
    ) -> Iterator[SourcePiece]:
        """`limit` is not offered: what a model is trained on is a matter of its settings."""
        assert limit is None
        first = 0
        for number, source in enumerate(self.all):
            last = first
            for piece in source.corpus.pieces(shard_bytes, None, lambda index, first=first: skip(first + index)):  # type: ignore[misc]
                last = first + piece.index + 1
                yield SourcePiece(first + piece.index, number, piece)
            first = last

    @property
    def size(self) -> int:
        return sum(source.corpus.size for source in self.all)

    @property
    def expected(self) -> int:
        return sum(expected_size(source.corpus) for source in self.all)

    def label(self, number: int, file: SourceFile) -> str:
        """The name of a file among those of all sources."""
        return file.label if len(self.all) == 1 else f"{self.all[number].name}/{file.label}"

    def identity(self) -> list[JSON]:
        found: list[JSON] = []
        for number, source in enumerate(self.all):
            for file in source.corpus.files:
                entry = identity_of(file)
                assert isinstance(entry, dict)
                found.append({**entry, "label": self.label(number, file)})
        return found

    def urls(self) -> dict[str, JSON]:
        return {
            self.label(number, file): file.where
            for number, source in enumerate(self.all)
            for file in source.corpus.files
        }

    def digests(self) -> dict[str, str]:
        return {
            self.label(number, file): source.corpus.digests[file.label]
            for number, source in enumerate(self.all)
            for file in source.corpus.files
            if file.label in source.corpus.digests
        }

    def check_unchanged(self) -> None:
        for source in self.all:
            check_unchanged(source.corpus.files)


def open_sources(inputs: Sequence[str], mix: Sequence[str], reading: Reading, out: Path) -> Sources:
    """Either all inputs as one source, each token as often as any other, or the sources of a mixture."""
    if inputs and mix:
        raise UsageError("name the data either as IN or with --mix, not both")
    if not inputs and not mix:
        raise UsageError("name at least one input: a file, a folder, a glob or a URL")
    if inputs:
        return Sources((Source("data", Fraction(1), open_corpus(inputs, reading, exclude=out)),))
    found = []
    for words in mix:
        path, mark, weight = words.rpartition("=")
        if not mark or not path:
            raise UsageError(f"--mix {words}: write PATH=WEIGHT, such as human/=0.75")
        found.append(Source(path, parse_weight(weight), open_corpus([path], reading, exclude=out)))
    names = [source.name for source in found]
    if len(set(names)) < len(names):
        raise UsageError("--mix names a source twice: add the weights up")
    return Sources(tuple(found))
