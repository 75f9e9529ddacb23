"""Policies played through on a corpus: values, page and lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recension.report import bands
from recension.report.bands import Curve, Point
from recension.report.page import (
    closing,
    escape,
    figures,
    masthead,
    number,
    opening,
    set_aside,
    table,
)
from recension.report.plots import Labels
from recension.report.values import Measured

NAMES = {"accumulate_fixed": "accumulate, fixed"}
DEARER = 3.0  # times the median cost: such policies would flatten the others, which get a plot of their own
POLICIES: Mapping[str, str] = {
    "replace": "what the last model wrote, and nothing else",
    "accumulate": "everything so far, and what the last model wrote",
    "accumulate_fixed": "each passage in one of its versions so far",
    "chain": "the last text, edited by the last model",
    "anchor": "the human text, edited by the last model",
}


@dataclass(frozen=True, slots=True)
class ArmCurves:
    """A policy with its share, by generation. `cost` is the last bits per byte over the first, less 1; `growth` what a
    generation adds to it at the end; `state` is one of `STATES`, or `unknown` with one seed."""

    policy: str
    share: float | None
    bits: tuple[Measured, ...]
    seeds: tuple[tuple[float, ...], ...]
    cost: Measured
    growth: Measured
    state: str
    changed: tuple[Measured, ...]
    contraction: Mapping[str, tuple[Measured, ...]]

    @property
    def key(self) -> str:
        return self.policy if self.share is None else f"{self.policy}_{self.share:g}"

    def to_json(self) -> dict[str, Any]:
        return {
            "policy": self.policy,
            "share": self.share,
            "bits_per_byte": [value.to_json() for value in self.bits],
            "bits_per_byte_by_seed": [list(row) for row in self.seeds],
            "cost": self.cost.to_json(),
            "growth": self.growth.to_json(),
            "state": self.state,
            "changed": [value.to_json() for value in self.changed],
            "contraction": {name: [value.to_json() for value in values] for name, values in self.contraction.items()},
        }


@dataclass(frozen=True, slots=True)
class SimulateTextReport:
    """What a `simulate text` found."""

    run: str
    settings: Mapping[str, str]
    model: str
    generations: int
    tokens: int
    passages: int
    held: int
    by_threshold: bool
    arms: tuple[ArmCurves, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "settings": dict(self.settings),
            "answer": answer(self),
            "model": self.model,
            "tokens": self.tokens,
            "held_out_passages": self.held,
            "arms": {arm.key: arm.to_json() for arm in self.arms},
            "dropped": dict(self.dropped),
        }

    def named(self, arm: ArmCurves) -> str:
        name = NAMES.get(arm.policy, arm.policy)
        if arm.share is None:
            return name
        return f"{name}, p ≥ {arm.share:g}" if self.by_threshold else f"{name}, {100 * arm.share:g}%"


def percent(value: Measured) -> str:
    """A share, with as many digits as half of its interval gives a meaning to."""
    mean, half = 100 * value.value, 100 * value.half
    if not 0 < half < math.inf:
        return f"{mean:+.2f}%".replace("-", "\N{MINUS SIGN}")
    places = min(3, max(0, 1 - math.floor(math.log10(half))))
    return f"{mean:+.{places}f} ± {half:.{places}f}%".replace("-", "\N{MINUS SIGN}")


def answer(report: SimulateTextReport) -> str:
    """How much editing or synthesis the corpus takes, in one sentence, as far as the seeds can tell."""
    if len(report.arms[0].seeds) < 2:
        return (
            "With one seed nothing can be told from chance: held-out bits per byte moved by "
            + ", ".join(f"{percent(arm.cost)} ({report.named(arm)})" for arm in report.arms)
            + f" over {report.generations} generations."
        )
    parts = []
    for state, words in STATES.items():
        found = sorted((arm for arm in report.arms if arm.state == state), key=lambda arm: arm.cost.value)
        if found:
            parts.append(", ".join(f"{report.named(arm)} ({percent(arm.cost)})" for arm in found) + f" {words}")
    return (
        f"Over {report.generations} generations of a {report.model}, this corpus takes {'; '.join(parts)} "
        "(in held-out bits per byte, ± the noise between seeds)."
    )


STATES = {
    "none shown": "at no cost that can be told from chance",
    "settles": "at a cost that settles",
    "slows": "at a cost that grows more and more slowly",
    "grows": "at a cost that keeps growing",
}


def _points(values: Sequence[Measured], first: int = 1) -> list[Point]:
    return [
        Point(n, v.value, v.low, v.high) if math.isfinite(v.half) else Point(n, v.value, v.value, v.value)
        for n, v in enumerate(values, first)
    ]


def _curves(report: SimulateTextReport, arms: Sequence[ArmCurves], what: str, first: int = 1) -> list[Curve]:
    tones = {policy: i for i, policy in enumerate(POLICIES)}
    seen: dict[str, int] = {}
    found = []
    for arm in arms:
        values = arm.contraction[what] if what in arm.contraction else getattr(arm, what)
        before = seen.setdefault(arm.policy, 0)
        seen[arm.policy] += 1
        found.append(
            Curve(report.named(arm), _points(values, first), tones[arm.policy], "dashed" if before else "both")
        )
    return found


def _plots(report: SimulateTextReport) -> str:
    words = "generation"
    drawn = [bands.curves(_curves(report, report.arms, "bits"), Labels(
        "Held-out text, by generation", words, "bits per byte"), named=True)]  # fmt: skip
    costs = sorted(arm.cost.value for arm in report.arms)
    cheap = [arm for arm in report.arms if arm.cost.value <= DEARER * max(costs[len(costs) // 2], 1e-4)]
    cheaper = cheap if len(cheap) < len(report.arms) else [a for a in report.arms if a.policy in ("chain", "anchor")]
    if 0 < len(cheaper) < len(report.arms):
        labels = Labels("The same, without the dearest", words, "bits per byte")
        drawn.append(bands.curves(_curves(report, cheaper, "bits"), labels, named=True))
    for family in next(iter(report.arms)).contraction:
        labels = Labels(f"Contraction: {family}", words, "log ratio; above 0 is narrower")
        drawn.append(bands.curves(_curves(report, report.arms, family), labels, named=True))
    editing = [arm for arm in report.arms if arm.changed]
    if editing:
        curves = _curves(report, editing, "changed", 2)
        curves = [
            Curve(c.name, [Point(p.x, 100 * p.y, 100 * p.low, 100 * p.high) for p in c.points], c.tone, c.kind)
            for c in curves
        ]
        labels = Labels("Changed on the way to a generation", words, "% of the tokens")
        drawn.append(bands.curves(curves, labels, named=True))
    return f'<div class="plots">{"".join(drawn)}</div>\n'


def text_page(report: SimulateTextReport) -> str:
    """`report.html` of a run."""
    title = "How much of itself can this corpus take?"
    seeds = len(report.arms[0].seeds)
    first = report.arms[0].bits[0]
    half = f"± {first.half:.2g}" if math.isfinite(first.half) else "one seed, no interval"
    items = [
        ("Bits per byte at first", f"{first.value:.3f}", f"{half} over seeds"),
        ("Tokens to learn from", number(report.tokens), f"{number(report.passages)} passages, for each seed"),
        ("Held out", number(report.held), "passages, by lineage"),
        ("Repetitions", f"{seeds}", f"{report.generations} generations each"),
    ]
    rows = [
        (report.named(arm), POLICIES[arm.policy], percent(arm.cost), percent(arm.growth), arm.state)
        for arm in report.arms
    ]
    head = ("Policy", "A generation learns from", "Cost at the end", "Added by a generation", "In all")
    parts = [
        '<div class="wrap">',
        masthead(f"recension simulate text · run {report.run}", title, answer(report)),
        f'<main>\n<section aria-label="In numbers">{figures(items)}</section>\n',
        f"<section>{_plots(report)}</section>\n",
        f"<section>{table('What each policy costs, in held-out bits per byte', head, rows, texts=2)}{_TERMS}</section>\n",
    ]
    parts.append(set_aside(report.dropped))
    shown = table("Settings", ("Name", "Value"), list(report.settings.items()), texts=2)
    parts.append(f'<section><div class="settings">{shown}</div></section>\n')
    parts.append("</main>\n<footer>One file, no network: it can be kept and sent as it is.</footer>\n</div>\n")
    return opening(escape(title), bands.style()) + "".join(parts) + closing()


_TERMS = """<p class="terms">Every generation trains a model of the same kind from nothing, on the text that its policy
leaves it; models are measured on human text that none of them learns from. The cost is what the last generation needs more
bits per byte than the first. All figures are means over seeds with intervals of 95 %; seeds draw their own text and their own
tokens. A cost <i>settles</i> where the second half of the generations adds less than a tenth of what a generation adds on
average, or little that can be told from nothing; it <i>slows</i> below two thirds. Contraction compares the text that a
generation learns from with the human text, by the figures of <code>recension audit</code>. The smoothing of an
n-gram model is noise: what it writes is wider than human text, which costs as well. Read the order of the policies and the
shape of the curves; the heights are those of a small model.</p>
"""


def text_summary_lines(report: SimulateTextReport) -> list[str]:
    """The result for a terminal."""
    lines = [answer(report), f"  {'held-out bits per byte':28}{'first':>8}{'last':>8}  cost"]
    for arm in report.arms:
        lines.append(
            f"  {report.named(arm):28}{arm.bits[0].value:8.3f}{arm.bits[-1].value:8.3f}  {percent(arm.cost)}, {arm.state}"
        )
    return lines
