"""Arrow values as JSON values and back, without a type losing what it says."""

from __future__ import annotations

import base64
import math
from typing import Any

import pyarrow as pa
import pyarrow.types as t


def plain_values(array: Any) -> list[Any]:  # noqa: PLR0911 - a switch over types
    """Values that JSON can say. Bytes become base64, times, decimals and numbers that JSON lacks become strings."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return plain_values(array.storage)
    if t.is_dictionary(kind):
        return plain_values(array.dictionary_decode())
    if t.is_struct(kind):
        children = [plain_values(child) for child in array.flatten()]
        names = [kind.field(index).name for index in range(kind.num_fields)]
        valid = array.is_valid().to_pylist()
        rows = zip(*children, strict=True) if children else [()] * len(array)
        return [dict(zip(names, row, strict=True)) if ok else None for row, ok in zip(rows, valid, strict=True)]
    if t.is_map(kind):
        pairs = pa.struct([pa.field("key", kind.key_type), pa.field("value", kind.item_type)])
        return _in_lists(array.cast(pa.list_(pairs)))
    if is_list(kind):
        return _in_lists(array)
    if is_bytes(kind):
        return [None if value is None else base64.b64encode(value).decode("ascii") for value in array.to_pylist()]
    if t.is_duration(kind):
        return list(array.cast(pa.int64()).to_pylist())
    if t.is_temporal(kind) or t.is_decimal(kind):
        return list(array.cast(pa.string()).to_pylist())
    values: list[Any] = array.to_pylist()
    if t.is_floating(kind):
        return [_number(float(value)) if value is not None else None for value in values]
    return values


def arrow_values(values: list[Any], kind: Any) -> Any:  # noqa: PLR0911 - a switch over types
    """The inverse of `plain_values`: an array of the type `kind`."""
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, arrow_values(values, kind.storage_type))
    if t.is_dictionary(kind):
        return arrow_values(values, kind.value_type).cast(kind)
    absent = [value is None for value in values]
    if t.is_struct(kind):
        fields = [kind.field(index) for index in range(kind.num_fields)]
        children = [arrow_values([value.get(f.name) if value else None for value in values], f.type) for f in fields]
        return pa.StructArray.from_arrays(children, fields=fields, mask=pa.array(absent, pa.bool_()))
    if t.is_map(kind):
        return _map_array(values, absent, kind)
    if is_list(kind):
        return _list_array(values, absent, kind)
    if is_bytes(kind):
        return pa.array([None if value is None else base64.b64decode(value) for value in values], kind)
    if t.is_duration(kind):
        return pa.array(values, pa.int64()).cast(kind)
    if t.is_time(kind):
        return pa.array([None if value is None else _ticks(value, kind.unit) for value in values], kind)
    if t.is_temporal(kind) or t.is_decimal(kind):
        return pa.array(values, pa.string()).cast(kind)
    if t.is_floating(kind):
        return pa.array([None if value is None else float(value) for value in values], pa.float64()).cast(kind)
    return pa.array(values, kind)


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def is_bytes(kind: Any) -> bool:
    return bool(t.is_binary(kind) or t.is_large_binary(kind) or t.is_fixed_size_binary(kind) or t.is_binary_view(kind))


def is_list(kind: Any) -> bool:
    return bool(t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind))


def _in_lists(array: Any) -> list[Any]:
    return in_lists(array, plain_values(array.flatten()))


def in_lists(array: Any, flat: list[Any]) -> list[Any]:
    """The flattened values of an array of lists, in their lists again."""
    if t.is_fixed_size_list(array.type):
        lengths = [array.type.list_size if ok else None for ok in array.is_valid().to_pylist()]
    else:
        lengths = array.value_lengths().to_pylist()
    rows: list[Any] = []
    start = 0
    for length in lengths:
        rows.append(None if length is None else flat[start : start + length])
        start += length or 0
    return rows


def _list_array(values: list[Any], absent: list[bool], kind: Any) -> Any:
    mask = pa.array(absent, pa.bool_())
    if t.is_fixed_size_list(kind):
        filled = [[None] * kind.list_size if value is None else value for value in values]
        child = arrow_values([item for value in filled for item in value], kind.value_type)
        return pa.FixedSizeListArray.from_arrays(child, type=kind, mask=mask)
    ends = [0]
    for value in values:
        ends.append(ends[-1] + len(value or ()))
    child = arrow_values([item for value in values if value is not None for item in value], kind.value_type)
    large = t.is_large_list(kind)
    offsets = pa.array(ends, pa.int64() if large else pa.int32())
    build = pa.LargeListArray if large else pa.ListArray
    return build.from_arrays(offsets, child, type=kind, mask=mask)


def _map_array(values: list[Any], absent: list[bool], kind: Any) -> Any:
    pairs = [pair for value in values for pair in value or ()]
    ends: list[int | None] = [0]
    for value in values:
        ends.append((ends[-1] or 0) + len(value or ()))
    for index, missing in enumerate(absent):
        ends[index] = None if missing else ends[index]
    keys = arrow_values([pair["key"] for pair in pairs], kind.key_type)
    items = arrow_values([pair["value"] for pair in pairs], kind.item_type)
    return pa.MapArray.from_arrays(pa.array(ends, pa.int32()), keys, items, type=kind)


_TICKS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def _ticks(text: str, unit: str) -> int:
    """A time of day such as 12:30:01.5 in its unit."""
    hours, minutes, seconds = text.split(":")
    whole, _, part = seconds.partition(".")
    digits = _TICKS[unit]
    return (int(hours) * 3600 + int(minutes) * 60 + int(whole)) * int(10**digits) + int(part.ljust(digits, "0") or "0")
