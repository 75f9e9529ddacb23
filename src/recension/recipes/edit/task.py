"""One shard of an `edit`, in whatever process it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from recension.corpus import (
    BadRow,
    Layout,
    OutRow,
    Piece,
    Reading,
    Record,
    TablePart,
    check_unchanged,
    read_piece,
    read_table_rows,
)
from recension.document import Document, Field, Origin
from recension.engines.threads import stop_here
from recension.identity import content_hash
from recension.methods.protect import compile_protection, protected_intervals
from recension.methods.tally import Counts
from recension.methods.toedit import Edit, Edited, Sampling, edit_text
from recension.models.load import PriorOptions
from recension.ports import TokenScores
from recension.randomness import document_key
from recension.recipes.priors import Loaded, load
from recension.run.progress import Pulse
from recension.run.receipts import Receipt
from recension.run.shards import ShardPlan, ShardWriter

ROUND_CHARACTERS = 1 << 19  # scored together; a function of the content, so restarts see the same batches
ROUND_DOCUMENTS = 4_096
WATCHED = 16  # of every so many documents all probabilities are asked for, and shown in the report

EDITS_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),  # the row in the data shard of the same number
        ("id", pa.string()),
        ("edition", pa.int32()),
        ("generation", pa.int32()),
        ("path", pa.string()),
        ("start", pa.int64()),  # character offsets in the text that this generation edited
        ("end", pa.int64()),
        ("old", pa.string()),
        ("new", pa.string()),
        ("p_old", pa.float32()),
        ("p_new", pa.float32()),
        ("position", pa.int64()),  # the token's number in that text
    ]
)


class Draft(NamedTuple):
    """A text on its way through the generations."""

    text: str
    fields: tuple[Field, ...]
    edits: tuple[tuple[int, tuple[Edit, ...]], ...] = ()  # by generation


@dataclass(frozen=True)
class EditTask:
    """Reads a piece, edits it, writes its shard. Picklable; models are loaded where it runs."""

    plan: ShardPlan
    reading: Reading
    layout: Layout
    sampling: Sampling
    priors: tuple[str, ...]
    options: PriorOptions
    policy: str
    editions: int
    protect: tuple[str, ...]
    seed: int
    run: str

    def __call__(self, piece: Piece) -> Receipt:
        check_unchanged(piece.files)
        tally = Tally(len(self.priors))
        pulse = Pulse(self.plan.out, piece.index)
        with ShardWriter(self.plan, piece.index) as shard:
            for batch in rounds(read_piece(piece, self.reading, self.layout), self.sampling.top_k):
                stop_here()
                records = [item for item in batch if isinstance(item, Record)]
                self._account(shard, batch)
                before = tally.tokens
                self._write(shard, records, self._edit(records, tally))
                tokens = tally.tokens - before
                pulse.add(len(records), tokens, len(batch) - len(records), share_of(piece, batch))
            check_unchanged(piece.files)
            receipt = shard.commit(tally.to_json(), tuple(f.label for f in piece.files), piece.rows_cap)
        pulse.end()
        return receipt

    @cached_property
    def _patterns(self) -> Any:
        return compile_protection(self.protect)

    def _account(self, shard: ShardWriter, batch: Sequence[Record | BadRow]) -> None:
        for item in batch:
            if isinstance(item, Record):
                shard.row(self.editions)
            else:
                shard.row(1)
                shard.drop(item)

    def _edit(self, records: Sequence[Record], tally: Tally) -> list[list[Draft]]:
        """For each record its finished editions."""
        originals = [Draft(r.document.text, r.document.fields) for r in records]
        drafts = [[draft] * self.editions for draft in originals]
        scores: list[TokenScores] = []
        for step, name in enumerate(self.priors, start=1):
            loaded = load(name, self.options)
            anchored = step == 1 or self.policy == "anchor"
            if not (anchored and step > 1 and name == self.priors[step - 2]):
                texts = [d.text for d in originals] if anchored else [d[0].text for d in drafts]
                scores = loaded.prior.score(texts, self.sampling.ask(WATCHED))
            for i, record in enumerate(records):
                sources = [originals[i]] * self.editions if anchored else drafts[i]
                drafts[i] = [
                    self._step(record, (sources[e], drafts[i][e]), scores[i], (loaded, step, e + 1), tally)
                    for e in range(self.editions)
                ]
        return drafts

    def _step(
        self,
        record: Record,
        drafts: tuple[Draft, Draft],
        scores: TokenScores,
        place: tuple[Loaded, int, int],
        tally: Tally,
    ) -> Draft:
        (source, last), (loaded, step, edition) = drafts, place
        document = record.document
        age = document.origin.depth if document.origin else 0
        given = document.id if document.given_id else None
        key = document_key(self.seed, given, content_hash(source.text), age + step, edition)
        protect = protected_intervals(source.text, self._patterns)
        choice = (self.sampling, protect, key)
        edited: Edited = edit_text(source.text, source.fields, scores, loaded.vocabulary, choice)
        tally.add(step, edited.counts)
        return Draft(edited.text, edited.fields, (*last.edits, (step, edited.edits)))

    def _write(self, shard: ShardWriter, records: Sequence[Record], drafts: Sequence[Sequence[Draft]]) -> None:
        rows: list[OutRow] = []
        log: list[list[Any]] = [[] for _ in EDITS_SCHEMA]
        for record, editions in zip(records, drafts, strict=True):
            for edition, draft in enumerate(editions, start=1):
                number = shard.written + len(rows)
                document = self._edited(record.document, draft)
                texts = {f.path: draft.text[f.start : f.end] for f in draft.fields}
                rows.append(OutRow(record, document, texts, edition))
                for generation, edits in draft.edits:
                    if not edits:
                        continue
                    fixed = ([value] * len(edits) for value in (number, document.id, edition, generation))
                    for column, values in zip(log, (*fixed, *zip(*edits, strict=True)), strict=True):
                        column.extend(values)
        if rows:
            shard.write(self.layout.batch(rows))
        if log[0]:
            arrays = [pa.array(c, type=f.type) for c, f in zip(log, EDITS_SCHEMA, strict=True)]
            shard.log("edits", pa.RecordBatch.from_arrays(arrays, schema=EDITS_SCHEMA))

    def _edited(self, document: Document, draft: Draft) -> Document:
        old = document.origin
        age = (old.depth if old else 0) + len(self.priors)
        origin = Origin("edited", old.root if old else document.id, document.id, "toedit", self.run, age)
        return replace(document, text=draft.text, origin=origin, fields=draft.fields)


def rounds(items: Iterator[Record | BadRow], candidates: int = 8) -> Iterator[list[Record | BadRow]]:
    """Rows that are scored together: bounded, and the same for every worker and restart."""
    batch: list[Record | BadRow] = []
    size = 0
    most = ROUND_CHARACTERS // max(1, candidates // 64)
    for item in items:
        batch.append(item)
        size += len(item.document.text) if isinstance(item, Record) else len(item.original)
        if size >= most or len(batch) >= ROUND_DOCUMENTS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def share_of(piece: Piece, batch: Sequence[Record | BadRow]) -> float:
    """How much of a piece a batch is: by bytes, or by rows for tables, whose rows have no place in bytes."""
    if size := sum(item.place.length for item in batch):
        return size / max(piece.size, 1)
    rows = sum(part.rows for part in piece.parts if isinstance(part, TablePart))
    return len(batch) / max(rows, 1)


class Tally:
    """The sums of a shard, by generation."""

    def __init__(self, generations: int) -> None:
        self._counts = [Counts()] * generations

    def add(self, generation: int, counts: Counts) -> None:
        self._counts[generation - 1] += counts

    @property
    def tokens(self) -> int:
        return self._counts[0].tokens

    def to_json(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "generations": [counts.to_json() for counts in self._counts]}


def editing_log(path: Path) -> Iterator[tuple[int, int, Edit]]:
    """The edits of a shard as (row, generation, edit), in the order they were written."""
    for batch in read_table_rows(path, EDITS_SCHEMA):
        columns = batch.to_pydict()
        edits = zip(*(columns[name] for name in Edit._fields), strict=True)
        for row, generation, values in zip(columns["row"], columns["generation"], edits, strict=True):
            yield row, generation, Edit(*values)
