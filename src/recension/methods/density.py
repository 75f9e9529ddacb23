"""How dense a corpus is around a text: a sketch of counters over embeddings that adds up.

Every row of the sketch hashes a vector by where it falls on `power` random lines cut into steps of `width` (p-stable hashing,
Datar and others, 2004), and counts. Vectors at a distance c share a counter of a row with the probability `kernel(c)`, so the
mean count over all rows, divided by the number of vectors, is their kernel density (Coleman and Shrivastava, 2020), found
without looking at any other vector again. Unlike vectors share a counter by chance in one of `columns` rows: densities below
1/columns say nothing.

Vectors have length 1 at most. They and the lines are rounded to whole numbers whose products and sums a float32 holds
exactly, so codes do not depend on batches, threads or the library of linear algebra: a sketch is the same, to the byte,
however the corpus was cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Codes = NDArray[np.uint16]
Floats = NDArray[np.float64]

GRAIN = 2048.0  # steps of a rounded vector to the length 1
EXACT = float(1 << 24)  # whole numbers up to here are exact in float32
AT_ONCE = 1024  # vectors that are hashed at once
MOST = (1 << 31) - 1  # vectors that the counters hold
PACKING = 1  # level of zstandard: almost all of a small sketch are zeros


class Shape(NamedTuple):
    """The default kernel is 0.5 for vectors at a distance of 0.2 (a cosine of 0.98), and 0.02 at a distance of 1 (0.5)."""

    rows: int = 1_000
    columns: int = 20_000
    width: float = 1.0
    power: int = 4
    seed: int = 0


def kernel(distance: float, shape: Shape | None = None) -> float:
    """The probability that two vectors at this distance share a counter of a row, chance left aside."""
    shape = shape or Shape()
    if distance <= 0:
        return 1.0
    steps = shape.width / distance
    same = math.erf(steps / math.sqrt(2)) - math.sqrt(2 / math.pi) / steps * (1 - math.exp(-(steps**2) / 2))
    return max(0.0, same) ** shape.power


class _Lines(NamedTuple):
    """`lines` (power, rows, dimensions) are whole numbers; `mixers` join the codes of several lines to one number."""

    lines: NDArray[np.float32]
    offsets: NDArray[np.float32]
    mixers: NDArray[np.uint32]
    steps: np.float32


@lru_cache(maxsize=2)
def _lines(shape: Shape, dimensions: int) -> _Lines:
    random = np.random.Generator(np.random.Philox(key=[shape.seed, dimensions]))
    drawn = random.standard_normal((shape.power, shape.rows, dimensions))
    offsets = random.random((shape.power, shape.rows, 1))
    mixers = random.integers(0, 1 << 31, (shape.power, shape.rows, 1), dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    longest = float(np.linalg.norm(drawn, axis=2).max()) * 1.05 + shape.width
    fine = 2.0 ** math.floor(math.log2(EXACT / longest / GRAIN))
    lines = np.rint(drawn * fine).astype(np.float32)
    steps = fine * GRAIN * shape.width
    return _Lines(lines, np.floor(offsets * steps).astype(np.float32), mixers, np.float32(1 / steps))


def codes(vectors: Vectors, shape: Shape) -> Codes:
    """The counter of each row (rows, vectors) that each vector belongs to."""
    found = np.empty((shape.rows, len(vectors)), dtype=np.uint16)
    for start in range(0, len(vectors), AT_ONCE):
        found[:, start : start + AT_ONCE] = _codes(vectors[start : start + AT_ONCE], shape)
    return found


def _codes(vectors: Vectors, shape: Shape) -> Codes:
    if vectors.size and float((vectors.astype(np.float64) ** 2).sum(axis=1).max()) > 1.02:
        raise ValueError("a density sketch takes vectors of length 1 at most")
    table = _lines(shape, vectors.shape[1])
    whole = np.rint(vectors.T * np.float32(GRAIN))
    mixed = np.zeros((shape.rows, len(vectors)), dtype=np.uint32)
    for lines, offsets, mixers in zip(table.lines, table.offsets, table.mixers, strict=True):
        places = lines @ whole
        places += offsets
        places *= table.steps
        np.floor(places, out=places)
        cells = places.astype(np.int32).view(np.uint32)
        cells *= mixers
        mixed += cells
    mixed ^= mixed >> np.uint32(16)
    mixed *= np.uint32(0x85EBCA6B)
    mixed ^= mixed >> np.uint32(13)
    mixed *= np.uint32(0xC2B2AE35)
    # The upper 16 bits, spread over the columns with the lower ones: a product of 64 bits would cost twice the time.
    upper, lower = mixed >> np.uint32(16), mixed & np.uint32(0xFFFF)
    upper *= np.uint32(shape.columns)
    lower *= np.uint32(shape.columns)
    upper += lower >> np.uint32(16)
    upper >>= np.uint32(16)
    found: Codes = upper.astype(np.uint16)
    return found


@dataclass(slots=True, eq=False)
class Sketch:
    """The counters, and how many vectors they have counted. `add` some thousand vectors at a time: that is fastest."""

    shape: Shape
    counters: NDArray[np.int32]  # (rows, columns)
    count: int = 0

    @classmethod
    def empty(cls, shape: Shape | None = None) -> Sketch:
        shape = shape or Shape()
        if not (shape.rows > 0 and 1 < shape.columns <= 1 << 16 and shape.width > 0 and shape.power > 0):
            raise ValueError(f"{shape}: rows and power are 1 or more, columns 2 to 65536, and the width is above 0")
        return cls(shape, np.zeros((shape.rows, shape.columns), np.int32))

    def add(self, vectors: Vectors) -> None:
        if self.count + len(vectors) > MOST:
            raise OverflowError(f"a density sketch counts {MOST:,} vectors at most")
        for row, own in enumerate(codes(vectors, self.shape)):
            self.counters[row] += np.bincount(own, minlength=self.shape.columns)
        self.count += len(vectors)

    def density(self, vectors: Vectors) -> Floats:
        """The mean count over all rows, as a share of everything counted: 1 where all vectors are one, 0 for none."""
        total = np.zeros(len(vectors))
        for row, own in zip(self.counters, codes(vectors, self.shape), strict=True):
            total += row[own]
        return total / (self.shape.rows * max(1, self.count))


def merged(left: Sketch, right: Sketch) -> Sketch:
    if left.shape != right.shape:
        raise ValueError("sketches of different shapes do not add up")
    if left.count + right.count > MOST:
        raise OverflowError(f"a density sketch counts {MOST:,} vectors at most")
    return Sketch(left.shape, left.counters + right.counters, left.count + right.count)


def to_bytes(sketch: Sketch) -> bytes:
    """Packed: the sketch of a shard of a thousand documents takes about two megabytes, not eighty."""
    largest = int(sketch.counters.max(initial=0))
    kind: Any = next((k for k in ("uint8", "uint16") if largest <= np.iinfo(k).max), "int32")
    counters = zstandard.compress(sketch.counters.astype(kind).tobytes(), PACKING)
    return msgspec.msgpack.encode([*sketch.shape, sketch.count, kind, counters])


def from_bytes(raw: bytes) -> Sketch:
    *shape, count, kind, packed = msgspec.msgpack.decode(raw)
    known = Shape(*shape)
    counters = np.frombuffer(zstandard.decompress(packed), dtype=kind).reshape(known.rows, known.columns)
    return Sketch(known, counters.astype(np.int32), count)


def merged_bytes(left: bytes, right: bytes) -> bytes:
    """The merge of a pass."""
    return to_bytes(merged(from_bytes(left), from_bytes(right)))
