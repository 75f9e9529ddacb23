"""Rows of JSON and of plain text to records. Whatever is not read is kept as the bytes it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, NoReturn, TypeAlias

import msgspec

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
from recension.corpus.rows import (
    HEAD_BYTES,
    INSTRUCTION_KEYS,
    BadRow,
    Fault,
    JsonRow,
    LinePart,
    Message,
    Place,
    Reading,
    Record,
    RowPart,
    Shape,
)
from recension.corpus.splitting import BLANK
from recension.identity import derived_id, sha256

Raw: TypeAlias = "msgspec.Raw | bytes"

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_string = msgspec.json.Decoder(str)
_messages = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_TYPES = {b'"': "a string", b"{": "an object", b"[": "a list", b"t": "true", b"f": "false", b"n": "null"}


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


def text_record(data: bytes, place: Place, reading: Reading) -> Record | BadRow:
    """A row of a plain text file."""
    if len(data) > reading.max_row:
        return long_bad(data[:HEAD_BYTES], sha256(data), place, reading.max_row)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return raw_bad(data, _not_utf8(error), place)
    shaped = sound(shape_text(text.removesuffix("\r") if reading.text_unit == "line" else text))
    if isinstance(shaped, Fault):
        return raw_bad(data, shaped, place)
    document = document_of(shaped, None, (place.file, place.row), reading)
    return Record(document, place, JsonRow(data, {}, shaped.exchange))


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
    shaped = sound(_shaped(others, reading, shapes))
    if isinstance(shaped, Fault):
        return raw_bad(line, shaped, place, given)
    origin = _origin(others)
    document = document_of(shaped, given, (place.file, place.row), origin or reading)
    return Record(document, place, JsonRow(line, others, shaped.exchange))


def shape_of(columns: Mapping[str, Raw], reading: Reading) -> Shape | Fault:
    return choose_shape(lambda key: key in columns and not _is_null(columns[key]), reading)


def columns_of(line: bytes) -> dict[str, Raw] | Fault:
    """The columns of a JSON object, each as its own bytes."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return _not_utf8(error)
    try:
        columns: dict[str, Raw] = dict(_object.decode(line))
    except msgspec.DecodeError:
        return _scan(text)
    except RecursionError:
        return Fault("not-json", "the row is nested too deeply")
    # A key that stands twice would lose its first value without a word. Rows in one of the two usual spellings are
    # recognised by spelling them again; the others are scanned.
    bare = line.strip(BLANK)
    first = next(iter(columns), "")
    colon, comma = (
        (b'": ', b', "') if bare[len(first.encode()) + 4 : len(first.encode()) + 5] == b" " else (b'":', b',"')
    )
    spelled = b'{"' + comma.join([key.encode() + colon + bytes(raw) for key, raw in columns.items()]) + b"}"
    return columns if spelled == bare else _scan(text)


def _scan(text: str) -> dict[str, Raw] | Fault:
    """The same, slowly and with everything that JSON allows: lone surrogates outside the text stay as they are."""
    columns: dict[str, Raw] = {}
    try:
        position = _skip(text, 0)
        is_object = text[position : position + 1] == "{"
        if is_object:
            position = _scan_members(text, position + 1, columns)
        else:
            _, position = _values.raw_decode(text, position)
        position = _skip(text, position)
        if position < len(text):
            raise _Refused("not-json", f"the row is not JSON: more follows at character {position}")
        if not is_object:
            raise _Refused("not-an-object", f"the row is {_type_of(text.strip().encode())}, not an object")
    except _Refused as refused:
        return Fault(refused.reason, str(refused))
    except json.JSONDecodeError as error:
        return Fault("not-json", f"the row is not JSON: {error.msg} at character {error.pos}")
    except RecursionError:
        return Fault("not-json", "the row is nested too deeply")
    return columns


def _scan_members(text: str, position: int, columns: dict[str, Raw]) -> int:
    position = _skip(text, position)
    if text[position : position + 1] == "}":
        return position + 1
    while True:
        if text[position : position + 1] != '"':
            raise json.JSONDecodeError("a key was expected", text, position)
        key, position = scanstring(text, position + 1, True)
        position = _skip(text, position)
        if text[position : position + 1] != ":":
            raise json.JSONDecodeError("a colon was expected", text, position)
        start = _skip(text, position + 1)
        _, position = _values.raw_decode(text, start)
        if key in columns:
            raise _Refused("duplicate-key", f"the key {json.dumps(key)} stands twice in the row")
        columns[key] = text[start:position].encode("utf-8")
        position = _skip(text, position)
        mark = text[position : position + 1]
        position += 1
        if mark == "}":
            return position
        if mark != ",":
            raise json.JSONDecodeError("a comma or a closing brace was expected", text, position - 1)
        position = _skip(text, position)


class _Refused(ValueError):  # noqa: N818 - never leaves this module
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _refuse_constant(name: str) -> NoReturn:
    raise _Refused("not-json", f"the row holds {name}, which JSON has no number for")


_values = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=str, parse_float=str)


def _skip(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\t", "\r", "\n"):
        position += 1
    return position


def _is_null(raw: Raw) -> bool:
    return len(memoryview(raw)) == 4 and bytes(raw) == b"null"


def _type_of(raw: bytes) -> str:
    return _TYPES.get(raw[:1], "a number")


def _not_utf8(error: UnicodeDecodeError) -> Fault:
    return Fault("not-utf8", f"the row is not UTF-8: {error.reason} at byte {error.start}")


def _text(raw: Raw, what: str) -> str | Fault:
    try:
        return _string.decode(raw)
    except msgspec.ValidationError:
        return Fault("wrong-type", f"{what} is {_type_of(bytes(raw))}, not a string")
    except msgspec.DecodeError:  # the row itself is sound, so this is all it can be
        return Fault("lone-surrogate", f"{what} holds half of a surrogate pair, which is no character")


def _given_id(raw: Raw | None) -> str | Fault | None:
    """The id that a row brought; None where it brought none."""
    if raw is None or _is_null(raw):
        return None
    if bytes(memoryview(raw)[:1]) == b'"':
        name = _text(raw, "the id")
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


def _shaped(others: dict[str, Raw], reading: Reading, shapes: tuple[Shape, ...]) -> Shaped | Fault:
    """Take the text columns out of the columns and make a text of them."""
    shape = expected(shape_of(others, reading), shapes)
    if isinstance(shape, Fault):
        return shape
    if shape == "text":
        text = _text(others.pop(reading.text_key), f"'{reading.text_key}'")
        return text if isinstance(text, Fault) else shape_text(text)
    if shape == "chat":
        return _chat(others)
    values: list[str | None] = []
    for key in INSTRUCTION_KEYS:
        raw = others.pop(key, None)
        value = None if raw is None or _is_null(raw) else _text(raw, f"'{key}'")
        if isinstance(value, Fault):
            return value
        values.append(value)
    return shape_instruction(values[0] or "", values[1], values[2] or "")


def _chat(others: dict[str, Raw]) -> Shaped | Fault:
    try:
        turns = _messages.decode(others.pop("messages"))
    except msgspec.ValidationError:
        return Fault("wrong-type", "'messages' is not a list of objects")
    except msgspec.DecodeError:
        return Fault("lone-surrogate", "'messages' holds half of a surrogate pair, which is no character")
    messages: list[Message] = []
    for index, turn in enumerate(turns):
        role = _text(turn.pop("role", msgspec.Raw(b"null")), f"the role of messages[{index}]")
        if isinstance(role, Fault):
            return role
        message = _message(role, dict(turn), index)
        if isinstance(message, Fault):
            return message
        messages.append(message)
    if any(message.extra != b"{}" for message in messages):
        name = "messages_extra"
        while name in others:
            name += "_"
        others[name] = b"[" + b",".join(message.extra for message in messages) + b"]"
    return shape_chat(messages)


def _message(role: str, rest: dict[str, Raw], index: int) -> Message | Fault:
    raw = rest.pop("content", b"null")
    if _is_null(raw):
        return Message(role, None, "", json_object(rest))
    if bytes(memoryview(raw)[:1]) == b'"':
        content = _text(raw, f"the content of messages[{index}]")
        return content if isinstance(content, Fault) else Message(role, content, content, json_object(rest))
    try:
        context = context_of(msgspec.json.decode(raw))
    except msgspec.DecodeError:
        return Fault("lone-surrogate", f"messages[{index}] holds half of a surrogate pair, which is no character")
    return Message(role, None, context, json_object({"content": raw, **rest}))


def context_of(content: Any) -> str:
    """The text parts of a content that is a list of parts."""
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return "\n".join(text for text in texts if isinstance(text, str))


def json_object(columns: Mapping[str, Raw]) -> bytes:
    """A JSON object of columns that are JSON already."""
    return b"{" + b",".join([_key(key) + b":" + bytes(raw) for key, raw in columns.items()]) + b"}"


def _key(key: str) -> bytes:
    try:
        return msgspec.json.encode(key)
    except UnicodeEncodeError:
        return json.dumps(key).encode("ascii")


def metadata_of(others: Mapping[str, Raw]) -> bytes:
    """Every other column as one JSON object. A row whose only other column is `metadata` keeps exactly that."""
    if len(others) == 1 and "metadata" in others:
        raw = bytes(others["metadata"])
        if raw.startswith(b"{"):
            return raw
        if raw.startswith(b'"'):
            held = _text(raw, "'metadata'")
            if isinstance(held, str) and isinstance(columns_of(held.encode("utf-8")), dict):
                return held.encode("utf-8")
    return json_object(others)
