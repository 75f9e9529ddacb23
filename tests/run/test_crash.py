"""Killed anywhere, short of space, or not allowed to write: nothing lost, nothing doubled, the next call finishes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.recipes.conftest import make_rows, read, tree, write_jsonl

import recension

KILLS = 50
RECENSION = [sys.executable, "-m", "recension"]


def command(source: Path, out: Path, workers: int) -> list[str]:
    flags = ["--prior", "fake:sure", "--exclude-original", "--change-share", "0.1", "--shard-bytes", "6000"]
    return [*RECENSION, "edit", str(source), "-o", str(out), *flags, "--workers", str(workers)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, Path, float]:
    """An undisturbed run, and how long it takes."""
    folder = tmp_path_factory.mktemp("crash")
    rows: list = make_rows(260)
    rows[100] = b"{broken"
    source = write_jsonl(folder / "in.jsonl", rows)
    began = time.monotonic()
    subprocess.run(command(source, folder / "whole", 1), check=True, capture_output=True)
    return source, folder / "whole", time.monotonic() - began


@pytest.mark.parametrize("part", range(2))
def test_killed_at_random_moments_it_ends_with_the_same_bytes(whole, tmp_path, part):
    """SIGKILL to the parent (every other time to its whole group), again and again, on runs with 1 and 2 workers."""
    source, expected, seconds = whole
    rng = random.Random(part)
    kills = finished = 0
    out = tmp_path / "out"
    while kills < KILLS // 2:
        workers = rng.choice([1, 1, 2])
        said = tmp_path / "stderr"
        with said.open("w") as stderr:
            process = subprocess.Popen(
                command(source, out, workers), stdout=stderr, stderr=stderr, start_new_session=True
            )
        try:
            process.wait(rng.uniform(0.2, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            kills += 1
            if kills % 2:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()  # the workers live on for a moment
            process.wait()
            continue
        assert process.returncode == 0, said.read_text()
        _check(out, expected)
        finished += 1
        shutil.rmtree(out)
    subprocess.run(command(source, out, 1), check=True, capture_output=True)
    _check(out, expected)


def _check(out: Path, expected: Path) -> None:
    assert tree(out) == tree(expected)
    proof = recension.verify(out)
    assert proof.sound and (proof.rows, proof.written, proof.dropped) == (260, 259, 1)


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(whole, tmp_path):
    source, expected, _ = whole
    out = tmp_path / "out"
    for workers in (1, 2):
        for _ in range(3):  # on a busy machine the run may be over before it is interrupted
            shutil.rmtree(out, ignore_errors=True)
            process = subprocess.Popen(
                command(source, out, workers),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            while not list((out / "receipts").glob("*.json")) and process.poll() is None:
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGINT)
            _, said = process.communicate(timeout=30)
            if process.returncode:
                break
        assert process.returncode == 130 and "run the same command again" in said and "Traceback" not in said
        assert not recension.verify(out).complete and not recension.verify(out).problems
    subprocess.run(command(source, out, 2), check=True, capture_output=True)
    _check(out, expected)


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
    done = subprocess.run(command(source, out, workers), capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("recension: no space left while writing")
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    subprocess.run(command(source, out, workers), check=True, capture_output=True)
    _check(out, expected)


@needs_mount
def test_a_read_only_output_fails_with_one_line_and_resumes(whole, small_disk):
    source, expected, _ = whole
    subprocess.run(["mount", "-o", "remount,size=8m,ro", str(small_disk)], check=True)
    done = subprocess.run(command(source, small_disk / "out", 1), capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "read-only" in done.stderr
    subprocess.run(["mount", "-o", "remount,size=8m,rw", str(small_disk)], check=True)
    subprocess.run(command(source, small_disk / "out", 1), check=True, capture_output=True)
    _check(small_disk / "out", expected)


def test_two_processes_on_one_folder_the_second_refuses(whole, tmp_path):
    source, expected, _ = whole
    out = tmp_path / "out"
    first = subprocess.Popen(command(source, out, 1), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (out / "manifest.json").exists():
        time.sleep(0.01)
    second = subprocess.run(command(source, out, 1), capture_output=True, text=True)
    assert second.returncode == 2 and "is in use by process" in second.stderr
    assert first.wait() == 0
    _check(out, expected)
    assert len(read(out)) == 259
