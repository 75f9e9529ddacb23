"""`view`: one page that shows what an edit changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recension.corpus import BadRow, Record, open_corpus, read_piece
from recension.errors import OutputError, UsageError, VerificationError
from recension.recipes.edit.outcome import report
from recension.recipes.restoring import EditedRun, Log, Logs, edited_run, shard_logs, texts_by_generation, unreadable
from recension.recipes.settings import check_types, setting
from recension.report import Mark, ViewedDocument, ViewedText, write_view
from recension.run import folder
from recension.run.receipts import receipts

PIECE_BYTES = 4 << 20
OURS = b'<meta name="generator" content="recension">'


@dataclass(frozen=True, slots=True)
class ViewSpec:
    """What the page shows."""

    max_edits: int = setting(10_000, "Show documents until so many edits are on the page.", metavar="N", group="Page")
    unchanged: bool = setting(False, "Show documents without an edit too.", group="Page")

    def __post_init__(self) -> None:
        check_types(self)


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
    _check_target(target)
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
    return Viewed(target, shown.documents, shown.edits, _edited_documents(source) - shown.edited)


class _Shown:
    """Counts what is shown while it streams by."""

    def __init__(self) -> None:
        self.documents = self.edited = self.edits = 0


def _check_target(target: Path) -> None:
    """A page may replace a page of ours and nothing else."""
    folder.output_path(target)
    with folder.writing(target):
        if target.is_dir():
            raise OutputError(f"{target} is a folder: -o names the page to write")
        if target.exists():
            with target.open("rb") as file:
                if OURS not in file.read(4_096):
                    raise OutputError(f"{target} exists and is no page of ours: choose another -o, or remove it first")
    run = target.absolute().parent
    if run.name in folder.PARTS and folder.is_run(run.parent):
        raise OutputError(f"{target} lies among the files of a run: choose another -o")


def _documents(source: EditedRun, spec: ViewSpec, shown: _Shown) -> Iterator[ViewedDocument]:
    corpus = open_corpus([str(source.out)], source.reading)
    logs = Logs(source.out)
    for piece in corpus.pieces(PIECE_BYTES):
        for row in read_piece(piece, corpus.reading, corpus.layout):
            if isinstance(row, BadRow):
                raise unreadable(row)
            log = logs.of(row)
            edits = sum(len(changes) for changes in log.values())
            if not edits and not spec.unchanged:
                continue
            if shown.edits and shown.edits + edits > spec.max_edits:
                return
            shown.documents += 1
            shown.edited += bool(edits)
            shown.edits += edits
            yield _viewed(row, log, source)


def _edited_documents(source: EditedRun) -> int:
    """How many documents of a run have edits, from its log alone."""
    return sum(1 for receipt in receipts(source.out) for _ in shard_logs(source.out, receipt))


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
