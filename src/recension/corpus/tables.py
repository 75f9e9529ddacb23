"""Columnar files: where their groups are, and their rows as records, a bounded batch at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recension.corpus.rows import HEAD_BYTES, BadRow, Fault, Place, SourceFile, TablePart
from recension.corpus.streams import open_file
from recension.errors import InputError
from recension.identity import derived_id, sha256

BATCH_BYTES = 4 << 20
BATCH_ROWS = 256
UNREADABLE = (pa.ArrowException, OSError)


@dataclass(frozen=True, slots=True)
class Group:
    """A row group or a record batch."""

    rows: int
    size: int


def read_schema(file: SourceFile) -> pa.Schema:
    """The Arrow schema of a columnar file; raises one of `UNREADABLE` where the file is broken."""
    with opened(file) as source:
        if file.format == "parquet":
            with closing(pq.ParquetFile(source)) as table:
                return _with_names(table.schema_arrow)
        with _arrow_reader(source) as reader:
            return _with_names(reader.schema)


def _with_names(schema: Any) -> Any:
    """The schema, unless a name stands for two columns."""
    twice = [name for index, name in enumerate(schema.names) if name in schema.names[:index]]
    if twice:
        raise pa.ArrowInvalid(f"two columns are named '{twice[0]}': rename one of them")
    return schema


def groups_of(file: SourceFile) -> Iterator[Group]:
    """The groups of a columnar file in order; raises one of `UNREADABLE` where it breaks off."""
    with opened(file) as source:
        if file.format == "parquet":
            with closing(pq.ParquetFile(source)) as table:
                _with_names(table.schema_arrow)
                metadata = table.metadata
            for index in range(metadata.num_row_groups):
                group = metadata.row_group(index)
                yield Group(group.num_rows, group.total_byte_size)
            return
        with _arrow_reader(source) as reader:
            _with_names(reader.schema)
            for batch in _arrow_batches(reader, 0):
                yield Group(batch.num_rows, batch.nbytes)


def footer_hash(file: SourceFile) -> str:
    """What stands for the content of a remote parquet file: the sha256 of its footer, which holds all statistics."""
    with open_file(file) as handle:
        handle.seek(max(file.size - 8, 0))
        length = int.from_bytes(handle.read(8)[:4], "little")
        handle.seek(max(file.size - 8 - length, 0))
        return "footer:" + hashlib.sha256(handle.read()).hexdigest()


def is_system_error(error: BaseException) -> bool:
    """Whether an error comes from the machine and not from the bytes of the file."""
    return isinstance(error, OSError) and error.errno is not None


def unreadable_row(file: SourceFile, error: BaseException, digest: str) -> BadRow:
    """The one bad row that stands for a file that cannot be opened at all."""
    with open_file(file) as handle:
        head = handle.read(HEAD_BYTES)
    place = Place(file.label, 1, 0, file.size)
    detail = f"the file cannot be read as {file.format}: {_one_line(error)}"
    return BadRow(derived_id(head, file.label, 1), f"unreadable-{file.format}", detail, place, head, digest)


def broken_off_row(file: SourceFile, error: BaseException, row: int) -> BadRow:
    """The one bad row for the rest of a file of record batches that breaks off."""
    detail = f"the rows from {row} on cannot be read: {_one_line(error)}"
    place = Place(file.label, row, 0, 0)
    return BadRow(derived_id(b"", file.label, row), f"corrupt-{file.format}", detail, place, b"", sha256(b""))


def batches_of(part: TablePart, max_rows: int | None) -> Iterator[tuple[pa.RecordBatch, int] | BadRow]:
    """Batches with the number of their first row. What breaks off is a bad row that says which rows are lost."""
    with opened(part.file) as source:
        if part.file.format == "parquet":
            yield from _parquet_batches(source, part, max_rows)
        else:
            yield from _ipc_batches(source, part)


def _parquet_batches(
    source: Any, part: TablePart, max_rows: int | None
) -> Iterator[tuple[pa.RecordBatch, int] | BadRow]:
    row = part.row
    with closing(_parquet(source)) as table:
        for group in range(part.start, part.stop):
            metadata = table.metadata.row_group(group)
            rows = batch_rows(metadata.num_rows, metadata.total_byte_size)
            given = 0
            error: BaseException | None = None
            for size in (min(rows, max_rows or rows), 1):
                # A batch that fails takes rows down that are sound: a second, slow pass goes row by row.
                seen = 0
                try:
                    for batch in table.iter_batches(size, row_groups=[group], use_threads=False):
                        fresh = batch.slice(max(given - seen, 0))
                        seen += batch.num_rows
                        if fresh.num_rows:
                            given += fresh.num_rows
                            yield fresh, row + given - fresh.num_rows
                    error = None
                    break
                except UNREADABLE as caught:
                    if is_system_error(caught):
                        raise InputError(f"cannot read {part.file.where}: {_one_line(caught)}; run again") from caught
                    error = caught
            if error is not None:
                yield _lost_rows(part, metadata, (row + given, row + metadata.num_rows - 1), error)
            row += metadata.num_rows


def _lost_rows(part: TablePart, metadata: Any, rows: tuple[int, int], error: BaseException) -> BadRow:
    """The one bad row for the rest of a row group that cannot be read: the bytes of the group stand for it."""
    chunks = [metadata.column(index) for index in range(metadata.num_columns)]
    starts = [chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset for chunk in chunks]
    offset = min(starts)
    length = max(max(s + c.total_compressed_size for s, c in zip(starts, chunks, strict=True)) - offset, 0)
    digest = hashlib.sha256()
    head = b""
    with open_file(part.file) as handle:
        handle.seek(offset)
        left = length
        while left and (data := handle.read(min(left, 1 << 20))):
            head = head or data[:HEAD_BYTES]
            digest.update(data)
            left -= len(data)
    place = Place(part.file.label, rows[0], offset, length)
    detail = f"rows {rows[0]} to {rows[1]} cannot be read: {_one_line(error)}"
    name = derived_id(head, part.file.label, rows[0])
    return BadRow(name, "corrupt-parquet", detail, place, head, digest.hexdigest())


def _ipc_batches(source: Any, part: TablePart) -> Iterator[tuple[pa.RecordBatch, int] | BadRow]:
    row = part.row
    with _arrow_reader(source) as reader:
        for batch in _arrow_batches(reader, part.start, part.stop):
            step = batch_rows(batch.num_rows, batch.nbytes)
            for start in range(0, batch.num_rows, step):
                yield batch.slice(start, step), row + start
            row += batch.num_rows


def batch_rows(rows: int, size: int) -> int:
    """How many rows of this mean size make a batch of bounded bytes."""
    return max(1, min(BATCH_ROWS, BATCH_BYTES * rows // max(size, 1)))


def arrow_bad(batch: pa.RecordBatch, fault: Fault, place: Place, given: str | None) -> BadRow:
    """A row of a table set aside: its original is an Arrow stream of that one row."""
    original = row_bytes(batch)
    name = given or derived_id(original, place.file, place.row)
    return BadRow(name, fault.reason, fault.detail, place, original, sha256(original), "arrow")


def row_bytes(row: pa.RecordBatch) -> bytes:
    """An Arrow IPC stream that holds one row."""
    row = row.replace_schema_metadata(None)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, row.schema) as writer:
        writer.write_batch(row)
    return bytes(sink.getvalue().to_pybytes())


@contextmanager
def opened(file: SourceFile) -> Iterator[Any]:
    """A source that Arrow reads from: mapped for local record batches, buffered for everything else."""
    with open_file(file) as handle:
        if file.local:
            handle.close()
            path = os.fsencode(file.url)  # a name need not be text
            with pa.memory_map(path) if file.format == "arrow" and file.size else pa.OSFile(path) as source:
                yield source
        else:
            yield pa.PythonFile(handle, "r")


def _parquet(source: Any) -> Any:
    return pq.ParquetFile(source, buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=True)


@contextmanager
def _arrow_reader(source: Any) -> Iterator[Any]:
    magic = source.read(6)
    source.seek(0)
    with pa.ipc.open_file(source) if magic == b"ARROW1" else pa.ipc.open_stream(source) as reader:
        yield reader


def _arrow_batches(reader: Any, start: int, stop: int | None = None) -> Iterator[pa.RecordBatch]:
    if hasattr(reader, "get_batch"):
        for index in range(start, reader.num_record_batches if stop is None else stop):
            yield reader.get_batch(index)
        return
    yield from islice(reader, start, stop)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
