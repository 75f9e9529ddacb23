"""How two models differ on each document, as it stands in the scores of a run, to a report."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from recension.corpus import read_table_rows
from recension.identity import fingerprint
from recension.methods.bootstrap import Resampler, interval
from recension.recipes.evaluate.spec import LossPatternSpec
from recension.report import Interval, LossPatternReport, Token, WorstPassage
from recension.run.execute import totals
from recension.run.manifest import Run
from recension.run.receipts import receipts

BINS = 20
POINTS = 1_500
RESAMPLES = 1_000
LADDER = (0.5, 1.0, 1.5, 2.0, 3.0)


def report(run: Run, spec: LossPatternSpec) -> LossPatternReport:
    """The figures of a run, in one pass over its rows; what is kept of them is bounded."""
    ladder = tuple(sorted({*LADDER, spec.k}))
    resampler = Resampler("loss pattern", 3, RESAMPLES, spec.seed)
    histogram = np.zeros(BINS, dtype=np.int64)
    anomalies = np.zeros(len(ladder), dtype=np.int64)
    points: list[tuple[int, float, float]] = []
    worst: list[tuple[float, int, dict[str, Any]]] = []
    seen = 0
    for batch in _batches(run.out):
        columns = {name: batch.column(name).to_numpy(zero_copy_only=False) for name in batch.schema.names[2:-1]}
        sizes = columns["tokens"].astype(np.float64)
        resampler.add(np.stack([columns["real"] * sizes, columns["synthetic"] * sizes, sizes], axis=1))
        found = columns["first_anomaly"]
        histogram += np.bincount((found[found >= 0] * BINS).astype(int).clip(max=BINS - 1), minlength=BINS)
        anomalies += (columns["highest_k"][:, None] > np.array(ladder)).sum(axis=0)
        for at, (real, synthetic) in enumerate(zip(columns["real"], columns["synthetic"], strict=True)):
            # The smallest hashes are a fair draw of the documents, whatever their number.
            rank = -int(fingerprint([spec.seed, seen + at])[:16], 16)
            _keep(points, (rank, float(real), float(synthetic)), POINTS)
        for at, passage in enumerate(batch.column("passage").to_pylist()):
            if passage is not None:
                row = {name: batch.column(name)[at].as_py() for name in ("id", "file", "row", "worst_start")}
                _keep(worst, (float(columns["worst_mean"][at]), -(seen + at), {**row, **passage}), spec.worst)
        seen += batch.num_rows
    sums = np.concatenate([resampler.totals[None], resampler.resampled()])
    with np.errstate(invalid="ignore", divide="ignore"):  # a resample may hold nothing
        real, synthetic = sums[:, 0] / sums[:, 2], sums[:, 1] / sums[:, 2]
    total, count = np.zeros(BINS), np.zeros(BINS)
    for receipt in receipts(run.out):
        total += np.array(receipt.stats["sums"])
        count += np.array(receipt.stats["counts"])
    return LossPatternReport(
        run=run.name,
        models=(spec.real, spec.synthetic),
        settings=_settings(spec),
        documents=seen,
        tokens=int(resampler.totals[2]),
        real=_interval(real),
        synthetic=_interval(synthetic),
        difference=_interval(synthetic - real),
        k=spec.k,
        anomalies=dict(zip(ladder, anomalies.tolist(), strict=True)),
        first_anomalies=tuple(histogram.tolist()),
        by_place=tuple(float(t / c) if c else None for t, c in zip(total, count, strict=True)),
        points=tuple((x, y) for _, x, y in sorted(points, reverse=True)),
        worst=tuple(_passage(mean, found) for mean, _, found in sorted(worst, key=lambda w: w[:2], reverse=True)),
        dropped=totals(run.out).dropped,
    )


def _batches(out: Path) -> Iterator[Any]:
    for path in sorted((out / "scores").glob("*.parquet")):
        yield from read_table_rows(path)


def _keep(heap: list[Any], entry: Any, most: int) -> None:
    """The largest entries; their first two parts differ, so nothing else is compared."""
    if len(heap) < most:
        heapq.heappush(heap, entry)
    elif heap and entry[:2] > heap[0][:2]:
        heapq.heapreplace(heap, entry)


def _interval(values: Any) -> Interval:
    return Interval(float(values[0]), *interval(values[1:]))


def _settings(spec: LossPatternSpec) -> dict[str, str]:
    return {
        "real": spec.real,
        "synthetic": spec.synthetic,
        "k": f"{spec.k:g}",
        "window": f"{spec.window:.1%} of a document's tokens",
        "passages above": f"{spec.above:g} nats",
        "bootstrap": f"{RESAMPLES:,} resamples, 95% intervals",
        "seed": str(spec.seed),
    }


def _passage(mean: float, found: dict[str, Any]) -> WorstPassage:
    text = found["text"]
    tokens: list[Token] = []
    reached = 0
    for start, end, real, synthetic in zip(
        found["starts"], found["ends"], found["real"], found["synthetic"], strict=True
    ):
        inside = found["first"] <= len(tokens) < found["stop"]
        # Tokens that are parts of one character share its place: the first shows it, the others show nothing.
        shown = text[max(start, reached) : max(end, reached)]
        tokens.append(Token(text[reached : max(start, reached)], shown, real, synthetic, inside))
        reached = max(reached, end)
    return WorstPassage(found["id"], f"{found['file']}:{found['row']}", found["worst_start"], mean, tuple(tokens))
