"""Does an audit hold what it says? Known cases on real text, and how often the verdict is right.

python studies/audit_calibration/run.py DATA [--part null|power|shift|llm|sizes]... [--splits 20] [--draws 100]

DATA is a folder of human and synthetic JSON lines. Every case goes through the samples, the matching, the chain and the
verdict of `audit`, without the run folder around it. Results are written to results.json beside this file, part by part, so
that parts can be run on their own. Intervals are Clopper-Pearson's.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recension.methods.audit.chain import generations
from recension.methods.audit.folds import Fold, Item
from recension.methods.audit.measures import KINDS, NAMES, effects, figures_of
from recension.methods.audit.panel import Unit, panel_of, units_of
from recension.methods.audit.resampling import draw, left_out, match, observed, whole
from recension.methods.audit.verdict import Evidence, Verdict, judge

HERE = Path(__file__).parent
DOMAINS = ("fiction", "technical_proposals", "textbook_openstax", "reviews", "finance_news")
Rows = list[dict[str, Any]]


def read(data: Path, name: str) -> Rows:
    with gzip.open(data / f"{name}.jsonl.gz", "rt") as file:
        return [json.loads(line) for line in file]


def source(row: dict[str, Any]) -> str:
    """The novel, proposal or module that a row is of."""
    return str(row["id"]).split("#")[0]


def units(rows: Rows, budget: int, key: str = "text") -> list[Unit]:
    fold = Fold(int(budget * 1.2))
    fold.add([Item(row[key], str(row["id"]), source(row)) for row in rows if row.get(key)])
    return [u for p in fold.sample for _ in range(p.times) for u in units_of(p.text, p.cluster, 100)]


def verdict(left: Sequence[Unit], right: Sequence[Unit], budget: int, draws: int, seed: int = 0) -> tuple[Verdict, int]:
    panel = panel_of([left, right])
    found = match(panel, budget)
    side = whole(found.left)
    own = [
        Unit(tuple(panel.texts[i] for i in panel.tokens[start : start + size]), "")
        for start, size in zip(side.starts.tolist(), side.sizes.tolist(), strict=True)
    ]
    single = panel_of([own])
    curve = []
    for made in generations(single, single.sides[0], 5, seed + 1):
        both = panel_of([own, made])
        curve.append(effects(*figures_of(both, *(whole([s]) for s in both.sides))))
    families = tuple(kind.family for kind in KINDS.values())
    drawn = draw(found, range(draws), seed)
    evidence = Evidence(NAMES, families, effects(*observed(found)), drawn, np.array(curve), left_out(found))
    return judge(evidence, found.words), found.words


def told(found: Verdict, words: int) -> dict[str, Any]:
    return {
        "level": found.level,
        "words": words,
        "generations": None if found.median is None else round(found.median, 2),
        "families": {f.name: [round(f.value, 2), round(f.low, 2), round(f.high, 2), f.state] for f in found.families},
    }


def split(rows: Rows, seed: int) -> tuple[Rows, Rows]:
    """Random halves by source."""
    groups = sorted({source(row) for row in rows})
    np.random.default_rng(seed).shuffle(groups)
    chosen = set(groups[: len(groups) // 2])
    return [r for r in rows if source(r) in chosen], [r for r in rows if source(r) not in chosen]


def clopper_pearson(hits: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """By halving: no distribution function is needed for a few hundred trials."""

    def tail(p: float, at_least: bool) -> float:
        ks = range(hits, of + 1) if at_least else range(hits + 1)
        return math.fsum(math.comb(of, k) * p**k * (1 - p) ** (of - k) for k in ks)

    def solve(wanted: Callable[[float], bool]) -> float:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if wanted(middle) else (low, middle)
        return (low + high) / 2

    alpha = (1 - level) / 2
    low = 0.0 if hits == 0 else solve(lambda p: tail(p, True) < alpha)
    high = 1.0 if hits == of else solve(lambda p: tail(p, False) > alpha)
    return round(low, 3), round(high, 3)


def rates(levels: Sequence[str]) -> dict[str, Any]:
    counts = Counter(levels)
    narrow = counts["at-risk"] + counts["collapsed"]
    return {
        "trials": len(levels),
        "levels": dict(counts),
        "at_risk_or_worse": [round(narrow / len(levels), 3), *clopper_pearson(narrow, len(levels))],
        "healthy": [round(counts["healthy"] / len(levels), 3), *clopper_pearson(counts["healthy"], len(levels))],
    }


def null(data: Path, given: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Human against human, split by source."""
    for budget in given.budgets:
        levels: list[str] = []
        by_domain = {}
        for domain in DOMAINS:
            rows = read(data, f"human/{domain}.train")
            own = []
            for seed in range(given.splits):
                one, two = split(rows, seed)
                found, _ = verdict(units(one, budget), units(two, budget), budget, given.draws, seed)
                own.append(found.level)
            by_domain[domain] = dict(Counter(own))
            levels += own
            print("null", budget, domain, by_domain[domain], flush=True)
        yield f"{budget}", {**rates(levels), "by_domain": by_domain}


def power(data: Path, given: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Chains of one half against the other half, audited whole."""
    budget = given.chain_budget
    levels: dict[int, list[str]] = {g: [] for g in range(1, 6)}
    places: dict[int, list[float]] = {g: [] for g in range(1, 6)}
    for domain in DOMAINS:
        rows = read(data, f"human/{domain}.train")
        for seed in range(given.chains):
            one, two = split(rows, seed)
            reference = units(one, budget)
            start = panel_of([units(two, budget)])
            for g, made in enumerate(generations(start, start.sides[0], 5, 100 + seed), 1):
                found, _ = verdict(reference, made, budget, given.draws, seed)
                levels[g].append(found.level)
                places[g].append(found.median or 0.0)
        print("power", domain, {g: Counter(found) for g, found in levels.items()}, flush=True)
    for g, found_levels in levels.items():
        yield f"generation {g}", {**rates(found_levels), "placed_at": round(float(np.median(places[g])), 2)}


def sizes(data: Path, given: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """A chain that is larger than what is audited of it: what a sample of it shows."""
    budget = given.chain_budget // 2
    for domain in DOMAINS[:3]:
        one, two = split(read(data, f"human/{domain}.train"), 0)
        start = panel_of([units(two, 6 * budget)])
        for g, made in enumerate(generations(start, start.sides[0], 5, 7), 1):
            rows = [{"id": str(i), "text": "".join(unit.surfaces)} for i, unit in enumerate(made)]
            found = verdict(units(one, budget), units(rows, budget), budget, given.draws)
            yield f"{domain}, generation {g} of {6 * budget:,} words, {budget:,} audited", told(*found)


def shift(data: Path, given: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Human text of another domain, both ways."""
    budget = given.chain_budget
    sides = {domain: units(read(data, f"human/{domain}.train"), budget) for domain in DOMAINS}
    levels = []
    for one in DOMAINS:
        for two in DOMAINS:
            if one != two:
                found = verdict(sides[one], sides[two], budget, given.draws)
                levels.append(found[0].level)
                yield f"{two} against {one}", told(*found)
    yield "all", rates(levels)


def llm(data: Path, given: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Text of language models, whatever comes of it."""
    budget = given.chain_budget
    for reference, candidate in (
        ("human/textbook_openstax.train", "synthetic/textbook_mistral7b.train"),
        ("human/textbook_openstax.train", "synthetic/textbook_gpt4.train"),
        ("human/cot_instructions.train", "synthetic/alpaca_gpteacher_codealpaca"),
    ):
        found = verdict(units(read(data, reference), budget), units(read(data, candidate), budget), budget, given.draws)
        yield f"{candidate} against {reference}", told(*found)
    rows = read(data, "paired/fast_detect_open_models")
    found = verdict(units(rows, budget, "human"), units(rows, budget, "machine"), budget, given.draws)
    yield "fast_detect: machine against human", told(*found)


PARTS = {"null": null, "power": power, "shift": shift, "llm": llm, "sizes": sizes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", action="append", choices=sorted(PARTS))
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--budgets", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--chain-budget", type=int, default=100_000)
    given = parser.parse_args()
    for part in given.part or PARTS:
        began = time.process_time()
        found = dict(PARTS[part](given.data, given))
        path = HERE / "results.json"
        known = json.loads(path.read_text()) if path.is_file() else {}
        setting = {k: v for k, v in vars(given).items() if k not in ("data", "part")}
        known[part] = {"setting": setting, "cpu_seconds": round(time.process_time() - began), "found": found}
        path.write_text(json.dumps(known, indent=1) + "\n")
        print(part, json.dumps(found, indent=1), flush=True)


if __name__ == "__main__":
    main()
