"""Curves with intervals, with stretches of the axis shaded: what goes on from generation to generation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from recension.report.intervals import round_axis, tick
from recension.report.page import Shade, asset, colours, escape
from recension.report.plots import INNER_HEIGHT, LEFT, TOP, WIDTH, Labels, empty, frame, short

TONES: Mapping[str, Shade] = {
    "tone-0": Shade("#1b7390", "#6fb7cf"),
    "tone-1": Shade("#b0532c", "#e29a74"),
    "tone-2": Shade("#2e7a4c", "#7ac695"),
    "tone-3": Shade("#7550a3", "#b89ce2"),
    "tone-4": Shade("#a5386d", "#e38fb8"),
    "tone-5": Shade("#6a661c", "#c8c264"),
}
Scale = Callable[[float], float]  # from a value to its place

RIGHT_PLAIN, RIGHT_NAMED = 14, 126
APART = 13  # between two names at the end of their lines


class Point(NamedTuple):
    """A value with its interval; without one, low and high are the value."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A line, a broken line, dots with their intervals, or dots on a line or on a broken one."""

    name: str
    points: Sequence[Point]
    tone: int = 0
    kind: Literal["line", "dash", "dots", "both", "dashed"] = "line"


class Stretch(NamedTuple):
    """A part of the x axis that is shaded, and why."""

    start: float
    end: float
    name: str


def plain(values: Sequence[float], first: float = 1) -> list[Point]:
    """Values by generation, without intervals."""
    return [Point(first + i, y, y, y) for i, y in enumerate(values)]


def style() -> str:
    return colours(TONES) + asset("bands.css")


def curves(found: Sequence[Curve], labels: Labels, shaded: Sequence[Stretch] = (), named: bool = False) -> str:
    """Curves on one axis, as high as their values; with `named` each carries its name at its end."""
    points = [p for curve in found for p in curve.points if math.isfinite(p.low) and math.isfinite(p.high)]
    if not points:
        return frame(labels, "there is nothing to draw", empty())
    right = RIGHT_NAMED if named else RIGHT_PLAIN
    inner = WIDTH - LEFT - right
    first, last = min(p.x for p in points), max(p.x for p in points)
    bottom, top, step = _axis(min(p.low for p in points), max(p.high for p in points))

    def across(x: float) -> float:
        return LEFT + inner * (x - first) / (last - first) if last > first else LEFT + inner / 2

    def down(y: float) -> float:
        return TOP + INNER_HEIGHT * (1 - (min(max(y, bottom), top) - bottom) / (top - bottom))

    parts = [_shade(stretch, across, (first, last)) for stretch in shaded]
    for k in range(1 + round((top - bottom) / step)):
        y = down(bottom + k * step)
        if k:
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + inner}" y1="{y:.2f}" y2="{y:.2f}"/>')
        value = tick(bottom + k * step, step)
        parts.append(f'<text class="tick" x="{LEFT - 7}" y="{y + 4:.2f}" text-anchor="end">{value}</text>')
    ends = []
    for curve in found:
        parts.append(_drawn(curve, across, down))
        if curve.points:
            ends.append((down(curve.points[-1].y), curve))
    if named:
        parts += _names(ends, LEFT + inner + 6)
    parts.append(_x_axis(first, last, across, inner))
    says = "; ".join(
        f"{c.name} from {short(c.points[0].y)} to {short(c.points[-1].y)}" for c in found if c.points
    ) + "".join(f"; shaded: {s.name}" for s in shaded)
    return frame(labels, labels.says or f"{says}.", "".join(parts))


def _axis(low: float, high: float) -> tuple[float, float, float]:
    """Bottom, top and step of an axis; from zero where that wastes little."""
    return round_axis([min(low, 0.0) if low < 0.5 * high else low, high])


def _drawn(curve: Curve, across: Scale, down: Scale) -> str:
    spots = [(across(p.x), down(p.y), p) for p in curve.points if math.isfinite(p.y)]
    tone = f"t{curve.tone % 6}"
    parts = []
    if curve.kind != "dots":
        path = " ".join(f"{'L' if i else 'M'}{x:.2f} {y:.2f}" for i, (x, y, _) in enumerate(spots))
        parts.append(f'<path class="curve {tone}{" broken" if curve.kind in ("dash", "dashed") else ""}" d="{path}"/>')
    if curve.kind in ("dots", "both", "dashed"):
        for x, y, p in spots:
            if p.high > p.low and math.isfinite(p.high) and math.isfinite(p.low):
                a, b = down(p.low), down(p.high)
                parts.append(f'<line class="spread {tone}" x1="{x:.2f}" x2="{x:.2f}" y1="{a:.2f}" y2="{b:.2f}"/>')
            told = f"{curve.name}, {p.x:g}: {short(p.y)}"
            told += f" ({short(p.low)} to {short(p.high)})" if p.high > p.low else ""
            parts.append(
                f'<circle class="spot {tone}" cx="{x:.2f}" cy="{y:.2f}" r="3"><title>{escape(told)}</title></circle>'
            )
    return "".join(parts)


def _shade(stretch: Stretch, across: Scale, ends: tuple[float, float]) -> str:
    a, b = across(max(stretch.start, ends[0])), across(min(stretch.end, ends[1]))
    return (
        f'<rect class="shaded" x="{a:.2f}" y="{TOP}" width="{max(b - a, 2):.2f}" height="{INNER_HEIGHT}">'
        f"<title>{escape(stretch.name)}</title></rect>"
    )


def _names(ends: Sequence[tuple[float, Curve]], x: float) -> list[str]:
    """The names at the ends of their lines, moved apart where they would lie on each other."""
    placed: list[tuple[float, Curve]] = []
    for y, curve in sorted(ends, key=lambda end: end[0]):
        placed.append((max(y, placed[-1][0] + APART) if placed else y, curve))
    over = max(0.0, placed[-1][0] - (TOP + INNER_HEIGHT)) if placed else 0.0
    return [
        f'<text class="name t{curve.tone % 6}" x="{x:.0f}" y="{y - over + 4:.2f}">{escape(curve.name)}</text>'
        for y, curve in placed
    ]


def _x_axis(first: float, last: float, across: Scale, inner: float) -> str:
    span = last - first
    every = next(step for step in (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 10_000) if span / step <= 8)
    marks = [first, *(x for x in range(math.ceil(first), math.floor(last) + 1) if x % every == 0 and x > first)]
    if len(marks) > 1 and every > 1 and marks[1] - first < every / 2:
        del marks[1]
    y = TOP + INNER_HEIGHT
    line = f'<line class="base" x1="{LEFT}" x2="{LEFT + inner}" y1="{y}" y2="{y}"/>'
    return line + "".join(
        f'<text class="tick" x="{across(x):.2f}" y="{y + 17}" text-anchor="middle">{x:g}</text>' for x in marks
    )


def legend(items: Sequence[tuple[str, int, str]]) -> str:
    """What is drawn how, above several plots: (words, tone, line | dash | dots | shaded)."""
    shapes = {
        "line": '<line class="curve t{0}" x1="0" x2="26" y1="7" y2="7"/>',
        "dash": '<line class="curve broken t{0}" x1="0" x2="26" y1="7" y2="7"/>',
        "dots": '<line class="spread t{0}" x1="13" x2="13" y1="0" y2="14"/><circle class="spot t{0}" cx="13" cy="7" r="3"/>',
        "shaded": '<rect class="shaded" width="26" height="14"/>',
    }
    parts = [
        f'<li><svg viewBox="0 0 26 14" width="26" height="14" aria-hidden="true">{shapes[kind].format(tone)}</svg>'
        f"{escape(words)}</li>"
        for words, tone, kind in items
    ]
    return f'<ul class="key-list">{"".join(parts)}</ul>\n'
