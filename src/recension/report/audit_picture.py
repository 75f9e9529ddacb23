"""The verdict as one picture, for a paper or a pull request: an SVG of its own, and a PNG of it where resvg is installed.

Colours stand in it as they are, since not every program that shows an SVG knows variables of CSS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from recension.errors import MissingExtraError, OutputError
from recension.report.audit import AuditReport, FamilyResult, signed
from recension.report.page import PALETTE, escape, number

WIDTH, LEFT, RIGHT, TOP, ROW = 720, 150, 76, 92, 34
STEPS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
HEAD = 22.0  # size of the one bold line
LONGEST = 44  # characters of a name
INKS = {"healthy": "new-ink", "inconclusive": "quiet", "at-risk": "old-ink", "collapsed": "old-ink"}
ZOOM = 2  # pixels of the PNG for each unit


def audit_picture(report: AuditReport) -> str:
    """Level, names, and each family on the curve with its interval and its margin."""
    names = [_short(corpus.name) for corpus in report.corpora]
    height = TOP + ROW * max(1, len(report.families)) + 56
    level = report.level.replace("-", " ").capitalize()
    subject = f"{names[1]} against {names[0]}, {number(report.words)} words of each"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="DejaVu Sans, Verdana, Helvetica, Arial, sans-serif" role="img" aria-label="{escape(report.sentence)}">',
        f"<title>{escape(report.sentence)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="{_ink("paper")}"/>',
        _text(24, 38, level, _ink(INKS[report.level]), HEAD),
        _text(24, 62, subject, _ink("ink"), 13),
    ]
    parts += _plot(report.families, height) if report.families else [
        _text(24, TOP + 20, "The collapse curve moves no figure of this reference.", _ink("quiet"), 13)
    ]  # fmt: skip
    return "".join([*parts, "</svg>\n"])


def _plot(families: Sequence[FamilyResult], height: int) -> list[str]:
    low = min(0.0, *(x for f in families for x in (f.generations, f.low, -f.margin) if math.isfinite(x)))
    high = max(1.0, *(x for f in families for x in (f.generations, f.high, f.margin) if math.isfinite(x)))
    step = next((s for s in STEPS if (high - low) / s <= 7), STEPS[-1])
    first, last = math.floor(low / step), math.ceil(high / step)

    def x(value: float) -> float:
        return LEFT + (value / step - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    bottom = TOP + ROW * len(families)
    parts = []
    for tick in range(first, last + 1):
        ink = _ink("edge") if tick == 0 else _ink("line")
        at = x(tick * step)
        parts.append(f'<path d="M{at:.1f} {TOP - 8}V{bottom}" stroke="{ink}"/>')
        parts.append(
            _text(at, bottom + 17, f"{tick * step:g}".replace("-", "\N{MINUS SIGN}"), _ink("quiet"), 11.5, "middle")
        )
    for row, family in enumerate(families):
        middle = TOP + ROW * row + ROW / 2 - 4
        ink = _ink("bar-two") if family.state == "narrower" else _ink("bar")
        ends = x(-family.margin), x(family.margin)
        parts += [
            f'<rect x="{ends[0]:.1f}" y="{middle - 10:.1f}" width="{ends[1] - ends[0]:.1f}" height="20" '
            f'fill="{_ink("wash")}"/>',
            _text(LEFT - 14, middle + 4, family.name, _ink("ink"), 13, "end"),
            *_interval(family, middle, ink, x),
            f'<circle cx="{x(family.generations):.1f}" cy="{middle:.1f}" r="5" fill="{ink}"/>',
            _text(WIDTH - 20, middle + 4, signed(round(family.generations, 2) + 0.0), _ink("ink"), 13, "end"),
        ]
    says = "generations of collapse, 95 % intervals; above 0 is narrower; shaded: the margin"
    parts.append(_text(LEFT, height - 14, says, _ink("quiet"), 11.5))
    return parts


def _interval(family: FamilyResult, middle: float, ink: str, x: Callable[[float], float]) -> list[str]:
    """A line, and none where there is no interval."""
    if not math.isfinite(family.low):
        return []
    return [f'<path d="M{x(family.low):.1f} {middle:.1f}H{x(family.high):.1f}" stroke="{ink}" stroke-width="3"/>']


def _ink(name: str) -> str:
    return PALETTE[name].light


def _text(x: float, y: float, text: str, ink: str, size: float, anchor: str = "start") -> str:
    weight = "bold" if size == HEAD else "normal"
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{ink}" font-size="{size:g}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def png_of(svg: str) -> bytes:
    """The picture in pixels. Without a font on the machine it would have no words, and is refused."""
    try:
        import resvg_py
    except ImportError:
        raise MissingExtraError("audit", "summary.png") from None
    drawn = resvg_py.svg_to_bytes(svg_string=svg, zoom=ZOOM)
    if drawn == resvg_py.svg_to_bytes(svg_string=svg, zoom=ZOOM, skip_system_fonts=True):
        raise OutputError("summary.png would have no words: there is no font on this machine")
    return bytes(drawn)
