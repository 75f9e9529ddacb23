"""`recension verify`, `revert` and `view`: proving, undoing, looking."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recension.cli.flags import GroupedCommand, config_option, flags
from recension.cli.output import common, confirm_fresh, done, need, observe
from recension.cli.progress import emit
from recension.recipes.revert import RevertSpec
from recension.recipes.settings import Effort, build
from recension.recipes.view import ViewSpec

FOLDER = click.argument("folder", metavar="OUT", type=click.Path(path_type=Path))


@click.command(cls=GroupedCommand, epilog="\b\nExample:\n  recension verify edited && echo sound\n")
@FOLDER
@click.option("--json", "machine", is_flag=True, help="The result as JSON.")
@click.pass_context
def verify(ctx: click.Context, folder: Path, machine: bool) -> None:
    """Prove that OUT holds what its receipts say.

    Every file is hashed and read, every row counted: units = written + dropped in each shard, no row without a unit, no
    file without a receipt. Exit code 0: whole and sound; 1: unfinished or damaged.
    """
    from recension.run.verify import verify as prove

    result = prove(folder)
    if machine:
        emit(
            "verified",
            output=str(folder),
            sound=result.sound,
            complete=result.complete,
            shards=result.shards,
            rows=result.rows,
            units=result.units,
            written=result.written,
            dropped=result.dropped,
            problems=result.problems,
            notes=result.notes,
        )
    else:
        for line in (*result.problems, *(f"note: {note}" for note in result.notes)):
            click.echo(line)
        units = f"{result.units:,} units = {result.written:,} written + {result.dropped:,} dropped"
        accounts = f"{result.rows:,} rows read, {units}"
        if result.sound:
            click.echo(f"sound: {accounts}, in {result.shards:,} shards")
        elif result.problems:
            click.echo(f"NOT sound: {len(result.problems)} problems; {accounts}")
        else:
            click.echo(f"unfinished, sound so far: {accounts}; run the command that began it again")
    ctx.exit(0 if result.sound else 1)


@click.command(
    cls=GroupedCommand,
    epilog="\b\nExamples:\n  recension revert edited -o original\n  recension revert edited -o one-step --to 1\n",
)
@FOLDER
@flags(RevertSpec, Effort)
@config_option(RevertSpec, Effort)
@common
def revert(folder: Path, output: str | None, **values: Any) -> None:
    """Restore the original text of an edited corpus, byte for byte, from the log of its edits."""
    from recension.recipes.revert import revert as recipe

    _, out = need((str(folder),), output)
    fresh = confirm_fresh(out, values)
    with observe(bool(values["machine"])) as observer:
        sums = recipe(folder, out, build(RevertSpec, values), build(Effort, values), observer, fresh)
    report = {"written": sums.written, "dropped": dict(sums.dropped)}
    done(bool(values["machine"]), out, report, [f"restored {sums.written:,} documents"])


@click.command(
    cls=GroupedCommand,
    epilog="\b\nExamples:\n  recension view edited\n  recension view edited -o page.html --max-edits 2000\n",
)
@FOLDER
@flags(ViewSpec)
@config_option(ViewSpec)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="The page [default: OUT/view.html]."
)
@click.option("--json", "machine", is_flag=True, help="The result as JSON.")
def view(folder: Path, output: Path | None, machine: bool, **values: Any) -> None:
    """Write one page that shows the edits of OUT: it needs no server and no network."""
    from recension.recipes.view import view as recipe

    seen = recipe(folder, output, build(ViewSpec, values))
    if machine:
        emit("done", output=str(seen.page), documents=seen.documents, edits=seen.edits, left_out=seen.left_out)
        return
    click.echo(f"{seen.edits:,} edits in {seen.documents:,} documents")
    if seen.left_out:
        click.echo(f"{seen.left_out:,} more documents did not fit: raise --max-edits to show them")
    click.echo(f"open {seen.page}")
