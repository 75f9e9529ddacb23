"""Where one model falls behind another: the values, the page with coloured tokens, and the lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from recension.report.page import (
    Shade,
    asset,
    closing,
    colours,
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
)
from recension.report.pairs import scatter, signed_bars
from recension.report.perplexity import Interval, bits, called
from recension.report.plots import Labels, histogram

# By how much a token differs, in nats, for each shade; the ink stays readable on all of them, a test computes it.
STEPS = (0.25, 0.5, 1.0, 2.0)
SHADES: Mapping[str, Shade] = {
    "worse-1": Shade("#fdeee3", "#3a2618"),
    "worse-2": Shade("#fbd9c0", "#54331b"),
    "worse-3": Shade("#f6bd94", "#6e411e"),
    "worse-4": Shade("#ee9d66", "#854d1d"),
    "better-1": Shade("#e6f1f6", "#16303b"),
    "better-2": Shade("#c9e2ec", "#1b4353"),
    "better-3": Shade("#a3cfe0", "#205468"),
    "better-4": Shade("#78b8d0", "#22617b"),
}


class Token(NamedTuple):
    """A token of a passage: what stands between the last one and it, its characters, and both losses."""

    before: str
    text: str
    real: float
    synthetic: float
    inside: bool


@dataclass(frozen=True, slots=True)
class WorstPassage:
    """A stretch in which the model of synthetic text is much worse, with a few tokens around it."""

    id: str
    place: str
    start: int
    mean: float
    tokens: tuple[Token, ...]

    def to_json(self) -> dict[str, Any]:
        text = "".join(token.before + token.text for token in self.tokens)
        return {"id": self.id, "place": self.place, "start": self.start, "mean": self.mean, "text": text}


@dataclass(frozen=True, slots=True)
class LossPatternReport:
    """What an `evaluate loss-pattern` found. Losses are in nats a token; a difference is synthetic less real.

    `anomalies` counts for several k the documents that have an anomaly. `first_anomalies` counts those of `k` in equal
    bins of their place in the document, `by_place` is the mean difference in such bins. `points` are (real, synthetic)
    losses of documents, a fair draw where there are many.
    """

    run: str
    models: tuple[str, str]
    settings: Mapping[str, str]
    documents: int
    tokens: int
    real: Interval
    synthetic: Interval
    difference: Interval
    k: float
    anomalies: Mapping[float, int]
    first_anomalies: tuple[int, ...]
    by_place: tuple[float | None, ...]
    points: tuple[tuple[float, float], ...]
    worst: tuple[WorstPassage, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "models": {"real": self.models[0], "synthetic": self.models[1]},
            "settings": dict(self.settings),
            "documents": self.documents,
            "tokens": self.tokens,
            "loss": {"real": self.real.to_json(), "synthetic": self.synthetic.to_json()},
            "difference": self.difference.to_json(),
            "k": self.k,
            "documents_with_anomaly": {f"{k:g}": count for k, count in self.anomalies.items()},
            "first_anomalies": list(self.first_anomalies),
            "difference_by_place": list(self.by_place),
            "worst": [passage.to_json() for passage in self.worst],
            "dropped": dict(self.dropped),
        }


def sentence(report: LossPatternReport) -> str:
    """The result in one breath."""
    real, synthetic = called(report.models)
    apart = report.difference
    if apart.low > 0:
        what = f"{synthetic} predicts this text worse than {real}, by {bits(apart)} nats a token"
    elif apart.high < 0:
        better = Interval(-apart.value, -apart.high, -apart.low)
        what = f"{synthetic} predicts this text better than {real}, by {bits(better)} nats a token"
    else:
        what = f"No difference is shown between {synthetic} and {real}: {bits(apart, sign=True)} nats a token"
    count = report.anomalies[report.k]
    some = f"{number(count)} of {counted(report.documents, 'document')} ({percent(count, report.documents)})"
    return f"{what}. {some} {'has' if count == 1 else 'have'} an anomaly (k = {report.k:g})."


def shade(difference: float) -> str:
    """The class of a token, "" where the models hardly differ."""
    level = sum(abs(difference) >= step for step in STEPS)
    if not level:
        return ""
    return f"{'worse' if difference > 0 else 'better'}-{level}"


def passage_markup(passage: WorstPassage) -> str:
    """A passage with every token on the shade of its difference. Text of documents goes through `escape` only."""
    parts = []
    for token in passage.tokens:
        classes = " ".join(name for name in (shade(token.synthetic - token.real), "in" if token.inside else "") if name)
        says = f"real {token.real:.2f}, synthetic {token.synthetic:.2f}, difference {token.synthetic - token.real:+.2f}"
        if token.before:
            parts.append(escape(token.before))
        if token.text:
            parts.append(f'<span class="{classes}" title="{escape(says)}">{escape(token.text)}</span>')
    return (
        f'<figure class="passage"><figcaption><b>+{passage.mean:.2f}</b> nats a token · {escape(passage.id)} · '
        f"{escape(passage.place)} · from token {number(passage.start)}</figcaption>"
        f'<p dir="auto">{"".join(parts)}</p></figure>\n'
    )


def plots(report: LossPatternReport) -> str:
    shown = len(report.points)
    some = "" if shown == report.documents else f" ({number(shown)} of {number(report.documents)} documents)"
    found = report.anomalies[report.k]
    drawn = [
        histogram(
            report.first_anomalies,
            Labels(
                f"First anomaly ({number(found)} of {counted(report.documents, 'document')})",
                "place in the document, from start to end",
                "share of those with one",
            ),
        ),
        scatter(report.points, Labels(f"Loss of each document{some}", "model of real text", "model of synthetic text")),
        signed_bars(
            report.by_place,
            Labels("Mean difference by place", "place in the document, from start to end", "nats a token"),
        ),
    ]
    return f'<div class="plots">{"".join(drawn)}</div>\n'


def loss_pattern_page(report: LossPatternReport) -> str:
    """`report.html` of a run."""
    title = "Loss pattern of two models"
    lost = sum(report.dropped.values())
    items = [
        ("Documents", number(report.documents), f"{number(lost)} set aside"),
        ("Tokens", number(report.tokens), ""),
        ("Loss, real", f"{report.real.value:.4f}", called(report.models)[0]),
        ("Loss, synthetic", f"{report.synthetic.value:.4f}", called(report.models)[1]),
    ]
    rows = [
        (f"{k:g}", number(count), percent(count, report.documents), "this page" if k == report.k else "")
        for k, count in report.anomalies.items()
    ]
    anomalies = table("Documents with an anomaly, by k", ("k", "Documents", "Share", ""), rows)
    style = colours(SHADES) + asset("loss_pattern.css")
    parts = [
        '<div class="wrap">',
        masthead(f"recension evaluate loss-pattern · run {report.run}", title, sentence(report)),
        f'<main>\n<section aria-label="In numbers">{figures(items)}</section>\n',
        f"<section>{plots(report)}</section>\n<section>{anomalies}{_TERMS}</section>\n",
        f"<section><h2>Worst passages</h2>{_worst(report)}</section>\n",
    ]
    parts.append(set_aside(report.dropped))
    shown = table("Settings", ("Name", "Value"), list(report.settings.items()), texts=2)
    parts.append(f'<section><div class="settings">{shown}</div></section>\n')
    parts.append("</main>\n<footer>One file, no network: it can be kept and sent as it is.</footer>\n</div>\n")
    return opening(title, style) + "".join(parts) + closing()


def _worst(report: LossPatternReport) -> str:
    if not report.worst:
        return f'<p class="terms">No passage is worse by more than {escape(report.settings["passages above"])}.</p>'
    spans = [*(f"{low:g} to {high:g}" for low, high in pairwise(STEPS)), f"over {STEPS[-1]:g}"]
    levels = range(len(STEPS))
    legend = "".join(
        f'<span class="{kind}-{level + 1}">{kind} by {spans[level]}</span>'
        for kind, order in (("better", reversed(levels)), ("worse", levels))
        for level in order
    )
    return f'{_SHADES}<p class="legend">{legend}</p>\n{"".join(passage_markup(passage) for passage in report.worst)}'


_SHADES = """<p class="terms">Each token stands on a shade that says how much better or worse, in nats, the model of synthetic
text predicts it; the passage itself is underlined. Both losses appear when the pointer rests on a token.</p>
"""
_TERMS = """<p class="terms">The difference of a token is its loss under the model of synthetic text less that under the model
of real text. A document has an anomaly where the mean difference in a sliding window is above |mean| + k standard deviations
of its own differences; the first such window counts. The paper gives no k, so several are shown.</p>
"""


def loss_pattern_summary_lines(report: LossPatternReport) -> list[str]:
    """The result for a terminal: plain text, aligned, no colours."""
    real, synthetic = report.models
    lines = [
        sentence(report),
        f"  loss, real       {bits(report.real)}  {real}",
        f"  loss, synthetic  {bits(report.synthetic)}  {synthetic}",
        f"  difference       {bits(report.difference, sign=True)} nats a token",
    ]
    shares = ", ".join(f"k {k:g}: {percent(count, report.documents)}" for k, count in report.anomalies.items())
    lines.append(f"  documents with an anomaly: {shares}")
    if report.worst:
        above = report.settings["passages above"]
        lines.append(
            f"  {counted(len(report.worst), 'passage')} above {above} shown, the worst at +{report.worst[0].mean:.2f}"
        )
    lines += set_aside_line(report.dropped)
    return printable(lines)
