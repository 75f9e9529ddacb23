"""Threads of this process, for tasks that share something no two processes can: a model on a GPU, say."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

TURN = 0.0005  # seconds a thread may keep the interpreter: the one that feeds the GPU must not wait long for it

Item = TypeVar("Item")
Result = TypeVar("Result")

_STOP: ContextVar[threading.Event | None] = ContextVar("stop", default=None)


def stop_here() -> None:
    """Ends the task that calls it if its engine is stopping: a thread cannot be ended from outside."""
    event = _STOP.get()
    if event is not None and event.is_set():
        raise CancelledError


@dataclass(frozen=True, slots=True)
class ThreadEngine:
    """Each thread works on an item of its own. One more item waits, so no thread does."""

    workers: int = 3

    def map(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        stop = threading.Event()

        def work(item: Item) -> Result:
            token = _STOP.set(stop)
            try:
                return task(item)
            finally:
                _STOP.reset(token)

        pool = ThreadPoolExecutor(self.workers)
        pending: set[Future[Result]] = set()
        before = sys.getswitchinterval()
        sys.setswitchinterval(min(before, TURN))
        try:
            for item in items:
                pending.add(pool.submit(work, item))
                while len(pending) > self.workers:
                    yield from _finished(pending)
            while pending:
                yield from _finished(pending)
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            sys.setswitchinterval(before)


def _finished(pending: set[Future[Result]]) -> Iterator[Result]:
    done, _ = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        pending.discard(future)
        yield future.result()
