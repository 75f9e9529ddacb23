"""`select train-head`: a linear head on frozen embeddings, fitted on rows with a score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recension import __version__
from recension.corpus import BadRow, Corpus, Record, check_unchanged, column_value, open_corpus, read_piece, set_aside
from recension.document import JSON
from recension.errors import InputError, TooManyDroppedError
from recension.identity import content_hash
from recension.methods.select.head import Sums, fitted, scores
from recension.models.classifiers import head_files
from recension.models.embedders import load_embedder
from recension.recipes.edit.task import rounds
from recension.recipes.pages import as_inputs, encodable, identity_of, look_over, reading_of, yaml_config
from recension.recipes.select.spec import HeadSpec, SelectEffort
from recension.recipes.settings import flat
from recension.report.select import HeadReport
from recension.run import folder
from recension.run.execute import seal
from recension.run.folder import output_path
from recension.run.manifest import Manifest, Run, open_run
from recension.run.progress import Observer, Progress, Silent
from recension.run.receipts import read_seal
from recension.run.shards import ShardPlan, ShardWriter
from recension.run.verify import file_sha256

RECIPE_VERSION = 1
PIECE_BYTES = 8 << 20
REPORT = "report.json"
HELD_OUT, MOST_HELD = 10, 50_000  # one row in ten; of more than so many the first are looked at one by one
FEWEST = 20


@dataclass(slots=True, eq=False)
class _Rows:
    """The sums of both parts, and the held-out rows themselves as long as they are few."""

    train: Sums
    held: Sums
    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    labels: list[NDArray[np.float64]] = field(default_factory=list)
    kept: int = 0


def train_head(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    spec: HeadSpec | None = None,
    effort: SelectEffort | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> HeadReport:
    """Fit a head on labelled rows and write it to `out/model`; `--head OUT` names it from then on."""
    spec, effort, observer, out = spec or HeadSpec(), effort or SelectEffort(), observer or Silent(), output_path(out)
    given = as_inputs(inputs)
    corpus = open_corpus(given, reading_of(spec.rows), exclude=out)
    look_over(corpus, observer)
    with open_run(out, _manifest(spec, corpus, given), fresh) as run:
        sealed = read_seal(run.out)
        if sealed is None or sealed.key != run.key or not (run.out / REPORT).is_file():
            _fit(run, spec, corpus, effort, observer)
        return msgspec.json.decode((run.out / REPORT).read_bytes(), type=HeadReport)


def _manifest(spec: HeadSpec, corpus: Corpus, given: list[str]) -> Manifest:
    identity: dict[str, JSON] = {
        "spec": flat(spec),
        "inputs": [identity_of(file) for file in corpus.files],
        "models": [dict(load_embedder(spec.embedder).spec)],
    }
    facts: dict[str, JSON] = {
        "recension": __version__,
        "given": encodable(given),
        "urls": {file.label: file.where for file in corpus.files},
        "skipped": encodable(corpus.skipped),
        "config": flat(spec),
    }
    return Manifest("select-train-head", RECIPE_VERSION, identity, facts)


def _fit(run: Run, spec: HeadSpec, corpus: Corpus, effort: SelectEffort, observer: Observer) -> None:
    model = load_embedder(spec.embedder)
    size = model.embed(["a"]).shape[1]
    rows = _Rows(Sums.empty(size), Sums.empty(size))
    with ShardWriter(ShardPlan.of(run, "parquet", {}), 0) as shard:
        for texts, labels, held in _labelled(corpus, spec, shard):
            vectors = model.embed(texts)
            rows.train.add(vectors[~held], labels[~held])
            rows.held.add(vectors[held], labels[held])
            if rows.kept < MOST_HELD and held.any():
                rows.vectors.append(vectors[held])
                rows.labels.append(labels[held])
                rows.kept += int(held.sum())
            shard.used += len(texts)
            observer.update(Progress("train-head", documents=shard.used, dropped=sum(shard.dropped.values())))
        check_unchanged(corpus.files)
        lost = sum(shard.dropped.values())
        if effort.max_dropped is not None and lost > effort.max_dropped * (shard.used + lost):
            raise TooManyDroppedError(
                f"{lost:,} rows have no text or no score, more than --max-dropped {effort.max_dropped:g}: raise it to go on"
            )
        if rows.train.count < FEWEST or not rows.held.count:
            raise InputError(
                f"{rows.train.count + rows.held.count:,} rows have a number in '{spec.label_key}': a head needs "
                f"{2 * FEWEST} at least (is --label-key right?)"
            )
        if rows.train.variance <= 1e-9 * rows.train.squares / rows.train.count:
            raise InputError(
                f"the numbers in '{spec.label_key}' are all the same: there is nothing for a head to tell apart"
            )
        weights, penalty = fitted(rows.train, rows.held)
        report = _report(run, spec, rows, weights, penalty)
        card = {
            "embedder": spec.embedder,
            "embedder_spec": dict(model.spec),
            "penalty": penalty,
            "label": spec.label_key,
        }
        for name, content in head_files(weights, card).items():
            folder.write_atomic(run.out / "model" / name, content)
        shard.commit({"documents": shard.used})
    pages = {
        REPORT: msgspec.json.format(msgspec.json.encode(report), indent=1),
        "config.yaml": yaml_config(run.manifest),
    }
    present = {f"model/{path.name}": file_sha256(path) for path in sorted((run.out / "model").iterdir())}
    seal(run, corpus.digests, pages, spec.limit, present)


def _labelled(
    corpus: Corpus, spec: HeadSpec, shard: ShardWriter
) -> Iterator[tuple[list[str], NDArray[np.float64], NDArray[np.bool_]]]:
    """Texts with their scores, and which of them are held out; what has no score goes to the shard."""
    for piece in corpus.pieces(PIECE_BYTES, spec.limit):
        for batch in rounds(read_piece(piece, corpus.reading, corpus.layout)):
            texts: list[str] = []
            labels: list[float] = []
            held: list[bool] = []
            for row in batch:
                shard.row(1)
                label = None if isinstance(row, BadRow) else _label(row, spec.label_key)
                if isinstance(row, BadRow):
                    shard.drop(row)
                elif label is None:
                    shard.drop(set_aside(row, "no-label", f"'{spec.label_key}' holds no number"))
                else:
                    texts.append(row.document.text)
                    labels.append(label)
                    number = int(content_hash(f"{spec.seed} {row.document.text}")[:8], 16)
                    held.append(number % HELD_OUT == 0)
            if texts:
                yield texts, np.array(labels), np.array(held, dtype=np.bool_)


def _label(row: Record, key: str) -> float | None:
    value: Any = column_value(row, key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        return None
    return float(value)


def _report(run: Run, spec: HeadSpec, rows: _Rows, weights: NDArray[np.float64], penalty: float) -> HeadReport:
    labels = np.concatenate(rows.labels)
    guesses = scores(np.concatenate(rows.vectors), weights)
    good, called = labels >= spec.cut, guesses >= spec.cut
    hits = int((good & called).sum())
    moved = guesses.std() > 0 and labels.std() > 0
    return HeadReport(
        title=run.out.resolve().name,
        run=run.name,
        documents=rows.train.count + rows.held.count,
        held_out=rows.held.count,
        penalty=penalty,
        explained=1 - rows.held.error(weights) / rows.held.variance if rows.held.variance > 0 else 0.0,
        correlation=float(np.corrcoef(labels, guesses)[0, 1]) if moved else 0.0,
        mean_error=float(np.abs(labels - guesses).mean()),
        cut=spec.cut,
        f1=2 * hits / max(1, int(good.sum()) + int(called.sum())),
    )
