"""The values that reading exchanges: what is asked, where a row stands, what it became."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec

from recension.document import Document, Kind
from recension.errors import UsageError

Shape = Literal["text", "chat", "instruction"]
SHAPES: tuple[Shape, ...] = ("text", "chat", "instruction")
HEAD_BYTES = 64 << 10
INSTRUCTION_KEYS = ("instruction", "input", "output")
CONSUMED: dict[Shape, tuple[str, ...]] = {"text": ("text",), "chat": ("messages",), "instruction": INSTRUCTION_KEYS}


@dataclass(frozen=True, slots=True)
class Reading:
    """How rows are read. `origin` is the kind that is declared for rows that say nothing of where they come from.

    `shapes` are the shapes that the output has columns for, the first that a row has coming first: nothing is looked
    at to find out. Where there are none, `shape` and the beginning of the files decide.
    """

    text_key: str = "text"
    id_key: str = "id"
    shape: Literal["auto", "text", "chat", "instruction", "mixed"] = "auto"
    text_unit: Literal["document", "paragraph", "line"] = "document"
    max_row: int = 64 << 20
    origin: Kind | None = None
    shapes: tuple[Shape, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.shapes) & set(SHAPES)) < len(self.shapes):
            raise UsageError(f"the shapes are {self.shapes}: name each of {', '.join(SHAPES)} at most once")
        if self.max_row < 1:
            raise UsageError(f"--max-row must be at least 1, not {self.max_row}")
        if self.text_key == self.id_key:
            raise UsageError(f"--text-key and --id-key are both '{self.text_key}': name two columns")

    @property
    def sought(self) -> tuple[Shape, ...]:
        """The shapes that a row may have, in the order in which they are tried."""
        if self.shapes:
            return self.shapes
        return tuple(shape for shape in SHAPES if self.shape in ("auto", "mixed", shape))


def shown(name: str) -> str:
    """A name of a file as text: bytes that are no text on this system are spelled out."""
    try:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return name.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of the input. `label` is its path relative to the input as given; `url` opens it from any process.

    `where` is the `url` to show and to store: a name on a disk need not be text.
    """

    label: str
    url: str
    size: int
    stamp: str
    format: str

    @property
    def where(self) -> str:
        return shown(self.url)

    @property
    def local(self) -> bool:
        return "://" not in self.url


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands. `row` is a line number, or the ordinal of a row where lines mean nothing.

    `offset` and `length` are bytes of the file, after decompression; columnar formats have none and say 0.
    """

    file: str
    row: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a row cannot become a document."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was set aside, with its original bytes (of a row over `max_row`: the first 64 KiB)."""

    id: str
    reason: str
    detail: str
    place: Place
    original: bytes
    sha256: str
    original_format: Literal["raw", "arrow"] = "raw"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat. `content` is None unless it is a string; `extra` is a JSON object of all that is more."""

    role: str
    content: str | None
    context: str
    extra: bytes = b"{}"


@dataclass(frozen=True, slots=True)
class Exchange:
    """The shape of a row with its contents, from which the row can be built again with other contents.

    A message that is null in the row is None here.
    """

    shape: Shape
    messages: tuple[Message | None, ...] = ()
    instruction: tuple[str | None, str | None, str] = ("", None, "")


@dataclass(frozen=True, slots=True)
class JsonRow:
    """What came with a document in a row of JSON or text: the row as it was, and every other column, byte for byte.

    `metadata` is set where the row is one that we wrote: then it holds every other column already.
    """

    original: bytes
    others: Mapping[str, msgspec.Raw | bytes]
    exchange: Exchange
    metadata: bytes | None = None


@dataclass(frozen=True, slots=True)
class ArrowRow:
    """What came with a document in a row of a table: the batch it is in, and which columns of it pass through.

    `metadata` is set where the row is one that we wrote: then it holds every other column already.
    """

    batch: Any
    index: int
    passing: tuple[tuple[str, str], ...]
    exchange: Exchange
    metadata: bytes | None = None


Carried: TypeAlias = JsonRow | ArrowRow


@dataclass(frozen=True, slots=True)
class Record:
    """A row that became a document, with all that the document does not hold."""

    document: Document
    place: Place
    carried: Carried


@dataclass(frozen=True, slots=True)
class LinePart:
    """Whole lines of one file. `row` is the number of the first line."""

    file: SourceFile
    payload: bytes
    offset: int
    row: int


@dataclass(frozen=True, slots=True)
class SpanPart:
    """Whole lines of one file that is not packed: where they stand, not yet read."""

    file: SourceFile
    length: int
    offset: int
    row: int


@dataclass(frozen=True, slots=True)
class RowPart:
    """Whole rows of one file, one after the other; `spans` holds (offset, length, row) of each as 64-bit integers."""

    file: SourceFile
    payload: bytes
    spans: bytes


@dataclass(frozen=True, slots=True)
class BadPart:
    """A row that could not be read at all."""

    file: SourceFile
    bad: BadRow


@dataclass(frozen=True, slots=True)
class TablePart:
    """A stretch of a columnar file: row groups or record batches from `start` to `stop`; `row` is the first row."""

    file: SourceFile
    start: int
    stop: int
    row: int
    rows: int


Part: TypeAlias = LinePart | SpanPart | RowPart | BadPart | TablePart


@dataclass(frozen=True, slots=True)
class Piece:
    """The unit of work and of restart. A skipped piece is done already and carries nothing.

    `rows_cap` stands only on the last piece under a limit: so many rows of it count.
    """

    index: int
    parts: tuple[Part, ...] = ()
    size: int = 0
    rows_cap: int | None = None
    skipped: bool = False

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return tuple(dict.fromkeys(part.file for part in self.parts))
