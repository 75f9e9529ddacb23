"""JSON taken apart into columns, each of them the bytes that it was, and put together again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import NoReturn, TypeAlias

import msgspec

from recension.corpus.rows import Fault
from recension.corpus.splitting import BLANK

Raw: TypeAlias = "msgspec.Raw | bytes"

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_string = msgspec.json.Decoder(str)
_TYPES = {b'"': "a string", b"{": "an object", b"[": "a list", b"t": "true", b"f": "false", b"n": "null"}


def columns_of(line: bytes) -> dict[str, Raw] | Fault:
    """The columns of a JSON object, each as its own bytes."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return not_utf8(error)
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
            raise _Refused("not-an-object", f"the row is {type_of(text.strip().encode())}, not an object")
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


def is_null(raw: Raw) -> bool:
    return len(memoryview(raw)) == 4 and bytes(raw) == b"null"


def type_of(raw: bytes) -> str:
    return _TYPES.get(raw[:1], "a number")


def not_utf8(error: UnicodeDecodeError) -> Fault:
    return Fault("not-utf8", f"the row is not UTF-8: {error.reason} at byte {error.start}")


def text_of(raw: Raw, what: str) -> str | Fault:
    try:
        return _string.decode(raw)
    except msgspec.ValidationError:
        return Fault("wrong-type", f"{what} is {type_of(bytes(raw))}, not a string")
    except msgspec.DecodeError:  # the row itself is sound, so this is all it can be
        return Fault("lone-surrogate", f"{what} holds half of a surrogate pair, which is no character")


def json_object(columns: Mapping[str, Raw]) -> bytes:
    """A JSON object of columns that are JSON already."""
    return b"{" + b",".join([_key(key) + b":" + bytes(raw) for key, raw in columns.items()]) + b"}"


def _key(key: str) -> bytes:
    try:
        return msgspec.json.encode(key)
    except UnicodeEncodeError:
        return json.dumps(key).encode("ascii")
