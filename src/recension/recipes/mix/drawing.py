"""The second reading: every row goes to the shards that it is drawn into, or to the one that says why it is not.

Each piece leaves one file of the rows of every shard, so the shards can be put together in any order and process.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recension.corpus import (
    DROPPED_SCHEMA,
    BadRow,
    Layout,
    OutRow,
    Piece,
    Record,
    check_unchanged,
    dropped_batch,
    read_piece,
)
from recension.document import KINDS, Document
from recension.errors import InputChangedError
from recension.models.token_counts import TokenCounter
from recension.ports import Engine
from recension.randomness import scattered
from recension.recipes.edit.task import rounds
from recension.recipes.mix.counting import Rows, forget, pieces_of, read_rows, told
from recension.recipes.mix.job import OWN, MixJob, Source, own_document
from recension.recipes.mix.planning import Plan, written_sources
from recension.run import folder
from recension.run.manifest import Run
from recension.run.passes import Pass, run_pass
from recension.run.progress import Observer

NAME = "draw"
DATA, HOLDOUT, DROPPED = "data", "holdout", "dropped"
STREAMS = (DATA, HOLDOUT, DROPPED)
_ENTRY = struct.Struct("<qq")  # where the rows of a shard stand in the file, and how many bytes
# What a shard has to know of a row beside its columns.
FACTS = pa.schema({
    "_order": pa.uint64(), "_number": pa.int64(), "_source": pa.int32(), "_tokens": pa.int64(),
    "_kind": pa.int8(), "_generation": pa.int32(), "_cut": pa.bool_(),
})  # fmt: skip
UNKNOWN_AGE = -1
NOT_DRAWN, HELD_OUT = "not-drawn", "held-out"


class Drawn(msgspec.Struct, frozen=True):
    """What became of the rows of a piece. `by_units` counts rows by the units that they came to."""

    rows: int
    units: int
    by_units: dict[str, int]


def drawn_path(out: Path, piece: int) -> Path:
    return out / "passes" / NAME / f"{piece:05d}.rows"


@dataclass
class _Rows:
    """The rows of a piece that go somewhere: batches of columns, and for every reading which row it is, and where to."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    readings: list[tuple[int, int, int, int, int, int, int, bool]] = field(default_factory=list)
    height: int = 0


class _Tied(NamedTuple):
    """A row with what was counted of it and how often it is read."""

    record: Record
    document: Document
    number: int
    tokens: int
    readings: int
    keep: int


@dataclass(frozen=True)
class DrawTask:
    """Reads a piece again and sorts its rows by shard. Picklable."""

    out: Path
    sources: Mapping[str, Source]
    layout: Layout
    counter: TokenCounter
    plan: Plan
    written: frozenset[int]
    seed: int

    def __call__(self, piece: Piece) -> bytes:
        check_unchanged(piece.files)
        source = self.sources[piece.files[0].label]
        counted = read_rows(self.out, piece.index)
        assert counted is not None  # counting ended with a file for every piece, and the folder is locked
        data, holdout = _Rows(), _Rows()
        dropped: list[tuple[int, BadRow]] = []
        by_units: dict[str, int] = {}
        first = 0
        for batch in rounds(read_piece(piece, source.reading, self.layout)):
            mine = counted[first : first + len(batch)]
            if len(mine) < len(batch):
                break
            self._sort(batch, mine, (source, piece.index, first), (data, holdout, dropped, by_units))
            first += len(batch)
        check_unchanged(piece.files)
        if first != len(counted):
            raise InputChangedError(f"{piece.files[0].where} is read otherwise than it was counted: start with --fresh")
        self._write(piece.index, (data, holdout, dropped))
        units = sum(int(number) * rows for number, rows in by_units.items())
        return msgspec.json.encode(Drawn(first, units, by_units))

    def _sort(
        self,
        batch: Sequence[Record | BadRow],
        counted: Rows,
        place: tuple[Source, int, int],
        into: tuple[_Rows, _Rows, list[tuple[int, BadRow]], dict[str, int]],
    ) -> None:
        source, piece, first = place
        data, holdout, dropped, by_units = into
        draw = self.plan.draws[source.number]
        numbers = (np.int64(piece) << np.int64(32)) + np.arange(first, first + len(batch), dtype=np.int64)
        out = counted["lineage"] < np.uint64(self.plan.held_out)
        readings = np.where(out, 0, draw.readings(counted["key"], numbers))
        cuts = draw.cuts(counted["key"], numbers) & ~out
        kept: list[_Tied] = []
        held: list[_Tied] = []
        for i, row in enumerate(batch):
            number, units = int(numbers[i]), 1
            if isinstance(row, BadRow):
                dropped.append((number, row))
            else:
                document = own_document(row, source)
                tied = _Tied(row, document, number, int(counted["tokens"][i]), int(readings[i]), 0)
                if cuts[i]:
                    tied = self._cut(tied, draw.keep)
                units = tied.readings + (tied.keep > 0)
                if out[i] and source.number in self.written:
                    held.append(replace_readings(tied, 1))
                    units = 1
                elif units:
                    kept.append(tied)
                else:
                    why = (
                        (HELD_OUT, "its lineage is held out")
                        if out[i]
                        else (NOT_DRAWN, "more than the recipe asks for")
                    )
                    dropped.append((number, by_reference(row, document, why)))
                    units = 1
            by_units[str(units)] = by_units.get(str(units), 0) + 1
        self._take(data, kept, source)
        self._take(holdout, held, source)

    def _cut(self, tied: _Tied, keep: int) -> _Tied:
        """The last document of a source: its first tokens, or as an exchange, which cannot be cut, whole or not at all."""
        if tied.record.carried.exchange.shape == "text":
            return tied._replace(keep=keep)
        return tied._replace(readings=tied.readings + (tied.tokens - keep <= keep))

    def _take(self, into: _Rows, rows: Sequence[_Tied], source: Source) -> None:
        if not rows:
            return
        out: list[OutRow] = []
        for row in rows:
            kind, age = _origin_of(row.document)
            facts = (row.number, source.number, row.tokens, kind, age)
            if row.readings:
                at = into.height + len(out)
                out.append(OutRow(row.record, row.document))
                into.readings += [(at, n, *facts, False) for n in range(1, row.readings + 1)]
            if row.keep:
                text = self.counter.beginning(row.document.text, row.keep)
                tokens = self.counter.total([text])
                at = into.height + len(out)
                out.append(OutRow(row.record, replace(row.document, text=text), {"text": text}))
                into.readings.append((at, row.readings + 1, row.number, source.number, tokens, kind, age, True))
        into.batches.append(self.layout.batch(out))
        into.height += len(out)

    def _write(self, piece: int, found: tuple[_Rows, _Rows, list[tuple[int, BadRow]]]) -> None:
        """The file of a piece: an index, then the rows of each shard, as an Arrow stream for each of the three parts."""
        data, holdout, dropped = found
        target = drawn_path(self.out, piece)
        beside = self.out / folder.SCRATCH / f"{NAME}-{piece:05d}"
        shards = self.plan.shards
        names = [source.name for source in sorted(set(self.sources.values()), key=lambda s: s.number)]
        with folder.writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                index = bytearray(_ENTRY.size * shards * len(STREAMS))
                file.write(index)
                streams = [self._streams(data, names), self._streams(holdout, names), _dropped(dropped, self)]
                for part, (table, where) in enumerate(streams):
                    starts = np.searchsorted(where, np.arange(shards + 1))
                    for shard in np.unique(where).tolist():
                        begin = file.tell()
                        rows = table(int(starts[shard]), int(starts[shard + 1]))
                        file.write(_stream(rows))
                        _ENTRY.pack_into(index, _ENTRY.size * (shard * len(STREAMS) + part), begin, file.tell() - begin)
                file.seek(0)
                file.write(index)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)
            folder.sync_folder(target.parent)

    def _streams(self, rows: _Rows, names: Sequence[str]) -> tuple[Any, NDArray[np.int64]]:
        """Rows in the order of their shards, by a function of a stretch of them, and the shard of each."""
        if not rows.readings:
            return None, np.zeros(0, np.int64)
        facts = np.array([r[:7] for r in rows.readings], np.int64)
        cut = np.array([r[7] for r in rows.readings])
        at, nth, number = facts[:, 0], facts[:, 1], facts[:, 2]
        order = self.order(number, nth)
        shard = shard_of(order, self.plan.shards)
        sorted_ = np.lexsort((nth, number, order, shard))
        table = pa.Table.from_batches(rows.batches, self.layout.schema)
        chosen = facts[sorted_]

        def stretch(start: int, stop: int) -> pa.Table:
            part = chosen[start:stop]
            found = table.take(pa.array(at[sorted_[start:stop]]))
            own = [pa.array([names[int(s)] for s in part[:, 3]], pa.string()), pa.array(part[:, 1], pa.int32())]
            for column, values in zip(OWN, own, strict=True):
                found = found.append_column(column, values)
            picked = sorted_[start:stop]
            values = [order[picked], part[:, 2], part[:, 3], part[:, 4], part[:, 5], part[:, 6], cut[picked]]
            for column, value in zip(FACTS, values, strict=True):
                found = found.append_column(column, pa.array(value, column.type))
            return found

        return stretch, shard[sorted_]

    def order(self, numbers: NDArray[np.int64], nth: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Where a reading of a row stands in the whole: a hash of the seed, the row and which reading it is."""
        seed = np.full(len(numbers), self.seed, np.int64).astype(np.uint64)
        return scattered(seed, numbers.astype(np.uint64), nth.astype(np.uint64))


def replace_readings(tied: _Tied, readings: int) -> _Tied:
    return tied._replace(readings=readings, keep=0)


def _origin_of(document: Document) -> tuple[int, int]:
    """The kind, by its number, and the model steps behind a text; of unknown text nobody knows."""
    origin = document.origin
    kind, age = (origin.kind, origin.depth) if origin else ("unknown", 0)
    return KINDS.index(kind), age or UNKNOWN_AGE if kind == "unknown" else age


def by_reference(row: Record, document: Document, why: tuple[str, str]) -> BadRow:
    """A sound row that is left out: where it stands, and no copy of it."""
    return BadRow(document.id, why[0], why[1], row.place, b"", "")


def _dropped(rows: Sequence[tuple[int, BadRow]], task: DrawTask) -> tuple[Any, NDArray[np.int64]]:
    if not rows:
        return None, np.zeros(0, np.int64)
    numbers = np.array([number for number, _ in rows], np.int64)
    order = task.order(numbers, np.zeros(len(rows), np.int64))
    shard = shard_of(order, task.plan.shards)
    sorted_ = np.lexsort((numbers, order, shard))

    def stretch(start: int, stop: int) -> pa.Table:
        picked = sorted_[start:stop]
        found = pa.Table.from_batches([dropped_batch([rows[i][1] for i in picked.tolist()])], DROPPED_SCHEMA)
        found = found.append_column(FACTS.field(0), pa.array(order[picked], pa.uint64()))
        return found.append_column(FACTS.field(1), pa.array(numbers[picked], pa.int64()))

    return stretch, shard[sorted_]


def shard_of(order: NDArray[np.uint64], shards: int) -> NDArray[np.int64]:
    """Equal stretches of the whole order."""
    return ((order >> np.uint64(32)) * np.uint64(shards) >> np.uint64(32)).astype(np.int64)


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table.combine_chunks())
    return bytes(sink.getvalue().to_pybytes())


def read_stream(path: Path, shard: int, stream: int) -> pa.Table | None:
    """The rows of one shard and one part in the file of a piece."""
    with path.open("rb") as file:
        file.seek(_ENTRY.size * (shard * len(STREAMS) + stream))
        begin, length = _ENTRY.unpack(file.read(_ENTRY.size))
        if not length:
            return None
        file.seek(begin)
        with pa.ipc.open_stream(file.read(length)) as reader:
            return reader.read_all()


def _merged(left: bytes, right: bytes) -> bytes:
    one, two = (msgspec.json.decode(state, type=Drawn) for state in (left, right))
    units = dict(one.by_units)
    for number, rows in two.by_units.items():
        units[number] = units.get(number, 0) + rows
    ordered = dict(sorted(units.items(), key=lambda item: int(item[0])))
    return msgspec.json.encode(Drawn(one.rows + two.rows, one.units + two.units, ordered))


def draw(run: Run, job: MixJob, plan: Plan, engine: Engine, observer: Observer) -> bytes:
    """Draw what is not drawn yet; the artefact says how many rows were read, and how many units they are."""
    task = DrawTask(
        run.out, job.sources, job.layout, job.counter, plan, written_sources(job), job.spec.seed,
    )  # fmt: skip
    work = Pass(NAME, [plan.decided("")], task, _merged)
    artefact = run_pass(run, work, engine, pieces_of(job), told(job, observer, NAME))
    pieces = sum(1 for _ in (run.out / "passes" / NAME).glob("*.rows"))
    if pieces < task_pieces(run.out):
        forget(run.out, NAME)
        artefact = run_pass(run, work, engine, pieces_of(job), told(job, observer, NAME))
    return artefact


def task_pieces(out: Path) -> int:
    """How many pieces were drawn: the receipt of the artefact says it."""
    return int(msgspec.json.decode((out / "passes" / NAME / "result.json").read_bytes())["states"])
