"""The samples of a run as units and panels: built from the artefact of the first pass, once in each process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.folds import Fold, from_bytes, to_bytes
from recension.methods.audit.measures import Stretch
from recension.methods.audit.panel import Panel, Unit, panel_of, spelt, units_of
from recension.methods.audit.resampling import Match, match, whole

SHORTEST_UNIT, LONGEST_UNIT = 30, 200
SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class Design:
    """What the statistics are made of; small, so that it travels to workers, which read the sample from the disk."""

    out: Path
    key: str  # of the run: another one in the same folder has another sample
    budget: int
    unit: int
    seed: int
    paired: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Both sides matched, and what the units of every corpus are."""

    match: Match
    unit_words: int
    medians: tuple[int, ...]
    units: tuple[tuple[Unit, ...], ...]


def artefact(out: Path, name: str) -> Path:
    return out / "passes" / name / "result"


def packed(folds: Iterable[Fold]) -> bytes:
    return msgspec.msgpack.encode([to_bytes(fold) for fold in folds])


@lru_cache(maxsize=1)
def folds_of(out: Path, key: str) -> tuple[Fold, ...]:
    """The state of each corpus of a run of that key."""
    states = msgspec.msgpack.decode(artefact(out, SAMPLE).read_bytes())
    met = [len(msgspec.msgpack.decode(state)["met"]) for state in states]
    # Which hashes were looked for is of no matter any more, only which places were met.
    return tuple(from_bytes(state, np.zeros(size, np.uint64)) for state, size in zip(states, met, strict=True))


@lru_cache(maxsize=1)
def material(design: Design) -> Material:
    folds = folds_of(design.out, design.key)
    medians = tuple(_median(fold) for fold in folds)
    words = design.unit or max(SHORTEST_UNIT, min(LONGEST_UNIT, *medians[:2]))
    units = tuple(tuple(units_of_fold(fold, words)) for fold in folds)
    panel = panel_of(units[:2])
    return Material(match(panel, design.budget, design.paired), words, medians, units)


def _median(fold: Fold) -> int:
    """The median length of the passages of a sample, in words."""
    if not fold.sample:
        return 0
    words, times = np.array([(passage.words, passage.times) for passage in fold.sample]).T
    order = np.argsort(words, kind="stable")
    ends = np.cumsum(times[order])
    middle = np.searchsorted(ends, [(ends[-1] - 1) // 2, ends[-1] // 2], "right")
    return int(words[order][middle].mean())


def units_of_fold(fold: Fold, words: int) -> Iterable[Unit]:
    """The units of a sample; a passage that stands there several times comes as often, if not beyond the budget."""
    for passage in fold.sample:
        for _ in range(min(passage.times, fold.budget // passage.words + 1)):
            yield from units_of(passage.text, passage.cluster, words, passage.stratum)


def tokens_at(panel: Panel, chosen: Stretch) -> list[NDArray[np.int64]]:
    """The units of a stretch, as they were cut for it."""
    ends = (chosen.starts + chosen.sizes).tolist()
    return [panel.tokens[start:end] for start, end in zip(chosen.starts.tolist(), ends, strict=True)]


def texts_of(panel: Panel, chosen: Stretch) -> list[str]:
    return [text.strip() for text in spelt(panel, tokens_at(panel, chosen))]


def sides(found: Match) -> tuple[Stretch, Stretch]:
    return whole(found.left), whole(found.right)
