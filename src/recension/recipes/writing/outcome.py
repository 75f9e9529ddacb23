"""Receipts of a writing verb to its report, pages and dataset card."""

from __future__ import annotations

from typing import Any

import msgspec

from recension.recipes.pages import Story, run_card, yaml_config
from recension.recipes.writing.job import Job
from recension.recipes.writing.rows import COLUMNS, SCHEMA
from recension.recipes.writing.session import Session
from recension.recipes.writing.spec import RephraseSpec
from recension.recipes.writing.tally import Tally, merge
from recension.report.writing import CallFigures, Example, WritingReport, writing_page
from recension.run.answers import Budget
from recension.run.execute import totals
from recension.run.manifest import Run
from recension.run.receipts import receipts

TITLES = {"reformulate": "Reformulated corpus", "rephrase": "Rephrased corpus", "compose": "Composed corpus"}
STORIES = {
    "reformulate": "Every source was rewritten for several genres and readers (MAGA, arXiv 2502.04235)",
    "rephrase": "Every source was rephrased",
    "compose": "Purely synthetic: new texts that samples of other text only inspired",
}
HIDDEN = ("text_key", "id_key", "shape", "text_unit", "max_row", "shard_bytes", "format", "styles", "dtype")
EXAMPLES = 8


def report_of(run: Run, job: Job, session: Session, budget: Budget) -> WritingReport:
    """The figures of a run: what was written from its receipts, what was paid from its journal."""
    tally, counts = Tally(), dict[str, Any]()
    for receipt in receipts(run.out):
        merge(counts, receipt.stats["counts"])
        for example in receipt.stats["examples"]:
            tally.example(**example)
    sums = totals(run.out)
    kept = counts.get("kept", {})
    spent, ledger = session.answers.spent, session.answers.ledger
    spec: Any = run.manifest.identity["spec"]
    shown = {name: value for name, value in spec.items() if name not in HIDDEN and value not in (None, [], "")}
    return WritingReport(
        title=TITLES[job.verb],
        verb=job.verb,
        run=run.name,
        writer=job.writing.writer,
        judge=job.judge or "",
        variant=str(spec.get("variant", "")),
        settings={n.replace("_", " "): ", ".join(v) if isinstance(v, list) else str(v) for n, v in shown.items()},
        sources=kept.get("documents", 0),
        parts=kept.get("parts", 0),
        source_tokens=kept.get("source tokens", 0),
        written=sums.written,
        tokens=kept.get("tokens", 0),
        dropped=sums.dropped,
        acceptance=counts.get("acceptance", {}),
        stages=counts.get("stages", {}),
        scores=counts.get("scores", {}),
        genres=counts.get("genres", {}),
        matrix=counts.get("matrix", {}),
        examples=tuple(Example(**one) for one in _shown(tally.examples)),
        calls=CallFigures(
            spent.requests, spent.prompt_tokens, spent.written_tokens, budget.price(spent), ledger.retried, ledger.lost
        ),
        notes=_notes(run, job, kept),
    )


def _shown(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The kept ones first, then one of each reason, then the rest."""
    kept = [one for one in examples if one["kind"] == "kept"]
    lost = [one for one in examples if one["kind"] != "kept"]
    first = {one["kind"]: one for one in reversed(lost)}
    rest = [one for one in lost if one is not first[one["kind"]]]
    return [*kept, *first.values(), *rest][:EXAMPLES]


def _notes(run: Run, job: Job, kept: dict[str, int]) -> tuple[str, ...]:
    notes = [f"{name} was skipped: not a format that is read" for name in run.manifest.facts.get("skipped", ())]  # type: ignore[union-attr]
    notes.append("Tokens of sources and kept texts are those of the tokenizer in the package, whoever wrote the text.")
    if job.verb == "compose":
        notes.append("These texts are synthetic throughout. A corpus of nothing else is the baseline that collapses.")
    if isinstance(job.spec, RephraseSpec) and job.spec.mix_source == "append":
        notes.append("Each text has its source before it; the tokens are those of what was written behind it.")
    if kept.get("sources"):
        notes.append(f"{kept['sources']:,} sources stand beside their rewritings, as they were.")
    return tuple(notes)


def pages(run: Run, job: Job, report: WritingReport) -> dict[str, bytes]:
    """Everything beside the shards, by file name."""
    judge = f" Judged by {report.judge}." if report.judge else ""
    told = Story(
        summary=f"{STORIES[job.verb]}, by {report.writer}.{judge} {report.written:,} texts.",
        schemas={"data": SCHEMA},
        settings=report.settings,
        models=tuple(dict.fromkeys(name for name in (report.writer, report.judge) if name)),
        origin=job.kind,
        columns=COLUMNS,
    )
    return {
        "report.json": msgspec.json.format(msgspec.json.encode(report.to_json()), indent=1),
        "report.html": writing_page(report).encode(),
        "README.md": run_card(run, told).encode(),
        "config.yaml": yaml_config(run.manifest),
    }
