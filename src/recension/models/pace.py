"""How many requests are on their way at once: as many as a server bears, found by trying."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

START = 16
SLOWER = 0.6  # what is left of the limit after a server said that it is too much
EASIER = 0.9  # the same where answers only take longer and longer
LATE = 4.0  # times the usual wait, from where on more at once brings nothing
SMOOTH = 0.05


class Pace:
    """Additive increase, multiplicative decrease.

    The limit doubles in each round of answers until the first trouble, and grows by one a round from then on. A refusal
    cuts it at most once in the time that a request takes, since all that were on their way then say the same. Where a
    server names a time to wait, nobody asks before.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self.limit = float(min(START, most))
        self.under_way = 0
        self._clock = clock
        self._queue: deque[asyncio.Future[None]] = deque()
        self._climbing = True
        self._cut_at = 0.0
        self._closed_until = 0.0
        self._usual: float | None = None  # the shortest wait seen, forgotten slowly
        self._now: float | None = None  # the wait at the moment, smoothed
        self._ended = asyncio.Event()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Callable[[], None]]:
        """A place among those under way; first come, first served. What it gives leaves the place before the block ends."""
        if self._ended.is_set():
            raise asyncio.CancelledError
        if self.under_way >= int(self.limit) or self._queue:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queue.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._leave()
                raise
        else:
            self.under_way += 1
        left = False

        def leave() -> None:
            nonlocal left
            if not left:
                left = True
                self._leave()

        try:
            while (wait := self._closed_until - self._clock()) > 0:
                await self.rest(wait)
            yield leave
        finally:
            leave()

    async def rest(self, seconds: float) -> None:
        """Wait so long, or end where nobody is let in any more."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
        if self._ended.is_set():
            raise asyncio.CancelledError

    def end(self) -> None:
        """Let nobody in any more: who waits for a place or for the next attempt is cancelled, who is on the way goes on."""
        self._ended.set()
        while self._queue:
            self._queue.popleft().cancel()

    def answered(self, seconds: float) -> None:
        """A request was answered after that long."""
        self._now = seconds if self._now is None else self._now + SMOOTH * (seconds - self._now)
        self._usual = seconds if self._usual is None else min(seconds, self._usual * 1.001)
        if self.under_way < int(self.limit) * 0.8:
            return  # the limit was not what held anybody back
        if self._now > 2 * LATE * self._usual:
            self._cut(EASIER)
        elif self._now < LATE * self._usual:
            self.limit = min(self.limit + (1.0 if self._climbing else 1.0 / self.limit), float(self.most))

    def refused(self, wait: float | None = None) -> None:
        """The server said that it is too much, broke off, or took too long."""
        if wait:
            self._closed_until = max(self._closed_until, self._clock() + wait)
        self._cut(SLOWER)

    def _cut(self, share: float) -> None:
        self._climbing = False
        if self._clock() - self._cut_at >= (self._now or 0.05):
            self._cut_at = self._clock()
            self.limit = max(self.limit * share, 1.0)

    def _leave(self) -> None:
        self.under_way -= 1
        while self._queue and self.under_way < int(self.limit):
            turn = self._queue.popleft()
            if not turn.done():
                self.under_way += 1
                turn.set_result(None)
