"""Two numbers for one thing: a scatter against the diagonal, and bars above and below zero. Numbers in, SVG out."""

from __future__ import annotations

from collections.abc import Sequence

from recension.report.intervals import round_axis, tick
from recension.report.page import escape
from recension.report.plots import INNER_HEIGHT, INNER_WIDTH, LEFT, RIGHT, TOP, WIDTH, Labels, empty, frame, x_axis


def scatter(points: Sequence[tuple[float, float]], labels: Labels) -> str:
    """A dot for each pair, on one scale both ways: above the diagonal the second number is the larger one."""
    if not points:
        return frame(labels, "there are no points", empty())
    low, high, step = round_axis([value for point in points for value in point])

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + INNER_WIDTH * (x - low) / (high - low), TOP + INNER_HEIGHT * (1 - (y - low) / (high - low))

    ticks = [low + k * step for k in range(round((high - low) / step) + 1)]
    parts = [_left_axis([(place(low, value)[1], tick(value, step)) for value in ticks])]
    (x1, y1), (x2, y2) = place(low, low), place(high, high)
    parts.append(f'<line class="rule" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')
    radius = 2.5 if len(points) < 300 else 1.6
    for x, y in points:
        across, down = place(x, y)
        parts.append(f'<circle class="point" cx="{across:.1f}" cy="{down:.1f}" r="{radius}"/>')
    parts.append(x_axis([(place(value, low)[0], tick(value, step)) for value in ticks]))
    above = sum(y > x for x, y in points)
    says = labels.says or f"{above:,} of {len(points):,} points lie above the diagonal."
    return frame(labels, says, "".join(parts))


def signed_bars(values: Sequence[float | None], labels: Labels) -> str:
    """Bars over equal bins of [0, 1], up from zero or down from it."""
    known = [value for value in values if value is not None]
    if not known:
        return frame(labels, "there are no values", empty())
    low, high, step = round_axis([0.0, *known])

    def down(value: float) -> float:
        return TOP + INNER_HEIGHT * (1 - (value - low) / (high - low))

    ticks = [low + k * step for k in range(round((high - low) / step) + 1)]
    parts = [_left_axis([(down(value), tick(value, step)) for value in ticks])]
    width = INNER_WIDTH / len(values)
    for i, value in enumerate(values):
        if value is None:
            continue
        top, foot = sorted((down(value), down(0.0)))
        says = f"{i / len(values):.0%} to {(i + 1) / len(values):.0%} of the document: {value:.4g}"
        parts.append(
            f'<rect class="bar" x="{LEFT + i * width + 0.75:.2f}" y="{top:.2f}" width="{width - 1.5:.2f}" '
            f'height="{max(foot - top, 0.75):.2f}"><title>{escape(says)}</title></rect>'
        )
    zero = down(0.0)
    parts.append(f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{zero:.2f}" y2="{zero:.2f}"/>')
    marks = [(LEFT + INNER_WIDTH * k / 4, f"{k / 4:g}") for k in range(5)]
    parts += [
        f'<text class="tick" x="{x:.2f}" y="{TOP + INNER_HEIGHT + 17}" text-anchor="middle">{name}</text>'
        for x, name in marks
    ]
    says = labels.says or f"from {known[0]:.3g} at the start to {known[-1]:.3g} at the end."
    return frame(labels, says, "".join(parts))


def _left_axis(ticks: Sequence[tuple[float, str]]) -> str:
    return "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.2f}" y2="{y:.2f}"/>'
        f'<text class="tick" x="{LEFT - 7}" y="{y + 4:.2f}" text-anchor="end">{name}</text>'
        for y, name in ticks
    )
