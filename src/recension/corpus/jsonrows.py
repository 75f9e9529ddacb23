"""Rows of JSON and of plain text to records. Whatever is not read is kept as the bytes it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from recension.corpus.chats import extras_column, holds_extras, messages_of, turns_of, whole_turns
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
from recension.corpus.jsonvalues import Raw, columns_of, is_null, json_object, not_utf8, text_of
from recension.corpus.rows import (
    HEAD_BYTES,
    INSTRUCTION_KEYS,
    ArrowRow,
    BadRow,
    Fault,
    JsonRow,
    LinePart,
    Place,
    Reading,
    Record,
    RowPart,
    Shape,
    SpanPart,
)
from recension.corpus.spans import read_span
from recension.corpus.splitting import BLANK
from recension.identity import derived_id, sha256

OWN_COLUMNS = frozenset(("text", "messages", *INSTRUCTION_KEYS, "metadata"))


def rows_in(part: LinePart | SpanPart | RowPart) -> Iterator[tuple[bytes, Place]]:
    """The rows of a part of text or JSON, each with its place."""
    if isinstance(part, RowPart):
        return rows_of(part)
    return lines_of(read_span(part) if isinstance(part, SpanPart) else part)


def lines_of(part: LinePart) -> Iterator[tuple[bytes, Place]]:
    """The rows of a block of lines; blank lines count as lines and are no rows."""
    payload, label = part.payload, part.file.label
    start, row = 0, part.row
    while start < len(payload):
        end = payload.find(b"\n", start)
        end = len(payload) if end < 0 else end
        line = payload[start:end]
        if line.strip(BLANK):
            yield line, Place(label, row, part.offset + start, end - start)
        start, row = end + 1, row + 1


def rows_of(part: RowPart) -> Iterator[tuple[bytes, Place]]:
    """The rows of a part that carries their spans."""
    position = 0
    spans = memoryview(part.spans).cast("q")
    for index in range(0, len(spans), 3):
        offset, length, row = spans[index], spans[index + 1], spans[index + 2]
        yield part.payload[position : position + length], Place(part.file.label, row, offset, length)
        position += length


def raw_bad(original: bytes, fault: Fault, place: Place, given: str | None = None) -> BadRow:
    """A row set aside with its bytes, under the id it brought or one derived from what it holds and where it is."""
    name = given or derived_id(original, place.file, place.row)
    return BadRow(name, fault.reason, fault.detail, place, original, sha256(original))


def long_bad(head: bytes, digest: str, place: Place, max_row: int) -> BadRow:
    """A row over the limit: its head, its hash and its place stand for it."""
    detail = f"the row has {place.length} bytes, more than --max-row {max_row}; its first {len(head)} are kept"
    return BadRow(derived_id(head, place.file, place.row), "too-long", detail, place, head, digest)


def text_record(data: bytes, place: Place, reading: Reading, shapes: tuple[Shape, ...]) -> Record | BadRow:
    """A row of a plain text file."""
    if len(data) > reading.max_row:
        return long_bad(data[:HEAD_BYTES], sha256(data), place, reading.max_row)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return raw_bad(data, not_utf8(error), place)
    shape = expected("text", shapes)
    shaped = shape if isinstance(shape, Fault) else sound(shape_text(_unit(text, reading)))
    if isinstance(shaped, Fault):
        return raw_bad(data, shaped, place)
    document = document_of(shaped, None, (place.file, place.row), reading)
    return Record(document, place, JsonRow(data, {}, shaped.exchange))


def _unit(text: str, reading: Reading) -> str:
    return text.removesuffix("\r") if reading.text_unit == "line" else text


def json_record(line: bytes, place: Place, reading: Reading, shapes: tuple[Shape, ...]) -> Record | BadRow:
    """A row of JSON. `shapes` are those that the output has columns for."""
    if len(line) > reading.max_row:
        return long_bad(line[:HEAD_BYTES], sha256(line), place, reading.max_row)
    others = columns_of(line)
    if isinstance(others, Fault):
        return raw_bad(line, others, place)
    given = _given_id(others.pop(reading.id_key, None))
    if isinstance(given, Fault):
        return raw_bad(line, given, place)
    origin = _origin(others)
    metadata = _own_metadata(others) if origin else None
    shaped = sound(_shaped(others, reading, shapes, metadata))
    if isinstance(shaped, Fault):
        return raw_bad(line, shaped, place, given)
    document = document_of(shaped, given, (place.file, place.row), origin or reading)
    if metadata is not None and not _is_all(others):
        metadata = None
    if metadata is None and shaped.exchange.shape == "chat":
        others |= extras_column(shaped.exchange.messages, others)
    return Record(document, place, JsonRow(line, others, shaped.exchange, metadata))


def _own_metadata(others: Mapping[str, Raw]) -> bytes | None:
    """The metadata of a row that we wrote."""
    raw = others.get("metadata", b"null")
    held = text_of(raw, "'metadata'") if bytes(memoryview(raw)[:2]) == b'"{' else None
    return held.encode("utf-8") if isinstance(held, str) else None


def _is_all(others: Mapping[str, Raw]) -> bool:
    """Whether the metadata of a row that we wrote holds every column that is left."""
    rest = [key for key, raw in others.items() if not (key in OWN_COLUMNS and is_null(raw))]
    return rest == ["metadata"]


def shape_of(columns: Mapping[str, Raw], reading: Reading) -> Shape | Fault:
    return choose_shape(columns.__contains__, lambda key: key in columns and not is_null(columns[key]), reading)


def _given_id(raw: Raw | None) -> str | Fault | None:
    """The id that a row brought; None where it brought none."""
    if raw is None or is_null(raw):
        return None
    if bytes(memoryview(raw)[:1]) == b'"':
        name = text_of(raw, "the id")
    else:
        try:
            name = msgspec.json.format(bytes(raw), indent=-1).decode("utf-8")
        except msgspec.DecodeError:
            name = Fault("lone-surrogate", "the id holds half of a surrogate pair, which is no character")
    if isinstance(name, str) and "\0" in name:
        return Fault("nul", "the id holds a NUL character")
    return name or None


def _origin(others: dict[str, Raw]) -> Any:
    """Take the origin out of the columns where it is in our form."""
    raw = others.get("origin")
    if raw is None or bytes(memoryview(raw)[:1]) != b"{":
        return None
    try:
        origin = origin_of(msgspec.json.decode(raw))
    except msgspec.DecodeError:
        return None
    if origin:
        del others["origin"]
    return origin


def _shaped(
    others: dict[str, Raw], reading: Reading, shapes: tuple[Shape, ...], metadata: bytes | None
) -> Shaped | Fault:
    """Take the text columns out of the columns and make a text of them."""
    shape = expected(shape_of(others, reading), shapes)
    if isinstance(shape, Fault):
        return shape
    if shape == "text":
        text = text_of(others.pop(reading.text_key), f"'{reading.text_key}'")
        return text if isinstance(text, Fault) else shape_text(text)
    if shape == "chat":
        turns = turns_of(others.pop("messages"))
        if isinstance(turns, Fault):
            return turns
        messages = messages_of(turns if metadata is None else whole_turns(turns, metadata))
        return messages if isinstance(messages, Fault) else shape_chat(messages)
    values: list[str | None] = []
    for key in INSTRUCTION_KEYS:
        raw = others.pop(key, None)
        value = None if raw is None or is_null(raw) else text_of(raw, f"'{key}'")
        if isinstance(value, Fault):
            return value
        values.append(value)
    return shape_instruction(values[0], values[1], values[2] or "")


def metadata_of(carried: JsonRow | ArrowRow, others: Mapping[str, Raw]) -> bytes:
    """Every other column as one JSON object. A row whose only other column is `metadata` keeps exactly that."""
    if carried.metadata is not None and isinstance(columns_of(carried.metadata), dict):
        return carried.metadata
    if len(others) == 1 and "metadata" in others:
        raw = bytes(others["metadata"])
        held = text_of(raw, "'metadata'") if raw.startswith(b'"') else Fault("", "")
        only = held.encode("utf-8") if isinstance(held, str) else raw
        if isinstance(columns_of(only), dict) and not (carried.exchange.shape == "chat" and holds_extras(only)):
            return only
    return json_object(others)
