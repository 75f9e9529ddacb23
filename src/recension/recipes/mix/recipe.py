"""A recipe file to settings: every key known, every value of its kind, every error with its line."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from recension.document import KINDS
from recension.errors import UsageError
from recension.recipes.mix.spec import MixSource, MixSpec
from recension.recipes.settings import build, fits, hints_of, said

_COUNT = re.compile(r"([0-9][0-9_]*(?:\.[0-9]+)?(?:e\+?[0-9]+)?) ?([kmbt]?)", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?e[+-]?[0-9]+", re.IGNORECASE)
_TIMES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_KINDS = (*KINDS,)
_CORPUS = " (a corpus is named with --source NAME=PATH)"


def count(value: Any) -> int | None:
    """A number of tokens: 500000, 500_000, 1e6, 1.5M, 2B. None: it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return int(value) if math.isfinite(value) and value == int(value) else None
    match = _COUNT.fullmatch(str(value).strip())
    if not match:
        return None
    number = float(match[1].replace("_", "")) * _TIMES[match[2].lower()]
    return int(number) if number == int(number) else None


class _Entry(NamedTuple):
    """A key of a mapping with its value and its line."""

    key: str
    node: Any
    value: Any
    at: str


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The settings of a recipe file, flat, under the names of `MixSpec`; `sources` holds `MixSource`s."""
    path = Path(path)
    try:
        raw = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"recipe {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"recipe {path} is not a text file{_CORPUS}") from None
    try:
        loader = yaml.SafeLoader(raw)
        node = loader.get_single_node()
        entries = list(_entries(loader, node, str(path), "")) if node is not None else []
    except yaml.YAMLError as error:
        raise UsageError(f"recipe {path} cannot be parsed: {' '.join(str(error).split())}{_CORPUS}") from None
    known = hints_of(MixSpec)
    chosen: dict[str, Any] = {}
    for entry in entries:
        name = entry.key.replace("-", "_")
        if name not in known:
            raise UsageError(f"{entry.at}: unknown key '{entry.key}'{_hint(name, known)}")
        if name == "sources":
            chosen[name] = tuple(_sources(loader, entry, path))
        elif name == "holdout" and isinstance(entry.node, yaml.MappingNode):
            chosen |= _holdout(loader, entry)
        elif entry.value is not None:
            chosen[name] = _fitting(entry, entry.key, known[name])
    return chosen


def spec_of(recipe: MixSpec | str | Path) -> MixSpec:
    """Settings, or those of a file."""
    return recipe if isinstance(recipe, MixSpec) else build(MixSpec, read_recipe(recipe))


def _entries(loader: Any, node: Any, path: str, inside: str) -> Iterator[_Entry]:
    at = f"{path} line {node.start_mark.line + 1}"
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(f"{at}: {inside or 'a recipe'} is made of 'name: value' lines")
    seen: set[str] = set()
    for key, value in node.value:
        name = str(loader.construct_object(key, deep=True))
        here = f"{path} line {key.start_mark.line + 1}"
        if name in seen:
            raise UsageError(f"{here}: '{name}' stands there twice")
        seen.add(name)
        yield _Entry(name, value, loader.construct_object(value, deep=True), here)


def _hint(name: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(name, known, 1)
    return f"; did you mean '{near[0]}'?" if near else f"; the keys are {', '.join(known)}"


def _fitting(entry: _Entry, name: str, hint: Any) -> Any:
    value = entry.value
    if name.replace("-", "_") in ("tokens", "shard_bytes", "cap", "holdout", "max_row"):
        whole = count(value)
        if whole is None and not (name == "holdout" and isinstance(value, float)):
            raise UsageError(f"{entry.at}: {name} is a number such as 500000 or 1.5M, not {value!r}")
        value = value if whole is None else whole
    if fits((value,), hint) and isinstance(value, str):
        value = (value,)  # one word may stand for a list of one
    value = tuple(value) if isinstance(value, list) else value
    if isinstance(value, str) and fits(0.5, hint) and _NUMBER.fullmatch(value):
        value = float(value)  # YAML takes 1e-3 for a word
    if not fits(value, hint):
        raise UsageError(f"{entry.at}: {name} is {said(hint)}, not {value!r}")
    return value


def _holdout(loader: Any, entry: _Entry) -> dict[str, Any]:
    """`holdout: {share | tokens, sources}`, which is short for two settings."""
    names = {"share": "holdout", "tokens": "holdout", "sources": "holdout_sources"}
    path = entry.at.rpartition(" line ")[0]
    found: dict[str, Any] = {}
    for inner in _entries(loader, entry.node, path, "holdout"):
        if inner.key not in names:
            raise UsageError(f"{inner.at}: holdout has no key '{inner.key}'{_hint(inner.key, names)}")
        if names[inner.key] in found:
            raise UsageError(f"{inner.at}: holdout has share and tokens: give one of the two")
        if inner.key == "share" and not (isinstance(inner.value, int | float) and 0 < inner.value < 1):
            raise UsageError(f"{inner.at}: holdout.share lies between 0 and 1, not {inner.value!r}")
        name = names[inner.key]
        found[name] = _fitting(inner, inner.key if name == "holdout_sources" else name, hints_of(MixSpec)[name])
    return found


_WEIGHTLESS = ("name", "place")


def _sources(loader: Any, entry: _Entry, path: Path) -> Iterator[MixSource]:
    hints = {name: hint for name, hint in hints_of(MixSource).items() if name not in _WEIGHTLESS}
    for source in _entries(loader, entry.node, str(path), "sources"):
        if isinstance(source.value, str | list):
            yield MixSource(source.key, _paths(source.value, path, source.at), place=source.at)
            continue
        values: dict[str, Any] = {}
        for inner in _entries(loader, source.node, str(path), f"source '{source.key}'"):
            name = inner.key.replace("-", "_")
            if name not in hints:
                raise UsageError(f"{inner.at}: source '{source.key}' has no key '{inner.key}'{_hint(name, hints)}")
            if name == "path":
                values[name] = _paths(inner.value, path, inner.at)
            elif name == "kind" and inner.value not in _KINDS:
                near = get_close_matches(str(inner.value), _KINDS, 1)
                raise UsageError(
                    f"{inner.at}: kind of source '{source.key}' is one of {', '.join(_KINDS)}, not {inner.value!r}"
                    + (f"; did you mean '{near[0]}'?" if near else "")
                )
            elif inner.value is not None:
                values[name] = _fitting(inner, inner.key, hints[name])
                _check_amount(inner, source.key, values[name])
        if "path" not in values:
            raise UsageError(f"{source.at}: source '{source.key}' has no path")
        yield MixSource(source.key, place=source.at, **values)


def _check_amount(entry: _Entry, source: str, value: Any) -> None:
    if entry.key in ("weight", "tokens", "repeat") and value < 0:
        raise UsageError(f"{entry.at}: {entry.key} of source '{source}' is 0 or more, not {value:g}")
    if entry.key.replace("-", "_") in ("cap", "max_repeat") and not value > 0:
        raise UsageError(f"{entry.at}: {entry.key} of source '{source}' is above 0, not {value:g}")


def _paths(value: Any, recipe: Path, at: str) -> tuple[str, ...]:
    """Paths are relative to the folder of the recipe, or else to where the command runs."""
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not given or not all(isinstance(item, str) and item for item in given):
        raise UsageError(f"{at}: path is a file, a folder, a glob or a URL, or a list of them, not {value!r}")
    return tuple(_beside(item, recipe) for item in given)


def _beside(given: str, recipe: Path) -> str:
    if "://" in given or Path(given).is_absolute() or recipe.parent == Path():
        return given
    near = recipe.parent / given
    return str(near) if near.exists() or next(recipe.parent.glob(given), None) is not None else given


_WORD: Callable[[str], re.Match[str] | None] = re.compile(r"(.*\S)\s+([a-z_-]+)=(\S+)", re.DOTALL).fullmatch


def with_flags(written: Iterable[MixSource], flags: Sequence[str]) -> tuple[MixSource, ...]:
    """The sources of a recipe and those of flags, which take the place of one of their name."""
    named: dict[str, MixSource] = {}
    for source in map(_source_of, flags):
        if source.name in named:
            raise UsageError(f"two --source are called '{source.name}': a source of several paths is named in a recipe")
        named[source.name] = source
    return (*({source.name: source for source in written} | named).values(),)


def _source_of(given: str) -> MixSource:
    """`NAME=PATH`, with `key=value` behind it as in a recipe: `human=corpus/ weight=0.5 kind=human`."""
    hints = {name: hint for name, hint in hints_of(MixSource).items() if name not in (*_WEIGHTLESS, "path")}
    rest, values = given.strip(), {}
    while match := _WORD(rest):
        name = match[2].replace("-", "_")
        if name not in hints:
            raise UsageError(f"--source {given}: a source has no key '{match[2]}'{_hint(name, hints)}")
        value = yaml.safe_load(match[3])
        values[name] = _fitting(_Entry(name, None, value, f"--source {given}"), name, hints[name])
        rest = match[1]
    name, mark, path = rest.partition("=")
    if not mark or not name or not path:
        raise UsageError(f"--source {given}: write NAME=PATH, such as --source 'human=corpus/ weight=0.5'")
    return MixSource(name.strip(), (path.strip(),), place=f"--source {name.strip()}", **values)
