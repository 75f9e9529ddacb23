"""Receipts of a mixture to its report, its page, its card and the recipe that made it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from recension.document import KINDS
from recension.recipes.mix.drawing import DATA, HOLDOUT
from recension.recipes.mix.planning import Plan, plan_from
from recension.recipes.pages import Story, run_card
from recension.report import MixedSource, MixReport, mix_page, mix_report_from_json
from recension.run.execute import totals
from recension.run.manifest import Manifest, Run
from recension.run.receipts import add_counts, receipts

REPORT = "report.json"
SHOWN = ("tokens", "whole", "seed", "holdout", "holdout_sources", "format")


def report(out: Path, manifest: Manifest) -> MixReport:
    """What the shards add up to, beside the plan."""
    plan = plan_from(manifest.decided["plan"])
    sums = {part: _added(out, part) for part in (DATA, HOLDOUT)}
    written = totals(out)
    tokens = sum(found["tokens"] for found in sums[DATA].values())
    sources = tuple(_source(draw, sums, tokens) for draw in plan.draws)
    spec: Any = manifest.identity["spec"]
    kinds: dict[str, int] = {}
    held: dict[str, int] = {}
    ages: dict[str, int] = {}
    for part, into in ((DATA, kinds), (HOLDOUT, held)):
        for found in sums[part].values():
            add_counts(into, found["kinds"])
    for found in sums[DATA].values():
        add_counts(ages, found["generations"])
    return MixReport(
        title=out.resolve().name,
        run=manifest.name,
        tokenizer=str(manifest.facts["tokenizer"]),
        preset=spec["preset"],
        planned=sum(draw.planned for draw in plan.draws),
        tokens=tokens,
        documents=written.written - sum(found["documents"] for found in sums[HOLDOUT].values()),
        unique=sum(found["first"] for found in sums[DATA].values()),
        sources=sources,
        kinds={kind: kinds[kind] for kind in KINDS if kinds.get(kind)},
        generations=dict(sorted(ages.items(), key=lambda item: (not item[0].isdigit(), item[0].zfill(12)))),
        holdout_documents=sum(found["documents"] for found in sums[HOLDOUT].values()),
        holdout_tokens=sum(found["tokens"] for found in sums[HOLDOUT].values()),
        holdout_kinds={kind: held[kind] for kind in KINDS if held.get(kind)},
        dropped=written.dropped,
        settings=_settings(manifest),
        notes=_notes(manifest, plan),
    )


def _source(draw: Any, sums: Mapping[str, Mapping[str, Any]], whole: int) -> MixedSource:
    empty = {"documents": 0, "tokens": 0, "first": 0, "cut": [], "kinds": {}}
    found, held = sums[DATA].get(draw.name, empty), sums[HOLDOUT].get(draw.name, empty)
    return MixedSource(
        name=draw.name,
        held=draw.held,
        pool=draw.pool_tokens,
        planned=draw.planned,
        tokens=found["tokens"],
        share=found["tokens"] / max(whole, 1),
        repeats=found["tokens"] / max(draw.pool_tokens, 1),
        documents=found["documents"],
        unique=found["first"],
        cut=tuple(found["cut"]),
        kinds=found["kinds"],
        holdout_documents=held["documents"],
        holdout_tokens=held["tokens"],
        estimated=draw.estimated,
    )


def _added(out: Path, part: str) -> dict[str, Any]:
    """The sums of every shard, by source."""
    total: dict[str, Any] = {}
    for receipt in receipts(out):
        for name, found in receipt.stats.get(part, {}).items():
            into = total.setdefault(
                name, {"documents": 0, "tokens": 0, "first": 0, "cut": [], "kinds": {}, "generations": {}}
            )
            for key, value in found.items():
                if isinstance(value, dict):
                    add_counts(into[key], value)
                else:
                    into[key] += value
    return total


def _settings(manifest: Manifest) -> dict[str, str]:
    spec: Any = manifest.identity["spec"]
    shown = {name: spec[name] for name in SHOWN if spec.get(name) not in (None, []) and spec[name] is not False}
    shown = {
        "tokenizer": manifest.facts["tokenizer"],
        **({"preset": spec["preset"]} if spec["preset"] else {}),
        **shown,
    }
    return {name.replace("_", " "): _shown(value) for name, value in shown.items()}


def _shown(value: Any) -> str:
    if isinstance(value, float) and value == int(value):
        value = int(value)
    return ", ".join(value) if isinstance(value, list) else str(value)


def _notes(manifest: Manifest, plan: Plan) -> tuple[str, ...]:
    skipped: Any = manifest.facts.get("skipped", ())
    return (*plan.notes, *(f"{name} was skipped: not a format that is read" for name in skipped))


def pages(run: Run, summary: MixReport, schema: Any) -> dict[str, bytes]:
    """Everything beside the shards, by file name."""
    parts = [f"{s.name}: {s.tokens:,} tokens, read {s.repeats:.3g} times." for s in summary.sources]
    held = " Documents of one lineage (an original and all that was made of it) stand on one side of the split."
    story = f"A mixture of {len(summary.sources)} sources, in tokens of {summary.tokenizer}. " + " ".join(parts)
    shares = [f"{kind} {tokens / max(summary.tokens, 1):.1%}" for kind, tokens in summary.kinds.items()]
    told = Story(
        summary=story + (held if summary.holdout_documents else ""),
        schemas={DATA: schema, HOLDOUT: schema},
        settings=summary.settings,
        columns={
            "mix_source": "the source of the recipe that the row is from",
            "mix_repeat": "which reading of the row it is, from 1 on",
        },
        origin="; ".join(shares) if summary.kinds.keys() != {"unknown"} else "unknown",
    )
    recipe = yaml.safe_dump(run.manifest.facts["config"], sort_keys=False, allow_unicode=True)
    return {
        REPORT: msgspec.json.format(msgspec.json.encode(summary.to_json()), indent=1),
        "report.html": mix_page(summary).encode(),
        "README.md": run_card(run, told).encode(),
        "config.yaml": recipe.encode(),
    }


def read(path: Path) -> MixReport:
    return mix_report_from_json(msgspec.json.decode(path.read_bytes()))
