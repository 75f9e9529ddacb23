"""Write docs/cli.md from the commands themselves.

python docs/generate.py           # write the page
python docs/generate.py --check   # fail where it is stale
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from recension.cli.main import main as recension

PAGE = Path(__file__).parent / "cli.md"
WIDTH = 100
HEAD = """\
# Command line

This page is written by `docs/generate.py` from the commands themselves; `make check` fails where it is stale.

Every flag is a setting of the same name: `--change-share` is the key `change_share` of a file given with `-c`, and the
field `change_share` of the dataclass in [Python](python.md). Sizes (`BYTES`) are numbers or words such as `64MiB`.
Shares and probabilities lie between 0 and 1.
"""


def commands(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[click.Context]:
    """A command and everything below it, each in the context in which it shows its help."""
    context = click.Context(
        command,
        parent=parent,
        info_name=name,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        **command.context_settings,
    )
    yield context
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from commands(found, child, context)


def help_text(context: click.Context) -> str:
    return "\n".join(line.rstrip() for line in context.get_help().strip().splitlines())


def page() -> str:
    parts = [HEAD]
    for context in commands(recension, "recension"):
        parts.append(f"## {context.command_path}\n\n```text\n{help_text(context)}\n```\n")
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    fresh = page()
    if arguments == ["--check"]:
        if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != fresh:
            sys.stderr.write("docs/cli.md is stale: run python docs/generate.py\n")
            return 1
        return 0
    if arguments:
        sys.stderr.write("usage: python docs/generate.py [--check]\n")
        return 2
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
