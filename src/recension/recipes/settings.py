"""Settings are dataclass fields: the same names are CLI flags, configuration keys and keyword arguments."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any, Literal, NamedTuple, TypeVar

from recension.document import JSON
from recension.errors import UsageError

Settings = TypeVar("Settings")


ARGUMENT = "Arguments"  # the group of settings that a command takes by their place, and not as a flag


def setting(default: Any, help: str, choices: Sequence[str] = (), metavar: str = "", group: str = "Settings") -> Any:
    """A field with what the command line says about it."""
    metadata = {"help": help, "choices": tuple(choices), "metavar": metavar, "group": group}
    return field(default=default, metadata=metadata)


def settings(kind: type[Any]) -> Any:
    """A field that holds further settings: their names stand beside the others, as flags and as keys of a file."""
    return field(default_factory=kind)


class Leaf(NamedTuple):
    """One setting with the type it has."""

    item: Field[Any]
    hint: Any


def leaves(kind: type[Any]) -> Iterator[Leaf]:
    """Every setting of a dataclass in order, those of the dataclasses in it included."""
    hints = typing.get_type_hints(kind)
    for item in fields(kind):
        if is_dataclass(hints[item.name]):
            yield from leaves(hints[item.name])
        else:
            yield Leaf(item, hints[item.name])


def build(kind: type[Settings], values: dict[str, Any]) -> Settings:
    """The settings out of a flat mapping; a name that is missing there has its default."""
    hints, chosen = typing.get_type_hints(kind), {}
    for item in fields(kind):  # type: ignore[arg-type]
        if is_dataclass(hints[item.name]):
            chosen[item.name] = build(hints[item.name], values)
        elif item.name in values:
            chosen[item.name] = values[item.name]
    return kind(**chosen)


def flat(chosen: Any) -> dict[str, JSON]:
    """The inverse of `build`: a name and a value for every setting, lists for tuples."""
    found: dict[str, JSON] = {}
    for item in fields(chosen):
        value = getattr(chosen, item.name)
        found |= flat(value) if is_dataclass(value) else {item.name: list(value) if isinstance(value, tuple) else value}
    return found


@dataclass(frozen=True, slots=True)
class RowSettings:
    """How the rows of the input are read."""

    text_key: str = setting("text", "The column that holds the text.", metavar="NAME", group="Input")
    id_key: str = setting("id", "The column that holds the id.", metavar="NAME", group="Input")
    shape: Literal["auto", "text", "chat", "instruction", "mixed"] = setting(
        "auto", "What the rows are; auto looks at the first ones.", ("auto", "text", "chat", "instruction", "mixed"),
        group="Input",
    )  # fmt: skip
    text_unit: Literal["document", "paragraph", "line"] = setting(
        "document", "What one document of a .txt file is.", ("document", "paragraph", "line"), group="Input"
    )
    max_row: int = setting(64 << 20, "Rows of more bytes are set aside unread.", metavar="BYTES", group="Input")

    def __post_init__(self) -> None:
        check_types(self)
        if self.max_row < 1:
            raise UsageError("--max-row is 1 or more")


# A tokenizer is in the spec of the prior that it belongs to; the others change no score.
UNSCORED = ("prior_tokenizer", "requests", "api_key_variable")


@dataclass(frozen=True, slots=True)
class PriorSettings:
    """How a prior is run. What can change a score, if only in its last digits, is in the key; `UNSCORED` is not."""

    device: str = setting("auto", "Where an hf: model runs.", ("auto", "cpu", "cuda"), group="Model")
    dtype: str = setting(
        "auto", "Its number format; auto: float32 on a CPU, bfloat16 on a GPU. float8: on a GPU, faster and coarser.",
        ("auto", "float32", "bfloat16", "float16", "float8"), group="Model",
    )  # fmt: skip
    runtime: str = setting(
        "auto", "What runs an hf: model; auto: openvino for small local Llamas on a CPU, else torch.",
        ("auto", "torch", "openvino"), group="Model",
    )  # fmt: skip
    threads: int = setting(1, "Threads of an hf: model in each process.", metavar="N", group="Model")
    batch_tokens: int | None = setting(
        None,
        "Tokens an hf: model takes at once; bounds its memory [default: the adapter's].",
        metavar="N",
        group="Model",
    )
    context: int | None = setting(
        None, "Tokens it reads at most before a token [default: the model's].", metavar="N", group="Model"
    )
    prior_tokenizer: str | None = setting(
        None, "The tokenizer of an openai: model [default: MODEL].", metavar="NAME_OR_PATH", group="Model"
    )
    requests: int = setting(4, "Requests of an openai: prior at once, in each process.", metavar="N", group="Model")
    api_key_variable: str = setting(
        "OPENAI_API_KEY", "The environment variable with the key of the server.", metavar="NAME", group="Model"
    )

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("threads", "batch_tokens", "context", "requests"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} is 1 or more")


@dataclass(frozen=True, slots=True)
class Effort:
    """How a run is carried out. None of this changes a byte of its output, so a stopped run goes on under another."""

    workers: int = setting(
        0,
        "Processes. 0 = one for each core (one in all for a model on a GPU or a server).",
        metavar="N",
        group="Effort",
    )
    limit: int | None = setting(
        None, "Stop after the first N input rows; a later call with a larger N goes on.", metavar="N", group="Effort"
    )
    max_dropped: float | None = setting(
        None, "Fail when more than this share of the rows had to be set aside.", metavar="SHARE", group="Effort"
    )

    def __post_init__(self) -> None:
        check_effort(self)


def check_effort(chosen: Any) -> None:
    """Refuse what cannot be done of workers, a limit and a share of dropped rows, whichever of them a verb has."""
    check_types(chosen)
    if getattr(chosen, "workers", 0) < 0:
        raise UsageError("--workers is 0 (automatic) or more")
    limit = getattr(chosen, "limit", None)
    if limit is not None and limit < 1:
        raise UsageError("--limit is 1 or more")
    share = getattr(chosen, "max_dropped", None)
    if share is not None and not 0 <= share <= 1:
        raise UsageError("--max-dropped is a share between 0 and 1")


def check_types(chosen: Any) -> None:
    """Refuse a value that is not of its field's type or choices; a list becomes a tuple."""
    for name, hint in typing.get_type_hints(type(chosen)).items():
        value = getattr(chosen, name)
        if isinstance(hint, type) and is_dataclass(hint):
            if not isinstance(value, hint):
                raise UsageError(f"{name} takes {hint.__name__}(...), not {value!r}")
            continue
        if isinstance(value, list):
            value = tuple(value)
            object.__setattr__(chosen, name, value)
        if not fits(value, hint):
            raise UsageError(f"--{name.replace('_', '-')} is {said(hint)}, not {value!r}")
        if name == "seed" and isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            raise UsageError(f"--seed is a number of at most 63 bits, not {value}")


def hints_of(kind: type[Any]) -> dict[str, Any]:
    """The type of every setting by name."""
    return {leaf.item.name: leaf.hint for leaf in leaves(kind)}


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type that settings have: numbers, words, choices, lists of words, or None."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return any(fits(value, part) for part in typing.get_args(hint))
    if origin is typing.Literal:
        return isinstance(value, str) and value in typing.get_args(hint)
    if origin is tuple:
        kind = typing.get_args(hint)[0]
        return isinstance(value, tuple) and all(isinstance(item, kind) and item for item in value)
    if hint is float:
        return not isinstance(value, bool) and (
            isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
        )
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
        return (
            "a list of words" if typing.get_args(hint)[0] is str else f"a list of {typing.get_args(hint)[0].__name__}"
        )
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}[hint]
