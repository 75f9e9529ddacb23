"""Plots as inline SVG: numbers in, markup out. Colours come from the page's variables, so they follow its theme."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recension.report.page import escape

WIDTH, HEIGHT = 440, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 24, 44
INNER_WIDTH, INNER_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM


@dataclass(frozen=True, slots=True)
class Labels:
    """What stands around a plot. `says` is one sentence for those who cannot see it; "" makes one from the numbers."""

    title: str
    x: str
    y: str
    says: str = ""


def histogram(
    counts: Sequence[float], labels: Labels, low: float = 0.0, high: float = 1.0, mark: tuple[float, str] | None = None
) -> str:
    """Bars over equal bins of [low, high], as shares of the sum. `mark` draws a line at a value, with its name."""
    total = math.fsum(counts)
    if not counts or total <= 0:
        return frame(labels, "nothing was counted", empty())
    shares = [100 * c / total for c in counts]
    top, step = _scale(max(shares))
    width = INNER_WIDTH / len(counts)
    gap = min(1.5, width * 0.2)
    span = (high - low) / len(counts)
    bars = []
    for i, share in enumerate(shares):
        if not share:
            continue
        tall = max(INNER_HEIGHT * share / top, 0.75)
        bars.append(
            f'<rect class="bar" x="{LEFT + i * width + gap / 2:.2f}" y="{TOP + INNER_HEIGHT - tall:.2f}" '
            f'width="{width - gap:.2f}" height="{tall:.2f}">'
            f"<title>{escape(f'{low + i * span:.4g} to {low + (i + 1) * span:.4g}: {short(share)}%')}</title></rect>"
        )
    ticks = [(LEFT + INNER_WIDTH * k / 4, f"{low + (high - low) * k / 4:g}") for k in range(5)]
    peak = max(range(len(shares)), key=shares.__getitem__)
    says = labels.says or (
        f"{len(counts)} bars from {low:g} to {high:g}; the tallest, {shares[peak]:.3g}%, "
        f"stands from {low + peak * span:.3g} to {low + (peak + 1) * span:.3g}."
    )
    rule = "" if mark is None else _rule(LEFT + INNER_WIDTH * (mark[0] - low) / (high - low), mark[1])
    return frame(labels, says, y_axis(top, step, "%") + "".join(bars) + x_axis(ticks) + rule)


def line_chart(series: Mapping[str, Sequence[tuple[float, float]]], labels: Labels, unit: str = "") -> str:
    """A line for each name, through its (x, y) points, from zero up. The last point of each line carries its name."""
    points = [p for line in series.values() for p in line]
    if not points:
        return frame(labels, "there are no points", empty())
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    top, step = _scale(max(0, *(y for _, y in points)))
    width = last - first

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - first) / width if width else 0.5
        return LEFT + INNER_WIDTH * across, TOP + INNER_HEIGHT * (1 - min(max(y, 0), top) / top)

    drawn, says, legend_x = [], [], float(LEFT)
    for i, (name, line) in enumerate(series.items()):
        spots = [place(x, y) for x, y in line]
        path = " ".join(f"{'L' if k else 'M'}{x:.2f} {y:.2f}" for k, (x, y) in enumerate(spots))
        drawn.append(f'<path class="line tone{i % 2}{" dash" if i > 1 else ""}" d="{path}"/>')
        drawn += [
            f'<circle class="dot tone{i % 2}" cx="{x:.2f}" cy="{y:.2f}" r="3">'
            f"<title>{escape(f'{name}, {line[k][0]:g}: {short(line[k][1])}{unit}')}</title></circle>"
            for k, (x, y) in enumerate(spots)
        ]
        drawn.append(
            f'<rect class="key tone{i % 2}" x="{legend_x:.0f}" y="6" width="10" height="3"/>'
            f'<text class="tick" x="{legend_x + 15:.0f}" y="12">{escape(name)}</text>'
        )
        legend_x += 30 + 6.4 * len(name)
        if line:
            says.append(f"{name} from {short(line[0][1])}{unit} to {short(line[-1][1])}{unit}")
    marks = sorted({x for x, _ in points})
    every = max(1, math.ceil(len(marks) / 8))
    ticks = [(place(x, 0)[0], f"{x:g}") for x in marks[::every]]
    return frame(labels, labels.says or "; ".join(says) + ".", y_axis(top, step, unit) + "".join(drawn) + x_axis(ticks))


def curve_chart(series: Mapping[str, Sequence[tuple[float, float]]], labels: Labels) -> str:
    """Lines of many points, on an axis as wide as their values: what a training is watched by."""
    points = [p for line in series.values() for p in line if math.isfinite(p[1])]
    if not points:
        return frame(labels, "there are no points", empty())
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    if low < 0.4 * high:
        low = min(low, 0.0)
    step = _scale(high - low)[1] if high > low else max(abs(high), 1e-12) / 4
    bottom = step * math.floor(low / step + 1e-9)
    top = step * max(math.ceil(high / step - 1e-9), math.floor(low / step) + 1)
    width = last - first

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - first) / width if width else 0.5
        return LEFT + INNER_WIDTH * across, TOP + INNER_HEIGHT * (1 - (y - bottom) / (top - bottom))

    drawn, says, legend_x = [], [], float(LEFT)
    for i, (name, line) in enumerate(series.items()):
        spots = [place(x, y) for x, y in line if math.isfinite(y)]
        path = " ".join(f"{'L' if k else 'M'}{x:.2f} {y:.2f}" for k, (x, y) in enumerate(spots))
        drawn.append(f'<path class="line thin tone{i % 2}" d="{path}"/>')
        if len(line) <= 40:
            drawn += [
                f'<circle class="dot tone{i % 2}" cx="{x:.2f}" cy="{y:.2f}" r="2.5">'
                f"<title>{escape(f'{name}, {line[k][0]:g}: {short(line[k][1])}')}</title></circle>"
                for k, (x, y) in enumerate(spots)
            ]
        if len(series) > 1:
            drawn.append(
                f'<rect class="key tone{i % 2}" x="{legend_x:.0f}" y="6" width="10" height="3"/>'
                f'<text class="tick" x="{legend_x + 15:.0f}" y="12">{escape(name)}</text>'
            )
            legend_x += 30 + 6.4 * len(name)
        says.append(f"{name} from {short(line[0][1])} to {short(line[-1][1])}")
    steps = int(width) if width in range(5, 9) else 4  # a step of a whole number where there is one
    ticks = [
        (place(first + width * k / steps, bottom)[0], _across(first + width * k / steps, width / steps))
        for k in range(steps + 1 if width else 1)
    ]
    lines = []
    for k in range(1 + round((top - bottom) / step)):
        y = TOP + INNER_HEIGHT * (1 - k * step / (top - bottom))
        if k:
            lines.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.2f}" y2="{y:.2f}"/>')
        label = short(bottom + k * step)
        lines.append(f'<text class="tick" x="{LEFT - 7}" y="{y + 4:.2f}" text-anchor="end">{label}</text>')
    return frame(labels, labels.says or "; ".join(says) + ".", "".join(lines) + "".join(drawn) + x_axis(ticks))


def _across(value: float, step: float) -> str:
    """A number on an axis with as many places as its step needs."""
    return f"{value:,.{0 if step >= 4 or step % 1 == 0 else 1 if step >= 0.5 else 2}f}"


def frame(labels: Labels, says: str, inside: str) -> str:
    return (
        f'<figure class="plot"><figcaption>{escape(labels.title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{labels.title}: {says}")}">'
        f'{inside}<text class="axis" x="{LEFT + INNER_WIDTH / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">'
        f'{escape(labels.x)}</text><text class="axis" text-anchor="middle" '
        f'transform="translate(12 {TOP + INNER_HEIGHT / 2:.0f}) rotate(-90)">{escape(labels.y)}</text>'
        "</svg></figure>\n"
    )


def empty() -> str:
    middle = LEFT + INNER_WIDTH / 2
    return (
        x_axis([]) + f'<text class="axis" x="{middle:.0f}" y="{TOP + INNER_HEIGHT / 2:.0f}" text-anchor="middle">'
        "nothing to draw</text>"
    )


def y_axis(top: float, step: float, unit: str) -> str:
    parts = []
    for k in range(1 + round(top / step)):
        y = TOP + INNER_HEIGHT * (1 - k * step / top)
        if k:
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.2f}" y2="{y:.2f}"/>')
        label = f"{short(k * step)}{escape(unit)}"
        parts.append(f'<text class="tick" x="{LEFT - 7}" y="{y + 4:.2f}" text-anchor="end">{label}</text>')
    return "".join(parts)


def x_axis(ticks: Sequence[tuple[float, str]]) -> str:
    y = TOP + INNER_HEIGHT
    line = f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
    return line + "".join(
        f'<text class="tick" x="{x:.2f}" y="{y + 17}" text-anchor="middle">{escape(label)}</text>' for x, label in ticks
    )


def _rule(x: float, name: str) -> str:
    end = x > LEFT + INNER_WIDTH / 2
    return (
        f'<line class="rule" x1="{x:.2f}" x2="{x:.2f}" y1="{TOP - 18}" y2="{TOP + INNER_HEIGHT}"/>'
        f'<text class="tick strong" x="{x - 6 if end else x + 6:.2f}" y="{TOP - 8}" '
        f'text-anchor="{"end" if end else "start"}">{escape(name)}</text>'
    )


def _scale(highest: float) -> tuple[float, float]:
    """The end of an axis and its step: three to five round steps."""
    if highest <= 0:
        return 1.0, 0.25
    power = 10.0 ** math.floor(math.log10(highest / 4))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m * 5 >= highest)
    return step * math.ceil(highest / step - 1e-9), step


def short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
