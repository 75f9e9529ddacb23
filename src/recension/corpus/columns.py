"""The value of a column that a document does not hold, by name or by path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from recension.corpus.rows import JsonRow, Record

_MISSING: Any = object()


def column_value(record: Record, name: str) -> Any:
    """What stands in a column, `meta.set` meaning `set` in `meta`; None where there is nothing.

    Columns whose text is a JSON object are looked into, and so is the metadata of rows that we wrote.
    """
    value = _column(record, name)
    head, _, rest = name.partition(".")
    if value is _MISSING and rest:
        value = _inside(_column(record, head), rest)
    if value is _MISSING and record.carried.metadata is not None:
        value = _inside(record.carried.metadata.decode("utf-8"), name)
    return None if value is _MISSING else value


def _column(record: Record, name: str) -> Any:
    carried = record.carried
    if isinstance(carried, JsonRow):
        try:
            return msgspec.json.decode(bytes(carried.others[name])) if name in carried.others else _MISSING
        except msgspec.DecodeError:  # half of a surrogate pair, or a number that is none: kept as it was, and no value
            return _MISSING
    at = carried.batch.schema.get_field_index(name)
    return carried.batch.column(at)[carried.index].as_py() if at >= 0 else _MISSING


def _inside(value: Any, path: str) -> Any:
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return _MISSING
    if not isinstance(value, Mapping):
        return _MISSING
    if path in value:
        return value[path]
    head, _, rest = path.partition(".")
    return _inside(value.get(head), rest) if rest else _MISSING
