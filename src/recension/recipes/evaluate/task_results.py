"""What became of a task: written as a shard, read back, and compared with another model's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from recension.corpus import BadRow, read_table_rows
from recension.document import JSON
from recension.errors import InputError
from recension.identity import sha256
from recension.methods.estimates import Estimate, Item, difference, estimate, interval
from recension.methods.questions import MEASURES, Answered, Question, answered, chance, examples_for, lead, requests
from recension.models.harness import Asked, Sample, TaskOutcome, ask
from recension.recipes.evaluate.task_files import TaskFile
from recension.report.tasks import Compared, TaskResult
from recension.run.manifest import read_manifest
from recension.run.receipts import read_seal, receipts
from recension.run.shards import ShardWriter

RECIPE = "evaluate-tasks"
SCORES = pa.schema(
    [
        ("task", pa.string()),
        ("document", pa.int64()),
        ("sha256", pa.string()),
        ("filter", pa.string()),
        ("metrics", pa.string()),
        ("loglikelihoods", pa.list_(pa.float64())),
        ("greedy", pa.list_(pa.bool_())),
        ("chosen", pa.int32()),
        ("gold", pa.list_(pa.int32())),
        ("answer", pa.string()),
    ]
)


class Score(NamedTuple):
    """One row of `scores/`, as it is compared."""

    sha256: str
    items: Mapping[str, Item]


def write_file_task(shard: ShardWriter, task: TaskFile, lm: Any, fewshot: int, seed: int) -> dict[str, JSON]:
    """Ask every question of a file, and write what was said beside what is right."""
    asked = [row for row in task.rows if not isinstance(row, BadRow)]
    questions = [question for _, question in asked]
    leads = [_lead(task, question, fewshot, seed) for question in questions]
    outcomes: dict[int, Answered] = {}

    def worth(number: int, results: Sequence[Any]) -> Mapping[str, float]:
        outcomes[number] = answered(task.asking, questions[number], results)
        return {name: item.value for name, item in outcomes[number].items.items()}

    wanted = [requests(task.asking, question, before) for question, before in zip(questions, leads, strict=True)]
    before = lm.truncated
    ask(lm, Asked(task.name, task.asking.kind, wanted, worth))
    for row in task.rows:
        shard.row(1)
        if isinstance(row, BadRow):
            shard.drop(row)
        else:
            shard.used += 1
    told = [outcomes[number] for number in range(len(asked))]
    shard.log("scores", _batch(_file_rows(task, asked, told)))
    chances = [one for question in questions if (one := chance(task.asking, question)) is not None]
    measures = MEASURES[task.asking.kind]
    figures: list[JSON] = [
        _figure(name, "", estimate(m.rule, [one.items[name] for one in told]), m.rule, m.higher)
        for name, m in measures.items()
    ]
    about: dict[str, JSON] = {
        "source": task.source.file.label,
        "sha256": task.source.sha256,
        "kind": task.asking.kind,
        "rows": len(task.rows),
        "dropped": len(task.rows) - len(asked),
        "fewshot": 0 if task.asking.kind == "text" else fewshot,
        "chance": sum(chances) / len(chances) if chances else None,
        "truncated": lm.truncated - before,
    }
    return {"tasks": [{"name": task.name, "about": about, "figures": figures}]}


def _lead(task: TaskFile, question: Question, count: int, seed: int) -> str:
    if not count or task.asking.kind == "text":
        return ""
    found = examples_for(question, task.pool, count, seed, task.name)
    if len(found) < count:
        raise InputError(f"task '{task.name}': {count} examples are wanted, and its file has {len(found)} others")
    return lead(task.asking, found)


def _file_rows(task: TaskFile, asked: Sequence[Any], told: Sequence[Answered]) -> Iterator[tuple[Any, ...]]:
    for (row, question), one in zip(asked, told, strict=True):
        digest = sha256(row.line)
        yield (
            task.name, row.place.row, digest, "", _metrics(one.items), one.loglikelihoods, one.greedy, one.chosen,
            question.gold, one.written,
        )  # fmt: skip


def write_named_task(shard: ShardWriter, outcomes: Sequence[TaskOutcome], truncated: int) -> dict[str, JSON]:
    """What the harness found for a name: one task, or all of a group, which stands last and carries the cut prompts."""
    tasks: list[JSON] = []
    for outcome in outcomes:
        documents = len({sample.document for sample in outcome.samples})
        for _ in range(documents):
            shard.row(1)
        shard.used += documents
        shard.log("scores", _batch(_named_rows(outcome.name, outcome.samples)))
        options = [1 / sample.options for sample in outcome.samples if sample.options]
        about: dict[str, JSON] = {
            "source": "lm-evaluation-harness",
            "kind": None if outcome.samples else "group",
            "version": outcome.version,
            "rows": outcome.n,
            "dropped": 0,
            "fewshot": outcome.fewshot,
            "chance": sum(options) / len(options) if options else None,
            "truncated": truncated if outcome is outcomes[-1] else 0,
        }
        figures: list[JSON] = []
        for figure in outcome.figures:
            items = [
                Item(*sample.items[figure.metric])
                for sample in outcome.samples
                if sample.filter == figure.filter and figure.metric in sample.items
            ]
            ours = estimate(figure.rule, items) if figure.rule and items else None
            # The harness's own value and error are kept; where it gives no error, ours stands.
            error = figure.stderr if figure.stderr is not None or ours is None else ours.stderr
            low, high = (ours.low, ours.high) if ours else interval(figure.value, error)
            found = Estimate(figure.value, error, len(items) or outcome.n, low, high)
            figures.append(_figure(figure.metric, figure.filter, found, figure.rule, figure.higher))
        tasks.append({"name": outcome.name, "about": about, "figures": figures})
    return {"tasks": tasks}


def _named_rows(name: str, samples: Sequence[Sample]) -> Iterator[tuple[Any, ...]]:
    for one in samples:
        yield (
            name, one.document, one.sha256, one.filter, _metrics(one.items), one.loglikelihoods, one.greedy,
            one.chosen, one.gold, one.written,
        )  # fmt: skip


def _metrics(items: Mapping[str, Sequence[float]]) -> str:
    return msgspec.json.encode({name: list(item) for name, item in items.items()}).decode()


def _batch(rows: Iterator[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * len(SCORES)
    return pa.RecordBatch.from_arrays(
        [pa.array(column, kind.type) for column, kind in zip(columns, SCORES, strict=True)], schema=SCORES
    )


def _figure(metric: str, filtered: str, found: Estimate, rule: str, higher: bool | None) -> JSON:
    return {"metric": metric, "filter": filtered, **_finite(found), "rule": rule, "higher_is_better": higher}


def _finite(found: Estimate) -> dict[str, Any]:
    """What is beyond all numbers, or made of such, is None."""
    return {
        name: value if value is not None and math.isfinite(value) else None for name, value in found._asdict().items()
    }


# --- read back --------------------------------------------------------------------------------------------------------


def results_of(out: Path) -> list[TaskResult]:
    """The results of a run, in the order of its tasks."""
    return [msgspec.convert(task, TaskResult) for receipt in receipts(out) for task in receipt.stats.get("tasks", ())]


def check_finished(out: Path) -> None:
    """Refuse to compare with what is no finished run of this verb."""
    if read_manifest(out).recipe != RECIPE:
        raise InputError(f"--against {out} is a run of {read_manifest(out).recipe}, not of {RECIPE}")
    if read_seal(out) is None:
        raise InputError(f"--against {out} is a run that is not finished: run its command again to the end first")


def compared(ours: Path, theirs: Path) -> list[Compared]:
    """The differences of all metrics whose documents are known, over the documents that both models were asked."""
    left, right = _scores(ours), _scores(theirs)
    rules = {(task.name, f.metric, f.filter): f.rule for task in results_of(ours) for f in task.figures}
    found = []
    for (name, metric, filtered), rule in rules.items():
        mine, other = left.get((name, filtered), {}), right.get((name, filtered), {})
        shared = [
            number
            for number, score in mine.items()
            if number in other
            and other[number].sha256 == score.sha256
            and metric in score.items
            and metric in other[number].items
        ]
        if rule and shared:
            pairs = [(mine[number].items[metric], other[number].items[metric]) for number in shared]
            change = difference(rule, [a for a, _ in pairs], [b for _, b in pairs])
            found.append(Compared(name, metric, filtered, **_finite(change), unmatched=len(mine) - len(shared)))
    return found


def _scores(out: Path) -> dict[tuple[str, str], dict[int, Score]]:
    found: dict[tuple[str, str], dict[int, Score]] = {}
    for path in sorted((out / "scores").glob("*.parquet")):
        for batch in read_table_rows(path):
            for row in batch.select(["task", "document", "sha256", "filter", "metrics"]).to_pylist():
                read = msgspec.json.decode(row["metrics"], type=dict[str, tuple[float | None, float]])
                items = {metric: Item(value, weight) for metric, (value, weight) in read.items() if value is not None}
                found.setdefault((row["task"], row["filter"]), {})[row["document"]] = Score(row["sha256"], items)
    return found
