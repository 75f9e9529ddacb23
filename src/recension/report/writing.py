"""What a model wrote: values, page, and lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from recension.report.edit import settings_table
from recension.report.page import (
    asset,
    closing,
    counted,
    escape,
    figures,
    masthead,
    number,
    opening,
    percent,
    printable,
    set_aside,
    set_aside_line,
    table,
    worth_knowing,
)

GENRES, AUDIENCES = 20, 10  # names that tables show before the rest is one
PAPER_SCORES = {
    # MAGA, arXiv 2502.04235: its quality table, of 15,355 answers each; what is missing there could not be read.
    "base": (3788, 7124, 3224, 736, 285),
    "strict": (6814, 5220, 2384, 520, 227),
    "relaxed": (408, 1685, 3889, 4156, 5086),
}
PAPER_ANSWERS = 15_355


@dataclass(frozen=True, slots=True)
class Example:
    """A source and what was made of it; `kind` is `kept` or the reason why it was set aside."""

    kind: str
    id: str
    source: str
    text: str
    genre: str
    audience: str
    detail: str


@dataclass(frozen=True, slots=True)
class CallFigures:
    """What asking came to, over all calls of the run."""

    answers: int
    read_tokens: int
    written_tokens: int
    cost: float
    retried: int
    lost: int


@dataclass(frozen=True, slots=True)
class WritingReport:
    """What a writing verb did. `acceptance` counts texts that reached and passed each stage, `stages` what came of requests,
    `genres` pairs asked and kept by name.
    """

    title: str
    verb: str
    run: str
    writer: str
    judge: str
    variant: str
    settings: Mapping[str, str]
    sources: int
    parts: int
    source_tokens: int
    written: int
    tokens: int
    dropped: Mapping[str, int]
    acceptance: Mapping[str, Mapping[str, int]]
    stages: Mapping[str, Mapping[str, int]]
    scores: Mapping[str, int]
    genres: Mapping[str, Mapping[str, int]]
    matrix: Mapping[str, Mapping[str, int]]
    examples: tuple[Example, ...]
    calls: CallFigures
    notes: tuple[str, ...]

    @property
    def expansion(self) -> float | None:
        """Tokens that were written and kept for each token of a source."""
        return self.tokens / self.source_tokens if self.source_tokens else None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "expansion": self.expansion}


def sentence(report: WritingReport) -> str:
    """The result in one breath."""
    lost = sum(report.dropped.values())
    asked = report.written + lost
    if not report.written:
        return f"Nothing was kept of {counted(asked, 'text')} that {'was' if asked == 1 else 'were'} asked for."
    ratio = f", {report.expansion:.2f} tokens for each token of a source" if report.expansion is not None else ""
    aside = f" {counted(lost, 'was', 'were')} set aside, each with its reason." if lost else " None was set aside."
    return (
        f"{counted(report.written, 'text')} from {counted(report.sources, 'source')}{ratio}: "
        f"{percent(report.written, asked)} of what was asked for.{aside}"
    )


def score_table(report: WritingReport) -> str:
    """The judge's scores as the paper gives them, with its own row beside."""
    counts = [report.scores.get(str(score), 0) for score in range(5, 0, -1)]
    rated = sum(counts)
    if not rated and not report.scores.get("unparsable"):
        return ""
    rows = [_score_row("this run", counts, report.scores.get("unparsable", 0))]
    if report.variant in PAPER_SCORES:
        counts = list(PAPER_SCORES[report.variant])
        rows.append(_score_row(f"MAGA's small model, {report.variant}", counts, PAPER_ANSWERS - sum(counts)))
    head = ("", "5", "4", "3", "2", "1", "at least 3", "unparsable")
    return table("The judge's scores (limited consistency)", head, rows)


def _score_row(name: str, counts: Sequence[int], unparsable: int) -> tuple[str, ...]:
    share = percent(sum(counts[:3]), sum(counts) + unparsable)
    return (name, *(number(count) for count in counts), share, number(unparsable))


def acceptance_table(report: WritingReport) -> str:
    """How many of the texts that were asked for passed each stage on the way to being kept."""
    if not report.acceptance:
        return ""
    asked = max(found.get("reached", 0) for found in report.acceptance.values())
    rows = [
        (stage, number(reached), number(passed), percent(passed, reached), percent(passed, asked))
        for stage, found in report.acceptance.items()
        for reached, passed in ((found.get("reached", 0), found.get("passed", 0)),)
    ]
    return table("Acceptance, by stage", ("Stage", "Reached it", "Passed", "Share", "Of all asked for"), rows)


def stage_table(report: WritingReport) -> str:
    """What came of the requests of each stage."""
    kinds = sorted({kind for stage in report.stages.values() for kind in stage}, key=lambda k: (k != "answered", k))
    if not kinds:
        return ""
    rows = [(stage, *(number(found.get(kind, 0)) for kind in kinds)) for stage, found in report.stages.items()]
    return table("What came of the requests, by stage", ("Stage", *kinds), rows)


def genre_table(report: WritingReport) -> str:
    """How many of what was asked for was kept, by genre or style."""
    rows = []
    for name, found in _largest(report.genres, GENRES, lambda found: found.get("asked", 0)):
        asked, kept = found.get("asked", 0), found.get("kept", 0)
        rows.append((name, number(asked), number(kept), percent(kept, asked)))
    if not rows:
        return ""
    what = "Genre" if report.verb == "reformulate" else "Style"
    caption = f"{what}s, the {len(rows)} most asked for of {len(report.genres):,}"
    return table(caption, (what, "Asked", "Kept", "Share"), rows)


def matrix_table(report: WritingReport) -> str:
    """Coverage: how many texts were kept for each genre and audience; the darker, the more."""
    if not report.matrix:
        return ""
    audiences: dict[str, int] = {}
    for row in report.matrix.values():
        for name, count in row.items():
            audiences[name] = audiences.get(name, 0) + count
    shown = sorted(audiences, key=lambda name: (-audiences[name], name))[:AUDIENCES]
    rows = _largest(report.matrix, GENRES, lambda row: sum(row.values()))
    most = max((row.get(name, 0) for _, row in rows for name in shown), default=0) or 1
    head = "".join(f'<th scope="col" class="turned"><span>{escape(name)}</span></th>' for name in shown)
    body = []
    for name, row in rows:
        others = sum(row.values()) - sum(row.get(a, 0) for a in shown)
        cells = "".join(_cell(row.get(audience, 0), most) for audience in shown)
        rest = number(others) if others else ""
        body.append(f'<tr><th scope="row">{escape(name)}</th>{cells}<td class="num">{rest}</td></tr>\n')
    caption = f"Genres by audiences, {len(rows)} of {len(report.matrix):,} by {len(shown)} of {len(audiences):,}"
    return (
        '<div class="scroll matrix" tabindex="0" role="group" aria-label="Genres by audiences"><table>'
        f'<caption>{caption}</caption><thead><tr><th scope="col"></th>{head}<th scope="col" class="num">others</th></tr>'
        f"</thead>\n<tbody>{''.join(body)}</tbody></table></div>\n"
    )


def _cell(count: int, most: int) -> str:
    shade = 0 if not count else 1 + min(4, 5 * count // (most + 1))
    return f'<td class="num shade{shade}">{number(count) if count else ""}</td>'


def _largest(items: Mapping[str, Any], most: int, size: Any) -> list[tuple[str, Any]]:
    return sorted(items.items(), key=lambda item: (-size(item[1]), item[0]))[:most]


def examples_of(report: WritingReport) -> str:
    """Sources beside what was made of them."""
    parts = []
    for one in report.examples:
        for_whom = "".join(
            f"<dt>{name}</dt><dd>{escape(value)}</dd>"
            for name, value in (("Genre", one.genre), ("Audience", one.audience), ("Note", one.detail))
            if value
        )
        mark = "kept" if one.kind == "kept" else f"set aside: {one.kind}"
        parts.append(
            f'<article class="pair"><h3>{escape(one.id)} <span class="mark {"yes" if one.kind == "kept" else "no"}">'
            f'{escape(mark)}</span></h3><dl class="whom">{for_whom}</dl>'
            f'<div class="sides"><div><h4>Source</h4><p class="said">{escape(one.source)}</p></div>'
            f'<div><h4>Written</h4><p class="said">{escape(one.text)}</p></div></div></article>\n'
        )
    return "".join(parts)


def headline(report: WritingReport) -> str:
    lost = sum(report.dropped.values())
    calls = report.calls
    items = [
        ("Texts kept", number(report.written), f"{number(lost)} set aside"),
        ("Sources", number(report.sources), f"{number(report.parts)} parts" if report.parts > report.sources else ""),
        ("Tokens kept", number(report.tokens), f"of {number(report.source_tokens)} in the sources"),
        (
            "Expansion",
            "–" if report.expansion is None else f"{report.expansion:.2f}",
            "tokens kept for each of a source",
        ),
        ("Answers", number(calls.answers), f"{number(calls.retried)} requests failed and went again"),
        (
            "Tokens paid for",
            number(calls.read_tokens + calls.written_tokens),
            f"{number(calls.written_tokens)} of them written",
        ),
    ]
    if calls.cost:
        items.append(("Cost", f"{calls.cost:,.2f}", "by the prices given"))
    if calls.lost:
        items.append(("Perhaps paid twice", number(calls.lost), "requests under way when a call was cut off"))
    return figures(items)


def writing_page(report: WritingReport) -> str:
    """`report.html` of a writing verb."""
    parts = [
        '<div class="wrap">',
        masthead(f"recension {report.verb} · run {report.run}", report.title, sentence(report)),
        f'<main>\n<section aria-label="In numbers">{headline(report)}</section>\n',
    ]
    for title, body in (
        ("Quality", score_table(report)),
        ("Stages", acceptance_table(report) + stage_table(report)),
        ("Coverage", genre_table(report) + matrix_table(report)),
        ("Examples", examples_of(report)),
    ):
        if body:
            parts.append(f"<section><h2>{title}</h2>{body}</section>\n")
    parts.append(set_aside(report.dropped, "Texts"))
    parts.append(worth_knowing(report.notes))
    parts.append(f"<section>{settings_table(report.settings)}</section>\n")
    parts.append("</main>\n<footer>One file, no network: it can be kept and sent as it is.</footer>\n</div>\n")
    return opening(report.title, asset("writing.css")) + "".join(parts) + closing()


def writing_summary_lines(report: WritingReport) -> list[str]:
    """The result for a terminal."""
    calls = report.calls
    lines = [sentence(report)]
    lines.append(
        f"  {counted(calls.answers, 'answer')}, {number(calls.read_tokens)} tokens read and "
        f"{number(calls.written_tokens)} written"
        + (f", cost {calls.cost:,.2f}" if calls.cost else "")
        + (f"; {number(calls.retried)} requests failed and went again" if calls.retried else "")
    )
    if calls.lost:
        lines.append(
            f"  {number(calls.lost)} requests were under way when a call was cut off: they may be paid for twice"
        )
    rated = sum(report.scores.values())  # what could not be read among them, as in the table
    if rated:
        good = sum(report.scores.get(str(score), 0) for score in (3, 4, 5))
        lines.append(f"  judged by {report.judge}: {percent(good, rated)} of {number(rated)} scored 3 or more")
    lines += set_aside_line(report.dropped)
    lines += [f"  note: {note}" for note in report.notes]
    # Names and reasons may come from data: nothing of them reaches a terminal as a command.
    return printable(lines)
