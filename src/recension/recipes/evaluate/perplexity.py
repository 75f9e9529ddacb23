"""`evaluate ppl`: bits per byte and perplexity of a model by domain, or of two models and their difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from recension import __version__
from recension.corpus import BadRow, Piece, Record, check_unchanged, read_piece, set_aside
from recension.document import JSON
from recension.engines.local import LocalEngine
from recension.errors import UsageError
from recension.methods.perplexity import Loss, loss, within
from recension.models.load import PriorOptions
from recension.ports import Ask, TokenScores
from recension.recipes.edit.task import rounds, share_of
from recension.recipes.evaluate import figures
from recension.recipes.evaluate.domains import domain_of, domains_of
from recension.recipes.evaluate.measuring import (
    Domains,
    Source,
    check_some_used,
    look_over_all,
    open_domains,
    shard_size,
    worker_count,
)
from recension.recipes.evaluate.spec import EvaluateEffort, PerplexitySpec
from recension.recipes.pages import as_inputs, encodable, yaml_config
from recension.recipes.priors import folders, forget, load, options_of
from recension.recipes.settings import UNSCORED, flat
from recension.report import PerplexityReport, perplexity_page
from recension.run.execute import Bounds, execute, seal
from recension.run.folder import output_path
from recension.run.manifest import Manifest, open_run
from recension.run.progress import Observer, Pulse, Silent
from recension.run.receipts import Receipt
from recension.run.shards import ShardPlan, ShardWriter

RECIPE_VERSION = 1
PAPER_TOKENS = 1_024
CUT, SPARE = 8, 64  # characters of a text for each token that is wanted of it; tokens that a cut may spoil

_OF_A_MODEL = [("tokens", pa.int64()), ("scored", pa.int64()), ("scored_bytes", pa.float64()), ("nats", pa.float64())]
_OF_A_TEXT = [
    ("domain", pa.string()),
    ("id", pa.string()),
    ("file", pa.string()),
    ("row", pa.int64()),
    ("characters", pa.int64()),
    ("bytes", pa.int64()),  # of what is to be scored: the text, or its answers
]


def evaluate_ppl(
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    spec: PerplexitySpec | None = None,
    effort: EvaluateEffort | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> PerplexityReport:
    """Measure a model on domains, each argument being one, into a run folder. A second call does what is missing."""
    spec, effort, observer = spec or PerplexitySpec(), effort or EvaluateEffort(), observer or Silent()
    out = output_path(out)
    if not spec.prior:
        raise UsageError("name the model to measure: hf:NAME, vllm:NAME, openai:MODEL@URL, ngram:PATH")
    domains = open_domains(domains_of(as_inputs(data), spec.domains, spec.domain_key), spec.rows, spec.limit, out)
    look_over_all(domains, observer)
    options = replace(options_of(spec.model), bos=spec.mode == "standard")
    needed = folders(spec.models)
    vocabularies = [load(name, options).prior.surfaces for name in spec.models]
    same = all(vocabulary == vocabularies[0] for vocabulary in vocabularies)
    with open_run(out, _manifest(spec, domains, options, as_inputs(data)), fresh, needed) as run:
        size = shard_size(domains.data.size)
        engine = LocalEngine(worker_count(effort.workers, spec.models, options, -(-domains.data.size // size)))
        if engine.workers > 1:
            forget()
        plan = ShardPlan.of(run, "parquet", {"scores": schema_of(spec.models)})
        first = PAPER_TOKENS if spec.mode == "paper" else None
        task = ScoreTask(plan, domains.sources, spec.models, options, spec.answers_only, first)
        bounds = Bounds(size, None, effort.max_dropped, domains.data.expected)
        execute(run, task, domains.data, engine, bounds, observer)
        check_some_used(run.out, domains)
        names = [domain.name for domain in domains.all if domain.domain_key is None]
        report = figures.report(run, spec, names, same)
        pages = {
            "report.json": msgspec.json.format(msgspec.json.encode(report.to_json()), indent=1),
            "report.html": perplexity_page(report).encode(),
            "config.yaml": yaml_config(run.manifest),
        }
        seal(run, domains.data.digests, pages, spec.limit)
    return report


def schema_of(models: tuple[str, ...]) -> pa.Schema:
    """One row for each document, with the figures of each model."""
    columns = [(f"{prefix}{name}", kind) for prefix in ("", "against_")[: len(models)] for name, kind in _OF_A_MODEL]
    return pa.schema([*_OF_A_TEXT, *columns])


def _manifest(spec: PerplexitySpec, domains: Domains, options: PriorOptions, given: list[str]) -> Manifest:
    chosen = {
        name: value for name, value in flat(spec).items() if name not in ("prior", "against", "domains", *UNSCORED)
    }
    if spec.mode == "standard":
        chosen.pop("paper_batch")  # it has no say
    models: list[JSON] = [dict(load(name, options).prior.spec) for name in spec.models]
    facts: dict[str, JSON] = {
        "recension": __version__,
        "given": encodable(given),
        "urls": {file.label: file.where for file in domains.data.files},
        "models": list(spec.models),
        "config": flat(spec),
    }
    return Manifest("evaluate-ppl", RECIPE_VERSION, {"spec": chosen, **domains.identity(), "models": models}, facts)


@dataclass(frozen=True)
class ScoreTask:
    """Reads a piece and writes what each of its documents costs. Picklable; models are loaded where it runs."""

    plan: ShardPlan
    sources: Any
    models: tuple[str, ...]
    options: PriorOptions
    answers_only: bool
    first: int | None

    def __call__(self, piece: Piece) -> Receipt:
        check_unchanged(piece.files)
        source: Source = self.sources[piece.files[0].label]
        pulse = Pulse(self.plan.out, piece.index)
        tokens = 0
        with ShardWriter(self.plan, piece.index) as shard:
            for batch in rounds(read_piece(piece, source.reading, source.layout)):
                records = self._named(shard, batch, source)
                read = self._score(shard, records)
                tokens += read
                pulse.add(len(records), read, len(batch) - len(records), share_of(piece, batch))
            check_unchanged(piece.files)
            receipt = shard.commit({"tokens": tokens}, tuple(f.label for f in piece.files), piece.rows_cap)
        pulse.end()
        return receipt

    def _named(self, shard: ShardWriter, batch: Sequence[Record | BadRow], source: Source) -> list[tuple[str, Record]]:
        """The documents of a round, each with its domain; what is none, or has none, is set aside."""
        found = []
        for item in batch:
            shard.row(1)
            if isinstance(item, BadRow):
                shard.drop(item)
                continue
            name = source.domain if source.domain_key is None else domain_of(item, source.domain_key)
            if name is None:
                shard.drop(set_aside(item, "no-domain", f"'{source.domain_key}' names no domain"))
            else:
                found.append((name, item))
        return found

    def _score(self, shard: ShardWriter, records: Sequence[tuple[str, Record]]) -> int:
        """Write the figures of a round, and say how many tokens they are of."""
        scores = [self._scores(name, [record.document.text for _, record in records]) for name in self.models]
        rows: list[tuple[Any, ...]] = []
        tokens = 0
        for (name, record), *scored in zip(records, *scores, strict=True):
            document, place = record.document, record.place
            losses = [self._loss(record, one) for one in scored]
            if not all(found.scored for found in losses):
                shard.drop(set_aside(record, "nothing-to-score", "no token of it has a probability that counts"))
                continue
            stretches = [(f.start, f.end) for f in document.fields] if self.answers_only else [(0, len(document.text))]
            size = sum(len(document.text[start:end].encode()) for start, end in stretches)
            figures = [v for s, f in zip(scored, losses, strict=True) for v in (len(s.ids), f.scored, f.bytes, f.nats)]
            rows.append((name, document.id, place.file, place.row, len(document.text), size, *figures))
            tokens += len(scored[0].ids)
        shard.used += len(rows)
        if rows:
            schema = self.plan.schemas["scores"]
            columns = list(zip(*rows, strict=True))
            arrays = [pa.array(column, kind.type) for column, kind in zip(columns, schema, strict=True)]
            shard.log("scores", pa.RecordBatch.from_arrays(arrays, schema=schema))
        return tokens

    def _scores(self, name: str, texts: list[str]) -> list[TokenScores]:
        """The scores of the texts; where only their first tokens count, of little more than those."""
        if not texts:
            return []
        prior = load(name, self.options).prior
        if self.first is None:
            return prior.score(texts, Ask())
        scores = prior.score([text[: self.first * CUT] for text in texts], Ask())
        # A cut changes the tokens that stand next to it, so where it is too near the whole text is read.
        again = [
            i for i, text in enumerate(texts)
            if len(text) > self.first * CUT and len(scores[i].ids) < self.first + SPARE
        ]  # fmt: skip
        for i, whole in zip(again, prior.score([texts[i] for i in again], Ask()) if again else [], strict=True):
            scores[i] = whole
        return scores

    def _loss(self, record: Record, scores: TokenScores) -> Loss:
        text = record.document.text
        counted = np.ones(len(scores.ids), dtype=bool)
        if self.answers_only:
            counted = within(scores.spans, len(text), [(f.start, f.end) for f in record.document.fields])
        if self.first is not None:
            # A model without BOS says nothing of the first token; one that always has it (n-gram) is not asked.
            counted[:1] = False
            counted[self.first :] = False
        return loss(text, scores.spans, scores.logprobs, counted)
