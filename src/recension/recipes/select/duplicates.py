"""Near-duplicates of the whole corpus: bands in partitions to links, links to clusters, clusters to who is left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recension.methods.select import clusters
from recension.methods.select.clusters import PARTITIONS
from recension.recipes.audit.samples import artefact
from recension.recipes.audit.stages import Bench, Chunk
from recension.recipes.select.sheets import PAIRS, READ, Sheet, load, place
from recension.run.passes import Pass
from recension.run.progress import Progress

Ints = NDArray[np.int64]

AT_ONCE = 64  # partitions of a piece of the pass
CLUSTERS = "clusters"


@dataclass(frozen=True)
class LinkTask:
    """The links of some partitions. `starts` is the number of the first document of each piece."""

    out: Path
    starts: tuple[int, ...]

    def __call__(self, piece: Chunk) -> bytes:
        found = np.zeros((0, 2), np.int64)
        for first in range(piece.start, piece.stop):
            parts = [self._stretch(index, first) for index in range(len(self.starts))]
            found = clusters.merged_links(found, clusters.links([k for k, _ in parts], [d for _, d in parts]))
        return found.tobytes()

    def _stretch(self, index: int, partition: int) -> tuple[Any, Ints]:
        """One partition of one piece, of which no more than that is read."""
        path = place(self.out, READ, index, "bands")
        keys, documents, starts = _columns(path)
        begin, end = int(starts[partition]), int(starts[partition + 1])
        return keys[begin:end], documents[begin:end].astype(np.int64) + self.starts[index]


@lru_cache(maxsize=1 << 14)
def _columns(path: Path) -> tuple[Any, Any, Any]:
    """The bands of a piece through a memory map."""
    raw = np.memmap(path, dtype=np.uint8, mode="r")
    size = int.from_bytes(raw[:8].tobytes(), "little")
    at, columns = 8 + size, []
    for kind, length in msgspec.msgpack.decode(raw[8:at].tobytes()):
        columns.append(np.frombuffer(raw, dtype=kind, count=length // np.dtype(kind).itemsize, offset=at))
        at += length
    return columns[0], columns[1], columns[2]


def merge_links(left: bytes, right: bytes) -> bytes:
    one, other = (np.frombuffer(state, np.int64).reshape(-1, 2) for state in (left, right))
    return clusters.merged_links(one, other).tobytes()


@dataclass(slots=True, eq=False)
class Removed:
    """Who is left out, by number in the corpus, and of which document it is a near-duplicate."""

    documents: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    of: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))  # among `firsts`
    firsts: list[str] = field(default_factory=list)  # "ID at FILE row N"
    groups: int = 0


def find(bench: Bench, rows: list[int], checks: list[int]) -> None:
    """The clusters of a corpus as the artefact of a pass."""
    out = bench.run.out
    starts = tuple(np.concatenate([[0], np.cumsum(rows)[:-1]]).tolist())
    task = LinkTask(out, starts)
    links = bench.done(Pass(PAIRS, [AT_ONCE], task, merge_links), PARTITIONS, AT_ONCE)
    bench.observer.update(Progress(CLUSTERS))
    work = Pass(CLUSTERS, [], _ClusterTask(out, starts, tuple(checks), links), _only)
    Bench(bench.run, 1, bench.observer).done(work, 1, 1)


def _only(left: bytes, right: bytes) -> bytes:
    raise AssertionError("there is one state")  # and so nothing to merge


@dataclass(frozen=True)
class _ClusterTask:
    out: Path
    starts: tuple[int, ...]
    checks: tuple[int, ...]
    links: bytes

    def __call__(self, _: Chunk) -> bytes:
        pairs = clusters.clusters(np.frombuffer(self.links, np.int64).reshape(-1, 2))
        pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
        firsts, of = np.unique(pairs[:, 1], return_inverse=True)
        documents = pairs[:, 0].copy()
        names: list[str] = []
        for start, mine, sheet in self._sheets(documents, firsts):
            # Bands are made of the good rows alone and numbered so; who is left out is told by row, good or bad.
            rows = np.flatnonzero(sheet.good)
            documents[mine] = start + rows[documents[mine] - start]
            inside = firsts[(firsts >= start) & (firsts < start + len(sheet.good))] - start
            for row in rows[inside].tolist():
                names.append(f"{sheet.named[row]} at {sheet.labels[sheet.files[row]]} row {sheet.rows[row]}")
        return msgspec.msgpack.encode([documents.tobytes(), of.astype(np.int32).tobytes(), names])

    def _sheets(self, documents: Ints, firsts: Ints) -> Iterator[tuple[int, slice, Sheet]]:
        """The pieces that hold any of them, in order, each with its documents' place in the whole."""
        for index, (start, end) in enumerate(pairwise([*self.starts, 1 << 62])):
            mine = slice(*np.searchsorted(documents, [start, end]).tolist())
            if mine.start < mine.stop or ((firsts >= start) & (firsts < end)).any():
                yield start, mine, load(place(self.out, READ, index, "sheet"), Sheet, self.checks[index])


@lru_cache(maxsize=1)
def removed(out: Path, key: str) -> Removed:
    documents, of, firsts = msgspec.msgpack.decode(artefact(out, CLUSTERS).read_bytes())
    return Removed(np.frombuffer(documents, np.int64), np.frombuffer(of, np.int32), firsts, len(firsts))


def of_piece(found: Removed, first: int, rows: int) -> tuple[Ints, list[str]]:
    """Of the rows of a piece those that are left out, and what each of them is a near-duplicate of."""
    begin, end = np.searchsorted(found.documents, [first, first + rows])
    return found.documents[begin:end] - first, [found.firsts[number] for number in found.of[begin:end].tolist()]
