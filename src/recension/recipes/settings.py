"""Settings are dataclass fields: the same names are CLI flags, configuration keys and keyword arguments."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from recension.errors import UsageError


def setting(default: Any, help: str, choices: Sequence[str] = (), metavar: str = "", group: str = "Settings") -> Any:
    """A field with what the command line says about it."""
    metadata = {"help": help, "choices": tuple(choices), "metavar": metavar, "group": group}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Effort:
    """How a run is carried out. None of this changes a byte of its output, so a stopped run goes on under another."""

    workers: int = setting(
        0, "Processes. 0 = one for each core (one in all for a model on a GPU).", metavar="N", group="Effort"
    )
    limit: int | None = setting(
        None, "Stop after the first N input rows; a later call with a larger N goes on.", metavar="N", group="Effort"
    )
    max_dropped: float | None = setting(
        None, "Fail when more than this share of the rows had to be set aside.", metavar="SHARE", group="Effort"
    )

    def __post_init__(self) -> None:
        check_types(self)
        if self.workers < 0:
            raise UsageError("--workers is 0 (automatic) or more")
        if self.limit is not None and self.limit < 1:
            raise UsageError("--limit is 1 or more")
        if self.max_dropped is not None and not 0 <= self.max_dropped <= 1:
            raise UsageError("--max-dropped is a share between 0 and 1")


def check_types(settings: Any) -> None:
    """Refuse a value that is not of its field's type or choices; a list becomes a tuple."""
    for name, hint in hints_of(type(settings)).items():
        value = getattr(settings, name)
        if isinstance(value, list):
            value = tuple(value)
            object.__setattr__(settings, name, value)
        if not fits(value, hint):
            raise UsageError(f"--{name.replace('_', '-')} is {said(hint)}, not {value!r}")


def hints_of(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type that settings have: numbers, words, choices, lists of words, or None."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return any(fits(value, part) for part in typing.get_args(hint))
    if origin is typing.Literal:
        return isinstance(value, str) and value in typing.get_args(hint)
    if origin is tuple:
        return isinstance(value, tuple) and all(isinstance(item, str) and item for item in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return hint is not typing.Any and isinstance(value, hint)


def said(hint: Any) -> str:
    """A type in the words of a person."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return said(next(part for part in typing.get_args(hint) if part is not type(None)))
    if origin is typing.Literal:
        return "one of " + ", ".join(typing.get_args(hint))
    if origin is tuple:
        return "a list of words"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}[hint]
