"""Dots with their intervals, one row for each name: numbers in, SVG out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from recension.report.page import escape
from recension.report.plots import WIDTH, Labels

NAMES, RIGHT, TOP, ROW, APART, BOTTOM = 154, 16, 26, 26, 7, 46
LONGEST_NAME = 19  # characters
HALF_A_STEP = 1e-9


class Mark(NamedTuple):
    value: float
    low: float
    high: float


def interval_plot(
    rows: Mapping[str, Sequence[Mark]],
    labels: Labels,
    series: Sequence[str] = (),
    zero: bool = False,
    chance: Mapping[str, float] | None = None,
) -> str:
    """A row for each name with a dot and its interval for each series.

    `zero` draws the line of no difference, `chance` marks what guessing gives in a row.
    """
    known = [value for marks in rows.values() for mark in marks for value in mark if math.isfinite(value)]
    known += (chance or {}).values()
    several = len(series) > 1
    top = TOP + (16 * len(series) if several else 0)
    bottom = top + ROW * len(rows)
    height = bottom + BOTTOM
    if zero:
        known.append(0.0)
    low, high, step = round_axis(known)
    inner = WIDTH - NAMES - RIGHT

    def across(value: float) -> float:
        return NAMES + inner * (value - low) / (high - low)

    parts = []
    for k in range(round((high - low) / step) + 1):
        value = low + k * step
        x = across(value)
        parts.append(
            f'<line class="grid" x1="{x:.2f}" x2="{x:.2f}" y1="{top - 6}" y2="{bottom}"/>'
            f'<text class="tick" x="{x:.2f}" y="{bottom + 16}" text-anchor="middle">{tick(value, step)}</text>'
        )
    if zero:
        x = across(0.0)
        parts.append(f'<line class="rule" x1="{x:.2f}" x2="{x:.2f}" y1="{top - 6}" y2="{bottom}"/>')
    if several:
        for i, name in enumerate(series):
            line = TOP - 14 + 16 * i
            parts.append(
                f'<circle class="dot tone{i % 2}" cx="12" cy="{line - 4}" r="4"/>'
                f'<text class="tick" x="22" y="{line}">{escape(name)}</text>'
            )
    told = []
    for row, (name, marks) in enumerate(rows.items()):
        middle = top + ROW * (row + 0.5)
        parts.append(
            f'<text class="tick strong" x="{NAMES - 10}" y="{middle + 4:.1f}" text-anchor="end">'
            f"{escape(_cut(name))}<title>{escape(name)}</title></text>"
        )
        if chance and name in chance:
            x = across(chance[name])
            parts.append(
                f'<line class="rule" x1="{x:.2f}" x2="{x:.2f}" y1="{middle - 10:.1f}" y2="{middle + 10:.1f}"/>'
            )
            told.append(f"chance, {name}: {chance[name]:.4g}")
        for i, mark in enumerate(marks):
            y = middle + APART * (i - (len(marks) - 1) / 2)
            which = f"{series[i]}, {name}" if several else name
            known_ends = math.isfinite(mark.low) and math.isfinite(mark.high)
            says = f"{which}: {mark.value:.4g}" + (
                f", 95% from {mark.low:.4g} to {mark.high:.4g}" if known_ends else ""
            )
            told.append(says)
            if known_ends:
                parts.append(
                    f'<line class="line tone{i % 2}" x1="{across(mark.low):.2f}" x2="{across(mark.high):.2f}" '
                    f'y1="{y:.2f}" y2="{y:.2f}"><title>{escape(says)}</title></line>'
                )
            if math.isfinite(mark.value):
                parts.append(
                    f'<circle class="dot tone{i % 2}" cx="{across(mark.value):.2f}" cy="{y:.2f}" r="3.5">'
                    f"<title>{escape(says)}</title></circle>"
                )
    says = labels.says or "; ".join(told[:12]) + "."
    return (
        f'<figure class="plot"><figcaption>{escape(labels.title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(f"{labels.title}: {says}")}">'
        f'{"".join(parts)}<text class="axis" x="{WIDTH / 2:.0f}" y="{height - 8}" text-anchor="middle">'
        f"{escape(labels.x)}</text></svg></figure>\n"
    )


def round_axis(known: Sequence[float]) -> tuple[float, float, float]:
    """Both ends of an axis that holds all values, and its round step."""
    low, high = min(known, default=0.0), max(known, default=1.0)
    if high - low < abs(high) * 1e-6 + 1e-12:
        low, high = low - max(abs(low) * 0.05, 1e-3), high + max(abs(high) * 0.05, 1e-3)
    power = 10.0 ** math.floor(math.log10((high - low) / 3))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m * 4 >= high - low)
    return step * math.floor(low / step + HALF_A_STEP), step * math.ceil(high / step - HALF_A_STEP), step


def tick(value: float, step: float) -> str:
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    places += step * 10**places % 1 > 1e-6
    text = f"{value:.{places}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else f"{0:.{places}f}"


def _cut(name: str) -> str:
    """A long name without its middle: what tells names apart is often their end."""
    if len(name) <= LONGEST_NAME:
        return name
    half = LONGEST_NAME // 2
    return f"{name[: LONGEST_NAME - 1 - half]}…{name[-half:]}"
