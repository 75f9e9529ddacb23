"""What an audit found: values, and the lines for a terminal and for a pull request."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from recension.report.page import (
    number,
    printable,
)

LEVELS = {
    "healthy": "Healthy: the candidate is no narrower than the reference, within the margin.",
    "inconclusive": "Inconclusive: the figures do not settle whether the candidate is narrower.",
    "at-risk": "At risk: the candidate is narrower than the reference, by more than the margin.",
    "collapsed": "Collapsed: the candidate is narrower than the reference by a whole generation of collapse or more.",
}
MUCH = 0.5  # generations that a text is wider by before that is said with the verdict
MINUS = "\N{MINUS SIGN}"


class CorpusFacts(NamedTuple):
    """One corpus as it was read. `sample` is in words; `sources` are the documents or groups that stand in it."""

    name: str
    role: str
    documents: int
    bytes: int
    words: int
    median: int
    sample: int
    sources: int


class FigureResult(NamedTuple):
    """One figure of both sides. The effect is in natural logarithms, above 0 where the candidate is narrower."""

    name: str
    family: str
    reference: float
    candidate: float
    effect: float
    low: float
    high: float
    p: float
    adjusted_p: float
    margin: float | None
    generations: tuple[float, float, float] | None


class FamilyResult(NamedTuple):
    name: str
    generations: float
    low: float
    high: float
    p: float
    margin: float
    state: str
    needed_words: int | None


class ShiftResult(NamedTuple):
    """A figure of difference; `human` is the same figure between parts of the reference. None where there is none."""

    name: str
    value: float | None
    human: float | None
    low: float | None
    high: float | None
    p: float | None
    adjusted_p: float | None


class IntegrityResult(NamedTuple):
    """So many of so many. `error` is half of the 95 % interval of the share, 0 where all of the corpus was looked at."""

    name: str
    found: int
    of: int
    error: float
    says: str


class ScorerResult(NamedTuple):
    """One scorer: median perplexity of both sides, and the histograms of log-perplexity and of token probabilities."""

    name: str
    reference: float
    candidate: float
    agrees: str
    edges: tuple[float, ...]
    reference_levels: tuple[int, ...]
    candidate_levels: tuple[int, ...]
    reference_p: tuple[int, ...]
    candidate_p: tuple[int, ...]


class Driver(NamedTuple):
    text: str
    reference: int
    candidate: int
    passages: int


class Shown(NamedTuple):
    """A passage to look at. Its text is data."""

    side: str
    text: str
    repeated: float


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The verdict with its reasons, and every figure behind it."""

    title: str
    run: str
    level: str
    reasons: tuple[str, ...]
    needed_words: int | None
    generations: tuple[float, float, float] | None
    words: int
    unit: int
    corpora: tuple[CorpusFacts, ...]
    families: tuple[FamilyResult, ...]
    figures: tuple[FigureResult, ...]
    shift: tuple[ShiftResult, ...]
    integrity: tuple[IntegrityResult, ...]
    scorers: tuple[ScorerResult, ...]
    curve: Mapping[str, tuple[float, ...]]
    drivers: tuple[Driver, ...]
    examples: tuple[Shown, ...]
    bigrams: tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float], ...]]
    buckets: tuple[tuple[float, ...], tuple[float, ...]]
    coverage: Mapping[str, Mapping[str, float]]
    points: tuple[tuple[int, ...], tuple[tuple[float, float], ...]]
    settings: Mapping[str, str]
    dropped: Mapping[str, int]
    notes: tuple[str, ...] = field(default=())

    @property
    def sentence(self) -> str:
        said = LEVELS[self.level]
        if self.level != "healthy":
            return said
        left = [family.name for family in self.families if family.state == "open"]
        wide = [f.name for f in self.families if f.state == "wider" and f.generations < -MUCH]
        if left:
            said = f"{said[:-1]}, {left[0]} aside, which is left open."
        if wide:
            said = f"{said[:-1]}; in {' and '.join(wide)} it is much wider, as another subject is, and as noise is."
        return said

    def to_json(self) -> dict[str, Any]:
        """The schema is described in docs/audit.md."""
        found = clean(asdict(self))
        for name in ("families", "figures", "shift", "integrity", "scorers", "corpora", "drivers", "examples"):
            found[name] = [clean(item._asdict()) for item in getattr(self, name)]
        for name in ("level", "reasons", "needed_words", "generations"):
            found.pop(name)
        median = self.generations
        verdict = {
            "level": self.level,
            "sentence": self.sentence,
            "reasons": list(self.reasons),
            "needed_words": self.needed_words,
            "generations": None if median is None else dict(zip(("median", "low", "high"), clean(median), strict=True)),
        }
        return {"title": found.pop("title"), "run": found.pop("run"), "verdict": verdict, **found}


def clean(value: Any) -> Any:
    """As JSON has it: no tuple, and null for what is no number."""
    if isinstance(value, Mapping):
        return {str(name): clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def signed(value: float | None, places: int = 2) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{round(value, places) + 0.0:+.{places}f}".replace("-", MINUS)  # no minus zero


def plain(value: float | None, digits: int = 4) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return number(value) if abs(value) >= 1000 else f"{value:.{digits}g}".replace("-", MINUS)


def name_of(figure: str) -> str:
    """effective_words -> effective words"""
    return figure.replace("_", " ")


def lead(report: AuditReport) -> str:
    """The verdict and, where there is one, the place on the curve, in one sentence or two."""
    if report.generations is None:
        return report.sentence
    median, low, high = report.generations
    return (
        f"{report.sentence} Figure by figure it stands {_generations(median)} down the collapse curve of the reference "
        f"in the median, from {signed(low)} to {signed(high)}."
    )


def _generations(value: float) -> str:
    return f"{signed(value).removeprefix('+')} generations"


def needed(report: AuditReport) -> str:
    wanted, compared = number(report.needed_words or 0), number(report.words)
    return (
        f"About {wanted} words of each side would be needed, and sources in proportion; {compared} words were compared."
    )


def audit_summary_lines(report: AuditReport) -> list[str]:
    """The result for a terminal."""
    lines = [lead(report), *(f"  {reason}" for reason in report.reasons)]
    if report.needed_words:
        lines.append(f"  {needed(report)}")
    auc = next((item for item in report.shift if item.name == "auc"), None)
    if auc is not None:
        known = f"a classifier tells the sides apart with AUC {plain(auc.value, 3)} (chance is 0.5; no verdict)"
        lines.append(f"  shift: {'no AUC, since a side has one source' if auc.value is None else known}")
    lines += [f"  {item.name}: {item.says}" for item in report.integrity]
    lines += [f"  note: {note}" for note in report.notes]
    return printable(lines)


def audit_markdown(report: AuditReport) -> str:
    """A summary for a paper or a pull request."""
    names = [corpus.name for corpus in report.corpora]
    parts = [
        f"## {_cell(report.sentence)}\n",
        f"`{_cell(names[1])}` against `{_cell(names[0])}`, {number(report.words)} words of each.\n",
    ]
    reasons = [*report.reasons, *([needed(report)] if report.needed_words else [])]
    parts.append("".join(f"- {_cell(reason)}\n" for reason in reasons))
    rows = [
        (
            name_of(f.name), plain(f.reference), plain(f.candidate),
            f"{signed(f.effect, 3)} ({signed(f.low, 3)} to {signed(f.high, 3)})", f"{f.adjusted_p:.3g}",
            "–" if f.generations is None else signed(f.generations[0]),
        )
        for f in report.figures
    ]  # fmt: skip
    parts.append(_table(("Figure", "Reference", "Candidate", "Effect (ln, 95%)", "Adjusted p", "Generations"), rows))
    rows2 = [
        (
            SHIFT_NAMES.get(s.name, s.name), plain(s.value), plain(s.human), f"{plain(s.low)} to {plain(s.high)}",
            plain(s.adjusted_p, 3),
        )
        for s in report.shift
    ]  # fmt: skip
    head = ("Shift (no part of the verdict)", "Candidate", "Within the reference", "95%", "Adjusted p")
    parts.append(_table(head, rows2))
    parts.append(_table(("Integrity", "Finding"), [(item.name, item.says) for item in report.integrity]))
    if report.notes:
        parts.append("".join(f"- {_cell(note)}\n" for note in report.notes))
    return "\n".join(parts)


SHIFT_NAMES = {
    "auc": "classifier AUC",
    "js_words": "Jensen-Shannon, words (bits)",
    "js_bigrams": "Jensen-Shannon, bigrams (bits)",
    "kl_eq9": "KL over hash buckets, Eq. 9 (nats)",
    "coverage": "embedding coverage",
    "density": "embedding density",
}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(_cell(cell) for cell in row) + " |\n" for row in lines)


def _cell(text: str) -> str:
    """Text that cannot end a cell or begin markup."""
    flat = " ".join(" ".join(printable([text])).split())
    return "".join("\\" + letter if letter in "|`<>[]*_\\" else letter for letter in flat) if flat != "---" else flat
