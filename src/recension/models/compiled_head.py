"""From hidden rows to log-probabilities and rivals with compiled graphs, each row going only as far as it must.

    odds      a few hundred frequent tokens rule out most rows, when only flagged ones are wanted
    chances   the log-probability over the whole vocabulary
    rivals    the best candidates, in float32, for the rows that are flagged

The first step is exact. A token has p >= a only if the sum of exp(l_j - l_x) over all other tokens j is at most 1/a - 1.
If the sum over some of them is more than that already, no other token can bring it down again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.models import graphs
from recension.models.llama import Floats
from recension.models.rows import Rows, cut_to_mass, flags, widen
from recension.ports import Ask

CHUNK = 256  # rows of one call: few enough to stay in the cache, always the same so that nothing is compiled twice
FEW = 64  # for the flagged ones
HOT = 64  # one of so many tokens is in the frequent part of the vocabulary; more cost more than they rule out
SLACK = {"float32": 1e-3, "bfloat16": 0.25}  # how far the odds of a first look may be off
Bools = NDArray[np.bool_]
Ints = NDArray[np.int32]


class Stretch(NamedTuple):
    """Hidden rows, the tokens to be scored as their continuation, and which of those may be flagged.

    Where not `whole`, log-probabilities are wanted of flagged tokens only.
    """

    rows: Floats
    targets: Ints
    allowed: Bools
    whole: bool = True


class Head:
    """The last layer of a model. `banned` ids are never rivals."""

    def __init__(self, weight: Floats, banned: Ints, machine: graphs.Machine) -> None:
        self._weight, self._banned, self._machine = weight, banned, machine
        self._frequent: graphs.Call | None = None
        self._rivals: dict[int, graphs.Call] = {}

    @property
    def vocabulary(self) -> int:
        return len(self._weight)

    @cached_property
    def _likelihood(self) -> graphs.Call:
        return graphs.likelihood(self._weight, self._machine)

    def learn(self, tokens: Ints) -> None:
        """Which tokens are frequent, by the first text that is scored. It decides about speed, never about a result."""
        if self._frequent is None:
            counts = np.bincount(tokens, minlength=self.vocabulary)[: self.vocabulary]
            few = np.argsort(-counts, kind="stable")[: max(self.vocabulary // HOT, 64)]
            self._frequent = graphs.odds(self._weight, few.astype(np.int32), self._machine.exact_head)

    def score(self, stretches: Iterable[Stretch], count: int, ask: Ask) -> Rows:
        """Scores of `count` rows that come in stretches, end to end."""
        job = _Job(self, count, ask)
        for stretch in stretches:
            job.take(stretch)
        return job.end()

    def odds(self, rows: Floats, targets: Ints) -> Floats:
        assert self._frequent is not None
        found: Floats = _called(self._frequent, rows, targets, CHUNK)[0][:, 0]
        return found

    def chances(self, rows: Floats, targets: Ints) -> Floats:
        found: Floats = np.minimum(_called(self._likelihood, rows, targets, CHUNK)[0][:, 0], 0.0)
        return found

    def best(self, rows: Floats, targets: Ints, k: int) -> tuple[Floats, Floats, Ints]:
        """Log-probabilities of the targets, and the k best tokens with theirs."""
        k = min(k, self.vocabulary)
        if k not in self._rivals:
            self._rivals[k] = graphs.rivals(self._weight, self._banned, k, self._machine.exact_head)
        own, best, ids = _called(self._rivals[k], rows, targets, FEW)
        ids[np.isneginf(best)] = -1
        return np.minimum(own[:, 0], 0.0), np.minimum(best, 0.0), ids.astype(np.int32)

    @property
    def slack(self) -> float:
        return SLACK[self._machine.dtype]


def _called(call: graphs.Call, rows: Floats, targets: Ints, size: int) -> list[NDArray[Any]]:
    """A graph on rows in calls of one size, the last filled up."""
    found: list[list[NDArray[Any]]] = []
    for start in range(0, len(rows), size):
        part, aims = rows[start : start + size], targets[start : start + size, None]
        short = size - len(part)
        if short:
            part, aims = np.pad(part, ((0, short), (0, 0))), np.pad(aims, ((0, short), (0, 0)))
        found.append([answer[: size - short].copy() for answer in call(part, aims)])
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


class _Waiting:
    """Rows that wait until there are enough for a call. They keep the number under which they came."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._parts: list[tuple[NDArray[np.int64], Floats, Ints]] = []
        self._count = 0

    def add(self, places: NDArray[np.int64], rows: Floats, targets: Ints) -> None:
        if len(places):
            self._parts.append((places, rows, targets))
            self._count += len(places)

    def ready(self, last: bool = False) -> tuple[NDArray[np.int64], Floats, Ints] | None:
        """Rows for whole calls; at the end all that are left."""
        take = self._count if last else self._count // self._size * self._size
        if not take:
            return None
        places, rows, targets = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        self._parts = [] if take == len(places) else [(places[take:], rows[take:].copy(), targets[take:])]
        self._count -= take
        return places[:take], rows[:take], targets[:take]


class _Job:
    """One call of `Head.score`. Rows keep their numbers on their way down the steps."""

    def __init__(self, head: Head, count: int, ask: Ask) -> None:
        self._head, self._ask = head, ask
        self._logprobs = np.full(count, np.nan, dtype=np.float32)
        self._allowed = np.zeros(count, dtype=bool)
        self._seen = 0
        self._doubtful, self._hopeful, self._flagged = _Waiting(CHUNK), _Waiting(CHUNK), _Waiting(FEW)
        self._found: list[tuple[NDArray[np.int64], Ints, Floats]] = []
        # What a first look may miss by its rounding is let through to the exact one.
        self._loose = replace(
            ask,
            above=None if ask.above is None or ask.above <= 0 else 1 / (1 + (1 / ask.above - 1) * (1 + head.slack)),
            below=None if ask.below is None else min(ask.below * (1 + head.slack), 1.0),
        )
        if ask.above is not None and ask.above <= 0:
            self._loose = replace(self._loose, above=0.0)
        above = self._loose.above
        self._bound = 1 / above - 1 if rules_out(ask) and above else None

    def take(self, stretch: Stretch) -> None:
        rows, targets, allowed, whole = stretch
        places = np.arange(self._seen, self._seen + len(rows))
        self._allowed[places] = allowed
        self._seen += len(rows)
        (self._hopeful if whole or self._bound is None else self._doubtful).add(places, rows, targets)
        self._odds(last=False)
        self._chances(last=False)
        self._rivals(last=False)

    def end(self) -> Rows:
        self._odds(last=True)
        self._chances(last=True)
        self._rivals(last=True)
        k = min(self._ask.k, self._head.vocabulary)
        width = max((ids.shape[1] for _, ids, _ in self._found), default=k)
        places = np.concatenate([np.zeros(0, dtype=np.int64), *(places for places, _, _ in self._found)])
        ids = [np.zeros((0, width), dtype=np.int32), *(widen(ids, width, -1) for _, ids, _ in self._found)]
        best = [np.zeros((0, width), dtype=np.float32), *(widen(best, width, -np.inf) for _, _, best in self._found)]
        order = np.argsort(places)
        return Rows(self._logprobs, places[order], np.concatenate(ids)[order], np.concatenate(best)[order])

    def _odds(self, last: bool) -> None:
        ready = self._doubtful.ready(last)
        if ready is None or self._bound is None:
            return
        places, rows, targets = ready
        # Equal odds are let through: the bound is a little too wide already.
        may = np.flatnonzero(self._allowed[places] & ~(self._head.odds(rows, targets) > self._bound))
        self._hopeful.add(places[may], rows[may], targets[may])

    def _chances(self, last: bool) -> None:
        ready = self._hopeful.ready(last)
        if ready is None:
            return
        places, rows, targets = ready
        found = self._head.chances(rows, targets)
        self._logprobs[places] = found
        asked = np.flatnonzero(flags(found, self._loose) & self._allowed[places])
        self._flagged.add(places[asked], rows[asked], targets[asked])

    def _rivals(self, last: bool) -> None:
        ready = self._flagged.ready(last)
        if ready is None:
            return
        places, rows, targets = ready
        own, best, ids = self._head.best(rows, targets, self._ask.k)
        self._logprobs[places] = own
        sure = np.flatnonzero(flags(own, self._ask))
        places, best, ids = places[sure], best[sure], ids[sure]
        mass, cap = self._ask.mass, self._ask.cap
        if mass is not None and cap > self._ask.k:
            short = np.flatnonzero(np.exp(best.astype(np.float64)).sum(axis=1) < mass)
            if short.size:
                _, more, more_ids = self._head.best(rows[sure[short]], targets[sure[short]], cap)
                cut_to_mass(more, more_ids, self._ask.k, mass)
                best, ids = widen(best, more.shape[1], -np.inf), widen(ids, more.shape[1], -1)
                best[short], ids[short] = more, more_ids
        self._found.append((places, ids, best))


def rules_out(ask: Ask) -> bool:
    """Whether a part of the vocabulary can settle a row: only high probabilities are asked for, and nothing else."""
    return ask.every > 1 and ask.below is None and ask.above is not None and ask.above >= 0.5
