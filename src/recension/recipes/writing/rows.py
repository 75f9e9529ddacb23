"""The rows that the writing verbs write: a text, where it comes from, and how it came about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from recension.corpus import ORIGIN_TYPE, Record, other_columns_of
from recension.document import Document, Kind, Origin
from recension.recipes.writing.tally import Tally

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("origin", ORIGIN_TYPE),
        ("style", pa.string()),
        ("genre", pa.string()),
        ("audience", pa.string()),
        ("topic", pa.string()),
        ("part", pa.int32()),
        ("parts", pa.int32()),
        ("number", pa.int32()),
        ("score", pa.int32()),
        ("unsupported", pa.list_(pa.string())),
        ("model", pa.string()),
        ("judge", pa.string()),
        ("metadata", pa.string()),
    ]
)
COLUMNS = {
    "style": "the variant or style that was asked for; `source` for a text that is its source",
    "genre": "the genre that was asked for",
    "audience": "the readers that were asked for",
    "topic": "the topic that was told",
    "part": "which part of the source, the first being 1",
    "parts": "into how many parts the source was cut",
    "number": "which of the answers to that part",
    "score": "the judge's score, 1 to 5",
    "unsupported": "what the text states and the source does not support",
    "model": "the model that wrote the text",
    "judge": "the model that rated it",
    "metadata": "every other column of the source row, as a JSON object",
}


@dataclass(frozen=True, slots=True)
class Written:
    """A text that is kept."""

    text: str
    style: str
    genre: str | None = None
    audience: str | None = None
    topic: str | None = None
    part: int = 1
    parts: int = 1
    number: int = 1
    score: int | None = None
    unsupported: tuple[str, ...] = ()
    judge: str | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """A text that was asked for and is not kept."""

    reason: str
    detail: str


@dataclass(slots=True)
class Units:
    """What became of one row. Every unit is in `written` or in `lost`."""

    written: list[Written] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def lose(self, reason: str, detail: str = "") -> None:
        self.lost.append(Lost(reason, detail))

    def __len__(self) -> int:
        return len(self.written) + len(self.lost)


@dataclass(frozen=True, slots=True)
class Author:
    """What all rows of a run have in common."""

    verb: str
    kind: Kind
    model: str
    run: str


def batch_of(records: Sequence[tuple[Record, Written]], author: Author) -> pa.RecordBatch:
    """Rows for texts with the records they were made of."""
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for record, one in records:
        source = record.document
        origin = _origin(source, one, author)
        columns["id"].append(source.id if one.style == "source" else _id_of(source, one))
        columns["origin"].append(dict(zip(ORIGIN_NAMES, (*_values(origin), one.number), strict=True)))
        columns["model"].append(None if one.style == "source" else author.model)
        columns["unsupported"].append(list(one.unsupported))
        columns["metadata"].append(other_columns_of(record).decode())
        for name in ("text", "style", "genre", "audience", "topic", "part", "parts", "number", "score", "judge"):
            columns[name].append(getattr(one, name))
    arrays = [pa.array(columns[kind.name], kind.type) for kind in SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


ORIGIN_NAMES = [ORIGIN_TYPE.field(index).name for index in range(ORIGIN_TYPE.num_fields)]


def _values(origin: Origin) -> tuple[Any, ...]:
    return (origin.kind, origin.root, origin.parent, origin.method, origin.run, origin.generation)


def _origin(source: Document, one: Written, author: Author) -> Origin:
    old = source.origin
    if one.style == "source":
        return old or Origin("unknown", source.id, source.id, "", "", 0)
    root, age = old.root if old else source.id, (old.depth if old else 0) + 1
    return Origin(author.kind, root, source.id, f"{author.verb}:{one.style}", author.run, age)


def _id_of(source: Document, one: Written) -> str:
    """The id of the source, and which of its texts this is."""
    part = f"{one.part}." if one.parts > 1 else ""
    return f"{source.id}~{one.style}-{part}{one.number}"
