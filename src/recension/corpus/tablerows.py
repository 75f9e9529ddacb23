"""Rows of tables to records. Columns that are not read stay in their batch, with their type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.types as t

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
)
from recension.corpus.jsonrows import context_of
from recension.corpus.plain import plain_values
from recension.corpus.rows import (
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


def is_chat(kind: Any) -> bool:
    """Whether a column holds lists of messages."""
    if not (t.is_list(kind) or t.is_large_list(kind)) or not t.is_struct(kind.value_type):
        return False
    turn = kind.value_type
    return {"role", "content"} <= {turn.field(index).name for index in range(turn.num_fields)}


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
    return tuple(shape for shape in known if reading.shape in ("auto", "mixed", shape))


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
    for index in range(batch.num_rows):
        here = Place(place.file, place.row + index, place.offset, place.length)
        given = _given_id(columns["id"][index]) if "id" in columns else None
        if isinstance(given, Fault):
            yield arrow_bad(batch.slice(index, 1), given, here, None)
            continue
        shaped = _shaped({name: values[index] for name, values in columns.items()}, reading, shapes)
        if isinstance(shaped, Shaped) and len(shaped.text) > reading.max_row // 4:
            content = shaped.text.encode("utf-8")
            if len(content) > reading.max_row:
                yield _long(content, here, given, reading)
                continue
        shaped = sound(shaped)
        if isinstance(shaped, Fault):
            yield arrow_bad(batch.slice(index, 1), shaped, here, given)
            continue
        stated = columns["origin"][index] if "origin" in columns else None
        origin = origin_of(stated)
        if origin is None and stated and any(value is not None for value in stated.values()):
            yield arrow_bad(batch.slice(index, 1), Fault("wrong-type", "the origin is none that we know"), here, given)
            continue
        document = document_of(shaped, given, (here.file, here.row), origin or reading)
        yield Record(document, here, ArrowRow(batch, index, passing, shaped.exchange))


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
    names = {"id": reading.id_key, "text": reading.text_key, "messages": "messages", "origin": "origin"}
    columns: dict[str, list[Any]] = {}
    for name, source in (names | {key: key for key in INSTRUCTION_KEYS}).items():
        if source not in batch.schema.names:
            continue
        column = batch.column(source)
        if name == "messages" and not is_chat(column.type):
            continue
        if name == "origin" and not is_origin(column.type):
            continue
        columns[name] = column.to_pylist() if _is_text(column.type) else plain_values(column)
    return columns


def _is_text(kind: Any) -> bool:
    return bool(t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind))


def _given_id(value: Any) -> str | Fault | None:
    if value is None or value == "":
        return None
    name = value if isinstance(value, str) else msgspec.json.encode(value).decode("utf-8")
    return Fault("nul", "the id holds a NUL character") if "\0" in name else name


def _shaped(row: dict[str, Any], reading: Reading, shapes: tuple[Shape, ...]) -> Shaped | Fault:
    text = row.pop("text", None)
    held = {key for key, value in row.items() if value is not None}
    if text is not None:
        held.add(reading.text_key)
    shape = expected(choose_shape(held.__contains__, reading), shapes)
    if isinstance(shape, Fault):
        return shape
    if shape == "text":
        return shape_text(text) if isinstance(text, str) else _wrong(text, f"'{reading.text_key}'")
    if shape == "chat":
        return _chat(row["messages"])
    values = [row.get(key) for key in INSTRUCTION_KEYS]
    for key, value in zip(INSTRUCTION_KEYS, values, strict=True):
        if value is not None and not isinstance(value, str):
            return _wrong(value, f"'{key}'")
    return shape_instruction(values[0] or "", values[1], values[2] or "")


def _chat(turns: list[Any]) -> Shaped | Fault:
    messages: list[Message] = []
    for index, turn in enumerate(turns):
        if not isinstance(turn, dict):
            return _wrong(turn, f"messages[{index}]")
        rest = {key: value for key, value in turn.items() if key not in ("role", "content")}
        role, content = turn["role"], turn["content"]
        if not isinstance(role, str):
            return _wrong(role, f"the role of messages[{index}]")
        if isinstance(content, str):
            messages.append(Message(role, content, content, msgspec.json.encode(rest)))
            continue
        if content is not None:
            rest = {"content": content, **rest}
        messages.append(Message(role, None, context_of(content), msgspec.json.encode(rest)))
    return shape_chat(messages)


def _wrong(value: Any, what: str) -> Fault:
    names = {bool: "a truth value", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return Fault("wrong-type", f"{what} is {names.get(type(value), 'null')}, not a string")


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
    extras = [message.extra for message in row.exchange.messages]
    if any(extra != b"{}" for extra in extras):
        name = "messages_extra"
        while name in others:
            name += "_"
        others[name] = b"[" + b",".join(extras) + b"]"
    return others


def json_bytes(value: Any) -> bytes:
    """JSON of a plain value; integers beyond 64 bits are what the standard library is for."""
    try:
        return msgspec.json.encode(value)
    except (OverflowError, UnicodeEncodeError):
        return json.dumps(value, separators=(",", ":")).encode("utf-8")
