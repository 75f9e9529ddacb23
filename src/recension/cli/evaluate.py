"""`recension evaluate`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from recension.cli.flags import GroupedCommand, config_option, flags
from recension.cli.output import common, confirm_fresh, done, need, observe
from recension.errors import UsageError
from recension.recipes.evaluate.spec import EvaluateEffort, PerplexitySpec
from recension.recipes.settings import build

# name: (module, what it does in one line); commands of other modules are imported when they are called
ELSEWHERE: dict[str, tuple[str, str]] = {}

PPL_EXAMPLES = """\b
Examples:
  recension evaluate ppl hf:./model news.jsonl books.jsonl -o ppl
  recension evaluate ppl hf:./model-a data/*.jsonl -o ppl --against hf:./model-b
  recension evaluate ppl ngram:prior web=crawl/*.jsonl.zst all.parquet -o ppl --domain-key meta.source
  recension evaluate ppl hf:gpt2 -o ppl --domains pile --limit 200 --mode paper
"""


class EvaluateGroup(click.Group):
    """A group some of whose commands stand in modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in ELSEWHERE:
            command = getattr(import_module(ELSEWHERE[cmd_name][0]), cmd_name)
            assert isinstance(command, click.Command)
            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=EvaluateGroup)
def evaluate() -> None:
    """Measure models on text that they were not trained on."""


@evaluate.command(cls=GroupedCommand, epilog=PPL_EXAMPLES)
@click.argument("prior", metavar="MODEL", required=False, default="")
@click.argument("inputs", nargs=-1, metavar="DATA...")
@flags(PerplexitySpec, EvaluateEffort)
@config_option(PerplexitySpec, EvaluateEffort)
@common
def ppl(inputs: tuple[str, ...], output: str | None, **values: Any) -> None:
    """Bits per byte and perplexity of MODEL on DATA, by domain, with intervals.

    MODEL is hf:NAME_OR_FOLDER or ngram:FOLDER. Every DATA is one domain (a file, a folder, a quoted glob, a URL), named
    after its file or as NAME=PATH says. Long texts are read in windows that begin half a context apart, each with a BOS;
    nothing is truncated. Inside a domain every token counts alike, across domains every domain does.
    """
    from recension.recipes.evaluate.perplexity import evaluate_ppl

    spec, effort = build(PerplexitySpec, values), build(EvaluateEffort, values)
    if not spec.prior:
        raise UsageError("name the model to measure and the text: recension evaluate ppl MODEL DATA... -o OUT")
    inputs, out = need(inputs or (("",) if spec.domains else ()), output)
    fresh = confirm_fresh(out, values)
    with observe(bool(values["machine"])) as observer:
        report = evaluate_ppl([item for item in inputs if item], out, spec, effort, observer, fresh)
    from recension.report import perplexity_summary_lines

    done(
        bool(values["machine"]), out, report.to_json(), [*perplexity_summary_lines(report), f"look: {out}/report.html"]
    )
