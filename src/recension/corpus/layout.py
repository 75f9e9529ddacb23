"""The columns of the output, fixed before anything is written, and rows put into them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from recension.corpus.exchanges import rebuild
from recension.corpus.jsonrows import metadata_of
from recension.corpus.rows import CONSUMED, INSTRUCTION_KEYS, ArrowRow, BadRow, JsonRow, Reading, Record, Shape
from recension.corpus.strings import Strings
from recension.corpus.tablerows import ORIGIN_TYPE, other_columns, passing_columns
from recension.corpus.tables import row_bytes
from recension.document import JSON, Document, Kind
from recension.identity import sha256

MESSAGES_TYPE = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
DROPPED_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("sha256", pa.string()),
        ("original", pa.binary()),
        ("original_format", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class OutRow:
    """A row to write: the record it was read from, its document, and by field path the texts that are new."""

    record: Record
    document: Document
    new_texts: Mapping[str, str] = field(default_factory=dict)
    edition: int = 1


@dataclass(frozen=True)
class Layout:
    """The schema of all data of a run.

    `columns`: every column of tables keeps its name and type. `metadata`: every other column is in one JSON object.
    """

    kind: Literal["columns", "metadata"]
    shapes: tuple[Shape, ...]
    schema: pa.Schema

    def __reduce__(self) -> tuple[Any, ...]:
        # Arrow's own way through pickle respells nested types; every process has the same schema to the letter.
        return layout_from, (self.kind, self.shapes, self.schema.serialize().to_pybytes())

    def to_json(self) -> dict[str, JSON]:
        """For the key of a run."""
        columns: list[JSON] = [[column.name, str(column.type)] for column in self.schema]
        return {"kind": self.kind, "shapes": list(self.shapes), "columns": columns}

    def batch(self, rows: Sequence[OutRow]) -> pa.RecordBatch:
        """Rows in the columns of this layout."""
        built = {
            "id": pa.array([row.document.id for row in rows], pa.string()),
            "origin": _origins(rows),
        }
        contents = [rebuild(row.record, row.new_texts, row.document) for row in rows]
        if "text" in self.shapes:
            built["text"] = pa.array([content.get("text") for content in contents], pa.string())
        if self.kind == "columns":
            built |= self._passed(rows, contents, set(self.schema.names) - set(built))
        else:
            for name in self.schema.names:
                if name not in built and name != "metadata":
                    values = [content.get(name) for content in contents]
                    built[name] = pa.array(values, self.schema.field(name).type)
            built["metadata"] = pa.array([other_columns_of(row.record) for row in rows], pa.string())
        return pa.RecordBatch.from_arrays([built[name] for name in self.schema.names], schema=self.schema)

    @property
    def holds_plain_texts(self) -> bool:
        """Whether a row is an id, a text, an origin and the rest as JSON."""
        return self.kind == "metadata" and self.shapes == ("text",)

    def plain_batch(self, ids: Strings, texts: Strings, others: Strings, kind: Kind | None) -> pa.RecordBatch:
        """The same of plain texts, which come from nowhere but an origin that was declared."""
        names, count = ids.column(), len(ids)
        empty = Strings(np.zeros(0, np.uint8), np.zeros(count, np.int64)).column()
        kinds = Strings.of([(kind or "unknown").encode("ascii")] * count).column()
        numbers = [pa.array(np.full(count, value, np.int32)) for value in (0, 1)]  # of generation and edition
        fields = [ORIGIN_TYPE.field(index) for index in range(ORIGIN_TYPE.num_fields)]
        origins = pa.StructArray.from_arrays([kinds, names, names, empty, empty, *numbers], fields=fields)
        built = {"id": names, "text": texts.column(), "origin": origins, "metadata": others.column()}
        return pa.RecordBatch.from_arrays([built[name] for name in self.schema.names], schema=self.schema)

    def _passed(
        self, rows: Sequence[OutRow], contents: Sequence[Mapping[str, Any]], names: set[str]
    ) -> dict[str, pa.Array]:
        """Columns of the source as they were, but for the contents that are new."""
        chunks: dict[str, list[pa.Array]] = {name: [] for name in names}
        for start, stop, carried in _runs(rows):
            sources = {out: source for source, out in carried.passing}
            for name in names:
                kind = self.schema.field(name).type
                if name not in sources:
                    chunks[name].append(pa.nulls(stop - start, kind))
                    continue
                column = carried.batch.column(sources[name]).slice(carried.index, stop - start)
                column = column if column.type == kind else column.cast(kind)
                changed = {
                    index - start: contents[index]
                    for index in range(start, stop)
                    if rows[index].new_texts and name in contents[index]
                }
                if changed and name == "messages":
                    column = _with_contents(column, changed)
                elif changed and name == "output":
                    column = _with_values(column, {at: content[name] for at, content in changed.items()})
                chunks[name].append(column)
        return {name: pa.concat_arrays(parts) if parts else self._empty(name) for name, parts in chunks.items()}

    def _empty(self, name: str) -> pa.Array:
        return pa.array([], self.schema.field(name).type)


def layout_from(kind: Literal["columns", "metadata"], shapes: tuple[Shape, ...], schema: bytes) -> Layout:
    """A layout from the bytes of its schema."""
    return Layout(kind, shapes, pa.ipc.read_schema(pa.py_buffer(schema)))


def metadata_layout(shapes: tuple[Shape, ...]) -> Layout:
    """The layout for inputs that are not all tables of one schema."""
    columns: list[tuple[str, Any]] = [("id", pa.string())]
    if "text" in shapes:
        columns.append(("text", pa.string()))
    if "chat" in shapes:
        columns.append(("messages", MESSAGES_TYPE))
    if "instruction" in shapes:
        columns += [(key, pa.string()) for key in INSTRUCTION_KEYS]
    return Layout("metadata", shapes, pa.schema([*columns, ("origin", ORIGIN_TYPE), ("metadata", pa.string())]))


def columns_layout(shapes: tuple[Shape, ...], schemas: Sequence[pa.Schema], reading: Reading) -> Layout | None:
    """The layout for tables; None where two of them give one column two types."""
    passed: list[pa.Schema] = []
    for schema in schemas:
        pairs = passing_columns(schema, reading, shapes)
        passed.append(pa.schema([schema.field(source).with_name(out).with_nullable(True) for source, out in pairs]))
    try:
        others = pa.unify_schemas(passed)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return None
    own = [pa.field("id", pa.string())]
    if "text" in shapes:
        own.append(pa.field("text", pa.string()))
    # The schema metadata of the sources (pandas, datasets) describes their columns and not these.
    schema = pa.schema([*own, pa.field("origin", ORIGIN_TYPE), *others])
    return layout_from("columns", shapes, schema.serialize().to_pybytes())


def dropped_batch(rows: Sequence[BadRow], schema: pa.Schema = DROPPED_SCHEMA) -> pa.RecordBatch:
    """Rows that were set aside, as they go to `dropped/`; further columns of a schema are null."""
    values = [
        (b.id, b.reason, b.detail, p.file, p.row, p.offset, p.length, b.sha256, b.original, b.original_format)
        for b in rows
        for p in (b.place,)
    ]
    columns = list(zip(*values, strict=True)) if values else [()] * len(DROPPED_SCHEMA)
    arrays = [pa.array(column, kind.type) for column, kind in zip(columns, DROPPED_SCHEMA, strict=True)]
    arrays += [pa.nulls(len(rows), kind.type) for kind in list(schema)[len(arrays) :]]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def set_aside(record: Record, reason: str, detail: str) -> BadRow:
    """A record that became a document and is dropped after all, with its original bytes."""
    carried = record.carried
    if isinstance(carried, JsonRow):
        original = carried.original
        return BadRow(record.document.id, reason, detail, record.place, original, sha256(original))
    original = row_bytes(carried.batch.slice(carried.index, 1))
    return BadRow(record.document.id, reason, detail, record.place, original, sha256(original), "arrow")


def _origins(rows: Sequence[OutRow]) -> pa.Array:
    values = []
    for row in rows:
        origin = row.document.origin
        if origin is None:
            raise ValueError(f"the document {row.document.id} has no origin: say at least that it is unknown")
        values.append(
            (origin.kind, origin.root, origin.parent, origin.method, origin.run, origin.generation, row.edition)
        )
    columns = list(zip(*values, strict=True)) if values else [()] * ORIGIN_TYPE.num_fields
    fields = [ORIGIN_TYPE.field(index) for index in range(ORIGIN_TYPE.num_fields)]
    arrays = [pa.array(column, kind.type) for column, kind in zip(columns, fields, strict=True)]
    return pa.StructArray.from_arrays(arrays, fields=fields)


def other_columns_of(record: Record) -> bytes:
    """Every column of a row that its document does not hold, as one JSON object."""
    carried = record.carried
    if isinstance(carried, JsonRow):
        return metadata_of(carried, carried.others)
    shape = carried.exchange.shape
    consumed = frozenset() if shape == "text" else frozenset(CONSUMED[shape])  # a text has left the columns already
    return metadata_of(carried, other_columns(carried, consumed))


def _runs(rows: Sequence[OutRow]) -> Iterator[tuple[int, int, ArrowRow]]:
    """Stretches of rows that stand next to each other in one batch: these are sliced, not copied one by one."""
    start = 0
    while start < len(rows):
        first = rows[start].record.carried
        if not isinstance(first, ArrowRow):
            raise TypeError("a row of JSON has no place among the columns of tables")
        stop = start + 1
        while stop < len(rows):
            carried = rows[stop].record.carried
            if not isinstance(carried, ArrowRow) or carried.batch is not first.batch:
                break
            if carried.index != first.index + stop - start:
                break
            stop += 1
        yield start, stop, first
        start = stop


def _with_values(column: pa.Array, changed: Mapping[int, Any]) -> pa.Array:
    values = column.to_pylist()
    for index, value in changed.items():
        values[index] = value
    return pa.array(values, column.type)


def _with_contents(column: pa.Array, changed: Mapping[int, Mapping[str, Any]]) -> pa.Array:
    """A column of messages with other contents; whatever else the messages hold is not touched."""
    kind = column.type
    if pa.types.is_fixed_size_list(kind):
        return _with_contents(column.cast(pa.list_(kind.value_field)), changed).cast(kind)
    turns = column.flatten()
    fields = [kind.value_type.field(index) for index in range(kind.value_type.num_fields)]
    children = turns.flatten()
    at = [item.name for item in fields].index("content")
    contents = children[at].to_pylist()
    ends = [0]
    for index, length in enumerate(column.value_lengths().to_pylist()):
        start = ends[-1]
        ends.append(start + (length or 0))
        for turn, message in enumerate(changed[index]["messages"] if index in changed else ()):
            if message is not None and message["content"] is not None:
                contents[start + turn] = message["content"]
    children[at] = pa.array(contents, fields[at].type)
    built = pa.StructArray.from_arrays(children, fields=fields, mask=turns.is_null())
    large = pa.types.is_large_list(kind)
    offsets = pa.array(ends, pa.int64() if large else pa.int32())
    lists = pa.LargeListArray if large else pa.ListArray
    return lists.from_arrays(offsets, built, type=kind, mask=column.is_null())
