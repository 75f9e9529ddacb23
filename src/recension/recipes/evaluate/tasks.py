"""`evaluate tasks`: questions to a model, of lm-evaluation-harness and of files of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from recension import __version__
from recension.document import JSON
from recension.errors import UsageError
from recension.identity import fingerprint, sha256
from recension.models.harness import check_names, harness_version, run_named, task_index
from recension.models.harness_model import HarnessModel, HarnessOptions, harness_model
from recension.recipes.evaluate.task_files import TaskFile, named_files, read_task
from recension.recipes.evaluate.task_results import (
    RECIPE,
    SCORES,
    check_finished,
    compared,
    results_of,
    write_file_task,
    write_named_task,
)
from recension.recipes.pages import encodable, yaml_config
from recension.recipes.priors import options_of
from recension.recipes.settings import UNSCORED, PriorSettings, check_types, flat, setting, settings
from recension.report.tasks import TaskResult, TasksReport, tasks_page
from recension.run.execute import seal
from recension.run.folder import output_path
from recension.run.manifest import Manifest, Run, open_run, read_manifest
from recension.run.progress import Observer, Progress, Silent
from recension.run.receipts import break_seal, read_seal
from recension.run.shards import ShardPlan, ShardWriter
from recension.run.verify import file_sha256

RECIPE_VERSION = 1
_CHECKPOINTS = (
    "batch_size",
    "bos",
    "device",
    "dtype",
    "threads",
    "batch_tokens",
    "context",
    "runtime",
)  # mean nothing elsewhere


@dataclass(frozen=True, slots=True)
class TasksSpec:
    """Everything that can change a result."""

    tasks: tuple[str, ...] = setting(
        (), "Tasks and groups of lm-evaluation-harness, with commas between or repeated.", metavar="NAME,...",
        group="Tasks",
    )  # fmt: skip
    file: tuple[str, ...] = setting(
        (), "A task from a file of JSON lines; may be repeated.", metavar="FILE", group="Tasks"
    )
    task_config: str | None = setting(
        None, "Tasks from files whose columns a YAML file names.", metavar="FILE", group="Tasks"
    )
    kind: Literal["choices", "contexts", "cloze", "text", "answer"] | None = setting(
        None, "What the rows of every --file are [default: as the columns say].",
        ("choices", "contexts", "cloze", "text", "answer"), group="Tasks",
    )  # fmt: skip
    include: str | None = setting(
        None, "A folder with further tasks in the harness's YAML, which may run code of that folder.", metavar="DIR",
        group="Tasks",
    )  # fmt: skip
    limit: int | None = setting(None, "Ask the first N documents of each task only.", metavar="N", group="Tasks")
    fewshot: int | None = setting(
        None, "Solved examples before each question [default: none for files, the task's own number for --tasks].",
        metavar="N", group="Tasks",
    )  # fmt: skip
    seed: int = setting(0, "Which examples are drawn.", metavar="N", group="Tasks")
    batch_size: int = setting(8, "Sequences an hf: model takes at once.", metavar="N", group="Model")
    bos: Literal["always", "tokenizer", "never"] = setting(
        "always", "The beginning-of-text token before every text of an hf: model; tokenizer: as its tokenizer does.",
        ("always", "tokenizer", "never"), group="Model",
    )  # fmt: skip
    prior: PriorSettings = settings(PriorSettings)

    def __post_init__(self) -> None:
        check_types(self)
        names = tuple(name.strip() for given in self.tasks for name in given.split(",") if name.strip())
        object.__setattr__(self, "tasks", tuple(dict.fromkeys(names)))
        if not (self.tasks or self.file or self.task_config):
            raise UsageError("name something to ask: --tasks NAME,..., --file FILE or --task-config FILE")
        if self.limit is not None and self.limit < 1:
            raise UsageError("--limit is 1 or more")
        if self.fewshot is not None and self.fewshot < 0:
            raise UsageError("--fewshot is 0 or more")
        if self.batch_size < 1:
            raise UsageError("--batch-size is 1 or more")
        if not 0 <= self.seed < 1 << 32:
            raise UsageError("--seed lies between 0 and 4294967295")


def evaluate_tasks(
    model: str,
    out: str | Path,
    spec: TasksSpec,
    against: str | Path | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> TasksReport:
    """Ask a model and write `out/report.json`. Tasks that are finished are read back; `against` is another such run.

    What is compared is not in the key: a finished run can be compared with any other one, later.
    """
    observer, out = observer or Silent(), output_path(out)
    if against is not None:
        check_finished(Path(against))
    if model.startswith("hf:") and spec.prior.batch_tokens is not None:
        raise UsageError("--batch-tokens has no say for an hf: model in evaluate tasks: use --batch-size")
    files = [read_task(name, one, spec.limit) for name, one in _files_of(spec).items()]
    if twice := {task.name for task in files} & set(spec.tasks):
        raise UsageError(f"'{min(twice)}' is a task of --tasks and of a file: give the file another name")
    asked = harness_model(model, HarnessOptions(options_of(spec.prior), spec.batch_size, spec.bos))
    with open_run(out, _manifest(model, spec, files, asked), fresh, _needed(spec, files, against)) as run:
        _ask_missing(run, spec, files, asked, observer)
        return _finish(run, model, files, asked, None if against is None else Path(against))


def _files_of(spec: TasksSpec) -> Mapping[str, Any]:
    return named_files(spec.file, spec.task_config, spec.kind)


def _needed(spec: TasksSpec, files: Sequence[TaskFile], against: str | Path | None) -> list[Path]:
    paths = [one.settings.file for one in files] + [one.settings.train for one in files if one.settings.train]
    return [Path(path) for path in (*paths, spec.task_config, against) if path is not None]


def _manifest(model: str, spec: TasksSpec, files: Sequence[TaskFile], asked: HarnessModel) -> Manifest:
    said = flat(spec)
    for name in ("file", "task_config", "include"):
        del said[name]  # what is in the files counts, and not where they are
    said = {name: value for name, value in said.items() if name not in UNSCORED}
    if not model.startswith("hf:"):
        said = {name: value for name, value in said.items() if name not in _CHECKPOINTS}
    identity: dict[str, JSON] = {
        "spec": said,
        "files": [task.identity for task in files],
        "include": _folder_print(spec.include) if spec.include else None,
        "harness": harness_version(),
        "model": asked.spec,
    }
    facts: dict[str, JSON] = {"recension": __version__, "given": encodable([model]), "config": flat(spec)}
    return Manifest(RECIPE, RECIPE_VERSION, identity, facts)


def _folder_print(folder: str) -> str:
    if not Path(folder).is_dir():
        raise UsageError(f"--include {folder}: no such folder")
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix in (".yaml", ".py") and path.is_file())
    return fingerprint([[str(path.relative_to(folder)), file_sha256(path)] for path in paths])


def _ask_missing(run: Run, spec: TasksSpec, files: Sequence[TaskFile], asked: HarnessModel, observer: Observer) -> None:
    """One shard for each task, so that a stopped run goes on with the next one; the model is loaded when it is needed."""
    missing = [index for index in range(len(files) + len(spec.tasks)) if not run.is_done(index)]
    if not missing:
        return
    index = None
    if named := [number for number in missing if number >= len(files)]:
        names = [spec.tasks[number - len(files)] for number in named]
        index = task_index(names, spec.include)
        check_names(index, names)
    break_seal(run.out)
    lm = asked.load()
    total = len(files) + len(spec.tasks)
    rows = 0
    for number in missing:
        observer.update(Progress("evaluate tasks", rows, fraction=number / total, shards=number))
        with ShardWriter(ShardPlan.of(run, "parquet", {"scores": SCORES}), number) as shard:
            if number < len(files):
                stats = write_file_task(shard, files[number], lm, spec.fewshot or 0, spec.seed)
            else:
                name = spec.tasks[number - len(files)]
                before = lm.truncated
                outcomes = run_named(lm, index, name, spec.limit, spec.fewshot, spec.seed)
                stats = write_named_task(shard, outcomes, lm.truncated - before)
            rows += shard.used
            shard.commit(stats)
    observer.update(Progress("evaluate tasks", rows, fraction=1.0, shards=total))


def _finish(run: Run, model: str, files: Sequence[TaskFile], asked: HarnessModel, against: Path | None) -> TasksReport:
    """Pages and seal, written anew only where they say something else."""
    results = tuple(results_of(run.out))
    config: Any = run.manifest.facts["config"]
    report = TasksReport(
        title=f"Tasks · {model}",
        run=run.name,
        model=model,
        spec=asked.spec,
        versions={"recension": __version__, "lm_eval": harness_version()},
        settings=_said(config, model),
        tasks=results,
        against=None if against is None else _name_of(against),
        differences=() if against is None else tuple(compared(run.out, against)),
        notes=tuple(_notes(results, asked.spec, against)),
    )
    pages = {
        "report.json": msgspec.json.format(msgspec.json.encode(report.to_json()), indent=1),
        "report.html": tasks_page(report).encode(),
        "config.yaml": yaml_config(run.manifest),
    }
    sealed = read_seal(run.out)
    if sealed is None or sealed.key != run.key or sealed.files != {k: sha256(v) for k, v in pages.items()}:
        break_seal(run.out)  # killed between the pages and the seal, the run is unfinished and not damaged
        inputs = {task.source.file.label: task.source.sha256 for task in files}
        inputs |= {f"train:{task.train.file.label}": task.train.sha256 for task in files if task.train}
        seal(run, inputs, pages)
    return report


def _said(config: Mapping[str, Any], model: str) -> dict[str, str]:
    """The settings that have a say, as words."""
    unsaid = UNSCORED if model.startswith("hf:") else (*UNSCORED, *_CHECKPOINTS)
    kept = {k: v for k, v in config.items() if k not in unsaid}
    words = {k: ", ".join(map(str, v)) if isinstance(v, list) else str(v) for k, v in kept.items() if v is not None}
    return {name: value for name, value in words.items() if value}


def _name_of(other: Path) -> str:
    """Which model, and which run of it."""
    manifest = read_manifest(other)
    given: Any = manifest.facts.get("given", [""])
    return f"{given[0]} (run {manifest.name})"


def _notes(results: Sequence[TaskResult], spec: Mapping[str, JSON], against: Path | None) -> list[str]:
    notes = []
    for task in results:
        if cut := task.about.get("truncated"):
            notes.append(f"{task.name}: {cut:,} prompts were longer than the model reads and lost their beginnings")
    if spec.get("kind") == "hf" and spec.get("bos") != "always":
        notes.append("the beginning-of-text token did not stand before every text (--bos)")
    if against is not None and read_manifest(against).identity.get("harness") != harness_version():
        notes.append(
            f"the run compared with was made by lm-evaluation-harness {read_manifest(against).identity['harness']}"
        )
    return notes
