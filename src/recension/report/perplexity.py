"""Bits per byte and perplexity by domain: the values, the page, and the lines for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from recension.report.intervals import Mark, interval_plot
from recension.report.page import (
    closing,
    counted,
    figures,
    masthead,
    number,
    opening,
    printable,
    set_aside,
    set_aside_line,
    table,
    worth_knowing,
)
from recension.report.plots import Labels

MINUS = "\N{MINUS SIGN}"
LONGEST_NAME, ENDING = 36, 24


class Interval(NamedTuple):
    """A figure and its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        return {name: value if math.isfinite(value) else None for name, value in self._asdict().items()}


class ModelFigures(NamedTuple):
    bits_per_byte: Interval
    perplexity: Interval

    def to_json(self) -> dict[str, Any]:
        return {name: value.to_json() for name, value in self._asdict().items()}


@dataclass(frozen=True, slots=True)
class ScopeFigures:
    """The figures of a domain or of all. With a second model: its figures, and the first's less the second's."""

    model: ModelFigures
    against: ModelFigures | None = None
    difference: Interval | None = None
    difference_perplexity: Interval | None = None

    def to_json(self) -> dict[str, Any]:
        found = self.model.to_json()
        if self.against is not None and self.difference is not None:
            apart = self.difference_perplexity
            found["against"] = self.against.to_json()
            found["difference"] = {
                "bits_per_byte": self.difference.to_json(),
                "perplexity": None if apart is None else apart.to_json(),
            }
        return found


@dataclass(frozen=True, slots=True)
class DomainFigures:
    """One domain. Of each model: the tokens it read, those with a loss that counts, and the bytes these stand for."""

    documents: int
    bytes: int
    tokens: tuple[int, ...]
    scored: tuple[int, ...]
    scored_bytes: tuple[float, ...]
    figures: ScopeFigures

    def to_json(self) -> dict[str, Any]:
        counts = {"documents": self.documents, "bytes": self.bytes, "tokens": list(self.tokens)}
        scored = {"scored_tokens": list(self.scored), "scored_bytes": [round(size) for size in self.scored_bytes]}
        return {**counts, **scored, **self.figures.to_json()}


@dataclass(frozen=True, slots=True)
class PerplexityReport:
    """What an `evaluate ppl` found. `macro` is the plain mean over the domains, `micro` all documents as one domain."""

    run: str
    mode: str
    models: tuple[str, ...]
    settings: Mapping[str, str]
    domains: Mapping[str, DomainFigures]
    macro: ScopeFigures
    micro: ScopeFigures
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "mode": self.mode,
            "models": list(self.models),
            "settings": dict(self.settings),
            "domains": {name: domain.to_json() for name, domain in self.domains.items()},
            "macro": self.macro.to_json(),
            "micro": self.micro.to_json(),
            "dropped": dict(self.dropped),
            "notes": list(self.notes),
        }


def called(models: Sequence[str]) -> list[str]:
    """The names of models as they stand in sentences and tables: of a long path the end, where that tells them apart."""
    brief = [name if len(name) <= LONGEST_NAME else f"{name.partition(':')[0]}:…{name[-ENDING:]}" for name in models]
    return brief if len(set(brief)) == len(brief) else list(models)


def sentence(report: PerplexityReport) -> str:
    """The result in one breath."""
    where = f"over {counted(len(report.domains), 'domain')}" if len(report.domains) > 1 else "on this text"
    found = report.macro
    if found.against is None or found.difference is None:
        return (
            f"{called(report.models)[0]} needs {bits(found.model.bits_per_byte)} bits per byte {where}; its perplexity is "
            f"{ppl(found.model.perplexity)}."
        )
    first, second = called(report.models)
    apart = found.difference
    if apart.low > 0:
        verdict = f"{second} is better: {first} needs {bits(apart, sign=True)} bits per byte more"
    elif apart.high < 0:
        better = Interval(-apart.value, -apart.high, -apart.low)
        verdict = f"{first} is better: it needs {bits(better)} bits per byte less than {second}"
    else:
        verdict = f"No difference is shown between {first} and {second}: {bits(apart, sign=True)} bits per byte"
    return f"{verdict} {where}."


def bits(interval: Interval, sign: bool = False) -> str:
    return _spelled(interval, 4, sign)


def ppl(interval: Interval, sign: bool = False) -> str:
    return _spelled(interval, 2, sign)


def _spelled(interval: Interval, places: int, sign: bool) -> str:
    """1.2345 (1.2 to 1.3)"""

    def one(value: float) -> str:
        if not math.isfinite(value):
            return "–"
        if abs(value) >= 1e6:
            return f"{value:.3g}"
        return f"{value:{'+' if sign else ''},.{places}f}".replace("-", MINUS)

    return f"{one(interval.value)} ({one(interval.low)} to {one(interval.high)})"


def _scopes(report: PerplexityReport) -> Iterator[tuple[str, ScopeFigures]]:
    """The domains, and the two ways to take them together where there are several."""
    for name, domain in report.domains.items():
        yield name, domain.figures
    if len(report.domains) > 1:
        yield "mean of the domains", report.macro
        yield "all documents", report.micro


def figures_table(report: PerplexityReport) -> str:
    """One row for each domain and model."""
    names, paired = called(report.models), len(report.models) > 1
    rows = []
    for name, scope in _scopes(report):
        domain = report.domains.get(name)
        counts = (number(domain.documents), number(domain.bytes)) if domain else ("", "")
        models = [(names[0], scope.model)]
        if scope.against is not None:
            models.append((names[1], scope.against))
        rows += [
            (name, *((model,) if paired else ()), bits(found.bits_per_byte), ppl(found.perplexity), *counts)
            for model, found in models
        ]
    head = ("Domain", *(("Model",) if paired else ()), "Bits per byte", "Perplexity", "Documents", "Bytes")
    return table("By domain, with 95% intervals", head, rows, texts=2 if paired else 1)


def difference_table(report: PerplexityReport) -> str:
    rows = [
        (
            name,
            bits(scope.difference, sign=True),
            "–" if scope.difference_perplexity is None else ppl(scope.difference_perplexity, sign=True),
        )
        for name, scope in _scopes(report)
        if scope.difference is not None
    ]
    first, second = called(report.models)
    return table(f"{first} less {second}, document by document", ("Domain", "Bits per byte", "Perplexity"), rows)


def plots(report: PerplexityReport) -> str:
    scopes = list(_scopes(report))
    rows = {}
    for name, scope in scopes:
        marks = [Mark(*scope.model.bits_per_byte)]
        if scope.against is not None:
            marks.append(Mark(*scope.against.bits_per_byte))
        rows[name] = marks
    drawn = [interval_plot(rows, Labels("Bits per byte", "bits per byte, less is better", ""), called(report.models))]
    apart = {name: [Mark(*scope.difference)] for name, scope in scopes if scope.difference is not None}
    if apart:
        labels = Labels("Paired difference", "bits per byte, first model less second", "")
        drawn.append(interval_plot(apart, labels, zero=True))
    return f'<div class="plots">{"".join(drawn)}</div>\n'


def perplexity_page(report: PerplexityReport) -> str:
    """`report.html` of a run."""
    title = "Two models on the same text" if len(report.models) > 1 else "What the text costs"
    documents = sum(domain.documents for domain in report.domains.values())
    lost = sum(report.dropped.values())
    of_what = called(report.models)[0] if len(report.models) > 1 else "mean of the domains"
    items = [
        ("Documents", number(documents), f"{number(lost)} set aside"),
        ("Domains", number(len(report.domains)), ""),
        ("Bits per byte", _short(report.macro.model.bits_per_byte.value, 4), of_what),
        ("Perplexity", _short(report.macro.model.perplexity.value, 2), of_what),
    ]
    parts = [
        '<div class="wrap">',
        masthead(f"recension evaluate ppl · run {report.run}", title, sentence(report)),
        f'<main>\n<section aria-label="In numbers">{figures(items)}</section>\n',
        f"<section>{figures_table(report)}{_TERMS}</section>\n",
    ]
    if len(report.models) > 1:
        parts.append(f"<section>{difference_table(report)}{_DIFFERENCE}</section>\n")
    parts.append(f"<section>{plots(report)}</section>\n")
    parts.append(worth_knowing(report.notes))
    parts.append(set_aside(report.dropped))
    shown = table("Settings", ("Name", "Value"), list(report.settings.items()), texts=2)
    parts.append(f'<section><div class="settings">{shown}</div></section>\n')
    parts.append("</main>\n<footer>One file, no network: it can be kept and sent as it is.</footer>\n</div>\n")
    return opening(title) + "".join(parts) + closing()


_TERMS = """<p class="terms">Bits per byte: the loss in bits over the bytes of the text in UTF-8; it can be compared between
models of any tokenizer. Perplexity: e to the mean loss of a token; it can be compared between models of one tokenizer only.
Inside a domain every token counts alike. In brackets: the middle 95% over resamples of the documents.</p>
"""
_DIFFERENCE = """<p class="terms">Each resample takes the same documents for both models, so what makes a document hard for
both cancels out. Below zero: the first model is better. An interval that holds zero shows no difference.</p>
"""


def _short(value: float, places: int) -> str:
    return f"{value:,.{places}f}" if math.isfinite(value) else "–"


def perplexity_summary_lines(report: PerplexityReport) -> list[str]:
    """The result for a terminal: plain text, aligned, no colours."""
    lines = [sentence(report)]
    scopes = list(_scopes(report))
    width = max(len(name) for name, _ in scopes)
    for name, scope in scopes:
        models = [("", scope.model)] if scope.against is None else [("A ", scope.model), ("B ", scope.against)]
        for label, found in models:
            first = name if label != "B " else ""
            lines.append(
                f"  {first:<{width}}  {label}bits/byte {bits(found.bits_per_byte)}  perplexity {ppl(found.perplexity)}"
            )
        if scope.difference is not None:
            lines.append(f"  {'':<{width}}  A{MINUS}B {bits(scope.difference, sign=True)}")
    if len(report.models) > 1:
        lines.append(f"  A is {report.models[0]}, B is {report.models[1]}")
    lines += set_aside_line(report.dropped)
    return printable((*lines, *(f"  note: {note}" for note in report.notes)))
