"""`collapse-policies`: what the next generation learns from decides whether errors pile up (ToEdit, theorems 1 and 2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from recension.recipes.audit.spec import AuditEffort
from recension.recipes.simulate.regression import simulate_regression
from recension.recipes.simulate.spec import RegressionSpec, SimulateEffort, SimulateTextSpec
from recension.recipes.simulate.text import simulate_text
from recension.recipes.study.bench import Bench, Findings, Scale, Step, Study, measured
from recension.recipes.study.drawing import Draw
from recension.recipes.study.spec import ScaleName
from recension.report.study import Row, StudyTable

TWIN = 1_000
SHARE = 0.125  # of the answers, or of the tokens, that a generation writes anew: the paper's share of flagged tokens
REGRESSION = ("replace", "accumulate", "chain", "chain_decay", "anchor")
SHOWN = (1, 2, 5, 10, 20)
ARMS = ("replace", "accumulate", f"chain_{SHARE:g}", f"anchor_{SHARE:g}")


@dataclass(frozen=True, slots=True)
class Generations(Scale):
    """How long and how wide both simulations are."""

    generations: int = 20
    samples: int = 100
    features: int = 10
    draws: int = 1_000  # regressions of a seed
    text_generations: int = 4
    budget: int = 20_000  # tokens that the first model of text learns from
    size: int = 250_000  # bytes drawn of the text; 0: all


FILES = {"human": ("web=human/web.train.jsonl.gz",)}
SCALES: Mapping[ScaleName, Generations] = {
    "tiny": Generations(FILES),
    "small": Generations(FILES, draws=20_000, text_generations=6, budget=100_000, size=900_000),
    "paper": Generations({"human": ()}, draws=200_000, text_generations=10, budget=10_000_000, size=0),
}


def _regression(bench: Bench[Generations], seed: int) -> Step:
    def simulate(out: Path) -> object:
        scale = bench.scale
        spec = RegressionSpec(
            generations=scale.generations, samples=scale.samples, features=scale.features, share=SHARE,
            seeds=scale.draws, seed=seed,
        )  # fmt: skip
        return simulate_regression(out, spec, SimulateEffort(workers=bench.effort.workers))

    work = 200.0 * bench.scale.draws * bench.scale.generations * bench.scale.samples * bench.scale.features
    return Step(f"regression-{seed}", "simulate regression", simulate, work)


def _text(bench: Bench[Generations], seed: int) -> Step:
    def simulate(out: Path) -> object:
        scale = bench.scale
        spec = SimulateTextSpec(
            policy=("replace", "accumulate", "chain", "anchor"), share=(f"{SHARE:g}",), generations=scale.text_generations,
            budget=scale.budget, vocabulary=1024, seeds=1, seed=seed,
        )  # fmt: skip
        text = bench.drawn("human", Draw(scale.size, 0))
        return simulate_text(text, out, spec, AuditEffort(workers=bench.effort.workers))

    return Step(f"text-{seed}", "simulate text", simulate, 5e5 * bench.scale.budget * bench.scale.text_generations)


def pilot(bench: Bench[Generations]) -> Iterator[Step]:
    """Other draws of both, twice for each seed."""
    for seed in bench.seeds:
        for one in (TWIN + 2 * seed, TWIN + 2 * seed + 1):
            yield _regression(bench, one)
            yield _text(bench, one)


def steps(bench: Bench[Generations]) -> Iterator[Step]:
    for seed in bench.seeds:
        yield _regression(bench, seed)
        yield _text(bench, seed)


def _errors(bench: Bench[Generations], policy: str, seed: int) -> list[float]:
    """Test errors by generation, in units of what the first model's is expected to be."""
    found: Any = bench.report(f"regression-{seed}")["error"][policy]
    return [float(value) for value in found]


def _bits(bench: Bench[Generations], arm: str, seed: int) -> list[float]:
    found: Any = bench.report(f"text-{seed}")["arms"][arm]["bits_per_byte_by_seed"]
    return [float(value) for value in found[0]]


def _risen(bench: Bench[Generations], arm: str, seed: int) -> float:
    line = _bits(bench, arm, seed)
    return line[-1] - line[0]


def null(bench: Bench[Generations]) -> Mapping[str, Sequence[float]]:
    pairs = [(TWIN + 2 * seed, TWIN + 2 * seed + 1) for seed in bench.seeds]
    chain = partial(_errors, bench, "chain")
    text = partial(_risen, bench, ARMS[2])
    return {"error": [chain(a)[-1] - chain(b)[-1] for a, b in pairs], "bits": [text(a) - text(b) for a, b in pairs]}


def findings(bench: Bench[Generations]) -> Findings:
    ends = {policy: [_errors(bench, policy, seed)[-1] for seed in bench.seeds] for policy in REGRESSION}
    rises = {arm: [_risen(bench, arm, seed) for seed in bench.seeds] for arm in ARMS}
    unit, text = "errors of the first model, beyond the bound of 2", "bits per byte of held-out text"
    last = bench.scale.generations

    def less(policy: str, bound: float) -> list[float]:
        return [value - bound for value in ends[policy]]

    def over(arm: str, base: str) -> list[float]:
        return [a - b for a, b in zip(rises[arm], rises[base], strict=True)]

    claims = (
        bench.claim(
            f"a chain of edits with a constant share keeps its error below twice that of the first model ({last} generations)",
            ("error", unit), less("chain", 2.0), False, "theorem 2: at most 2",
        ),
        bench.claim(
            "replacing all of the data lets the error grow beyond twice that of the first model",
            ("error", unit), less("replace", 2.0), True, f"theory: {last} after {last} generations",
        ),
        bench.claim(
            "editing the original again and again (anchor) keeps the error below twice that of the first model",
            ("error", unit), less("anchor", 2.0), False, "",
        ),
        bench.claim(
            "on text, a chain of edits costs less than replacing all of it",
            ("bits", text), over(ARMS[2], "replace"), False, "figure 1",
        ),
        bench.claim(
            "on text, a chain of edits costs more than editing the original",
            ("bits", text), over(ARMS[2], ARMS[3]), True, "",
        ),
    )  # fmt: skip
    rows = []
    for policy in REGRESSION:
        lines = [_errors(bench, policy, seed) for seed in bench.seeds]
        told = {f"generation {n}": measured([line[n - 1] for line in lines]) for n in SHOWN if n <= last}
        rows.append(Row(policy.replace("_", ", "), told))
    regression = StudyTable("Linear regression: test error, in units of the first model's", tuple(rows))
    spoken = []
    for arm in ARMS:
        lines = [_bits(bench, arm, seed) for seed in bench.seeds]
        told = {f"generation {n + 1}": measured([line[n] for line in lines]) for n in range(len(lines[0]))}
        spoken.append(Row(arm.replace("_", ", "), told))
    table = StudyTable("N-gram models of text: held-out bits per byte", tuple(spoken))
    notes = (
        f"A generation writes {SHARE:.1%} of the answers, or of the tokens, anew: the share of tokens that the paper flags. "
        "Far fewer than those change in its own editing.",
        "The proof of theorem 2 assumes edits that never touch a place twice, and takes one step more that does not hold: "
        "disjoint edits exceed the bound as well (`simulate regression`).",
    )
    return Findings(claims, (regression, table), notes)


STUDY = Study(
    name="collapse-policies",
    title="Which data the next model learns from",
    question="Does a chain of edits stay bounded, as theorem 2 says, and what does the anchor do?",
    source="ToEdit, theorems 1 and 2, figure 1",
    scales=SCALES,
    pilot=pilot,
    null=null,
    steps=steps,
    findings=findings,
)
