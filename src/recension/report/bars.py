"""Pairs of bars, one pair for each name: before and after. Numbers in, SVG out."""

from __future__ import annotations

from collections.abc import Mapping

from recension.report.page import escape
from recension.report.plots import HEIGHT, LEFT, RIGHT, TOP, WIDTH, Labels, empty, frame, short

PITCH, NAME, LABEL = 40, 104, 92
MOST = 11


def paired_bars(pairs: Mapping[str, tuple[float, float]], labels: Labels, names: tuple[str, str]) -> str:
    """Shares in per cent; of the names those that the picture has room for."""
    shown = dict(list(pairs.items())[:MOST])
    if not shown:
        return frame(labels, "there is nothing to compare", empty())
    left, width = LEFT + NAME - 44, WIDTH - LEFT - RIGHT - NAME + 44 - LABEL
    top = max(max(pair) for pair in shown.values()) or 1.0
    parts = [
        f'<rect class="key tone{i}" x="{left + 90 * i}" y="6" width="10" height="3"/>'
        f'<text class="tick" x="{left + 15 + 90 * i}" y="12">{escape(name)}</text>'
        for i, name in enumerate(names)
    ]
    pitch = min(PITCH, (HEIGHT - TOP - 30) / len(shown))
    for row, (name, pair) in enumerate(shown.items()):
        y = TOP + 2 + row * pitch
        word = name if len(name) <= 17 else name[:16] + "…"
        parts.append(
            f'<text class="tick" x="{left - 6}" y="{y + pitch * 0.62:.1f}" text-anchor="end">{escape(word)}</text>'
        )
        for i, value in enumerate(pair):
            says = f"{name}, {names[i]}: {short(value)}%"
            parts.append(
                f'<rect class="{"bar" if not i else "bar two"}" x="{left}" y="{y + i * pitch * 0.42:.1f}" '
                f'width="{max(width * value / top, 0.8):.1f}" height="{pitch * 0.36:.1f}"><title>{escape(says)}</title></rect>'
            )
        parts.append(
            f'<text class="tick" x="{left + width * max(pair) / top + 6:.1f}" y="{y + pitch * 0.62:.1f}">'
            f"{escape(f'{short(pair[0])} → {short(pair[1])}%')}</text>"
        )
    moved = max(shown, key=lambda name: abs(shown[name][1] - shown[name][0]))
    says = labels.says or f"most changed: {moved}, from {short(shown[moved][0])}% to {short(shown[moved][1])}%."
    return frame(labels, says, "".join(parts))
