"""`recension select`, and `recension select train-head`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from recension.cli.flags import GroupedCommand, config_option, flags
from recension.cli.output import common, confirm_fresh, done, need, observe
from recension.cli.progress import emit
from recension.recipes.select.spec import HeadSpec, SelectEffort, SelectSpec
from recension.recipes.settings import build

EXAMPLES = """\b
Examples:
  recension select crawl/ -o chosen --target textbooks/ --keep 0.1
  recension select crawl/ -o chosen --method perplexity --prior ngram:prior --low 0.2 --high 0.8
  recension select crawl/ -o chosen --method edu --head head --min-score 3
  recension select crawl/ -o chosen --method density --keep-tokens 10000000
  recension select crawl/ -o chosen --method dedup
"""

HEAD_EXAMPLES = """\b
Examples:
  recension select train-head labelled.jsonl -o head --label-key score
  recension select crawl/ -o chosen --method edu --head head --keep 0.1
"""


class SelectCommand(GroupedCommand):
    """A command that has commands below it: where its first word is the name of one, that is meant."""

    children: dict[str, click.Command]

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args and args[0] in self.children:
            child = self.children[args[0]]
            return child.make_context(f"{info_name} {args[0]}", args[1:], parent=parent, **extra)
        return super().make_context(info_name, args, parent=parent, **extra)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, child.get_short_help_str(80)) for name, child in self.children.items()])
        super().format_options(ctx, formatter)


@click.command(cls=GroupedCommand, epilog=HEAD_EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="LABELLED...")
@flags(HeadSpec)
@click.option(
    "--max-dropped", type=float, metavar="SHARE", help="Fail when more than this share of the rows has no score."
)
@config_option(HeadSpec)
@common
def train_head(inputs: tuple[str, ...], output: str | None, max_dropped: float | None, **values: Any) -> None:
    """Fit a head for --method edu: ridge regression on frozen embeddings, from rows with a score.

    LABELLED are rows with a text and a number, 0 to 5 say, from people or from a judge. A tenth is held out: it chooses the
    penalty, and the report says how well the head does on it. Afterwards `--head OUT` names it.
    """
    from recension.recipes.select.heads import train_head as fit
    from recension.report.select import head_summary_lines

    inputs, out = need(inputs, output)
    fresh = confirm_fresh(out, values)
    with observe(bool(values["machine"])) as observer:
        report = fit(inputs, out, build(HeadSpec, values), SelectEffort(max_dropped=max_dropped), observer, fresh)
    import msgspec

    lines = [*head_summary_lines(report), f"use it: --method edu --head {out}"]
    done(bool(values["machine"]), out, msgspec.to_builtins(report), lines)


@click.command(cls=SelectCommand, epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="IN...")
@flags(SelectSpec, SelectEffort)
@config_option(SelectSpec, SelectEffort)
@click.option("--dry-run", is_flag=True, help="Say what would be read; write nothing.")
@common
def select(inputs: tuple[str, ...], output: str | None, dry_run: bool, **values: Any) -> None:
    """Choose documents, and say what tail was left behind.

    IN is any number of files, folders, globs or URLs, or another run's folder. What is kept goes to OUT/data, what is not
    to OUT/dropped by its place in the input, with reason and score; OUT/scores has the score of every document. The report
    compares lengths, domains, rare words and the measures of an audit before and after.
    """
    from recension.recipes.select.choosing import plan_select
    from recension.recipes.select.choosing import select as choose
    from recension.report.select import select_summary_lines

    inputs, out = need(inputs, output)
    spec, effort = build(SelectSpec, values), build(SelectEffort, values)
    machine = bool(values["machine"])
    if dry_run:
        plan = plan_select(inputs, out, spec, effort)
        if machine:
            emit("plan", **asdict(plan))
            return
        click.echo(f"would read {plan.files:,} files, {plan.bytes / 1e6:,.1f} MB, in {plan.shards:,} shards")
        for name in plan.skipped:
            click.echo(f"would skip {name}: not a format that is read")
        click.echo(f"by {spec.method}, in {plan.workers} processes")
        return
    fresh = confirm_fresh(out, values)
    with observe(machine) as observer:
        report = choose(inputs, out, spec, effort, observer, fresh)
    import msgspec

    lines = [*select_summary_lines(report), f"look: {out}/report.html"]
    done(machine, out, msgspec.to_builtins(report), lines)


select.children = {"train-head": train_head}
