"""One shard of a writing verb: many rows under way at once, written in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from recension.corpus import BadRow, Layout, Piece, Reading, Record, check_unchanged, read_piece, set_aside
from recension.recipes.edit.task import share_of
from recension.recipes.writing.rows import SCHEMA, Author, Units, Written, batch_of
from recension.recipes.writing.tally import Tally
from recension.run.progress import Pulse
from recension.run.receipts import Receipt
from recension.run.shards import ShardPlan, ShardWriter

BATCH_CHARACTERS = 1 << 20
AT_ONCE = 2  # rows that are read in one round of the loop


class Verb(Protocol):
    """What becomes of one row."""

    async def __call__(self, record: Record) -> Units: ...


@dataclass(frozen=True)
class WriteTask:
    """Reads a piece and writes its shard. `window` rows are under way at once, so memory does not grow with the shard."""

    plan: ShardPlan
    reading: Reading
    layout: Layout
    verb: Verb
    author: Author
    window: int

    async def __call__(self, piece: Piece) -> Receipt:
        check_unchanged(piece.files)
        pulse = Pulse(self.plan.out, piece.index)
        tally = Tally()
        under_way: deque[tuple[Record | BadRow, asyncio.Task[Units] | None]] = deque()
        with ShardWriter(self.plan, piece.index) as shard:
            page = _Page(shard, self.author)
            try:
                for number, item in enumerate(read_piece(piece, self.reading, self.layout)):
                    if number % AT_ONCE == 0:
                        await asyncio.sleep(0)
                    while len(under_way) >= self.window:
                        await self._settle(under_way, page, tally, (pulse, piece))
                    running = asyncio.create_task(_units(self.verb, item)) if isinstance(item, Record) else None
                    under_way.append((item, running))
                while under_way:
                    await self._settle(under_way, page, tally, (pulse, piece))
            finally:
                for _, task in under_way:
                    if task is not None:
                        task.cancel()
                await asyncio.gather(*(task for _, task in under_way if task), return_exceptions=True)
            page.write()
            check_unchanged(piece.files)
            stats = {"tokens": tally.counted("kept", "tokens"), **tally.to_json()}
            receipt = await _aside(
                lambda: shard.commit(stats, tuple(file.label for file in piece.files), piece.rows_cap)
            )
        pulse.end()
        return receipt

    async def _settle(
        self,
        under_way: deque[tuple[Record | BadRow, asyncio.Task[Units] | None]],
        page: _Page,
        tally: Tally,
        shown: tuple[Pulse, Piece],
    ) -> None:
        """Wait for the oldest row and put it down."""
        item, task = under_way[0]
        if task is None:
            assert isinstance(item, BadRow)
            page.shard.row(1)
            page.shard.drop(item)
            units = Units()
        else:
            assert isinstance(item, Record)
            units = await task
            page.shard.row(len(units))
            for number, lost in enumerate(units.lost):
                bad = set_aside(item, lost.reason, lost.detail)
                # The original row stands there once, however many of its texts were lost.
                page.shard.drop(bad if number == 0 else replace(bad, original=b""))
            page.add(item, units.written)
            tally.add(units.tally)
        under_way.popleft()
        pulse, piece = shown
        tokens = units.tally.counted("kept", "tokens")
        pulse.add(len(units.written), tokens, max(len(units.lost), task is None), share_of(piece, [item]))


async def _aside(commit: Callable[[], Receipt]) -> Receipt:
    """Wait for the disk in a thread, so that the other shards go on asking. Once begun it is seen to its end, also by who is
    cancelled: nothing is taken away below it.
    """
    committing = asyncio.ensure_future(asyncio.to_thread(commit))
    try:
        return await asyncio.shield(committing)
    finally:
        await asyncio.wait([committing])


async def _units(verb: Callable[[Record], Awaitable[Units]], record: Record) -> Units:
    units = await verb(record)
    if not len(units):
        raise AssertionError(f"{record.document.id} was read and is nowhere")
    return units


class _Page:
    """Rows that wait to be written together."""

    def __init__(self, shard: ShardWriter, author: Author) -> None:
        self.shard = shard
        self._author = author
        self._rows: list[tuple[Record, Written]] = []
        self._size = 0

    def add(self, record: Record, written: list[Written]) -> None:
        self._rows += [(record, one) for one in written]
        self._size += sum(len(one.text) for one in written)
        if self._size >= BATCH_CHARACTERS:
            self.write()

    def write(self) -> None:
        if self._rows:
            self.shard.write(batch_of(self._rows, self._author))
            self._rows, self._size = [], 0


SCHEMAS: dict[str, Any] = {"data": SCHEMA}
