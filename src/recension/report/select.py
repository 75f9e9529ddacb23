"""What a selection chose and what it left behind: values, page, and the lines for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from recension.report.audit import name_of, plain, signed
from recension.report.bars import paired_bars
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
    table,
)
from recension.report.plots import Labels, curve_chart

MUCH_UNCOVERED = 0.1


class ScoreShape(msgspec.Struct, frozen=True):
    """The distribution of the scores over equal bins (`middles`), and the lowest and highest that were kept."""

    name: str
    middles: tuple[float, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    ends: tuple[float, float] | None


class DomainShare(msgspec.Struct, frozen=True):
    name: str
    documents: int
    kept: int
    words: int
    kept_words: int


class RareLoss(msgspec.Struct, frozen=True):
    """Of the sampled n-grams that stand in the input three times at most: the share that no kept document holds, and the
    share that a random choice of as many words would lose."""

    name: str
    kinds: int
    share: float
    expected: float


class NarrowedFigure(msgspec.Struct, frozen=True):
    """`effect` is above 0 where what is kept is narrower."""

    name: str
    family: str
    before: float
    after: float
    effect: float
    low: float
    high: float
    p: float


class Narrowing(msgspec.Struct, frozen=True):
    """The measures of an audit of what is kept against everything, on so many words of each."""

    level: str
    reasons: tuple[str, ...]
    narrower: tuple[str, ...]
    words: int
    figures: tuple[NarrowedFigure, ...]
    covered: float
    self_covered: float
    passages: int = 0  # that coverage was looked up for

    @property
    def thinner(self) -> bool:
        """Whether passages lie without a neighbour, by a tenth and beyond what chance makes of so many."""
        both = (self.covered + self.self_covered) / 2
        noise = 3 * math.sqrt(2 * both * (1 - both) / max(self.passages, 1))
        return self.passages > 0 and self.self_covered - self.covered > max(MUCH_UNCOVERED, noise)


class SelectReport(msgspec.Struct, frozen=True):
    """`lengths` holds (fewest words of the bin, documents, kept); `effective` and `buckets` are before and after."""

    title: str
    run: str
    method: str
    documents: int
    kept: int
    words: int
    kept_words: int
    dropped: dict[str, int]
    settings: dict[str, str]
    facts: dict[str, float]
    scores: ScoreShape | None
    lengths: tuple[tuple[int, int, int], ...]
    medians: tuple[int, int]
    domains: tuple[DomainShare, ...]
    buckets: tuple[int, int]
    effective: tuple[float, float]
    uncovered: float
    rare: tuple[RareLoss, ...]
    narrowing: Narrowing | None
    warnings: tuple[str, ...]


def select_report_from_json(raw: bytes) -> SelectReport:
    return msgspec.json.decode(raw, type=SelectReport)


FACTS: Mapping[str, str] = {
    "eligible": "documents that could be drawn",
    "effective_sample_size": "effective sample size",
    "log_weight_deviation": "standard deviation of the log-weights",
    "top_k_overlap": "drawn documents that the plain top holds too",
    "near_duplicates": "near-duplicates left out",
    "groups": "groups of near-duplicates",
}


def sentence(report: SelectReport) -> str:
    """The result in one breath."""
    return (
        f"{number(report.kept)} of {counted(report.documents, 'document')} are kept "
        f"({percent(report.kept, report.documents)}), {number(report.kept_words)} of {number(report.words)} words "
        f"({percent(report.kept_words, report.words)}), by {report.method}."
    )


def fact(name: str, value: float) -> str:
    return percent(value, 1) if name == "top_k_overlap" else plain(value) if value % 1 else number(value)


def tail_rows(report: SelectReport) -> list[tuple[str, str, str]]:
    """What was left behind, before and after."""
    rows: list[tuple[str, str, str]] = [
        ("hash buckets in use, of 10,000", *_both(report.buckets)),
        ("as many equally full ones", *_both(report.effective)),
        ("of the words and pairs in buckets no longer used", "–", percent(report.uncovered, 1)),
        ("median length in words", *_both(report.medians)),
    ]
    rows += [
        (f"rare {loss.name} lost (by chance: {percent(loss.expected, 1)})", "–", percent(loss.share, 1))
        for loss in report.rare
        if loss.kinds
    ]
    if report.narrowing is not None:
        narrow = report.narrowing
        rows.append(
            ("passages with a neighbour among the kept", percent(narrow.self_covered, 1), percent(narrow.covered, 1))
        )
    return rows


def _both(pair: tuple[float, float]) -> tuple[str, str]:
    return number(pair[0]), number(pair[1])


def select_summary_lines(report: SelectReport) -> list[str]:
    """The result for a terminal."""
    lines = [sentence(report)]
    lines += [f"  {FACTS[name]}: {fact(name, value)}" for name, value in report.facts.items()]
    lines += [
        f"  {name}: {before} → {after}" if before != "–" else f"  {name}: {after}"
        for name, before, after in tail_rows(report)
    ]
    if report.narrowing is not None:
        narrow = report.narrowing
        where = f" in {' and '.join(narrow.narrower)}" if narrow.narrower else ""
        lines.append(f"  contraction: {narrow.level}{where} (on {number(narrow.words)} words)")
    if report.dropped:
        by_reason = sorted(report.dropped.items(), key=lambda item: (-item[1], item[0]))
        lines.append("  left out: " + ", ".join(f"{reason} {number(count)}" for reason, count in by_reason))
    return printable((*lines, *(f"  warning: {warning}" for warning in report.warnings)))


def select_page(report: SelectReport) -> str:
    """`report.html` of a run."""
    parts = ['<div class="wrap">\n', masthead(f"recension select · run {report.run}", report.title, sentence(report))]
    parts.append("<main>\n")
    if report.warnings:
        said = "".join(f"<li>{escape(warning)}</li>" for warning in report.warnings)
        parts.append(f'<section class="verdict at-risk"><h2>Look at this first</h2><ul>{said}</ul></section>\n')
    head = [
        ("kept", number(report.kept), percent(report.kept, report.documents)),
        ("words kept", number(report.kept_words), percent(report.kept_words, report.words)),
        *((FACTS[name], fact(name, value), "") for name, value in report.facts.items()),
    ]
    parts.append(f'<section aria-label="In numbers">{figures(head)}</section>\n')
    parts.append(f'<section><div class="plots">{_plots(report)}</div></section>\n')
    rows = table("The tail that was left behind", ("", "Before", "After"), tail_rows(report))
    parts.append(f"<section>{rows}{_TERMS}</section>\n")
    parts += [_narrowing(report.narrowing), _domains(report)]
    total = sum(report.dropped.values())
    lost = [(reason, number(count), percent(count, total)) for reason, count in sorted(report.dropped.items())]
    if lost:
        parts.append(f"<section>{table('Left out, by reason', ('Reason', 'Rows', 'Share'), lost)}</section>\n")
    settings = table("Settings", ("Name", "Value"), list(report.settings.items()), texts=2)
    parts.append(f'<section><div class="settings">{settings}</div></section>\n')
    parts.append("</main>\n<footer>One file, no network: it can be kept and sent as it is.</footer>\n</div>\n")
    return opening(report.title, asset("audit.css")) + "".join(parts) + closing()


_TERMS = """<p class="terms">Words and pairs of words are hashed into 10,000 buckets. Rare ones stand in the input three
times at most; a small choice loses many of them however it is made, so what a random choice of as many words would lose
stands beside it. A passage has a neighbour where one that is kept lies no farther away than its fifth nearest passage of the
input; the figure before is that between halves of the input.</p>
"""


def _plots(report: SelectReport) -> str:
    drawn = ""
    if report.scores is not None:
        shape = report.scores
        totals = max(1, sum(shape.before))
        series = {
            name: [(x, 100 * count / totals) for x, count in zip(shape.middles, counts, strict=True)]
            for name, counts in (("all", shape.before), ("kept", shape.after))
        }
        span = "" if shape.ends is None else f", kept from {plain(shape.ends[0], 3)} to {plain(shape.ends[1], 3)}"
        drawn += curve_chart(series, Labels(f"Scores{span}", shape.name, "percent of all documents"))
    lengths = {
        name: [(math.log10(row[0] + 1), 100 * row[place] / max(1, count)) for row in report.lengths]
        for name, place, count in (("before", 1, report.documents), ("after", 2, report.kept))
    }
    drawn += curve_chart(lengths, Labels("Documents by length", "words (log10)", "percent"))
    pairs = {
        d.name: (100 * d.words / max(1, report.words), 100 * d.kept_words / max(1, report.kept_words))
        for d in report.domains
    }
    return drawn + paired_bars(pairs, Labels("Words by domain", "percent of the words", ""), ("before", "after"))


def _narrowing(narrow: Narrowing | None) -> str:
    if narrow is None:
        return ""
    rows = [
        (
            name_of(f.name),
            f.family,
            plain(f.before),
            plain(f.after),
            signed(f.effect),
            f"{signed(f.low)} to {signed(f.high)}",
        )
        for f in narrow.figures
    ]
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in narrow.reasons)
    heads = ("Figure", "Family", "Before", "After", "Narrower by", "95%")
    return (
        f"<section><h2>Has its wording narrowed? {escape(narrow.level.replace('-', ' ').capitalize())}</h2>"
        '<p class="axis-lead">The figures of an audit, of what is kept against everything, on '
        f"{number(narrow.words)} words of each. Above 0 is narrower; the unit of the sentences is a generation of collapse of "
        "an n-gram model on its own output.</p>"
        f'<ul class="notes">{reasons}</ul><br>{table("Figures", heads, rows, texts=2)}</section>\n'
    )


def _domains(report: SelectReport) -> str:
    rows = [
        (
            d.name,
            number(d.documents),
            number(d.kept),
            percent(d.kept, d.documents),
            percent(d.words, report.words),
            percent(d.kept_words, report.kept_words),
        )
        for d in report.domains
    ]
    heads = ("Domain", "Documents", "Kept", "Share kept", "Of the words before", "After")
    return f"<section>{table('Domains', heads, rows)}</section>\n"


class HeadReport(msgspec.Struct, frozen=True):
    """What a head gets right on rows that were held out; they chose the penalty, and no weight."""

    title: str
    run: str
    documents: int
    held_out: int
    penalty: float
    explained: float
    correlation: float
    mean_error: float
    cut: float
    f1: float


def head_summary_lines(report: HeadReport) -> list[str]:
    """The result for a terminal."""
    return [
        f"fitted on {counted(report.documents - report.held_out, 'row')}, looked at on {number(report.held_out)} others:",
        f"  explains {percent(max(0.0, report.explained), 1)} of the variance; correlation "
        f"{report.correlation:.3f}, mean error {report.mean_error:.3f}",
        f"  F1 of 'at least {report.cut:g}': {report.f1:.3f}",
    ]
