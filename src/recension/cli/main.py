"""The command `recension`. Commands are imported when they are called, so that help answers at once."""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import click

from recension import __version__
from recension.errors import RecensionError

# name: (module, what it does in one line)
COMMANDS: dict[str, tuple[str, str]] = {
    "audit": ("recension.cli.audit", "Has a corpus contracted? One verdict against human text, with intervals."),
    "compose": ("recension.cli.writing", "Write new texts that samples only inspire: the synthetic baseline."),
    "edit": ("recension.cli.edit", "Resample the tokens that a prior is sure of (ToEdit)."),
    "evaluate": ("recension.cli.evaluate", "Measure models: perplexity by domain, tasks, loss patterns."),
    "mix": ("recension.cli.mix", "Blend sources into one corpus, exact in tokens, with a holdout by lineage."),
    "profile": ("recension.cli.audit", "What one corpus is like: richness, duplicates, lengths, languages."),
    "reformulate": ("recension.cli.writing", "Rewrite each text for several genres and readers (MAGA)."),
    "reparse": ("recension.cli.writing", "Read the answers of a run anew, under other rules; nobody is asked."),
    "rephrase": ("recension.cli.writing", "Rewrite each text in other styles (WRAP, Nemotron-CC, FinePhrase)."),
    "revert": ("recension.cli.inspect", "Restore the original text of an edited corpus, byte for byte."),
    "simulate": ("recension.cli.simulate", "What becomes of models that learn from their own output."),
    "select": ("recension.cli.select", "Choose documents, and say what tail was left behind; fit an education head."),
    "study": ("recension.cli.study", "Repeat an experiment of the papers, with a verdict."),
    "train": ("recension.cli.train", "Train models: from scratch, on from another, on exchanges; n-grams."),
    "verify": ("recension.cli.inspect", "Prove that a folder holds what its receipts say."),
    "view": ("recension.cli.inspect", "Write one page that shows the edits."),
}

EXAMPLES = """\b
Examples:
  recension train ngram human/ -o prior
  recension edit corpus.jsonl.gz -o edited --prior ngram:prior --change-share 0.05
  recension verify edited
  recension view edited
"""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean '{near[0]}'?" if near else " See recension --help."
            raise click.UsageError(f"No command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="recension %(version)s")
def main() -> None:
    """Make training text for language models out of human text, and prove that it has not collapsed."""


def _terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def run(args: list[str] | None = None) -> None:
    """The entry point: errors of ours in one line with exit code 2, an interrupt with 130, bugs with a traceback."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        code: Any = main.main(args=args, prog_name="recension", standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except RecensionError as error:
        click.echo(f"recension: {error}", err=True)
        code = 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nstopped; everything finished is kept: run the same command again to go on", err=True)
        code = 130
    except BrokenPipeError:  # `recension ... | head`
        sys.stderr.close()
        code = 141
    sys.exit(code if isinstance(code, int) else 0)
