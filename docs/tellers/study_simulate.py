"""What `studies/simulate/` found."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from tellers.words import table

TITLE = "Models that learn from their own output"
ROOT = Path(__file__).parents[2]
GENERATIONS = (1, 2, 5, 10, 20)


def told() -> str:
    found = json.loads((ROOT / "studies" / "simulate" / "results.json").read_text(encoding="utf-8"))
    parts = {"regression": _regression, "text": _text}
    return "\n\n".join(tell(found[name]) for name, tell in parts.items() if name in found)


def _gap(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1%}"


def _regression(found: dict[str, Any]) -> str:
    head = ("policy", *(f"{n}" for n in GENERATIONS), "an earlier trial, 20")
    rows = [
        (
            name.replace("_", " "),
            *(f"{value:.3g}" for value in values),
            f"{found['trial'][name][-1]:g}" if name in found["trial"] else "–",
        )
        for name, values in found["error"].items()
    ]
    designs = list(found["gaps"])
    names = list(found["error"])
    gaps = [
        (
            name.replace("_", " "),
            *(f"{_gap(found['gaps'][d][name]['theory'])} ({_gap(found['gaps'][d][name]['limit'])})" for d in designs),
        )
        for name in names
    ]
    noise = max(one["noise"] for design in found["gaps"].values() for one in design.values())
    fails = {name: n for name, n in found["claims"].items() if n is not None}
    refuted = ", ".join(f"{name.replace('_', ' ')} (from {n})" for name, n in fails.items())
    long = found["long decay"]
    return (
        f"Linear regression with T = 100 samples and d = 10 features, {found['seeds']:,} seeds, a share of 12.5 %, "
        "shrinking by 0.941: test errors by generation, in units of the first model's expected one.\n\n"
        + table(head, rows)
        + "\n\nHow far the simulation ends, after 20 generations, above theory at its d/T (above the limit of many "
        f"samples), for T × d. The Monte-Carlo error is at most {noise:.1%}.\n\n"
        + table(("policy", *(d.replace(" ", " × ") for d in designs)), gaps)
        + f"\n\nThe shrinking chain after 50, 100 and 150 generations: {long['50']}, {long['100']}, {long['150']}; "
        f"the bound of Theorem 2 is {found['bound']}. Disjoint rows at 200 × 20 after 20 generations: "
        f"{found['disjoint at 200 x 20']}. Claims that fail as printed: {refuted}. Correlated features (0.9) move an error "
        f"by at most {found['largest effect of correlated features']:.0e} of itself."
    )


def _text(found: dict[str, Any]) -> str:
    arms, setting = found["arms"], found["setting"]
    dearest = arms["replace"]["cost"]["value"]
    trial = {name: math.log(b / a) / math.log(736 / 269) for name, (a, b) in found["trial"].items()}

    def row(name: str, one: dict[str, Any]) -> tuple[str, ...]:
        cost = one["cost"]
        half = (cost["high"] - cost["low"]) / 2
        known = trial.get(name.partition("_0")[0])
        return (
            name.replace("_", " "),
            f"{one['bits_per_byte'][0]:.3f}",
            f"{one['bits_per_byte'][-1]:.3f}",
            f"{cost['value']:+.1%} ± {half:.1%}",
            one["state"],
            f"{cost['value'] / dearest:.2f}",
            "–" if known is None else f"{known:.2f}",
        )

    head = ("policy", "first", "last", "cost", "in all", "of replacing", "of replacing, earlier trial")
    return (
        f"The same on the samples: a {setting['model']} over {setting['generations']} generations, "
        f"{setting['budget']:,} tokens, {setting['seeds']} seeds, held-out bits per byte. Beside it the logarithms of the "
        "perplexities of an earlier trial with trigrams of words on another text, whose share was not kept: in both, "
        "replacing costs most and the anchor least; where a chain stands against accumulating depends on its share.\n\n"
        + table(head, [row(name, one) for name, one in arms.items()])
    )
