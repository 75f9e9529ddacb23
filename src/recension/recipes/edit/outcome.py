"""Receipts of an edit to its report, pages and dataset card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from recension.methods.tally import Counts, counts_from_json
from recension.recipes.edit.task import EDITS_SCHEMA, WATCHED
from recension.recipes.pages import Story, run_card, yaml_config
from recension.report import EditReport, GenerationReport, edit_page
from recension.run.execute import totals
from recension.run.manifest import Manifest, Run
from recension.run.receipts import receipts

SHOWN = (
    "threshold", "below", "sampler", "top_k", "top_p", "temperature", "exclude_original", "change_share", "protect",
    "generations", "editions", "policy", "seed",
)  # fmt: skip


def report(out: Path, manifest: Manifest) -> EditReport:
    """The figures of a run, from its receipts alone."""
    priors: list[str] = list(manifest.facts["priors"])  # type: ignore[arg-type]
    sums = [Counts() for _ in priors]
    for receipt in receipts(out):
        generations: Any = receipt.stats["generations"]
        sums = [known + counts_from_json(more) for known, more in zip(sums, generations, strict=True)]
    total = totals(out)
    return EditReport(
        title="Edited corpus",
        run=manifest.name,
        prior=", ".join(dict.fromkeys(priors)),
        settings=_settings(manifest, len(priors)),
        documents=total.written,
        tokens=sums[0].tokens,
        dropped=total.dropped,
        generations=tuple(
            _generation(number, prior, counts)
            for number, (prior, counts) in enumerate(zip(priors, sums, strict=True), start=1)
        ),
        notes=_notes(manifest, sums[0]),
    )


def _generation(number: int, prior: str, counts: Counts) -> GenerationReport:
    scored = counts.scored
    return GenerationReport(
        generation=number,
        prior=prior,
        tokens=counts.tokens,
        flagged=counts.flagged,
        changed=counts.changed,
        protected=counts.protected,
        not_editable=counts.not_editable,
        truncated=counts.truncated,
        logprob_before=counts.logprob_before / scored if scored else None,
        logprob_after=counts.logprob_after / scored if scored else None,
        probabilities=tuple(counts.probabilities.tolist()),
        positions=tuple(counts.positions.tolist()),
    )


def _settings(manifest: Manifest, generations: int) -> dict[str, str]:
    spec: Any = {**manifest.identity["spec"], "generations": generations}  # type: ignore[dict-item]
    decided: Any = manifest.decided.get("budget")
    if decided:
        spec |= {"threshold": round(decided["threshold"], 6), "temperature": round(decided["temperature"], 4)}
    shown = {name: spec[name] for name in SHOWN if spec.get(name) not in (None, []) and spec[name] is not False}
    if spec["sampler"] != "top-p":
        shown.pop("top_p", None)
    return {name.replace("_", " "): ", ".join(v) if isinstance(v, list) else str(v) for name, v in shown.items()}


def _notes(manifest: Manifest, counts: Counts) -> tuple[str, ...]:
    notes = [f"{name} was skipped: not a format that is read" for name in manifest.facts.get("skipped", ())]  # type: ignore[union-attr]
    decided: Any = manifest.decided.get("budget")
    if decided:
        notes.append(
            f"The threshold and the temperature were solved for a changed share of {decided['share']:.2%} on "
            f"{decided['tokens']:,} tokens of {decided['documents']:,} sampled documents (expected {decided['expected']:.2%})."
        )
    if counts.scored < counts.tokens / 2:
        notes.append(
            f"Probabilities and log-probabilities are those of {counts.scored:,} tokens, the ones of every {WATCHED}th "
            "document: elsewhere only the tokens that could be flagged were scored in full."
        )
    notes.append("The log-probability after editing is that of the drawn tokens with the original text before them.")
    return tuple(notes)


def pages(run: Run, summary: EditReport, schema: Any) -> dict[str, bytes]:
    """Everything beside the shards, by file name."""
    generations = [
        f"Generation {g.generation}: {g.flagged:,} of {g.tokens:,} tokens flagged, {g.changed:,} changed."
        for g in summary.generations
    ]
    story = f"Token-edited (ToEdit) with {summary.prior}. " + " ".join(generations)
    spec: Any = run.manifest.identity["spec"]
    told = Story(
        summary=story,
        schemas={"data": schema, "edits": EDITS_SCHEMA},
        settings=summary.settings,
        models=tuple(dict.fromkeys(g.prior for g in summary.generations)),
        origin=spec["origin"] or "unknown",
    )
    return {
        "report.json": msgspec.json.format(msgspec.json.encode(summary.to_json()), indent=1),
        "report.html": edit_page(summary).encode(),
        "README.md": run_card(run, told).encode(),
        "config.yaml": yaml_config(run.manifest),
    }
