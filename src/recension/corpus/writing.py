"""Tables on disk: parquet, JSON lines or Arrow, the same bytes for the same batches, in bounded memory."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from recension.corpus.plain import arrow_values, plain_values
from recension.corpus.rows import SourceFile
from recension.corpus.streams import Stream
from recension.corpus.tablerows import json_bytes
from recension.errors import InputError, UsageError

Format = Literal["parquet", "jsonl", "jsonl.gz", "jsonl.zst", "arrow"]
FORMATS: tuple[Format, ...] = ("parquet", "jsonl", "jsonl.gz", "jsonl.zst")  # for documents
MAPPED: Format = "arrow"  # for what is read through a memory map: not packed
UNLIKE = ("id", "text", "original")  # columns of which no value is like another
GROUP_BYTES = 16 << 20
READ_LINES = 512
READ_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Written:
    """A file that is whole and on the disk."""

    name: str
    rows: int
    bytes: int
    sha256: str


class _Counted:
    """A file that is hashed as it is written."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._digest = hashlib.sha256()
        self.size = 0
        self._given_up = False

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if self._given_up:
            return len(view)
        self._file.write(view)
        self._digest.update(view)
        self.size += len(view)
        return len(view)

    def flush(self) -> None:
        self._file.flush()

    def tell(self) -> int:
        return self.size

    @property
    def closed(self) -> bool:
        return self._file.closed

    def give_up(self) -> None:
        """Let go of the file as it is; encoders that still want to write their ends are let run into the void."""
        self._given_up = True
        with suppress(OSError):  # on a full disk even closing may fail, and then it no longer matters
            self._file.close()

    def finish(self) -> str:
        """On the disk, not merely on its way there."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._digest.hexdigest()


def _repeating(path: str, kind: pa.DataType) -> Iterator[str]:
    """The leaves of a column that are worth a dictionary: strings that come again, as texts, ids and numbers hardly do."""
    if pa.types.is_struct(kind):
        for field in kind:
            yield from _repeating(f"{path}.{field.name}", field.type)
    elif pa.types.is_map(kind):
        yield from _repeating(f"{path}.key_value.key", kind.key_type)
        yield from _repeating(f"{path}.key_value.value", kind.item_type)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _repeating(f"{path}.list.element", kind.value_type)
    elif (pa.types.is_string(kind) or pa.types.is_large_string(kind)) and path not in UNLIKE:
        yield path


class TableWriter:
    """Writes batches of one schema to one file. Leaving the `with` block by an error closes the file and no more."""

    def __init__(self, path: Path, schema: pa.Schema, format: Format) -> None:
        self.path = path
        self.rows = 0
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0
        self._file = _Counted(path)
        self._parquet: Any = None
        self._lines: Any = None
        self._arrow: Any = None
        if format == "arrow":
            self._arrow = pa.ipc.new_file(pa.PythonFile(self._file, "w"), schema)
        elif format == "parquet":
            self._parquet = pq.ParquetWriter(
                pa.PythonFile(self._file, "w"),
                schema,
                compression="zstd",
                use_dictionary=[path for field in schema for path in _repeating(field.name, field.type)],
                write_page_checksum=True,
            )
        elif format == "jsonl.gz":
            self._lines = gzip.GzipFile("", "wb", 6, cast("IO[bytes]", self._file), mtime=0)
        elif format == "jsonl.zst":
            compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
            self._lines = compressor.stream_writer(cast("IO[bytes]", self._file), closefd=False)
        else:
            self._lines = self._file

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    def abort(self) -> None:
        self._file.give_up()

    def write(self, table: pa.RecordBatch | pa.Table) -> None:
        for batch in table.to_batches() if isinstance(table, pa.Table) else [table]:
            if not batch.num_rows:
                continue
            self.rows += batch.num_rows
            if self._arrow is not None:
                self._arrow.write_batch(batch)
                continue
            if self._lines is not None:
                self._write_lines(batch)
                continue
            step = max(1, GROUP_BYTES * batch.num_rows // max(batch.nbytes, 1))
            for start in range(0, batch.num_rows, step):
                part = batch.slice(start, step)
                if self._waiting and self._waiting_bytes + part.nbytes > GROUP_BYTES:
                    self._write_group()
                self._waiting.append(part)
                self._waiting_bytes += part.nbytes

    def close(self) -> Written:
        if self._parquet is not None:
            self._write_group()
            self._parquet.close()
        elif self._arrow is not None:
            self._arrow.close()
        elif self._lines is not self._file:
            self._lines.close()
        digest = self._file.finish()
        return Written(self.path.name, self.rows, self._file.size, digest)

    def _write_group(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, self._schema)
            self._parquet.write_table(table, row_group_size=table.num_rows)
        self._waiting, self._waiting_bytes = [], 0

    def _write_lines(self, batch: pa.RecordBatch) -> None:
        step = max(1, READ_BYTES * batch.num_rows // max(batch.nbytes, 1))
        for start in range(0, batch.num_rows, step):
            part = batch.slice(start, step)
            columns = [plain_values(column) for column in part.columns]
            names = part.schema.names
            lines = [json_bytes(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
            self._lines.write(b"\n".join(lines) + b"\n")


def open_writer(path_stem: Path, schema: pa.Schema, format: str) -> TableWriter:
    """A writer for the file `path_stem` plus the ending of its format."""
    if format not in (*FORMATS, MAPPED):
        raise UsageError(f"unknown format '{format}': choose one of {', '.join(FORMATS)}")
    return TableWriter(path_stem.parent / f"{path_stem.name}.{format}", schema, format)


def read_table_rows(path: Path, schema: pa.Schema | None = None) -> Iterator[pa.RecordBatch]:
    """The batches of a file that `open_writer` wrote. JSON lines need the schema for types that JSON lacks."""
    try:
        if path.name.endswith(".parquet"):
            with pq.ParquetFile(path, buffer_size=1 << 20) as table:
                for group in range(table.num_row_groups):
                    metadata = table.metadata.row_group(group)
                    size = max(1, min(1024, READ_BYTES * metadata.num_rows // max(metadata.total_byte_size, 1)))
                    yield from table.iter_batches(size, row_groups=[group], use_threads=False)
            return
        if path.name.endswith(f".{MAPPED}"):
            with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as mapped:
                yield from (mapped.get_batch(number) for number in range(mapped.num_record_batches))
            return
        yield from _read_lines(path, schema)
    except (pa.ArrowException, msgspec.DecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"cannot read {path}: {reason}; the file is damaged, run verify on its folder") from error


def _read_lines(path: Path, schema: pa.Schema | None) -> Iterator[pa.RecordBatch]:
    waiting: list[Any] = []
    size = 0
    for line in _lines(path):
        waiting.append(msgspec.json.decode(line))
        size += len(line)
        if len(waiting) >= READ_LINES or size >= READ_BYTES:
            yield _batch(waiting, schema)
            waiting, size = [], 0
    if waiting:
        yield _batch(waiting, schema)


def _lines(path: Path) -> Iterator[bytes]:
    name = path.name
    kind = next((kind for kind in FORMATS[::-1] if name.endswith(f".{kind}")), "jsonl")
    stream = Stream(SourceFile(name, str(path.absolute()), 0, "", kind))
    held = b""
    for chunk in stream:
        lines = (held + chunk).split(b"\n")
        held = lines.pop()
        yield from lines
    if stream.damage or held:
        reason = stream.damage.detail if stream.damage else "the last line has no end"
        raise InputError(f"cannot read {path}: {reason}; the file is damaged, run verify on its folder")


def _batch(rows: list[Any], schema: pa.Schema | None) -> pa.RecordBatch:
    if schema is None:
        return pa.RecordBatch.from_pylist(rows)
    columns = [arrow_values([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
