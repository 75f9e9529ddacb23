"""Files of questions: which columns say what, and rows read as questions. A document is text, never a template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from recension.corpus import BadRow, ObjectFile, ObjectRow, read_objects
from recension.document import JSON
from recension.errors import InputError, UsageError
from recension.methods.answers import Match
from recension.methods.questions import Asking, Kind, Question

ENDINGS = (".gz", ".zst", ".jsonl", ".ndjson", ".json")
SEEN = 12  # names of columns in a message
# What a question of each kind is made of, by the names of the settings; the first kind that fits is taken.
PARTS: Mapping[Kind, tuple[str, ...]] = {
    "choices": ("query", "choices", "gold"),
    "contexts": ("contexts", "continuation", "gold"),
    "cloze": ("query", "continuation"),
    "answer": ("query", "answer"),
    "text": ("text",),
}
# The columns that hold them where nothing else is said.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "query": ("query", "context"),
    "choices": ("choices",),
    "gold": ("gold",),
    "contexts": ("context_options", "contexts"),
    "continuation": ("continuation",),
    "text": ("text",),
    "answer": ("answer",),
    "aliases": ("aliases",),
}


class TaskSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One task of `--task-config`. The settings that are named like a part of a question name its column."""

    file: str
    train: str | None = None
    kind: Kind | None = None
    query: str | None = None
    choices: str | list[str] | None = None
    labels: list[str] | None = None
    gold: str | None = None
    contexts: str | None = None
    continuation: str | None = None
    text: str | None = None
    answer: str | None = None
    aliases: str | None = None
    before: str = ""
    after: str = ""
    separator: str = " "
    match: Match = "text"
    stop: list[str] = msgspec.field(default_factory=lambda: ["\n"])
    max_tokens: int = 64


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A file read whole: its rows in order, each a question or set aside. `pool` is what examples are drawn from."""

    name: str
    source: ObjectFile
    train: ObjectFile | None
    asking: Asking
    rows: tuple[tuple[ObjectRow, Question] | BadRow, ...]
    pool: tuple[Question, ...]
    settings: TaskSettings

    @property
    def identity(self) -> dict[str, JSON]:
        """What of it goes into a key: the bytes of the files, and how they are read; not where they are."""
        said: dict[str, JSON] = msgspec.to_builtins(self.settings)
        said |= {"file": self.source.sha256, "train": self.train.sha256 if self.train else None}
        return {"name": self.name, "settings": said, "kind": self.asking.kind}


def named_files(files: Sequence[str], config: str | None, kind: Kind | None) -> dict[str, TaskSettings]:
    """The tasks of `--file` and of `--task-config` by name."""
    found: dict[str, TaskSettings] = {}
    for path in files:
        _add(found, task_name(path), TaskSettings(path, kind=kind))
    for name, settings in (read_task_config(Path(config)) if config else {}).items():
        _add(found, name, settings)
    return found


def _add(found: dict[str, TaskSettings], name: str, settings: TaskSettings) -> None:
    if name in found:
        raise UsageError(f"two tasks are called '{name}': give one another name in --task-config")
    found[name] = settings


def task_name(path: str) -> str:
    """`eval/arc_easy.dev.jsonl.gz` is the task `arc_easy.dev`."""
    name = Path(path).name
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return name


def read_task_config(path: Path) -> dict[str, TaskSettings]:
    """`tasks: {NAME: {file: ..., ...}}`; paths in it are relative to it."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--task-config {path}: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"--task-config {path} cannot be parsed: {' '.join(str(error).split())}") from None
    try:
        tasks = msgspec.convert(raw, dict[str, dict[str, TaskSettings]])["tasks"]
    except KeyError:
        raise UsageError(
            f"--task-config {path} names no tasks: write 'tasks:' and below it one name for each"
        ) from None
    except msgspec.ValidationError as error:
        known = ", ".join(TaskSettings.__struct_fields__)
        raise UsageError(f"--task-config {path}: {error}; a task has {known}") from None
    return {
        name: msgspec.structs.replace(
            settings,
            file=str(path.parent / settings.file),
            train=None if settings.train is None else str(path.parent / settings.train),
        )
        for name, settings in tasks.items()
    }


def read_task(name: str, settings: TaskSettings, limit: int | None) -> TaskFile:
    """Read a task. The first `limit` rows are asked; examples may come from all of them."""
    source = read_objects(settings.file)
    reader = _reader(name, settings, source)
    asking = Asking(reader.kind, settings.separator, settings.match, tuple(settings.stop), settings.max_tokens)
    rows = [reader.read(row) for row in source.rows]
    train = None if settings.train is None else read_objects(settings.train)
    pool = rows if train is None else [reader.read(row) for row in train.rows]
    kept = tuple(rows[:limit])
    if not any(isinstance(row, tuple) for row in kept):
        why = next((f": {row.detail}" for row in kept if isinstance(row, BadRow)), "")
        raise InputError(f"task '{name}': no row of {settings.file} is a question of the kind {reader.kind}{why}")
    return TaskFile(name, source, train, asking, kept, tuple(q[1] for q in pool if isinstance(q, tuple)), settings)


# --- rows to questions ------------------------------------------------------------------------------------------------


class _UnfitError(Exception):
    """Why a row is no question."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Reader:
    kind: Kind
    columns: Mapping[str, str]
    settings: TaskSettings

    def read(self, row: ObjectRow | BadRow) -> tuple[ObjectRow, Question] | BadRow:
        if isinstance(row, BadRow):
            return row
        try:
            return row, self._question(row.values)
        except _UnfitError as unfit:
            return row.aside(unfit.reason, str(unfit))

    def _question(self, values: Mapping[str, JSON]) -> Question:
        if self.kind == "text":
            return Question((), (self._text(values, "text"),))
        if self.kind == "contexts":
            options = self._list(values, "contexts")
            continuation = (self._text(values, "continuation"),)
            return Question(tuple(self._around(one) for one in options), continuation, self._gold(values, options))
        prompt = (self._around(self._text(values, "query", empty=True)),)
        if self.kind == "cloze":
            return Question(prompt, (self._text(values, "continuation"),), (0,))
        if self.kind == "answer":
            return Question(prompt, accepted=self._accepted(values))
        choices = self._choices(values)
        return Question(prompt, choices, self._gold(values, choices))

    def _around(self, prompt: str) -> str:
        return self.settings.before + prompt + self.settings.after

    def _value(self, values: Mapping[str, JSON], part: str) -> JSON:
        column = self.columns.get(part, part)
        if values.get(column) is None:
            raise _UnfitError("missing-column", f"the row has no '{column}', or it is null")
        return values[column]

    def _text(self, values: Mapping[str, JSON], part: str, empty: bool = False) -> str:
        return _words(self._value(values, part), f"'{self.columns.get(part, part)}'", empty)

    def _list(self, values: Mapping[str, JSON], part: str) -> tuple[str, ...]:
        name, value = f"'{self.columns.get(part, part)}'", self._value(values, part)
        if not isinstance(value, list):
            raise _UnfitError("wrong-type", f"{name} is no list")
        if len(value) < 2:
            raise _UnfitError("too-few-choices", f"{name} holds fewer than two")
        return tuple(_words(one, f"an entry of {name}") for one in value)

    def _choices(self, values: Mapping[str, JSON]) -> tuple[str, ...]:
        if self.settings.labels is not None:
            return tuple(self.settings.labels)
        if isinstance(self.settings.choices, list):
            return tuple(_words(values.get(column), f"'{column}'") for column in self.settings.choices)
        return self._list(values, "choices")

    def _gold(self, values: Mapping[str, JSON], choices: Sequence[str]) -> tuple[int, ...]:
        """An index from 0, the text of a choice, its letter, or a list of these."""
        value = self._value(values, "gold")
        given = value if isinstance(value, list) else [value]
        if not given:
            raise _UnfitError("gold-not-among-choices", "the row names no right choice")
        return tuple(dict.fromkeys(_index(one, choices) for one in given))

    def _accepted(self, values: Mapping[str, JSON]) -> tuple[str, ...]:
        aliases = values.get(self.columns.get("aliases", "aliases"))
        answer = self._value(values, "answer")
        given = [*(answer if isinstance(answer, list) else [answer]), *(aliases if isinstance(aliases, list) else [])]
        if not given:
            raise _UnfitError("empty-text", f"'{self.columns['answer']}' is an empty list")
        return tuple(dict.fromkeys(_words(one, f"'{self.columns['answer']}'") for one in given))


def _words(value: JSON, what: str, empty: bool = False) -> str:
    """A text; a number stands for itself."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise _UnfitError("wrong-type", f"{what} is no text")
    if not value.strip() and not empty:
        raise _UnfitError("empty-text", f"{what} is empty")
    return value


def _index(value: JSON, choices: Sequence[str]) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value < len(choices):
            return value
    elif isinstance(value, str):
        if value in choices:
            return choices.index(value)
        letter = ord(value) - ord("A") if len(value) == 1 else -1
        if 0 <= letter < len(choices):
            return letter
    raise _UnfitError(
        "gold-not-among-choices", f"the right choice is {value!r:.60}, and there are {len(choices)} choices"
    )


def _reader(name: str, settings: TaskSettings, source: ObjectFile) -> _Reader:
    """The kind that the columns say, or the one that is named."""
    seen = list(dict.fromkeys(key for row in source.rows if isinstance(row, ObjectRow) for key in row.values))
    columns: dict[str, str] = {}
    for part, usual in COLUMNS.items():
        given: Any = getattr(settings, part)
        found = given if isinstance(given, str) else next((one for one in usual if one in seen), None)
        if isinstance(given, str) and given not in seen:
            raise UsageError(f"task '{name}': no row of {settings.file} has the column '{given}'; {_said(seen)}")
        if found is not None:
            columns[part] = found
    there = {*columns, *(["choices"] if settings.labels or isinstance(settings.choices, list) else [])}
    for kind in [settings.kind] if settings.kind else PARTS:
        if there.issuperset(PARTS[kind]):
            return _Reader(kind, columns, settings)
    wanted = f"is no '{settings.kind}' task" if settings.kind else "is of no kind that can be recognised"
    kinds = "; ".join(f"{kind}: {', '.join(parts)}" for kind, parts in PARTS.items())
    raise UsageError(
        f"task '{name}': {settings.file} {wanted}. {_said(seen)}. The kinds are {kinds}. Say in --task-config which "
        "column is which, such as 'query: Question' and 'choices: [A, B, C]'"
    )


def _said(seen: Sequence[str]) -> str:
    more = f" and {len(seen) - SEEN} more" if len(seen) > SEEN else ""
    return f"Its columns are {', '.join(seen[:SEEN]) or 'none'}{more}"
