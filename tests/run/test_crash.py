"""Killed anywhere, short of space, or not allowed to write: nothing lost, nothing doubled, the next call finishes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.recipes.conftest import make_rows, read, tree, write_jsonl
from tests.warm import recension, start

from recension import verify

KILLS, ROWS = 10, 140


def command(source: Path, out: Path, workers: int) -> list[str]:
    flags = ["--prior", "fake:sure", "--exclude-original", "--change-share", "0.1", "--shard-bytes", "3500"]
    return ["edit", str(source), "-o", str(out), *flags, "--workers", str(workers)]


def finish(source: Path, out: Path, workers: int) -> None:
    done = recension(*command(source, out, workers))
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, Path, dict[int, float]]:
    """An undisturbed run, and how long it takes with one worker and with two."""
    folder = tmp_path_factory.mktemp("crash")
    rows: list = make_rows(ROWS)
    rows[100] = b"{broken"
    source = write_jsonl(folder / "in.jsonl", rows)
    seconds = {}
    for workers, name in ((1, "whole"), (2, "other")):
        began = time.monotonic()
        finish(source, folder / name, workers)
        seconds[workers] = time.monotonic() - began
    _check(folder / "other", folder / "whole")
    return source, folder / "whole", seconds


@pytest.mark.parametrize("part", range(2))
def test_killed_at_random_moments_it_ends_with_the_same_bytes(whole, tmp_path, part):
    """SIGKILL to the parent (every other time to its whole group), again and again, on runs with 1 and 2 workers.

    One moment in each fifth of a run, in any order.
    """
    source, expected, seconds = whole
    rng = random.Random(part)
    moments = [(i + rng.random()) / (KILLS // 2) for i in range(KILLS // 2)]
    rng.shuffle(moments)
    finished = 0
    while moments:
        out = tmp_path / f"out{finished}"
        workers = rng.choice([1, 1, 2])
        said = tmp_path / "said"
        with said.open("w") as file:
            process = start(command(source, out, workers), file, session=True)
        try:
            process.wait(moments[-1] * seconds[workers])
        except subprocess.TimeoutExpired:
            moments.pop()
            if len(moments) % 2:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()  # the workers live on for a moment
            process.wait()
            continue
        assert process.returncode == 0, said.read_text()
        _check(out, expected)
        finished += 1
        moments[-1] *= 0.8  # it was over before
    out = tmp_path / f"out{finished}"
    finish(source, out, 1)
    _check(out, expected)


def _check(out: Path, expected: Path) -> None:
    assert tree(out) == tree(expected)
    proof = verify(out)
    assert proof.sound and (proof.rows, proof.written, proof.dropped) == (ROWS, ROWS - 1, 1)


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(tmp_path):
    source, out = write_jsonl(tmp_path / "in.jsonl", make_rows(700)), tmp_path / "out"  # long enough to be interrupted
    for workers in (1, 2):
        shutil.rmtree(out, ignore_errors=True)
        with (tmp_path / "said").open("w") as file:
            process = start(command(source, out, workers), file, session=True)
        while not list((out / "receipts").glob("*.json")) and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(30)
        said = (tmp_path / "said").read_text()
        assert process.returncode == 130 and "run the same command again" in said and "Traceback" not in said
        assert not verify(out).complete and not verify(out).problems
    finish(source, out, 2)
    assert verify(out).sound and verify(out).rows == 700


needs_mount = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs root to mount a tmpfs")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 160 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("this machine does not let a test mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@needs_mount
@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_fails_with_one_line_and_resumes(whole, small_disk, workers):
    source, expected, _ = whole
    out = small_disk / "out"
    done = recension(*command(source, out, workers))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("recension: no space left while writing")
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    finish(source, out, workers)
    _check(out, expected)


@needs_mount
def test_a_read_only_output_fails_with_one_line_and_resumes(whole, small_disk):
    source, expected, _ = whole
    subprocess.run(["mount", "-o", "remount,size=8m,ro", str(small_disk)], check=True)
    done = recension(*command(source, small_disk / "out", 1))
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "read-only" in done.stderr
    subprocess.run(["mount", "-o", "remount,size=8m,rw", str(small_disk)], check=True)
    finish(source, small_disk / "out", 1)
    _check(small_disk / "out", expected)


def test_two_processes_on_one_folder_the_second_refuses(whole, tmp_path):
    source, expected, _ = whole
    out = tmp_path / "out"
    with (tmp_path / "said").open("w") as file:
        first = start(command(source, out, 1), file)
    while not (out / "manifest.json").exists():
        time.sleep(0.01)
    second = recension(*command(source, out, 1))
    assert second.returncode == 2 and "is in use by process" in second.stderr
    assert first.wait() == 0
    _check(out, expected)
    assert len(read(out)) == ROWS - 1
