"""What every engine promises: the local one, in one process and in several, and threads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from recension.engines.local import LocalEngine
from recension.engines.threads import ThreadEngine, stop_here
from recension.errors import OutputError, WorkerError
from recension.ports import Engine

ENGINES = [LocalEngine(1), LocalEngine(2), ThreadEngine(2)]


@dataclass(frozen=True)
class Double:
    fails_at: int = -1

    def __call__(self, item: int) -> tuple[int, int]:
        if item == self.fails_at:
            raise OutputError(f"no room for {item}")
        return item * 2, os.getpid()


class Die:
    def __call__(self, item: int) -> int:
        if item == 2:
            os._exit(9)
        return item


@dataclass(frozen=True)
class Mark:
    folder: Path

    def __call__(self, item: int) -> int:
        (self.folder / f"began-{item}-{os.getpid()}").touch()
        time.sleep(30)
        return item


@pytest.mark.parametrize("engine", ENGINES)
def test_each_item_exactly_once(engine):
    assert isinstance(engine, Engine)
    assert sorted(r for r, _ in engine.map(Double(), range(20))) == [2 * i for i in range(20)]


@pytest.mark.parametrize("engine", ENGINES)
def test_items_are_drawn_lazily(engine):
    drawn = []

    def items():
        for i in range(100):
            drawn.append(i)
            yield i

    results = engine.map(Double(), items())
    next(results)
    assert len(drawn) <= 2 * engine.workers + 1
    assert sum(1 for _ in results) == 99


@pytest.mark.parametrize("engine", ENGINES)
def test_an_error_ends_the_iteration_as_it_is(engine):
    with pytest.raises(OutputError, match="no room for 3"):
        list(engine.map(Double(fails_at=3), range(10)))


class Where:
    def __call__(self, item: int) -> int:
        time.sleep(0.3)
        return os.getpid()


def test_several_workers_are_several_processes():
    assert len(set(LocalEngine(2).map(Where(), range(8))) - {os.getpid()}) == 2


def test_a_dead_worker_is_said_plainly():
    with pytest.raises(WorkerError, match="run the same command again"):
        list(LocalEngine(2).map(Die(), range(5)))


PARENT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_engine_contract import Mark
from recension.engines.local import LocalEngine
if __name__ == "__main__":
    list(LocalEngine(2).map(Mark(Path({folder!r})), range(4)))
"""


def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(tests=str(Path(__file__).parent), folder=str(tmp_path)))
    parent = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while len(list(tmp_path.glob("began-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = [int(p.name.split("-")[-1]) for p in tmp_path.glob("began-*")]
    parent.kill()
    parent.wait()
    assert len(workers) == 2
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for children in /proc")
def test_workers_do_not_outlive_a_parent_that_is_killed_before_they_begin(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(tests=str(Path(__file__).parent), folder=str(tmp_path)))
    parent = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
    deadline, children = time.monotonic() + 30, list[str]()
    while len(children) < 3 and time.monotonic() < deadline:  # two workers, and who tidies up behind them
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    parent.kill()
    parent.wait()
    assert len(children) == 3 and not list(tmp_path.glob("began-*"))
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


def test_a_thread_that_looks_is_stopped():
    rounds: list[int] = []

    def task(item: int) -> int:
        if item == 1:
            raise OutputError("no room")
        while True:  # ends only because the engine says so
            stop_here()
            rounds.append(item)
            time.sleep(0.01)

    with pytest.raises(OutputError):
        list(ThreadEngine(2).map(task, range(2)))
    seen = len(rounds)
    time.sleep(0.05)
    assert len(rounds) == seen
    stop_here()  # outside an engine it does nothing
