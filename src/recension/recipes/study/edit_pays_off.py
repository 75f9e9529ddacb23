"""`edit-pays-off`: plain against edited text for pretraining, continued pretraining and fine-tuning (ToEdit, tables 2 to 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from recension.recipes.study.bench import Bench, Findings, Step, Study, measured
from recension.recipes.study.drawing import Draw
from recension.recipes.study.learning import (
    Arm,
    Learner,
    bits,
    continued,
    edited,
    read,
    trained,
    tuned,
    vocabulary,
)
from recension.recipes.study.spec import ScaleName
from recension.report.study import Row, StudyTable

PLAIN = "plain"
WAYS: Mapping[str, Mapping[str, Any]] = {"edited": {"preset": "paper"}, "edited-5-percent": {"change_share": 0.05}}
STAGES = ("pretrain", "continue", "sft")
NAMES = {"pretrain": "pretraining", "continue": "continued pretraining", "sft": "fine-tuning"}
# OLMo-1B: means over 8 tasks (table 3) and over 5 of biomedicine (table 2); Llama-3-8B on Natural Instructions (table 4).
PAPER = {
    "pretrain": {PLAIN: 32.75, "edited": 33.11},
    "continue": {PLAIN: 38.83, "edited": 40.89},
    "sft": {PLAIN: 69.34, "edited": 69.70},
}
FILES = {
    "human": ("textbooks=human/textbook_openstax.train.jsonl.gz", "web=human/web.train.jsonl.gz"),
    "domain": ("biomedicine=human/biomed_abstracts.train.jsonl.gz",),
    "instructions": ("reasoning=human/cot_instructions.train.jsonl.gz",),
    "held_out": ("textbooks=human/textbook_openstax.valid.jsonl.gz", "web=human/web.valid.jsonl.gz"),
    "held_out_domain": ("biomedicine=human/biomed_abstracts.valid.jsonl.gz",),
    "held_out_instructions": ("reasoning=human/cot_instructions.valid.jsonl.gz",),
}
SCALES: Mapping[ScaleName, Learner] = {
    "tiny": Learner(
        FILES,
        preset="tiny,hidden=96,ffn=256,layers=2,context=128,vocabulary=1024",
        vocabulary=1024,
        tokens=20_000,
        epochs=3,
        batch=4,
    ),
    "small": Learner(
        FILES,
        preset="mini",
        vocabulary=8192,
        tokens=600_000,
        epochs=3,
        batch=16,
        threads=0,
        held_out=400_000,
        read=500_000,
        device="one H100",
    ),
    "paper": Learner(
        {
            "human": (),
            "domain": (),
            "instructions": (),
            "held_out": (),
            "held_out_domain": (),
            "held_out_instructions": (),
        },
        preset="olmo-1b",
        tokenizer="allenai/OLMo-1B-hf",
        tokens=10_000_000_000,
        compile="auto",
        threads=0,
        held_out=0,
        read=5_000_000,
        prior="hf:meta-llama/Meta-Llama-3-8B",
        prior_work=1.6e10,
        device="one H100",
    ),
}
ROLES = {"pretrain": "human", "continue": "domain", "sft": "instructions"}


def _text(bench: Bench[Learner], stage: str, seed: int) -> Path:
    size = bench.scale.bytes if bench.scale.vocabulary else 0
    if stage == "sft":
        return bench.drawn("instructions", Draw(size, seed, text_key="answer", asked="question"))
    return bench.drawn(ROLES[stage], Draw(size, seed))


def _held_out(bench: Bench[Learner], stage: str) -> Callable[[], list[str]]:
    size = bench.scale.held_out
    if stage == "sft":
        draw = Draw(size, 0, text_key="answer", asked="question")
        return lambda: bench.domains(draw, "held_out_instructions")
    return lambda: bench.domains(Draw(size, 0), "held_out" if stage == "pretrain" else "held_out_domain")


def _arm(bench: Bench[Learner], stage: str, way: str, seed: int, twin: bool = False) -> Iterator[Step]:
    text: Callable[[], Path] = partial(_text, bench, stage, seed)
    edits = f"{stage}-text-{way}-{seed}"
    if way != PLAIN:
        yield edited(bench, edits, seed, text, **WAYS[way])
    arm = Arm(f"{stage}-{way}", seed, lambda: {text() if way == PLAIN else bench.place(edits): 1.0}, twin)
    base = f"pretrain-{PLAIN}-{seed}"  # every later stage begins where plain text has led
    if stage == "pretrain":
        yield trained(bench, arm)
    else:
        yield continued(bench, arm, base) if stage == "continue" else tuned(bench, arm, base)
    yield read(bench, arm.step, _held_out(bench, stage), answers=stage == "sft")


def pilot(bench: Bench[Learner]) -> Iterator[Step]:
    """Plain text at every stage, and its twin."""
    yield from vocabulary(bench, lambda: {_text(bench, stage, 0): 1.0 for stage in ("pretrain", "continue")})
    for stage in STAGES:
        for seed in bench.seeds:
            yield from _arm(bench, stage, PLAIN, seed)
            yield from _arm(bench, stage, PLAIN, seed, twin=True)


def null(bench: Bench[Learner]) -> Mapping[str, Sequence[float]]:
    return {
        stage: [
            bits(bench, f"{stage}-{PLAIN}-{seed}") - bits(bench, f"{stage}-{PLAIN}-twin-{seed}") for seed in bench.seeds
        ]
        for stage in STAGES
    }


def steps(bench: Bench[Learner]) -> Iterator[Step]:
    for stage in STAGES:
        for way in WAYS:
            for seed in bench.seeds:
                yield from _arm(bench, stage, way, seed)


def findings(bench: Bench[Learner]) -> Findings:
    claims, tables = [], []
    for stage in STAGES:
        cost = {way: [bits(bench, f"{stage}-{way}-{seed}") for seed in bench.seeds] for way in (PLAIN, *WAYS)}
        for way, how in (("edited", "the published way"), ("edited-5-percent", "until 5 % of it is changed")):
            apart = [a - b for a, b in zip(cost[way], cost[PLAIN], strict=True)]
            paper = PAPER[stage]
            claims.append(
                bench.claim(
                    f"text edited {how} is better for {NAMES[stage]} than plain text", (stage, "bits per byte"), apart, False,
                    f"{paper['edited']} against {paper[PLAIN]}, mean accuracy" if way == "edited" else "",
                )
            )  # fmt: skip
        rows = []
        for way, found in cost.items():
            told = {"bits per byte": measured(found)}
            if way != PLAIN:
                edits = [bench.report(f"{stage}-text-{way}-{seed}")["generations"][0] for seed in bench.seeds]
                told["changed, %"] = measured([100.0 * one["changed"] / max(1, one["tokens"]) for one in edits])
            rows.append(
                Row(way.replace("-", " "), told, {"accuracy": PAPER[stage][way]} if way in PAPER[stage] else {})
            )
        tables.append(StudyTable(f"{NAMES[stage].capitalize()}: held-out text", tuple(rows), drawn="bits per byte"))
    notes = (
        f"The prior is {bench.prior}. The paper measures accuracy on tasks, where models of this size guess; held-out text of "
        "the same kind is measured here, with fewer bits per byte being better.",
        "Of exchanges only the answers are edited, learnt and measured. Continued pretraining and fine-tuning begin with the "
        "model of the same seed that was trained on plain text.",
    )
    return Findings(tuple(claims), tuple(tables), notes)


STUDY = Study(
    name="edit-pays-off",
    title="Does editing pay off?",
    question="Is edited text better to train on than the text it was made of?",
    source="ToEdit, tables 2, 3 and 4",
    scales=SCALES,
    pilot=pilot,
    null=null,
    steps=steps,
    findings=findings,
)
