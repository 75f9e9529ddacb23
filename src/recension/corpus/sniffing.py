"""A look at the beginning of the files, to fix the columns of the output before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pyarrow as pa

from recension.corpus.jsonrows import lines_of, shape_of
from recension.corpus.jsonvalues import columns_of
from recension.corpus.layout import Layout, columns_layout, metadata_layout
from recension.corpus.rows import SHAPES, Fault, LinePart, Reading, Shape, SourceFile
from recension.corpus.splitting import PEEK, Lines, Row, Splitter, splitter_for
from recension.corpus.streams import Stream
from recension.corpus.tablerows import shapes_in
from recension.corpus.tables import UNREADABLE, is_system_error, read_schema
from recension.errors import InputError

SNIFFED_FILES = 64
SNIFFED_ROWS = 1000
SEEN_FILES = 8
SEEN_ROWS = 100
SEEN_NAMES = 40


def decide_layout(files: Sequence[SourceFile], reading: Reading) -> Layout:
    """The layout for these files. Tables are known by their schemas, all of them; other files by their first rows."""
    tables = [file for file in files if file.format in ("parquet", "arrow")]
    schemas = _schemas(tables)
    seen: set[Shape] = {shape for schema in schemas for shape in shapes_in(schema, reading)}
    others = [file for file in files if file.format not in ("parquet", "arrow")]
    for file in () if reading.shapes else others[:SNIFFED_FILES]:
        seen |= _shapes_at_start(file, reading)
    if reading.shapes:
        shapes = reading.shapes
    elif reading.shape == "mixed":
        shapes = SHAPES if not tables or others else tuple(shape for shape in SHAPES if shape in seen)
    elif reading.shape == "auto":
        shapes = tuple(shape for shape in SHAPES if shape in seen)
    else:
        shapes = (reading.shape,)
    shapes = shapes or ("text",)
    layout = columns_layout(shapes, schemas, reading) if schemas and not others else None
    return layout or metadata_layout(shapes)


def _schemas(tables: Sequence[SourceFile]) -> list[pa.Schema]:
    threads = 16 if any(not file.local for file in tables) else 1
    with ThreadPoolExecutor(threads) as pool:
        return [schema for schema in pool.map(_schema, tables) if schema is not None]


def _schema(file: SourceFile) -> pa.Schema | None:
    try:
        schema = read_schema(file)
    except UNREADABLE as error:
        if is_system_error(error):
            raise InputError(f"cannot read {file.where}: {error}; check it and run again") from error
        return None  # a broken file is a bad row later, and has no say here
    return schema


def columns_seen(files: Sequence[SourceFile], reading: Reading) -> tuple[str, ...]:
    """The names of columns at the beginning of the first files, to say what there is where nothing could be read."""
    names: dict[str, None] = {}
    for file in files[:SEEN_FILES]:
        if file.format in ("parquet", "arrow"):
            schema = _schema(file)
            found = schema.names if schema is not None else []
        else:
            rows = (columns_of(row) for row in _first_rows(file, reading)[:SEEN_ROWS])
            found = [name for columns in rows if isinstance(columns, dict) for name in columns]
        names.update(dict.fromkeys(found))
    return tuple(name.encode("utf-8", "backslashreplace").decode("utf-8")[:80] for name in list(names)[:SEEN_NAMES])


def _shapes_at_start(file: SourceFile, reading: Reading) -> set[Shape]:
    if file.format.startswith("txt"):
        return {"text"}
    found: set[Shape] = set()
    for row in _first_rows(file, reading):
        columns = columns_of(row)
        shape = None if isinstance(columns, Fault) else shape_of(columns, reading)
        if shape is not None and not isinstance(shape, Fault):
            found.add(shape)
    return found


def _first_rows(file: SourceFile, reading: Reading) -> list[bytes]:
    rows: list[bytes] = []
    if file.format.startswith("txt"):
        return rows
    size = 0
    splitter: Splitter | None = None
    for chunk in Stream(file):
        start = 0
        if splitter is None:
            splitter, start = splitter_for(file.format, chunk, reading)
        for cut in splitter.feed(chunk[start:]):
            if isinstance(cut, Lines):
                lines = lines_of(LinePart(file, cut.data, 0, 0))
                rows += [line for line, _ in islice(lines, SNIFFED_ROWS)]
            elif isinstance(cut, Row):
                rows.append(cut.data)
        size += len(chunk)
        if rows or size >= 64 * PEEK:  # a first row of many megabytes is still looked for
            break
    else:
        rows += [cut.data for cut in (splitter.finish() if splitter else ()) if isinstance(cut, Lines | Row)]
    return rows[:SNIFFED_ROWS]
