"""Rows of JSON and text to records. Whatever is not read is kept as the bytes it was."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from json.decoder import scanstring
from typing import TypeAlias

import msgspec

from recension.corpus.exchanges import exchange_text, fault_in, make_document
from recension.corpus.rows import (
    HEAD_BYTES,
    INSTRUCTION_KEYS,
    BadRow,
    Exchange,
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
from recension.document import KINDS, Origin
from recension.identity import derived_id, sha256

Raw: TypeAlias = "msgspec.Raw | bytes"

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_string = msgspec.json.Decoder(str)
_messages = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_origin_keys = {"kind", "root", "parent", "method", "run", "generation"}


def lines_of(part: LinePart) -> Iterator[tuple[bytes, Place]]:
    """The rows of a block of lines; blank lines count as lines and are no rows."""
    payload, label = part.payload, part.file.label
    start, row = 0, part.row
    while start < len(payload):
        end = payload.find(b"\n", start)
        end = len(payload) if end < 0 else end
        line = payload[start:end]
        if line and not line.isspace():
            yield line, Place(label, row, part.offset + start, end - start)
        start, row = end + 1, row + 1


def rows_of(part: RowPart) -> Iterator[tuple[bytes, Place]]:
    position = 0
    spans = memoryview(part.spans).cast("q")
    for index in range(0, len(spans), 3):
        offset, length, row = spans[index : index + 3]
        yield part.payload[position : position + length], Place(part.file.label, row, offset, length)
        position += length


def bad_row(original: bytes, fault: Fault, place: Place, given: str | None = None) -> BadRow:
    """A row set aside under the id it brought, or one derived from what it holds and where it stands."""
    name = given if given else derived_id(original, place.file, place.row)
    return BadRow(name, fault.reason, fault.detail, place, original[:HEAD_BYTES], sha256(original))


def whole_bad_row(original: bytes, fault: Fault, place: Place, given: str | None = None) -> BadRow:
    name = given if given else derived_id(original, place.file, place.row)
    return BadRow(name, fault.reason, fault.detail, place, original, sha256(original))


def too_long(length: int, max_row: int) -> Fault:
    return Fault("too-long", f"the row has {length} bytes, more than --max-row {max_row}")


def text_record(data: bytes, place: Place, reading: Reading) -> Record | BadRow:
    """A row of a plain text file."""
    if len(data) > reading.max_row:
        fault = too_long(len(data), reading.max_row)
        head = data[:HEAD_BYTES]
        return BadRow(derived_id(head, place.file, place.row), fault.reason, fault.detail, place, head, sha256(data))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return whole_bad_row(data, _not_utf8(error), place)
    if reading.text_unit == "line":
        text = text.removesuffix("\r")
    exchange = Exchange("text")
    fault_or_none = fault_in(text, exchange)
    if fault_or_none:
        return whole_bad_row(data, fault_or_none, place)
    name = derived_id(data, place.file, place.row)
    return Record(make_document(name, False, text, exchange, (None, reading.origin)), place, JsonRow(data, {}, exchange))
