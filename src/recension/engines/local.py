"""Processes of this machine, one pinned to each core."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

from recension.errors import WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")

_task: Callable[[Any], Any] | None = None


def _begin(task: Callable[[Any], Any], cores: Any, parent: int) -> None:
    """Runs once in each worker: the task (with the models it will load) lives as long as the process."""
    global _task
    _task = task
    os.environ["RAYON_NUM_THREADS"] = "1"  # the tokenizer would start a thread for every core in every worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; workers are told
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    with cores.get_lock():
        number = cores.value
        cores.value += 1
    if hasattr(os, "sched_setaffinity"):
        mine = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {mine[number % len(mine)]})


def _die_with(parent: int) -> None:
    """A parent that was killed cannot say so, and a worker that lives on would write into a folder it does not hold.

    The parent has told its number: it may be gone before a worker can look.
    """
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def _work(item: Any) -> Any:
    assert _task is not None
    return _task(item)


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """`workers` = 1 runs in this process; more start that many. Items wait in the parent, two for each worker."""

    workers: int = 1

    def map(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        if self.workers <= 1:
            return map(task, items)
        return self._map(task, items)

    def _map(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        # spawn: forking a process that has threads (arrow, torch, tokenizers) can deadlock.
        context = multiprocessing.get_context("spawn")
        cores = context.Value("i", 0)
        pool = ProcessPoolExecutor(self.workers, context, initializer=_begin, initargs=(task, cores, os.getpid()))
        pending: set[Future[Result]] = set()
        ended = False
        try:
            for item in items:
                pending.add(_submit(pool, item))
                while len(pending) >= 2 * self.workers:
                    yield from _finished(pending)
            while pending:
                yield from _finished(pending)
            ended = True
        except BrokenProcessPool:
            raise WorkerError(
                "a worker process was killed (out of memory?); nothing finished is lost: "
                "run the same command again, perhaps with fewer --workers (a script of your own must start its work "
                "under `if __name__ == '__main__':`)"
            ) from None
        finally:
            if not ended:
                _stop(pool, pending)
            pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, item: Any) -> Future[Any]:
    """Submitting may start a process; it inherits that Ctrl-C is held back, also before it can say so itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_work, item)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _finished(pending: set[Future[Result]]) -> Iterator[Result]:
    done, _ = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        pending.discard(future)
        yield future.result()


def _stop(pool: ProcessPoolExecutor, pending: set[Future[Any]]) -> None:
    """End the workers now: what they had not receipted is done again by the next call."""
    for future in pending:
        future.cancel()
    for process in list((pool._processes or {}).values()):
        process.terminate()
