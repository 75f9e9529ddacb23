"""`recension edit`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from recension.cli.flags import GroupedCommand, config_option, flags, names_or_pattern, spread
from recension.cli.output import common, confirm_fresh, done, need, observe
from recension.cli.progress import duration, emit
from recension.methods.protect import PATTERNS
from recension.recipes.edit.spec import EditSpec
from recension.recipes.settings import Effort, build

EXAMPLES = """\b
Examples:
  recension edit novels/ -o edited --prior ngram:prior --change-share 0.05
  recension edit hf://datasets/me/mine/*.parquet -o edited --prior hf:Qwen/Qwen3-0.6B --preset paper
  recension edit chat.jsonl -o edited --prior hf:./model --protect numbers,code --exclude-original
  recension edit text.jsonl -o edited --priors ngram:a ngram:b --policy anchor
  recension edit text.jsonl -o edited --prior ngram:prior --dry-run
"""


class EditCommand(GroupedCommand):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spread(args, "--priors"))


@click.command(cls=EditCommand, epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="IN...")
@flags(EditSpec, Effort)
@config_option(EditSpec, Effort)
@click.option("--dry-run", is_flag=True, help="Say what would run and how long it would take; write nothing.")
@common
def edit(inputs: tuple[str, ...], output: str | None, dry_run: bool, **values: Any) -> None:
    """Resample the tokens that a prior is sure of, given the text before them (ToEdit).

    IN is any number of files, folders, globs or URLs: jsonl, json, parquet, text, compressed or not, Hugging Face
    dataset folders, or another run's folder. Every byte outside an edit stays as it is, rows that cannot be read are set
    aside in OUT/dropped with the reason, and the log of edits lets `recension revert` undo them.
    """
    from recension.recipes import edit as recipe

    inputs, out = need(inputs, output)
    values["protect"] = names_or_pattern(values["protect"], PATTERNS)
    spec, effort = build(EditSpec, values), build(Effort, values)
    machine = bool(values["machine"])
    if dry_run:
        _show(recipe.plan_edit(inputs, out, spec, effort), machine)
        return
    fresh = confirm_fresh(out, values)
    with observe(machine) as observer:
        report = recipe.edit(inputs, out, spec, effort, observer, fresh)
    from recension.report import edit_summary_lines

    next_steps = [f"look: recension view {out}", f"undo: recension revert {out} -o BACK"]
    done(machine, out, report.to_json(), [*edit_summary_lines(report), *next_steps])


def _show(plan: Any, machine: bool) -> None:
    if machine:
        emit("plan", **asdict(plan))
        return
    seen = plan.glance
    click.echo(f"would read {plan.files:,} files, {plan.bytes / 1e6:,.1f} MB, in about {plan.shards:,} shards")
    for name in plan.skipped:
        click.echo(f"would skip {name}: not a format that is read")
    click.echo(f"with {', '.join(dict.fromkeys(plan.priors))} in {plan.workers} processes")
    if seen.tokens:
        click.echo(
            f"about {plan.tokens:,} tokens at {seen.tokens_per_second:,.0f} tokens/s each: {duration(plan.seconds)}"
        )
        if plan.settings.get("change_share") is None:
            click.echo(f"expected to change {seen.expected:.3%} of the tokens (from the first {seen.tokens:,})")
        else:
            click.echo(f"would find the threshold that changes {plan.settings['change_share']:.2%} of the tokens first")
    else:
        click.echo("the first rows hold no text that may be edited")
    if plan.warning:
        click.echo(plan.warning)
