"""`recension evaluate tasks`."""

from __future__ import annotations

from typing import Any

import click

from recension.cli.flags import GroupedCommand, config_option, flags
from recension.cli.output import common, confirm_fresh, done, observe
from recension.errors import UsageError
from recension.recipes.evaluate.tasks import TasksSpec
from recension.recipes.settings import build
from recension.run.folder import output_path

EXAMPLES = """\b
Examples:
  recension evaluate tasks hf:model -o scores --file eval/arc_easy.jsonl.gz --file eval/lambada.jsonl
  recension evaluate tasks hf:model -o scores --tasks arc_easy,hellaswag --limit 500
  recension evaluate tasks hf:other -o others --file eval/arc_easy.jsonl.gz --against scores
"""


@click.command(cls=GroupedCommand, epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="MODEL")
@flags(TasksSpec)
@click.option("--against", metavar="DIR", help="A finished run of another model: the differences go to the report.")
@config_option(TasksSpec)
@common
def tasks(inputs: tuple[str, ...], output: str | None, against: str | None, **values: Any) -> None:
    """Ask a model questions: tasks of lm-evaluation-harness by name, and files of JSON lines, offline.

    A row of a file has `query`, `choices` and `gold`; `context_options`, `continuation` and `gold`; `context` and
    `continuation`; `query` and `answer` (with `aliases`); or `text`. Every metric comes with its standard error.
    """
    from recension.recipes.evaluate.tasks import evaluate_tasks
    from recension.report.tasks import tasks_lines

    if len(inputs) != 1:
        raise UsageError("name one model: hf:NAME_OR_PATH, ngram:PATH, vllm:NAME or openai:MODEL@URL")
    if output is None:
        raise UsageError("-o OUT is missing: the folder to write")
    out = output_path(output)
    fresh = confirm_fresh(out, values)
    with observe(bool(values["machine"])) as observer:
        report = evaluate_tasks(inputs[0], out, build(TasksSpec, values), against, observer, fresh)
    done(bool(values["machine"]), out, report.to_json(), tasks_lines(report))
