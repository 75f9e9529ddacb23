"""Curve and accounts of a training to its report, its page and its model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from recension.errors import OutputError
from recension.recipes.pages import yaml_config
from recension.recipes.train.job import Job
from recension.recipes.train.session import Data, Facts
from recension.report import SourceReport, TrainReport, model_card, train_page
from recension.run.execute import totals
from recension.run.folder import write_atomic
from recension.run.manifest import Run
from recension.run.receipts import receipts
from recension.training.checkpoints import Curve

SHOWN = (
    "preset", "model", "tokenizer", "vocabulary", "lora", "lora_rank", "lora_alpha", "template", "pack", "epochs", "tokens",
    "steps", "batch", "context", "learning_rate", "schedule", "warmup", "decay", "floor", "weight_decay", "beta2", "clip",
    "seed", "micro", "dtype",
)  # fmt: skip
POINTS = 400  # of a curve in a report; curve.jsonl has them all


def report(run: Run, job: Job, data: Data, done: tuple[Curve, Facts], devices: int) -> TrainReport:
    curve, facts = done
    sums = totals(run.out)
    rows = data.feed.order.read(len(curve.loss))
    tokens = [0] * len(job.sources.names)
    documents = [0] * len(job.sources.names)
    for receipt in receipts(run.out):
        tokens[receipt.stats["source"]] += receipt.stats["tokens"]
        documents[receipt.stats["source"]] += receipt.used
    spec: Any = {**run.manifest.facts["config"], **run.manifest.identity["spec"]}  # type: ignore[dict-item]
    rate = facts.tokens_per_second
    return TrainReport(
        verb=job.verb,
        run=run.name,
        settings={
            name.replace("_", " "): str(spec[name])
            for name in SHOWN
            if spec.get(name) not in (None, "", False) and (job.shape is not None or name != "vocabulary")
        },
        parameters=facts.parameters,
        trained=facts.trained,
        steps=data.steps,
        done=len(curve.loss),
        tokens=sum(curve.tokens),
        sources=tuple(
            SourceReport(
                name=name,
                documents=documents[i],
                tokens=tokens[i],
                share=float(job.sources.weights[i] / sum(job.sources.weights)),
                rows_read=rows[i],
                epochs=rows[i] / data.rows[i],
            )
            for i, name in enumerate(job.sources.names)
        ),
        dropped=dict(sums.dropped),
        loss=_thinned([(i + 1, value) for i, value in enumerate(curve.loss)]),
        rate=_thinned([(i + 1, value) for i, value in enumerate(curve.rate)]),
        norm=_thinned([(i + 1, value) for i, value in enumerate(curve.norm)]),
        valid=tuple((step, nats, bits) for step, nats, bits in curve.valid),
        tokens_per_second=rate,
        mfu=rate * facts.flops_per_token / (facts.peak * devices) if facts.peak else 0.0,
        peak=facts.peak,
        peak_source=facts.peak_source,
        devices=devices,
        machine={k: str(v) for k, v in dict(run.manifest.identity["machine"]).items() if v is not None},  # type: ignore[arg-type]
    )


def _thinned(points: list[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """Means over equal stretches where there are more points than a plot can show."""
    width = -(-len(points) // POINTS)
    if width <= 1:
        return tuple(points)
    groups = [points[a : a + width] for a in range(0, len(points), width)]
    return tuple((group[-1][0], sum(value for _, value in group) / len(group)) for group in groups)


def pages(run: Run, summary: TrainReport, curve: Curve) -> dict[str, bytes]:
    lines = [
        msgspec.json.encode({"step": i + 1, "loss": loss, "rate": rate, "norm": norm, "tokens": tokens})
        for i, (loss, rate, norm, tokens) in enumerate(
            zip(curve.loss, curve.rate, curve.norm, curve.tokens, strict=True)
        )
    ]
    return {
        "report.json": msgspec.json.format(msgspec.json.encode(summary), indent=1),
        "report.html": train_page(summary).encode(),
        "curve.jsonl": b"\n".join(lines) + b"\n",
        "README.md": model_card(summary, run.out.resolve().name).encode(),
        "config.yaml": yaml_config(run.manifest),
    }


def write_page(out: Path, summary: TrainReport) -> None:
    """The page of a run that is not finished: its curve so far."""
    write_atomic(out / "report.html", train_page(summary).encode())


def read(path: Path) -> TrainReport:
    try:
        return msgspec.json.decode(path.read_bytes(), type=TrainReport)
    except (OSError, msgspec.DecodeError) as error:
        raise OutputError(f"{path} cannot be read ({error}): start over with --fresh") from None
