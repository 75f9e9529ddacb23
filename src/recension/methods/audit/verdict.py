"""From effects to a verdict: where the candidate stands on the collapse curve of the reference, and what may be said of it.

The unit is the *generation*: the effect of retraining an n-gram model once on its own output, for exactly this reference. The
figures of a family are joined to one index, weighted by how well each tells generations from noise. A family is *narrower*
where the interval of its index lies above the margin (a quarter of a generation, or what leaving out one source of the
reference does, whichever is more) and its adjusted p-value is below 5 %; *within* where the interval lies below the margin.

No single family makes a verdict: another subject alone often moves one of them. Nor do two, where a third is *wider*. And for
the same reason one family that is *open* keeps no text from being healthy, where two others are within and it looks as if it
were: however it would end, two that are narrower there cannot be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.resampling import Draws, Tested, interval, stepped_down, tested

Floats = NDArray[np.float64]
Level = Literal["healthy", "inconclusive", "at-risk", "collapsed"]
State = Literal["narrower", "within", "wider", "open"]

FRACTION, SIGNIFICANT, ENOUGH = 0.25, 0.05, 2
FEWEST_SOURCES = 8  # below that, intervals are too rough to call a text healthy
MEANINGS: Mapping[str, str] = {
    "repetition": "the same runs of words",
    "tail": "rare words",
    "concentration": "few words for most of the text",
    "perplexity": "what models find surprising",
}
# The curve has to move a figure so much more than a source does, and at all, to be a yardstick.
CLEAR, LEAST = 3.0, 0.04


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Figures by name: effects, draws, the curve (one row a generation) and what leaving out a source does (one row each)."""

    names: tuple[str, ...]
    families: tuple[str, ...]
    effect: Floats
    draws: Draws
    curve: Floats
    left_out: Floats


class Placed(NamedTuple):
    """One figure. `low` and `high` are no numbers where a side has one source; `margin` and `generations` (value, low, high)
    are None where the curve does not move it."""

    name: str
    family: str
    effect: float
    low: float
    high: float
    p: float
    adjusted: float
    margin: float | None
    generations: tuple[float, float, float] | None


class Family(NamedTuple):
    """The index of a family in generations. `needed` is how many words would settle it, None where it is settled or more
    words would not."""

    name: str
    value: float
    low: float
    high: float
    p: float
    margin: float
    state: State
    needed: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    level: Level
    reasons: tuple[str, ...]
    needed: int | None
    median: float | None
    lowest: float | None
    highest: float | None
    families: tuple[Family, ...]
    figures: tuple[Placed, ...]


def judge(evidence: Evidence, words: int, fraction: float = FRACTION, sources: int | None = None) -> Verdict:
    """The verdict on `words` words of each side, of so many sources (of the side that has fewer)."""
    found = tested(evidence.effect, evidence.draws)
    if sources is not None and sources < 2:  # halves of one source are all of it
        nothing = np.full(len(evidence.names), math.nan)
        found = found._replace(low=nothing, high=nothing)
    floor = np.abs(evidence.left_out).max(axis=0, initial=0.0)
    usable = yardsticks(evidence.curve, floor)
    figures = tuple(
        _placed(evidence, found, i, max(fraction * evidence.curve[0, i], floor[i]) if usable[i] else None)
        for i in range(len(evidence.names))
    )
    families = _families(evidence, found, usable, words, fraction)
    level, reasons, needed = _level(families)
    if sources is not None and sources < FEWEST_SOURCES and level in ("healthy", "inconclusive"):
        rough = f"A side has fewer than {FEWEST_SOURCES} sources: so few say too little, however many words they have."
        level, reasons, needed = "inconclusive", (rough, *reasons), None
    places = [figure.generations[0] for figure in figures if figure.generations is not None]
    if not places:
        return Verdict(level, reasons, needed, None, None, None, families, figures)
    return Verdict(level, reasons, needed, float(np.median(places)), min(places), max(places), families, figures)


def yardsticks(curve: Floats, floor: Floats) -> NDArray[np.bool_]:
    """Which figures the chain moves clearly, and on and on."""
    first, last = curve[0], curve[-1]
    found: NDArray[np.bool_] = (first > CLEAR * floor) & (first > LEAST) & (last > first)
    return found


def place(effect: float, curve: Floats) -> float:
    """Where an effect lies on a curve, in generations; beyond the last one it is that one."""
    rising = np.maximum.accumulate(curve)
    if effect <= rising[0]:
        return float(effect / rising[0])
    return float(np.interp(effect, rising, np.arange(1, len(rising) + 1)))


def _placed(evidence: Evidence, found: Tested, i: int, margin: float | None) -> Placed:
    effect, low, high = float(evidence.effect[i]), float(found.low[i]), float(found.high[i])
    curve = evidence.curve[:, i]
    places = None if margin is None else (place(effect, curve), place(low, curve), place(high, curve))
    values = (effect, low, high, float(found.p[i]), float(found.adjusted[i]))
    return Placed(evidence.names[i], evidence.families[i], *values, None if margin is None else float(margin), places)


def _families(
    evidence: Evidence, found: Tested, usable: NDArray[np.bool_], words: int, fraction: float
) -> tuple[Family, ...]:
    names = tuple(dict.fromkeys(evidence.families))
    member = np.array([[family == name for family in evidence.families] for name in names]) & usable
    names = tuple(name for name, row in zip(names, member, strict=True) if row.any())
    member = member[member.any(axis=1)]
    if not names:
        return ()
    first = np.where(usable, evidence.curve[0], 1.0)
    strength = np.where(member, (first / np.maximum(found.error, 1e-9)) ** 2, 0.0)
    weights = strength / strength.sum(axis=1, keepdims=True) / first  # from effects to generations
    values = weights @ evidence.effect
    halves, permuted = evidence.draws.halves @ weights.T, evidence.draws.permuted @ weights.T
    apart = halves - halves.mean(axis=0)
    low, high = interval(apart) if np.isfinite(found.low).all() else (np.full(len(names), math.nan),) * 2
    scale = np.maximum(permuted.std(axis=0), 1e-12)
    p = stepped_down(values / scale, (permuted - permuted.mean(axis=0)) / scale)
    floors = np.abs(evidence.left_out @ weights.T).max(axis=0, initial=0.0)
    return tuple(
        _family(names[k], (values[k], values[k] + low[k], values[k] + high[k], p[k]), max(fraction, floors[k]), words)
        for k in range(len(names))
    )


def _family(name: str, figures: tuple[float, float, float, float], margin: float, words: int) -> Family:
    value, low, high, p = (float(figure) for figure in figures)
    state: State = "open"
    if low > margin and p < SIGNIFICANT:
        state = "narrower"
    elif high < -margin:
        state = "wider"
    elif high < margin:
        state = "within"
    needed = None
    if state == "open":
        # The interval shrinks with the root of the size; it has to end where the value is clear of the margin.
        distance = abs(margin - value)
        half = max(high - value, value - low)
        if distance > half / 10:  # else it would take more than a hundred times as much
            needed = _rounded(words * max(1.2, (half / distance) ** 2))
    return Family(name, value, low, high, p, float(margin), state, needed)


def _rounded(words: float) -> int:
    """Up, to two digits: no more is known of it."""
    grain = int(10 ** max(0, math.floor(math.log10(words)) - 1))
    return math.ceil(words / grain) * grain


def _level(families: Sequence[Family]) -> tuple[Level, tuple[str, ...], int | None]:
    by: Mapping[str, list[Family]] = {
        state: [f for f in families if f.state == state] for state in ("narrower", "within", "wider", "open")
    }
    if not families:
        return (
            "inconclusive",
            ("The collapse curve moves no figure of this reference: it is too small or too odd.",),
            None,
        )
    narrower, wider = by["narrower"], by["wider"]
    reasons = [_said(family) for family in (*narrower, *wider, *by["open"], *by["within"])]
    if narrower and wider:
        names = _listed(narrower), _listed(wider)
        reasons.insert(
            0, f"Narrower in {names[0]} and wider in {names[1]}: so differ subjects, not narrow and rich text."
        )
        return "inconclusive", tuple(reasons), None
    if len(narrower) >= ENOUGH:
        far = [family for family in narrower if family.low >= 1]
        if len(far) >= ENOUGH:
            reasons.insert(0, f"A generation of collapse or more in {_listed(far)}.")
            return "collapsed", tuple(reasons), None
        return "at-risk", tuple(reasons), None
    if len(narrower) == 1:
        reasons.insert(0, f"Narrower in {_listed(narrower)} alone, which another subject can do as well.")
    elif not by["open"] or _makes_no_odds(by["open"], by["within"]):
        return "healthy", tuple(reasons), None
    wanted = [family.needed for family in by["open"]]
    needed = max((n for n in wanted if n is not None), default=None) if None not in wanted else None
    return "inconclusive", tuple(reasons), needed


def _makes_no_odds(left: Sequence[Family], within: Sequence[Family]) -> bool:
    """Whether what is open, if it were narrower, would be so alone; and does not look like it."""
    return len(left) == 1 and len(within) >= ENOUGH and left[0].value < left[0].margin


def _listed(families: Sequence[Family]) -> str:
    return " and ".join(family.name for family in families)


def _said(family: Family) -> str:
    value, low, high = (round(figure, 2) + 0.0 for figure in (family.value, family.low, family.high))  # no minus zero
    if math.isnan(low):
        meaning = MEANINGS.get(family.name, "by scorers")
        return f"{family.name.capitalize()} ({meaning}): {value:.2f} generations, without an interval."
    span = f"{value:.2f} generations (95% from {low:.2f} to {high:.2f})"
    margin = f"the margin of {family.margin:.2f}"
    ends = {
        "narrower": f"above {margin}, p = {family.p:.3g}",
        "wider": f"below the opposite of {margin}",
        "within": f"below {margin}",
        "open": f"on both sides of {margin}" if family.low <= family.margin else f"above {margin}, p = {family.p:.3g}",
    }
    return f"{family.name.capitalize()} ({MEANINGS.get(family.name, 'by scorers')}): {span}, {ends[family.state]}."
