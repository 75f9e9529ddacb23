"""`recension mix`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from recension.cli.flags import GroupedCommand, GroupedOption, flags
from recension.cli.output import common, confirm_fresh, done, observe
from recension.cli.progress import emit
from recension.errors import UsageError
from recension.recipes.mix.recipe import read_recipe, with_flags
from recension.recipes.mix.spec import MixEffort, MixSpec
from recension.recipes.settings import build
from recension.run.folder import output_path

EXAMPLES = """\b
Examples:
  recension mix recipe.yaml -o mixed
  recension mix recipe.yaml -o mixed --tokens 2000000 --holdout 0.01
  recension mix -o mixed --source 'human=corpus/ weight=0.75 kind=human' --source 'edited=edited/ weight=0.25'
  recension mix -o half --preset alpha-50 --source human=corpus/ --source synthetic=made.jsonl
  recension mix recipe.yaml --dry-run
"""


def _recipe(ctx: click.Context, _param: click.Parameter, path: Path | None) -> Path | None:
    """The settings of the file are the defaults of the flags."""
    if path is not None:
        values = read_recipe(path)
        ctx.meta["sources"] = values.pop("sources", ())
        ctx.default_map = {**(ctx.default_map or {}), **values}
    return path


@click.command(cls=GroupedCommand, epilog=EXAMPLES)
@click.argument(
    "recipe", required=False, metavar="[RECIPE.yaml]", is_eager=True, expose_value=False, callback=_recipe,
    type=click.Path(path_type=Path),
)  # fmt: skip
@click.option(
    "--source", "source", multiple=True, cls=GroupedOption, group="Mixture", metavar="NAME=PATH",
    help="A source, with 'key=value' behind it as in a recipe (give it several times; it replaces one of that name).",
)  # fmt: skip
@flags(MixSpec, MixEffort)
@click.option("--dry-run", is_flag=True, help="Print the plan, from a look at the beginnings; write nothing.")
@common
@click.pass_context
def mix(ctx: click.Context, /, source: tuple[str, ...], output: str | None, dry_run: bool, **values: Any) -> None:
    """Blend sources into one shuffled corpus, exact in tokens.

    RECIPE.yaml names the sources and how much of each: a weight, so many tokens, or so many passes over it. A preset has
    the mixtures of the papers. Held-out documents go to OUT/holdout, by lineage: an original and its rewrites never stand
    on both sides. The same bytes come out of any number of workers.
    """
    from recension.recipes.mix.glancing import plan_mix
    from recension.recipes.mix.mix import mix as blend

    sources = with_flags(ctx.meta.get("sources", ()), source)
    if not sources:
        raise UsageError("name a recipe, or sources with --source NAME=PATH")
    spec, effort = build(MixSpec, {**values, "sources": sources}), build(MixEffort, values)
    machine = bool(values["machine"])
    if dry_run:
        _show(plan_mix(spec), machine)
        return
    if output is None:
        raise UsageError("-o OUT is missing: the folder to write")
    out = output_path(output)
    fresh = confirm_fresh(out, values)
    with observe(machine) as observer:
        report = blend(spec, out, effort, observer, fresh)
    from recension.report import mix_summary_lines

    done(machine, out, report.to_json(), [*mix_summary_lines(report), f"look: {out}/report.html"])


def _show(plan: Any, machine: bool) -> None:
    if machine:
        emit("plan", **asdict(plan))
        return
    click.echo(f"would write about {plan.tokens:,} tokens of {plan.tokenizer}")
    for source in plan.sources:
        click.echo(
            f"  {source.name}: {source.planned:,} of about {source.tokens:,} tokens, read {source.repeats:.3g} times "
            f"({source.files:,} files, {source.bytes / 1e6:,.1f} MB)"
        )
    for note in plan.notes:
        click.echo(note)
