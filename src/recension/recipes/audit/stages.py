"""What is computed of the samples, as passes of a run: each piece a state on the disk, so that a killed audit goes on."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from recension.engines.local import LocalEngine
from recension.methods.audit import shift, spread
from recension.methods.audit.chain import generations
from recension.methods.audit.measures import NAMES, Stretch, effects, figures_of
from recension.methods.audit.panel import Side, rewritten, spelt
from recension.methods.audit.picture import POINTS, Drawing, placed
from recension.methods.audit.resampling import Draws, draw, interleaved, whole
from recension.models.embedders import load_embedder
from recension.models.load import PriorOptions
from recension.ports import Ask
from recension.recipes.audit.counting import processes
from recension.recipes.audit.samples import Design, artefact, material, sides, texts_of, tokens_at
from recension.recipes.priors import load
from recension.run.manifest import Run
from recension.run.passes import Pass, run_pass
from recension.run.progress import Observer, Progress

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

GENERATIONS = 5
DRAWN_AT_ONCE, SCORED_AT_ONCE = 20, 32
SHIFT_UNITS, SHIFT_DRAWS = 800, 60
BINS = 20
DRAWN = 5e-7  # seconds of a word in a draw, about
CURVE = "curve"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a pass: numbers from start to stop."""

    index: int
    start: int
    stop: int
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Chunks:
    """So many things, so many to a piece."""

    count: int
    size: int

    def __call__(self, skip: Callable[[int], bool]) -> Iterable[Chunk]:
        for index, start in enumerate(range(0, self.count, self.size)):
            yield Chunk(index, start, min(start + self.size, self.count), skip(index))


@dataclass(frozen=True, slots=True)
class Bench:
    """Where passes run and who is told."""

    run: Run
    workers: int
    observer: Observer

    def done(self, work: Pass, count: int, size: int, seconds: float = math.inf) -> bytes:
        """The artefact of a pass over `count` things, `size` to a piece, that takes about so long."""
        pieces = -(-count // size)
        finished = 0

        def told(_: int) -> None:
            nonlocal finished
            finished += 1
            self.observer.update(Progress(work.name, fraction=finished / pieces))

        self.observer.update(Progress(work.name))
        engine = LocalEngine(max(1, min(processes(self.workers, seconds), pieces)))
        return run_pass(self.run, work, engine, Chunks(count, size), told)


# --- the collapse curve -----------------------------------------------------------------------------------------------


class Curve(NamedTuple):
    """Effects of each generation on each figure, and passages of the first one."""

    effects: Floats
    texts: list[str]


@dataclass(frozen=True)
class CurveTask:
    design: Design

    def __call__(self, _: Chunk) -> bytes:
        found = material(self.design).match
        reference = whole(found.left)
        units = tokens_at(found.panel, reference)
        side = Side(reference.starts, reference.sizes, np.zeros_like(reference.starts), np.zeros_like(reference.starts))
        rows: list[list[float]] = []
        texts: list[str] = []
        for made in generations(found.panel, side, GENERATIONS, self.design.seed + 1):
            panel = rewritten(found.panel, [units, made])
            rows.append(effects(*figures_of(panel, *(Stretch(s.starts, s.sizes) for s in panel.sides))).tolist())
            texts = texts or [text.strip() for text in spelt(found.panel, made)]
        return msgspec.msgpack.encode([rows, texts])


def curve(bench: Bench, design: Design) -> Curve:
    work = Pass(CURVE, [GENERATIONS], CurveTask(design), _only)
    rows, texts = msgspec.msgpack.decode(bench.done(work, 1, 1))
    return Curve(np.array(rows), texts)


def _only(left: bytes, right: bytes) -> bytes:
    raise AssertionError("there is one state")  # and so nothing to merge


# --- draws ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DrawTask:
    design: Design

    def __call__(self, piece: Chunk) -> bytes:
        found = draw(material(self.design).match, range(piece.start, piece.stop), self.design.seed)
        return np.hstack([found.permuted, found.halves]).tobytes()


def draws(bench: Bench, design: Design, count: int) -> Draws:
    work = Pass("draws", [count], DrawTask(design), operator.add)
    table = np.frombuffer(bench.done(work, count, DRAWN_AT_ONCE, count * design.budget * DRAWN)).reshape(
        count, 2 * len(NAMES)
    )
    return Draws(table[:, : len(NAMES)], table[:, len(NAMES) :])


# --- scores -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoreTask:
    """A scorer reads passages: nats, tokens, tokens below 0.1 and above 0.9, and a histogram of probabilities, by row."""

    texts: Callable[[], Sequence[str]]
    scorer: str
    options: PriorOptions

    def __call__(self, piece: Chunk) -> bytes:
        texts = self.texts()[piece.start : piece.stop]
        rows = np.zeros((len(texts), 4 + BINS))
        for row, scores in zip(rows, load(self.scorer, self.options).prior.score(list(texts), Ask()), strict=True):
            known = scores.logprobs[np.isfinite(scores.logprobs)].astype(np.float64)
            p = np.exp(known)
            row[:4] = -known.sum(), len(known), (p < spread.UNSURE).sum(), (p > spread.SURE).sum()
            row[4:] = np.histogram(np.minimum(p, 1 - 1e-9), bins=BINS, range=(0, 1))[0]
        return rows.tobytes()


@dataclass(frozen=True)
class AuditTexts:
    """The passages that scorers read: of the reference, of the candidate, of the first generation of the chain."""

    design: Design
    words: int

    def parts(self) -> tuple[list[str], list[str], list[str]]:
        found = material(self.design).match
        places = [first_of_all(parts, self.words) for parts in (found.left, found.right)]
        left, right = (
            texts_of(found.panel, Stretch(side.starts[chosen], side.sizes[chosen]))
            for side, chosen in zip(sides(found), places, strict=True)
        )
        made = msgspec.msgpack.decode(artefact(self.design.out, CURVE).read_bytes())[1]
        return left, right, [made[i] for i in places[0].tolist()]

    def __call__(self) -> list[str]:
        return [text for part in self.parts() for text in part]


def first_words(side: Stretch, words: int) -> Stretch:
    count = int(np.searchsorted(np.cumsum(side.sizes), words)) + 1
    return Stretch(side.starts[:count], side.sizes[:count])


def first_of_all(strata: Sequence[Side], words: int) -> Ints:
    """The places of units that hold the first words of all strata, each in proportion to its size."""
    order = interleaved(strata)
    sizes = np.concatenate([part.sizes for part in strata])[order]
    return order[: int(np.searchsorted(np.cumsum(sizes), words)) + 1]


def scores(bench: Bench, number: int, task: ScoreTask, settings: Any, count: int) -> Floats:
    work = Pass(f"scores-{number}", settings, task, operator.add)
    return np.frombuffer(bench.done(work, count, SCORED_AT_ONCE)).reshape(count, 4 + BINS)


def scored(rows: Floats, clusters: NDArray[np.int64]) -> spread.Scored:
    """Rows of a scorer as the passages they are of; what had no token has no say."""
    keep = rows[:, 1] > 0
    tokens, unsure, sure = rows[keep, 1:4].astype(np.int64).T
    return spread.Scored(rows[keep, 0], tokens, unsure, sure, clusters[keep])


# --- shift ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShiftTask:
    design: Design
    embedder: str
    drawing: Drawing

    def __call__(self, _: Chunk) -> bytes:
        stuff, count, seed = material(self.design), SHIFT_DRAWS, self.design.seed
        found = stuff.match
        chosen = []
        for parts in (found.left, found.right):
            side = Side(*(np.concatenate([getattr(part, f) for part in parts]) for f in Side.__slots__))
            chosen.append(side.only(interleaved(parts)[:SHIFT_UNITS]))
        owner = shift.owned(found.panel, chosen, found.paired)
        tables = [shift.features(found.panel, side) for side in chosen]
        result: dict[str, Any] = {
            "auc": shift.classifier(tables[0], tables[1], owner, count, seed)._asdict(),
            **{n: v._asdict() for n, v in shift.excess(found, count, seed).items()},
        }
        if self.embedder != "none":
            model = load_embedder(self.embedder)
            texts = [texts_of(found.panel, Stretch(side.starts, side.sizes)) for side in chosen]
            texts += [["".join(unit.surfaces).strip() for unit in units[:SHIFT_UNITS]] for units in stuff.units[2:]]
            vectors = [model.embed(part) for part in texts]
            covered = shift.covering(vectors[0], vectors[1], owner, count, seed)
            result |= {name: value._asdict() for name, value in covered.items()}
            # Backwards: by pairs, the beginnings of all corpora are versions of the same texts.
            result["beside"] = [shift.embedded(vectors[0], other[::-1])._asdict() for other in vectors[2:]]
            few = [part[: POINTS[self.drawing]] for part in vectors]
            owners = [i for i, part in enumerate(few) for _ in part]
            result["map"] = [owners, placed(np.concatenate(few), self.drawing).round(4).tolist()]
        return msgspec.json.encode(result)


def shifted(bench: Bench, design: Design, embedder: str, drawing: Drawing) -> dict[str, Any]:
    work = Pass("shift", [SHIFT_UNITS, SHIFT_DRAWS, POINTS[drawing]], ShiftTask(design, embedder, drawing), _only)
    found: dict[str, Any] = msgspec.json.decode(bench.done(work, 1, 1))
    return found


# --- the sample -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SampleTask:
    """Joins the states of all shards."""

    merge: Callable[[], bytes]

    def __call__(self, _: Chunk) -> bytes:
        return self.merge()


def sample(bench: Bench, name: str, merge: Callable[[], bytes]) -> None:
    """The states joined, once, in this process; workers read the artefact."""
    run_pass(bench.run, Pass(name, [], SampleTask(merge), _only), LocalEngine(1), Chunks(1, 1))
