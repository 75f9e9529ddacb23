"""What one corpus is like: values, page, and the lines for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from recension.report.audit import clean, name_of, plain
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
    table,
)
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


class ProfiledDensity(NamedTuple):
    """How dense the corpus is around its documents: the share of all documents that are near, by a kernel of embeddings.

    `places` is one over the mean: so many documents, all far from each other, would be as crowded. `edges` are log10.
    """

    documents: int
    asked: int
    quartiles: tuple[float, ...]
    places: float
    edges: tuple[float, ...]
    levels: tuple[int, ...]
    crowded: tuple[tuple[str, float], ...]
    lonely: tuple[tuple[str, float], ...]


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
    looked: int
    repeated_error: float
    density: ProfiledDensity | None
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
        found["density"] = None if self.density is None else clean(self.density._asdict())
        found["scorers"] = [clean(scorer._asdict()) for scorer in self.scorers]
        return found


def sentence(report: ProfileReport) -> str:
    return (
        f"{counted(report.documents, 'document')} of {number(report.words)} words; "
        f"{_repeated(report)} of them repeat another."
    )


def _repeated(report: ProfileReport) -> str:
    """The share, with half of its 95 % interval where only a sample was looked at."""
    error = f" (± {100 * report.repeated_error:.2g} points)" if report.repeated_error else ""
    return percent(report.repeated, report.looked) + error


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
    if report.density is not None:
        lines.append(f"  density of documents: {_crowd(report.density)}")
    shares = sum(report.languages.values())
    lines.append("  language: " + ", ".join(f"{n} {percent(c, shares)}" for n, c in list(report.languages.items())[:3]))
    lines += [f"  {name}: {says}" for name, says in report.tests]
    return printable(lines)


def _crowd(density: ProfiledDensity) -> str:
    return (
        f"{plain(density.quartiles[1], 3)} in the median ({plain(density.quartiles[0], 3)} to "
        f"{plain(density.quartiles[2], 3)} in the middle half), as crowded as {plain(density.places, 3)} documents that "
        "are all unlike"
    )


def profile_page(report: ProfileReport) -> str:
    head = [
        ("documents", number(report.documents), f"{number(report.bytes)} bytes"),
        ("words", number(report.words), f"{number(report.compared)} in the sample"),
        (
            "repeat another",
            _repeated(report),
            f"of {number(report.looked)} looked at" if report.repeated_error else "near-duplicates",
        ),
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
    if report.density is not None:
        parts.append(_density(report.density))
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
    parts.append(set_aside(report.dropped))
    settings = table("Settings", ("Name", "Value"), list(report.settings.items()), texts=2)
    parts.append(f'<section><div class="settings">{settings}</div></section>\n')
    parts.append("</main>\n<footer>One file, no network: it can be kept and sent as it is.</footer>\n</div>\n")
    return opening(report.title, asset("audit.css")) + "".join(parts) + closing()


_TERMS = """<p class="terms">Figures go with the size of a sample: compare them with those of another corpus only at the same
number of words. Whether a corpus is narrow can only be said against another: that is what an audit does.</p>
"""


def _density(density: ProfiledDensity) -> str:
    """The distribution, and documents of both ends."""
    middle = [(a + b) / 2 for a, b in zip(density.edges, density.edges[1:], strict=False)]
    points = [(x, 100 * n / max(1, density.asked)) for x, n in zip(middle, density.levels, strict=True)]
    shown = "".join(
        f'<div class="passage"><small>{escape(which)}: density {escape(plain(value, 3))}</small><p>{escape(text)}</p></div>'
        for which, ends in (("crowded", density.crowded), ("lonely", density.lonely))
        for text, value in ends
    )
    return (
        f"<section><h2>How crowded it is</h2>"
        f'<p class="axis-lead">{escape(_crowd(density).capitalize())}.</p>'
        f'<p class="terms">The density of a document is the share of all {escape(number(density.documents))} documents that '
        "mean about the same as its beginning, by embeddings: 1 where all are one, near 0 where it stands alone.</p>"
        f'<div class="plots">{curve_chart({"documents": points}, Labels("Documents by density", "density (log10)", "percent"))}'
        f"</div>{shown}</section>\n"
    )


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
