"""`expansion-recipes`: a small corpus repeated, or expanded by rewrites of three kinds (MAGA, figures 5, 7, 9 and 10)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from recension.recipes.audit.audit import audit
from recension.recipes.audit.spec import AuditEffort, AuditSpec
from recension.recipes.evaluate.loss_pattern import evaluate_loss_pattern
from recension.recipes.evaluate.spec import LossPatternSpec
from recension.recipes.settings import PriorSettings
from recension.recipes.study.bench import Bench, Findings, Step, Study, measured
from recension.recipes.study.drawing import Draw
from recension.recipes.study.learning import (
    TWIN,
    Arm,
    Learner,
    bits,
    fitted,
    held_out,
    perplexities,
    read,
    trained,
    vocabulary,
)
from recension.recipes.study.spec import ScaleName
from recension.recipes.study.subset import EXPANDED, RECIPES, REPEAT, WEB, told, weighed
from recension.report.overlay import map_plot
from recension.report.plots import Labels
from recension.report.study import Claim, Row, StudyTable

# The stand-ins: which column of the paired text plays which of MAGA's variants.
COLUMNS = {"original": "human", "strict": "human_polished", "base": "human_dipper", "relaxed": "machine"}
VARIANTS = ("base", "strict", "relaxed")
TRAINED, HELD_OUT = (0.0, 0.8), (0.8, 1.0)  # by lineage: no document has its original here and its rewrite there
HUMAN_SHARE = 0.2  # of the mixture: 100 of 500 billion tokens of the recipe EntireSet
ALL = 1 << 40  # bytes: more than a paired corpus of the smaller scales has
BASELINE = "repeated"
ARMS: Mapping[str, Mapping[str, float]] = {
    **{f"mix-{name}": {"original": HUMAN_SHARE, name: 1 - HUMAN_SHARE} for name in VARIANTS},
    **{f"only-{name}": {name: 1.0} for name in VARIANTS},
}
COUNTED = (("original",), *(("original", name) for name in VARIANTS), *((name,) for name in VARIANTS))
PAPER = {
    "mix-base": {"134M": 0.26, "377M": 0.95, "1.7B": 2.15},
    "only-base": {"134M": -0.90, "377M": -0.99, "1.7B": -0.95},
}

FILES = {
    "paired": ("news and stories=paired/detectrl_quads_news_stories.jsonl.gz",),
    WEB: ("web=human/web.train.jsonl.gz", "news=human/broadcast_news.train.jsonl.gz"),
}
SCALES: Mapping[ScaleName, Learner] = {
    "tiny": Learner(
        FILES,
        preset="tiny,hidden=96,ffn=256,layers=2,context=128,vocabulary=1024",
        vocabulary=1024,
        tokens=40_000,
        epochs=3,
        batch=8,
        held_out=60_000,
        ngram=250_000,
    ),
    "small": Learner(
        FILES,
        preset="mini",
        vocabulary=4096,
        tokens=200_000,
        epochs=10,
        batch=16,
        threads=0,
        held_out=0,
        read=50_000,
        device="one H100",
    ),
    "paper": Learner(
        {"original": (), "base": (), "strict": (), "relaxed": (), "held_out": (), WEB: ()},
        preset="1.7b",
        tokenizer="gpt2",
        tokens=50_000_000_000,
        epochs=10,
        compile="auto",
        threads=0,
        held_out=0,
        read=50_000_000,
        device="one H100",
    ),
}


def _text(bench: Bench[Learner], kind: str, seed: int) -> Path:
    if "paired" not in bench.scale.files:
        return bench.drawn(kind, Draw(0, seed))
    size = bench.scale.bytes if bench.spec.scale == "tiny" else ALL
    return bench.drawn("paired", Draw(size, seed, kind, COLUMNS[kind], part=TRAINED))


def _beside_web(bench: Bench[Learner], recipe: str, seed: int) -> Mapping[str | Path, float]:
    def text(kind: str, size: int) -> Path:
        if kind == WEB or "paired" not in bench.scale.files:
            return bench.drawn(kind, Draw(size, seed))
        return bench.drawn("paired", Draw(size, seed, f"subset-{kind}", COLUMNS[kind], part=TRAINED))

    return weighed(bench, recipe, text)


def _held_out(bench: Bench[Learner]) -> list[str]:
    if "paired" not in bench.scale.files:
        return held_out(bench)
    size = bench.scale.held_out or ALL
    return [f"human={bench.drawn('paired', Draw(size, 0, 'held-out', COLUMNS['original'], part=HELD_OUT))}"]


def _mix(bench: Bench[Learner], parts: Mapping[str, float], seed: int) -> Mapping[str | Path, float]:
    return {_text(bench, kind, seed): share for kind, share in parts.items()}


def _arm(bench: Bench[Learner], name: str, parts: Mapping[str, float], seed: int, twin: bool = False) -> Iterator[Step]:
    arm = Arm(name, seed, partial(_mix, bench, parts, seed), twin)
    yield trained(bench, arm)
    yield read(bench, arm.step, partial(_held_out, bench))


def _counted(bench: Bench[Learner], kinds: tuple[str, ...], seed: int) -> Iterator[Step]:
    """An n-gram model of every kind of text once: repetition tells it nothing."""
    if not bench.scale.ngram:
        return

    def texts() -> list[Path]:
        size = bench.scale.ngram
        return [bench.drawn("paired", Draw(size, seed, kind, COLUMNS[kind], part=TRAINED)) for kind in kinds]

    yield from fitted(bench, f"ngram-{'-and-'.join(kinds)}-{seed}", texts, partial(_held_out, bench))


def pilot(bench: Bench[Learner]) -> Iterator[Step]:
    """The originals alone, read as often as the budget asks for, and the twin."""
    yield from vocabulary(bench, lambda: {_text(bench, kind, 0): 1.0 for kind in COLUMNS})
    for seed in bench.seeds:
        yield from _arm(bench, BASELINE, {"original": 1.0}, seed)
        yield from _arm(bench, BASELINE, {"original": 1.0}, seed, twin=True)
        yield from _counted(bench, ("original",), seed)
        yield from _counted(bench, ("original",), seed + TWIN)


def null(bench: Bench[Learner]) -> Mapping[str, Sequence[float]]:
    pairs = [(f"{BASELINE}-{seed}", f"{BASELINE}-twin-{seed}") for seed in bench.seeds]
    found = {"bits": [bits(bench, a) - bits(bench, b) for a, b in pairs]}
    if bench.scale.ngram:
        counted = [(f"ngram-original-{seed}", f"ngram-original-{seed + TWIN}") for seed in bench.seeds]
        found["ngram"] = [bits(bench, a) - bits(bench, b) for a, b in counted]
    return found


def steps(bench: Bench[Learner]) -> Iterator[Step]:
    for name, parts in ARMS.items():
        for seed in bench.seeds:
            yield from _arm(bench, name, parts, seed)
    for kinds in COUNTED[1:]:
        for seed in bench.seeds:
            yield from _counted(bench, kinds, seed)
    if WEB in bench.roles:
        yield from _subset(bench)
    for variant in VARIANTS:
        yield Step(f"pattern-{variant}", "evaluate loss-pattern", partial(_pattern, bench, variant))
    yield Step("meanings", "audit", partial(_meanings, bench))


def _subset(bench: Bench[Learner]) -> Iterator[Step]:
    """The recipes beside web text, and n-gram models of what two of them read."""
    for name in RECIPES:
        for seed in bench.seeds:
            arm = Arm(name, seed, partial(_beside_web, bench, name, seed))
            yield trained(bench, arm)
            yield read(bench, arm.step, partial(_held_out, bench))
            if bench.scale.ngram and name in (REPEAT, EXPANDED):
                yield from fitted(bench, f"ngram-{name}-{seed}", partial(_texts, arm), partial(_held_out, bench))


def _texts(arm: Arm) -> list[Path]:
    return [Path(path) for path in arm.mix()]


def _pattern(bench: Bench[Learner], variant: str, out: Path) -> object:
    """Where the model of rewrites alone falls behind that of the originals, on originals that neither has read."""
    spec = LossPatternSpec(
        real=bench.model(f"{BASELINE}-0"),
        synthetic=bench.model(f"only-{variant}-0"),
        model=PriorSettings(device=bench.spec.device),
    )
    return evaluate_loss_pattern([name.partition("=")[2] for name in _held_out(bench)], out, spec, bench.run_effort)


def _meanings(bench: Bench[Learner], out: Path) -> object:
    """The map of embeddings, and what an audit says of the base rewrites."""
    sides = [_text(bench, kind, 0) for kind in ("original", *VARIANTS)]
    spec = AuditSpec(also=tuple(str(path) for path in sides[2:]), scorer=("none",), budget=20_000, draws=50)
    return audit(sides[:2], out, spec, AuditEffort(workers=bench.effort.workers))


def findings(bench: Bench[Learner]) -> Findings:
    names = {name: [f"{name}-{seed}" for seed in bench.seeds] for name in (BASELINE, *ARMS)}
    cost = {name: [bits(bench, step) for step in steps] for name, steps in names.items()}
    unit = "bits per byte of held-out originals"

    def over(name: str, base: str = BASELINE) -> list[float]:
        return [a - b for a, b in zip(cost[name], cost[base], strict=True)]

    claims = (
        bench.claim(
            "originals mixed with rewrites make a better model than originals repeated",
            ("bits", unit), over("mix-base"), False, "+0.26, +0.95, +2.15 points at 134 M, 377 M, 1.7 B",
        ),
        bench.claim(
            "rewrites alone make a worse model than originals repeated",
            ("bits", unit), over("only-base"), True, "-0.90, -0.99, -0.95 points",
        ),
        bench.claim(
            "free writing (relaxed) is worse to mix in than rewrites (base)",
            ("bits", unit), over("mix-relaxed", "mix-base"), True, "figure 10: relaxed collapses",
        ),
        bench.claim(
            "light polish (strict) is worse to mix in than rewrites (base)",
            ("bits", unit), over("mix-strict", "mix-base"), True, "figure 10: strict behaves like repetition",
        ),
    )  # fmt: skip
    rows = []
    for name, steps in names.items():
        seen = {"bits per byte": measured(cost[name])}
        found = [list(perplexities(bench, step).values()) for step in steps]
        seen["PPL"] = measured([sum(one) / len(one) for one in found])
        rows.append(Row(name.replace("-", ", "), seen, PAPER.get(name, {})))
    main = StudyTable(
        "Held-out originals", tuple(rows),
        "In the paper: points of mean accuracy over the baseline, by size of the model.", "bits per byte",
    )  # fmt: skip
    counted, tables = _by_counts(bench) if bench.scale.ngram else ((), ())
    beside, subset = told(bench, unit) if WEB in bench.roles else ((), ())
    notes = (
        "A stand-in: there is no writer here, so the rewrites are paired text of others. Polished text stands for strict, a "
        "paraphraser's for base, and text that a model wrote from the beginning or the title alone for relaxed. None of them "
        "was written for a genre and an audience.",
        "Each original has one rewrite of a kind, and not five: what a rewrite adds is smaller than in MAGA.",
        "What is measured is text like the originals, not tasks. The paper finds that the loss on text and the tasks disagree.",
        f"An audit calls the base rewrites, against their originals: {_level(bench)}.",
    )
    return Findings(
        (*claims, *counted, *beside), (main, *tables, *subset, _patterns(bench)), notes, {"Meanings": _map(bench)}
    )


def _by_counts(bench: Bench[Learner]) -> tuple[tuple[Claim, ...], tuple[StudyTable, ...]]:
    """The same question to n-gram models, which a core fits in seconds."""
    cost = {kinds: [bits(bench, f"ngram-{'-and-'.join(kinds)}-{seed}") for seed in bench.seeds] for kinds in COUNTED}

    def claim(says: str, kinds: tuple[str, ...], base: tuple[str, ...], rises: bool, paper: str) -> Claim:
        apart = [a - b for a, b in zip(cost[kinds], cost[base], strict=True)]
        return bench.claim(says, ("ngram", "bits per byte of held-out originals"), apart, rises, paper)

    claims = (
        claim(
            "an n-gram model of originals and rewrites is better than one of originals",
            ("original", "base"), ("original",), False, "+0.26 to +2.15 points",
        ),
        claim(
            "an n-gram model of rewrites alone is worse than one of originals",
            ("base",), ("original",), True, "-0.90 to -0.99 points",
        ),
        claim(
            "an n-gram model of free writing (relaxed) alone is worse than one of rewrites (base)",
            ("relaxed",), ("base",), True, "figure 10: relaxed collapses",
        ),
    )  # fmt: skip
    rows = tuple(Row(" and ".join(kinds), {"bits per byte": measured(found)}) for kinds, found in cost.items())
    note = (
        f"Models of order 3, fitted to {bench.scale.ngram:,} bytes of each kind, so that two kinds are twice as much text; "
        "a twin, to other documents. They were added "
        "when the networks of the tiny scale had been seen to resolve nothing."
    )
    return claims, (StudyTable("N-gram models", rows, note, "bits per byte"),)


def _patterns(bench: Bench[Learner]) -> StudyTable:
    rows = []
    for variant in VARIANTS:
        found = bench.report(f"pattern-{variant}")
        share = 100.0 * found["documents_with_anomaly"]["1"] / found["documents"]
        first = found["first_anomalies"]
        early = 100.0 * sum(first[: len(first) // 2]) / max(1, sum(first))
        apart = found["difference"]
        seen = {
            "difference, nats a token": measured([apart["value"]])._replace(low=apart["low"], high=apart["high"]),
            "with an anomaly, %": measured([share]),
            "first in the first half, %": measured([early]),
        }
        rows.append(Row(f"only, {variant}", seen))
    note = "One seed; the model of rewrites alone less that of originals. The interval is over documents."
    return StudyTable("Loss pattern on held-out originals", tuple(rows), note)


def _level(bench: Bench[Learner]) -> str:
    return str(bench.report("meanings")["verdict"]["level"])


def _map(bench: Bench[Learner]) -> str:
    points: Any = bench.report("meanings").get("points") or ((), ())
    owners, places = points
    labels = Labels("Passages by meaning (t-SNE of embeddings)", "", "")
    return f'<div class="plots">{map_plot(owners, [tuple(p) for p in places], ("original", *VARIANTS), labels)}</div>'


STUDY = Study(
    name="expansion-recipes",
    title="A small corpus, repeated or rewritten",
    question="Is it better to repeat a small corpus, or to expand it by rewrites?",
    source="MAGA, tables of results and figures 5, 7, 9 and 10",
    scales=SCALES,
    pilot=pilot,
    null=null,
    steps=steps,
    findings=findings,
)
