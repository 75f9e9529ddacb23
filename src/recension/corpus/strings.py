"""Many strings as one stretch of UTF-8 and the places where each ends: no Python object for a string."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Strings:
    data: NDArray[np.uint8]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, raws: Sequence[bytes]) -> Strings:
        return cls(np.frombuffer(b"".join(raws), np.uint8), np.cumsum([len(raw) for raw in raws], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[str]:
        raw, start = self.data.tobytes(), 0
        for end in self.ends.tolist():
            yield raw[start:end].decode("utf-8")
            start = end

    def __getitem__(self, number: int) -> str:
        start = int(self.ends[number - 1]) if number else 0
        return self.data[start : int(self.ends[number])].tobytes().decode("utf-8")

    def raws(self) -> list[bytes]:
        raw, ends = self.data.tobytes(), self.ends.tolist()
        return [raw[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def between(self, start: int, stop: int) -> Strings:
        """Some of them that stand next to each other."""
        first = int(self.ends[start - 1]) if start else 0
        last = int(self.ends[stop - 1]) if stop else 0
        return Strings(self.data[first:last], self.ends[start:stop] - first)

    def where(self, wanted: NDArray[np.bool_]) -> Strings:
        lengths = self.lengths
        return Strings(self.data[np.repeat(wanted, lengths)], np.cumsum(lengths[wanted]))

    def column(self) -> pa.Array:
        ends = np.concatenate([np.zeros(1, np.int64), self.ends]).astype(np.int32)
        data = np.ascontiguousarray(self.data)
        return pa.StringArray.from_buffers(len(self), pa.py_buffer(ends), pa.py_buffer(data))

    @property
    def lengths(self) -> NDArray[np.int64]:
        found = self.ends.copy()
        found[1:] -= self.ends[:-1]
        return found


def numbered(strings: Strings) -> tuple[list[str], NDArray[np.int32]]:
    """The different ones in the order in which they come first, and the number of each."""
    ends = np.concatenate([np.zeros(1, np.int64), strings.ends])
    column = pa.LargeStringArray.from_buffers(len(strings), pa.py_buffer(ends), pa.py_buffer(strings.data))
    coded = column.dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False)


def joined(parts: Sequence[Strings]) -> Strings:
    """All of them, one after the other."""
    sizes = np.cumsum([0, *(len(part.data) for part in parts)])[:-1].tolist()
    data = [part.data for part in parts] or [np.zeros(0, np.uint8)]
    ends = [part.ends + size for part, size in zip(parts, sizes, strict=True)] or [np.zeros(0, np.int64)]
    return Strings(np.concatenate(data), np.concatenate(ends))
