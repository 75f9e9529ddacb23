"""The verb: count, plan, draw, put the shards together."""

from __future__ import annotations

from pathlib import Path

import msgspec

from recension.engines.local import LocalEngine, available_cores
from recension.errors import TooManyDroppedError
from recension.identity import sha256
from recension.recipes.mix import outcome
from recension.recipes.mix.counting import Count, clear_rows
from recension.recipes.mix.drawing import NAME as DRAW
from recension.recipes.mix.drawing import draw
from recension.recipes.mix.gathering import GatherTask, Shards
from recension.recipes.mix.job import MixJob, job_of, manifest_of
from recension.recipes.mix.planning import Plan, plan_from, settle
from recension.recipes.mix.recipe import spec_of
from recension.recipes.mix.spec import MixEffort, MixSpec
from recension.recipes.pages import look_over
from recension.report import MixReport
from recension.run.execute import Bounds, execute, seal
from recension.run.folder import output_path
from recension.run.manifest import Run, open_run
from recension.run.progress import Observer, Silent
from recension.run.receipts import read_seal
from recension.run.shards import ShardPlan


def mix(
    recipe: MixSpec | str | Path,
    out: str | Path,
    effort: MixEffort | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> MixReport:
    """Write a mixture into a run folder. A second call finishes what is missing and repeats nothing."""
    effort, observer, out = effort or MixEffort(), observer or Silent(), output_path(out)
    job = job_of(spec_of(recipe), out)
    for corpus in job.data.corpora:
        look_over(corpus, observer)
    with open_run(out, manifest_of(job), fresh) as run:
        sealed = read_seal(run.out)
        if sealed is not None and sealed.key == run.key and (run.out / outcome.REPORT).is_file():
            clear_rows(run.out)  # a kill may have come between the seal and this
            return outcome.read(run.out / outcome.REPORT)
        engine = LocalEngine(max(1, min(effort.workers or available_cores(), -(-job.data.size // job.piece_bytes))))
        drawn, decided = _drawn(run, job, engine, (effort, observer))
        schemas = {"data": job.schema, "holdout": job.schema}
        task = GatherTask(
            ShardPlan.of(run, job.spec.format, schemas), drawn, tuple(source.name for source in job.spec.sources)
        )
        workers = LocalEngine(max(1, min(effort.workers or available_cores(), decided.shards)))
        execute(run, task, Shards(decided.shards), workers, Bounds(1, expected=decided.shards), observer)
        report = outcome.report(run.out, run.manifest)
        seal(run, job.data.digests, outcome.pages(run, report, job.schema))
        clear_rows(run.out)
    return report


def _drawn(run: Run, job: MixJob, engine: LocalEngine, how: tuple[MixEffort, Observer]) -> tuple[int, Plan]:
    """Count, plan and draw, as far as that is not done; the number of pieces and the plan."""
    effort, observer = how
    if "plan" in run.manifest.decided and _all_gathered(run):
        decided = plan_from(run.manifest.decided["plan"])
        return 0, decided
    counted, decided = settle(run, job, engine, observer)
    _check_unusable(counted, effort.max_dropped)
    artefact = draw(run, job, decided, engine, observer)
    job.data.check_unchanged()
    if "draw" not in run.manifest.decided:
        run.decide("draw", {**msgspec.json.decode(artefact), "pass": DRAW, "sha256": sha256(artefact)})
    return len(counted.pieces), decided


def _all_gathered(run: Run) -> bool:
    shards = plan_from(run.manifest.decided["plan"]).shards
    return "draw" in run.manifest.decided and all(run.is_done(index) for index in range(shards))


def _check_unusable(counted: Count, most: float | None) -> None:
    rows = sum(piece.rows for piece in counted.pieces)
    lost = rows - sum(piece.documents for piece in counted.pieces)
    if most is not None and rows and lost / rows > most:
        reasons = sorted({reason for piece in counted.pieces for reason in piece.unusable})
        raise TooManyDroppedError(
            f"{lost:,} of {rows:,} rows ({lost / rows:.2%}) cannot be read ({', '.join(reasons)}), more than "
            f"--max-dropped {most:g}: raise it to go on"
        )
