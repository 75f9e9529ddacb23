"""Documents drawn of a corpus: those with the smallest hashes, up to so many bytes, whatever their order."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recension.corpus import Record, column_value, open_corpus, read_piece
from recension.errors import InputError
from recension.recipes.pages import reading_of
from recension.recipes.settings import RowSettings
from recension.run.folder import write_atomic

PIECE = 8 << 20
WHOLE = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Draw:
    """About `size` bytes of text, questions included. A smaller draw of the same seed is part of a larger one.

    `text_key` is the column of the text; `asked` that of a question which it answers, for rows to fine-tune on. `part`
    takes the documents whose id falls into a stretch of [0, 1), the same for every seed: what is held out by its lineage. Such
    draws go by the id throughout, so that draws of several columns hold the same documents.
    `score` is written into every row: what a head of `select` learns from. `name` tells draws of one role apart.
    """

    size: int
    seed: int
    name: str = ""
    text_key: str = "text"
    asked: str = ""
    part: tuple[float, float] = WHOLE
    score: float | None = None


def drawn(paths: Sequence[str], draw: Draw, out: Path) -> None:
    """Write the draw as JSON lines. No more of the corpus is held than what is drawn."""
    heap: list[tuple[int, str, int]] = []  # the largest hash on top; the bytes of each
    held = 0
    for id, text, asked in _rows(paths, draw):
        rank = _hash(str(draw.seed), text if draw.part == WHOLE else id)
        line = json.dumps(_row(id, text, asked, draw.score), ensure_ascii=False)
        size = len(f"{asked or ''}{text}".encode("utf-8", "replace"))
        heapq.heappush(heap, (-rank, line, size))
        held += size
        while held - heap[0][2] >= draw.size:
            held -= heapq.heappop(heap)[2]
    if not heap:
        raise InputError(f"{', '.join(paths)} holds no text in the column '{draw.text_key}' that this study can use")
    lines = [line for _, line, _ in sorted(heap, reverse=True)]
    write_atomic(out, "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass"))


def _row(id: str, text: str, asked: str | None, score: float | None) -> Mapping[str, str | float]:
    if asked is not None:
        return {"id": id, "instruction": asked, "output": text}
    return {"id": id, "text": text} if score is None else {"id": id, "text": text, "score": score}


def _rows(paths: Sequence[str], draw: Draw) -> Iterator[tuple[str, str, str | None]]:
    reading = reading_of(RowSettings(text_key=draw.text_key, shape="text"))
    corpus = open_corpus(list(paths), reading)
    low, high = draw.part
    for piece in corpus.pieces(PIECE):
        for row in read_piece(piece, corpus.reading, corpus.layout):
            if not isinstance(row, Record) or not row.document.text.strip():
                continue
            if not low <= _hash("part", row.document.id) / 2**64 < high:
                continue
            asked = column_value(row, draw.asked) if draw.asked else None
            if draw.asked and not isinstance(asked, str):
                continue
            yield row.document.id, row.document.text, asked


def _hash(salt: str, text: str) -> int:
    digest = hashlib.blake2b(f"{salt}\0{text}".encode("utf-8", "replace"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")
