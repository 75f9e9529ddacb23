"""The values that documents are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

JSON: TypeAlias = "None | bool | int | float | str | list[JSON] | dict[str, JSON]"
Kind = Literal["human", "edited", "rewritten", "generated", "unknown"]
KINDS: tuple[Kind, ...] = ("human", "edited", "rewritten", "generated", "unknown")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a text comes from. `generation` counts the model steps since the human text."""

    kind: Kind
    root: str
    parent: str
    method: str
    run: str
    generation: int

    @property
    def depth(self) -> int:
        """How many models the text went through: one at least where it was merely declared to be a model's."""
        return self.generation if self.kind in ("human", "unknown") else max(self.generation, 1)


class Field(NamedTuple):
    """A stretch `text[start:end]` of a document that stands in one field of its row and may be changed.

    Plain rows have one (`text`); instruction rows have `output`; chat rows one `messages[i].content` for each answer.
    Whatever lies outside every field is context: a prior reads it, nothing changes it.
    """

    path: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    """A text with an identity.

    `text` is what a prior reads: for plain rows the text itself, for chat and instruction rows the whole exchange.
    `given_id` is False where the row had no id and `id` was derived from its content and place.
    """

    id: str
    text: str
    origin: Origin | None = None
    meta: Mapping[str, JSON] = field(default_factory=dict)
    given_id: bool = True
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Dropped:
    """Loss is a value: an input that did not become a document, and why."""

    id: str
    reason: str
    detail: str = ""


Outcome: TypeAlias = "Document | Dropped"
