"""`revert`: the original text of an edited corpus, byte for byte, from the log of its edits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from recension import __version__
from recension.corpus import (
    BadRow,
    Corpus,
    Layout,
    OutRow,
    Piece,
    Reading,
    Record,
    expected_size,
    open_corpus,
    read_piece,
    set_aside,
)
from recension.document import JSON, Document, Kind, Origin
from recension.engines.local import LocalEngine, available_cores
from recension.errors import UsageError, VerificationError
from recension.recipes.edit.task import rounds, share_of
from recension.recipes.pages import Story, identity_of, plain_pages
from recension.recipes.restoring import EditedRun, Logs, edited_run, texts_by_generation, unreadable
from recension.recipes.settings import Effort, check_types, setting
from recension.run.execute import Bounds, Totals, execute, seal, totals
from recension.run.folder import output_path
from recension.run.manifest import Manifest, open_run
from recension.run.progress import Observer, Pulse, Silent
from recension.run.receipts import Receipt
from recension.run.shards import ShardPlan, ShardWriter

RECIPE_VERSION = 1
PIECE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class RevertSpec:
    """What to restore."""

    to: int = setting(0, "Stop at this generation; 0 is the original.", metavar="G", group="Restoring")
    format: Literal["parquet", "jsonl", "jsonl.gz", "jsonl.zst"] = setting(
        "parquet", "How documents are written.", ("parquet", "jsonl", "jsonl.gz", "jsonl.zst"), group="Output"
    )

    def __post_init__(self) -> None:
        check_types(self)


def revert(
    edited: str | Path,
    out: str | Path,
    spec: RevertSpec | None = None,
    effort: Effort | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> Totals:
    """Write the documents of `edited` as they were at generation `spec.to`."""
    spec, effort, observer, out = spec or RevertSpec(), effort or Effort(), observer or Silent(), output_path(out)
    source = edited_run(Path(edited))
    if not 0 <= spec.to <= source.generations:
        raise UsageError(f"--to {spec.to}: {edited} has the generations 0 (the original) to {source.generations}")
    corpus = open_corpus([str(edited)], source.reading, exclude=out)
    with open_run(out, _manifest(source, spec, corpus), fresh, [source.out]) as run:
        task = RevertTask(
            ShardPlan.of(run, spec.format, {"data": corpus.layout.schema}),
            corpus.reading,
            corpus.layout,
            source,
            spec.to,
        )
        workers = max(1, min(effort.workers or available_cores(), corpus.size // PIECE_BYTES))
        bounds = Bounds(PIECE_BYTES, effort.limit, effort.max_dropped, expected_size(corpus))
        execute(run, task, corpus, LocalEngine(workers), bounds, observer)
        sums = totals(run.out)
        story = Story(_story(source, spec), {"data": corpus.layout.schema}, {"to": str(spec.to)})
        seal(run, corpus.digests, plain_pages(run, story), effort.limit)
    return sums


def _story(source: EditedRun, spec: RevertSpec) -> str:
    what = "the original texts" if spec.to == 0 else f"the texts of generation {spec.to}"
    return f"Restored with `recension revert`: {what} of run {source.manifest.name}."


def _manifest(source: EditedRun, spec: RevertSpec, corpus: Corpus) -> Manifest:
    identity: dict[str, JSON] = {
        "spec": {"to": spec.to, "format": spec.format},
        "edited": source.manifest.key,
        "inputs": [identity_of(file) for file in corpus.files],
        "layout": corpus.layout.to_json(),
    }
    facts: dict[str, JSON] = {
        "recension": __version__,
        "given": [str(source.out)],
        "urls": {file.label: file.where for file in corpus.files},
    }
    return Manifest("revert", RECIPE_VERSION, identity, facts)


@dataclass(frozen=True)
class RevertTask:
    """Reads a piece of an edited run and writes what it was."""

    plan: ShardPlan
    reading: Reading
    layout: Layout
    source: EditedRun
    to: int

    def __call__(self, piece: Piece) -> Receipt:
        pulse = Pulse(self.plan.out, piece.index)
        with ShardWriter(self.plan, piece.index) as shard:
            logs = Logs(self.source.out)
            for batch in rounds(read_piece(piece, self.reading, self.layout)):
                rows = list(self._restore(batch, shard, logs))
                if rows:
                    shard.write(self.layout.batch(rows))
                pulse.add(len(rows), 0, len(batch) - len(rows), share_of(piece, batch))
            receipt = shard.commit({}, tuple(f.label for f in piece.files), piece.rows_cap)
        pulse.end()
        return receipt

    def _restore(self, batch: list[Record | BadRow], shard: ShardWriter, logs: Logs) -> Iterator[OutRow]:
        for item in batch:
            if isinstance(item, BadRow):
                raise unreadable(item)
            shard.row(1)
            log = logs.of(item)
            edition = (item.place.row - 1) % self.source.editions + 1
            if edition > 1 and self.to == 0:
                why = "another edition of the same original, which is written once"
                shard.drop(set_aside(item, "other-edition", why))
                continue
            texts = {f.path: self._text(item, f.path, log) for f in item.document.fields}
            yield OutRow(item, self._document(item.document), texts, edition)

    def _text(self, record: Record, path: str, log: Any) -> str:
        field = next(f for f in record.document.fields if f.path == path)
        last = record.document.text[field.start : field.end]
        try:
            return texts_by_generation(last, path, log, self.source)[self.to]
        except ValueError as error:
            place = f"{record.place.file} row {record.place.row}"
            raise VerificationError(f"{place} ({record.document.id}) was changed after its edit: {error}") from None

    def _document(self, document: Document) -> Document:
        spec: Any = self.source.manifest.identity["spec"]
        old = document.origin or Origin("unknown", document.id, document.id, "", "", self.source.generations)
        age = max(old.generation - self.source.generations + self.to, 0)
        kind: Kind = "edited" if age else spec["origin"] or "unknown"
        return replace(document, origin=Origin(kind, old.root, old.parent, "toedit" if age else "", "", age))
