"""Rows of tables to records. Columns that are not read stay in their batch, with their type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.types as t

from recension.corpus.chats import Turn, context_of, extras_column, messages_of, whole_turns
from recension.corpus.exchanges import (
    Shaped,
    choose_shape,
    document_of,
    expected,
    origin_of,
    shape_chat,
    shape_instruction,
    shape_text,
    sound,
    with_odd_origin,
)
from recension.corpus.jsonrows import OWN_COLUMNS
from recension.corpus.plain import plain_values
from recension.corpus.rows import (
    CONSUMED,
    HEAD_BYTES,
    INSTRUCTION_KEYS,
    ArrowRow,
    BadRow,
    Fault,
    Message,
    Place,
    Reading,
    Record,
    Shape,
)
from recension.corpus.tables import arrow_bad
from recension.corpus.tabletexts import id_values, is_chat, text_values, turn_values
from recension.identity import derived_id, sha256

ORIGIN_TYPE = pa.struct(
    [(name, pa.string()) for name in ("kind", "root", "parent", "method", "run")]
    + [("generation", pa.int32()), ("edition", pa.int32())]
)


def is_origin(kind: Any) -> bool:
    """Whether a column has the type of our own origins, with or without the edition."""
    if not t.is_struct(kind):
        return False
    names = {kind.field(index).name for index in range(kind.num_fields)}
    wanted = {ORIGIN_TYPE.field(index).name for index in range(ORIGIN_TYPE.num_fields)}
    return names | {"edition"} == wanted


def shapes_in(schema: pa.Schema, reading: Reading) -> tuple[Shape, ...]:
    """The shapes that rows under a schema may have."""
    names = set(schema.names)
    known: list[Shape] = []
    if reading.text_key in names:
        known.append("text")
    if "messages" in names and is_chat(schema.field("messages").type):
        known.append("chat")
    if {"instruction", "output"} <= names:
        known.append("instruction")
    return tuple(shape for shape in reading.sought if shape in known)


def passing_columns(schema: pa.Schema, reading: Reading, shapes: tuple[Shape, ...]) -> tuple[tuple[str, str], ...]:
    """The columns that pass through, each with its name in the output: our own names are taken."""
    taken = {"id", "origin"} | ({"text"} if "text" in shapes else set())
    used = set(schema.names) | taken
    passing: list[tuple[str, str]] = []
    for field in schema:
        consumed = field.name == reading.id_key or (field.name == reading.text_key and "text" in shapes)
        if consumed or (field.name == "origin" and is_origin(field.type)):
            continue
        name = field.name
        if name in taken:
            while name in used:
                name = f"source_{name}"
            used.add(name)
        passing.append((field.name, name))
    return tuple(passing)


def table_records(
    batch: pa.RecordBatch, place: Place, reading: Reading, shapes: tuple[Shape, ...]
) -> Iterator[Record | BadRow]:
    """The rows of one batch. `place` is that of its first row."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid as error:
        yield from _one_by_one(batch, place, reading, shapes, error)
        return
    passing = passing_columns(batch.schema, reading, shapes)
    columns = _columns(batch, reading)
    own = _is_ours(batch.schema, reading)
    for index in range(batch.num_rows):
        here = Place(place.file, place.row + index, place.offset, place.length)
        given = _given_id(columns["id"][index]) if "id" in columns else None
        if isinstance(given, Fault):
            yield arrow_bad(batch.slice(index, 1), given, here, None)
            continue
        row = {name: values[index] for name, values in columns.items()}
        stated = row.pop("origin", None)
        origin = origin_of(stated)
        metadata = row.pop("metadata", None)
        held = metadata.encode("utf-8") if origin and metadata and metadata.startswith("{") else None
        shaped = _shaped(row, reading, shapes, held)
        if isinstance(shaped, Shaped) and len(shaped.text) > reading.max_row // 4:
            content = shaped.text.encode("utf-8")
            if len(content) > reading.max_row:
                yield _long(content, here, given, reading)
                continue
        shaped = sound(shaped)
        if isinstance(shaped, Fault):
            yield arrow_bad(batch.slice(index, 1), shaped, here, given)
            continue
        document = document_of(shaped, given, (here.file, here.row), origin or reading)
        if origin is None and stated and any(value is not None for value in stated.values()):
            document = with_odd_origin(document, stated)
        if held is not None and not (own and _is_rest_null(row, shaped.exchange.shape)):
            held = None  # it does not hold everything
        yield Record(document, here, ArrowRow(batch, index, passing, shaped.exchange, held))


def _one_by_one(
    batch: pa.RecordBatch, place: Place, reading: Reading, shapes: tuple[Shape, ...], error: pa.ArrowInvalid
) -> Iterator[Record | BadRow]:
    """A batch that holds invalid bytes somewhere: only the rows that hold them are set aside."""
    for index in range(batch.num_rows):
        here = Place(place.file, place.row + index, place.offset, place.length)
        row = batch.slice(index, 1) if batch.num_rows > 1 else batch
        compact = _compacted(row)
        try:
            compact.validate(full=True)
        except pa.ArrowInvalid as caught:
            reason = "not-utf8" if "UTF8" in str(caught).upper() else "corrupt-row"
            yield arrow_bad(compact, Fault(reason, " ".join(str(caught).split())[:200]), here, None)
        else:
            yield from table_records(compact, here, reading, shapes)


def _compacted(row: pa.RecordBatch) -> pa.RecordBatch:
    """A row that no longer refers to its batch, so that it is judged alone."""
    return row.take(pa.array([0]))


def _columns(batch: pa.RecordBatch, reading: Reading) -> dict[str, list[Any]]:
    """The values of the columns that are read, under fixed names."""
    names = {"id": reading.id_key, "text": reading.text_key, **{key: key for key in INSTRUCTION_KEYS}}
    columns: dict[str, list[Any]] = {}
    for name, source in names.items():
        if source in batch.schema.names:
            column = batch.column(source)
            columns[name] = id_values(column) if name == "id" else text_values(column, f"'{source}'")
    for name in ("messages", "origin", "metadata"):
        column = batch.column(name) if name in batch.schema.names else None
        if name == "messages" and column is not None and is_chat(column.type):
            columns[name] = turn_values(column)
        elif name == "origin" and column is not None and is_origin(column.type):
            columns[name] = plain_values(column)
        elif name == "metadata" and column is not None and t.is_string(column.type) and "origin" in columns:
            columns[name] = column.to_pylist()
    return columns


def _is_ours(schema: pa.Schema, reading: Reading) -> bool:
    """Whether a table has no other columns than those that we write for rows with metadata."""
    return (reading.id_key, reading.text_key) == ("id", "text") and set(schema.names) <= OWN_COLUMNS | {"id", "origin"}


def _is_rest_null(row: dict[str, Any], shape: Shape) -> bool:
    read = CONSUMED[shape]
    return all(value is None for name, value in row.items() if name not in read and name != "id")


def _given_id(value: Any) -> str | Fault | None:
    if value is None or value == "":
        return None
    name = value if isinstance(value, str) else msgspec.json.encode(value).decode("utf-8")
    return Fault("nul", "the id holds a NUL character") if "\0" in name else name


def _shaped(row: dict[str, Any], reading: Reading, shapes: tuple[Shape, ...], metadata: bytes | None) -> Shaped | Fault:
    names = {reading.text_key if key == "text" else key: key for key in row if key != "id"}
    shape = choose_shape(names.__contains__, lambda name: name in names and row[names[name]] is not None, reading)
    shape = expected(shape, shapes)
    if isinstance(shape, Fault):
        return shape
    if shape == "chat":
        return _chat(row["messages"], metadata)
    values: list[Any] = [row.get(key) for key in CONSUMED[shape]]
    fault = next((value for value in values if isinstance(value, Fault)), None)
    if fault is not None:
        return fault
    return shape_text(values[0]) if shape == "text" else shape_instruction(values[0], values[1], values[2] or "")


def _chat(turns: list[dict[str, Any] | None], metadata: bytes | None) -> Shaped | Fault:
    for index, turn in enumerate(turns):
        if turn is None:
            continue
        fault = next((value for value in (turn["role"], turn["content"]) if isinstance(value, Fault)), None)
        if fault is not None:
            return Fault(fault.reason, fault.detail.replace("a message", f"messages[{index}]", 1))
        if not isinstance(turn["role"], str):
            return Fault("wrong-type", f"the role of messages[{index}] is null or no text, not a string")
    if metadata is not None:
        raw: list[Turn | None] = [turn and {key: json_bytes(value) for key, value in turn.items()} for turn in turns]
        messages = messages_of(whole_turns(raw, metadata))
        return messages if isinstance(messages, Fault) else shape_chat(messages)
    return shape_chat([None if turn is None else _message(turn) for turn in turns])


def _message(turn: dict[str, Any]) -> Message:
    rest = {key: value for key, value in turn.items() if key not in ("role", "content")}
    role, content = turn["role"], turn["content"]
    if isinstance(content, str):
        return Message(role, content, content, json_bytes(rest))
    if content is not None:
        rest = {"content": content, **rest}
    return Message(role, None, context_of(content), json_bytes(rest))


def _long(content: bytes, place: Place, given: str | None, reading: Reading) -> BadRow:
    head = content[:HEAD_BYTES]
    here = Place(place.file, place.row, place.offset, len(content))
    detail = f"the text has {len(content)} bytes, more than --max-row {reading.max_row}; its first {len(head)} are kept"
    return BadRow(given or derived_id(head, here.file, here.row), "too-long", detail, here, head, sha256(content))


def other_columns(row: ArrowRow, consumed: frozenset[str]) -> dict[str, bytes]:
    """The columns of one row that no shape reads, as JSON."""
    single = row.batch.slice(row.index, 1)
    others = {
        source: json_bytes(plain_values(single.column(source))[0])
        for source, _ in row.passing
        if source not in consumed
    }
    return others | extras_column(row.exchange.messages, others)


def json_bytes(value: Any) -> bytes:
    """JSON of a plain value; integers beyond 64 bits are what the standard library is for."""
    try:
        return msgspec.json.encode(value)
    except (OverflowError, UnicodeEncodeError):
        return json.dumps(value, separators=(",", ":")).encode("utf-8")
