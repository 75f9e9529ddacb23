"""Rows of JSON lines as the objects they are, for files that are no corpus: questions with their answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from recension.corpus.jsonrows import long_bad, raw_bad, rows_in
from recension.corpus.jsonvalues import columns_of
from recension.corpus.pieces import open_corpus
from recension.corpus.rows import HEAD_BYTES, BadPart, BadRow, Fault, Place, Reading, SourceFile, TablePart
from recension.document import JSON
from recension.errors import InputError
from recension.identity import sha256

ONE_PIECE = 1 << 40


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """One row: where it stands, its bytes, and what they say."""

    place: Place
    line: bytes
    values: Mapping[str, JSON]

    def aside(self, reason: str, detail: str) -> BadRow:
        """The row set aside after all."""
        return raw_bad(self.line, Fault(reason, detail), self.place)


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """A file of such rows, all of it."""

    file: SourceFile
    sha256: str
    rows: tuple[ObjectRow | BadRow, ...]


def read_objects(path: str) -> ObjectFile:
    """Read one file of JSON lines, which may be compressed. It is held in memory: questions are few."""
    corpus = open_corpus([path], Reading(shapes=("text",)))
    if len(corpus.files) != 1:
        raise InputError(f"{path} holds {len(corpus.files)} files: name one file of JSON lines")
    [file] = corpus.files
    if not file.format.startswith("json"):
        raise InputError(f"{path} is {file.format}: questions are read from JSON lines (.jsonl, .jsonl.gz, .jsonl.zst)")
    rows: list[ObjectRow | BadRow] = []
    for piece in corpus.pieces(ONE_PIECE):
        for part in piece.parts:
            if isinstance(part, BadPart):
                rows.append(part.bad)
            elif not isinstance(part, TablePart):
                rows.extend(_objects(rows_in(part), corpus.reading.max_row))
    return ObjectFile(file, corpus.digests[file.label], tuple(rows))


def _objects(found: Iterator[tuple[bytes, Place]], longest: int) -> Iterator[ObjectRow | BadRow]:
    for line, place in found:
        if len(line) > longest:
            yield long_bad(line[:HEAD_BYTES], sha256(line), place, longest)
            continue
        columns = columns_of(line)
        if isinstance(columns, Fault):
            yield raw_bad(line, columns, place)
            continue
        try:
            yield ObjectRow(place, line, {name: msgspec.json.decode(raw) for name, raw in columns.items()})
        except (msgspec.DecodeError, RecursionError) as error:
            yield raw_bad(line, Fault("not-json", f"a value of the row cannot be read: {error}"), place)
