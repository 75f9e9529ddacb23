"""Token windows for texts of any length: nothing is truncated, every token is scored once."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import NamedTuple

from recension.errors import ModelError

SMALLEST_CONTEXT = 4
OVERLAP = 0.25  # of the context, with the window before


class Window(NamedTuple):
    """The tokens `start:stop` of a text, read together; those from `first` on get their score here."""

    start: int
    stop: int
    first: int


def windows(length: int, context: int, bos: bool) -> list[Window]:
    """Windows over a text of `length` tokens for a model that reads `context` tokens, its BOS included.

    Later windows begin three quarters of a context further on and score only what no earlier window has scored, so
    every
    token beyond the first window has at least a quarter of the context before it. Without a BOS the first token of
    the text has nothing before it;
    the window's `first` is then 1.
    """
    if context < SMALLEST_CONTEXT:
        raise ModelError(f"a context of {context} tokens is too short to score texts: it takes {SMALLEST_CONTEXT}")
    room = context - 1 if bos else context
    stride = context - int(context * OVERLAP)
    cut: list[Window] = []
    scored = 0 if bos else 1
    start = 0
    while scored < length:
        stop = min(start + room, length)
        cut.append(Window(start, stop, scored))
        scored = stop
        start += stride
    return cut


def packs(lengths: Sequence[int], budget: int, mixed: bool) -> list[list[int]]:
    """Group windows into packs of at most `budget` tokens; a longer one goes alone.

    Where a pack may be `mixed`, each window goes, longest first, where it leaves least room; else windows of one length
    stay together. The plan depends on the lengths alone, so the same texts always make the same packs.
    """
    plan: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # (room, pack), by room
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        best = bisect_left(rooms, (lengths[i], 0)) if mixed else len(rooms) - 1
        if 0 <= best < len(rooms) and rooms[best][0] >= lengths[i]:
            room, pack = rooms.pop(best)
        else:
            room, pack = budget, len(plan)
            plan.append([])
        plan[pack].append(i)
        if mixed:
            insort(rooms, (room - lengths[i], pack))
        else:
            rooms = [(room - lengths[i], pack)]
    return plan
