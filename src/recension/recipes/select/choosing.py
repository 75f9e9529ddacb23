"""The verb: read once, rank, find the cut, write what is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recension import __version__
from recension.corpus import Corpus, Outlines, check_unchanged, expected_size, open_corpus
from recension.document import JSON
from recension.engines.local import LocalEngine, available_cores
from recension.errors import InputError, TooManyDroppedError
from recension.models.classifiers import load_classifier
from recension.models.embedders import load_embedder
from recension.models.token_counts import token_counter
from recension.recipes.audit.counting import shard_size as large_shards
from recension.recipes.audit.stages import Bench
from recension.recipes.edit import shard_size as small_shards
from recension.recipes.pages import as_inputs, encodable, identity_of, look_over, reading_of
from recension.recipes.priors import DEFAULT_PRIOR, alone, forget, load, options_of
from recension.recipes.select import duplicates, outcome, sheets
from recension.recipes.select.ranking import (
    TARGET,
    Ranks,
    RankTask,
    checks_of,
    chosen,
    kept_of,
    merge_ranked,
    sample_cuts,
)
from recension.recipes.select.reading import Left, ReadTask, TargetTask, Wanted, left_of, merge, merge_counts
from recension.recipes.select.sheets import KEPT, READ, SCORE, Ranked
from recension.recipes.select.spec import SelectEffort, SelectSpec
from recension.recipes.select.writing import REMOVED_SCHEMA, SCORES_SCHEMA, WriteTask
from recension.recipes.settings import flat
from recension.report.select import SelectReport
from recension.run.execute import Bounds, execute, seal
from recension.run.folder import output_path
from recension.run.manifest import Manifest, Run, open_run
from recension.run.passes import Pass, run_pass
from recension.run.progress import Observer, Progress, Silent
from recension.run.receipts import read_seal, receipts
from recension.run.shards import ShardPlan

RECIPE_VERSION = 2
SHEETS = 2  # how sheets are laid out: a reading that left others is done again
SMALLEST_SHARD = 32 << 20  # read in less time than another process takes to start
RANKED_AT_ONCE, RANKED_ALONE = 4, 16  # pieces; fewer than the latter are ranked faster in one process
CHOICE, SAMPLES = "choice", "samples"


@dataclass(frozen=True, slots=True)
class SelectPlan:
    """What `select` would do: the answer of `--dry-run`."""

    files: int
    bytes: int
    target_bytes: int
    skipped: tuple[str, ...]
    shards: int
    workers: int
    settings: dict[str, JSON]


@dataclass(frozen=True)
class _Job:
    """A spec joined with the corpora it is for."""

    spec: SelectSpec
    corpus: Corpus
    target: Corpus | None
    wanted: Wanted
    shard_bytes: int
    workers: int
    outlines: Outlines


def select(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    spec: SelectSpec | None = None,
    effort: SelectEffort | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> SelectReport:
    """Choose documents of a corpus into a run folder. A second call finishes what is missing and repeats nothing."""
    spec, effort, observer, out = spec or SelectSpec(), effort or SelectEffort(), observer or Silent(), output_path(out)
    job = _job(as_inputs(inputs), out, spec, effort)
    look_over(job.corpus, observer)
    with open_run(out, _manifest(job, as_inputs(inputs)), fresh, _needed(spec)) as run:
        done = _finished(run, job)
        if done is not None:
            return done
        if job.workers > 1:
            forget()
        return _select(run, job, effort, observer)


def plan_select(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    spec: SelectSpec | None = None,
    effort: SelectEffort | None = None,
) -> SelectPlan:
    """Look at the input, load the models, and write nothing."""
    job = _job(as_inputs(inputs), output_path(out), spec or SelectSpec(), effort or SelectEffort())
    _manifest(job, as_inputs(inputs))
    return SelectPlan(
        files=len(job.corpus.files),
        bytes=job.corpus.size,
        target_bytes=job.target.size if job.target else 0,
        skipped=job.corpus.skipped,
        shards=max(1, -(-expected_size(job.corpus) // job.shard_bytes)),
        workers=job.workers,
        settings=flat(job.spec),
    )


def _job(inputs: Sequence[str], out: Path, spec: SelectSpec, effort: SelectEffort) -> _Job:
    corpus = open_corpus(inputs, reading_of(spec.rows, spec.origin), exclude=out)
    target = open_corpus(spec.target, reading_of(spec.rows), exclude=out) if spec.target else None
    prior = (spec.prior or DEFAULT_PRIOR) if spec.method == "perplexity" else ""
    wanted = Wanted(
        method=spec.method,
        hash=spec.hash,
        prior=prior,
        head=spec.head,
        embedder=spec.embedder,
        counter=None if spec.tokenizer is None else token_counter(spec.tokenizer),
        domain_key=spec.domain_key,
        options=options_of(spec.model),
    )
    # What a model reads is slow, so its pieces are small; a piece that is only counted is done in no time.
    size = small_shards(corpus.size) if prior or spec.head else max(SMALLEST_SHARD, large_shards(corpus.size))
    size = spec.shard_bytes or size
    on_gpu = (prior and alone(load(prior, wanted.options).prior)) or _classifies_on_gpu(spec)
    workers = effort.workers or (1 if on_gpu else available_cores())
    pieces = -(-expected_size(corpus) // size)
    workers = max(1, min(1 if prior.startswith("own:") else workers, pieces))
    return _Job(spec, corpus, target, wanted, size, workers, Outlines(corpus))


def _classifies_on_gpu(spec: SelectSpec) -> bool:
    return bool(spec.head) and load_classifier(spec.head, spec.model.device).spec.get("device") == "cuda"


def _needed(spec: SelectSpec) -> list[Path]:
    """Folders that the run reads from: it may not throw them away."""
    named = [Path(name.partition(":")[2]) for name in (spec.prior, spec.head) if ":" in name]
    return [*named, *([Path(spec.head)] if spec.head and ":" not in spec.head else []), *map(Path, spec.target)]


def _manifest(job: _Job, given: list[str]) -> Manifest:
    spec = job.spec
    unkeyed = ("target", "prior", "head", "embedder", "tokenizer", "shard_bytes")
    identity: dict[str, JSON] = {
        "spec": {
            **{name: value for name, value in flat(spec).items() if name not in unkeyed},
            "min_words": spec.shortest,
            "shard_bytes": job.shard_bytes,
        },
        "inputs": [identity_of(file) for file in job.corpus.files],
        "target": [identity_of(file) for file in job.target.files] if job.target else [],
        "layout": job.corpus.layout.to_json(),
        "tokenizer": None if job.wanted.counter is None else job.wanted.counter.spec,
        "models": list(_models(job)),
    }
    facts: dict[str, JSON] = {
        "recension": __version__,
        "given": encodable(given),
        "urls": {file.label: file.where for file in job.corpus.files},
        "skipped": encodable(job.corpus.skipped),
        "config": {**flat(spec), "target": encodable(spec.target)},
    }
    return Manifest("select", RECIPE_VERSION, identity, facts)


def _models(job: _Job) -> list[JSON]:
    spec, wanted = job.spec, job.wanted
    found: list[JSON] = []
    if wanted.prior:
        found.append(dict(load(wanted.prior, wanted.options).prior.spec))
    if spec.head:
        found.append(dict(load_classifier(spec.head, spec.model.device).spec))
    if spec.method == "density" or spec.tail_words:
        found.append(dict(load_embedder(spec.embedder).spec))
    return found


def _finished(run: Run, job: _Job) -> SelectReport | None:
    """The report of a run that is whole already. One that was sealed and lost a shard since begins anew: what its passes
    left of the documents is gone."""
    sealed = read_seal(run.out)
    if sealed is None or sealed.key != run.key:
        return None
    there = {receipt.index for receipt in receipts(run.out) if receipt.key == run.key}
    if len(there) == sealed.shards and (run.out / outcome.REPORT).is_file():
        for name in (READ, SCORE, KEPT):
            sheets.clear(run.out, name)
        return outcome.read_report(run.out)
    sheets.forget(run.out)
    return None


def _select(run: Run, job: _Job, effort: SelectEffort, observer: Observer) -> SelectReport:
    spec = job.spec
    left = _read(run, job, observer)
    documents = _check_read(left, effort, job)
    if job.target is not None:
        _fit(run, job, observer)
    bench = Bench(run, job.workers, observer)
    ranks = _rank(bench, spec, left)
    rows = [piece[2] for piece in left.pieces]
    if spec.method == "dedup":
        duplicates.find(bench, rows, [piece[0] for piece in left.pieces])
    choice = _decided(run, CHOICE, lambda: chosen(spec, documents, ranks))
    starts = np.concatenate([[0], np.cumsum(rows)[:-1]]).tolist()

    def kept(number: int, one: Ranked) -> Any:
        mask = kept_of(one, number, choice)
        if spec.method == "dedup":
            mask[duplicates.of_piece(duplicates.removed(run.out, run.manifest.key), starts[number], len(mask))[0]] = (
                False
            )
        return mask

    samples: Any = []
    if spec.tail_words:
        samples = _decided(run, SAMPLES, lambda: sample_cuts(spec.tail_words, ranks, kept))
    _write(
        run,
        job,
        (choice, samples),
        [(p[0], rank, start, p[1]) for p, rank, start in zip(left.pieces, ranks.checks, starts, strict=True)],
        observer,
    )
    observer.update(Progress("report"))
    found = outcome.Found(run, spec, left, ranks, choice, kept)
    report = outcome.report_of(found)
    seal(run, {**job.corpus.digests}, outcome.pages(run, report, job.corpus.layout.schema), spec.limit)
    for name in (READ, SCORE, KEPT):
        sheets.clear(run.out, name)
    return report


def _decided(run: Run, name: str, find: Callable[[], Any]) -> Any:
    """What was decided once stays so: it is in the key of the shards."""
    if name not in run.manifest.decided:
        run.decide(name, find())
    return run.manifest.decided[name]


def _read(run: Run, job: _Job, observer: Observer) -> Left:
    task = ReadTask(run.out, job.corpus.reading, job.corpus.layout, job.wanted)
    done, expected = 0, max(1, -(-expected_size(job.corpus) // job.shard_bytes))

    def told(_: int) -> None:
        nonlocal done
        done += 1
        observer.update(Progress(READ, shards=done, fraction=min(1.0, done / expected)))

    def pieces(skip: Callable[[int], bool]) -> Any:
        return job.outlines.draw(job.shard_bytes, job.spec.limit, skip)

    observer.update(Progress(READ))
    state = run_pass(run, Pass(READ, [SHEETS], task, merge), LocalEngine(job.workers), pieces, told)
    check_unchanged(job.corpus.files)
    if not state:
        raise InputError("there is nothing to select from: the input holds no row")
    return left_of(state)


def _check_read(left: Left, effort: SelectEffort, job: _Job) -> int:
    """How many documents there are; none, or too few of the rows, ends the run."""
    rows, good = (sum(piece[number] for piece in left.pieces) for number in (2, 3))
    bad = rows - good
    if not good:
        columns = ", ".join(job.corpus.columns_seen()) or "none"
        raise InputError(f"none of the {rows:,} rows holds a text; the columns are {columns}: is --text-key right?")
    if effort.max_dropped is not None and bad > effort.max_dropped * rows:
        raise TooManyDroppedError(
            f"{bad:,} of {rows:,} rows ({bad / rows:.2%}) could not be read, more than --max-dropped "
            f"{effort.max_dropped:g}: raise it to go on, and see OUT/dropped afterwards"
        )
    return good


def _fit(run: Run, job: _Job, observer: Observer) -> None:
    target = job.target
    assert target is not None

    def pieces(skip: Callable[[int], bool]) -> Any:
        return target.pieces(job.shard_bytes, None, skip=skip)

    observer.update(Progress(TARGET))
    task = TargetTask(target.reading, target.layout, job.spec.hash)
    workers = max(1, min(job.workers, -(-target.size // job.shard_bytes)))
    counts = run_pass(run, Pass(TARGET, [], task, merge_counts), LocalEngine(workers), pieces)
    if not counts or not np.frombuffer(counts, np.int64).any():
        raise InputError(f"--target {job.spec.target[0]} holds no text: name a corpus that the choice is to be like")
    check_unchanged(target.files)


def _rank(bench: Bench, spec: SelectSpec, left: Left) -> Ranks:
    count = len(left.pieces)
    workers = bench.workers if count >= RANKED_ALONE or spec.method == "density" else 1
    task = RankTask(bench.run.out, bench.run.manifest.key, spec)
    work = Pass(SCORE, [RANKED_AT_ONCE], task, merge_ranked)
    state = Bench(bench.run, workers, bench.observer).done(work, count, RANKED_AT_ONCE)
    return Ranks(bench.run.out, tuple(checks_of(state)))


def _write(run: Run, job: _Job, decided: tuple[Any, Any], checks: Sequence[Sequence[int]], observer: Observer) -> None:
    corpus, spec = job.corpus, job.spec
    schemas = {"data": corpus.layout.schema, "dropped": REMOVED_SCHEMA, "scores": SCORES_SCHEMA}
    plan = ShardPlan.of(run, spec.format, schemas)
    task = WriteTask(plan, corpus.reading, corpus.layout, spec, decided[0], decided[1], checks)
    bounds = Bounds(job.shard_bytes, spec.limit, None, expected_size(corpus))
    execute(run, task, job.outlines, LocalEngine(job.workers), bounds, observer)
    check_unchanged(corpus.files)
