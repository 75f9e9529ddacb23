"""Dots with their intervals, one row for each, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from recension.report.page import escape
from recension.report.plots import Labels

WIDTH, ROW, TOP, BOTTOM, RIGHT = 440, 24, 12, 46, 50
LETTER = 6.6  # the width of a letter of the labels, about
LONGEST = 26


class Interval(NamedTuple):
    """A value in percent with the ends of its interval, and the level of chance where it is known."""

    name: str
    value: float
    low: float | None
    high: float | None
    chance: float | None = None


def interval_plot(rows: Sequence[Interval], labels: Labels) -> str:
    """A dot with a line through it for each row, over an axis from 0 to 100."""
    names = [row.name if len(row.name) <= LONGEST else row.name[: LONGEST - 1] + "…" for row in rows]
    left = 14 + LETTER * max(map(len, names))
    inner = WIDTH - left - RIGHT
    height = TOP + ROW * len(rows) + BOTTOM
    foot = TOP + ROW * len(rows)

    def place(value: float) -> float:
        return left + inner * min(max(value, 0.0), 100.0) / 100

    drawn = []
    for tick in range(0, 101, 25):
        x = place(tick)
        drawn.append(f'<line class="grid" x1="{x:.2f}" x2="{x:.2f}" y1="{TOP}" y2="{foot}"/>')
        drawn.append(f'<text class="tick" x="{x:.2f}" y="{foot + 17}" text-anchor="middle">{tick}</text>')
    drawn.append(f'<line class="base" x1="{left:.2f}" x2="{WIDTH - RIGHT}" y1="{foot}" y2="{foot}"/>')
    says = []
    for i, (row, name) in enumerate(zip(rows, names, strict=True)):
        y = TOP + ROW * (i + 0.5)
        told = f"{row.name}: {row.value:.1f}%"
        drawn.append(f'<text class="tick" x="{left - 8:.2f}" y="{y + 4:.2f}" text-anchor="end">{escape(name)}</text>')
        if row.low is not None and row.high is not None:
            told += f" ({row.low:.1f} to {row.high:.1f})"
            drawn.append(
                f'<line class="line tone0" x1="{place(row.low):.2f}" x2="{place(row.high):.2f}" '
                f'y1="{y:.2f}" y2="{y:.2f}"/>'
            )
        if row.chance is not None:
            told += f", chance {row.chance:.1f}%"
            x = place(row.chance)
            drawn.append(f'<line class="chance" x1="{x:.2f}" x2="{x:.2f}" y1="{y - 9:.2f}" y2="{y + 9:.2f}"/>')
        drawn.append(
            f'<circle class="dot tone0" cx="{place(row.value):.2f}" cy="{y:.2f}" r="4">'
            f"<title>{escape(told)}</title></circle>"
            f'<text class="tick" x="{WIDTH - RIGHT + 12}" y="{y + 4:.2f}">{row.value:.1f}</text>'
        )
        says.append(told)
    spoken = escape(f"{labels.title}: {labels.says or '; '.join(says)}.")
    return (
        f'<figure class="plot"><figcaption>{escape(labels.title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{spoken}">{"".join(drawn)}'
        f'<text class="axis" x="{left + inner / 2:.0f}" y="{height - 6}" text-anchor="middle">{escape(labels.x)}</text>'
        "</svg></figure>\n"
    )
