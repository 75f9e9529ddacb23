"""A recipe of `mix` as the data of a training: planned in tokens of the model, and read without being written first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.corpus import BadRow, Record, read_piece
from recension.engines.local import LocalEngine
from recension.errors import InputChangedError
from recension.models.token_counts import TokenCounter
from recension.recipes.mix.counting import lineage_key, read_rows
from recension.recipes.mix.drawing import HELD_OUT, NOT_DRAWN, by_reference
from recension.recipes.mix.job import MixJob, own_document
from recension.recipes.mix.planning import Plan, plan_from, settle, written_sources
from recension.recipes.train.sources import Sources
from recension.run.manifest import Manifest, Run
from recension.run.progress import Observer

PIECE_BYTES = 1 << 20


def chooser(run: Run, recipe: MixJob, engine: LocalEngine, observer: Observer) -> Chooser:
    """Count every document in tokens of the model in this folder, and decide which are read and how often."""
    vocabulary = (run.out / "model" / "tokenizer.json").read_text(encoding="utf-8")
    job = replace(recipe, counter=TokenCounter("model", "tokenizer", vocabulary))
    _, decided = settle(run, job, engine, observer)
    for note in decided.notes:
        observer.note(note)
    return Chooser(run.out, decided)


def planned(sources: Sources, manifest: Manifest) -> Sources:
    """The sources with the weights and the length that the plan came to."""
    if sources.recipe is None:
        return sources
    decided = plan_from(manifest.decided["plan"])
    weights = tuple(Fraction(draw.planned) for draw in decided.draws)
    total = sum(draw.planned for draw in decided.draws)
    return replace(sources, weights=weights, total=total, held_out=decided.held_out)


class Choice(NamedTuple):
    """Of the rows of a batch: whether each is read, and how many of its tokens (0: all)."""

    chosen: NDArray[np.bool_]
    keep: NDArray[np.int64]
    held_out: NDArray[np.bool_]


@dataclass(frozen=True)
class Chooser:
    """Says of each row whether the plan reads it. Picklable."""

    out: Path
    plan: Plan

    def of(self, piece: int, source: int, first: int, rows: int) -> Choice:
        counted = read_rows(self.out, piece)
        if counted is None or len(counted) < first + rows:
            raise InputChangedError(f"piece {piece} is read otherwise than it was counted: start over with --fresh")
        mine = counted[first : first + rows]
        numbers = (np.int64(piece) << np.int64(32)) + np.arange(first, first + rows, dtype=np.int64)
        draw = self.plan.draws[source]
        held = mine["lineage"] < np.uint64(self.plan.held_out)
        whole = (draw.readings(mine["key"], numbers) > 0) & ~held
        cut = draw.cuts(mine["key"], numbers) & ~held & ~whole
        return Choice(whole | cut, np.where(cut, draw.keep, 0), held)

    def left_out(self, record: Record, held_out: bool) -> BadRow:
        why = (HELD_OUT, "its lineage is held out") if held_out else (NOT_DRAWN, "more than the recipe asks for")
        return by_reference(record, record.document, why)


def held_out(recipe: MixJob, bound: int) -> Iterator[Record]:
    """What the recipe holds out, a document of each source in turn."""
    streams = [_held_out(recipe, number, bound) for number in sorted(written_sources(recipe))]
    while streams:
        streams, found = _turn(streams)
        yield from found


def _turn(streams: Sequence[Iterator[Record]]) -> tuple[list[Iterator[Record]], list[Record]]:
    """One of each, and the streams that had one."""
    left, found = [], []
    for stream in streams:
        record = next(stream, None)
        if record is not None:
            left.append(stream)
            found.append(record)
    return left, found


def _held_out(recipe: MixJob, number: int, bound: int) -> Iterator[Record]:
    corpus = recipe.data.corpora[number]
    for piece in corpus.pieces(PIECE_BYTES):
        source = recipe.sources[piece.files[0].label]
        for row in read_piece(piece, corpus.reading, corpus.layout):
            if not isinstance(row, Record):
                continue
            if lineage_key(recipe.spec.seed, row, own_document(row, source), source) < bound:
                yield row
