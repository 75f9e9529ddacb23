"""The page of an audit: the verdict first, then why, then everything else. Readable without the papers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from recension.report.audit import LEVELS, SHIFT_NAMES, AuditReport, FigureResult, lead, name_of, needed, plain, signed
from recension.report.intervals import Mark, interval_plot
from recension.report.overlay import map_plot, map_style
from recension.report.page import (
    asset,
    closing,
    escape,
    figures,
    masthead,
    number,
    opening,
    percent,
    table,
    worth_knowing,
)
from recension.report.plots import Labels, curve_chart

__all__ = ["LEVELS", "audit_page"]

CURVES = 2  # of each family

_CONTRACTION = """Is the text narrower? Both sides are cut to {words} words, in passages of {unit} words at most. The
unit is the generation: what retraining a small word model on its own output does to these figures, starting from this
reference. 0 is the reference itself, 1 is the first generation. Dots with intervals above the dashed line of 0 are narrower;
a family counts only where its whole interval lies above its margin."""
_SHIFT = """Is the text different? Two human corpora of different subjects differ as well, so none of this is part of the
verdict. The second column shows the same figure between parts of the reference: the difference without a candidate."""
_INTEGRITY = (
    """Is the text its own? Counted over all of both corpora, or over a sample of hashes where they are large."""
)


def audit_page(report: AuditReport) -> str:
    names = [corpus.name for corpus in report.corpora]
    title = f"{names[1]} against {names[0]}"
    parts = ['<div class="wrap">\n', masthead("Audit", title, lead(report)), "<main>\n"]
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in report.reasons)
    wanted = f"<p>{escape(needed(report))}</p>" if report.needed_words else ""
    parts.append(
        f'<section class="verdict {report.level}"><h2>{escape(report.level.replace("-", " ").capitalize())}</h2>'
        f"{wanted}<ul>{reasons}</ul></section>\n"
    )
    parts.append(f"<section>{figures(_headline(report))}</section>\n")
    parts.append(worth_knowing(report.notes))
    told = _CONTRACTION.format(words=number(report.words), unit=number(report.unit))
    parts += [_section("Contraction", told, _contraction(report))]
    parts += [_section("What drives it", "", _drivers(report))]
    parts += [_section("Shift", _SHIFT, _shift(report, names))]
    if report.scorers:
        parts += [_section("In the eyes of models", _SCORERS, "".join(_scorers(report)))]
    parts += [_section("Integrity", _INTEGRITY, _integrity(report))]
    parts += [_section("The corpora", "", _corpora(report))]
    shown = table("Settings", ("Name", "Value"), list(report.settings.items()), texts=2)
    parts.append(f'<section><div class="settings">{shown}</div></section>\n')
    parts.append("</main>\n<footer>One file, no network: it can be kept and sent as it is.</footer>\n</div>\n")
    return opening(title, asset("audit.css") + map_style()) + "".join(parts) + closing()


_SCORERS = """How probable models find the text. Narrow text has fewer surprising passages and more tokens a model is sure of.
Whether perplexity as such is higher or lower depends on the model, so one scorer alone never counts, and several count only
where they agree."""


def _section(title: str, lead_text: str, body: str) -> str:
    told = f'<p class="axis-lead">{escape(lead_text)}</p>' if lead_text else ""
    return f"<section><h2>{escape(title)}</h2>{told}{body}</section>\n"


def _headline(report: AuditReport) -> list[tuple[str, str, str]]:
    found = [(f.name, signed(f.generations), "generations: " + f.state) for f in report.families[:3]]
    auc = next((item for item in report.shift if item.name == "auc"), None)
    if auc is not None:
        found.append(("told apart (AUC)", plain(auc.value, 3), f"{plain(auc.human, 3)} within the reference"))
    return found


def _contraction(report: AuditReport) -> str:
    rows = {f.name: [Mark(f.generations, f.low, f.high)] for f in report.families}
    placed = {name_of(f.name): [Mark(*f.generations)] for f in report.figures if f.generations is not None}
    plots = []
    if rows:
        plots.append(interval_plot(rows, Labels("Families, in generations of collapse", "generations", ""), zero=True))
        plots.append(interval_plot(placed, Labels("Figures on the curve", "generations", ""), zero=True))
    plots += [_curve(report, figure) for figure in _curved(report)]
    plots.append(_buckets(report))
    return f'<div class="plots">{"".join(plots)}</div>\n<p></p>' + _figure_table(report) + _family_table(report)


def _curved(report: AuditReport) -> list[FigureResult]:
    """The figures whose curves are drawn: of every family the first ones that have one."""
    known = [f for f in report.figures if f.generations is not None and report.curve[f.name]]
    families = dict.fromkeys(f.family for f in known)
    return [f for family in families for f in [f for f in known if f.family == family][:CURVES]]


def _curve(report: AuditReport, figure: FigureResult) -> str:
    values = report.curve[figure.name]
    chain = [(0.0, 0.0), *((float(g), value) for g, value in enumerate(values, 1))]
    lines = {
        "collapse of the reference": chain,
        "candidate": [(0.0, figure.effect), (float(len(values)), figure.effect)],
    }
    says = f"The chain goes from 0 to {values[-1]:.3g} in {len(values)} generations; the candidate is at {figure.effect:.3g}."
    return curve_chart(lines, Labels(name_of(figure.name), "generation", "narrower by (ln)", says))


def _buckets(report: AuditReport) -> str:
    sides = {
        name: [(float(i), math.log10(max(value, 1e-9))) for i, value in enumerate(side)]
        for name, side in zip(("reference", "candidate"), report.buckets, strict=True)
    }
    scaled = {name: [(x * 100 / max(1, len(line) - 1), y) for x, y in line] for name, line in sides.items()}
    return curve_chart(
        scaled, Labels("Share of hash buckets, fullest first, at equal size", "percent of the buckets", "share (log10)")
    )


def _figure_table(report: AuditReport) -> str:
    rows = [
        (
            name_of(f.name), f.family, plain(f.reference), plain(f.candidate), signed(f.effect, 3),
            f"{signed(f.low, 3)} to {signed(f.high, 3)}", f"{f.adjusted_p:.3g}",
            "–" if f.margin is None else plain(f.margin, 2), "–" if f.generations is None else signed(f.generations[0]),
        )
        for f in report.figures
    ]  # fmt: skip
    head = ("Figure", "Family", "Reference", "Candidate", "Effect", "95%", "Adjusted p", "Margin", "Generations")
    told = (
        '<p class="terms">Effect: natural logarithm of the ratio, above 0 where the candidate is narrower. The p-value says '
        "how often dealing the documents out anew gives as much, adjusted for the number of figures. No margin and no "
        "generation: the collapse curve does not move this figure clearly here, so it is shown and has no say. The curve "
        "ends at five generations: 5 is that or more.</p>"
    )
    return table("Every figure", head, rows, texts=2) + told


def _family_table(report: AuditReport) -> str:
    rows = [
        (
            f.name,
            f.state,
            signed(f.generations),
            f"{signed(f.low)} to {signed(f.high)}",
            plain(f.margin, 3),
            f"{f.p:.3g}",
        )
        for f in report.families
    ]
    return table("Families", ("Family", "State", "Generations", "95%", "Margin", "Adjusted p"), rows, texts=2)


def _drivers(report: AuditReport) -> str:
    parts = []
    if report.drivers:
        rows = [(d.text, number(d.candidate), number(d.reference), number(d.passages)) for d in report.drivers]
        head = ("Run of words", "Candidate", "Reference", "Passages")
        parts.append(table("Runs of four words that the candidate has most of beyond the reference", head, rows))
    sides = [
        f"<div><h3>{escape(side.capitalize())}</h3>"
        + "".join(
            f'<div class="passage"><small>{escape(percent(e.repeated, 1))} of its runs stand in the sample three times or '
            f"more</small><p>{escape(e.text)}</p></div>"
            for e in report.examples
            if e.side == side
        )
        + "</div>"
        for side in ("reference", "candidate")
    ]
    parts.append(f'<h3>The most repetitive passages of both sides</h3><div class="sides">{"".join(sides)}</div>')
    left, right = report.bigrams
    pairs = [
        (*_bigram(left, i), *_bigram(right, i)) for i in range(max(len(left), len(right)))
    ]  # side by side, though they are not the same pair
    head = ("Reference", "Share", "Candidate", "Share")
    parts.append(table("The most frequent pairs of words", head, pairs))
    return "".join(parts)


def _bigram(side: Sequence[tuple[str, float]], i: int) -> tuple[str, str]:
    return (side[i][0], percent(side[i][1], 1)) if i < len(side) else ("", "")


def _shift(report: AuditReport, names: Sequence[str]) -> str:
    rows = [
        (SHIFT_NAMES.get(s.name, s.name), plain(s.value), plain(s.human),
         f"{plain(s.low)} to {plain(s.high)}" if s.low is not None else "–", plain(s.adjusted_p, 3))
        for s in report.shift
    ]  # fmt: skip
    body = table("Difference", ("Figure", "Candidate", "Within the reference", "95%", "Adjusted p"), rows)
    body += (
        '<p class="terms">AUC: how well a linear classifier tells unseen passages apart, 0.5 being chance; its interval is '
        "that of the AUC. Divergences, coverage and density: the interval is that of the difference from the reference's own "
        "halves. KL of Eq. 9 is a distance of distributions, and so it stands here and not under contraction.</p>"
    )
    owners, places = report.points
    if places:
        labels = Labels(f"Passages by meaning ({report.settings.get('map', 'embeddings')})", "", "")
        body += f'<div class="plots">{map_plot(owners, places, names, labels)}</div>'
        held = [(name, plain(v["coverage"], 3), plain(v["density"], 3)) for name, v in report.coverage.items()]
        body += "<p></p>" + table("Coverage and density of the reference", ("By", "Coverage", "Density"), held)
    return body


def _scorers(report: AuditReport) -> Iterator[str]:
    for scorer in report.scorers:
        middle = [(a + b) / 2 for a, b in zip(scorer.edges, scorer.edges[1:], strict=False)]
        sides = (scorer.reference_levels, scorer.candidate_levels), (scorer.reference_p, scorer.candidate_p)
        levels = {
            name: [(x, 100 * n / max(1, sum(side))) for x, n in zip(middle, side, strict=True)]
            for name, side in zip(("reference", "candidate"), sides[0], strict=True)
        }
        probabilities = {
            name: [((i + 0.5) / len(side), 100 * n / max(1, sum(side))) for i, n in enumerate(side)]
            for name, side in zip(("reference", "candidate"), sides[1], strict=True)
        }
        told = (
            f"{scorer.name}: median perplexity {plain(scorer.reference)} of the reference, {plain(scorer.candidate)} of the "
            f"candidate. {scorer.agrees}"
        )
        yield (
            f'<p class="axis-lead">{escape(told)}</p><div class="plots">'
            + curve_chart(levels, Labels("Passages by perplexity", "log-perplexity (nats)", "percent"))
            + curve_chart(
                probabilities, Labels("Tokens by probability (the U)", "probability, from 0 to 1 in 20 bins", "percent")
            )
            + "</div><p></p>"
        )


def _integrity(report: AuditReport) -> str:
    rows = [(item.name, item.says) for item in report.integrity]
    return table("Integrity", ("What", "Found"), rows, texts=2)


def _corpora(report: AuditReport) -> str:
    rows = [
        (c.name, c.role, number(c.documents), number(c.bytes), number(c.words), number(c.median), number(c.sources))
        for c in report.corpora
    ]
    head = ("Corpus", "Role", "Documents", "Bytes", "Words", "Median passage", "Sources in the sample")
    body = table("What was read", head, rows, texts=2)
    if report.dropped:
        rows2 = [(reason, number(count)) for reason, count in report.dropped.items()]
        body += table("Set aside, by reason", ("Reason", "Rows"), rows2)
    return body
