"""Locks, manifests, passes and journals, on real folders."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from recension.engines.local import LocalEngine
from recension.errors import LockedError, ManifestMismatchError, OutputError
from recension.run import folder
from recension.run.manifest import Manifest, open_run, read_manifest
from recension.run.passes import Pass, run_pass


def manifest(**spec) -> Manifest:
    return Manifest("edit", 1, {"spec": {"threshold": 0.99, **spec}, "inputs": [{"label": "a.jsonl", "size": 3}]})


def test_the_same_run_is_opened_again(tmp_path):
    with open_run(tmp_path / "out", manifest()) as first:
        first.decide("budget", {"threshold": 0.5})
    with open_run(tmp_path / "out", manifest()) as second:
        assert second.manifest.decided == {"budget": {"threshold": 0.5}}
        assert second.key == first.key


def test_a_decision_is_part_of_the_key(tmp_path):
    with open_run(tmp_path / "out", manifest()) as run:
        before = run.key
        run.decide("budget", {"threshold": 0.5})
        assert run.key != before


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (manifest(threshold=0.9), "spec.threshold was 0.99, now 0.9"),
        (manifest(top_k=8), "spec.top_k was absent, now 8"),
        (
            Manifest("edit", 1, {**manifest().identity, "inputs": [{"label": "a.jsonl", "size": 4}]}),
            "inputs[a.jsonl].size was 3, now 4",
        ),
        (Manifest("revert", 1, manifest().identity), 'recipe was "edit", now "revert"'),
    ],
)  # fmt: skip
def test_another_run_is_refused_with_the_difference(tmp_path, other, said):
    with open_run(tmp_path / "out", manifest()):
        pass
    with pytest.raises(ManifestMismatchError, match="--fresh") as error, open_run(tmp_path / "out", other):
        pass
    assert said in str(error.value)


def test_fresh_starts_over(tmp_path):
    out = tmp_path / "out"
    with open_run(out, manifest()):
        (out / "data").mkdir()
        (out / "data" / "00000.parquet").write_bytes(b"old")
    with open_run(out, manifest(threshold=0.5), fresh=True):
        assert not (out / "data").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for fresh in (False, True):
        with pytest.raises(OutputError, match=r"thesis\.tex"), open_run(tmp_path, manifest(), fresh):
            pass
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_run_that_was_killed_while_it_began_goes_on(tmp_path):
    (tmp_path / ".manifest.json.4711").write_bytes(b'{"rec')
    with open_run(tmp_path, manifest()):
        folder.clear_scratch(tmp_path)
    assert not (tmp_path / ".manifest.json.4711").exists() and folder.is_run(tmp_path)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="is a file"), open_run(tmp_path / "out", manifest()):
        pass


def test_a_manifest_changed_by_hand_is_noticed(tmp_path):
    with open_run(tmp_path, manifest()):
        pass
    raw = json.loads((tmp_path / "manifest.json").read_text())
    raw["spec"]["threshold"] = 0.5
    (tmp_path / "manifest.json").write_text(json.dumps(raw))
    with pytest.raises(OutputError, match="changed by hand"):
        read_manifest(tmp_path)


HOLD = (
    "import sys, time\nfrom pathlib import Path\nfrom recension.run.folder import locked\n"
    "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
)


def test_a_second_process_is_refused_and_a_killed_one_lets_go(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=f"process {holder.pid}"), folder.locked(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with folder.locked(tmp_path):
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@dataclass(frozen=True)
class Item:
    index: int
    skipped: bool = False


@dataclass(frozen=True)
class Square:
    """Counts its calls in a file, and dies at one item while a mark is there."""

    trace: Path
    dies_at: int = -1

    def __call__(self, item: Item) -> bytes:
        if item.index == self.dies_at and (self.trace.parent / "die").exists():
            raise OutputError("killed")
        with self.trace.open("a") as file:
            file.write(f"{item.index}\n")
        return str(item.index**2).encode()


def add(left: bytes, right: bytes) -> bytes:
    return str(int(left) + int(right)).encode()


def items(skip):
    return (Item(i, skip(i)) for i in range(6))


@pytest.fixture
def opened(tmp_path):
    with open_run(tmp_path / "run", manifest()) as run:
        yield run


@pytest.mark.parametrize("workers", [1, 2])
def test_a_pass_goes_on_where_it_was_and_is_done_once(opened, tmp_path, workers):
    trace = tmp_path / "trace"
    work = Pass("sum", {"v": 1}, Square(trace, dies_at=3), add)
    (tmp_path / "die").touch()
    with pytest.raises(OutputError, match="killed"):
        run_pass(opened, work, LocalEngine(1), items)
    assert trace.read_text().split() == ["0", "1", "2"]
    (tmp_path / "die").unlink()
    assert run_pass(opened, work, LocalEngine(workers), items) == b"55"
    assert sorted(trace.read_text().split()) == ["0", "1", "2", "3", "4", "5"]
    assert run_pass(opened, work, LocalEngine(1), items) == b"55"
    assert len(trace.read_text().split()) == 6
    other = Pass("sum", {"v": 2}, Square(trace), add)
    assert run_pass(opened, other, LocalEngine(1), items) == b"55"
    assert len(trace.read_text().split()) == 12


def test_a_damaged_state_is_made_again(opened, tmp_path):
    work = Pass("sum", {}, Square(tmp_path / "trace"), add)
    run_pass(opened, work, LocalEngine(1), items)
    (opened.out / "passes" / "sum" / "result").write_bytes(b"99")
    assert run_pass(opened, work, LocalEngine(1), items) == b"55"


def test_a_worker_of_another_holder_is_turned_away(opened):
    with folder.worker(opened.out, opened.holder):
        pass
    with pytest.raises(LockedError, match="was killed"), folder.worker(opened.out, "process 1 on elsewhere (0)"):
        pass


def test_an_atomic_write_survives_a_kill_at_any_moment(tmp_path):
    """A writer that is killed again and again leaves the old or the new content, whole."""
    target = tmp_path / "file"
    folder.write_atomic(target, b"0" * 100_000)
    for round_ in range(12):
        writer = multiprocessing.get_context("fork").Process(target=_write_forever, args=(target,))
        writer.start()
        time.sleep(0.002 * round_)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        writer.close()
        content = target.read_bytes()
        assert len(content) == 100_000 and len(set(content)) == 1


def _write_forever(target: Path) -> None:
    for i in range(10_000):
        folder.write_atomic(target, str(i % 10).encode() * 100_000)
