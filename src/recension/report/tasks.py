"""What tasks say of a model: as a page, as JSON, and as lines for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recension.report.intervals import Mark, interval_plot
from recension.report.page import (
    closing,
    counted,
    masthead,
    number,
    opening,
    printable,
    table,
    worth_knowing,
)
from recension.report.plots import Labels

SHARES = ("acc", "acc_norm", "acc_bytes", "exact_match")
DRAWN = ("acc", "acc_norm", "exact_match")
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class TaskFigure:
    """One metric of a task. `low` and `high` bound 95 %; None where nothing is known of the error.

    `value` is None where it is beyond all numbers, as the perplexity of words is for a text without spaces.
    """

    metric: str
    filter: str
    value: float | None
    stderr: float | None
    n: int
    low: float | None
    high: float | None
    rule: str
    higher_is_better: bool | None

    @property
    def name(self) -> str:
        return f"{self.metric},{self.filter}" if self.filter not in ("", "none") else self.metric


@dataclass(frozen=True, slots=True)
class TaskResult:
    """A task with all its metrics. `about` says where it comes from and how it was asked."""

    name: str
    about: Mapping[str, Any]
    figures: tuple[TaskFigure, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """A metric of this model minus that of another one, on the same documents."""

    task: str
    metric: str
    filter: str
    value: float | None
    stderr: float | None
    n: int
    low: float | None
    high: float | None
    unmatched: int = 0

    @property
    def name(self) -> str:
        return f"{self.metric},{self.filter}" if self.filter not in ("", "none") else self.metric


@dataclass(frozen=True, slots=True)
class TasksReport:
    """What `evaluate tasks` found. `against` names the run that `differences` are to."""

    title: str
    run: str
    model: str
    spec: Mapping[str, Any]
    versions: Mapping[str, str]
    settings: Mapping[str, str]
    tasks: tuple[TaskResult, ...]
    against: str | None = None
    differences: tuple[Compared, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The stable shape of `report.json`: `tasks.NAME.METRIC.value`, `.stderr`, `.n`, `.low`, `.high`."""
        differences: dict[str, dict[str, Any]] = {}
        for one in self.differences:
            entry = {**_numbers(one), "unmatched": one.unmatched}
            differences.setdefault(one.task, {})[one.name] = entry
        return {
            "run": self.run,
            "recipe": "evaluate-tasks",
            "model": self.model,
            "spec": dict(self.spec),
            "versions": dict(self.versions),
            "settings": dict(self.settings),
            "tasks": {
                task.name: {f.name: {**_numbers(f), "higher_is_better": f.higher_is_better} for f in task.figures}
                for task in self.tasks
            },
            "about": {task.name: dict(task.about) for task in self.tasks},
            "against": None if self.against is None else {"run": self.against, "tasks": differences},
            "notes": list(self.notes),
        }


def _numbers(figure: TaskFigure | Compared) -> dict[str, Any]:
    return {name: getattr(figure, name) for name in ("value", "stderr", "n", "low", "high")}


def tasks_sentence(report: TasksReport) -> str:
    """The result in one breath."""
    tasks = [task for task in report.tasks if task.about.get("kind") != "group"]
    asked = sum(task.about.get("rows", 0) - task.about.get("dropped", 0) for task in tasks)
    lost = sum(task.about.get("dropped", 0) for task in tasks)
    parts = [f"{report.model} was asked {counted(asked, 'question')} of {counted(len(tasks), 'task')}."]
    guessed = [(task, best) for task in report.tasks if (best := _judged(task)) is not None]
    if guessed:
        above = [task for task, figure in guessed if figure.low is not None and figure.low > task.about["chance"]]
        parts.append(
            f"Of {counted(len(guessed), 'task')} with choices, {len(above)} {'is' if len(above) == 1 else 'are'} "
            "above chance with 95% confidence."
        )
    if report.against is not None:
        sure = [
            one for one in report.differences if one.low is not None and one.high is not None and one.low * one.high > 0
        ]
        parts.append(f"{len(sure)} of {number(len(report.differences))} metrics differ from {report.against}.")
    if lost:
        parts.append(f"{counted(lost, 'row was', 'rows were')} set aside, each with its reason.")
    return " ".join(parts)


def _judged(task: TaskResult) -> TaskFigure | None:
    if task.about.get("chance") is None:
        return None
    return next((figure for figure in task.figures if figure.metric == "acc"), None)


def value_text(value: float | None, metric: str, signed: bool = False) -> str:
    """Shares in percent, everything else with four digits that mean something."""
    if value is None:
        return "–" if signed else "∞"
    sign = "+" if signed and value > 0 else ""
    text = f"{100 * value:.1f}%" if metric in SHARES else f"{value:.4g}" if abs(value) < 1e6 else f"{value:.3e}"
    return sign + text.replace("-", MINUS)


def _spread(figure: TaskFigure | Compared) -> tuple[str, str]:
    """The standard error and the interval."""
    if figure.stderr is None:
        return "–", "–"
    error = f"± {value_text(figure.stderr, figure.metric)}"
    if figure.low is None or figure.high is None:
        return error, "–"
    signed = isinstance(figure, Compared)
    ends = (value_text(end, figure.metric, signed) for end in (figure.low, figure.high))
    return error, " to ".join(ends)


def _result_table(report: TasksReport) -> str:
    rows = []
    for task in report.tasks:
        for figure in task.figures:
            chance = task.about.get("chance") if figure.metric.startswith("acc") else None
            better = {True: "↑", False: "↓", None: ""}[figure.higher_is_better]
            rows.append(
                (
                    task.name,
                    f"{figure.name} {better}".rstrip(),
                    value_text(figure.value, figure.metric),
                    *_spread(figure),
                    "–" if chance is None else value_text(chance, "acc"),
                    number(figure.n),
                )
            )
    head = ("Task", "Metric", "Value", "Standard error", "95% interval", "Chance", "Documents")
    return table("Results", head, rows, texts=2)


def _difference_table(report: TasksReport) -> str:
    rows = [
        (one.task, one.name, value_text(one.value, one.metric, signed=True), *_spread(one), number(one.n))
        for one in report.differences
    ]
    head = ("Task", "Metric", "Difference", "Standard error", "95% interval", "Documents")
    return table(f"This model minus {report.against}", head, rows, texts=2)


def _plot(report: TasksReport) -> str:
    """Shares of right answers, each with its interval; the mark in a row is what guessing would give."""
    rows: dict[str, list[Mark]] = {}
    chance: dict[str, float] = {}
    for task in report.tasks:
        for figure in task.figures:
            if figure.metric not in DRAWN or figure.value is None:
                continue
            name = f"{task.name} {figure.name}"
            ends = [math.nan if end is None else 100 * end for end in (figure.low, figure.high)]
            rows[name] = [Mark(100 * figure.value, *ends)]
            if figure.metric.startswith("acc") and task.about.get("chance") is not None:
                chance[name] = 100 * task.about["chance"]
    if not rows:
        return ""
    labels = Labels("Share of right answers, with 95% intervals", "percent; dashed lines mark chance", "")
    return f'<section><div class="plots wide">{interval_plot(rows, labels, chance=chance)}</div></section>\n'


def tasks_page(report: TasksReport) -> str:
    """`report.html` of a run."""
    parts = [
        '<div class="wrap">',
        masthead(f"recension evaluate tasks · run {report.run}", report.title, tasks_sentence(report)),
        f"<main>\n<section>{_result_table(report)}{_TERMS}</section>\n",
        _plot(report),
    ]
    if report.differences:
        parts.append(f"<section>{_difference_table(report)}{_PAIRED}</section>\n")
    parts.append(worth_knowing(report.notes))
    parts.append(f"<section>{_about_table(report.tasks)}</section>\n")
    facts = [*report.settings.items(), *report.versions.items(), *_flat(report.spec)]
    parts.append(
        f'<section><div class="settings">{table("Settings", ("Name", "Value"), facts, texts=2)}</div></section>'
    )
    parts.append("</main>\n<footer>One file, no network: it can be kept and sent as it is.</footer>\n</div>\n")
    return opening(report.title, _STYLE) + "".join(parts) + closing()


def _about_table(tasks: Sequence[TaskResult]) -> str:
    rows = [
        (
            task.name,
            str(task.about.get("source", "")),
            str(task.about.get("kind") or f"version {task.about.get('version', '')}"),
            (task.about.get("sha256") or "–")[:12],
            str(task.about.get("fewshot", 0)),
            number(task.about.get("rows", 0)),
            number(task.about.get("dropped", 0)),
        )
        for task in tasks
    ]
    head = ("Task", "Source", "Kind", "sha256", "Examples", "Rows", "Set aside")
    return table("Where the questions come from", head, rows, texts=4)


def _flat(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The model's own facts, hashes of files shortened."""
    found = []
    for name, value in spec.items():
        if isinstance(value, Mapping):
            found += [(f"model {key}", str(inner)[:12]) for key, inner in value.items()]
        elif value is not None:
            found.append((f"model {name}", str(value)[:60]))
    return found


_STYLE = "\n.plots.wide{grid-template-columns:minmax(0,36rem)}\n"
_TERMS = """<p class="terms">↑ more is better, ↓ less is better. acc: the most probable choice is the right one (of cloze
tasks: every token of the continuation is the most probable one); acc_norm and acc_bytes: the same after division by the
characters or by the bytes of the choice. The standard error is that of drawing other documents of the same kind; it says
nothing of other prompts.</p>
"""
_PAIRED = """<p class="terms">Both models answered the same documents, so what makes a document hard for both cancels. An
interval that holds 0 shows no difference.</p>
"""


def tasks_lines(report: TasksReport) -> list[str]:
    """The result for a terminal: plain text, aligned, no colours."""
    rows = [
        (task.name, figure.name, value_text(figure.value, figure.metric), *_spread(figure), f"n {number(figure.n)}")
        for task in report.tasks
        for figure in task.figures
    ]
    lines = [tasks_sentence(report), *_aligned(rows)]
    if report.differences:
        lines.append(f"this model minus {report.against}:")
        changes = [
            (one.task, one.name, value_text(one.value, one.metric, signed=True), *_spread(one), f"n {number(one.n)}")
            for one in report.differences
        ]
        lines += _aligned(changes)
    lines += [f"  note: {note}" for note in report.notes]
    # Names come from files: nothing of them reaches a terminal as a command.
    return printable(lines)


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
