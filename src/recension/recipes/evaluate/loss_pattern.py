"""`evaluate loss-pattern`: where a model trained on synthetic text falls behind one trained on real text (MAGA)."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from recension import __version__
from recension.corpus import (
    BadRow,
    Corpus,
    Layout,
    Piece,
    Reading,
    Record,
    check_unchanged,
    expected_size,
    open_corpus,
    read_piece,
    set_aside,
)
from recension.document import JSON
from recension.engines.local import LocalEngine
from recension.errors import ModelError, UsageError
from recension.methods.losses import Anomaly, Passage, anomaly, by_place, differences, window_length, worst_passage
from recension.methods.perplexity import places
from recension.models.load import PriorOptions
from recension.ports import Ask, TokenScores
from recension.recipes.edit.task import rounds, share_of
from recension.recipes.evaluate import patterns
from recension.recipes.evaluate.measuring import shard_size, worker_count
from recension.recipes.evaluate.spec import LossPatternSpec
from recension.recipes.pages import as_inputs, check_some, encodable, identity_of, look_over, reading_of, yaml_config
from recension.recipes.priors import folders, forget, load, options_of
from recension.recipes.settings import UNSCORED, Effort, flat
from recension.report import LossPatternReport, loss_pattern_page
from recension.run.execute import Bounds, execute, seal
from recension.run.folder import output_path
from recension.run.manifest import Manifest, open_run
from recension.run.progress import Observer, Pulse, Silent
from recension.run.receipts import Receipt
from recension.run.shards import ShardPlan, ShardWriter

RECIPE_VERSION = 1
SHORTEST_PASSAGE = 24  # tokens: the 5 % of a short text are too few to read
AROUND = 12  # tokens shown before and after a passage

# The tokens of a passage with their places in its text; those from `first` to `stop` are the passage itself.
PASSAGE = pa.struct(
    [
        ("text", pa.string()),
        ("starts", pa.list_(pa.int32())),
        ("ends", pa.list_(pa.int32())),
        ("real", pa.list_(pa.float32())),
        ("synthetic", pa.list_(pa.float32())),
        ("first", pa.int32()),
        ("stop", pa.int32()),
    ]
)
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("tokens", pa.int64()),  # with a loss under both models; all means are over these, in nats
        ("real", pa.float64()),
        ("synthetic", pa.float64()),
        ("first_anomaly", pa.float64()),  # as a share of the tokens; -1 where there is none
        ("highest_k", pa.float64()),  # there would be an anomaly under any k below this
        ("worst_start", pa.int64()),  # the token at which the worst passage begins
        ("worst_mean", pa.float64()),
        ("passage", PASSAGE),  # of the worst documents of a shard
    ]
)


def evaluate_loss_pattern(
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    spec: LossPatternSpec | None = None,
    effort: Effort | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> LossPatternReport:
    """Compare two models token by token, into a run folder. A second call does what is missing."""
    spec, effort, observer = spec or LossPatternSpec(), effort or Effort(), observer or Silent()
    out = output_path(out)
    if not spec.real or not spec.synthetic:
        raise UsageError("name two models: the one trained on real text, then the one trained on synthetic text")
    corpus = open_corpus(as_inputs(data), reading_of(spec.rows), exclude=out)
    look_over(corpus, observer)
    options, models = options_of(spec.model), (spec.real, spec.synthetic)
    first, second = (load(name, options).prior.surfaces for name in models)
    if first != second:
        raise ModelError(f"{spec.real} and {spec.synthetic} have other tokens: a loss pattern needs one tokenizer")
    needed = folders(models)
    with open_run(out, _manifest(spec, corpus, options, as_inputs(data)), fresh, needed) as run:
        size = shard_size(corpus.size)
        engine = LocalEngine(worker_count(effort.workers, models, options, -(-corpus.size // size)))
        if engine.workers > 1:
            forget()
        plan = ShardPlan.of(run, "parquet", {"scores": SCHEMA})
        task = PatternTask(plan, corpus.reading, corpus.layout, options, spec)
        bounds = Bounds(size, effort.limit, effort.max_dropped, expected_size(corpus))
        execute(run, task, corpus, engine, bounds, observer)
        check_unchanged(corpus.files)
        check_some(run.out, corpus)
        report = patterns.report(run, spec)
        pages = {
            "report.json": msgspec.json.format(msgspec.json.encode(report.to_json()), indent=1),
            "report.html": loss_pattern_page(report).encode(),
            "config.yaml": yaml_config(run.manifest),
        }
        seal(run, corpus.digests, pages, effort.limit)
    return report


def _manifest(spec: LossPatternSpec, corpus: Corpus, options: PriorOptions, given: list[str]) -> Manifest:
    models: list[JSON] = [dict(load(name, options).prior.spec) for name in (spec.real, spec.synthetic)]
    identity: dict[str, JSON] = {
        "spec": {name: value for name, value in flat(spec).items() if name not in ("real", "synthetic", *UNSCORED)},
        "inputs": [identity_of(file) for file in corpus.files],
        "layout": corpus.layout.to_json(),
        "models": models,
    }
    facts: dict[str, JSON] = {
        "recension": __version__,
        "given": encodable(given),
        "urls": {file.label: file.where for file in corpus.files},
        "models": [spec.real, spec.synthetic],
        "config": flat(spec),
    }
    return Manifest("evaluate-loss-pattern", RECIPE_VERSION, identity, facts)


@dataclass(frozen=True)
class PatternTask:
    """Reads a piece and writes how the two models differ on its documents. Picklable."""

    plan: ShardPlan
    reading: Reading
    layout: Layout
    options: PriorOptions
    spec: LossPatternSpec

    def __call__(self, piece: Piece) -> Receipt:
        check_unchanged(piece.files)
        pulse = Pulse(self.plan.out, piece.index)
        gathered = _Shard(self.spec.worst)
        with ShardWriter(self.plan, piece.index) as shard:
            for batch in rounds(read_piece(piece, self.reading, self.layout)):
                records = []
                for item in batch:
                    shard.row(1)
                    if isinstance(item, BadRow):
                        shard.drop(item)
                    else:
                        records.append(item)
                before = gathered.tokens
                self._compare(shard, records, gathered)
                pulse.add(len(records), gathered.tokens - before, len(batch) - len(records), share_of(piece, batch))
            if gathered.rows:
                shard.log("scores", gathered.batch())
            check_unchanged(piece.files)
            receipt = shard.commit(gathered.to_json(), tuple(f.label for f in piece.files), piece.rows_cap)
        pulse.end()
        return receipt

    def _compare(self, shard: ShardWriter, records: Sequence[Record], gathered: _Shard) -> None:
        if not records:
            return
        spec, texts = self.spec, [record.document.text for record in records]
        real, synthetic = (load(name, self.options).prior.score(texts, Ask()) for name in (spec.real, spec.synthetic))
        for record, first, second in zip(records, real, synthetic, strict=True):
            if not np.array_equal(first.ids, second.ids):
                raise ModelError(
                    f"{spec.real} and {spec.synthetic} cut '{record.document.id}' into other tokens: a loss pattern "
                    "needs one tokenizer"
                )
            known = np.isfinite(first.logprobs) & np.isfinite(second.logprobs)
            if not known.any():
                shard.drop(set_aside(record, "nothing-to-score", "no token of it has a probability under both models"))
                continue
            shard.used += 1
            values = differences(first.logprobs[known], second.logprobs[known])
            passage = worst_passage(values, max(window_length(len(values), spec.window), SHORTEST_PASSAGE))
            found = anomaly(values, spec.k, spec.window)
            gathered.add((record, first, second), known, (values, found, passage), spec.above)


class _Shard:
    """The rows of a shard, of which the worst get their passage when all are known."""

    def __init__(self, worst: int) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.tokens = 0
        self._sums = np.zeros(patterns.BINS)
        self._counts = np.zeros(patterns.BINS)
        self._worst: list[tuple[float, int, dict[str, Any]]] = []
        self._most = worst

    def add(
        self,
        scored: tuple[Record, TokenScores, TokenScores],
        known: Any,
        found: tuple[Any, Anomaly, Passage],
        above: float,
    ) -> None:
        (record, real, synthetic), (values, unusual, passage) = scored, found
        place, document = record.place, record.document
        losses = [-float(one.logprobs[known].astype(np.float64).mean()) for one in (real, synthetic)]
        self.rows.append(
            (document.id, place.file, place.row, len(values), *losses, *unusual, passage.start, passage.mean)
        )
        self.tokens += len(values)
        sums, counts = by_place(values, patterns.BINS)
        self._sums += sums
        self._counts += counts
        if passage.mean > above and self._most:
            candidate = (passage.mean, -len(self.rows) + 1)  # of two alike the first stays
            if len(self._worst) < self._most or candidate > self._worst[0][:2]:
                entry = (*candidate, _cut(document.text, (real, synthetic), known, passage))
                (heapq.heappush if len(self._worst) < self._most else heapq.heapreplace)(self._worst, entry)

    def batch(self) -> pa.RecordBatch:
        passages: list[dict[str, Any] | None] = [None] * len(self.rows)
        for _, row, passage in self._worst:
            passages[-row] = passage
        columns = [*zip(*self.rows, strict=True), passages]
        arrays = [pa.array(column, kind.type) for column, kind in zip(columns, SCHEMA, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)

    def to_json(self) -> dict[str, Any]:
        """For the receipt: the differences by their place in the documents."""
        return {"tokens": self.tokens, "sums": self._sums.tolist(), "counts": self._counts.tolist()}


def _cut(text: str, scored: tuple[TokenScores, TokenScores], known: Any, passage: Passage) -> dict[str, Any]:
    """A passage with some tokens around it, so that it can be read."""
    numbers = np.flatnonzero(known)
    first, stop = max(passage.start - AROUND, 0), min(passage.stop + AROUND, len(numbers))
    shown = numbers[first:stop]
    where = places(scored[0].spans, len(text))[shown]
    begin, end = int(where[:, 0].min()), int(where[:, 1].max())
    return {
        "text": text[begin:end],
        "starts": (where[:, 0] - begin).tolist(),
        "ends": (where[:, 1] - begin).tolist(),
        "real": (-scored[0].logprobs[shown]).tolist(),
        "synthetic": (-scored[1].logprobs[shown]).tolist(),
        "first": passage.start - first,
        "stop": passage.stop - first,
    }
