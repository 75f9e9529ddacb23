"""`view`: one page that shows what an edit changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recension.corpus import Reading, Record, open_corpus, read_piece
from recension.errors import UsageError, VerificationError
from recension.recipes.edit.outcome import report
from recension.recipes.restoring import EditedRun, Log, LogReader, edited_run, texts_by_generation
from recension.recipes.settings import setting
from recension.report import Mark, ViewedDocument, ViewedText, write_view
from recension.run import folder

PIECE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class ViewSpec:
    """What the page shows."""

    max_edits: int = setting(10_000, "Show documents until so many edits are on the page.", metavar="N", group="Page")
    unchanged: bool = setting(False, "Show documents without an edit too.", group="Page")


@dataclass(frozen=True, slots=True)
class Viewed:
    """What got on the page."""

    page: Path
    documents: int
    edits: int
    left_out: int


def view(edited: str | Path, page: str | Path | None = None, spec: ViewSpec | None = None) -> Viewed:
    """Write the page (by default `view.html` in the folder itself)."""
    spec = spec or ViewSpec()
    if spec.max_edits < 1:
        raise UsageError("--max-edits is 1 or more")
    source = edited_run(Path(edited))
    target = Path(page) if page is not None else source.out / "view.html"
    shown = _Shown()
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    with folder.writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("w", encoding="utf-8") as out:
                write_view(out, report(source.out, source.manifest), _documents(source, spec, shown))
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    return Viewed(target, shown.documents, shown.edits, shown.left_out)


class _Shown:
    """Counts what is shown while it streams by."""

    def __init__(self) -> None:
        self.documents = self.edits = self.left_out = 0


def _documents(source: EditedRun, spec: ViewSpec, shown: _Shown) -> Iterator[ViewedDocument]:
    corpus = open_corpus([str(source.out)], Reading())
    logs: dict[str, LogReader] = {}
    for piece in corpus.pieces(PIECE_BYTES):
        for row in read_piece(piece, corpus.reading, corpus.layout):
            if not isinstance(row, Record):
                continue
            name = Path(row.place.file).name
            log = logs.setdefault(name, LogReader(source.out, name)).of(row.place.row - 1)
            edits = sum(len(changes) for changes in log.values())
            if not edits and not spec.unchanged:
                continue
            if shown.edits and shown.edits + edits > spec.max_edits:
                shown.left_out += 1
                continue
            shown.documents += 1
            shown.edits += edits
            yield _viewed(row, log, source)


def _viewed(row: Record, log: Log, source: EditedRun) -> ViewedDocument:
    texts: list[ViewedText] = []
    for field in row.document.fields:
        last = row.document.text[field.start : field.end]
        try:
            history = texts_by_generation(last, field.path, log, source)
        except ValueError as error:
            raise VerificationError(
                f"{row.place.file} row {row.place.row} was changed after its edit: {error}"
            ) from None
        for generation in range(1, source.generations + 1):
            marks = _marks(log, generation, field.path)
            texts.append(ViewedText(generation, field.path, history[generation], marks))
    edition = (row.place.row - 1) % source.editions + 1
    place = f"{Path(row.place.file).name}, row {row.place.row}"
    return ViewedDocument(row.document.id, place, edition, tuple(texts))


def _marks(log: Log, generation: int, path: str) -> tuple[Mark, ...]:
    """Edits with offsets in the text that they made."""
    marks: list[Mark] = []
    shift = 0
    for edit in log.get((generation, path), ()):
        marks.append(Mark(edit.start + shift, edit.old, edit.new, edit.p_old, edit.p_new))
        shift += len(edit.new) - len(edit.old)
    return tuple(marks)
