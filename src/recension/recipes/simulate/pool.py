"""The sample of a simulation: passages to learn from and passages held out, split by lineage, bounded in size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa

from recension.corpus import (
    BadRow,
    Corpus,
    Layout,
    Piece,
    Reading,
    Record,
    check_unchanged,
    column_value,
    expected_size,
    read_piece,
    read_table_rows,
    set_aside,
)
from recension.engines.local import LocalEngine, available_cores
from recension.methods.audit.sample import rank, stretches
from recension.recipes.audit.counting import shard_size
from recension.recipes.edit.task import rounds, share_of
from recension.recipes.pages import check_some
from recension.run.execute import Bounds, execute
from recension.run.manifest import Run
from recension.run.progress import Observer, Pulse
from recension.run.receipts import Receipt, receipts
from recension.run.shards import ShardPlan, ShardWriter

PART = "counts"
SCHEMA = pa.schema([("state", pa.large_binary())])
WHOLE = 1 << 64


class Wanted(NamedTuple):
    """How much is sampled, in characters, of passages of about `longest`; which share of the lineages is held out."""

    learnt: int
    held: int
    longest: int
    holdout: float
    group_key: str | None
    seed: int


class Pool(NamedTuple):
    """Passages by rank, the smallest first: to learn from, and held out."""

    learnt: list[tuple[int, str]]
    held: list[tuple[int, str]]


def smallest(passages: Iterable[tuple[int, str]], characters: int) -> list[tuple[int, str]]:
    """The passages of the smallest ranks that hold so many characters; what stands there twice counts once."""
    kept: list[tuple[int, str]] = []
    size = 0
    for place, text in sorted(dict(passages).items()):
        if size >= characters:
            break
        kept.append((place, text))
        size += len(text)
    return kept


def joined(pools: Iterable[Pool], wanted: Wanted) -> Pool:
    found = Pool([], [])
    for pool in pools:
        found = Pool(
            smallest([*found.learnt, *pool.learnt], wanted.learnt), smallest([*found.held, *pool.held], wanted.held)
        )
    return found


@dataclass(frozen=True)
class PoolTask:
    """Samples a piece. Picklable."""

    plan: ShardPlan
    reading: Reading
    layout: Layout
    wanted: Wanted

    def __call__(self, piece: Piece) -> Receipt:
        check_unchanged(piece.files)
        pulse = Pulse(self.plan.out, piece.index)
        found = Pool([], [])
        with ShardWriter(self.plan, piece.index) as shard:
            for batch in rounds(read_piece(piece, self.reading, self.layout)):
                before = shard.used
                found = joined([found, self._batch(shard, batch)], self.wanted)
                pulse.add(shard.used - before, 0, len(batch) - (shard.used - before), share_of(piece, batch))
            state = pa.array([msgspec.msgpack.encode(found)], pa.large_binary())
            shard.log(PART, pa.RecordBatch.from_arrays([state], schema=SCHEMA))
            check_unchanged(piece.files)
            receipt = shard.commit({}, tuple(f.label for f in piece.files), piece.rows_cap)
        pulse.end()
        return receipt

    def _batch(self, shard: ShardWriter, batch: Sequence[Record | BadRow]) -> Pool:
        found = Pool([], [])
        for row in batch:
            shard.row(1)
            if isinstance(row, BadRow):
                shard.drop(row)
                continue
            lineage = self._lineage(row)
            if lineage is None:
                shard.drop(set_aside(row, "no-key", f"'{self.wanted.group_key}' names nothing"))
                continue
            shard.used += 1
            held = rank(f"{self.wanted.seed} held out {lineage}".encode("utf-8", "replace"))
            side = found.held if held < self.wanted.holdout * WHOLE else found.learnt
            text = row.document.text
            for start, end in stretches(text, self.wanted.longest):
                passage = text[start:end].strip()
                if passage:
                    side.append((rank(f"{self.wanted.seed} {passage}".encode("utf-8", "replace")), passage))
        return found

    def _lineage(self, row: Record) -> str | None:
        """What is held out as a whole: a text and all that was made of it, or all of one group."""
        document = row.document
        key = self.wanted.group_key
        if key is None:
            return (document.origin.root if document.origin else "") or document.id
        value = column_value(row, key)
        return str(value) if isinstance(value, str | int | float) and value != "" else None


def gather(
    run: Run, corpus: Corpus, wanted: Wanted, workers: int, how: tuple[int | None, float | None], observer: Observer
) -> None:
    """Sample what is missing. `how` is the limit of rows, and the share that may be set aside."""
    limit, max_dropped = how
    size = shard_size(corpus.size)
    task = PoolTask(ShardPlan.of(run, "parquet", {PART: SCHEMA}), corpus.reading, corpus.layout, wanted)
    engine = LocalEngine(max(1, min(workers or available_cores(), -(-corpus.size // size))))
    execute(run, task, corpus, engine, Bounds(size, limit, max_dropped, expected_size(corpus)), observer)
    check_unchanged(corpus.files)
    check_some(run.out, corpus)


def merge(out: Path, wanted: Wanted) -> bytes:
    """The samples of all shards as one. A passage that is held out is not learnt from, whatever its document."""
    states = (
        msgspec.msgpack.decode(batch.column(0)[0].as_py(), type=Pool)
        for receipt in receipts(out)
        for entry in receipt.files
        if entry.part == PART
        for batch in read_table_rows(out / entry.part / entry.name)
    )
    found = joined(states, wanted)
    held = {place for place, _ in found.held}
    return msgspec.msgpack.encode(Pool([p for p in found.learnt if p[0] not in held], found.held))


@lru_cache(maxsize=1)
def pool_of(path: Path, key: str) -> Pool:
    """The artefact of the pass of a run of that key."""
    return msgspec.msgpack.decode(path.read_bytes(), type=Pool)


def drawn(pool: Pool, seed: int) -> list[str]:
    """What one seed learns from: a half of the pool of its own, in an order of its own."""
    ranked = sorted((rank(f"{seed} draws {place}".encode()), text) for place, text in pool.learnt)
    return [text for _, text in ranked[: max(1, len(ranked) // 2)]]
