"""Tasks that wait more than they work, in one event loop of this thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class LoopEngine:
    """`at_once` tasks are under way, so that the last answers of one do not leave a server idle.

    The task returns an awaitable. The loop belongs to the caller, who has more to do in it before and after.
    """

    loop: asyncio.AbstractEventLoop
    at_once: int = 2

    def map(self, task: Callable[[Item], Any], items: Iterable[Item]) -> Iterator[Any]:
        pending: set[asyncio.Task[Any]] = set()
        try:
            for item in items:
                pending.add(self.loop.create_task(_awaited(task(item))))
                while len(pending) >= self.at_once:
                    yield from self._finished(pending)
            while pending:
                yield from self._finished(pending)
        finally:
            for running in pending:
                running.cancel()
            if pending:
                self.loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))

    def _finished(self, pending: set[asyncio.Task[Any]]) -> Iterator[Any]:
        done, _ = self.loop.run_until_complete(asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED))
        pending -= done
        failed = next((one for one in done if one.exception() is not None), None)
        for one in done:
            if one.exception() is None:
                yield one.result()
        if failed is not None:
            failed.result()


async def _awaited(waiting: Awaitable[Result]) -> Result:
    return await waiting
