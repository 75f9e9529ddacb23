"""Progress for people (a bar), for logs (lines) and for machines (JSON lines)."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from recension.run.progress import Observer, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

EVERY = 10.0  # seconds between plain lines


class Pace:
    """Rates and the time left, from what this call did itself."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first: Progress | None = None

    def measure(self, now: Progress) -> tuple[float, float, float | None]:
        """Documents and tokens a second, seconds left where that is known."""
        if self._first is None or self._first.stage != now.stage or now.resumed != self._first.resumed:
            self._began, self._first = time.monotonic(), now
        first = self._first
        passed = max(time.monotonic() - self._began, 1e-9)
        left = None
        if now.fraction is not None and now.fraction > (first.fraction or 0.0) and passed > 1.0:
            left = passed * (1.0 - now.fraction) / (now.fraction - (first.fraction or 0.0))
        return (now.documents - first.documents) / passed, (now.tokens - first.tokens) / passed, left


def duration(seconds: float) -> str:
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    hours = seconds // 3600
    return f"{hours} h {seconds % 3600 // 60:02d} min" if hours < 48 else f"{hours / 24:.1f} days"


def line(now: Progress, pace: tuple[float, float, float | None]) -> str:
    _, tokens_per_second, left = pace
    if now.stage == "sample":
        return f"sampling the input: {now.shards} shards"
    if not (now.documents or now.tokens or now.dropped or now.figures):  # statistics: nothing is read
        return now.stage if left is None else f"{now.stage}, {duration(left)} left"
    parts = [f"{now.documents:,} documents"] if now.documents or not now.figures else []
    parts.append(f"{now.tokens:,} tokens")
    if tokens_per_second >= 1:
        parts.append(f"{tokens_per_second:,.0f} tokens/s")
    parts += [_figure(name, value) for name, value in now.figures.items()]
    if now.dropped or not now.figures:
        parts.append(f"{now.dropped:,} dropped")
    if left is not None:
        parts.append(f"{duration(left)} left")
    return ", ".join(parts)


def _figure(name: str, value: float) -> str:
    """step 12,000; loss 3.214; MFU 41.2 %"""
    if name.endswith("%"):
        return f"{name[:-1].rstrip()} {value:.1f} %"
    return f"{name} {value:,.0f}" if value == int(value) else f"{name} {value:.4g}"


class Lines:
    """One line every few seconds on standard error."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._last = time.monotonic()

    def update(self, progress: Progress) -> None:
        pace = self._pace.measure(progress)
        if time.monotonic() - self._last >= EVERY:
            self._last = time.monotonic()
            share = f"{progress.fraction:4.0%}  " if progress.fraction is not None else ""
            click.echo(f"{share}{line(progress, pace)}", err=True)

    def note(self, line: str) -> None:
        click.echo(line, err=True)


class Machine:
    """One JSON object a line on standard output."""

    def __init__(self) -> None:
        self._pace = Pace()

    def update(self, progress: Progress) -> None:
        documents_per_second, tokens_per_second, left = self._pace.measure(progress)
        emit(
            "progress",
            stage=progress.stage,
            documents=progress.documents,
            tokens=progress.tokens,
            dropped=progress.dropped,
            shards=progress.shards,
            fraction=progress.fraction,
            documents_per_second=round(documents_per_second, 3),
            tokens_per_second=round(tokens_per_second, 3),
            seconds_left=left,
            figures=dict(progress.figures),
        )

    def note(self, line: str) -> None:
        emit("note", text=line)


def emit(event: str, **values: Any) -> None:
    click.echo(json.dumps({"event": event, **values}, ensure_ascii=False, default=str))


class Drawn:
    """A bar that stays at the foot of the terminal."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task = bar.add_task("starting", total=1.0)
        self._pace = Pace()

    def update(self, progress: Progress) -> None:
        pace = self._pace.measure(progress)
        self._bar.update(
            self._task,
            description=line(progress, pace),
            completed=progress.fraction or 0.0,
            total=None if progress.fraction is None else 1.0,
        )

    def note(self, line: str) -> None:
        self._bar.console.print(line, highlight=False, markup=False)


@contextmanager
def observing(machine: bool) -> Iterator[Observer]:
    """The observer that suits where the output goes."""
    if machine:
        yield Machine()
    elif not sys.stderr.isatty():
        yield Lines()
    else:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (BarColumn(bar_width=24), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
        with Bar(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4) as bar:
            yield Drawn(bar)
