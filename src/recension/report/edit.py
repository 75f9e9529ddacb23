"""What an edit did: as a page, and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from recension.report.page import (
    closing,
    counted,
    decimal,
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
from recension.report.plots import Labels, histogram, line_chart
from recension.report.values import EditReport, GenerationReport

SHOWN_PLOTS = 6


def sentence(report: EditReport) -> str:
    """The result in one breath."""
    lost = sum(report.dropped.values())
    aside = f" {counted(lost, 'input row was', 'input rows were')} set aside, each with its reason." if lost else ""
    steps = report.generations
    if not steps or not report.tokens:
        return f"Nothing was edited: {counted(report.documents, 'document')}, no tokens.{aside}"
    first, last = steps[0], steps[-1]
    where = f"{number(last.tokens)} tokens in {counted(report.documents, 'document')}"
    if len(steps) > 1:
        what = (
            f"Over {len(steps)} generations of {where}, {percent(first.changed, first.tokens)} of the tokens were "
            f"replaced in the first and {percent(last.changed, last.tokens)} in the last."
        )
    elif not last.changed:
        what = f"None of the {where} was replaced."
    else:
        what = f"{number(last.changed)} of {where} were replaced ({percent(last.changed, last.tokens)})."
    return f"{what} Every character outside the edits is the original's.{aside}"


def headline(report: EditReport) -> str:
    """The figures at the top of a page. With several generations they are those of the last."""
    dropped = sum(report.dropped.values())
    items = [("Documents", number(report.documents), f"{number(dropped)} set aside")]
    if report.generations:
        g = report.generations[-1]
        late = f"generation {g.generation}" if len(report.generations) > 1 else ""
        items += [
            ("Tokens", number(g.tokens), late),
            ("Flagged", number(g.flagged), percent(g.flagged, g.tokens)),
            ("Changed", number(g.changed), percent(g.changed, g.tokens)),
            ("Protected", number(g.protected), percent(g.protected, g.tokens)),
            ("Not editable", number(g.not_editable), percent(g.not_editable, g.tokens)),
            ("Log-probability before", decimal(g.logprob_before), "mean per token"),
            ("Log-probability after", decimal(g.logprob_after), _moved(g)),
        ]
    return figures(items)


def generation_table(report: EditReport) -> str:
    """One row for each generation."""
    cut = any(g.truncated for g in report.generations)
    head = ("Generation", "Prior", "Tokens", "Flagged", "Changed", "Protected", "Not editable")
    rows = [
        (
            str(g.generation),
            g.prior,
            number(g.tokens),
            percent(g.flagged, g.tokens),
            percent(g.changed, g.tokens),
            number(g.protected),
            number(g.not_editable),
            *((number(g.truncated),) if cut else ()),
            f"{decimal(g.logprob_before)} → {decimal(g.logprob_after)}",
        )
        for g in report.generations
    ]
    return table("Generations", (*head, *(("Cut short",) if cut else ()), "Mean log p"), rows, texts=2)


def settings_table(settings: Mapping[str, str]) -> str:
    if not settings:
        return ""
    rows = [(name, value) for name, value in settings.items()]
    return f'<div class="settings">{table("Settings", ("Name", "Value"), rows, texts=2)}</div>'


def plots(report: EditReport) -> str:
    """For each generation the U of the token probabilities and where in the documents the edits are."""
    drawn = []
    several = len(report.generations) > 1
    if several:
        shares = {
            "flagged": [(float(g.generation), _share(g.flagged, g.tokens)) for g in report.generations],
            "changed": [(float(g.generation), _share(g.changed, g.tokens)) for g in report.generations],
        }
        drawn.append(line_chart(shares, Labels("Flagged and changed", "generation", "share of tokens"), "%"))
        means = [(float(g.generation), g.logprob_before) for g in report.generations]
        if all(m is not None for _, m in means):
            losses = {"before": [(x, -m) for x, m in means if m is not None]}
            after = [(float(g.generation), g.logprob_after) for g in report.generations]
            losses["after"] = [(x, -m) for x, m in after if m is not None]
            drawn.append(line_chart(losses, Labels("Mean surprise of a token", "generation", "−log p (nats)")))
    threshold = _number(report.settings.get("threshold"))
    mark = None if threshold is None or not 0 <= threshold <= 1 else (threshold, f"threshold {threshold:g}")
    for g in report.generations[: SHOWN_PLOTS // 2 if several else 1]:
        late = f", generation {g.generation}" if several else ""
        drawn.append(
            histogram(
                g.probabilities,
                Labels(f"How sure the prior was{late}", "probability of the token that stood there", "share of tokens"),
                mark=mark,
            )
        )
        drawn.append(
            histogram(
                g.positions,
                Labels(f"Where the edits are{late}", "place in the document, from start to end", "share of edits"),
            )
        )
    return f'<div class="plots">{"".join(drawn)}</div>\n' if drawn else ""


def edit_page(report: EditReport) -> str:
    """`report.html` of a run."""
    parts = [
        '<div class="wrap">',
        masthead(f"recension edit · run {report.run}", report.title, sentence(report)),
        f'<main>\n<section aria-label="In numbers">{headline(report)}</section>\n',
    ]
    if report.generations:
        parts.append(f"<section>{generation_table(report)}{_TERMS}</section>\n<section>{plots(report)}</section>\n")
    parts.append(worth_knowing(report.notes))
    parts.append(set_aside(report.dropped))
    parts.append(f"<section>{settings_table(report.settings)}</section>\n")
    parts.append(_NEXT)
    parts.append("</main>\n<footer>One file, no network: it can be kept and sent as it is.</footer>\n</div>\n")
    return opening(report.title) + "".join(parts) + closing()


_TERMS = """<p class="terms">Flagged tokens are the ones the thresholds picked; changed are those that came out
different. Protected tokens were flagged and kept by <code>--protect</code>; not editable ones do not stand on whole
characters or have nothing to be drawn for them; cut short (if any) are positions where top-p wanted more candidates than
are fetched. Log p is natural; the second figure has the new tokens in the place of the old.</p>
"""
_NEXT = """<section><h2>What can be done with this folder</h2>
<p>Prove that no row is missing and no byte was changed since:</p>
<pre><code>recension verify .</code></pre>
<p>Read the edits where they stand:</p>
<pre><code>recension view .</code></pre>
<p>Restore every original text, byte for byte:</p>
<pre><code>recension revert . -o ../original</code></pre></section>
"""


def edit_summary_lines(report: EditReport) -> list[str]:
    """The result for a terminal: plain text, aligned, no colours."""
    lines = [sentence(report)]
    for g in report.generations:
        which = f"generation {g.generation} ({g.prior})" if len(report.generations) > 1 else g.prior
        lines.append(
            f"  {which}: flagged {number(g.flagged)} ({percent(g.flagged, g.tokens)}), changed {number(g.changed)} "
            f"({percent(g.changed, g.tokens)}), protected {number(g.protected)}, not editable {number(g.not_editable)}"
        )
        if g.logprob_before is not None:
            lines.append(
                f"    mean log-probability {decimal(g.logprob_before)} before, {decimal(g.logprob_after)} after"
            )
        if g.truncated:
            lines.append(f"    {number(g.truncated)} positions had more candidates than are fetched")
    lines += set_aside_line(report.dropped)
    return printable((*lines, *(f"  note: {note}" for note in report.notes)))


def _moved(g: GenerationReport) -> str:
    if g.logprob_before is None or g.logprob_after is None:
        return ""
    change = g.logprob_after - g.logprob_before
    return f"{'+' if change > 0 else ''}{decimal(change)}"


def _share(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
