"""From what was counted to what is drawn: how often each document is read, and which one is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from recension.document import JSON
from recension.errors import InputError, UnreachableError, UsageError
from recension.methods.mixture import (
    BUCKETS,
    End,
    Ints,
    Keys,
    Landing,
    Stop,
    allocate,
    histogram,
    inside,
    landing,
    share_end,
    stop,
    up_to,
)
from recension.ports import Engine
from recension.recipes.mix.counting import NAME, Block, Bounds, Count, count
from recension.recipes.mix.glancing import bounds_of, needs
from recension.recipes.mix.job import MixJob
from recension.recipes.mix.presets import check_parts, fit
from recension.run.manifest import Run
from recension.run.progress import Observer

SMALLEST, LARGEST, SHARDS = 1 << 20, 64 << 20, 16


class Draw(msgspec.Struct, frozen=True):
    """What is drawn of one source.

    Its pool is the beginning of its order up to `pool` (all of it where that is None). Each document of it is read
    `times`, and those up to `rest` once more. The document at `cut` follows them with its first `keep` tokens.
    """

    name: str
    held: int  # tokens that are not held out; about so many where `estimated`
    pool_tokens: int
    planned: int
    times: int
    bounded: bool = False
    pool: tuple[int, int] | None = None
    rest: tuple[int, int] | None = None
    cut: tuple[int, int] | None = None
    keep: int = 0
    estimated: bool = False

    def readings(self, keys: Keys, numbers: Ints) -> NDArray[np.int64]:
        """How often each document is read whole."""
        pooled = up_to(keys, numbers, End(*self.pool) if self.pool else None) if self.bounded else True
        found: NDArray[np.int64] = np.where(pooled, self.times, 0).astype(np.int64)
        return found + up_to(keys, numbers, End(*self.rest) if self.rest else None)

    def cuts(self, keys: Keys, numbers: Ints) -> NDArray[np.bool_]:
        if self.cut is None:
            return np.zeros(len(keys), dtype=bool)
        found: NDArray[np.bool_] = (keys == np.uint64(self.cut[0])) & (numbers == self.cut[1])
        return found


class Plan(msgspec.Struct, frozen=True):
    """The whole of it. `held_out` is the bound below which the hash of a lineage is held out."""

    draws: tuple[Draw, ...]
    held_out: int
    shards: int
    bounds: Bounds
    notes: tuple[str, ...] = ()

    def decided(self, counted: str) -> dict[str, JSON]:
        """As it stands in the manifest; keys of 64 bits as words, for readers whose numbers are shorter."""
        plan: Any = msgspec.to_builtins(self)
        for draw in plan["draws"]:
            for name in ("pool", "rest", "cut"):
                draw[name] = draw[name] and [f"{draw[name][0]:016x}", draw[name][1]]
        plan["bounds"] = [None if bound is None else f"{bound:016x}" for bound in self.bounds]
        return {**plan, "held_out": f"{self.held_out:016x}", "pass": NAME, "sha256": counted}


def plan_from(decided: Any) -> Plan:
    """The inverse of `Plan.decided`."""
    draws = []
    for raw in decided["draws"]:
        ends = {n: raw[n] and (int(raw[n][0], 16), raw[n][1]) for n in ("pool", "rest", "cut")}
        draws.append(Draw(**{**raw, **ends}))
    bounds = tuple(None if bound is None else int(bound, 16) for bound in decided["bounds"])
    return Plan(tuple(draws), int(decided["held_out"], 16), decided["shards"], bounds, tuple(decided["notes"]))


@dataclass(frozen=True)
class _Looked:
    """Tokens of each source that were counted and are not held out, these by key, and what there may be in all."""

    tokens: list[int]
    counts: list[Ints]
    held: list[int]


Kept = Callable[[], Iterator[Block]]


def settle(run: Run, job: MixJob, engine: Engine, observer: Observer) -> tuple[Count, Plan]:
    """Count and plan, or read back what was decided."""
    if "plan" in run.manifest.decided:
        decided = plan_from(run.manifest.decided["plan"])
        return count(run, job, decided.bounds, engine, observer), decided
    bounds = bounds_of(job)
    counted = count(run, job, bounds, engine, observer)
    found = plan(job, counted, bounds)
    if found is None:  # the beginnings of the sources had promised more
        everything = (None,) * len(job.spec.sources)
        counted = count(run, job, everything, engine, observer)
        found = plan(job, counted, everything)
        assert found is not None
    run.decide("plan", found.decided(counted.sha256))
    return counted, found


def plan(job: MixJob, count: Count, bounds: Bounds) -> Plan | None:
    """Decide everything, in a few readings of the counted rows and in memory that does not grow with them.

    None: more has to be counted.
    """
    _check_read(job, count)
    bound = _held_out(job, count)
    size = len(job.spec.sources)

    def kept() -> Iterator[Block]:
        return (_without(block, bound) for block in count.blocks())

    looked = _look(kept(), size, count)
    for most, need, have in zip(bounds, needs(job), looked.tokens, strict=True):
        if most is not None and (need is None or have <= need):
            return None
    asked, caps, total, notes = job.wanted(), [source.cap for source in job.spec.sources], job.spec.tokens, []
    if job.spec.preset is not None:
        parts = list(zip(asked, (source.part for source in job.spec.sources), strict=True))
        fitted = fit(job.spec.preset, parts, looked.held, total)
        notes = check_parts(job.spec.preset, job.spec.roles, {}) + fitted.notes
        asked, caps, total = fitted.wanted, fitted.caps, fitted.total
    bounded = [cap is not None and cap < have for cap, have in zip(caps, looked.held, strict=True)]
    limits = [cap if limit else None for cap, limit in zip(caps, bounded, strict=True)]
    pools = _stops(kept, looked, limits)
    if job.spec.preset is not None:  # its passes over so many tokens come out with no document too few
        pools = [end and end.reaching(limit or 0) for end, limit in zip(pools, limits, strict=True)]
    for source, end in zip(job.spec.sources, pools, strict=True):
        if end is not None and not end.tokens:
            at = f"{source.place}: " if source.place else ""
            raise UnreachableError(f"{at}cap of source '{source.name}' is less than the first document that is drawn")
    sizes = [found.tokens if found else have for found, have in zip(pools, looked.held, strict=True)]
    granted = [max(have, limit or 0) if have else 0 for have, limit in zip(sizes, limits, strict=True)]
    planned = allocate(asked, sizes, total, granted)
    rests = [tokens % pool if pool else 0 for tokens, pool in zip(planned, sizes, strict=True)]
    stops = _stops(kept, looked, [rest or None for rest in rests])
    draws = []
    for i, source in enumerate(job.spec.sources):
        pool, rest = pools[i], stops[i]
        times = planned[i] // sizes[i] if sizes[i] else 0
        drawn = Draw(source.name, looked.held[i], sizes[i], planned[i], times, bounded[i])
        drawn = _with(drawn, estimated=bounds[i] is not None)
        if pool is not None:
            drawn = _with(drawn, pool=_pair(pool.last))
        draws.append(drawn if rest is None else _ended(drawn, rest, rests[i], job.spec.whole))
    return Plan(tuple(draws), bound, _shards(job, count, draws), bounds, tuple(notes))


def _ended(draw: Draw, rest: Stop, wanted: int, whole: bool) -> Draw:
    """The last reading ends within a document: it is cut there, or taken or left, whichever comes nearer."""
    last = _pair(rest.last)
    missing = wanted - rest.tokens
    if not missing or rest.following is None:
        return _with(draw, rest=last)
    following = _pair(rest.following)
    assert following is not None
    if not whole:
        return _with(draw, rest=last, cut=following, keep=missing)
    return _with(draw, rest=following if rest.next - missing <= missing else last)


def _pair(end: End | None) -> tuple[int, int] | None:
    return None if end is None else (end.key, end.number)


def _with(draw: Draw, **changed: Any) -> Draw:
    return msgspec.structs.replace(draw, **changed)


def _check_read(job: MixJob, count: Count) -> None:
    """A source of which no row can be used, or no lineage is known, is an error: the name of a column is wrong."""
    for number, source in enumerate(job.spec.sources):
        mine = [piece for piece in count.pieces if piece.source == number]
        at = f"{source.place}: " if source.place else ""
        documents = sum(piece.documents for piece in mine)
        if documents and documents == sum(piece.astray for piece in mine):
            columns = ", ".join(job.data.corpora[number].columns_seen())
            raise InputError(
                f"{at}no document of source '{source.name}' has the column '{source.lineage}' that lineage names; the "
                f"columns are {columns}"
            )
        if documents:
            continue
        if not any(piece.rows for piece in mine):
            raise InputError(f"{at}source '{source.name}' has no rows: {', '.join(source.path)}")
        reasons = sorted({reason for piece in mine for reason in piece.unusable})
        columns = ", ".join(job.data.corpora[number].columns_seen()) or "none"
        raise InputError(
            f"{at}no row of source '{source.name}' could be used ({', '.join(reasons)}); the columns "
            f"are {columns}: is text_key right?"
        )


def _without(block: Block, bound: int) -> Block:
    """The rows that are not held out."""
    if not bound:
        return block
    left = block.lineages >= np.uint64(bound)
    return Block(block.source, block.keys[left], block.lineages[left], block.tokens[left], block.numbers[left])


def _held_out(job: MixJob, count: Count) -> int:
    """The bound of the hashes of lineages: from a share, or from the tokens that are to be written."""
    wanted = job.spec.holdout
    if wanted is None:
        return 0
    if wanted < 1:
        return share_end(wanted)
    counts = np.zeros(BUCKETS, np.int64)
    mine = written_sources(job)
    for block in count.blocks():
        if block.source in mine:
            counts += histogram(block.lineages, block.tokens)
    if int(counts.sum()) <= wanted:
        raise UnreachableError(f"holdout: {int(wanted):,} tokens are more than the {int(counts.sum()):,} there are")
    # Whole buckets of lineages: the first that reach the number, so a little more is held out and never less.
    return min((landing(counts, int(wanted)).bucket + 1) << 48, (1 << 64) - 1)


def written_sources(job: MixJob) -> frozenset[int]:
    """The sources whose held-out documents are written."""
    chosen = job.spec.holdout_sources
    return frozenset(i for i, source in enumerate(job.spec.sources) if not chosen or source.name in chosen)


def _look(blocks: Iterator[Block], size: int, count: Count) -> _Looked:
    found = _Looked([0] * size, [np.zeros(BUCKETS, np.int64) for _ in range(size)], [0] * size)
    for block in blocks:
        found.tokens[block.source] += int(block.tokens.sum())
        found.counts[block.source] += histogram(block.keys, block.tokens)
    for number in range(size):
        mine = [piece for piece in count.pieces if piece.source == number]
        known = sum(piece.counted_bytes for piece in mine)
        rest = sum(piece.bytes for piece in mine) - known  # of these none are held out
        each = sum(piece.tokens for piece in mine) / max(known, 1)
        found.held[number] = found.tokens[number] + round(rest * each)
    return found


class _Near(NamedTuple):
    """The documents of a bucket in which a target is reached."""

    place: Landing
    keys: list[Keys]
    numbers: list[Ints]
    tokens: list[Ints]


def _stops(kept: Kept, looked: _Looked, targets: Sequence[int | None]) -> list[Stop | None]:
    """Where the beginning of each source ends that comes to its target; None where there is no target."""
    near: dict[int, _Near] = {
        i: _Near(landing(looked.counts[i], target), [], [], [])
        for i, target in enumerate(targets)
        if target is not None
    }
    if near:
        for block in kept():
            if (mine := near.get(block.source)) is not None and len(block.keys):
                here = inside(block.keys, mine.place.bucket)
                mine.keys.append(block.keys[here])
                mine.numbers.append(block.numbers[here])
                mine.tokens.append(block.tokens[here])
    found: list[Stop | None] = []
    for i, target in enumerate(targets):
        if target is None:
            found.append(None)
            continue
        one = near[i]
        keys, numbers, tokens = np.concatenate(one.keys), np.concatenate(one.numbers), np.concatenate(one.tokens)
        found.append(stop(keys, numbers, tokens, one.place, target))
    return found


def _shards(job: MixJob, count: Count, draws: Sequence[Draw]) -> int:
    """How many shards the mixture makes: by the bytes of text that its tokens come to."""
    size = 0.0
    for number, draw in enumerate(draws):
        mine = [piece for piece in count.pieces if piece.source == number]
        tokens = sum(piece.tokens for piece in mine)
        size += draw.planned * sum(piece.counted_bytes for piece in mine) / max(tokens, 1)
    if not size:
        raise UsageError("the mixture comes to no tokens at all: raise tokens, a weight or repeat")
    each = job.spec.shard_bytes or SMALLEST
    while job.spec.shard_bytes is None and each < LARGEST and each * SHARDS < size:
        each *= 2
    return max(1, -(-int(size) // each))
