"""Paid answers on disk before anybody parses them: one SQLite file for each shard."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from recension.ports import Completion


class SqliteJournal:
    """`put` returns when the answer is on the disk; a second `put` of a key keeps the first answer."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer BLOB NOT NULL)")

    def get(self, key: str) -> Completion | None:
        row = self._connection.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else Completion(**msgspec.json.decode(row[0]))

    def put(self, completion: Completion) -> None:
        self._connection.execute(
            "INSERT OR IGNORE INTO answers VALUES (?, ?)", (completion.key, msgspec.json.encode(completion))
        )

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT COUNT(*) FROM answers").fetchone()[0])

    def close(self) -> None:
        self._connection.close()
