"""Lines of a file read by their places."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from recension.corpus.rows import LinePart, SpanPart
from recension.corpus.streams import open_file
from recension.errors import InputChangedError

Ints = NDArray[np.int64]
GAP = 16 << 10  # bytes that are read through in the time in which another reading begins


def read_span(part: SpanPart) -> LinePart:
    """All of its lines."""
    data, _ = read_lines(part, np.array([part.offset]), np.array([part.length]))
    return LinePart(part.file, data[: part.length], part.offset, part.row)


def read_lines(part: SpanPart, offsets: Ints, lengths: Ints) -> tuple[bytes, Ints]:
    """Some lines, each with its end, and where in these bytes they begin. Between them there may be others."""
    first = np.flatnonzero(np.concatenate([[True], offsets[1:] - (offsets + lengths)[:-1] > GAP]))
    last = np.concatenate([first[1:], [len(offsets)]]) - 1
    begins, stops = offsets[first], (offsets + lengths)[last]
    found: list[bytes] = []
    with open_file(part.file) as handle:
        descriptor = handle.fileno()
        for begin, stop in zip(begins.tolist(), stops.tolist(), strict=True):
            data = os.pread(descriptor, stop + 1 - begin, begin)
            if len(data) < stop - begin:
                raise InputChangedError(
                    f"{part.file.where} has become shorter since the run began: start over with --fresh"
                )
            found.append(data if len(data) > stop - begin else data + b"\n")  # the last line may have no end
    starts = np.cumsum(stops + 1 - begins) - (stops + 1 - begins)
    runs = np.repeat(np.arange(len(first)), last - first + 1)
    return b"".join(found), offsets - begins[runs] + starts[runs]
