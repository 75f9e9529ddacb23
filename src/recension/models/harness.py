"""lm-evaluation-harness, kept quiet: our questions through its task API, and its own tasks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import version
from typing import Any

import numpy as np

from recension.errors import InputError, MissingExtraError, UsageError
from recension.identity import fingerprint
from recension.models.harness_quiet import one_process, undisturbed
from recension.models.hub import brief

BOOTSTRAP = 1000
OUTPUTS = {"text": "loglikelihood_rolling", "answer": "generate_until"}
# How the harness makes one value of many, in our words.
RULES = {"mean": "mean", "perplexity": "exp", "weighted_perplexity": "exp", "bits_per_byte": "bits"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A task of ours: for each document what is requested, and what the results are worth by metric."""

    name: str
    kind: str
    requests: Sequence[Sequence[tuple[Any, ...]]]
    worth: Callable[[int, Sequence[Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Sample:
    """What the harness keeps of one document. `items` are value and weight, where a metric has them."""

    document: int
    sha256: str
    filter: str
    items: Mapping[str, tuple[float, float]]
    loglikelihoods: tuple[float, ...]
    greedy: tuple[bool, ...]
    chosen: int | None
    gold: tuple[int, ...]
    written: str | None
    options: int | None


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric of the harness; `rule` is "" where it makes its value in a way of its own."""

    metric: str
    filter: str
    value: float
    stderr: float | None
    rule: str
    higher: bool | None


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """A task of the harness, or a group of them (which has no samples)."""

    name: str
    version: str
    fewshot: int
    n: int
    figures: tuple[Figure, ...]
    samples: tuple[Sample, ...]


def harness_version() -> str:
    return version("lm_eval")


def ask(lm: Any, asked: Asked) -> list[Sequence[Any]]:
    """Put our questions through the task API of the harness: for each document the results of its requests."""
    found: list[Sequence[Any]] = [()] * len(asked.requests)

    def keep(number: int, results: Sequence[Any]) -> Mapping[str, Any]:
        found[number] = results
        return asked.worth(number, results)

    from lm_eval.evaluator import evaluate

    with undisturbed(0):
        task = _task(Asked(asked.name, asked.kind, asked.requests, keep))
        evaluate(lm=lm, task_dict={"tasks": {asked.name: task}}, bootstrap_iters=0, log_samples=False)
    return found


def _task(asked: Asked) -> Any:
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import Task
    from lm_eval.config.task import TaskConfig

    output = OUTPUTS.get(asked.kind, "loglikelihood")

    class AskedTask(Task):  # type: ignore[misc, unused-ignore]
        """Everything is said in Python: the harness would read templates and literals into the text of a document."""

        VERSION = 1
        OUTPUT_TYPE = output

        def __init__(self) -> None:
            super().__init__()
            settings: dict[str, Any] | None = {"until": []} if output == "generate_until" else None
            self._config = TaskConfig(task=asked.name, output_type=output, num_fewshot=0, generation_kwargs=settings)

        def download(self, *_: Any, **__: Any) -> None:
            pass

        def has_training_docs(self) -> bool:
            return False

        def has_validation_docs(self) -> bool:
            return False

        def has_test_docs(self) -> bool:
            return True

        def test_docs(self) -> list[dict[str, int]]:
            return [{"number": number} for number in range(len(asked.requests))]

        def doc_to_text(self, doc: dict[str, int]) -> str:
            return ""

        def doc_to_target(self, doc: dict[str, int]) -> str:
            return ""

        def fewshot_context(self, *_: Any, **__: Any) -> str:
            return ""

        def construct_requests(self, doc: dict[str, int], ctx: str, **given: Any) -> list[Any]:
            requests = asked.requests[doc["number"]]
            return [Instance(output, doc, one, i, metadata=given["metadata"]) for i, one in enumerate(requests)]

        def process_results(self, doc: dict[str, int], results: Sequence[Any]) -> dict[str, Any]:
            return dict(asked.worth(doc["number"], results))

        def aggregation(self) -> dict[str, Any]:
            return {}

        def higher_is_better(self) -> dict[str, bool]:
            return {}

    return AskedTask()


# --- the tasks of the harness ---------------------------------------------------------------------------------------


def task_index(names: Sequence[str], include: str | None = None) -> Any:
    """The harness's index of task names. It takes some seconds, unless all of them are in the folder `include`."""
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise MissingExtraError("eval", "evaluate tasks") from error
    with undisturbed(0):
        if include is not None:
            own = TaskManager(include_path=include, include_defaults=False)
            if set(names) <= set(own.all_tasks):
                return own
        return TaskManager(include_path=include)


def check_names(index: Any, names: Sequence[str]) -> None:
    """Refuse a name that the harness does not know, with those that are near."""
    known = index.all_tasks
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 3)
            hint = f"did you mean {', '.join(near)}?" if near else "for a file of your own there is --file"
            raise UsageError(f"--tasks {name}: lm-evaluation-harness {harness_version()} has no such task; {hint}")


def run_named(lm: Any, index: Any, name: str, limit: int | None, fewshot: int | None, seed: int) -> list[TaskOutcome]:
    """A task of the harness, or all of a group, by name."""
    from lm_eval.evaluator import evaluate

    with undisturbed(seed):
        loaded = _loaded(index, name)
        for task in loaded["tasks"].values():
            # As the harness's own command does: a task that says 0 stays at 0.
            usual = task.get_config("num_fewshot")
            if usual is None or (fewshot is not None and usual != 0):
                task.set_config(key="num_fewshot", value=fewshot or 0)
            task.set_fewshot_seed(seed=seed)
        with one_process():
            try:
                found: Any = evaluate(lm=lm, task_dict=loaded, limit=limit, bootstrap_iters=BOOTSTRAP)
            except ValueError as error:
                raise InputError(f"task '{name}' of lm-evaluation-harness cannot be run: {brief(error)}") from error
    names = [*loaded["tasks"], *(group for group in loaded.get("groups", {}) if group in found["results"])]
    return [_outcome(one, loaded["tasks"].get(one), found) for one in names]


def _loaded(index: Any, name: str) -> Any:
    from datasets.exceptions import DatasetsError

    try:
        return index.load([name])
    except ImportError as error:
        raise InputError(f"task '{name}' needs a package that is not installed: {brief(error)}") from error
    except (OSError, RuntimeError, ValueError, DatasetsError) as error:
        raise InputError(
            f"task '{name}': its data cannot be loaded ({brief(error)}); tasks of lm-evaluation-harness come from the "
            "hub and need the network once, files of your own (--file) do not"
        ) from error


def _outcome(name: str, task: Any, found: Any) -> TaskOutcome:
    rules = {} if task is None else {k: RULES.get(f.__name__, "") for k, f in task.aggregation().items()}
    results = found["results"][name]
    better = found["higher_is_better"].get(name, {})
    figures = []
    for key, value in results.items():
        metric, _, filtered = key.partition(",")
        if not filtered or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        error = results.get(f"{metric}_stderr,{filtered}")
        kept = float(error) if isinstance(error, int | float) else None
        figures.append(Figure(metric, filtered, float(value), kept, rules.get(metric, ""), better.get(metric)))
    samples = tuple(_sample(one, task, rules) for one in found.get("samples", {}).get(name, ()))
    n = int(results.get("sample_len", 0))
    said = str(found["versions"].get(name, ""))
    return TaskOutcome(name, said, int(found["n-shot"].get(name) or 0), n, tuple(figures), samples)


def _sample(one: Mapping[str, Any], task: Any, rules: Mapping[str, str]) -> Sample:
    answers = [said[0] for said in one["resps"]]
    pairs = [said for said in answers if isinstance(said, tuple)]
    choices = len(pairs) if task.OUTPUT_TYPE == "multiple_choice" else None
    totals = tuple(float(total) for total, _ in pairs)
    target = one["target"]
    gold = [target] if isinstance(target, int) and not isinstance(target, bool) else target
    written = one["filtered_resps"][0] if one["filtered_resps"] else None
    items = {name: item for name in one["metrics"] if (item := _item(one[name], rules.get(name, ""))) is not None}
    return Sample(
        document=int(one["doc_id"]),
        sha256=fingerprint([one["doc_hash"], one["prompt_hash"]]),
        filter=str(one["filter"]),
        items=items,
        loglikelihoods=totals or tuple(float(said) for said in answers if isinstance(said, float)),
        greedy=tuple(bool(said) for _, said in pairs),
        chosen=int(np.argmax(totals)) if choices else None,
        gold=tuple(gold) if isinstance(gold, list) and all(isinstance(g, int) for g in gold) else (),
        written=written if isinstance(written, str) else None,
        options=choices,
    )


def _item(value: Any, rule: str) -> tuple[float, float] | None:
    """What a document adds to a metric, as value and weight; the harness has log-likelihoods where we have losses."""
    sign = 1.0 if rule == "mean" else -1.0
    if rule and isinstance(value, bool | int | float | np.generic):
        return sign * float(value), 1.0
    if rule and isinstance(value, tuple) and len(value) == 2:
        return sign * float(value[0]), float(value[1])
    return None
