"""The last pass: what is kept is written, what is not is named with its reason, score and place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recension.corpus import (
    DROPPED_SCHEMA,
    BadRow,
    Layout,
    OutRow,
    Piece,
    Places,
    PlainRows,
    Reading,
    Record,
    check_unchanged,
    read_chosen,
)
from recension.document import Kind
from recension.methods.audit.sample import stretches
from recension.methods.select import tail
from recension.methods.select.bags import Bags, Rare, bags_of, counted_in, pairs_of
from recension.methods.select.choice import Cut, below
from recension.methods.select.tail import Domains, Holding, Sampled
from recension.recipes.select import duplicates
from recension.recipes.select.ranking import PASSAGE_WORDS, kept_of, sample_ranks
from recension.recipes.select.sheets import KEPT, READ, SCORE, Features, Ranked, Sheet, load, place
from recension.recipes.select.spec import SelectSpec
from recension.run import folder
from recension.run.progress import Pulse
from recension.run.receipts import Receipt
from recension.run.shards import ShardPlan, ShardWriter

ROUND_BYTES, ROUND_DOCUMENTS = 1 << 20, 4_096
BY_REFERENCE = "reference"
NOTHING = np.zeros(0, np.uint16)

SCORES_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("words", pa.int64()),
        ("score", pa.float64()),
        ("kept", pa.bool_()),
    ]
)
REMOVED_SCHEMA = pa.schema([*DROPPED_SCHEMA, pa.field("score", pa.float64())])

REASONS: Mapping[str, str] = {
    "dsir": "not-drawn",
    "density": "not-drawn",
    "edu": "low-score",
    "perplexity": "outside-band",
    "dedup": "near-duplicate",
}


class Passage(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of a document of one of the samples."""

    after: bool
    document: str
    text: str


@dataclass(frozen=True)
class WriteTask:
    """Reads what is kept of a piece once more, and writes its shard. Picklable."""

    plan: ShardPlan
    reading: Reading
    layout: Layout
    spec: SelectSpec
    choice: Mapping[str, Any]
    samples: Sequence[Sequence[int]]
    checks: Sequence[Sequence[int]]  # by piece: of sheet and ranks, the number of its first row, of the features

    def __call__(self, piece: Piece) -> Receipt:
        check_unchanged(piece.files)
        out, number = self.plan.out, piece.index
        sheet: Sheet = load(place(out, READ, number, "sheet"), Sheet, self.checks[number][0])
        ranked: Ranked = load(place(out, SCORE, number, "ranks"), Ranked, self.checks[number][1])
        kept = kept_of(ranked, number, self.choice)
        twins: Mapping[int, str] = {}
        if self.spec.method == "dedup":
            found = duplicates.removed(out, self.plan.key)
            rows, firsts = duplicates.of_piece(found, self.checks[number][2], len(kept))
            twins = dict(zip(rows.tolist(), firsts, strict=True))
            kept[rows] = False
        pulse = Pulse(out, number)
        with ShardWriter(self.plan, number) as shard:
            shard.rows(len(kept))
            self._documents(piece, shard, (sheet, ranked, kept), pulse)
            removed = np.flatnonzero(sheet.good & ~kept)
            if len(removed):
                shard.drop_all(*self._removed(sheet, ranked, removed, twins))
            shard.log("scores", _scores(sheet, ranked, kept))
            check_unchanged(piece.files)
            receipt = shard.commit(
                {"tokens": int(sheet.words[kept].sum())}, tuple(f.label for f in piece.files), piece.rows_cap
            )
        pulse.end()
        return receipt

    def _documents(
        self, piece: Piece, shard: ShardWriter, found: tuple[Sheet, Ranked, NDArray[np.bool_]], pulse: Pulse
    ) -> None:
        sheet, ranked, kept = found
        samples = self._sampled(piece.index, ranked, kept)
        sampled = samples[0] | samples[1]
        wanted = kept | ~sheet.good | sampled
        places = Places(sheet.labels, sheet.files, sheet.rows, sheet.offsets, sheet.lengths)
        passages: list[Passage] = []
        writer = _Writer(shard, self.layout, self.reading.origin, self._held(piece.index, sheet, kept))

        def sample(number: int, name: str, text: str) -> None:
            for after in (False, True):
                if samples[after][number]:
                    part = _passage(text, int(ranked.digests[number]) >> (17 if after else 0))
                    passages.append(Passage(after, name, part))

        for rows in read_chosen(piece, self.reading, self.layout, wanted, places):
            if isinstance(rows, PlainRows):
                for at in np.flatnonzero(sampled[rows.numbers]).tolist():
                    sample(int(rows.numbers[at]), rows.ids[at], rows.texts[at])
                chosen = rows.where(kept[rows.numbers])
                writer.add_plain(chosen, Domains(sheet.names, sheet.domains[chosen.numbers]))
                continue
            number, row = rows
            if isinstance(row, BadRow):
                shard.drop(row)
                continue
            sample(number, row.document.id, row.document.text)
            if kept[number]:
                writer.add(row, sheet.names[sheet.domains[number]])
        writer.flush()
        pulse.add(shard.written, int(sheet.words[kept].sum()), len(kept) - shard.written, 1.0)
        state = msgspec.msgpack.encode([tail.to_bytes(writer.holding), passages])
        # Before the receipt, so that every shard that counts has left it.
        folder.write_atomic(place(self.plan.out, KEPT, piece.index, "kept"), state)

    def _held(self, number: int, sheet: Sheet, kept: NDArray[np.bool_]) -> Holding | None:
        """What is kept of a piece, made of its sheet; None where only the texts tell."""
        if self.spec.method != "dsir":
            return None
        features: Features = load(place(self.plan.out, READ, number, "features"), Features, self.checks[number][3])
        chosen, sizes = kept[sheet.good], sheet.words[sheet.good]
        holding = Holding(singles=Sampled(int(features.limits[0])), pairs=Sampled(int(features.limits[1])))
        counts = counted_in(features.singles, sizes, chosen) + counted_in(features.pairs, pairs_of(sizes), chosen)
        rare = (
            Rare(features.rare_singles[chosen[features.single_rows]], features.single_rows),
            Rare(features.rare_pairs[chosen[features.pair_rows]], features.pair_rows),
        )
        bags = Bags(NOTHING, NOTHING, sizes[chosen], sheet.digests[kept], rare, counts)
        holding.add(bags, Domains(sheet.names, sheet.domains[kept]))
        return holding

    def _sampled(self, number: int, ranked: Ranked, kept: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
        if not self.samples:
            return [np.zeros(len(kept), dtype=np.bool_)] * 2
        return [
            below(sample_ranks(ranked, after, kept if after else ranked.words > 0), number, Cut(*self.samples[after]))
            for after in (False, True)
        ]

    def _removed(
        self, sheet: Sheet, ranked: Ranked, removed: NDArray[np.int64], twins: Mapping[int, str]
    ) -> tuple[pa.RecordBatch, dict[str, int]]:
        """Rows left out: their place stands for them."""
        short = sheet.words[removed] < self.spec.shortest
        unscored = np.isnan(ranked.scores[removed]) & (self.spec.method != "dedup") & ~short
        reasons = np.where(short, "too-short", np.where(unscored, "no-score", REASONS[self.spec.method])).tolist()
        if twins:
            details = [f"of {twins[number]}" if number in twins else "" for number in removed.tolist()]
        else:
            words = sheet.words[removed].tolist()
            details = [f"{count} words" if few else "" for count, few in zip(words, short.tolist(), strict=True)]
        count = len(removed)
        columns = {
            "id": _ids(sheet, removed),
            "reason": pa.array(reasons, pa.string()),
            "detail": pa.array(details, pa.string()),
            "file": _named(sheet.labels, sheet.files[removed]),
            "row": pa.array(sheet.rows[removed], pa.int64()),
            "offset": pa.array(sheet.offsets[removed], pa.int64()),
            "length": pa.array(sheet.lengths[removed], pa.int64()),
            "sha256": pa.nulls(count, pa.string()),
            "original": pa.nulls(count, pa.binary()),
            "original_format": _named([BY_REFERENCE], np.zeros(count, np.int32)),
            "score": _numbers(ranked.scores[removed]),
        }
        batch = pa.RecordBatch.from_arrays([columns[name] for name in REMOVED_SCHEMA.names], schema=REMOVED_SCHEMA)
        return batch, dict(Counter(reasons))


def _ids(sheet: Sheet, wanted: NDArray[np.int64]) -> pa.Array:
    ends = np.concatenate([np.zeros(1, np.int64), sheet.id_ends])
    column = pa.LargeStringArray.from_buffers(len(sheet.id_ends), pa.py_buffer(ends), pa.py_buffer(sheet.ids))
    return column.take(pa.array(wanted)).cast(pa.string())


def _named(names: Sequence[str], numbers: NDArray[np.int32]) -> pa.Array:
    """A column of names that come again and again."""
    column = pa.DictionaryArray.from_arrays(pa.array(numbers, pa.int32()), pa.array(list(names), pa.string()))
    return column.dictionary_decode()


def _numbers(scores: NDArray[np.float64]) -> pa.Array:
    """What is no number is null."""
    return pa.array(scores, pa.float64(), mask=np.isnan(scores))


def _scores(sheet: Sheet, ranked: Ranked, kept: NDArray[np.bool_]) -> pa.RecordBatch:
    good = np.flatnonzero(sheet.good)
    columns = [
        _ids(sheet, good),
        _named(sheet.labels, sheet.files[good]),
        pa.array(sheet.rows[good], pa.int64()),
        pa.array(sheet.words[good], pa.int64()),
        _numbers(ranked.scores[good]),
        pa.array(kept[good], pa.bool_()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCORES_SCHEMA)


def _passage(text: str, digest: int) -> str:
    """One stretch of a document, drawn by what it says."""
    found = list(stretches(text))
    start, end = found[digest % len(found)]
    return text[start:end]


class _Writer:
    """Documents in rounds to a shard, counted as they go where nothing is known of them."""

    def __init__(self, shard: ShardWriter, layout: Layout, origin: Kind | None, known: Holding | None) -> None:
        self.holding = known or Holding()
        self._shard, self._layout, self._origin, self._counts = shard, layout, origin, known is None
        self._parts: list[PlainRows | list[OutRow]] = []  # of a round
        self._domains: list[Domains] = []
        self._rows = self._size = 0

    def add(self, record: Record, domain: str) -> None:
        if not self._parts or isinstance(self._parts[-1], PlainRows):
            self._parts.append([])
        last = self._parts[-1]
        assert isinstance(last, list)
        last.append(OutRow(record, record.document))
        self._grow(1, len(record.document.text.encode("utf-8")), Domains([domain], np.zeros(1, np.int32)))

    def add_plain(self, rows: PlainRows, domains: Domains) -> None:
        start, count = 0, len(rows.numbers)
        while start < count:
            sizes = rows.texts.ends[start:] - (rows.texts.ends[start - 1] if start else 0) + self._size
            most = int(np.searchsorted(sizes, ROUND_BYTES)) + 1  # those that end the round
            stop = min(count, start + most, start + ROUND_DOCUMENTS - self._rows)
            part = rows.between(start, stop)
            self._parts.append(part)
            self._grow(stop - start, len(part.texts.data), Domains(domains.names, domains.numbers[start:stop]))
            start = stop

    def _grow(self, rows: int, size: int, domains: Domains) -> None:
        if self._counts:
            self._domains.append(domains)
        self._rows, self._size = self._rows + rows, self._size + size
        if self._size >= ROUND_BYTES or self._rows >= ROUND_DOCUMENTS:
            self.flush()

    def flush(self) -> None:
        if not self._parts:
            return
        batches = [self._batch(part) for part in self._parts]
        one = batches[0] if len(batches) == 1 else pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
        self._shard.write(one)
        if self._counts:
            self._count([text for part in self._parts for text in _texts(part)])
        self._parts, self._domains, self._rows, self._size = [], [], 0, 0

    def _batch(self, part: PlainRows | list[OutRow]) -> pa.RecordBatch:
        if isinstance(part, list):
            return self._layout.batch(part)
        return self._layout.plain_batch(part.ids, part.texts, part.others, self._origin)

    def _count(self, texts: list[str]) -> None:
        names = [name for domains in self._domains for name in np.array(domains.names)[domains.numbers].tolist()]
        self.holding.add(bags_of(texts, self.holding.limits), Domains(names, np.arange(len(names))))


def _texts(part: PlainRows | list[OutRow]) -> Iterable[str]:
    return (row.document.text for row in part) if isinstance(part, list) else part.texts


def kept_state(out: Path, index: int) -> tuple[bytes, list[Passage]]:
    """What a shard left of what it kept."""
    holding, passages = msgspec.msgpack.decode(place(out, KEPT, index, "kept").read_bytes())
    return holding, msgspec.convert(passages, list[Passage])


__all__ = ["PASSAGE_WORDS", "REMOVED_SCHEMA", "SCORES_SCHEMA", "Passage", "WriteTask", "kept_state"]
