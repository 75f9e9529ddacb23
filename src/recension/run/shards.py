"""Writing one shard: files beside, fsynced, renamed, then receipted."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recension.corpus import DROPPED_SCHEMA, BadRow, TableWriter, dropped_batch, open_writer
from recension.document import JSON
from recension.run import folder
from recension.run.manifest import Run
from recension.run.receipts import FileEntry, Receipt, add_counts, receipt_path, write_receipt

if TYPE_CHECKING:
    import pyarrow as pa

DROPPED_BATCH = 256
MAPPED_PARTS = ("tokens",)  # read through a memory map later, so written as Arrow


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """How every shard of a run is written. `schemas` maps each part (data, edits, ...) to its Arrow schema; that of
    `dropped` may begin as `DROPPED_SCHEMA` does and go on.
    """

    out: Path
    key: str
    holder: str
    format: str
    schemas: Mapping[str, Any]

    @classmethod
    def of(cls, run: Run, format: str, schemas: Mapping[str, Any]) -> ShardPlan:
        return cls(run.out, run.key, run.holder, format, schemas)

    @property
    def dropped(self) -> Any:
        return self.schemas.get("dropped", DROPPED_SCHEMA)


class ShardWriter:
    """The accounts and files of one shard. Nothing is visible before `commit`; a failed write fails the shard."""

    def __init__(self, plan: ShardPlan, index: int) -> None:
        self.plan = plan
        self.index = index
        self.dropped: dict[str, int] = {}
        self.written = 0
        self.used = 0
        self._units: list[list[int]] = []  # [units, rows], run-length encoded
        self._waiting: list[BadRow] = []
        self._writers: dict[str, TableWriter] = {}
        self._scratch = plan.out / folder.SCRATCH / f"{index:05d}"
        self._held = ExitStack()

    def __enter__(self) -> ShardWriter:
        self._held.enter_context(folder.worker(self.plan.out, self.plan.holder))
        with folder.writing(self._scratch):
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.abort()
        with suppress(OSError):  # what cannot be removed now is removed when the run is next opened
            shutil.rmtree(self._scratch)
        self._held.close()

    def row(self, units: int) -> None:
        """A row was read and is `units` units of work."""
        self._add_rows(units, 1)

    def rows(self, count: int) -> None:
        """So many rows were read, each of them one unit."""
        self._add_rows(1, count)

    def _add_rows(self, units: int, rows: int) -> None:
        if self._units and self._units[-1][0] == units:
            self._units[-1][1] += rows
        elif rows:
            self._units.append([units, rows])

    def write(self, batch: pa.RecordBatch) -> None:
        """Documents: as many units as rows."""
        self.written += batch.num_rows
        self.log("data", batch)

    def drop(self, bad: BadRow) -> None:
        """A unit that does not become a document."""
        self.dropped[bad.reason] = self.dropped.get(bad.reason, 0) + 1
        self._waiting.append(bad)
        if len(self._waiting) >= DROPPED_BATCH or len(bad.original) > 1 << 20:
            self._flush_dropped()

    def drop_all(self, batch: pa.RecordBatch, reasons: Mapping[str, int]) -> None:
        """Units that do not become documents, as rows of `dropped/`. `reasons` counts them."""
        add_counts(self.dropped, reasons)
        self.log("dropped", batch)

    def log(self, part: str, batch: pa.RecordBatch) -> None:
        """Rows of a part that are not units, such as edits."""
        if batch.num_rows:
            with folder.writing(self.plan.out / part):
                self._writer(part).write(batch)

    def commit(
        self,
        stats: Mapping[str, JSON],
        sources: tuple[str, ...] = (),
        rows_cap: int | None = None,
    ) -> Receipt:
        """Make the shard real. Killed before the receipt, it never happened; after it, it is whole."""
        self._flush_dropped()
        out = self.plan.out
        with folder.writing(out):
            if "data" in self.plan.schemas:
                self._writer("data")  # a shard without documents still has its (empty) file
            receipt_path(out, self.index).unlink(missing_ok=True)
            entries = [self._publish(part) for part in list(self._writers)]
            for part in dict.fromkeys(("dropped", *self.plan.schemas)):
                self._remove_stale(part, entries)
            for part in {entry.part for entry in entries}:
                folder.sync_folder(out / part)
        receipt = Receipt(
            index=self.index,
            key=self.plan.key,
            rows=sum(rows for _, rows in self._units),
            units=sum(units * rows for units, rows in self._units),
            units_by_row=tuple((units, rows) for units, rows in self._units),
            written=self.written,
            dropped=dict(sorted(self.dropped.items())),
            files=tuple(sorted(entries, key=lambda entry: entry.part)),
            used=self.used,
            sources=sources,
            rows_cap=rows_cap,
            stats=stats,
        )
        write_receipt(out, receipt)
        return receipt

    def _writer(self, part: str) -> TableWriter:
        if part not in self._writers:
            schema = self.plan.dropped if part == "dropped" else self.plan.schemas[part]
            (self._scratch / part).mkdir(exist_ok=True)
            format = "arrow" if part in MAPPED_PARTS else self.plan.format
            self._writers[part] = open_writer(self._scratch / part / f"{self.index:05d}", schema, format)
        return self._writers[part]

    def _flush_dropped(self) -> None:
        if self._waiting:
            self.log("dropped", dropped_batch(self._waiting, self.plan.dropped))
            self._waiting.clear()

    def _publish(self, part: str) -> FileEntry:
        written = self._writers.pop(part).close()
        target = self.plan.out / part
        target.mkdir(exist_ok=True)
        (self._scratch / part / written.name).replace(target / written.name)
        return FileEntry(part, written.name, written.rows, written.bytes, written.sha256)

    def _remove_stale(self, part: str, entries: list[FileEntry]) -> None:
        """An earlier, shorter edition of this shard may have had a file that this one has not."""
        current = {entry.name for entry in entries if entry.part == part}
        for path in (self.plan.out / part).glob(f"{self.index:05d}.*"):
            if path.name not in current:
                path.unlink()
