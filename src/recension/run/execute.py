"""Drive a run: pieces to an engine, receipts back, progress out, and a seal at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from recension.errors import TooManyDroppedError
from recension.identity import sha256
from recension.ports import Engine
from recension.run import folder
from recension.run.manifest import Run
from recension.run.progress import INTERVAL, Observer, Progress, read_pulses
from recension.run.receipts import Receipt, Seal, add_counts, break_seal, digest_of_receipts, receipts, write_seal

Piece = TypeVar("Piece", bound="Work")
Drawn_co = TypeVar("Drawn_co", bound="Work", covariant=True)

EARLY = 1_000  # rows before a share of dropped ones is judged while the run is still going


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far to go. None of it is in the key: a stopped run goes on under other bounds."""

    shard_bytes: int
    limit: int | None = None
    max_dropped: float | None = None
    expected: int = 0  # bytes in all pieces, as far as can be told before reading them
    of: Literal["rows", "texts"] = (
        "rows"  # what `max_dropped` is a share of: rows that were read, or all that was asked for
    )


class Work(Protocol):
    """A piece of an input, as far as a run has to know it."""

    @property
    def index(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def rows_cap(self) -> int | None: ...


class Source(Protocol[Drawn_co]):
    """What is cut into pieces: a corpus, or several."""

    def pieces(self, shard_bytes: int, limit: int | None, skip: Callable[[int], bool]) -> Iterator[Drawn_co]: ...


class Tally:
    """What the finished shards add up to, and what the running ones have done."""

    def __init__(self, run: Run, stage: str) -> None:
        self.rows = self.units = self.documents = self.tokens = self.lost = self.shards = self.resumed = 0
        self.stage = stage
        self._out = run.out
        self._finished: set[int] = set()

    def add(self, receipt: Receipt) -> None:
        self._finished.add(receipt.index)
        self.shards += 1
        self.rows += receipt.rows
        self.units += receipt.units
        self.documents += receipt.written
        self.lost += sum(receipt.dropped.values())
        tokens = receipt.stats.get("tokens", 0)
        self.tokens += tokens if isinstance(tokens, int) else 0

    def progress(self, fraction: Callable[[float, int], float | None]) -> Progress:
        """`fraction` is given the shares of the running shards and the rows that they have done."""
        pulses = [pulse for index, pulse in read_pulses(self._out).items() if index not in self._finished]
        return Progress(
            self.stage,
            self.documents + sum(p[0] for p in pulses),
            self.tokens + sum(p[1] for p in pulses),
            self.lost + sum(p[2] for p in pulses),
            self.shards,
            fraction(sum(p[3] for p in pulses), sum(p[0] + p[2] for p in pulses)),
            self.resumed,
        )


def execute(
    run: Run,
    task: Callable[[Piece], Receipt],
    corpus: Source[Piece],
    engine: Engine,
    bounds: Bounds,
    observer: Observer,
) -> None:
    """Do every piece that has no receipt."""
    tally = Tally(run, run.manifest.recipe)
    weights: dict[int, float] = {}
    done_weight = 0.0

    def missing() -> Iterator[Piece]:
        nonlocal done_weight
        for piece in corpus.pieces(bounds.shard_bytes, bounds.limit, run.is_done):
            receipt = run.receipt(piece.index)
            weights[piece.index] = piece.size
            if receipt is not None and _covers(receipt, piece.rows_cap):
                tally.add(receipt)
                tally.resumed += receipt.written
                done_weight += piece.size
            else:
                break_seal(run.out)
                yield piece

    def fraction(shares: float, rows: int) -> float | None:
        mean = sum(weights.values()) / len(weights) if weights else 0.0
        of_bytes = (done_weight + shares * mean) / bounds.expected if bounds.expected else 0.0
        of_limit = (tally.rows + rows) / bounds.limit if bounds.limit else 0.0
        return min(1.0, max(of_bytes, of_limit)) or None

    with _drawn(observer, lambda: tally.progress(fraction)):
        for receipt in engine.map(task, missing()):
            tally.add(receipt)
            done_weight += weights.get(receipt.index, 0.0)
            if tally.rows >= EARLY:
                _check_dropped(tally, bounds, run.out)
        _check_dropped(tally, bounds, run.out)
    observer.update(tally.progress(lambda *_: 1.0))


def _covers(receipt: Receipt, rows_cap: int | None) -> bool:
    if receipt.rows_cap is None:
        return True
    return rows_cap is not None and receipt.rows_cap >= rows_cap


def _check_dropped(tally: Tally, bounds: Bounds, out: Path) -> None:
    if bounds.max_dropped is None or not tally.rows:
        return
    whole = tally.rows if bounds.of == "rows" else tally.units
    share = tally.lost / whole
    if share > bounds.max_dropped:
        raise TooManyDroppedError(
            f"{tally.lost:,} of {whole:,} {bounds.of} ({share:.2%}) were set aside, more than --max-dropped "
            f"{bounds.max_dropped:g}: see {out / 'dropped'}, or raise it to go on"
        )


@contextmanager
def _drawn(observer: Observer, snapshot: Callable[[], Progress]) -> Iterator[None]:
    """Tell the observer every half second, beside the work."""
    ended = threading.Event()

    def draw() -> None:
        while not ended.wait(INTERVAL):
            observer.update(snapshot())

    thread = threading.Thread(target=draw, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@dataclass(frozen=True, slots=True)
class Totals:
    shards: int
    rows: int
    units: int
    written: int
    dropped: Mapping[str, int]


def totals(out: Path) -> Totals:
    shards = rows = units = written = 0
    dropped: dict[str, int] = {}
    for receipt in receipts(out):
        shards += 1
        rows += receipt.rows
        units += receipt.units
        written += receipt.written + receipt.used
        add_counts(dropped, receipt.dropped)
    return Totals(shards, rows, units, written, dict(sorted(dropped.items())))


def seal(
    run: Run,
    inputs: Mapping[str, str],
    artefacts: Mapping[str, bytes],
    limit: int | None = None,
    present: Mapping[str, str] | None = None,
) -> Seal:
    """Write the pages of a finished run, then the seal that names their hashes and those of what is `present`."""
    for name, content in artefacts.items():
        folder.write_atomic(run.out / name, content)
    sums = totals(run.out)
    indices = [receipt.index for receipt in receipts(run.out)]
    sealed = Seal(
        key=run.key,
        shards=sums.shards,
        rows=sums.rows,
        units=sums.units,
        written=sums.written,
        dropped=sums.dropped,
        limit=limit,
        receipts=digest_of_receipts(run.out, indices),
        inputs=dict(inputs),
        files={**{name: sha256(content) for name, content in artefacts.items()}, **(present or {})},
    )
    write_seal(run.out, sealed)
    return sealed
