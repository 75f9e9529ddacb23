"""`edit`: ToEdit over a corpus.

spec.py     what can be set, and what it comes to
task.py     one shard, in whatever process it runs
budget.py   what a setting is expected to change; `--change-share`
outcome.py  receipts to a report, pages and the dataset card
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recension import __version__
from recension.corpus import Corpus, Reading, check_unchanged, expected_size, open_corpus
from recension.document import JSON
from recension.engines.local import LocalEngine, available_cores
from recension.engines.threads import ThreadEngine
from recension.errors import UnreachableError
from recension.methods.toedit import Sampling
from recension.models.load import PriorOptions
from recension.ports import Engine
from recension.recipes.edit import outcome
from recension.recipes.edit.budget import (
    Glance,
    calibrate,
    calibrated,
    first_documents,
    glance,
    rarity,
    sample_pass,
)
from recension.recipes.edit.spec import EditSpec, Resolved, resolve
from recension.recipes.edit.task import EDITS_SCHEMA, EditTask
from recension.recipes.pages import as_inputs, check_some, encodable, identity_of, look_over, reading_of
from recension.recipes.priors import alone, check_candidates, folders, forget, load, options_of
from recension.recipes.settings import Effort, flat
from recension.report import EditReport
from recension.run.execute import Bounds, execute, seal
from recension.run.folder import clear, output_path
from recension.run.manifest import Manifest, Run, open_run
from recension.run.passes import run_pass
from recension.run.progress import Observer, Progress, Silent
from recension.run.shards import ShardPlan

__all__ = ["EditPlan", "EditSpec", "edit", "plan_edit"]

RECIPE_VERSION = 1
SMALLEST_SHARD, LARGEST_SHARD, SHARDS = 256 << 10, 16 << 20, 64


@dataclass(frozen=True, slots=True)
class EditPlan:
    """What `edit` would do: the answer of `--dry-run`."""

    files: int
    bytes: int
    skipped: tuple[str, ...]
    shards: int
    workers: int
    priors: tuple[str, ...]
    glance: Glance
    tokens: int
    seconds: float
    settings: dict[str, JSON]
    warning: str | None


@dataclass(frozen=True, slots=True)
class _Job:
    """A resolved spec joined with the corpus it is for."""

    resolved: Resolved
    corpus: Corpus
    options: PriorOptions
    shard_bytes: int

    @property
    def reading(self) -> Reading:
        return self.corpus.reading


def edit(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    spec: EditSpec | None = None,
    effort: Effort | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> EditReport:
    """Edit a corpus into a run folder. A second call finishes what is missing and repeats nothing."""
    effort, observer, out = effort or Effort(), observer or Silent(), output_path(out)
    job = _job(as_inputs(inputs), out, spec or EditSpec())
    look_over(job.corpus, observer)
    manifest = _manifest(job, as_inputs(inputs))
    with open_run(out, manifest, fresh, folders(job.resolved.priors)) as run:
        if run.manifest.facts["recension"] != __version__:
            observer.note(
                f"this run was begun by version {run.manifest.facts['recension']}, and goes on with {__version__}"
            )
        engine = _engine(job, effort)
        sampling = _decide(run, job, engine, observer)
        _warn(run, job, sampling, observer)
        if isinstance(engine, LocalEngine) and engine.workers > 1:
            forget()
        task = _task(run, job, sampling)
        bounds = Bounds(job.shard_bytes, effort.limit, effort.max_dropped, expected_size(job.corpus))
        execute(run, task, job.corpus, engine, bounds, observer)
        check_unchanged(job.corpus.files)
        report = outcome.report(run.out, run.manifest)
        seal(run, job.corpus.digests, outcome.pages(run, report, job.corpus.layout.schema), effort.limit)
        check_some(run.out, job.corpus)
    return report


def plan_edit(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    spec: EditSpec | None = None,
    effort: Effort | None = None,
) -> EditPlan:
    """Look at the input and the prior, and write nothing."""
    effort = effort or Effort()
    job = _job(as_inputs(inputs), output_path(out), spec or EditSpec())
    loaded = load(job.resolved.priors[0], job.options)
    documents = first_documents(job.corpus)
    seen = glance(documents, loaded, job.resolved.sampling, job.resolved.spec.protect)
    total = expected_size(job.corpus)
    tokens = round(seen.tokens * total / max(sum(len(d.text.encode()) for d in documents), 1)) if documents else 0
    workers = _workers(job, effort)
    scorings = 1 if len(set(job.resolved.priors)) == 1 and job.resolved.policy == "anchor" else len(job.resolved.priors)
    rate = seen.tokens_per_second * workers
    return EditPlan(
        files=len(job.corpus.files),
        bytes=job.corpus.size,
        skipped=job.corpus.skipped,
        shards=max(1, round(job.corpus.size / job.shard_bytes)),
        workers=workers,
        priors=job.resolved.priors,
        glance=seen,
        tokens=tokens,
        seconds=tokens * scorings / rate if rate else 0.0,
        settings=job.resolved.identity(),
        warning=None if job.resolved.spec.change_share else rarity(seen, job.resolved.sampling),
    )


def _job(inputs: Sequence[str], out: Path, spec: EditSpec) -> _Job:
    resolved = resolve(spec)
    reading = reading_of(spec.rows, spec.origin)
    corpus = open_corpus(inputs, reading, exclude=out)
    options = options_of(spec.model)
    return _Job(resolved, corpus, options, spec.shard_bytes or shard_size(corpus.size))


def shard_size(total: int) -> int:
    """About 64 shards of a corpus, each a power of two from 256 KiB to 16 MiB."""
    size = SMALLEST_SHARD
    while size < LARGEST_SHARD and size * SHARDS < total:
        size *= 2
    return size


def _engine(job: _Job, effort: Effort) -> Engine:
    """Processes, or for a model on a GPU threads around it: one tokenises and one writes while the GPU scores."""
    if _on_gpu(job) and (effort.workers <= 1 or _in_memory(job)):
        return ThreadEngine()
    return LocalEngine(_workers(job, effort))


def _workers(job: _Job, effort: Effort) -> int:
    """No more processes than pieces; one where one is enough, or no other could load the model."""
    wanted = 1 if _in_memory(job) else effort.workers or (1 if _alone(job) else available_cores())
    pieces: int = -(-job.corpus.size // job.shard_bytes)
    return max(1, min(wanted, pieces))


def _in_memory(job: _Job) -> bool:
    return any(name.startswith("own:") for name in job.resolved.priors)


def _on_gpu(job: _Job) -> bool:
    return any(load(name, job.options).prior.spec.get("device") == "cuda" for name in set(job.resolved.priors))


def _alone(job: _Job) -> bool:
    return any(alone(load(name, job.options).prior) for name in set(job.resolved.priors))


def _manifest(job: _Job, inputs: list[str]) -> Manifest:
    models = [load(name, job.options).prior.spec for name in job.resolved.priors]
    for name in job.resolved.priors:
        check_candidates(name, load(name, job.options).prior, job.resolved.sampling.top_k)
    identity: dict[str, JSON] = {
        "spec": {**job.resolved.identity(), "shard_bytes": job.shard_bytes},
        "inputs": [identity_of(file) for file in job.corpus.files],
        "layout": job.corpus.layout.to_json(),
        "models": [dict(m) for m in models],
    }
    facts: dict[str, JSON] = {
        "recension": __version__,
        "given": encodable(inputs),
        "urls": {file.label: file.where for file in job.corpus.files},
        "skipped": encodable(job.corpus.skipped),
        "priors": list(job.resolved.priors),
        "config": flat(job.resolved.spec),
    }
    return Manifest("edit", RECIPE_VERSION, identity, facts)


def _decide(run: Run, job: _Job, engine: Engine, observer: Observer) -> Sampling:
    """The sampling of this run; with `--change-share` found on a sample of the whole input, before any shard."""
    resolved = job.resolved
    share = resolved.spec.change_share
    if share is None:
        return resolved.sampling
    if "budget" not in run.manifest.decided:
        done = 0

        def told(_: int) -> None:
            nonlocal done
            done += 1
            observer.update(Progress("sample", shards=done))

        def pieces(skip: Callable[[int], bool]) -> Any:
            return job.corpus.pieces(job.shard_bytes, None, skip=skip)

        work = sample_pass(job.reading, job.corpus.layout)
        state = run_pass(run, work, engine, pieces, told)
        loaded = load(resolved.priors[0], job.options)
        try:
            run.decide("budget", calibrate(state, loaded, resolved.sampling, resolved.spec.protect, share))
        except UnreachableError:
            clear(run.out)  # nothing was written: the folder is free for a share that can be reached
            raise
    decided: Any = run.manifest.decided["budget"]
    observer.note(
        f"to change {share:.1%} of the tokens: threshold {decided['threshold']:.4f}, temperature "
        f"{decided['temperature']:.3g} (expected {decided['expected']:.2%} on {decided['tokens']:,} sampled tokens)"
    )
    return calibrated(resolved.sampling, decided)


def _warn(run: Run, job: _Job, sampling: Sampling, observer: Observer) -> None:
    """A setting that will hardly change anything is said before the work, not after it."""
    if job.resolved.spec.change_share is not None or run.receipt(0) is not None:
        return
    seen = glance(
        first_documents(job.corpus), load(job.resolved.priors[0], job.options), sampling, job.resolved.spec.protect
    )
    warning = rarity(seen, sampling)
    if warning:
        observer.note(warning)


def _task(run: Run, job: _Job, sampling: Sampling) -> EditTask:
    resolved, corpus = job.resolved, job.corpus
    schemas = {"data": corpus.layout.schema, "edits": EDITS_SCHEMA}
    return EditTask(
        plan=ShardPlan.of(run, resolved.spec.format, schemas),
        reading=corpus.reading,
        layout=corpus.layout,
        sampling=sampling,
        priors=resolved.priors,
        options=job.options,
        policy=resolved.policy,
        editions=resolved.spec.editions,
        protect=resolved.spec.protect,
        seed=resolved.spec.seed,
        run=run.name,
    )
