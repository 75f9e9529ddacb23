"""The first reading: what every row holds, as a few numbers on disk that the plan is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from recension.corpus import BadRow, Layout, Piece, Record, check_unchanged, read_piece
from recension.document import Document
from recension.errors import InputChangedError
from recension.identity import content_hash, sha256
from recension.methods.mixture import share_end
from recension.models.token_counts import TokenCounter
from recension.ports import Engine
from recension.randomness import document_key
from recension.recipes.edit.task import rounds
from recension.recipes.mix.job import MixJob, Source, lineage_of, own_document, stated_lineage
from recension.run import folder
from recension.run.folder import write_atomic
from recension.run.manifest import Run
from recension.run.passes import Pass, Pieces, run_pass
from recension.run.progress import Observer, Progress

# What is known of a row. Rows that cannot be used are there too, so that the second reading finds its place.
ROW = np.dtype([("key", "<u8"), ("lineage", "<u8"), ("tokens", "<u4"), ("bytes", "<u4")])
UNUSABLE = np.uint32(0xFFFFFFFF)
UNCOUNTED = np.uint32(0xFFFFFFFE)  # a document with a key so large that no plan will come to it
Bounds = tuple[int | None, ...]  # of each source, the keys up to which documents are counted; None: all
NAME = "count"
Rows = NDArray[Any]


class Counted(msgspec.Struct, frozen=True):
    """What a piece holds, in short: the artefact of the pass has one of these for each."""

    piece: int
    source: int
    rows: int
    documents: int
    tokens: int
    bytes: int
    counted_bytes: int  # of those that were counted
    unusable: dict[str, int]
    sha256: str
    astray: int = 0  # documents without the column that is to name their lineage


class Block(NamedTuple):
    """The documents of a piece that were counted: keys, lineages, tokens, and the number of each in the whole input."""

    source: int
    keys: NDArray[np.uint64]
    lineages: NDArray[np.uint64]
    tokens: NDArray[np.int64]
    numbers: NDArray[np.int64]


def rows_path(out: Path, piece: int) -> Path:
    return out / "passes" / NAME / f"{piece:05d}.rows"


@dataclass(frozen=True)
class CountTask:
    """Reads a piece, counts, and writes what is known of each row. Picklable."""

    out: Path
    sources: Mapping[str, Source]
    layout: Layout
    counter: TokenCounter
    seed: int
    bound: Bounds
    held_out: int

    def __call__(self, piece: Piece) -> bytes:
        check_unchanged(piece.files)
        source = self.sources[piece.files[0].label]
        most = self.bound[source.number]
        unusable: dict[str, int] = {}
        astray = 0
        chunks: list[Rows] = [np.zeros(0, ROW)]
        for batch in rounds(read_piece(piece, source.reading, self.layout)):
            chunk = np.zeros(len(batch), ROW)
            chunk["tokens"] = UNUSABLE
            good = [(i, row) for i, row in enumerate(batch) if isinstance(row, Record)]
            for bad in (row for row in batch if isinstance(row, BadRow)):
                unusable[bad.reason] = unusable.get(bad.reason, 0) + 1
            counted: list[tuple[int, str]] = []
            for i, row in good:
                document = own_document(row, source)
                key = document_key(self.seed, document.id, content_hash(document.text))
                lineage = lineage_key(self.seed, row, document, source)
                astray += source.lineage not in (None, "id") and stated_lineage(row, source) is None
                chunk[i] = (key, lineage, UNCOUNTED, min(len(document.text.encode()), 0xFFFFFFFF))
                if most is None or key < most or lineage < self.held_out:
                    counted.append((i, document.text))
            chunk["tokens"][[i for i, _ in counted]] = self.counter.count([text for _, text in counted])
            chunks.append(chunk)
        check_unchanged(piece.files)
        rows = np.concatenate(chunks)
        raw = rows.tobytes()
        write_atomic(rows_path(self.out, piece.index), raw)
        usable = rows[rows["tokens"] != UNUSABLE]
        known = usable[usable["tokens"] != UNCOUNTED]
        found = Counted(
            piece=piece.index,
            source=source.number,
            rows=len(rows),
            documents=len(usable),
            tokens=int(known["tokens"].sum(dtype=np.int64)),
            bytes=int(usable["bytes"].sum(dtype=np.int64)),
            counted_bytes=int(known["bytes"].sum(dtype=np.int64)),
            unusable=unusable,
            sha256=sha256(raw),
            astray=astray,
        )
        return msgspec.json.encode(found) + b"\n"


def lineage_key(seed: int, row: Record, document: Document, source: Source) -> int:
    """The hash by which a lineage is held out."""
    return document_key(seed, lineage_of(row, document, source), "lineage")


def _joined(left: bytes, right: bytes) -> bytes:
    return left + right


@dataclass(frozen=True)
class Count:
    """The finished pass: what each piece holds, and the rows of all of them, read from disk one piece at a time."""

    out: Path
    pieces: tuple[Counted, ...]
    sha256: str

    def rows(self, piece: int) -> Rows:
        found = read_rows(self.out, piece)
        if found is None or sha256(found.tobytes()) != self.pieces[piece].sha256:
            raise InputChangedError(f"{rows_path(self.out, piece)} is not what was counted: start over with --fresh")
        return found

    def blocks(self) -> Iterator[Block]:
        for piece in self.pieces:
            rows = self.rows(piece.piece)
            usable = np.flatnonzero(rows["tokens"] < UNCOUNTED)
            chosen = rows[usable]
            numbers = (np.int64(piece.piece) << np.int64(32)) + usable
            yield Block(piece.source, chosen["key"], chosen["lineage"], chosen["tokens"].astype(np.int64), numbers)


def read_rows(out: Path, piece: int) -> Rows | None:
    try:
        return np.frombuffer(rows_path(out, piece).read_bytes(), ROW)
    except FileNotFoundError:
        return None


def count(run: Run, job: MixJob, bounds: Bounds, engine: Engine, observer: Observer) -> Count:
    """Count the documents, or read back what was counted. Rows that were lost are counted again."""
    share = job.spec.holdout
    held_out = share_end(share) if share is not None and share < 1 else 0
    task = CountTask(run.out, job.sources, job.layout, job.counter, job.spec.seed, bounds, held_out)
    work = Pass(NAME, [None if bound is None else str(bound) for bound in bounds], task, _joined)
    artefact = run_pass(run, work, engine, pieces_of(job), told(job, observer, NAME))
    found = counted(run.out, artefact)
    if any(not rows_path(run.out, piece.piece).is_file() for piece in found.pieces):
        forget(run.out, NAME)
        artefact = run_pass(run, work, engine, pieces_of(job), told(job, observer, NAME))
        found = counted(run.out, artefact)
    return found


def counted(out: Path, artefact: bytes) -> Count:
    pieces = tuple(msgspec.json.decode(line, type=Counted) for line in artefact.splitlines())
    return Count(out, pieces, sha256(artefact))


def forget(out: Path, name: str) -> None:
    """A pass is done again: its artefact goes, receipt first."""
    place = out / "passes" / name
    with folder.writing(place):
        for file in ("result.json", "result"):
            (place / file).unlink(missing_ok=True)


def pieces_of(job: MixJob) -> Pieces:
    def draw(skip: Callable[[int], bool]) -> Iterator[Piece]:
        return job.data.pieces(job.piece_bytes, None, skip)

    return draw


def told(job: MixJob, observer: Observer, stage: str) -> Callable[[int], None]:
    """Tells how far a pass is, by pieces."""
    expected = max(1, -(-job.data.expected // job.piece_bytes))
    done = 0

    def hear(_: int) -> None:
        nonlocal done
        done += 1
        observer.update(Progress(stage, shards=done, fraction=min(1.0, done / expected)))

    return hear


def clear_rows(out: Path) -> None:
    """Counted and drawn rows have served: what remains of the passes is what was decided on."""
    with folder.writing(out):
        for path in (out / "passes").glob("*/*.rows"):
            path.unlink()
