"""Dataclass fields to command-line flags, and configuration files to their values."""

from __future__ import annotations

import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from recension.errors import UsageError
from recension.recipes.settings import ARGUMENT, fits, hints_of, leaves, said

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

SCHEMES = re.compile(r"(?:ngram|hf|embedded|fake|vllm|openai)(?::|$)")
UNITS = {"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "mib": 1 << 20,
         "g": 1 << 30, "gb": 1 << 30, "gib": 1 << 30}  # fmt: skip


if TYPE_CHECKING:
    Parameter = click.ParamType[int]
else:  # generic only since click 8.4
    Parameter = click.ParamType


class Bytes(Parameter):
    """A number of bytes: 1048576, 64MiB, 2g."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(value))
        if not match or match[2].lower() not in UNITS:
            self.fail(f"{value!r} is not a size such as 1048576, 64MiB or 2g", param, ctx)
        return int(float(match[1]) * UNITS[match[2].lower()])


class Tokens(Parameter):
    """A number of tokens: 500000, 1.5M, 2B."""

    name = "tokens"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from recension.recipes.mix.recipe import count

        found = count(value)
        if found is None:
            self.fail(f"{value!r} is not a number such as 500000 or 1.5M", param, ctx)
        return found


class GroupedCommand(click.Command):
    """Options under the headings that the settings name."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                groups.setdefault(getattr(param, "group", "Options"), []).append(record)
        for name in [*(g for g in groups if g != "Options"), *(g for g in groups if g == "Options")]:
            with formatter.section(name):
                formatter.write_dl(groups[name])


class GroupedOption(click.Option):
    def __init__(self, *args: Any, group: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


def flags(*settings: type[Any]) -> Callable[[Decorated], Decorated]:
    """A flag for every field of the settings, but for those that the command takes by their place."""

    def decorate(function: Decorated) -> Decorated:
        for kind in reversed(settings):
            for item, hint in reversed(list(leaves(kind))):
                if item.metadata["group"] != ARGUMENT:
                    function = _option(item, hint)(function)
        return function

    return decorate


def _option(item: Field[Any], hint: Any) -> Callable[[Decorated], Decorated]:
    text = item.metadata["help"]
    flag = "--" + item.name.replace("_", "-")
    attributes: dict[str, Any] = {"help": text, "group": item.metadata["group"], "cls": GroupedOption}
    plain = _plain(hint)
    if plain is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", item.name, default=item.default, **attributes)
    if item.metadata["metavar"]:
        attributes["metavar"] = item.metadata["metavar"]
    if item.metadata["choices"]:
        attributes["type"] = click.Choice(item.metadata["choices"])
    elif item.metadata["metavar"] == "BYTES":
        attributes["type"] = Bytes()
    elif item.metadata["metavar"] == "TOKENS":
        attributes["type"] = Tokens()
    else:
        attributes["type"] = str if typing.get_origin(plain) is tuple else plain
    if typing.get_origin(plain) is tuple:
        attributes["multiple"] = True
    elif item.default not in (None, "", 0) and "[default" not in text:
        attributes["show_default"] = True
    return click.option(flag, item.name, default=item.default, **attributes)


def _plain(hint: Any) -> Any:
    """`float | None` to float, a Literal to str."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    return str if typing.get_origin(hint) is typing.Literal else hint


def spread(arguments: list[str], flag: str) -> list[str]:
    """`--priors P1 P2` means `--priors P1 --priors P2`: what looks like a prior belongs to the flag."""
    out: list[str] = []
    open_flag = False
    for argument in arguments:
        if open_flag and SCHEMES.match(argument) and out[-1] != flag:
            out += [flag, argument]
            continue
        out.append(argument)
        open_flag = argument == flag or (open_flag and out[-2:-1] == [flag])
    return out


def names_or_pattern(values: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """`numbers,urls` is two names; anything that is not made of names is one pattern."""
    known = set(names)
    out: list[str] = []
    for value in values:
        parts = [part.strip() for part in value.split(",")]
        out += parts if all(part in known for part in parts) else [value]
    return tuple(out)


def config_option(*settings: type[Any]) -> Callable[[Decorated], Decorated]:
    """`-c FILE`: the same settings from YAML or TOML; flags given beside it win."""

    def load(ctx: click.Context, _param: click.Parameter, path: Path | None) -> None:
        if path is not None:
            known: dict[str, Any] = {"inputs": tuple[str, ...], "output": str}
            for kind in settings:
                known |= hints_of(kind)
            ctx.default_map = {**(ctx.default_map or {}), **read_config(path, known)}

    return click.option(
        "-c", "--config", type=click.Path(path_type=Path), is_eager=True, expose_value=False, callback=load,
        metavar="FILE", help="Settings from a YAML or TOML file; flags win over it.",
    )  # fmt: skip


def read_config(path: Path, known: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a file, by the types they have. What is not a setting is an error, never ignored."""
    try:
        raw = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--config {path} is not a text file") from None
    try:
        values = tomllib.loads(raw) if path.suffix == ".toml" else _yaml(raw)
    except ValueError as error:
        raise UsageError(f"--config {path} cannot be parsed: {' '.join(str(error).split())}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UsageError(f"--config {path} holds no settings: write one 'name: value' a line")
    chosen: dict[str, Any] = {}
    for key, value in values.items():
        name = str(key).replace("-", "_")
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise UsageError(f"--config {path}: unknown key '{key}'" + (f"; did you mean '{near[0]}'?" if near else ""))
        if name in chosen:
            raise UsageError(f"--config {path}: '{key}' stands there twice")
        if value is not None:
            chosen[name] = _fitting(path, str(key), value, known[name])
    return chosen


def _fitting(path: Path, key: str, value: Any, hint: Any) -> Any:
    """The value as its setting takes it; one word may stand for a list of one, and 64MiB for a number."""
    if _plain(hint) == tuple[str, ...]:
        value = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    elif _plain(hint) is int and isinstance(value, str):
        return value  # the flag says whether it is a number
    if not fits(value, hint):
        raise UsageError(f"--config {path}: {key} is {said(hint)}, not {value!r}")
    return value


def _yaml(raw: str) -> Any:
    import yaml

    class Strict(yaml.SafeLoader):
        """YAML lets a key stand twice and takes the last; here that is an error."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = next((key for i, key in enumerate(keys) if key in keys[:i]), None)
            if twice is not None:
                raise yaml.YAMLError(f"'{twice}' stands there twice")
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(raw, Strict)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
