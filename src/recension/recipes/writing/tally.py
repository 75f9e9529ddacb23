"""What became of requests and texts, as counts that add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_NAMES = 2_000  # names of one table in one shard; models make up new ones without end
EXAMPLES = 3
REST = "(others)"
WRITING = ("texts", "cleaning")  # stages of what becomes of a text that was asked for


class Tally:
    """Tables of counts, at most three names deep, and a few examples."""

    def __init__(self) -> None:
        self.counts: dict[str, Any] = {}
        self.examples: list[dict[str, Any]] = []

    def count(self, *names: str, by: int = 1) -> None:
        """Add to the count under these names."""
        table = self.counts
        for name in names[:-1]:
            table = table[name] if name in table else table.setdefault(_free(table, name), {})
        last = names[-1] if names[-1] in table else _free(table, names[-1])
        table[last] = table.get(last, 0) + by

    def through(self, stages: Sequence[str], failed: str) -> None:
        """One text that was asked for, through the stages up to the one that set it aside; "" where none did."""
        for stage in stages:
            self.count("acceptance", stage, "reached")
            if stage == failed:
                return
            self.count("acceptance", stage, "passed")

    def example(self, kind: str, **values: Any) -> None:
        """Keep it, if there are not enough of its kind."""
        if sum(known["kind"] == kind for known in self.examples) < EXAMPLES:
            self.examples.append({"kind": kind, **values})

    def add(self, other: Tally) -> None:
        merge(self.counts, other.counts)
        for known in other.examples:
            self.example(**known)

    def to_json(self) -> dict[str, Any]:
        return {"counts": self.counts, "examples": self.examples}


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
