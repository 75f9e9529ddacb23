"""Paid answers on disk before anybody parses them: one SQLite file for a run.

`answers.sqlite`  key, answer, its digest and what it used
`sent`            how many requests went out in each session, to tell after a kill how many were under way
"""

from __future__ import annotations

import hashlib
import math
import mmap
import sqlite3
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import zstandard

from recension.errors import OutputError
from recension.ports import Completion
from recension.run.folder import writing

ANSWERS = "answers.sqlite"
SENT = "sent"
# The answer stands last: sums over the small columns then need not step over it.
_TABLE = """CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, prompt INTEGER NOT NULL, written INTEGER NOT NULL, judged INTEGER NOT NULL DEFAULT 0,
    digest BLOB NOT NULL, answer BLOB NOT NULL)"""
_LATER = (
    "ALTER TABLE answers ADD COLUMN judged INTEGER NOT NULL DEFAULT 0"  # for a journal from before judges had prices
)


@dataclass(frozen=True, slots=True)
class Spent:
    """What all answers of a journal used; tokens of the judge are among the others, and have prices of their own."""

    requests: int = 0
    prompt_tokens: int = 0
    written_tokens: int = 0
    judge_prompt: int = 0
    judge_written: int = 0


class SqliteJournal:
    """`put` returns when the answer is on the disk; a second `put` of a key keeps the first answer.

    One thread may put while another gets: each way has its own connection. A journal that is `lent` is another run's: it is
    read as it stands, and may be where nothing can be written.
    """

    def __init__(self, path: Path, lent: bool = False) -> None:
        self.path = path
        if not lent:
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._out = _lent(path) if lent else _opened(path)
        self._in = self._out if lent else _opened(path)
        with _read_from(path):
            self._judged = "judged" if _has_judged(self._out) else "0"
        self._packer, self._unpacker = zstandard.ZstdCompressor(3), zstandard.ZstdDecompressor()

    def get(self, key: str) -> Completion | None:
        with _read_from(self.path):
            row = self._out.execute("SELECT answer, digest FROM answers WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            if _digest(key, row[0]) != row[1]:
                raise sqlite3.DatabaseError("an answer is not what was written")
            return self._read(row[0])

    def put(self, completion: Completion, judged: bool = False) -> None:
        self.put_all([(completion, judged)])

    def put_all(self, completions: Sequence[tuple[Completion, bool]]) -> None:
        """Many in one transaction, each with whether it is a judge's: the disk is waited for once."""
        rows = []
        for completion, judged in completions:
            packed = self._packer.compress(msgspec.json.encode(completion))
            used = (int(completion.usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens"))
            rows.append((completion.key, *used, int(judged), _digest(completion.key, packed), packed))
        with self._lock, _said(self.path):
            try:
                self._in.execute("BEGIN")
                self._in.executemany(
                    "INSERT OR IGNORE INTO answers (key, prompt, written, judged, digest, answer) VALUES (?, ?, ?, ?, ?, ?)",
                    rows,
                )
                self._in.execute("COMMIT")
            finally:
                if self._in.in_transaction:  # it failed, and the next batch is to find no half of it
                    self._in.execute("ROLLBACK")

    def forget(self, keys: Sequence[str]) -> None:
        """Take out answers that nothing was paid for, so that they are asked again."""
        with self._lock, _said(self.path):
            self._in.executemany("DELETE FROM answers WHERE key = ?", [(key,) for key in keys])

    def __len__(self) -> int:
        with _read_from(self.path):
            (count,) = self._out.execute("SELECT COUNT(*) FROM answers").fetchone()
        return int(count)

    def spent(self) -> Spent:
        by = self._judged
        sums = f"COUNT(*), TOTAL(prompt), TOTAL(written), TOTAL(prompt * {by}), TOTAL(written * {by})"
        with _read_from(self.path):
            return Spent(*map(int, self._out.execute(f"SELECT {sums} FROM answers").fetchone()))

    def lengths(self) -> tuple[int, tuple[float, float], tuple[float, float]]:
        """How many answers there are, and the mean and the spread of what one reads and of what it writes, in tokens."""
        sums = "COUNT(*), TOTAL(prompt), TOTAL(prompt * prompt), TOTAL(written), TOTAL(written * written)"
        with _read_from(self.path):
            count, *found = self._out.execute(f"SELECT {sums} FROM answers").fetchone()
        read, written = (_moments(count, *found[at : at + 2]) for at in (0, 2))
        return int(count), read, written

    def __iter__(self) -> Iterator[Completion]:
        """Every answer, in the order in which they came."""
        for (packed,) in self._out.execute("SELECT answer FROM answers ORDER BY rowid"):
            yield self._read(packed)

    def close(self) -> None:
        self._out.close()
        self._in.close()

    def _read(self, packed: bytes) -> Completion:
        return Completion(**msgspec.json.decode(self._unpacker.decompress(packed)))


class Ledger:
    """How many requests went out, and how many of them failed and may be sent again, in a memory map.

    What is written there survives the process, so the next session can say how many were under way when it was killed.
    """

    _ENTRY = struct.Struct("<QQQ")  # sent, failed, answers before

    def __init__(self, folder: Path, answers: int) -> None:
        self.path = path = folder / SENT
        with writing(path):
            old = path.read_bytes() if path.is_file() else b""
            old = old[: len(old) // self._ENTRY.size * self._ENTRY.size]
            path.write_bytes(old + self._ENTRY.pack(0, 0, answers))
            with path.open("r+b") as file:
                self._map = mmap.mmap(file.fileno(), 0)
        self._at = len(old)
        past = list(self._ENTRY.iter_unpack(old))
        ends = [*(entry[2] for entry in past[1:]), answers][: len(past)]
        self.lost: int = sum(
            max(sent - failed - (end - before), 0) for (sent, failed, before), end in zip(past, ends, strict=True)
        )
        self.failed_before: int = sum(entry[1] for entry in past)
        self.now_sent = self.now_failed = 0

    def sent(self) -> None:
        self.now_sent += 1
        struct.pack_into("<Q", self._map, self._at, self.now_sent)

    def failed(self) -> None:
        self.now_failed += 1
        struct.pack_into("<Q", self._map, self._at + 8, self.now_failed)

    @property
    def used(self) -> bool:
        """Whether any session sent anything."""
        return bool(self.now_sent or self.lost or self.failed_before)

    @property
    def retried(self) -> int:
        """Requests of all sessions that failed on the way."""
        return self.failed_before + self.now_failed

    def close(self) -> None:
        self._map.flush()
        self._map.close()


def journal_problems(folder: Path) -> Iterator[str]:
    """What is wrong with a journal: answers that are not what was written."""
    path = folder / ANSWERS
    if not path.is_file():
        yield f"{folder.name}/{ANSWERS} is missing"
        return
    connection = _lent(path)
    try:
        damaged = sum(
            _digest(key, answer) != digest
            for key, answer, digest in connection.execute("SELECT key, answer, digest FROM answers")
        )
        if damaged:
            yield f"{folder.name}/{ANSWERS}: {damaged:,} answers are not what was written"
    except sqlite3.DatabaseError as error:
        yield f"{folder.name}/{ANSWERS} cannot be read ({error})"
    finally:
        connection.close()


def _opened(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(_TABLE)
        if not _has_judged(connection):
            connection.execute(_LATER)
    except sqlite3.DatabaseError as error:
        raise OutputError(
            f"the journal {path} cannot be opened ({error}); is the folder on a disk of its own?"
        ) from None
    return connection


def _has_judged(connection: sqlite3.Connection) -> bool:
    return any(column[1] == "judged" for column in connection.execute("PRAGMA table_info(answers)"))


def _lent(path: Path) -> sqlite3.Connection:
    """To read alone. Where its run was closed, all of it is in the one file, and SQLite needs no other beside it."""
    closed = not path.with_name(f"{path.name}-wal").exists()
    how = "mode=ro&immutable=1" if closed else "mode=ro"
    return sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, check_same_thread=False)


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """What SQLite cannot write becomes one line."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise OutputError(
            f"cannot write {path} ({error}): nothing that was answered before is lost; free some space and run the same "
            "command again"
        ) from error


@contextmanager
def _read_from(path: Path) -> Iterator[None]:
    """A journal that was damaged becomes one line, and nothing of it is taken for an answer."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise OutputError(
            f"the journal {path} cannot be read ({error}): it was damaged. Put a copy in its place, or start over with --fresh"
        ) from error


def _moments(count: int, total: float, squares: float) -> tuple[float, float]:
    mean = total / max(count, 1)
    return mean, math.sqrt(max(squares / max(count, 1) - mean * mean, 0.0))


def _digest(key: str, packed: bytes) -> bytes:
    return hashlib.blake2b(packed, digest_size=8, key=key.encode()[:64]).digest()
