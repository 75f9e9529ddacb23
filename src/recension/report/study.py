"""What a study found: values, the page, and the lines for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from recension.report.intervals import Mark, interval_plot
from recension.report.overlay import map_style
from recension.report.page import (
    asset,
    closing,
    escape,
    figures,
    masthead,
    number,
    opening,
    printable,
    table,
)
from recension.report.plots import Labels
from recension.report.values import Measured

MINUS = "\N{MINUS SIGN}"
SEEN = {
    "agrees": "as in the paper",
    "contradicts": "against the paper",
    "not resolvable": "not resolvable at this scale",
}
OURS = {"agrees": "it does", "contradicts": "the opposite"}  # of a claim that no paper makes


@dataclass(frozen=True, slots=True)
class Claim:
    """Something the paper says, as a difference that is above or below zero.

    `found` is that difference here, `smallest` the least that could have been seen, stated before it was measured.
    """

    says: str
    unit: str
    found: Measured
    smallest: float
    judgement: str
    paper: str = ""

    @property
    def verdict(self) -> str:
        return SEEN[self.judgement] if self.paper else OURS.get(self.judgement, SEEN[self.judgement])


@dataclass(frozen=True, slots=True)
class Row:
    """One setting: what was found, and what the paper has in the same place."""

    name: str
    found: Mapping[str, Measured]
    paper: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StudyTable:
    """Rows under one heading; `drawn` names the column that is also drawn."""

    title: str
    rows: tuple[Row, ...]
    note: str = ""
    drawn: str = ""


@dataclass(frozen=True, slots=True)
class StudyReport:
    """A study at one scale. `settings` is the set-up, `notes` what has to be known before anything is believed."""

    study: str
    title: str
    question: str
    source: str
    scale: str
    seeds: int
    run: str
    verdict: str
    sentence: str
    claims: tuple[Claim, ...]
    tables: tuple[StudyTable, ...]
    settings: Mapping[str, str]
    notes: tuple[str, ...]
    steps: Mapping[str, int]
    pictures: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Without the pictures: they stand on the page."""
        raw = asdict(self)
        del raw["pictures"]
        for claim, told in zip(self.claims, raw["claims"], strict=True):
            told["found"], told["smallest"] = claim.found.to_json(), _finite(claim.smallest)
        for part, told in zip(self.tables, raw["tables"], strict=True):
            for row, said in zip(part.rows, told["rows"], strict=True):
                said["found"] = {name: value.to_json() for name, value in row.found.items()}
        return raw


TO = "\u00a0to\u00a0"  # a wide table breaks its cells before an interval, and never in it


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def verdict_of(claims: Sequence[Claim]) -> tuple[str, str]:
    """The judgement of a study, which is that of its first claim, and one sentence that says it."""
    first = claims[0]
    found = f"{signed(first.found.value)} {first.unit}{between(first.found)}"
    if first.judgement == "agrees":
        sentence = f"As in the paper, {first.says}: {found}."
    elif first.judgement == "contradicts":
        sentence = f"Against the paper, it does not hold that {first.says}: {found}."
    elif math.isfinite(first.smallest):
        sentence = (
            f"Whether {first.says} is not resolvable at this scale: found is {found}, and less than "
            f"{plain(first.smallest)} cannot be told from chance."
        )
    else:
        sentence = f"Whether {first.says} is not resolvable at this scale: there are fewer than three seeds."
    return first.judgement, sentence


def plain(value: float) -> str:
    """Three digits that mean something."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    places = 0 if size >= 1000 or value == 0 else max(0, 2 - math.floor(math.log10(size)))
    return f"{value:,.{min(places, 6)}f}".replace("-", MINUS)


def signed(value: float) -> str:
    return plain(value) if value < 0 or not math.isfinite(value) else f"+{plain(value)}"


def between(value: Measured, sign: bool = True) -> str:
    if not (math.isfinite(value.low) and math.isfinite(value.high)):
        return ""
    said = signed if sign else plain
    return f" ({said(value.low)} to {said(value.high)})"


# --- the page -----------------------------------------------------------------------------------------------------------


def study_page(report: StudyReport) -> str:
    """`report.html` of a study."""
    items = [
        ("Verdict", SEEN[report.verdict], ""),
        ("Scale", report.scale, ""),
        ("Seeds", number(report.seeds), "of every setting"),
        ("Steps", number(sum(report.steps.values())), ", ".join(f"{n} {verb}" for verb, n in report.steps.items())),
    ]
    parts = [
        '<div class="wrap">',
        masthead(f"recension study {report.study} · run {report.run}", report.title, report.question),
        f'<main>\n<section aria-label="In numbers">{_verdict(report)}{figures(items)}</section>\n',
        f'<section class="claims">{_claims(report)}</section>\n',
        *(f"<section>{_table(part)}</section>\n" for part in report.tables),
        *(f"<section><h2>{escape(name)}</h2>{drawn}</section>\n" for name, drawn in report.pictures.items()),
        _notes(report.notes),
        '<section><div class="settings">',
        table("Set-up", ("Name", "Value"), list(report.settings.items()), texts=2),
        f"</div>{_TERMS}</section>\n",
        "</main>\n<footer>One file, no network: it can be kept and sent as it is.</footer>\n</div>\n",
    ]
    return opening(f"{report.title} · {report.scale}", asset("study.css") + map_style()) + "".join(parts) + closing()


_TERMS = """<p class="terms">Every figure is the mean over the seeds; in brackets Student's interval of 95 %. A seed draws the
documents, the edits, the first weights and the order of the data. The smallest effect was stated before any setting but the
control was run: runs between which nothing is to be found were compared, seed by seed, and it is what as many seeds would
find with a power of 80 % at a level of 5 %. What is smaller, or has zero in its interval, reads not
resolvable at this scale.</p>
"""


def _verdict(report: StudyReport) -> str:
    return f'<p class="verdict {report.verdict.replace(" ", "-")}">{escape(report.sentence)}</p>'


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<section><h2>What has to be known</h2><ul class="known">{items}</ul></section>\n'


def _claims(report: StudyReport) -> str:
    head = ("Claim", "In", "Found", "Smallest to be seen", "Verdict", "In the paper")
    rows = [
        (
            claim.says,
            claim.unit,
            signed(claim.found.value) + between(claim.found),
            plain(claim.smallest),
            claim.verdict,
            claim.paper or "not in the paper",
        )
        for claim in report.claims
    ]
    return table(f"Claims · {report.source}", head, rows, texts=6)


def _table(part: StudyTable) -> str:
    columns = list(dict.fromkeys(name for row in part.rows for name in row.found))
    papers = list(dict.fromkeys(name for row in part.rows for name in row.paper))
    head = ("", *columns, *(f"paper: {name}" for name in papers))
    rows = [
        (
            row.name,
            *(
                plain(row.found[c].value) + between(row.found[c], sign=False).replace(" to ", TO)
                if c in row.found
                else "–"
                for c in columns
            ),
            *(plain(row.paper[c]) if c in row.paper else "–" for c in papers),
        )
        for row in part.rows
    ]
    drawn = ""
    if part.drawn:
        marks = {row.name: [Mark(*row.found[part.drawn])] for row in part.rows if part.drawn in row.found}
        drawn = f'<div class="plots">{interval_plot(marks, Labels(part.title, part.drawn, ""))}</div>'
    note = f'<p class="terms">{escape(part.note)}</p>\n' if part.note else ""
    return drawn + table(part.title, head, rows) + note


def study_lines(report: StudyReport) -> list[str]:
    """The result for a terminal."""
    lines = [report.sentence]
    lines += [
        f"  {claim.verdict}: {claim.says}: {signed(claim.found.value)} {claim.unit}{between(claim.found)}"
        for claim in report.claims[1:]
    ]
    return printable(lines)
