"""Where the documents of a corpus stand among each other: a density sketch of all of them, and a sample to ask it about.

What is embedded is the beginning of a document. The sample holds those with the smallest hashes, so states add up to the same
one however the corpus was cut. Documents that begin alike stand in it once, with how many they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from recension.methods import density
from recension.methods.audit.sample import rank
from recension.methods.density import Sketch

BEGINNING = 1_000  # characters of a document that are embedded
ASKED = 2_000  # different beginnings in the sample
SHOWN = 300  # characters that are kept to be shown


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """A beginning in the sample. `vector` are float32 as bytes."""

    rank: int
    text: str
    vector: bytes
    times: int = 1


class Densities(NamedTuple):
    """Of each beginning of the sample: its density, how many documents begin so, and its text."""

    values: NDArray[np.float64]
    times: NDArray[np.int64]
    texts: tuple[str, ...]


def beginning(text: str) -> str:
    return text[:BEGINNING]


@dataclass(slots=True, eq=False)
class Crowding:
    sketch: Sketch = field(default_factory=Sketch.empty)
    sample: list[Asked] = field(default_factory=list)

    def add(self, beginnings: Sequence[str], vectors: NDArray[np.float32]) -> None:
        self.sketch.add(vectors)
        worst = self.sample[-1].rank if len(self.sample) == ASKED else 1 << 64
        found = []
        for text, vector in zip(beginnings, vectors, strict=True):
            place = rank(text.encode("utf-8", "replace"))
            if place <= worst:
                found.append(Asked(place, text[:SHOWN], vector.astype(np.float32).tobytes()))
        self.sample = _smallest([*self.sample, *found])

    def densities(self) -> Densities:
        vectors = np.array([np.frombuffer(one.vector, np.float32) for one in self.sample])
        values = self.sketch.density(vectors) if len(vectors) else np.zeros(0)
        times = np.array([one.times for one in self.sample], dtype=np.int64)
        return Densities(values, times, tuple(one.text for one in self.sample))


def _smallest(found: Iterable[Asked]) -> list[Asked]:
    by: dict[int, Asked] = {}
    for one in found:
        known = by.get(one.rank)
        by[one.rank] = one if known is None else msgspec.structs.replace(known, times=known.times + one.times)
    return [by[place] for place in sorted(by)[:ASKED]]


def merged(left: Crowding, right: Crowding) -> Crowding:
    return Crowding(density.merged(left.sketch, right.sketch), _smallest([*left.sample, *right.sample]))


def to_bytes(crowding: Crowding) -> bytes:
    return msgspec.msgpack.encode([density.to_bytes(crowding.sketch), crowding.sample])


def from_bytes(raw: bytes) -> Crowding:
    sketch, sample = msgspec.msgpack.decode(raw, type=tuple[bytes, list[Any]])
    return Crowding(density.from_bytes(sketch), msgspec.convert(sample, list[Asked]))
