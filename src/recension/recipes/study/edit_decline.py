"""`edit-decline`: each generation of editing leaves fewer tokens to edit (ToEdit, table 9)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recension.errors import InputError
from recension.recipes.study.bench import Bench, Findings, Scale, Step, Study, measured
from recension.recipes.study.drawing import Draw
from recension.recipes.study.learning import edited
from recension.recipes.study.spec import ScaleName
from recension.report.study import Row, StudyTable

PAPER = (12.5, 11.76, 11.08)  # percent of the tokens of Natural Instructions, generations 1 to 3
PILOT = 1_000
WAYS: Mapping[str, Mapping[str, Any]] = {
    "paper": {"preset": "paper"},
    "exclude-original": {"threshold": 0.99, "exclude_original": True},
    "change-5-percent": {"change_share": 0.05},
}


@dataclass(frozen=True, slots=True)
class Chain(Scale):
    """How much is edited, and how often."""

    size: int = 40_000  # bytes of a draw; 0: all
    generations: int = 3
    tokens: int = 13_000
    prior_work: float = 2.5e7  # for a token


INSTRUCTIONS = {"human": ("instructions=human/cot_instructions.train.jsonl.gz",)}
SCALES: Mapping[ScaleName, Chain] = {
    "tiny": Chain(INSTRUCTIONS),
    "small": Chain(INSTRUCTIONS, size=1_000_000, tokens=330_000, device="one H100"),
    "paper": Chain(
        {"human": ()},
        prior="hf:meta-llama/Meta-Llama-3-8B",
        size=0,
        tokens=4_671_834,
        prior_work=1.6e10,
        device="one H100",
    ),
}


def _chain(bench: Bench[Chain], way: str, seed: int) -> Step:
    draw = Draw(bench.scale.size, seed)
    how = {"policy": "chain", "generations": bench.scale.generations, **WAYS[way]}
    return edited(bench, f"{way}-{seed}", seed, lambda: bench.drawn("human", draw), **how)


def pilot(bench: Bench[Chain]) -> Iterator[Step]:
    """The published way on other documents, twice for each seed."""
    for seed in bench.seeds:
        yield _chain(bench, "paper", PILOT + 2 * seed)
        yield _chain(bench, "paper", PILOT + 2 * seed + 1)


def flagged(bench: Bench[Chain], step: str) -> list[float]:
    """Percent of the tokens above the threshold, by generation."""
    return [100.0 * one["flagged"] / one["tokens"] for one in bench.report(step)["generations"]]


def changed(bench: Bench[Chain], step: str) -> list[float]:
    return [100.0 * one["changed"] / one["tokens"] for one in bench.report(step)["generations"]]


def _relative(shares: Sequence[float]) -> float:
    """The last generation against the first, in percent of the first."""
    if not shares[0]:
        raise InputError("the prior is so sure of no token that it could be edited: take another --prior, or more text")
    return 100.0 * (shares[-1] / shares[0] - 1.0)


def null(bench: Bench[Chain]) -> Mapping[str, Sequence[float]]:
    pairs = [[_relative(flagged(bench, f"paper-{PILOT + 2 * s + k}")) for k in (0, 1)] for s in bench.seeds]
    return {"decline": [a - b for a, b in pairs]}


def steps(bench: Bench[Chain]) -> Iterator[Step]:
    for way in WAYS:
        for seed in bench.seeds:
            yield _chain(bench, way, seed)


def findings(bench: Bench[Chain]) -> Findings:
    fell = {way: [_relative(flagged(bench, f"{way}-{seed}")) for seed in bench.seeds] for way in WAYS}
    says = {
        "paper": "the published way of editing leaves fewer tokens to edit with every generation",
        "exclude-original": "editing that never draws the token that stands there leaves fewer as well",
        "change-5-percent": "editing that changes 5 % of the tokens leaves fewer as well",
    }
    unit = "percent of the flagged share of generation 1"
    claims = tuple(
        bench.claim(
            says[way], ("decline", unit), fell[way], False, f"{_relative(PAPER):.1f} {unit}" if way == "paper" else ""
        )
        for way in WAYS
    )
    rows = tuple(
        Row(
            f"{way}, generation {k + 1}",
            {
                "flagged, %": measured([flagged(bench, f"{way}-{seed}")[k] for seed in bench.seeds]),
                "changed, %": measured([changed(bench, f"{way}-{seed}")[k] for seed in bench.seeds]),
            },
            {"flagged, %": PAPER[k]} if way == "paper" else {},
        )
        for way in WAYS
        for k in range(bench.scale.generations)
    )
    notes = (
        "The paper counts the tokens above the threshold as edited; how many become other tokens it does not say. Both "
        "are told here.",
        f"The prior is {bench.prior}. The text is instructions with reasoned answers (FLAN CoT), and not Natural "
        "Instructions.",
        "Where a share of changed tokens is wanted, the threshold is found for it, so flagged shares are far higher.",
    )
    return Findings(claims, (StudyTable("Tokens above the threshold, and tokens changed", rows),), notes)


STUDY = Study(
    name="edit-decline",
    title="What is left to edit, generation by generation",
    question="When a text is edited again and again, do fewer tokens stand above the threshold each time?",
    source="ToEdit, table 9",
    scales=SCALES,
    pilot=pilot,
    null=null,
    steps=steps,
    findings=findings,
)
