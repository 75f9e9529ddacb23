"""Pieces that were drawn once, remembered without their content: whoever needs few rows of them need not read all again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from recension.corpus.pieces import Corpus
from recension.corpus.rows import BadPart, LinePart, Part, Piece, SpanPart
from recension.corpus.sources import check_unchanged


@dataclass
class Outlines:
    """A corpus whose pieces are remembered as they are drawn, where all of them are lines of files that are not packed."""

    corpus: Corpus
    _pieces: list[Piece] = field(default_factory=list)
    _asked: tuple[int, int | None] | None = (
        None  # how the pieces that are remembered were cut, once all have been drawn
    )

    def draw(self, shard_bytes: int, limit: int | None, skip: Callable[[int], bool]) -> Iterator[Piece]:
        """The pieces of the corpus, to be remembered."""
        self._pieces, self._asked, known = [], None, True
        for piece in self.corpus.pieces(shard_bytes, limit, skip):
            outline = _outline(piece)
            known &= outline is not None
            if outline is not None and known:
                self._pieces.append(outline)
            yield piece
        self._asked = (shard_bytes, limit) if known else None

    def pieces(self, shard_bytes: int, limit: int | None, skip: Callable[[int], bool]) -> Iterator[Piece]:
        """The same again: remembered, or drawn from the corpus."""
        if self._asked != (shard_bytes, limit):
            yield from self.corpus.pieces(shard_bytes, limit, skip)
            return
        for piece in self._pieces:
            for file in piece.files:
                check_unchanged(file)
            skipped = skip(piece.index)
            yield Piece(piece.index, () if skipped else piece.parts, piece.size, piece.rows_cap, skipped)


def _outline(piece: Piece) -> Piece | None:
    """A piece without its content; None where its content cannot be had by its place."""
    parts: list[Part] = []
    for part in piece.parts:
        if isinstance(part, BadPart):
            parts.append(part)
            continue
        if not isinstance(part, LinePart) or not part.file.local or part.file.format.endswith((".gz", ".zst")):
            return None
        span = SpanPart(part.file, len(part.payload), part.offset, part.row)
        last = parts[-1] if parts else None
        if isinstance(last, SpanPart) and last.file is span.file and last.offset + last.length == span.offset:
            span = SpanPart(span.file, last.length + span.length, last.offset, last.row)
            parts.pop()
        parts.append(span)
    return None if piece.skipped else Piece(piece.index, tuple(parts), piece.size, piece.rows_cap)
