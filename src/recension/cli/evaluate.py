"""`recension evaluate`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from recension.cli.flags import GroupedCommand, config_option, flags
from recension.cli.output import common, confirm_fresh, done, need, observe
from recension.errors import UsageError
from recension.recipes.evaluate.spec import EvaluateEffort, LossPatternSpec, PerplexitySpec
from recension.recipes.settings import Effort, build

# name: module, of commands that stand in modules of their own
ELSEWHERE = {"tasks": "recension.cli.evaluate_tasks"}

PPL_EXAMPLES = """\b
Examples:
  recension evaluate ppl hf:./model news.jsonl books.jsonl -o ppl
  recension evaluate ppl hf:./model-a data/*.jsonl -o ppl --against hf:./model-b
  recension evaluate ppl ngram:prior web=crawl/*.jsonl.zst all.parquet -o ppl --domain-key meta.source
  recension evaluate ppl hf:gpt2 -o ppl --domains pile --limit 200 --mode paper
"""

PATTERN_EXAMPLES = """\b
Examples:
  recension evaluate loss-pattern hf:./trained-on-real hf:./trained-on-synthetic held-out.jsonl -o pattern
  recension evaluate loss-pattern hf:./real hf:./synthetic held-out/ -o pattern --k 2 --worst 50
"""


class EvaluateGroup(click.Group):
    """A group some of whose commands stand in modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in ELSEWHERE:
            command = getattr(import_module(ELSEWHERE[cmd_name]), cmd_name)
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

    MODEL is embedded, hf:NAME_OR_FOLDER, ngram:FOLDER or another prior. Every DATA is one domain (a file, a folder, a
    quoted glob, a URL), named after its file or as NAME=PATH says. Long texts are read in windows that share a quarter of
    the context, each with a BOS; nothing is truncated. Inside a domain every token counts alike, across domains every
    domain does.
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


@evaluate.command("loss-pattern", cls=GroupedCommand, epilog=PATTERN_EXAMPLES)
@click.argument("real", metavar="MODEL_REAL", required=False, default="")
@click.argument("synthetic", metavar="MODEL_SYNTHETIC", required=False, default="")
@click.argument("inputs", nargs=-1, metavar="DATA...")
@flags(LossPatternSpec, Effort)
@config_option(LossPatternSpec, Effort)
@common
def loss_pattern(inputs: tuple[str, ...], output: str | None, **values: Any) -> None:
    """Where MODEL_SYNTHETIC, trained on synthetic text, falls behind MODEL_REAL, trained on real text (MAGA).

    Both read DATA, text that neither was trained on, token by token; they need one tokenizer. The report shows where the
    difference of their losses first leaves its pattern, both losses of each document, and the worst passages with every
    token coloured.
    """
    from recension.recipes.evaluate.loss_pattern import evaluate_loss_pattern

    spec, effort = build(LossPatternSpec, values), build(Effort, values)
    if not spec.real or not spec.synthetic:
        raise UsageError(
            "name two models and the text: recension evaluate loss-pattern MODEL_REAL MODEL_SYNTHETIC DATA... -o OUT"
        )
    inputs, out = need(inputs, output)
    fresh = confirm_fresh(out, values)
    with observe(bool(values["machine"])) as observer:
        report = evaluate_loss_pattern(inputs, out, spec, effort, observer, fresh)
    from recension.report import loss_pattern_summary_lines

    lines = [*loss_pattern_summary_lines(report), f"look: {out}/report.html"]
    done(bool(values["machine"]), out, report.to_json(), lines)
