"""The documentation does what it says: its examples run, its flags exist, its links lead somewhere.

In `docs/*.md` and `README.md` every block marked `sh` or `python` is executed, in order, in a folder that holds copies
of the samples; python blocks of a page share their names. A block under the comment `<!-- notest -->` is shown only. A block
marked `output` is what the block before it prints, where `...` stands for anything.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from markdown.extensions.toc import slugify

import recension
from recension import errors
from recension.cli.main import main
from tests.warm import SERVER

HOME = Path(__file__).parent.parent
DOCS = HOME / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), HOME / "README.md"]
PROSE = [*PAGES, *(HOME / name for name in ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LOG.md"))]
SCRIPTS = ("docs/generate.py", "docs/screenshot.py", "demo.py", "benchmarks/make_samples.py")
# Flags of other programs that the pages name.
FOREIGN = {
    "--check",
    "--part",
    "--record",
    "--rivals",
    "--strict",
    "--editable",
    "--max-logprobs",
    "--max-num-batched-tokens",
    "--served-model-name",
}
FENCE = re.compile(r"(^<!-- notest -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]")
PROGRESS = re.compile(r"^ *\d+%  .+\n", re.MULTILINE)  # said where a command takes long, as on a busy machine
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


class Block(NamedTuple):
    language: str
    shown_only: bool
    body: str
    line: int


def names(pages):
    return [str(page.relative_to(HOME)) for page in pages]


def blocks(text: str) -> list[Block]:
    return [Block(m[2], m[1] is not None, m[3], text.count("\n", 0, m.start(2)) + 1) for m in FENCE.finditer(text)]


def run_block(block: Block, folder: Path, scope: dict[str, object]) -> tuple[int, str]:
    """The exit status and everything printed."""
    if block.language == "python":
        printed = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
            exec(compile(block.body, f"line {block.line}", "exec"), scope)  # noqa: S102
        return 0, printed.getvalue()
    path = f"{SERVER.commands()}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1", "COLUMNS": "120"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.body],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return done.returncode, PROGRESS.sub("", done.stdout)


def as_pattern(expected: str) -> str:
    """Literal text in which `...` stands for anything, line ends included."""
    return ".*?".join(re.escape(part) for part in expected.strip().split("..."))


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_examples_run(page, tmp_path):
    shutil.copytree(HOME / "samples", tmp_path / "samples")
    scope: dict[str, object] = {"__name__": "__docs__"}
    printed = None
    for block in blocks(page.read_text(encoding="utf-8")):
        place = f"{page.name}:{block.line}"
        if block.language == "output":
            assert printed is not None, f"{place}: no executed block stands before this output"
            assert re.fullmatch(as_pattern(block.body), printed.strip(), re.DOTALL), (
                f"{place}: the page shows\n{block.body}\nbut this was printed\n{printed}"
            )
        if block.language not in ("sh", "python"):
            continue
        printed = None
        if not block.shown_only:
            status, printed = run_block(block, tmp_path, scope)
            assert status == 0, f"{place}: exit status {status}\n{printed}"


def test_few_examples_are_shown_only():
    found = [block for page in PAGES for block in blocks(page.read_text(encoding="utf-8"))]
    runnable = [block for block in found if block.language in ("sh", "python")]
    assert sum(block.shown_only for block in runnable) <= len(runnable) / 3


def test_generated_pages_are_current():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for name, page in generate.PAGES.items():
        assert (DOCS / name).read_text(encoding="utf-8") == page(), "run python docs/generate.py"


def flags_of(command: click.Command) -> set[str]:
    found = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts) if flag[:2] == "--"}
    return found | {"--help"}


def commands(command: click.Command, name: tuple[str, ...] = ()) -> dict[tuple[str, ...], set[str]]:
    known = {name: flags_of(command)}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            known |= commands(command.get_command(context, child), (*name, child))
    for child, below in getattr(command, "children", {}).items():  # of a command that is one itself
        known |= commands(below, (*name, child))
    return known


def calls(line: str) -> list[list[str]]:
    """The words of each command of a shell line."""
    found: list[list[str]] = [[]]
    for word in shlex.shlex(line, posix=True, punctuation_chars=True):
        if set(word) <= set("();<>|&"):
            found.append([])
        else:
            found[-1].append(word)
    return found


COMMANDS = commands(main)
FLAGS = set().union(*COMMANDS.values())


@pytest.mark.parametrize("page", PROSE, ids=names(PROSE))
def test_every_flag_that_is_named_exists(page):
    strange = set(FLAG.findall(page.read_text(encoding="utf-8"))) - FLAGS - FOREIGN
    assert not strange


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_commands_are_shown_with_their_own_flags(page):
    wrong = []
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language != "sh":
            continue
        for line in block.body.replace("\\\n", " ").splitlines():
            for words in calls(line):
                if "recension" not in words:
                    continue
                rest = words[words.index("recension") + 1 :]
                size = 2 if tuple(rest[:2]) in COMMANDS else 1
                known = COMMANDS.get(tuple(rest[:size]), FLAGS if not rest or rest[0][:1] == "-" else set())
                used = {word.partition("=")[0] for word in rest if word.startswith("--")}
                if used - known or not known:
                    wrong.append(f"{page.name}:{block.line}: {shlex.join(words)}")
    assert not wrong


GUIDE = "".join(page.read_text(encoding="utf-8") for page in PAGES if page.name != "cli.md")


def test_every_flag_is_explained_outside_the_reference():
    hidden = {flag for flag in FLAGS if flag.startswith("--no-")} | {"--version", "--help"}
    assert not {flag for flag in FLAGS - hidden if flag not in GUIDE}


def test_every_public_name_is_on_the_python_page():
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    assert not [name for name in recension.__all__ if not re.search(rf"`{name}\b", page)]


def test_every_error_is_on_its_page():
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    kinds = [k for k, v in vars(errors).items() if isinstance(v, type) and issubclass(v, Exception)]
    assert not [kind for kind in kinds if f"`{kind}`" not in page]


def anchors(page: Path) -> set[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return {slugify(heading.replace("`", ""), "-") for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PROSE, ids=names(PROSE))
def test_links_within_the_project_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    wrong = []
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        outside = page.parent == DOCS and not target.is_relative_to(DOCS)  # the site does not hold it
        if not target.is_file() or outside or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert not wrong


@pytest.mark.parametrize("page", PROSE, ids=names(PROSE))
def test_pages_name_no_machine(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"(?<![\w.])/(?:work|root|home|Users|tmp|opt|usr|mnt)\b\S*", text)
    assert not re.findall(r"site-packages|pythonhosted|pypi\.org|\b(?:\d{1,3}\.){3}\d{1,3}\b", text)


def test_files_that_the_pages_name_exist():
    named = {name for name in SCRIPTS if name in GUIDE or any(name in page.read_text() for page in PROSE)}
    named |= set(re.findall(r"`((?:docs|benchmarks|tests|src|samples)/[\w./-]+\.\w+)`", "".join(map(read, PROSE))))
    assert not [name for name in sorted(named) if not (HOME / name).is_file()]


def test_the_tree_of_the_architecture_is_the_tree_on_disk():
    tree = (HOME / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
    shown, folder = set(), ""
    for line in tree.splitlines()[1:]:
        if entry := re.match(r"( +)(\S+)", line):
            depth, name = len(entry[1]), entry[2]
            if depth == 2:
                folder = name if name.endswith("/") else ""
            if name.endswith(".py"):
                shown.add((folder if depth > 2 else "") + name)
    source = HOME / "src" / "recension"
    on_disk = {path.relative_to(source).as_posix() for path in source.rglob("*.py")}
    assert shown == {name for name in on_disk if "/" not in name or not name.endswith("__init__.py")}


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_the_picture_is_small():
    assert (DOCS / "images" / "view.png").stat().st_size < 300_000


def test_the_site_builds_and_fetches_nothing(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=HOME, check=True, capture_output=True, text=True,
    )  # fmt: skip
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(PAGES) - 1
    wanted = r"""<(?:script|img|iframe|source)[^>]*\bsrc=["']?(?:https?:)?//[^"' >]+"""
    wanted += (
        r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preload|preconnect|icon))[^>]*href=["']?(?:https?:)?//[^"' >]+"""
    )
    fetched = {found for page in pages for found in re.findall(wanted, page.read_text(encoding="utf-8"))}
    sheets = [sheet.read_text(encoding="utf-8") for sheet in (tmp_path / "site").rglob("*.css")]
    fetched |= {
        found for sheet in sheets for found in re.findall(r"url\([\"']?(?:https?:)?//[^)]+|@import[^;]+", sheet)
    }
    assert not fetched
    assert not list((tmp_path / "site").rglob("*.py"))
