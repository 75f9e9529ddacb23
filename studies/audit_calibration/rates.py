"""What the trials of run.py come to: rates with the intervals of Clopper and Pearson."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def clopper_pearson(hits: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """By halving: no distribution function is needed for a few hundred trials."""

    def tail(p: float, at_least: bool) -> float:
        ks = range(hits, of + 1) if at_least else range(hits + 1)
        return math.fsum(math.comb(of, k) * p**k * (1 - p) ** (of - k) for k in ks)

    def solve(wanted: Callable[[float], bool]) -> float:
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if wanted(middle) else (low, middle)
        return (low + high) / 2

    alpha = (1 - level) / 2
    low = 0.0 if hits == 0 else solve(lambda p: tail(p, True) < alpha)
    high = 1.0 if hits == of else solve(lambda p: tail(p, False) > alpha)
    return round(low, 3), round(high, 3)


def rates(trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    counts = Counter(trial["level"] for trial in trials)
    narrow = counts["at-risk"] + counts["collapsed"]

    def share(hits: int) -> list[float]:
        return [round(hits / len(trials), 3), *clopper_pearson(hits, len(trials))]

    spent = [trial["cpu_seconds"] for trial in trials if "cpu_seconds" in trial]
    places = [trial["generations"] for trial in trials if trial["generations"] is not None]
    return {
        "trials": len(trials),
        "levels": dict(sorted(counts.items())),
        "at_risk_or_worse": share(narrow),
        "collapsed": share(counts["collapsed"]),
        "healthy": share(counts["healthy"]),
        "every_family_within": share(sum(_all_within(trial) for trial in trials)),
        "placed_at": round(float(np.median(places)), 2) if places else None,
        "cpu_seconds": round(float(np.median(spent)), 1) if spent else None,
        "domains": len({trial.get("domain") for trial in trials}),
    }


def _all_within(trial: dict[str, Any]) -> bool:
    """What it takes to be healthy without the clause about one open family."""
    return trial["level"] == "healthy" and all(
        family[3] in ("within", "wider") for family in trial["families"].values()
    )


def by_chain(trials: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How many chains were at risk or worse in some generation, and how far they were written."""
    chains = defaultdict(list)
    for trial in trials:
        if trial["generation"]:
            chains[trial["domain"], trial["seed"]].append(trial)
    narrow = sum(any(one["level"] in ("at-risk", "collapsed") for one in chain) for chain in chains.values())
    lengths = Counter(max(one["generation"] for one in chain) for chain in chains.values())
    share = [round(narrow / len(chains), 3), *clopper_pearson(narrow, len(chains))]
    return {"trials": len(chains), "at_risk_or_worse": share, "generations": dict(sorted(lengths.items()))}


def _small(lines: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups = defaultdict(list)
    for line in lines:
        if line["part"] == "small":
            groups[f"{line['start']}, {line['top_p']}"].append(line)
    return groups


GROUPED: dict[str, tuple[str, ...]] = {
    "null": ("budget",),
    "power": ("generation",),
    "diluted": ("share",),
    "sizes": ("budget", "generation"),
    "shift": (),
    "edited": ("changed", "against"),
    "small": ("start", "top_p", "generation"),
}


def summary(lines: Sequence[dict[str, Any]], about: dict[str, Any]) -> dict[str, Any]:
    """All rates; `about` is how the trials were made, and how many are planned."""
    found: dict[str, Any] = {}
    for part, names in GROUPED.items():
        groups = defaultdict(list)
        for line in lines:
            if line["part"] == part:
                groups[", ".join(str(line[name]) for name in names)].append(line)
        found[part] = {name: rates(group) for name, group in sorted(groups.items(), key=lambda item: _natural(item[0]))}
    found["null_by_domain"] = {
        domain: rates([line for line in lines if line["part"] == "null" and line["domain"] == domain])
        for domain in sorted({line["domain"] for line in lines if line["part"] == "null"})
    }
    found["small_chains"] = {name: by_chain(group) for name, group in sorted(_small(lines).items())}
    found["cases"] = [line for line in lines if line["part"] in ("llm", "shift")]
    return {**about, **found}


def _natural(name: str) -> list[Any]:
    return [(float(part), "") if part.strip().replace(".", "").isdigit() else (0.0, part) for part in name.split(", ")]
