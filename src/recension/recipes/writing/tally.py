"""What became of requests and texts, as counts that add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

MOST_NAMES = 2_000  # names of one table in one shard; models make up new ones without end
EXAMPLES = 3
REST = "(others)"
WRITING = ("texts", "cleaning")  # stages of what becomes of a text that was asked for


class Tally:
    """Tables of counts, a few names deep, and a few examples."""

    def __init__(self) -> None:
        self.examples: list[dict[str, Any]] = []
        self._kinds: Counter[str] = Counter()  # of the examples
        self._counts: dict[tuple[str, ...], int] = {}
        self._tables: dict[tuple[str, ...], set[str]] = {}  # the names of each table, once there are many

    def count(self, *names: str, by: int = 1) -> None:
        """Add to the count under these names."""
        if names not in self._counts and len(self._counts) >= MOST_NAMES:
            names = self._placed(names)
        self._counts[names] = self._counts.get(names, 0) + by

    def counted(self, *names: str) -> int:
        return self._counts.get(names, 0)

    def _placed(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Under which names something new is counted: a table has room for so many."""
        if not self._tables:
            for known in self._counts:
                for depth, name in enumerate(known):
                    self._tables.setdefault(known[:depth], set()).add(name)
        placed: tuple[str, ...] = ()
        for name in names:
            table = self._tables.setdefault(placed, set())
            placed = (*placed, name if name in table or len(table) < MOST_NAMES else REST)
            table.add(placed[-1])
        return placed

    def through(self, stages: Sequence[str], failed: str) -> None:
        """One text that was asked for, through the stages up to the one that set it aside; "" where none did."""
        for stage in stages:
            self.count("acceptance", stage, "reached")
            if stage == failed:
                return
            self.count("acceptance", stage, "passed")

    def example(self, kind: str, **values: Any) -> None:
        """Keep it, if there are not enough of its kind."""
        self._kinds[kind] += 1
        if self._kinds[kind] <= EXAMPLES:
            self.examples.append({"kind": kind, **values})

    def add(self, other: Tally) -> None:
        for names, value in other._counts.items():
            self.count(*names, by=value)
        for known in other.examples:
            self.example(**known)

    def to_json(self) -> dict[str, Any]:
        tables: dict[str, Any] = {}
        for names, value in self._counts.items():
            table = tables
            for name in names[:-1]:
                table = table.setdefault(name, {})
            table[names[-1]] = value
        return {"counts": tables, "examples": self.examples}


def merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add counts to counts of the same names."""
    for name, value in more.items():
        key = name if name in into else _free(into, name)
        if isinstance(value, dict):
            merge(into.setdefault(key, {}), value)
        else:
            into[key] = into.get(key, 0) + value


def _free(table: Mapping[str, Any], name: str) -> str:
    """The name under which something new is counted."""
    return name if len(table) < MOST_NAMES else REST
