"""A run folder on disk: atomic writes, the lock, and file-system errors said plainly."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recension.errors import LockedError, OutputError

MANIFEST = "manifest.json"
HALF_MANIFEST = f".{MANIFEST}.[0-9]*"  # left by a process that was killed while it began
LOCK = ".lock"
WORKERS = ".workers"
SCRATCH = ".tmp"
PARTS = (
    "data",
    "holdout",
    "dropped",
    "edits",
    "scores",
    "counts",
    "journal",
    "tokens",
    "checkpoints",
    "model",
    "receipts",
    "passes",
    "steps",
    "drawn",
)
PAGES = (
    "report.json",
    "report.html",
    "view.html",
    "README.md",
    "config.yaml",
    "curve.jsonl",
    "summary.md",
    "summary.svg",
)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what a file system refuses into one line that says what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        if full:
            raise OutputError(
                f"no space left while writing {path}; nothing finished is lost: free some space and run the same "
                "command again"
            ) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            reason = "the file system is read-only" if error.errno == errno.EROFS else "permission denied"
            raise OutputError(f"cannot write {path}: {reason}; choose another -o or make it writable") from error
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, content: bytes) -> None:
    """The file is either as it was or whole."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        sync_folder(path.parent)


def publish(made: Path, target: Path) -> None:
    """Move the files of a folder to their place, each on the disk before it is there."""
    with writing(target):
        for path in sorted(p for p in made.rglob("*") if p.is_file()):
            place = target / path.relative_to(made)
            place.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(path)
            path.replace(place)
            sync_folder(place.parent)


@contextmanager
def locked(out: Path) -> Iterator[str]:
    """Hold the folder, and get the name of the holder. The kernel lets go when this process ends, however it ends.

    Workers of a holder that was killed may live on for a moment. They are waited for here, and what they begin later
    finds another holder's name (`worker`), so no two processes ever write one shard.
    """
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        file = (out / LOCK).open("a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise LockedError(f"{out} is in use by {holder}: wait for it, or stop it and run this again") from None
        holder = f"process {os.getpid()} on {socket.gethostname()} ({secrets.token_hex(4)})"
        with writing(out / LOCK):
            file.truncate(0)
            file.write(holder)
            file.flush()
            with (out / WORKERS).open("w") as workers:
                fcntl.flock(workers, fcntl.LOCK_EX)
        yield holder


@contextmanager
def worker(out: Path, holder: str) -> Iterator[None]:
    """Work in a folder in the name of its holder."""
    with writing(out):
        file = (out / WORKERS).open("a")
    with file:
        fcntl.flock(file, fcntl.LOCK_SH)
        if (out / LOCK).read_text() != holder:
            raise LockedError(f"{out} is in use by {(out / LOCK).read_text()}: this worker's run was killed")
        yield


def is_run(out: Path) -> bool:
    return (out / MANIFEST).is_file()


def output_path(out: str | Path) -> Path:
    """Where to write; a place that cannot hold a run is refused."""
    if not str(out):
        raise OutputError("-o is empty (is a shell variable unset?): name the folder to write")
    if "://" in str(out):
        raise OutputError(
            f"-o {out}: a run folder is local, for its lock; write it here and copy it there when it is done"
        )
    return Path(out)


def check_ours(out: Path) -> None:
    """Refuse a place that holds something else: nothing of a user's is ever overwritten."""
    with writing(out):
        there, directory = out.exists(), out.is_dir()
    if there and not directory:
        raise OutputError(f"{out} is a file; -o names a folder")
    if directory and not is_run(out):
        ours = (LOCK, WORKERS, SCRATCH)
        foreign = sorted(p.name for p in out.iterdir() if p.name not in ours and not p.match(HALF_MANIFEST))
        if foreign:
            raise OutputError(f"{out} holds other files ({foreign[0]}) and no Recension run: choose an empty folder")


def clear(out: Path) -> None:
    """Remove a run, the manifest last, so that a kill half-way leaves a run that can be cleared again."""
    with writing(out):
        for name in ("receipts", *(p for p in PARTS if p != "receipts"), SCRATCH):
            if (out / name).is_dir():
                shutil.rmtree(out / name)
        for name in (*PAGES, MANIFEST):
            (out / name).unlink(missing_ok=True)


def clear_scratch(out: Path) -> None:
    """Half-written files of a killed process: their shard has no receipt and is done again."""
    with writing(out / SCRATCH):
        with suppress(FileNotFoundError):
            shutil.rmtree(out / SCRATCH)
        (out / SCRATCH).mkdir()
        for half in out.glob(HALF_MANIFEST):
            half.unlink(missing_ok=True)
