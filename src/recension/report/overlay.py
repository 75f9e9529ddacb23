"""Points of several corpora on a plane, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recension.report.page import Shade, colours, escape
from recension.report.plots import HEIGHT, WIDTH, Labels, empty, frame

EDGE, TOP, BOTTOM = 14, 44, 14
SHAPES = 5
SHADES: Mapping[str, Shade] = {
    "third": Shade("#7b57b3", "#b99cec"),
    "fourth": Shade("#3f7d2f", "#8ecb78"),
    "fifth": Shade("#a67b10", "#e6c65c"),
}


def map_style() -> str:
    """The colours of the third corpus and further ones; the first two have those of bars."""
    fills = ".other{fill:var(--third);opacity:.8}.other3{fill:var(--fourth)}.other4{fill:var(--fifth)}\n"
    return colours(SHADES) + fills


def map_plot(owners: Sequence[int], places: Sequence[tuple[float, float]], names: Sequence[str], labels: Labels) -> str:
    """A dot for each point, in the colour and shape of its corpus. Axes of such a map mean nothing and are left out."""
    if not places:
        return frame(labels, "there are no points", empty())
    xs, ys = [x for x, _ in places], [y for _, y in places]
    wide, tall = max(max(xs) - min(xs), 1e-9), max(max(ys) - min(ys), 1e-9)
    parts, across, line = [], EDGE, 12
    for number, name in enumerate(names):
        shown = name if len(name) <= 18 else f"{name[:9]}…{name[-8:]}"
        size = 26 + 6.6 * len(shown)
        if across + size > WIDTH:
            across, line = EDGE, line + 16
        parts.append(_mark(number, across + 4, line - 4, 4))
        parts.append(f'<text class="tick" x="{across + 13:.0f}" y="{line}">{escape(shown)}</text>')
        across += round(size)
    for owner, (x, y) in zip(owners, places, strict=True):
        right = EDGE + (WIDTH - 2 * EDGE) * (x - min(xs)) / wide
        down = TOP + (HEIGHT - TOP - BOTTOM) * (1 - (y - min(ys)) / tall)
        parts.append(_mark(owner, right, down, 2.2))
    says = labels.says or f"{len(places):,} passages of {len(names)} corpora."
    return frame(labels, says, "".join(parts))


def _mark(number: int, x: float, y: float, radius: float) -> str:
    tone = f"dot tone{number % 2}" if number < 2 else f"other other{number % SHAPES}"
    if number % 2 == 0:
        return f'<circle class="{tone}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'
    side = 1.8 * radius
    return (
        f'<rect class="{tone}" x="{x - side / 2:.1f}" y="{y - side / 2:.1f}" width="{side:.1f}" height="{side:.1f}"/>'
    )
