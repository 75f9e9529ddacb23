"""Write docs/cli.md from the commands themselves, docs/benchmarks.md from the results of the benchmarks, and docs/servers.md
from what real servers were seen to do.

python docs/generate.py           # write the pages
python docs/generate.py --check   # fail where one is stale
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click

from recension.cli.main import main as recension

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))  # for the tellers, also where a test loads this file
RESULTS = DOCS.parent / "benchmarks" / "results"
ALSO = {"train_cuda": "train"}  # results of the same script under another name
WIDTH = 100

CLI = """\
# Command line

This page is written by `docs/generate.py` from the commands themselves; `make check` fails where it is stale.

Every flag is a setting of the same name: `--change-share` is the key `change_share` of a file given with `-c`, and the
field `change_share` of the dataclass in [Python](python.md). Sizes (`BYTES`) are numbers or words such as `64MiB`.
Shares and probabilities lie between 0 and 1.
"""

BENCHMARKS = """\
# Benchmarks

This page is written by `docs/generate.py` from the files in `benchmarks/results/`, each left by the script (or folder) of the
same name in `benchmarks/`. There are no other numbers of speed or memory in this documentation. They hold for the machine they
were measured on.
"""


# --- the command line -------------------------------------------------------------------------------------------------


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
    below: dict[str, click.Command] = getattr(command, "children", {})  # of a command that is one itself
    for child, found in below.items():
        yield from commands(found, child, context)


def help_text(context: click.Context) -> str:
    return "\n".join(line.rstrip() for line in context.get_help().strip().splitlines())


def cli_page() -> str:
    parts = [CLI]
    for context in commands(recension, "recension"):
        parts.append(f"## {context.command_path}\n\n```text\n{help_text(context)}\n```\n")
    return "\n".join(parts)


# --- the benchmarks ---------------------------------------------------------------------------------------------------


def benchmarks_page() -> str:
    """One chapter for each result, told by `tellers/NAME.py`, then one for each study that has a teller."""
    parts = [BENCHMARKS]
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        name = ALSO.get(path.stem, path.stem)
        raw = f"```json\n{json.dumps(found, indent=1)}\n```"
        told = import_module(f"tellers.{name}").told(found) if (DOCS / "tellers" / f"{name}.py").is_file() else raw
        parts.append(f"## {path.stem}\n\n{told}\n")
    for path in sorted((DOCS / "tellers").glob("study_*.py")):
        study = import_module(f"tellers.{path.stem}")
        parts.append(f"## {study.TITLE}\n\n{study.told()}\n")
    return "\n".join(parts)


def servers_page() -> str:
    return str(import_module("tellers.servers").page())


PAGES = {"cli.md": cli_page, "benchmarks.md": benchmarks_page, "servers.md": servers_page}


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python docs/generate.py [--check]\n")
        return 2
    stale = 0
    for name, page in PAGES.items():
        path = DOCS / name
        if path.is_file() and path.read_text(encoding="utf-8") == page():
            continue
        if arguments:
            sys.stderr.write(f"docs/{name} is stale: run python docs/generate.py\n")
            stale = 1
        else:
            path.write_text(page(), encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
