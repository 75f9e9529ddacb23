"""Bars that lie: shares of a whole stacked along a line, and values by name. As SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recension.report.page import escape
from recension.report.plots import WIDTH, Labels, empty, frame, short

EDGE, NAMES, BAR, GAP, LETTER = 12, 92, 26, 16, 6.6
MOST = 12  # names of a chart; more go into one line
TONES = 6


def stacked(rows: Mapping[str, Sequence[float]], parts: Sequence[str], labels: Labels) -> str:
    """A bar for each row, as long as the chart, made of the shares of its parts, which all rows have in common."""
    if not any(sum(values) for values in rows.values()):
        return frame(labels, "there is nothing", empty())
    drawn, across, line = [], float(EDGE), 16
    for i, part in enumerate(parts):
        shown = _short(part)
        size = 32 + LETTER * len(shown)
        if across + size > WIDTH and across > EDGE:
            across, line = float(EDGE), line + 18
        drawn.append(
            f'<rect class="part part{i % TONES}" x="{across:.0f}" y="{line - 9}" width="10" height="10" rx="2"/>'
        )
        drawn.append(f'<text class="tick" x="{across + 15:.0f}" y="{line}">{escape(shown)}</text>')
        across += size
    top, wide, says = line + 16, WIDTH - NAMES - EDGE, []
    for k, (row, values) in enumerate(rows.items()):
        y, at, whole = top + k * (BAR + GAP), float(NAMES), sum(values)
        drawn.append(
            f'<text class="tick" x="{NAMES - 8}" y="{y + BAR / 2 + 4:.0f}" text-anchor="end">{escape(_short(row))}</text>'
        )
        for i, value in enumerate(values):
            if not value or not whole:
                continue
            size, share = wide * value / whole, 100 * value / whole
            drawn.append(
                f'<rect class="part part{i % TONES}" x="{at:.2f}" y="{y}" width="{max(size - 1.5, 0.75):.2f}" height="{BAR}" '
                f'rx="2"><title>{escape(f"{row}, {parts[i]}: {value:,.0f} ({short(share)}%)")}</title></rect>'
            )
            if size > 34:
                drawn.append(
                    f'<text class="within within{i % TONES}" x="{at + size / 2:.1f}" y="{y + BAR / 2 + 4:.0f}" '
                    f'text-anchor="middle">{short(share)}%</text>'
                )
            at += size
        shares = ", ".join(f"{p} {short(100 * v / whole)}%" for p, v in zip(parts, values, strict=True) if v and whole)
        says.append(f"{row}: {shares}")
    return _sized(labels, "; ".join(says) + ".", "".join(drawn), top + len(rows) * (BAR + GAP))


def bar_chart(values: Mapping[str, float], labels: Labels) -> str:
    """A bar for each name, from zero, with its value at the end."""
    if not values:
        return frame(labels, "there is nothing", empty())
    items = list(values.items())
    if len(items) > MOST:
        rest = items[MOST - 1 :]
        items = [*items[: MOST - 1], (f"and {len(rest)} more, at most", max(value for _, value in rest))]
    most = max(*(value for _, value in items), 1e-12)
    wide, drawn = WIDTH - NAMES - EDGE - 46, []
    for k, (name, value) in enumerate(items):
        y = 12 + k * (BAR + 8)
        drawn.append(
            f'<text class="tick" x="{NAMES - 8}" y="{y + BAR / 2 + 4:.0f}" text-anchor="end">{escape(_short(name))}</text>'
        )
        size = max(wide * value / most, 1.0)
        drawn.append(
            f'<rect class="bar" x="{NAMES}" y="{y}" width="{size:.2f}" height="{BAR}" rx="2">'
            f"<title>{escape(f'{name}: {short(value)}')}</title></rect>"
            f'<text class="tick strong" x="{NAMES + size + 6:.1f}" y="{y + BAR / 2 + 4:.0f}">{short(value)}</text>'
        )
    says = "; ".join(f"{name} {short(value)}" for name, value in items) + "."
    return _sized(labels, says, "".join(drawn), 12 + len(items) * (BAR + 8))


def _name(name: str, y: float) -> str:
    """What stands before a bar."""
    down = f"{y + BAR / 2 + 4:.0f}"
    return f'<text class="tick" x="{NAMES - 8}" y="{down}" text-anchor="end">{escape(_short(name))}</text>'


def _short(name: str) -> str:
    return name if len(name) <= 13 else f"{name[:7]}…{name[-5:]}"


def _sized(labels: Labels, says: str, inside: str, height: float) -> str:
    told, middle = escape(f"{labels.title}: {labels.says or says}"), NAMES + (WIDTH - NAMES - EDGE) / 2
    return (
        f'<figure class="plot"><figcaption>{escape(labels.title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {height + 24:.0f}" role="img" aria-label="{told}">{inside}'
        f'<text class="axis" x="{middle:.0f}" y="{height + 16:.0f}" text-anchor="middle">{escape(labels.x)}</text>'
        "</svg></figure>\n"
    )
