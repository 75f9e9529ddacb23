"""Token shards on disk, memory-mapped: Arrow files with one row a document, read as one endless stream.

Nothing of a corpus is in memory but the borders of its batches; what a step needs is copied out of the mapped pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recension.errors import InputError

Ints = NDArray[np.int64]
SMALL = 1 << 16  # vocabularies up to here need two bytes a token


def token_schema(vocabulary: int, answers: bool = False) -> pa.Schema:
    """Tokens of one document a row; with `answers` a flag beside each token that is to be learnt."""
    kind = pa.uint16() if vocabulary <= SMALL else pa.uint32()
    fields = [pa.field("tokens", pa.large_list(kind))]
    if answers:
        fields.append(pa.field("learn", pa.large_list(pa.uint8())))
    return pa.schema(fields)


def token_batch(schema: pa.Schema, documents: Sequence[Any], learn: Sequence[Any] = ()) -> pa.RecordBatch:
    """Documents as arrays of ids (and flags) to a batch of a shard."""
    columns = [_lists(documents, schema.field("tokens").type)]
    if "learn" in schema.names:
        columns.append(_lists(learn, schema.field("learn").type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _lists(rows: Sequence[Any], kind: Any) -> pa.Array:
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    dtype = kind.value_type.to_pandas_dtype()
    values = np.concatenate([np.zeros(0, dtype), *(np.asarray(row, dtype) for row in rows)])
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values, kind.value_type), type=kind)


@dataclass(frozen=True)
class TokenStore:
    """Shards opened. `ends` are the ends of the batches in the stream of all tokens."""

    chunks: tuple[NDArray[Any], ...]
    learn: tuple[NDArray[Any], ...]
    ends: Ints
    document_ends: Ints | None

    @property
    def tokens(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def take(self, starts: Ints, length: int) -> Ints:
        """(n, length) tokens from each start on; behind the last token comes the first again."""
        return self._gather(self.chunks, starts, np.full(len(starts), length)).reshape(len(starts), length)

    def documents(self, numbers: Ints) -> tuple[Ints, Ints, Ints]:
        """The tokens of some documents end to end, their flags, and their lengths."""
        assert self.document_ends is not None
        ends = self.document_ends[numbers]
        starts = np.where(numbers > 0, self.document_ends[numbers - 1], 0)
        lengths = ends - starts
        learn = self._gather(self.learn, starts, lengths) if self.learn else np.ones(int(lengths.sum()), dtype=np.int64)
        return self._gather(self.chunks, starts, lengths), learn, lengths

    def _gather(self, chunks: Sequence[NDArray[Any]], starts: Ints, lengths: Ints) -> Ints:
        out = np.empty(int(lengths.sum()), dtype=np.int64)
        filled = 0
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            at, left = start % self.tokens, length
            while left:
                number = int(np.searchsorted(self.ends, at, side="right"))
                chunk = chunks[number]
                offset = at - (int(self.ends[number - 1]) if number else 0)
                part = chunk[offset : offset + left]
                out[filled : filled + len(part)] = part
                filled, left, at = filled + len(part), left - len(part), (at + len(part)) % self.tokens
        return out


def open_tokens(paths: Sequence[Path], with_documents: bool = False) -> TokenStore:
    """Map the shards; with `with_documents` the borders of the documents are read too (8 bytes each)."""
    chunks: list[NDArray[Any]] = []
    learn: list[NDArray[Any]] = []
    borders: list[Ints] = [np.zeros(0, dtype=np.int64)]
    ends: list[int] = []
    total = 0
    for path in paths:
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"cannot read {path}: {error}; run verify on its folder") from error
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            column = batch.column(0)
            offsets = np.asarray(column.offsets)
            values = np.asarray(column.values)[offsets[0] : offsets[-1]]
            if not len(values):
                continue
            chunks.append(values)
            if batch.num_columns > 1:
                learn.append(np.asarray(batch.column(1).values)[offsets[0] : offsets[-1]])
            if with_documents:
                borders.append(offsets[1:].astype(np.int64) - offsets[0] + total)
            total += len(values)
            ends.append(total)
    documents = np.concatenate(borders) if with_documents else None
    return TokenStore(tuple(chunks), tuple(learn), np.array(ends, dtype=np.int64), documents)
