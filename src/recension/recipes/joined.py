"""Several corpora as the input of one run: every piece, and so every shard, is of one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from recension.corpus import Corpus, Piece, SourceFile, check_unchanged, expected_size


def named(corpus: Corpus, name: str) -> Corpus:
    """The corpus with its name before the names of its files, so that those of several do not collide."""
    return replace(corpus, files=tuple(replace(file, label=f"{name}/{file.label}") for file in corpus.files))


@dataclass(frozen=True)
class Joined:
    """Corpora in order, of each at most so many rows."""

    corpora: tuple[Corpus, ...]
    limits: tuple[int | None, ...] = ()

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return tuple(file for corpus in self.corpora for file in corpus.files)

    @property
    def size(self) -> int:
        return sum(corpus.size for corpus in self.corpora)

    @property
    def expected(self) -> int:
        """How many bytes will be read; 0 where limits of rows leave that open."""
        if any(limit is not None for limit in self.limits):
            return 0
        return sum(expected_size(corpus) for corpus in self.corpora)

    @property
    def digests(self) -> dict[str, str]:
        return {label: digest for corpus in self.corpora for label, digest in corpus.digests.items()}

    @cached_property
    def member_of(self) -> Mapping[str, int]:
        """The number of the corpus by the label of a file."""
        return {file.label: number for number, corpus in enumerate(self.corpora) for file in corpus.files}

    def pieces(self, shard_bytes: int, limit: int | None, skip: Callable[[int], bool]) -> Iterator[Piece]:
        """The pieces of one corpus after the other, numbered through. Limits are those of the corpora."""
        begun = 0
        for corpus, most in zip(self.corpora, self.limits or (None,) * len(self.corpora), strict=True):
            first = begun
            for piece in corpus.pieces(shard_bytes, most, _from(first, skip)):
                yield replace(piece, index=first + piece.index)
                begun = first + piece.index + 1

    def columns_seen(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for corpus in self.corpora for name in corpus.columns_seen()))

    def check_unchanged(self) -> None:
        check_unchanged(self.files)


def _from(first: int, skip: Callable[[int], bool]) -> Callable[[int], bool]:
    return lambda index: skip(first + index)
