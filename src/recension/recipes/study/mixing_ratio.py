"""`mixing-ratio`: the more synthetic text, the worse human text is known (ToEdit, tables 1, 10 to 12, 15)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from recension.recipes.study.bench import Bench, Findings, Step, Study, measured
from recension.recipes.study.drawing import Draw
from recension.recipes.study.learning import (
    TWIN,
    Arm,
    Learner,
    accuracies,
    asked,
    bits,
    fitted,
    perplexities,
    read,
    trained,
    vocabulary,
)
from recension.recipes.study.spec import ScaleName
from recension.report.study import Claim, Row, StudyTable

SHARES = (0, 25, 50, 75, 100)
# GPT-2 124M on 8.4 to 42 billion tokens: the mean over 22 domains of the Pile, and Wikitext-103 after each epoch.
PAPER_PILE = {0: 21.37, 25: 22.31, 50: 23.90, 75: 27.03, 100: 49.30}
PAPER_EPOCHS = {
    0: (43.62, 38.57, 36.11, 34.89, 34.55),
    25: (45.97, 39.87, 37.65, 36.91, 36.32),
    50: (50.29, 43.15, 40.46, 39.43, 38.65),
    75: (58.66, 48.75, 45.20, 43.42, 42.95),
    100: (169.38, 147.73, 135.23, 131.78, 128.05),
}
PAPER_TASKS = {0: 41.69, 25: 40.71, 50: 41.62, 75: 41.24, 100: 40.26}

TASKS = tuple(
    f"{name}=eval/{name}.dev.jsonl.gz" for name in ("logi_qa", "winogrande", "piqa", "arc_easy", "boolq", "openbook_qa")
)
FILES = {
    "human": ("textbooks=human/textbook_openstax.train.jsonl.gz", "web=human/web.train.jsonl.gz",
              "encyclopedia=human/encyclopedia.train.jsonl.gz"),
    "synthetic": ("synthetic textbooks=synthetic/textbook_gpt4.train.jsonl.gz",),
    "held_out": ("textbooks=human/textbook_openstax.valid.jsonl.gz", "web=human/web.valid.jsonl.gz",
                 "encyclopedia=human/encyclopedia.valid.jsonl.gz"),
    "tasks": TASKS,
}  # fmt: skip
SCALES: Mapping[ScaleName, Learner] = {
    "tiny": Learner(
        FILES,
        preset="tiny,hidden=96,ffn=256,layers=2,context=128,vocabulary=1024",
        vocabulary=1024,
        tokens=60_000,
        epochs=2,
        batch=8,
        questions=40,
        ngram=1_500_000,
    ),
    "small": Learner(
        FILES,
        preset="mini",
        vocabulary=8192,
        tokens=2_000_000,
        epochs=5,
        batch=32,
        questions=500,
        threads=0,
        held_out=400_000,
        read=1_000_000,
        device="one H100",
    ),
    "paper": Learner(
        {"human": (), "synthetic": (), "held_out": ()},
        preset="gpt2-124m",
        tokenizer="gpt2",
        tokens=8_400_000_000,
        epochs=5,
        compile="auto",
        threads=0,
        held_out=0,
        read=50_000_000,
        device="one H100",
    ),
}


def _mix(bench: Bench[Learner], share: int, seed: int, size: int | None = None) -> Mapping[str | Path, float]:
    """As much of each source as one epoch reads, so that every epoch reads the same text."""
    whole = size or (bench.scale.bytes if bench.scale.vocabulary else 0)
    parts: dict[str | Path, float] = {}
    for role, percent in (("human", 100 - share), ("synthetic", share)):
        if percent:
            parts[bench.drawn(role, Draw(max(1, whole * percent // 100) if whole else 0, seed))] = percent / 100
    return parts


def _arm(bench: Bench[Learner], share: int, seed: int, twin: bool = False) -> Iterator[Step]:
    arm = Arm(f"synthetic-{share}", seed, partial(_mix, bench, share, seed), twin)
    yield trained(bench, arm, watched=True)
    yield read(bench, arm.step)
    if "tasks" in bench.roles:
        yield asked(bench, arm.step)


def _counted(bench: Bench[Learner], share: int, seed: int) -> Iterator[Step]:
    """An n-gram model of the same mixture, of more text."""
    if bench.scale.ngram:
        yield from fitted(bench, f"ngram-{share}-{seed}", lambda: tuple(_mix(bench, share, seed, bench.scale.ngram)))


def pilot(bench: Bench[Learner]) -> Iterator[Step]:
    """Human text alone, and its twin; of an n-gram model the twin is that of other documents."""
    yield from vocabulary(bench, partial(_mix, bench, 50, 0))
    for seed in bench.seeds:
        yield from _arm(bench, 0, seed)
        yield from _arm(bench, 0, seed, twin=True)
        yield from _counted(bench, 0, seed)
        yield from _counted(bench, 0, seed + TWIN)


def null(bench: Bench[Learner]) -> Mapping[str, Sequence[float]]:
    pairs = [(f"synthetic-0-{seed}", f"synthetic-0-twin-{seed}") for seed in bench.seeds]
    found = {"bits": [bits(bench, a) - bits(bench, b) for a, b in pairs]}
    if bench.scale.ngram:
        counted = [(f"ngram-0-{seed}", f"ngram-0-{seed + TWIN}") for seed in bench.seeds]
        found["ngram"] = [bits(bench, a) - bits(bench, b) for a, b in counted]
    found["loss"] = [_losses(bench, a)[0][-1] - _losses(bench, b)[0][-1] for a, b in pairs]
    if "tasks" in bench.roles:
        found["tasks"] = [_accuracy(bench, a) - _accuracy(bench, b) for a, b in pairs]
    return found


def steps(bench: Bench[Learner]) -> Iterator[Step]:
    for share in SHARES[1:]:
        for seed in bench.seeds:
            yield from _arm(bench, share, seed)
            yield from _counted(bench, share, seed)


def _accuracy(bench: Bench[Learner], step: str) -> float:
    found = accuracies(bench, step)
    return sum(found.values()) / len(found)


def _losses(bench: Bench[Learner], step: str) -> tuple[list[float], list[float]]:
    """Loss on the training text at the end of every epoch, and held-out perplexity there."""
    report, epochs = bench.report(step), bench.scale.epochs
    ends = [report["steps"] * (epoch + 1) // epochs for epoch in range(epochs)]
    near = max(1, report["steps"] // epochs // 5)
    train = [_mean([loss for at, loss in report["loss"] if end - near <= at < end]) for end in ends]
    valid = [min(report["valid"], key=lambda point: abs(point[0] + 1 - end)) for end in ends]
    return train, [2.718281828459045 ** point[1] for point in valid]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def findings(bench: Bench[Learner]) -> Findings:
    seeds = bench.seeds
    by_share = {share: [f"synthetic-{share}-{seed}" for seed in seeds] for share in SHARES}
    cost = {share: [bits(bench, step) for step in steps] for share, steps in by_share.items()}
    last = {share: [_losses(bench, step)[0][-1] for step in steps] for share, steps in by_share.items()}
    unit = "bits per byte of held-out human text"

    def over(share: int, base: int = 0) -> list[float]:
        return [a - b for a, b in zip(cost[share], cost[base], strict=True)]

    claims = [
        bench.claim(
            "a model of synthetic text alone knows human text worse than one of human text", ("bits", unit), over(100), True,
            "perplexity 49.30 against 21.37 (table 1)",
        ),
        bench.claim("a quarter of synthetic text is worse than none", ("bits", unit), over(25), True, "22.31 against 21.37"),
        bench.claim("half is worse than a quarter", ("bits", unit), over(50, 25), True, "23.90 against 22.31"),
        bench.claim("three quarters are worse than half", ("bits", unit), over(75, 50), True, "27.03 against 23.90"),
        bench.claim(
            "the loss on the text that is trained on falls with the share of synthetic text", ("loss", "nats per token"),
            [a - b for a, b in zip(last[100], last[0], strict=True)], False, "figure 2: it falls",
        ),
    ]  # fmt: skip
    tables = [_by_domain(bench, by_share, cost), _by_epoch(bench, by_share)]
    if bench.scale.ngram:
        told, table = _by_counts(bench)
        claims += told
        tables.append(table)
    if "tasks" in bench.roles:
        right = {share: [_accuracy(bench, step) for step in steps] for share, steps in by_share.items()}
        claims.append(
            bench.claim(
                "a model of synthetic text alone answers fewer questions", ("tasks", "points of accuracy"),
                [a - b for a, b in zip(right[100], right[0], strict=True)], False, "40.26 against 41.69 (table 10)",
            )
        )  # fmt: skip
        tables.append(_by_task(bench, by_share, right))
    notes = (
        "The synthetic text are textbooks of a language model; the human text are textbooks, weblogs and an encyclopedia. "
        "A model of synthetic textbooks is closer to the held-out textbooks than to the rest.",
        "Perplexities hold for the vocabulary of this study, which was fitted to both kinds of text alike, and cannot be set "
        "against the paper's; what can be compared is which of them is larger.",
        "The n-gram models were added when the networks of the tiny scale had been seen to resolve nothing.",
        "The rate of learning falls to zero once, at the end of the last epoch.",
    )
    return Findings(tuple(claims), tuple(tables), notes)


def _by_counts(bench: Bench[Learner]) -> tuple[list[Claim], StudyTable]:
    """The same question to n-gram models, which a core fits to more text in seconds."""
    steps = {share: [f"ngram-{share}-{seed}" for seed in bench.seeds] for share in SHARES}
    cost = {share: [bits(bench, step) for step in names] for share, names in steps.items()}
    claims = [
        bench.claim(
            f"an n-gram model of {share} % synthetic text knows human text worse than one of {base} %",
            ("ngram", "bits per byte of held-out human text"),
            [a - b for a, b in zip(cost[share], cost[base], strict=True)], True,
            f"{PAPER_PILE[share]:.2f} against {PAPER_PILE[base]:.2f}, of GPT-2",
        )
        for share, base in ((100, 0), (25, 0), (50, 25), (75, 50), (100, 75))
    ]  # fmt: skip
    rows = tuple(Row(f"{share} % synthetic", {"bits per byte": measured(found)}) for share, found in cost.items())
    note = f"Models of order 3, each fitted to {bench.scale.ngram:,} bytes; its twin, to other documents."
    return claims, StudyTable("N-gram models of the same mixtures", rows, note, "bits per byte")


def _by_domain(
    bench: Bench[Learner], by_share: Mapping[int, Sequence[str]], cost: Mapping[int, list[float]]
) -> StudyTable:
    rows = []
    for share, steps in by_share.items():
        found = [perplexities(bench, step) for step in steps]
        told = {"bits per byte": measured(cost[share])}
        told |= {f"PPL {name}": measured([one[name] for one in found]) for name in found[0]}
        rows.append(Row(f"{share} % synthetic", told, {"PPL, mean of 22 domains": PAPER_PILE[share]}))
    return StudyTable("Held-out human text after the last epoch", tuple(rows), drawn="bits per byte")


def _by_epoch(bench: Bench[Learner], by_share: Mapping[int, Sequence[str]]) -> StudyTable:
    rows = []
    for share, steps in by_share.items():
        found = [_losses(bench, step) for step in steps]
        for epoch in range(bench.scale.epochs):
            told = {
                "training loss, nats": measured([train[epoch] for train, _ in found]),
                "PPL held out": measured([ppl[epoch] for _, ppl in found]),
            }
            rows.append(Row(f"{share} %, epoch {epoch + 1}", told, {"PPL Wikitext-103": PAPER_EPOCHS[share][epoch]}))
    note = (
        "The loss on the text itself beside that on human text: a low one of the first kind says nothing of the second."
    )
    return StudyTable("Every epoch", tuple(rows), note)


def _by_task(
    bench: Bench[Learner], by_share: Mapping[int, Sequence[str]], right: Mapping[int, list[float]]
) -> StudyTable:
    rows = []
    for share, steps in by_share.items():
        found = [accuracies(bench, step) for step in steps]
        told = {"mean": measured(right[share])} | {name: measured([one[name] for one in found]) for name in found[0]}
        rows.append(Row(f"{share} % synthetic", told, {"mean of 7 tasks": PAPER_TASKS[share]}))
    return StudyTable("Questions answered rightly, percent", tuple(rows))


STUDY = Study(
    name="mixing-ratio",
    title="Human and synthetic text, mixed",
    question="Does a model know human text the worse, the more synthetic text it was trained on?",
    source="ToEdit, tables 1, 10, 11, 12 and 15",
    scales=SCALES,
    pilot=pilot,
    null=null,
    steps=steps,
    findings=findings,
)
