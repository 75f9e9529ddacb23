"""What a step learns from: windows of a token stream, or samples packed into rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from recension.training.order import Order
from recension.training.tokens import TokenStore

Ints = NDArray[np.int64]
IGNORED = -100


class Arrays(NamedTuple):
    """Rows of one length. Without `positions` a row is one text; `segments` says to which sample a token belongs."""

    ids: Ints
    targets: Ints
    positions: Ints | None = None
    segments: Ints | None = None


class Feed(Protocol):
    """The data of every step, the same for whoever asks."""

    @property
    def order(self) -> Order: ...

    def rows(self, step: int, rank: int, ranks: int) -> list[Arrays]:
        """The rows of one device in micro-batches."""

    def learnt(self, step: int) -> int:
        """How many targets all rows of a step have, on all devices together."""

    def read(self, step: int) -> int:
        """How many tokens all rows of a step hold."""


@dataclass(frozen=True)
class Windows:
    """Pretraining: `context` tokens of a source, each predicted from those before it in the window.

    The first stands behind `lead`, so every token of a corpus is a target once in an epoch. A source whose length is
    no multiple of the window begins every epoch a little further on, so that no token is always left out.
    """

    stores: Sequence[TokenStore]
    order: Order
    context: int
    micro: int
    lead: int

    def rows(self, step: int, rank: int, ranks: int) -> list[Arrays]:
        chosen = self.order.rows(step, rank, ranks)
        targets = np.empty((len(chosen.place), self.context), dtype=np.int64)
        for number, store in enumerate(self.stores):
            mine = chosen.source == number
            if mine.any():
                shift = chosen.epoch[mine] * (store.tokens % self.context)
                targets[mine] = store.take(chosen.place[mine] * self.context + shift, self.context)
        ids = np.empty_like(targets)
        ids[:, 0], ids[:, 1:] = self.lead, targets[:, :-1]
        return [Arrays(ids[a : a + self.micro], targets[a : a + self.micro]) for a in range(0, len(ids), self.micro)]

    def learnt(self, step: int) -> int:
        return self.order.batch * self.context

    def read(self, step: int) -> int:
        return self.order.batch * self.context


def window_count(store: TokenStore, context: int) -> int:
    """How many rows an epoch of a source has; a source shorter than a window is one, and is repeated in it."""
    return max(1, store.tokens // context)


@dataclass(frozen=True)
class Packs:
    """Fine-tuning: whole samples side by side in rows of at most `context` tokens; only what is to be learnt is a target."""

    store: TokenStore
    order: Order
    packs: Sequence[Ints]
    micro: int
    lead: int
    packed: bool = True

    def rows(self, step: int, rank: int, ranks: int) -> list[Arrays]:
        chosen = self.order.rows(step, rank, ranks).place
        return [
            self._arrays([self.packs[int(i)] for i in chosen[a : a + self.micro]])
            for a in range(0, len(chosen), self.micro)
        ]

    def learnt(self, step: int) -> int:
        return self._totals(step)[0]

    def read(self, step: int) -> int:
        return self._totals(step)[1]

    @cached_property
    def _sizes(self) -> Ints:
        """For each pack how many targets and how many tokens it has."""
        found = np.zeros((len(self.packs), 2), dtype=np.int64)
        for number, members in enumerate(self.packs):
            _, learn, lengths = self.store.documents(members)
            found[number] = learn.sum(), lengths.sum()
        return found

    def _totals(self, step: int) -> tuple[int, int]:
        learnt, tokens = self._sizes[self.order.rows(step).place].sum(axis=0)
        return int(learnt), int(tokens)

    def _arrays(self, packs: Sequence[Ints]) -> Arrays:
        found = [self.store.documents(members) for members in packs]
        width = max(int(lengths.sum()) for _, _, lengths in found)
        shape = (len(packs), width)
        ids, targets = np.full(shape, self.lead), np.full(shape, IGNORED)
        positions, segments = np.zeros(shape, dtype=np.int64), np.full(shape, -1)
        for row, (tokens, learn, lengths) in enumerate(found):
            end = len(tokens)
            starts = np.cumsum(lengths) - lengths
            ids[row, 1:end] = tokens[:-1]
            ids[row, starts] = self.lead  # the first token of each sample has nothing before it
            targets[row, :end] = np.where(learn > 0, tokens, IGNORED)
            segments[row, :end] = np.repeat(np.arange(len(lengths)), lengths)
            positions[row, :end] = np.arange(end) - np.repeat(starts, lengths)
        # A sample that has a row of its own needs no mask: nothing looks ahead to the padding behind it.
        return Arrays(ids, targets, positions, segments) if self.packed else Arrays(ids, targets)


def pack(lengths: Ints, context: int, packed: bool) -> list[Ints]:
    """Samples to rows: longest first, each where it leaves least room. Without `packed` each has a row of its own."""
    from bisect import bisect_left, insort

    if not packed:
        return [np.array([i], dtype=np.int64) for i in range(len(lengths))]
    rows: list[list[int]] = []
    shortest = int(min(lengths, default=0))
    rooms: list[tuple[int, int]] = []  # (room, row), by room
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = int(lengths[i])
        best = bisect_left(rooms, (length, 0))
        if best < len(rooms):
            room, row = rooms.pop(best)
        else:
            room, row = context, len(rows)
            rows.append([])
        rows[row].append(i)
        if room - length >= shortest:  # full rows would only be in the way
            insort(rooms, (room - length, row))
    return [np.array(row, dtype=np.int64) for row in rows]
