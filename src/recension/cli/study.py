"""`recension study`."""

from __future__ import annotations

from typing import Any

import click

from recension.cli.flags import GroupedCommand, config_option, flags
from recension.cli.output import common, confirm_fresh, done, need, observe
from recension.cli.progress import duration, emit
from recension.errors import UsageError
from recension.recipes.settings import build
from recension.recipes.study.spec import StudyEffort, StudySpec

EXAMPLES = """\b
Examples:
  recension study u-shape --data data -o u-shape
  recension study mixing-ratio --scale paper --dry-run
  recension study mixing-ratio -o mix --human web/ --synthetic textbooks/ --held-out news.jsonl --held-out fiction.jsonl
  recension study edit-pays-off --scale small --data data -o edits --minutes 8
"""


@click.command(cls=GroupedCommand, epilog=EXAMPLES)
@click.argument("name", metavar="NAME")
@flags(StudySpec, StudyEffort)
@click.option("--dry-run", is_flag=True, help="List the steps and what they cost; read and write nothing.")
@config_option(StudySpec, StudyEffort)
@common
def study(name: str, output: str | None, dry_run: bool, **values: Any) -> None:
    """Repeat an experiment of the papers and say whether it came out alike.

    NAME is one of u-shape, edit-decline, samplers-and-thresholds, edit-pays-off, mixing-ratio, selection,
    collapse-policies and expansion-recipes. Every study is a recipe of the other commands, each of which works in a folder
    of its own below OUT/steps. The smallest effect that could be seen is stated before anything but the control has run.
    """
    spec, effort = build(StudySpec, values), build(StudyEffort, values)
    machine = bool(values["machine"])
    if dry_run:
        from recension.recipes.study.study import plan_study

        _show(plan_study(name, spec), machine)
        return
    if output is None:
        raise UsageError("-o OUT is missing: the folder to write")
    _, out = need((name,), output)
    from recension.recipes.study.study import study as carry_out
    from recension.report.study import study_lines

    fresh = confirm_fresh(out, values)
    with observe(machine) as observer:
        report = carry_out(name, out, spec, effort, observer, fresh)
    if report is None:
        done(machine, out, {}, ["the time is over before the study is; the same command goes on"])
        return
    done(machine, out, report.to_json(), [*study_lines(report), f"look: {out / 'report.html'}"])


def _show(plan: Any, machine: bool) -> None:
    if machine:
        from dataclasses import asdict

        emit("plan", **asdict(plan))
        return
    click.echo(plan.question)
    click.echo(f"at scale {plan.scale}, {plan.seeds} seeds of every setting:")
    for verb, count in plan.steps.items():
        click.echo(f"  {count:4,} x {verb}")
    for key, value in plan.settings.items():
        click.echo(f"  {key}: {value}")
    click.echo(f"{plan.work:.2g} operations: about {duration(plan.seconds)} of {plan.device}")
