"""Regressions over generations against theory, and the same policies on text: the figures of docs/simulate.md.

python studies/simulate/run.py regression     # minutes on two cores
python studies/simulate/run.py text           # some ten minutes
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from recension import RegressionSpec, SimulateTextSpec, __version__, simulate_regression, simulate_text

HERE = Path(__file__).parent
CORPUS = HERE.parents[1] / "samples" / "human.jsonl.gz"
SHOWN = (1, 2, 5, 10, 20)
# What an earlier trial of ours found, with code that is not kept: T = 100, d = 10, generations 1, 2, 5, 10, 20.
TRIAL = {
    "replace": (1, 2, 5, 10.1, 20),
    "accumulate": (1, 1.24, 1.47, 1.55, 1.59),
    "chain": (1, 1.23, 1.91, 2.98, 5.1),
    "chain_decay": (1, 1.23, 1.84, 2.59, 3.57),
    "anchor": (1, 1.23, 1.22, 1.23, 1.23),
}


def regressions(place: Path) -> dict[str, Any]:
    main = simulate_regression(place / "main", RegressionSpec(seeds=20_000))
    found: dict[str, Any] = {
        "seeds": main.seeds,
        "error": {p.name: [round(p.error[n - 1], 4) for n in SHOWN] for p in main.policies},
        "standard_error": {p.name: [round(p.standard_error[n - 1], 4) for n in SHOWN] for p in main.policies},
        "trial": TRIAL,
        "claims": {f"{c.policy} {c.theorem}": c.fails_from for c in main.claims},
        "bound": round(next(c.values[0] for c in main.claims if c.theorem == "theorem_2_decay"), 2),
    }
    gaps = {}
    for samples, features, seeds in (
        (1_000, 10, 1_500),
        (100, 1, 20_000),
        (100, 10, 20_000),
        (100, 50, 4_000),
        (60, 30, 6_000),
    ):
        spec = RegressionSpec(samples=samples, features=features, seeds=seeds)
        one = main if (samples, features) == (100, 10) else simulate_regression(place / f"{samples}-{features}", spec)
        gaps[f"{samples} {features}"] = {
            p.name: {
                "theory": p.gap("theory"),
                "limit": p.gap("limit"),
                "noise": p.standard_error[-1] / p.error[-1],
            }
            for p in one.policies
        }
    found["gaps"] = gaps
    long = simulate_regression(place / "long", RegressionSpec(generations=150, seeds=2_000))
    chain = long.policy("chain_decay")
    found["long decay"] = {str(n): round(chain.error[n - 1], 3) for n in (50, 100, 150)}
    wide = simulate_regression(place / "wide", RegressionSpec(samples=200, features=20, seeds=4_000))
    found["disjoint at 200 x 20"] = round(wide.policy("chain_disjoint").error[-1], 3)
    bent = simulate_regression(place / "bent", RegressionSpec(seeds=500, correlation=0.9))
    plain = simulate_regression(place / "plain", RegressionSpec(seeds=500))
    pairs = zip(bent.policies, plain.policies, strict=True)
    found["largest effect of correlated features"] = max(
        abs(a / b - 1) for p, q in pairs for a, b in zip(p.error, q.error, strict=True)
    )
    return found


def texts(place: Path) -> dict[str, Any]:
    spec = SimulateTextSpec(share=("0.05", "0.125"), budget=60_000)
    report = simulate_text(CORPUS, place / "text", spec)
    return {
        "setting": {"budget": spec.budget, "seeds": spec.seeds, "generations": spec.generations, "model": report.model},
        "answer": report.to_json()["answer"],
        "arms": {
            arm.key: {
                "bits_per_byte": [round(v.value, 4) for v in arm.bits],
                "cost": arm.cost.to_json(),
                "state": arm.state,
                "tail": round(arm.contraction["tail"][-1].value, 3),
            }
            for arm in report.arms
        },
        # Held-out perplexity of trigram models, first and sixth generation, in that trial.
        "trial": {"replace": [269, 736], "accumulate": [269, 450], "chain": [269, 318], "anchor": [269, 281]},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=("regression", "text"))
    part = parser.parse_args().part
    with tempfile.TemporaryDirectory() as place:
        found = (regressions if part == "regression" else texts)(Path(place))
    path = HERE / "results.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**known, "version": __version__, part: found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
