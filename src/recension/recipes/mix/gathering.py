"""Shards put together: the rows that every piece has for a shard, in their order, written once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recension.corpus import DROPPED_SCHEMA
from recension.document import KINDS
from recension.recipes.mix.drawing import DATA, DROPPED, HOLDOUT, STREAMS, UNKNOWN_AGE, drawn_path, read_stream
from recension.run.progress import Pulse
from recension.run.receipts import Receipt
from recension.run.shards import ShardPlan, ShardWriter

WRITTEN_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard to be put together. Its content is on disk already."""

    index: int
    size: int = 1
    rows_cap: int | None = None
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Shards:
    """All of them, as the source of a run."""

    count: int

    def pieces(self, shard_bytes: int, limit: int | None, skip: Callable[[int], bool]) -> Iterator[Shard]:
        return (Shard(index, skipped=skip(index)) for index in range(self.count))


@dataclass(frozen=True)
class GatherTask:
    """Writes one shard. Picklable."""

    plan: ShardPlan
    pieces: int
    names: tuple[str, ...]

    def __call__(self, shard: Shard) -> Receipt:
        out = self.plan.out
        pulse = Pulse(out, shard.index)
        stats: dict[str, Any] = {"tokens": 0, DATA: {}, HOLDOUT: {}}
        with ShardWriter(self.plan, shard.index) as writer:
            for stream, part in enumerate(STREAMS):
                table = self._gathered(out, shard.index, stream)
                if table is None:
                    continue
                writer.rows(table.num_rows)
                if part == DROPPED:
                    left_out = _plain(table, DROPPED_SCHEMA)
                    writer.drop_all(left_out, Counter(left_out.column("reason").to_pylist()))
                    continue
                stats[part] = _sums(table, self.names)
                batch = _plain(table, self.plan.schemas[part])
                for start in range(0, batch.num_rows, WRITTEN_ROWS):
                    piece = batch.slice(start, WRITTEN_ROWS)
                    if part == DATA:
                        writer.write(piece)
                    else:
                        writer.log(part, piece)
                        writer.used += piece.num_rows
                tokens = sum(source["tokens"] for source in stats[part].values())
                stats["tokens"] += tokens if part == DATA else 0
                pulse.add(batch.num_rows if part == DATA else 0, tokens if part == DATA else 0)
            receipt = writer.commit(stats)
        pulse.end()
        return receipt

    def _gathered(self, out: Path, shard: int, stream: int) -> pa.Table | None:
        found = [read_stream(drawn_path(out, piece), shard, stream) for piece in range(self.pieces)]
        tables = [table for table in found if table is not None]
        if not tables:
            return None
        table = pa.concat_tables(tables)
        nth = np.asarray(table.column("mix_repeat")) if "mix_repeat" in table.schema.names else np.zeros(table.num_rows)
        order = np.lexsort((nth, np.asarray(table.column("_number")), np.asarray(table.column("_order"))))
        return table.take(pa.array(order))


def _plain(table: pa.Table, schema: pa.Schema) -> pa.RecordBatch:
    """The columns that are written, in one piece."""
    arrays = [table.column(name).combine_chunks() for name in schema.names]
    chosen = [array if isinstance(array, pa.Array) else array.chunk(0) for array in arrays]
    return pa.RecordBatch.from_arrays(chosen, schema=schema)


def _sums(table: pa.Table, names: Sequence[str]) -> dict[str, Any]:
    """By source: documents and tokens, first readings, and tokens by kind and by generation."""
    columns = {name: np.asarray(table.column(name)) for name in ("_source", "_tokens", "_kind", "_generation")}
    cut = table.column("_cut").to_numpy()
    first = np.asarray(table.column("mix_repeat")) == 1
    found: dict[str, Any] = {}
    for number in np.unique(columns["_source"]).tolist():
        mine = columns["_source"] == number
        tokens = columns["_tokens"][mine]

        def by(column: str, mine: Any = mine, tokens: Any = tokens) -> dict[int, int]:
            values = columns[column][mine]
            return {int(value): int(tokens[values == value].sum()) for value in np.unique(values)}

        found[names[number]] = {
            "documents": int(mine.sum()),
            "tokens": int(tokens.sum()),
            "first": int((mine & first).sum()),
            "cut": [str(table.column("id")[int(i)]) for i in np.flatnonzero(mine & cut)],
            "kinds": {KINDS[kind]: count for kind, count in by("_kind").items()},
            "generations": {
                "unknown" if age == UNKNOWN_AGE else str(age): count for age, count in by("_generation").items()
            },
        }
    return found
