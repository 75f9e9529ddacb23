"""One reading of all corpora: every shard leaves the state of what it read, and states add up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recension.corpus import (
    BadRow,
    Piece,
    Record,
    check_unchanged,
    column_value,
    read_piece,
    read_table_rows,
    set_aside,
)
from recension.engines.local import LocalEngine, available_cores
from recension.errors import InputError
from recension.methods.audit import crowding
from recension.methods.audit.crowding import Crowding
from recension.methods.audit.folds import Fold, Item, from_bytes, merged, to_bytes
from recension.methods.audit.words import Hashes
from recension.models.embedders import load_embedder
from recension.ports import Embedder
from recension.recipes.audit.corpora import Corpora, Source
from recension.recipes.edit.task import rounds, share_of
from recension.run.execute import Bounds, execute, totals
from recension.run.manifest import Run
from recension.run.progress import Observer, Pulse
from recension.run.receipts import Receipt, receipts
from recension.run.shards import ShardPlan, ShardWriter

PART, CROWDED = "counts", "density"
SCHEMA = pa.schema([("corpus", pa.int64()), ("state", pa.large_binary())])
SMALLEST_SHARD, LARGEST_SHARD, SHARDS = 1 << 20, 64 << 20, 64
WORTH = 8.0  # seconds of work below which a second process takes longer to begin than it saves
SPEED = 8e6  # bytes that are read and counted in a second, about
SPARE = 1.2  # the sample is cut to units and matched later, which costs a little of it, and marks count as words there


@dataclass(frozen=True, slots=True)
class Keys:
    """The columns that say how rows belong together."""

    pair: str | None = None
    group: str | None = None
    stratum: str | None = None


@dataclass(frozen=True)
class CountTask:
    """Reads a piece and writes its state. Picklable."""

    plan: ShardPlan
    sources: Mapping[str, Source]
    keys: Keys
    budget: int
    tests: bytes
    embedder: str = "none"

    def __call__(self, piece: Piece) -> Receipt:
        check_unchanged(piece.files)
        source = self.sources[piece.files[0].label]
        pulse = Pulse(self.plan.out, piece.index)
        fold = Fold(int(self.budget * SPARE), np.frombuffer(self.tests, np.uint64))
        embedder = _embedder(self.embedder, self.plan.key) if self.embedder != "none" else None
        crowd = Crowding() if embedder else None
        with ShardWriter(self.plan, piece.index) as shard:
            for batch in rounds(read_piece(piece, source.reading, source.layout)):
                items = self._items(shard, batch)
                before = fold.words
                fold.add(items)
                if crowd is not None and embedder is not None and items:
                    beginnings = [crowding.beginning(item.text) for item in items]
                    crowd.add(beginnings, embedder.embed(beginnings))
                shard.used += len(items)
                pulse.add(len(items), fold.words - before, len(batch) - len(items), share_of(piece, batch))
            shard.log(PART, _state(source.corpus, to_bytes(fold)))
            if crowd is not None:
                shard.log(CROWDED, _state(source.corpus, crowding.to_bytes(crowd)))
            check_unchanged(piece.files)
            receipt = shard.commit({"tokens": fold.words}, tuple(f.label for f in piece.files), piece.rows_cap)
        pulse.end()
        return receipt

    def _items(self, shard: ShardWriter, batch: Sequence[Record | BadRow]) -> list[Item]:
        items = []
        for row in batch:
            shard.row(1)
            if isinstance(row, BadRow):
                shard.drop(row)
                continue
            named = [self._value(row, key) for key in (self.keys.pair, self.keys.group, self.keys.stratum)]
            missing = [key for key, value in zip(_columns(self.keys), named, strict=True) if key and value is None]
            if missing:
                shard.drop(set_aside(row, "no-key", f"'{missing[0]}' names nothing"))
                continue
            pair, group, stratum = (value or "" for value in named)
            document = row.document
            items.append(Item(document.text, document.id, group or pair or document.id, stratum, pair))
        return items

    @staticmethod
    def _value(row: Record, key: str | None) -> str | None:
        if key is None:
            return None
        if key == "id":
            return row.document.id
        value: Any = column_value(row, key)
        if isinstance(value, bool | int | float):
            return str(value).lower()
        return value if isinstance(value, str) and value else None


@lru_cache(maxsize=1)
def _embedder(name: str, key: str) -> Embedder:
    """The embedder of a run of that key, which says what it is: loaded once in each process, and not for every shard."""
    return load_embedder(name)


def _state(corpus: int, state: bytes) -> pa.RecordBatch:
    """One row, from its bytes: `pa.array` of a list would import pandas wherever that is installed, for a second."""
    number, ends = np.array([corpus], np.int64), np.array([0, len(state)], np.int64)
    columns = [
        pa.Array.from_buffers(pa.int64(), 1, [None, pa.py_buffer(number.tobytes())]),
        pa.Array.from_buffers(pa.large_binary(), 1, [None, pa.py_buffer(ends.tobytes()), pa.py_buffer(state)]),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _columns(keys: Keys) -> tuple[str | None, str | None, str | None]:
    return keys.pair, keys.group, keys.stratum


@dataclass(frozen=True, slots=True)
class Counting:
    """What is to be counted. With an embedder also how dense the corpus is around each document."""

    corpora: Corpora
    keys: Keys
    budget: int
    tests: Hashes
    embedder: str = "none"


def count(run: Run, wanted: Counting, workers: int, max_dropped: float | None, observer: Observer) -> None:
    """Count what is missing."""
    data = wanted.corpora.data
    size = shard_size(data.size)
    parts = {PART: SCHEMA} | ({CROWDED: SCHEMA} if wanted.embedder != "none" else {})
    plan = ShardPlan.of(run, "parquet", parts)
    task = CountTask(plan, wanted.corpora.sources, wanted.keys, wanted.budget, wanted.tests.tobytes(), wanted.embedder)
    engine = LocalEngine(max(1, min(processes(workers, data.size / SPEED), -(-data.size // size))))
    execute(run, task, data, engine, Bounds(size, None, max_dropped, data.expected), observer)
    data.check_unchanged()
    sums = totals(run.out)
    if not sums.written:
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in sums.dropped.items()) or "there are none"
        named = [
            f"--{what}-key"
            for what, key in zip(("pair", "group", "stratum"), _columns(wanted.keys), strict=True)
            if key
        ]
        flag = " or ".join(named) if sums.dropped.keys() == {"no-key"} else "--text-key"
        raise InputError(
            f"none of the {sums.rows:,} rows could be used ({reasons}): see {run.out / 'dropped'}; the columns are "
            f"{', '.join(data.columns_seen()) or 'none'}: is {flag} right?"
        )


def processes(asked: int, seconds: float) -> int:
    """As many as asked for; left open, one for each core, and no other than this where there are few seconds to share."""
    return asked or (available_cores() if seconds > WORTH else 1)


def shard_size(total: int) -> int:
    """About 64 shards, each a power of two from 1 to 64 MiB."""
    size = SMALLEST_SHARD
    while size < LARGEST_SHARD and size * SHARDS < total:
        size *= 2
    return size


def merge_states(out: Path, corpora: int, budget: int, tests: Hashes) -> list[Fold]:
    """The state of each corpus, joined from the shards one after the other."""
    found = [Fold(int(budget * SPARE), tests) for _ in range(corpora)]
    for number, state in _states(out, PART):
        found[number] = merged(found[number], from_bytes(state, tests))
    return found


def merge_crowding(out: Path) -> bytes:
    """The density of a corpus, joined from the shards one after the other."""
    found = Crowding()
    for _, state in _states(out, CROWDED):
        found = crowding.merged(found, crowding.from_bytes(state))
    return crowding.to_bytes(found)


def _states(out: Path, part: str) -> Iterator[tuple[int, bytes]]:
    for receipt in receipts(out):
        for entry in receipt.files:
            if entry.part == part:
                for batch in read_table_rows(out / entry.part / entry.name):
                    yield batch.column(0)[0].as_py(), batch.column(1)[0].as_py()
