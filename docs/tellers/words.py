"""What every teller says its figures with."""

from __future__ import annotations


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


def figure(value: float | None, how: str) -> str:
    return "-" if value is None else format(value, how)
