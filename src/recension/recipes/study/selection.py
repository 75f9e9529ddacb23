"""`selection`: whether choosing among synthetic documents brings a model nearer to human text (ToEdit, table 13)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from recension.recipes.select.choosing import select
from recension.recipes.select.heads import train_head
from recension.recipes.select.spec import HeadSpec, SelectEffort, SelectSpec
from recension.recipes.settings import PriorSettings
from recension.recipes.study.bench import Bench, Findings, Step, Study, measured
from recension.recipes.study.drawing import Draw
from recension.recipes.study.learning import TWIN, Arm, Learner, bits, fitted, perplexities, read, trained, vocabulary
from recension.recipes.study.spec import ScaleName
from recension.report.study import Row, StudyTable

METHODS = ("dsir", "perplexity", "edu", "density")
NAMES = {
    "dsir": "DSIR",
    "perplexity": "a band of perplexity",
    "edu": "an education score",
    "density": "density sampling",
}
# OLMo-237M on Wikitext-103: PPL of human text, of synthetic text, and of what was chosen among 1 and 10 million documents.
PAPER = {
    "human": {"1M": 187.36},
    "synthetic": {"1M": 1605.73},
    "dsir": {"1M": 1309.53, "10M": 1757.03},
    "edu": {"1M": 1111.29, "10M": 1612.95},
    "perplexity": {"1M": 738.36, "10M": 1193.25},
    "density": {"1M": 1188.40, "10M": 1753.89},
}
GOOD, POOR = 4.0, 1.0  # what the stand-in of an education score learns: textbooks against weblogs


@dataclass(frozen=True, slots=True)
class Chooser(Learner):
    """How much there is to choose from."""

    pool: int = 5  # times as much text as is trained on
    keep: float = 0.22


FILES = {
    "human": ("textbooks=human/textbook_openstax.train.jsonl.gz", "web=human/web.train.jsonl.gz",
              "encyclopedia=human/encyclopedia.train.jsonl.gz"),
    "synthetic": ("synthetic textbooks=synthetic/textbook_gpt4.train.jsonl.gz",),
    "good": ("textbooks=human/textbook.train.jsonl.gz",),
    "poor": ("web=human/web.train.jsonl.gz",),
    "held_out": ("textbooks=human/textbook_openstax.valid.jsonl.gz", "web=human/web.valid.jsonl.gz",
                 "encyclopedia=human/encyclopedia.valid.jsonl.gz"),
}  # fmt: skip
SCALES: Mapping[ScaleName, Chooser] = {
    "tiny": Chooser(
        FILES, preset="tiny,hidden=96,ffn=256,layers=2,context=128,vocabulary=1024", vocabulary=1024, tokens=40_000, batch=4,
        epochs=3, ngram=140_000,
    ),
    "small": Chooser(
        FILES, preset="mini", vocabulary=8192, tokens=600_000, epochs=3, batch=16, threads=0, pool=7, held_out=400_000,
        read=500_000, device="one H100",
    ),
    "paper": Chooser(
        {"human": (), "synthetic": (), "good": (), "poor": (), "held_out": ()}, preset="olmo-237m",
        tokenizer="allenai/OLMo-1B-hf", tokens=8_400_000_000, compile="auto", threads=0, held_out=0, read=50_000_000,
        prior="hf:meta-llama/Meta-Llama-3-8B", prior_work=1.6e10, device="one H100",
    ),
}  # fmt: skip


def _size(bench: Bench[Chooser]) -> int:
    return bench.scale.bytes if bench.scale.vocabulary else 0


def _human(bench: Bench[Chooser], seed: int) -> Path:
    return bench.drawn("human", Draw(_size(bench), seed))


def _pool(bench: Bench[Chooser], seed: int) -> Path:
    return bench.drawn("synthetic", Draw(bench.scale.pool * _size(bench), seed))


def _chosen(bench: Bench[Chooser], method: str, seed: int) -> Step:
    """Some of the synthetic documents, by one method."""

    def choose(out: Path) -> object:
        how: dict[str, Any] = {"method": method, "keep": bench.scale.keep, "seed": seed, "tail_words": 0}
        if method == "dsir":
            how["target"] = (str(_human(bench, seed)),)
        if method == "edu":
            how["head"] = str(bench.place("head"))
        if method == "perplexity":
            how |= {"prior": bench.prior, "model": PriorSettings(device=bench.spec.device)}
        return select([_pool(bench, seed)], out, SelectSpec(**how), SelectEffort(workers=bench.effort.workers))

    work = bench.scale.prior_work * bench.scale.pool * bench.scale.tokens if method == "perplexity" else 0.0
    return Step(f"chosen-{method}-{seed}", "select", choose, work)


def _head(bench: Bench[Chooser], out: Path) -> object:
    """The stand-in of an education classifier: textbooks score high, weblogs low."""
    size = _size(bench)
    rows = [bench.drawn("good", Draw(size, 0, score=GOOD)), bench.drawn("poor", Draw(size, 0, score=POOR))]
    return train_head(rows, out, HeadSpec(), SelectEffort(workers=bench.effort.workers))


def _mix(bench: Bench[Chooser], name: str, seed: int) -> Mapping[str | Path, float]:
    if name == "human":
        return {_human(bench, seed): 1.0}
    if name == "synthetic":
        return {bench.drawn("synthetic", Draw(_size(bench), seed)): 1.0}
    return {bench.place(f"chosen-{name}-{seed}"): 1.0}


def _arm(bench: Bench[Chooser], name: str, seed: int, twin: bool = False) -> Iterator[Step]:
    arm = Arm(name, seed, partial(_mix, bench, name, seed), twin)
    yield trained(bench, arm)
    yield read(bench, arm.step)


def _counted(bench: Bench[Chooser], name: str, seed: int) -> Iterator[Step]:
    """An n-gram model of the same text."""
    if bench.scale.ngram:
        yield from fitted(bench, f"ngram-{name}-{seed}", lambda: tuple(_mix(bench, name, seed)))


def pilot(bench: Bench[Chooser]) -> Iterator[Step]:
    """Human text, and its twin."""
    yield from vocabulary(bench, lambda: {**_mix(bench, "human", 0), **_mix(bench, "synthetic", 0)})
    for seed in bench.seeds:
        yield from _arm(bench, "human", seed)
        yield from _arm(bench, "human", seed, twin=True)
        yield from _counted(bench, "human", seed)
        yield from _counted(bench, "human", seed + TWIN)


def null(bench: Bench[Chooser]) -> Mapping[str, Sequence[float]]:
    found = {"bits": [bits(bench, f"human-{seed}") - bits(bench, f"human-twin-{seed}") for seed in bench.seeds]}
    if bench.scale.ngram:
        counted = [(f"ngram-human-{seed}", f"ngram-human-{seed + TWIN}") for seed in bench.seeds]
        found["ngram"] = [bits(bench, a) - bits(bench, b) for a, b in counted]
    return found


def steps(bench: Bench[Chooser]) -> Iterator[Step]:
    yield Step("head", "select train-head", partial(_head, bench))
    for seed in bench.seeds:
        yield from _arm(bench, "synthetic", seed)
        yield from _counted(bench, "synthetic", seed)
    for method in METHODS:
        for seed in bench.seeds:
            yield _chosen(bench, method, seed)
            yield from _arm(bench, method, seed)
            yield from _counted(bench, method, seed)


def findings(bench: Bench[Chooser]) -> Findings:
    cost = {name: [bits(bench, f"{name}-{s}") for s in bench.seeds] for name in ("human", "synthetic", *METHODS)}
    unit = "bits per byte of held-out human text"

    def over(name: str, base: str) -> list[float]:
        return [a - b for a, b in zip(cost[name], cost[base], strict=True)]

    claims = [
        bench.claim(
            f"a model of synthetic text chosen by {NAMES[method]} still knows human text worse than one of human text",
            ("bits", unit), over(method, "human"), True,
            f"PPL {PAPER[method]['1M']} and {PAPER[method]['10M']} against {PAPER['human']['1M']}",
        )
        for method in METHODS
    ]  # fmt: skip
    claims += [
        bench.claim(
            f"it knows it better than one of synthetic text that was not chosen ({NAMES[method]})",
            ("bits", unit), over(method, "synthetic"), False,
            f"PPL {PAPER[method]['1M']} and {PAPER[method]['10M']} against {PAPER['synthetic']['1M']}",
        )
        for method in METHODS
    ]  # fmt: skip
    tables = []
    if bench.scale.ngram:
        counted = {name: [bits(bench, f"ngram-{name}-{s}") for s in bench.seeds] for name in cost}
        claims += [
            bench.claim(
                f"an n-gram model of text chosen by {NAMES[method]} knows human text worse than one of human text",
                ("ngram", unit), [a - b for a, b in zip(counted[method], counted["human"], strict=True)], True,
                f"PPL {PAPER[method]['1M']} and {PAPER[method]['10M']} against {PAPER['human']['1M']}",
            )
            for method in METHODS
        ]  # fmt: skip
        told_rows = tuple(Row(name, {"bits per byte": measured(values)}) for name, values in counted.items())
        tables.append(
            StudyTable(
                "N-gram models of the same text", told_rows, "Of order 3; a twin, to other documents.", "bits per byte"
            )
        )
    rows = []
    for name, values in cost.items():
        found = [perplexities(bench, f"{name}-{seed}") for seed in bench.seeds]
        told = {"bits per byte": measured(values)}
        told |= {f"PPL {domain}": measured([one[domain] for one in found]) for domain in found[0]}
        gap = [100.0 * (s - x) / (s - h) for s, x, h in zip(cost["synthetic"], values, cost["human"], strict=True)]
        told["of the gap closed, %"] = measured(gap)
        paper = {f"Wikitext-103, {size}": ppl for size, ppl in PAPER[name].items()}
        rows.append(Row(name, told, paper))
    notes = (
        f"{bench.scale.keep:.0%} of the documents are kept; every model reads as many tokens. In the paper the choice is made "
        "among 1 and among 10 million documents, here among some hundred.",
        "The education score is a stand-in: a head that was fitted to tell textbooks from weblogs. The prior of the band of "
        f"perplexity is {bench.prior}.",
        "DSIR is given the human text that the control is trained on as its target.",
    )
    table = StudyTable("Held-out human text", tuple(rows), drawn="bits per byte")
    return Findings(tuple(claims), (table, *tables), notes)


STUDY = Study(
    name="selection",
    title="Can synthetic text be repaired by choosing?",
    question="Does choosing among synthetic documents make a model that knows human text as well as human text does?",
    source="ToEdit, table 13",
    scales=SCALES,
    pilot=pilot,
    null=null,
    steps=steps,
    findings=findings,
)
