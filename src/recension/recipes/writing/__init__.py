"""Writing with a language model: `reformulate`, `rephrase`, `compose`, and `reparse`, which reads their answers anew.

spec.py         what can be set
job.py          a call: corpus, verb, manifest
session.py      event loop, journal, models
desk.py         prompts to requests, answers to what can be used of them
reformulation.py, rephrasing.py, composition.py   what becomes of one row
task.py         one shard: many rows under way, written in their order
rows.py         the rows that are written
tally.py        counts for the report
estimate.py     what a run would cost
outcome.py      receipts and journal to the report
prompts.py, prompts/   the words
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

from recension.corpus import Piece, Record, check_unchanged, expected_size
from recension.engines.loop import LoopEngine
from recension.errors import BudgetError, InputError, OutputError, UsageError
from recension.recipes.pages import as_inputs, check_some, identity_of, look_over
from recension.recipes.settings import build
from recension.recipes.writing import outcome
from recension.recipes.writing.desk import together
from recension.recipes.writing.estimate import Estimate, estimate
from recension.recipes.writing.job import (
    SPECS,
    Job,
    Spec,
    manifest_of,
    prepare,
    records,
    specs_decided,
    verb_of,
    warm_up,
)
from recension.recipes.writing.rows import Author, Units
from recension.recipes.writing.session import (
    Models,
    Session,
    Watching,
    budget_of,
    models_of,
    off_loop,
    opened,
    options_by_name,
)
from recension.recipes.writing.spec import Calls, ComposeSpec, ReformulateSpec, ReparseSpec, RephraseSpec
from recension.recipes.writing.task import SCHEMAS, Verb, WriteTask
from recension.report.writing import WritingReport
from recension.run.execute import Bounds, execute, seal
from recension.run.folder import output_path
from recension.run.manifest import Run, open_run, read_manifest
from recension.run.progress import Observer, Silent
from recension.run.receipts import Receipt, read_seal
from recension.run.shards import ShardPlan

__all__ = [
    "Calls",
    "ComposeSpec",
    "ReformulateSpec",
    "ReparseSpec",
    "RephraseSpec",
    "compose",
    "plan_writing",
    "preview",
    "reformulate",
    "reparse",
    "rephrase",
]

JUDGED_BY = ("accept", "factuality", "max_unsupported")  # rules that need a judge's verdict
Inputs = str | Path | Sequence[str | Path]


def reformulate(
    inputs: Inputs,
    out: str | Path,
    spec: ReformulateSpec,
    calls: Calls | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> WritingReport:
    """Rewrite each text for several genres and readers (MAGA). A second call goes on and pays for nothing twice."""
    return _write(prepare(as_inputs(inputs), output_path(out), spec, calls), out, calls, observer, fresh)


def rephrase(
    inputs: Inputs,
    out: str | Path,
    spec: RephraseSpec,
    calls: Calls | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> WritingReport:
    """Rewrite each text in one or more styles (WRAP, Nemotron-CC, FinePhrase, or your own)."""
    return _write(prepare(as_inputs(inputs), output_path(out), spec, calls), out, calls, observer, fresh)


def compose(
    inputs: Inputs,
    out: str | Path,
    spec: ComposeSpec,
    calls: Calls | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> WritingReport:
    """Write new texts that samples only inspire (Cosmopedia): the purely synthetic baseline, and marked as that."""
    return _write(prepare(as_inputs(inputs), output_path(out), spec, calls), out, calls, observer, fresh)


def preview(
    inputs: Inputs,
    out: str | Path,
    spec: Spec,
    count: int,
    calls: Calls | None = None,
    observer: Observer | None = None,
) -> list[tuple[Record, Units]]:
    """The first rows as the verb would write them. Their answers are in the journal of `out`: the run has them already."""
    calls, observer, out = calls or Calls(), observer or Silent(), output_path(out)
    job = prepare(as_inputs(inputs), out, spec, calls)

    def look() -> list[tuple[Record, Units]]:
        with open_run(out, manifest_of(job)) as run, opened(out, calls, observer) as session:
            _load(run, session, job, calls, observer)
            rows = list(islice(records(job), count))
            written = verb_of(job, session)
            found = session.loop.run_until_complete(together(*(_afforded(written, record) for record in rows)))
        whole = [(row, units) for row, units in zip(rows, found, strict=True) if not isinstance(units, BudgetError)]
        if short := [one for one in found if isinstance(one, BudgetError)]:
            if not whole:
                raise short[0]
            observer.note(f"{len(short)} of {len(rows)} rows are not shown: {short[0]}")
        return whole

    return off_loop(look)


async def _afforded(written: Verb, record: Record) -> Units | BudgetError:
    """What a preview shows of a row, or that the budget ended before it was whole."""
    try:
        return await written(record)
    except BudgetError as error:
        return error


def plan_writing(inputs: Inputs, out: str | Path, spec: Spec, calls: Calls | None = None) -> Estimate:
    """What a run would ask and cost, from a sample; nothing is asked, and what a preview measured is used."""
    out = output_path(out)
    return estimate(prepare(as_inputs(inputs), out, spec, calls), out, calls or Calls())


def reparse(
    out: str | Path,
    new: str | Path,
    spec: ReparseSpec | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> WritingReport:
    """Read the answers of a run anew, under other rules of acceptance, into a run of its own. Nobody is asked."""
    out, new, spec = output_path(out), output_path(new), spec or ReparseSpec()
    manifest = read_manifest(out)
    if manifest.recipe not in SPECS:
        raise UsageError(f"{out} is a run of {manifest.recipe}; answers to read anew are in runs of {', '.join(SPECS)}")
    if out.resolve() == new.resolve():
        raise OutputError("reparse writes a run of its own: name another folder with -o")
    models: Any = manifest.decided.get("models")
    if "journal" in manifest.identity:
        raise UsageError(f"{out} was itself read from the answers of another run: name that one")
    if not models:
        raise InputError(f"{out} holds no answers yet: run its command first")
    config: Any = dict(manifest.facts["config"])  # type: ignore[arg-type]
    changed = spec.changes()
    for name in changed:
        if name not in config:
            raise UsageError(f"--{name.replace('_', '-')}: a run of {manifest.recipe} knows no such rule")
        if name in JUDGED_BY and config.get("judge") == "none":
            raise UsageError(f"--{name.replace('_', '-')}: nobody judged the texts of {out} (--judge none)")
    kind: Any = SPECS[manifest.recipe]
    chosen: Spec = build(kind, {**config, **changed})
    given: Any = manifest.facts["given"]
    job = prepare(given, new, chosen)
    if [identity_of(file) for file in job.corpus.files] != manifest.identity["inputs"]:
        raise InputError(f"the input of {out} is not what and where it was: {', '.join(given)}, seen from this folder")
    sealed = read_seal(out)  # what the run was not to read was never asked for
    return _write(job, new, Calls(limit=sealed.limit if sealed else None), observer, fresh, (out, models))


def _write(
    job: Job,
    out: str | Path,
    calls: Calls | None,
    observer: Observer | None,
    fresh: bool,
    earlier: tuple[Path, Any] | None = None,
) -> WritingReport:
    calls, observer, out = calls or Calls(), observer or Silent(), output_path(out)
    return off_loop(lambda: _written(job, out, calls, (observer, fresh), earlier))


def _written(
    job: Job, out: Path, calls: Calls, manner: tuple[Observer, bool], earlier: tuple[Path, Any] | None
) -> WritingReport:
    observer, fresh = manner
    look_over(job.corpus, observer)
    warm_up()
    manifest = manifest_of(job, read_manifest(earlier[0]).key if earlier else None)
    needed = [earlier[0]] if earlier else []
    with (
        open_run(out, manifest, fresh, needed) as run,
        opened(out, calls, observer, earlier[0] if earlier else None) as session,
    ):
        if earlier is None:
            _load(run, session, job, calls, observer)
        else:
            session.models = Models({}, earlier[1])
        # The engine awaits what the task returns, so what comes out of it are receipts all the same.
        task = cast("Callable[[Piece], Receipt]", _task(run, session, job, calls))
        bounds = Bounds(job.shard_bytes, calls.limit, calls.max_dropped, expected_size(job.corpus), "texts")
        watching = Watching(observer, session, budget_of(calls))
        execute(run, task, job.corpus, LoopEngine(session.loop), bounds, watching)
        check_unchanged(job.corpus.files)
        report = outcome.report_of(run, job, session, budget_of(calls))
        seal(run, job.corpus.digests, outcome.pages(run, job, report), calls.limit)
    _check_some(out, job, report)
    return report


def _check_some(out: Path, job: Job, report: WritingReport) -> None:
    """A run that kept nothing is an error: of the input where nothing of it could be asked about, else of what came back."""
    if report.sources and not report.written and report.dropped:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in report.dropped.items())
        raise InputError(
            f"none of the texts was kept ({reasons}): see {out / 'dropped'}, and try --preview 3; what was answered is kept"
        )
    check_some(out, job.corpus)


def _load(run: Run, session: Session, job: Job, calls: Calls, observer: Observer) -> None:
    models = models_of(run, session, options_by_name(job.writing, calls, job.judge), observer)
    specs_decided(run, models.specs)


def _task(run: Run, session: Session, job: Job, calls: Calls) -> WriteTask:
    model = str(session.models.specs[job.writing.writer].get("model") or job.writing.writer)
    return WriteTask(
        plan=ShardPlan.of(run, job.spec.output.format, SCHEMAS),
        reading=job.corpus.reading,
        layout=job.corpus.layout,
        verb=verb_of(job, session),
        author=Author(job.verb, job.kind, model, run.name),
        window=job.window(calls.concurrency),
    )
