"""What one corpus is like: values, page, and the lines for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from recension.report.audit import clean, name_of, plain
from recension.report.page import asset, closing, counted, escape, figures, masthead, number, opening, percent, table
from recension.report.perplexity import printable
from recension.report.plots import Labels, curve_chart


class ProfiledFigure(NamedTuple):
    """One figure of the sample, with its 95 % interval."""

    name: str
    family: str
    value: float
    low: float
    high: float


class ProfiledScorer(NamedTuple):
    """One scorer: quartiles of perplexity over passages, and the histograms of both."""

    name: str
    perplexity: tuple[float, ...]
    edges: tuple[float, ...]
    levels: tuple[int, ...]
    probabilities: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ProfileReport:
    """Counts are of all of the corpus; figures, pairs of words, languages and scores are of the sample."""

    title: str
    run: str
    documents: int
    bytes: int
    words: int
    compared: int
    sources: int
    figures: tuple[ProfiledFigure, ...]
    lengths: tuple[tuple[int, int], ...]
    buckets: tuple[float, ...]
    bigrams: tuple[tuple[str, float], ...]
    repeated: int
    groups: tuple[int, ...]
    languages: Mapping[str, int]
    scorers: tuple[ProfiledScorer, ...]
    examples: tuple[tuple[str, float], ...]
    tests: tuple[tuple[str, str], ...]
    settings: Mapping[str, str]
    dropped: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """The schema is described in docs/audit.md."""
        found: dict[str, Any] = clean(asdict(self))
        found["figures"] = [clean(figure._asdict()) for figure in self.figures]
        found["scorers"] = [clean(scorer._asdict()) for scorer in self.scorers]
        return found


def sentence(report: ProfileReport) -> str:
    return (
        f"{counted(report.documents, 'document')} of {number(report.words)} words; "
        f"{percent(report.repeated, report.documents)} of them repeat another."
    )


def profile_summary_lines(report: ProfileReport) -> list[str]:
    """The result for a terminal."""
    lines = [
        sentence(report),
        f"  in a sample of {number(report.compared)} words from {counted(report.sources, 'source')}:",
    ]
    lines += [f"  {name_of(f.name):<18} {plain(f.value)}  [{plain(f.low)}, {plain(f.high)}]" for f in report.figures]
    lines += [
        f"  perplexity by {s.name}: {', '.join(plain(q, 3) for q in s.perplexity)} (quartiles)" for s in report.scorers
    ]
    shares = sum(report.languages.values())
    lines.append("  language: " + ", ".join(f"{n} {percent(c, shares)}" for n, c in list(report.languages.items())[:3]))
    lines += [f"  {name}: {says}" for name, says in report.tests]
    return [printable(line) for line in lines]


def profile_page(report: ProfileReport) -> str:
    head = [
        ("documents", number(report.documents), f"{number(report.bytes)} bytes"),
        ("words", number(report.words), f"{number(report.compared)} in the sample"),
        ("repeat another", percent(report.repeated, report.documents), "near-duplicates"),
        ("sources", number(report.sources), "in the sample"),
    ]
    parts = ['<div class="wrap">\n', masthead("Profile", report.title, sentence(report)), "<main>\n"]
    parts.append(f"<section>{figures(head)}</section>\n")
    rows = [(name_of(f.name), f.family, plain(f.value), f"{plain(f.low)} to {plain(f.high)}") for f in report.figures]
    parts.append(
        f"<section>{table('How rich it is', ('Figure', 'Family', 'Value', '95%'), rows, texts=2)}{_TERMS}</section>\n"
    )
    parts.append(f'<section><div class="plots">{_plots(report)}</div></section>\n')
    pairs = [(text, percent(share, 1)) for text, share in report.bigrams]
    parts.append(f"<section>{table('The most frequent pairs of words', ('Pair', 'Share'), pairs)}</section>\n")
    shares = sum(report.languages.values())
    spoken = [(name, number(n), percent(n, shares)) for name, n in report.languages.items()]
    parts.append(f"<section>{table('Language of passages', ('Language', 'Passages', 'Share'), spoken)}</section>\n")
    if report.groups:
        groups = [(str(i + 1), number(size)) for i, size in enumerate(report.groups)]
        parts.append(f"<section>{table('Largest groups of near-duplicates', ('', 'Documents'), groups)}</section>\n")
    shown = "".join(
        f'<div class="passage"><small>{escape(percent(share, 1))} of its runs stand in the sample three times or more</small>'
        f"<p>{escape(text)}</p></div>"
        for text, share in report.examples
    )
    parts.append(f"<section><h2>The most repetitive passages</h2>{shown}</section>\n")
    if report.tests:
        parts.append(f"<section>{table('Evaluation sets', ('Set', 'Found'), report.tests, texts=2)}</section>\n")
    if report.dropped:
        lost = [(reason, number(n)) for reason, n in report.dropped.items()]
        parts.append(f"<section>{table('Set aside, by reason', ('Reason', 'Rows'), lost)}</section>\n")
    settings = table("Settings", ("Name", "Value"), list(report.settings.items()), texts=2)
    parts.append(f'<section><div class="settings">{settings}</div></section>\n')
    parts.append("</main>\n<footer>One file, no network: it can be kept and sent as it is.</footer>\n</div>\n")
    return opening(report.title, asset("audit.css")) + "".join(parts) + closing()


_TERMS = """<p class="terms">Figures go with the size of a sample: compare them with those of another corpus only at the same
number of words. Whether a corpus is narrow can only be said against another: that is what an audit does.</p>
"""


def _plots(report: ProfileReport) -> str:
    documents = max(1, sum(n for _, n in report.lengths))
    lengths = [(math.log10(words + 1), 100 * n / documents) for words, n in report.lengths]
    found = curve_chart({"documents": lengths}, Labels("Documents by length", "words (log10)", "percent"))
    buckets = [(float(i), math.log10(max(share, 1e-9))) for i, share in enumerate(report.buckets)]
    found += curve_chart(
        {"buckets": buckets}, Labels("Share of hash buckets, fullest first", "percent of the buckets", "share (log10)")
    )
    for scorer in report.scorers:
        middle = [(a + b) / 2 for a, b in zip(scorer.edges, scorer.edges[1:], strict=False)]
        passages = max(1, sum(scorer.levels))
        levels = [(x, 100 * n / passages) for x, n in zip(middle, scorer.levels, strict=True)]
        tokens = max(1, sum(scorer.probabilities))
        u = [((i + 0.5) / len(scorer.probabilities), 100 * n / tokens) for i, n in enumerate(scorer.probabilities)]
        found += curve_chart(
            {scorer.name: levels}, Labels(f"Passages by perplexity, {scorer.name}", "log-perplexity", "percent")
        )
        found += curve_chart(
            {scorer.name: u}, Labels(f"Tokens by probability, {scorer.name}", "probability", "percent")
        )
    return found
