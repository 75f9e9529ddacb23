"""The frame that every page shares: one file, no network, nothing that a document says can become markup."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple


class Shade(NamedTuple):
    light: str
    dark: str


# Every text colour holds 4.5:1 against the grounds it stands on, in both themes; a test computes it.
PALETTE: Mapping[str, Shade] = {
    "ground": Shade("#f7f6f2", "#141517"),
    "paper": Shade("#fffefb", "#1b1d20"),
    "ink": Shade("#1f1e1b", "#e8e6e1"),
    "quiet": Shade("#625e56", "#a5a199"),
    "line": Shade("#e2ded5", "#303338"),
    "edge": Shade("#8f8a80", "#6f737a"),
    "accent": Shade("#0f5f78", "#7fc4da"),
    "wash": Shade("#edeae2", "#26292d"),
    "new": Shade("#d5ecdc", "#1c4030"),
    "new-ink": Shade("#0d4527", "#c4ecd2"),
    "old": Shade("#f8e1da", "#47261f"),
    "old-ink": Shade("#85291a", "#f6c0b2"),
    "hit": Shade("#ffe08a", "#6b520c"),
    "hit-ink": Shade("#2b2204", "#fff3cf"),
    "bar": Shade("#3f7f95", "#5fa6bd"),
    "bar-two": Shade("#b0603f", "#d98e6c"),
}

_SCRIPT_ESCAPES = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def escape(text: object) -> str:
    """Text for between tags or within quoted attributes."""
    plain = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text))
    return html.escape(_LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", plain), quote=True)


def embed(value: Any) -> str:
    """JSON that can stand in a script element: no character of it can end the element or the page."""
    raw = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _LONE_SURROGATE.sub(lambda m: f"\\u{ord(m.group()):04x}", raw.translate(_SCRIPT_ESCAPES))


def data_block(value: Any, kind: str) -> str:
    return f'<script type="application/json" class="{kind}">{embed(value)}</script>\n'


def number(value: float) -> str:
    """1234567 -> 1,234,567"""
    return f"{value:,.0f}"


def counted(value: int, one: str, many: str = "") -> str:
    """1 document, 2 documents"""
    return f"{number(value)} {one if value == 1 else many or one + 's'}"


def percent(part: float, whole: float) -> str:
    """A share with three digits that mean something; a dash where there is nothing to share."""
    if not whole:
        return "–"
    share = 100 * part / whole
    if share == 0 or share >= 99.95:
        return f"{share:.0f}%"
    if share < 0.01:
        return "<0.01%"
    return f"{share:.1f}%" if share >= 10 else f"{share:.2f}%"


def decimal(value: float | None) -> str:
    """A log-probability; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


@cache
def asset(name: str) -> str:
    return (files("recension.report") / "assets" / name).read_text("utf-8")


def colours(palette: Mapping[str, Shade] = PALETTE) -> str:
    """A palette as CSS variables: the system's theme, unless the reader chose one."""
    light = "".join(f"--{name}:{shade.light};" for name, shade in palette.items())
    dark = "".join(f"--{name}:{shade.dark};" for name, shade in palette.items())
    return (
        f":root{{color-scheme:light;{light}}}\n"
        f"@media (prefers-color-scheme:dark){{:root{{color-scheme:dark;{dark}}}}}\n"
        f":root[data-theme=light]{{color-scheme:light;{light}}}\n"
        f":root[data-theme=dark]{{color-scheme:dark;{dark}}}\n"
    )


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def opening(title: str, style: str = "", scripts: Sequence[str] = ()) -> str:
    """A page up to and with `<body>`. Only the scripts named here, and the shared one, may run in it.

    Data blocks never run; they need no permission.
    """
    theme, css = asset("theme.js"), colours() + asset("page.css") + style
    allowed = " ".join(_source(s) for s in (theme, *scripts))
    policy = f"default-src 'none'; script-src {allowed}; style-src {_source(css)}; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="generator" content="recension">\n'
        f"<title>{escape(title)}</title>\n<style>{css}</style>\n<script>{theme}</script>\n</head>\n<body>\n"
    )


def closing(scripts: Sequence[str] = ()) -> str:
    """The end of a page: the scripts run when everything before them is there."""
    return "".join(f"<script>{s}</script>\n" for s in scripts) + "</body>\n</html>\n"


def shell(title: str, body: str, style: str = "", script: str = "", data: Any = None) -> str:
    """A whole page. `body` is markup, made with `escape`; `data` goes to the script as `script.data`."""
    scripts = (script,) if script else ()
    block = "" if data is None else data_block(data, "data")
    return opening(title, style, scripts) + body + "\n" + block + closing(scripts)


def masthead(eyebrow: str, title: str, lead: str) -> str:
    """The head of a page, with the button that changes the theme."""
    return (
        '<header class="masthead">\n<div class="masthead-row">'
        f'<p class="eyebrow">{escape(eyebrow)}</p>'
        '<button type="button" class="theme" id="theme" aria-label="Change between light and dark" hidden>'
        '<span aria-hidden="true">◐</span> <span class="theme-name"></span></button></div>\n'
        f"<h1>{escape(title)}</h1>\n"
        f'<p class="lead">{escape(lead)}</p>\n</header>\n'
    )


def figures(items: Sequence[tuple[str, str, str]]) -> str:
    """Headline numbers: (label, value, remark)."""
    cells = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)}"
        + (f"<small>{escape(remark)}</small>" if remark else "")
        + "</dd></div>"
        for label, value, remark in items
    )
    return f'<dl class="figures">{cells}</dl>\n'


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """A table whose first `texts` columns are words and the rest numbers. It scrolls by itself on narrow screens."""

    def kind(column: int) -> str:
        return "" if column < texts else ' class="num"'

    top = "".join(f'<th scope="col"{kind(i)}>{escape(h)}</th>' for i, h in enumerate(head))
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{escape(cell)}</th>' if i == 0 else f"<td{kind(i)}>{escape(cell)}</td>"
            for i, cell in enumerate(row)
        )
        + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead>\n<tbody>{body}</tbody></table></div>\n"
    )


def by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Names and counts, the largest first."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def set_aside(dropped: Mapping[str, int], what: str = "Rows") -> str:
    """The section on what was set aside, by reason; nothing where nothing was."""
    if not dropped:
        return ""
    total = sum(dropped.values())
    rows = [(reason, number(count), percent(count, total)) for reason, count in by_count(dropped)]
    return f"<section>{table('Set aside, by reason', ('Reason', what, 'Share'), rows)}</section>\n"


def worth_knowing(notes: Sequence[str]) -> str:
    """The section of remarks; nothing where there are none."""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<section><h2>Worth knowing</h2><ul class="notes">{items}</ul></section>\n' if notes else ""


def printable(lines: Iterable[str]) -> list[str]:
    """Lines for a terminal. Names and reasons may come from data: nothing of them reaches it as a command."""
    return ["".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line) for line in lines]


def set_aside_line(dropped: Mapping[str, int]) -> list[str]:
    """The same as one line for a terminal, or none."""
    told = ", ".join(f"{reason} {number(count)}" for reason, count in by_count(dropped))
    return [f"  set aside: {told}"] if told else []
