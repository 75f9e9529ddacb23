"""What all commands that write a run share: where to, how to start over, how the result is told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import click

from recension.cli.progress import emit, observing
from recension.errors import OutputError, UsageError
from recension.run.folder import is_run, output_path
from recension.run.manifest import read_recipe
from recension.run.progress import Observer

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def common(function: Decorated) -> Decorated:
    """-o, --fresh, --yes and --json."""
    options = (
        click.option("-o", "--output", metavar="OUT", help="The run folder to write."),
        click.option("--fresh", is_flag=True, help="Throw away the run that OUT holds and start over (asks first)."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--json", "machine", is_flag=True, help="Progress and result as JSON lines."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def need(inputs: tuple[str, ...], output: str | None) -> tuple[tuple[str, ...], Path]:
    if not inputs:
        raise UsageError("name at least one input: a file, a folder, a glob or a URL")
    if output is None:
        raise UsageError("-o OUT is missing: the folder to write")
    return inputs, output_path(output)


def confirm_fresh(out: Path, values: dict[str, Any]) -> bool:
    """Starting over destroys work, so a person says yes; a script says --yes."""
    if not values["fresh"] or not is_run(out):
        return bool(values["fresh"])
    if not values["yes"]:
        paid = " with the answers that were paid for" if (out / "journal").is_dir() else ""
        if not sys.stdin.isatty():
            raise OutputError(f"--fresh would throw away the run in {out}{paid}: add --yes to do it without a question")
        click.confirm(f"Throw away the {read_recipe(out)} run in {out}{paid} and start over?", abort=True)
    return True


def observe(machine: bool) -> AbstractContextManager[Observer]:
    return observing(machine)


def done(machine: bool, out: Path, report: Any, lines: list[str]) -> None:
    if machine:
        emit("done", output=str(out), report=report)
        return
    for text in lines:
        click.echo(text)
    click.echo(f"written to {out}")
