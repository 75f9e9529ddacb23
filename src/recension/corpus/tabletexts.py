"""Columns of tables that are read as texts: strings and UTF-8 bytes are, anything else says what it is instead."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.types as t

from recension.corpus.plain import in_lists, is_bytes, is_list, plain_values
from recension.corpus.rows import Fault


def is_text(kind: Any) -> bool:
    return bool(t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind))


def is_chat(kind: Any) -> bool:
    """Whether a column holds lists of messages."""
    if not is_list(kind) or not t.is_struct(kind.value_type):
        return False
    turn = kind.value_type
    return {"role", "content"} <= {turn.field(index).name for index in range(turn.num_fields)}


def text_values(array: Any, what: str) -> list[str | Fault | None]:
    """The texts of a column."""
    array, kind = _bare(array)
    if is_text(kind):
        return list(array.to_pylist())
    if is_bytes(kind):
        return [None if value is None else _decoded(value, what) for value in array.to_pylist()]
    fault = Fault("wrong-type", f"{what} is {_named(kind)}, not a string")
    return [fault if valid else None for valid in array.is_valid().to_pylist()]


def id_values(array: Any) -> list[Any]:
    """The ids of a column: bytes that are no text are spelled in hexadecimal digits."""
    bare, kind = _bare(array)
    if not is_bytes(kind):
        return list(bare.to_pylist()) if is_text(kind) else plain_values(array)
    values = bare.to_pylist()
    texts = [None if value is None else _decoded(value, "the id") for value in values]
    return [value.hex() if isinstance(text, Fault) else text for text, value in zip(texts, values, strict=True)]


def turn_values(column: Any) -> list[list[dict[str, Any] | None] | None]:
    """The messages of a column. A role or a content that is no text and could be taken for one is a fault."""
    turns = column.flatten()
    kind = turns.type
    children: dict[str, list[Any]] = {}
    for index, child in enumerate(turns.flatten()):
        name = kind.field(index).name
        if name in ("role", "content") and not _is_other(child):
            children[name] = text_values(child, f"the {name} of a message")
        else:
            children[name] = plain_values(child)
    rows = [dict(zip(children, row, strict=True)) for row in zip(*children.values(), strict=True)]
    valid = turns.is_valid().to_pylist()
    return in_lists(column, [row if ok else None for row, ok in zip(rows, valid, strict=True)])


def _is_other(array: Any) -> bool:
    """Whether the plain values of an array are never strings."""
    _, kind = _bare(array)
    return bool(is_list(kind) or t.is_struct(kind) or t.is_map(kind) or t.is_integer(kind) or t.is_boolean(kind))


def _bare(array: Any) -> tuple[Any, Any]:
    """An array without what is only a way to store or to name it."""
    while isinstance(array, pa.ExtensionArray) or t.is_dictionary(array.type):
        array = array.storage if isinstance(array, pa.ExtensionArray) else array.dictionary_decode()
    return array, array.type


def _decoded(value: bytes, what: str) -> str | Fault:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        return Fault("not-utf8", f"{what} is not UTF-8: {error.reason} at byte {error.start}")


def _named(kind: Any) -> str:
    names = {
        t.is_boolean: "a truth value",
        t.is_integer: "a number",
        t.is_floating: "a number",
        is_list: "a list",
        t.is_struct: "an object",
    }
    return next((name for test, name in names.items() if test(kind)), str(kind))
