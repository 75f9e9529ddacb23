"""Regressions over generations: what was simulated beside what theory and theorems say, as values, page and lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from recension.report import bands
from recension.report.bands import Curve, Point, Stretch, plain
from recension.report.page import closing, figures, masthead, number, opening, table
from recension.report.plots import Labels, short

State = Literal["holds", "fails", "unclear"]
WIDE = 3.0  # standard errors that a claim has to be missed by

# What each policy does, in a few words.
POLICIES: Mapping[str, str] = {
    "replace": "every answer anew, by the last model",
    "accumulate": "all answers of all generations kept",
    "accumulate_fixed": "as many rows as at first, each with one of its answers so far",
    "chain": "a fresh random share of the last generation's answers anew",
    "chain_decay": "the same, with a share that shrinks",
    "chain_same_set": "the same rows anew every time",
    "chain_disjoint": "rows anew that no generation has touched",
    "anchor": "a fresh random share of the original answers anew",
}
NAMES = {
    "accumulate_fixed": "accumulate, fixed budget",
    "chain_decay": "chain, shrinking share",
    "chain_same_set": "chain, same rows",
    "chain_disjoint": "chain, disjoint rows",
}
SHOWN = (1, 2, 3, 5, 10, 20, 50, 100, 150, 200)  # generations of the table, those that there are
CLAIMS = {"theorem_1": "Theorem 1", "theorem_2": "Theorem 2", "theorem_2_decay": "Theorem 2 for decay"}


@dataclass(frozen=True, slots=True)
class PolicyErrors:
    """Test errors by generation, in units of the first model's expected one.

    `theory` holds at this d/T (None where it is not known), `limit` for many samples to a feature.
    """

    name: str
    error: tuple[float, ...]
    standard_error: tuple[float, ...]
    theory: tuple[float, ...] | None
    limit: tuple[float, ...]

    def gap(self, to: Literal["theory", "limit"]) -> float | None:
        """How far the simulation lies above theory or limit at the end, as a share of it."""
        values = self.theory if to == "theory" else self.limit
        return None if values is None else self.error[-1] / values[-1] - 1

    @property
    def worst(self) -> float | None:
        """The largest distance from theory in any generation, as a share of it."""
        if self.theory is None:
            return None
        return max(abs(a / b - 1) for a, b in zip(self.error, self.theory, strict=True))


@dataclass(frozen=True, slots=True)
class Claim:
    """What a theorem says of a policy as it is printed: a value to be met, or a bound."""

    theorem: Literal["theorem_1", "theorem_2", "theorem_2_decay"]
    policy: str
    values: tuple[float, ...]
    states: tuple[State, ...]

    @property
    def fails_from(self) -> int | None:
        return self.states.index("fails") + 1 if "fails" in self.states else None

    def words(self) -> str:
        """Where it holds and where it fails."""
        last = len(self.states)
        if self.fails_from is None:
            told = "holds" if "unclear" not in self.states else "is not refuted"
            return f"{told} in all {last} generations"
        after = self.states[self.fails_from - 1 :]
        end = "on" if after[-1] == "fails" else f"to {last - after[::-1].index('fails')}"
        return f"fails from generation {self.fails_from} {end}"

    def stretches(self) -> list[Stretch]:
        found: list[Stretch] = []
        for n, state in enumerate(self.states, 1):
            if state == "fails":
                if found and found[-1].end == n - 0.5:
                    found[-1] = found[-1]._replace(end=n + 0.5)
                else:
                    found.append(Stretch(n - 0.5, n + 0.5, f"{CLAIMS[self.theorem]} fails"))
        return found


def judged(
    error: Sequence[float], standard_error: Sequence[float], values: Sequence[float], bound: bool
) -> list[State]:
    """Whether a claim is met in each generation, as far as the simulation can tell."""
    found: list[State] = []
    for mean, spread, value in zip(error, standard_error, values, strict=True):
        room = WIDE * spread
        if not math.isfinite(room):
            found.append("unclear")
        elif bound:
            found.append("fails" if mean - room > value else "holds" if mean + room <= value else "unclear")
        else:
            found.append("fails" if abs(mean - value) > room else "holds")
    return found


@dataclass(frozen=True, slots=True)
class RegressionReport:
    """What a `simulate regression` found."""

    run: str
    settings: Mapping[str, str]
    generations: int
    samples: int
    features: int
    share: float
    decay: float
    seeds: int
    policies: tuple[PolicyErrors, ...]
    claims: tuple[Claim, ...]

    def policy(self, name: str) -> PolicyErrors:
        return next(one for one in self.policies if one.name == name)

    def to_json(self) -> dict[str, Any]:
        def by(value: Any) -> dict[str, Any]:
            return {one.name: value(one) for one in self.policies}

        return {
            "run": self.run,
            "settings": dict(self.settings),
            "seeds": self.seeds,
            "unit": "sigma^2 d / (T - d - 1)",
            "error": by(lambda p: list(p.error)),
            "standard_error": by(lambda p: [s if math.isfinite(s) else None for s in p.standard_error]),
            "theory": by(lambda p: None if p.theory is None else list(p.theory)),
            "limit": by(lambda p: list(p.limit)),
            "gap_to_theory": by(lambda p: p.gap("theory")),
            "gap_to_limit": by(lambda p: p.gap("limit")),
            "worst_gap_to_theory": by(lambda p: p.worst),
            "claims": [
                {
                    "claim": claim.theorem,
                    "policy": claim.policy,
                    "values": [value if math.isfinite(value) else None for value in claim.values],
                    "states": list(claim.states),
                    "fails_from": claim.fails_from,
                }
                for claim in self.claims
            ],
        }


def called(name: str) -> str:
    return NAMES.get(name, name)


def sentence(report: RegressionReport) -> str:
    """The result in one breath."""
    ends = {p.name: short(p.error[-1]) for p in report.policies}
    return (
        f"After {report.generations} generations in which {report.share:.3g} of the answers are written anew each time, "
        f"a chain's error is {ends['chain']} times that of the first model, an anchor's {ends['anchor']}; keeping "
        f"everything comes to {ends['accumulate']}, replacing everything to {ends['replace']}."
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:+.1f}%".replace("-", "\N{MINUS SIGN}")


def _plot(report: RegressionReport, policy: PolicyErrors) -> str:
    dots = [
        Point(n, value, value - 2 * spread, value + 2 * spread)
        if math.isfinite(spread)
        else Point(n, value, value, value)
        for n, (value, spread) in enumerate(zip(policy.error, policy.standard_error, strict=True), 1)
    ]
    drawn = [Curve("many samples", plain(policy.limit), 5, "dash")]
    if policy.theory is not None:
        drawn.append(Curve("theory", plain(policy.theory), 0))
    claims = [claim for claim in report.claims if claim.policy == policy.name]
    highest = 3 * max(p.high for p in dots)
    shaded, notes = [], []
    for claim in claims:
        inside = max(claim.values) <= highest
        if inside:
            drawn.append(Curve(CLAIMS[claim.theorem], plain(claim.values), 4, "dash"))
        words = f"{CLAIMS[claim.theorem]} {claim.words()}"
        notes.append(words if inside else f"{words} (its bound, {short(claim.values[-1])}, lies far above)")
        shaded += claim.stretches()
    drawn.append(Curve("simulated", dots, 1, "dots"))
    against = f"against the limit {_percent(policy.gap('limit'))} at the end"
    if policy.theory is not None:
        against = f"against theory {_percent(policy.gap('theory'))}, {against}"
    labels = Labels(called(policy.name), "generation", "error of the first model = 1")
    figure = bands.curves(drawn, labels, shaded)
    return figure.replace("</figure>", f"<p>{'; '.join([f'Simulation {against}', *notes])}.</p></figure>")


def _table(report: RegressionReport) -> str:
    shown = [n for n in SHOWN if n <= report.generations]
    if report.generations not in shown:
        shown.append(report.generations)
    rows = [
        (called(p.name), POLICIES[p.name], *(short(p.error[n - 1]) for n in shown), _percent(p.gap("theory")),
         _percent(p.gap("limit")))
        for p in report.policies
    ]  # fmt: skip
    head = ("Policy", "What a generation does", *(f"{n}" for n in shown), "to theory", "to limit")
    return table("Test error by generation, and how far the last one is from theory", head, rows, texts=2)


def regression_page(report: RegressionReport) -> str:
    """`report.html` of a run."""
    title = "Models that learn from their own answers"
    widest = max(
        (s / e for p in report.policies for e, s in zip(p.error, p.standard_error, strict=True)), default=math.inf
    )
    items = [
        (
            "Regressions",
            number(report.seeds),
            f"Monte-Carlo error up to {100 * widest:.2g}%" if math.isfinite(widest) else "too few for an error",
        ),
        ("Samples, features", f"{report.samples} × {report.features}", f"d/T = {report.features / report.samples:.3g}"),
        ("Share anew", f"{100 * report.share:.3g}%", "of the answers, in every generation"),
        ("Generations", number(report.generations), ""),
    ]
    keys = [
        ("simulated, with two standard errors", 1, "dots"),
        ("theory at this d/T", 0, "line"),
        ("theory for many samples to a feature", 5, "dash"),
        ("as the theorems are printed", 4, "dash"),
        ("where Theorem 1 fails; darker: Theorem 2 as well", 0, "shaded"),
    ]
    claims = [(called(c.policy), f"{CLAIMS[c.theorem]}: {_SAYS[c.theorem]}", c.words()) for c in report.claims]
    parts = [
        '<div class="wrap">',
        masthead(f"recension simulate regression · run {report.run}", title, sentence(report)),
        f'<main>\n<section aria-label="In numbers">{figures(items)}</section>\n',
        f"<section>{bands.legend(keys)}",
        f'<div class="plots">{"".join(_plot(report, p) for p in report.policies)}</div></section>\n',
        f"<section>{_table(report)}{_TERMS}</section>\n",
        "<section>",
        table("The theorems as printed", ("Policy", "Claim", "In the simulation"), claims, texts=3),
        f"{_THEOREMS}</section>\n",
        f'<section><div class="settings">{table("Settings", ("Name", "Value"), list(report.settings.items()), texts=2)}'
        "</div></section>\n",
        "</main>\n<footer>One file, no network: it can be kept and sent as it is.</footer>\n</div>\n",
    ]
    return opening(title, bands.style()) + "".join(parts) + closing()


_SAYS = {
    "theorem_1": "the error is 1 plus all shares so far",
    "theorem_2": "the error is at most 2",
    "theorem_2_decay": "shares that shrink keep the error below a bound",
}
_TERMS = """<p class="terms">Errors are in units of sigma² d / (T − d − 1), what the first model, which sees only true
answers, is expected to err by. Theory is exact for replacing and for keeping everything, and right to terms of the order 1/T
for the others; of disjoint rows only the limit is known. It does not depend on the covariance of the features.</p>
"""
_THEOREMS = """<p class="terms">From “How to synthesize text data without model collapse?” (arXiv 2412.14689). A claim fails
where it is missed by more than three standard errors of the simulation. The proof of Theorem 1 needs sets of rows that do not
meet, and one of its steps loses a projection: that is why it fails for disjoint rows as well. The bound for decay is read with
the sharper of two readings of the decay.</p>
"""


def regression_summary_lines(report: RegressionReport) -> list[str]:
    """The result for a terminal."""
    shown = [n for n in SHOWN if n <= report.generations][:6]
    if report.generations not in shown:
        shown.append(report.generations)
    lines = [sentence(report), "  generation".ljust(30) + "".join(f"{n:>8}" for n in shown) + "   to theory"]
    for p in report.policies:
        values = "".join(f"{short(p.error[n - 1]):>8}" for n in shown)
        lines.append(f"  {called(p.name)}".ljust(30) + f"{values}{_percent(p.gap('theory')):>12}")
    lines += [f"  {called(c.policy)}: {CLAIMS[c.theorem]} {c.words()}" for c in report.claims]
    return lines
