"""`samplers-and-thresholds`: which tokens to edit, and how the new one is drawn (ToEdit, tables 5 to 7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from recension.recipes.study.bench import Bench, Findings, Step, Study, measured
from recension.recipes.study.drawing import Draw
from recension.recipes.study.learning import (
    Arm,
    Learner,
    accuracies,
    asked,
    bits,
    continued,
    edited,
    read,
    trained,
    vocabulary,
)
from recension.recipes.study.spec import ScaleName
from recension.report.study import Row, StudyTable

AUTHORS = {"threshold": 0.99, "temperature": 1.5}  # of the published scripts
WAYS: Mapping[str, Mapping[str, Any]] = {
    "top-k 8": {"preset": "paper"},
    "top-k 64": {**AUTHORS, "top_k": 64},
    "top-p 0.9": {**AUTHORS, "sampler": "top-p", "top_p": 0.9},
    "rejection": {**AUTHORS, "sampler": "rejection"},
    "p from 0.999": {**AUTHORS, "threshold": 0.999},
    "p to 0.1": {"below": 0.1, "temperature": 1.5},
    "p to 0.01": {"below": 0.01, "temperature": 1.5},
    "p to 0.001": {"below": 0.001, "temperature": 1.5},
    "change 5 %": {"change_share": 0.05},
}
# Accuracies of the paper's model of biomedicine: PubMedQA, and the mean of five tasks where it is printed.
PAPER: Mapping[str, Mapping[str, float]] = {
    "top-k 8": {"PubMedQA": 64.5, "mean of 5": 38.69},
    "top-k 64": {"PubMedQA": 63.8},
    "top-p 0.9": {"PubMedQA": 63.8},
    "rejection": {"PubMedQA": 64.5},
    "p from 0.999": {"PubMedQA": 63.6, "mean of 5": 38.48},
    "p to 0.1": {"PubMedQA": 62.4, "mean of 5": 35.72},
    "p to 0.01": {"PubMedQA": 65.4, "mean of 5": 37.46},
    "p to 0.001": {"PubMedQA": 64.2, "mean of 5": 39.16},
}
PLAIN = "not edited"

FILES = {
    "human": ("biomedicine=human/biomed_abstracts.train.jsonl.gz",),
    "base": ("textbooks=human/textbook_openstax.train.jsonl.gz",),
    "held_out": ("biomedicine=human/biomed_abstracts.valid.jsonl.gz",),
    "tasks": ("pubmedqa=eval/pubmedqa.dev.jsonl.gz", "chemprot=eval/chemprot.dev.jsonl.gz"),
}
SCALES: Mapping[ScaleName, Learner] = {
    "tiny": Learner(
        FILES,
        preset="tiny,hidden=96,ffn=256,layers=2,context=128,vocabulary=1024",
        vocabulary=1024,
        tokens=15_000,
        epochs=2,
        batch=4,
        questions=40,
    ),
    "small": Learner(
        FILES,
        preset="mini",
        vocabulary=8192,
        tokens=300_000,
        epochs=3,
        batch=16,
        questions=None,
        threads=0,
        held_out=0,
        read=500_000,
        device="one H100",
    ),
    "paper": Learner(
        {"human": (), "held_out": ()},
        preset="olmo-1b",
        base="hf:allenai/OLMo-1B-hf",
        tokens=1_120_000_000,
        compile="auto",
        threads=0,
        held_out=0,
        read=5_000_000,
        prior="hf:meta-llama/Meta-Llama-3-8B",
        prior_work=1.6e10,
        device="one H100",
    ),
}
FIRST = 5  # times as much text as is edited does the base model read, with as many readings


def _plain(bench: Bench[Learner], seed: int) -> Path:
    return bench.drawn("human", Draw(bench.scale.bytes if bench.scale.vocabulary else 0, seed))


def _base_text(bench: Bench[Learner], seed: int) -> Mapping[str | Path, float]:
    return {bench.drawn("base", Draw(FIRST * bench.scale.bytes, seed)): 1.0}


def _arm(bench: Bench[Learner], way: str, seed: int, twin: bool = False) -> Iterator[Step]:
    name = _slug(way)
    if way == PLAIN:
        arm = Arm(name, seed, lambda: {_plain(bench, seed): 1.0}, twin)
    else:
        edits = f"edited-{name}-{seed}"
        yield edited(bench, edits, seed, partial(_plain, bench, seed), **WAYS[way])
        arm = Arm(name, seed, lambda: {bench.place(edits): 1.0})
    yield continued(bench, arm, f"base-{seed}")
    yield read(bench, arm.step)
    if "tasks" in bench.roles:
        yield asked(bench, arm.step)


def _slug(way: str) -> str:
    return way.replace(" %", "-percent").replace(" ", "-")


def pilot(bench: Bench[Learner]) -> Iterator[Step]:
    """A model of general text for each seed, trained on, on text of the domain that is not edited; and its twin."""
    if not bench.scale.base:
        yield from vocabulary(bench, lambda: {**_base_text(bench, 0), _plain(bench, 0): 1.0})
        for seed in bench.seeds:
            yield trained(bench, Arm("base", seed, partial(_base_text, bench, seed), times=FIRST))
    for seed in bench.seeds:
        yield from _arm(bench, PLAIN, seed)
        yield from _arm(bench, PLAIN, seed, twin=True)


def null(bench: Bench[Learner]) -> Mapping[str, Sequence[float]]:
    name = _slug(PLAIN)
    pairs = [(f"{name}-{seed}", f"{name}-twin-{seed}") for seed in bench.seeds]
    found = {"bits": [bits(bench, a) - bits(bench, b) for a, b in pairs]}
    if "tasks" in bench.roles:
        found["tasks"] = [_accuracy(bench, a) - _accuracy(bench, b) for a, b in pairs]
    return found


def steps(bench: Bench[Learner]) -> Iterator[Step]:
    for way in WAYS:
        for seed in bench.seeds:
            yield from _arm(bench, way, seed)


def _accuracy(bench: Bench[Learner], step: str) -> float:
    found = accuracies(bench, step)
    return sum(found.values()) / len(found)


def findings(bench: Bench[Learner]) -> Findings:
    names = {way: [f"{_slug(way)}-{seed}" for seed in bench.seeds] for way in (PLAIN, *WAYS)}
    cost = {way: [bits(bench, step) for step in steps] for way, steps in names.items()}
    unit = "bits per byte of held-out text of the domain"

    def over(way: str, base: str) -> list[float]:
        return [a - b for a, b in zip(cost[way], cost[base], strict=True)]

    claims = [
        bench.claim(
            "editing tokens below 0.1 makes a worse model than editing those from 0.99 on", ("bits", unit),
            over("p to 0.1", "top-k 8"), True, "35.72 against 38.69, mean of 5 tasks (table 7)",
        ),
        bench.claim(
            "editing tokens below 0.001 makes a better model than editing those from 0.99 on", ("bits", unit),
            over("p to 0.001", "top-k 8"), False, "39.16 against 38.69 (table 7)",
        ),
        bench.claim(
            "drawing by rejection makes a better model than top-k", ("bits", unit), over("rejection", "top-k 8"), False,
            "28.90 against 26.13, MedMCQA (table 5)",
        ),
        bench.claim(
            "64 candidates make a better model than 8", ("bits", unit), over("top-k 64", "top-k 8"), False,
            "28.14 against 26.13, MedMCQA (table 6)",
        ),
        bench.claim(
            "text edited the published way makes a better model than the text itself", ("bits", unit),
            over("top-k 8", PLAIN), False, "40.89 against 38.83, mean of 5 tasks (table 2)",
        ),
    ]  # fmt: skip
    if "tasks" in bench.roles:
        right = {way: [_accuracy(bench, step) for step in steps] for way, steps in names.items()}
        claims.append(
            bench.claim(
                "editing tokens below 0.1 costs right answers", ("tasks", "points of accuracy"),
                [a - b for a, b in zip(right["p to 0.1"], right["top-k 8"], strict=True)], False,
                "62.4 against 64.5, PubMedQA (table 7)",
            )
        )  # fmt: skip
    tables = (StudyTable("Settings of the edit", tuple(_rows(bench, names, cost)), drawn="bits per byte"),)
    notes = (
        f"The prior is {bench.prior}; the text are abstracts of PubMed. MedMCQA, MedQA, RCT and USMLE are not at hand, so the "
        "tasks are PubMedQA and ChemProt, asked without examples.",
        "The paper's rows are accuracies. What is judged here is the held-out text of the domain, which such small models can "
        "be told apart by; that one setting costs bits does not say that it costs answers.",
        "Candidates are drawn at the temperature 1.5 of the authors' scripts. At top-p 0.9 a token of 0.99 stays as it is, by "
        "arithmetic: the row is a control.",
    )
    return Findings(tuple(claims), tables, notes)


def _rows(bench: Bench[Learner], names: Mapping[str, list[str]], cost: Mapping[str, list[float]]) -> Iterator[Row]:
    for way, steps in names.items():
        told = {"bits per byte": measured(cost[way])}
        if way != PLAIN:
            edits = [bench.report(f"edited-{_slug(way)}-{seed}")["generations"][0] for seed in bench.seeds]
            told["flagged, %"] = measured([100.0 * one["flagged"] / one["tokens"] for one in edits])
            told["changed, %"] = measured([100.0 * one["changed"] / one["tokens"] for one in edits])
        if "tasks" in bench.roles:
            found = [accuracies(bench, step) for step in steps]
            told |= {name: measured([one[name] for one in found]) for name in found[0]}
        yield Row(way, told, PAPER.get(way, {}))


STUDY = Study(
    name="samplers-and-thresholds",
    title="Which tokens to edit, and how",
    question="Does it matter for the model which tokens are edited, and how the new ones are drawn?",
    source="ToEdit, tables 5, 6 and 7",
    scales=SCALES,
    pilot=pilot,
    null=null,
    steps=steps,
    findings=findings,
)
