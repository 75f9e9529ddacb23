"""`recension reformulate`, `rephrase`, `compose` and `reparse`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from recension.cli.flags import GroupedCommand, config_option, flags
from recension.cli.output import common, confirm_fresh, done, need, observe
from recension.cli.progress import duration, emit
from recension.errors import UsageError
from recension.recipes.settings import build
from recension.recipes.writing.spec import Calls, ComposeSpec, ReformulateSpec, ReparseSpec, RephraseSpec

SHOWN = 1_200  # characters of a text in a preview

REFORMULATE = """\b
Examples:
  recension reformulate web/ -o rewritten --writer openai:Qwen/Qwen3-8B@http://localhost:8000/v1
  recension reformulate web/ -o rewritten --writer openai:MODEL@URL --preview 3
  recension reformulate web/ -o rewritten --writer openai:MODEL@URL --dry-run --price-in 0.1 --price-out 0.4
  recension reformulate web/ -o rewritten --writer openai:MODEL@URL --max-cost 20 --price-in 0.1 --price-out 0.4
  recension reformulate web/ -o rewritten --writer openai:SMALL@URL --judge openai:LARGE@URL --variant strict
"""
REPHRASE = """\b
Examples:
  recension rephrase web/ -o rephrased --writer openai:MODEL@URL --style medium
  recension rephrase web/ -o rephrased --writer openai:MODEL@URL --style table --style faq --mix-source interleave
  recension rephrase web/ -o rephrased --writer openai:MODEL@URL --styles my-styles/ --style letter
"""
COMPOSE = """\b
Examples:
  recension compose web/ -o synthetic --writer openai:MODEL@URL --style textbook-academic --audience college
  recension compose web/ -o synthetic --writer openai:MODEL@URL --style blog --style how-to --topic-key topic
"""
REPARSE = """\b
Examples:
  recension reparse rewritten -o stricter --accept 4
  recension reparse rewritten -o looser --factuality off
"""


def writing(spec: type[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What the three verbs have in common."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in (
            common,
            click.option(
                "--dry-run", is_flag=True, help="Estimate calls, tokens, money and time; ask and write nothing."
            ),
            click.option(
                "--preview", type=int, metavar="N", help="Show what becomes of the first N rows, and stop there."
            ),
            config_option(spec, Calls),
            flags(spec, Calls),
            click.argument("inputs", nargs=-1, metavar="IN..."),
        ):
            function = decorator(function)
        return function

    return decorate


@click.command(cls=GroupedCommand, epilog=REFORMULATE)
@writing(ReformulateSpec)
def reformulate(**values: Any) -> None:
    """Rewrite each text for several genres and readers (MAGA).

    A first call to the model finds genre-audience pairs for a text, one call for each pair writes it, and a judge rates what
    came out and names what the source does not support. Every answer is on disk before it is read: a second call of the same
    command goes on where the first was stopped and pays for nothing twice.
    """
    _run("reformulate", ReformulateSpec, values)


@click.command(cls=GroupedCommand, epilog=REPHRASE)
@writing(RephraseSpec)
def rephrase(**values: Any) -> None:
    """Rewrite each text in one or more styles.

    Styles are easy, medium, hard and qa (WRAP); wiki, diverse-qa, distil, extract and knowledge (Nemotron-CC); table, math,
    faq and tutorial (FinePhrase); and your own, from a folder of templates.
    """
    _run("rephrase", RephraseSpec, values)


@click.command(cls=GroupedCommand, epilog=COMPOSE)
@writing(ComposeSpec)
def compose(**values: Any) -> None:
    """Write new texts that samples only inspire (Cosmopedia).

    The purely synthetic baseline, and marked as generated. A corpus of nothing else collapses: `recension audit` shows it.
    """
    _run("compose", ComposeSpec, values)


@click.command(cls=GroupedCommand, epilog=REPARSE)
@click.argument("run", metavar="OUT")
@flags(ReparseSpec)
@common
def reparse(run: str, output: str | None, **values: Any) -> None:
    """Read the answers of a run anew, under other rules of acceptance.

    OUT is the folder of a reformulate, rephrase or compose; the new run goes to -o. Nobody is asked: what has no answer in
    the journal of OUT is set aside as unanswered.
    """
    from recension.recipes import writing as recipe
    from recension.report.writing import writing_summary_lines

    _, out = need((run,), output)
    fresh = confirm_fresh(out, values)
    machine = bool(values["machine"])
    with observe(machine) as observer:
        report = recipe.reparse(run, out, build(ReparseSpec, values), observer, fresh)
    done(machine, out, report.to_json(), writing_summary_lines(report))


def _run(verb: str, kind: type[Any], values: dict[str, Any]) -> None:
    from recension.recipes import writing as recipe
    from recension.report.writing import writing_summary_lines

    inputs, out = need(values.pop("inputs"), values.pop("output"))
    spec, calls = build(kind, values), build(Calls, values)
    machine, count = bool(values["machine"]), values["preview"]
    if values["dry_run"]:
        _show(recipe.plan_writing(inputs, out, spec, calls), calls, machine)
        return
    if count is not None:
        if count < 1:
            raise UsageError("--preview is 1 or more")
        with observe(machine) as observer:
            found = recipe.preview(inputs, out, spec, count, calls, observer)
        _preview(found, out, machine)
        return
    fresh = confirm_fresh(out, values)
    with observe(machine) as observer:
        report = getattr(recipe, verb)(inputs, out, spec, calls, observer, fresh)
    done(machine, out, report.to_json(), writing_summary_lines(report))


def _show(plan: Any, calls: Calls, machine: bool) -> None:
    if machine:
        from dataclasses import asdict

        emit("plan", **asdict(plan))
        return
    click.echo(f"would read {plan.files:,} files, about {plan.documents:,} rows ({plan.sampled:,} of them looked at)")
    click.echo(f"  answers  {_range(plan.calls)}")
    click.echo(f"  tokens   {_range(plan.read_tokens)} read, {_range(plan.written_tokens)} written")
    if plan.cost is not None:
        click.echo(f"  cost     {plan.cost.usual:,.2f} ({plan.cost.low:,.2f} to {plan.cost.high:,.2f})")
    else:
        click.echo("  cost     unknown: give --price-in and --price-out, the money for a million tokens")
    if plan.seconds is not None:
        low, usual, high = map(duration, (plan.seconds.low, plan.seconds.usual, plan.seconds.high))
        click.echo(f"  time     {usual} ({low} to {high}), with {calls.concurrency} at once, if the server bears it")
    else:
        click.echo("  time     unknown: it depends on the server")
    if plan.assumed:
        click.echo("the lengths of answers are assumed; --preview 10 measures them, and the run has those answers then")
    else:
        click.echo(
            f"from {plan.measured:,} answers that are in the journal: they are in these figures, and paid already"
        )


def _range(found: Any) -> str:
    return f"{found.usual:,.0f} ({found.low:,.0f} to {found.high:,.0f})"


def _preview(found: list[Any], out: Path, machine: bool) -> None:
    for record, units in found:
        if machine:
            emit(
                "preview",
                id=record.document.id,
                written=[{"text": w.text, "style": w.style, "genre": w.genre, "audience": w.audience, "score": w.score}
                         for w in units.written],
                lost=[{"reason": lost.reason, "detail": lost.detail} for lost in units.lost],
            )  # fmt: skip
            continue
        click.secho(_plain(f"── {record.document.id}"), bold=True)
        click.echo(_plain(record.document.text[:SHOWN]))
        for one in units.written:
            about = [
                one.genre or one.style,
                one.audience,
                f"score {one.score}" if one.score else None,
                *one.unsupported,
            ]
            click.secho(_plain("\n→ " + "; ".join(item for item in about if item)), fg="green")
            click.echo(_plain(one.text[:SHOWN]))
        for lost in units.lost:
            click.secho(_plain(f"\n✗ {lost.reason}: {lost.detail}"), fg="red")
        click.echo()
    if not machine:
        click.echo(f"the answers are in {out}: the same command without --preview goes on from there")


def _plain(text: str) -> str:
    """What a model or a document says is never a command to the terminal."""
    from recension.report.page import printable

    return "\n".join(printable(text.split("\n")))
