"""`u-shape`: most tokens are either a surprise to a prior or none (ToEdit, table 8)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recension.recipes.audit.profile import profile
from recension.recipes.audit.spec import AuditEffort, ProfileSpec
from recension.recipes.settings import PriorSettings
from recension.recipes.study.bench import Bench, Findings, Scale, Step, Study, measured
from recension.recipes.study.drawing import Draw
from recension.recipes.study.spec import ScaleName
from recension.report.study import Row, StudyTable

# The share of tokens in ten equal ranges of probability, in percent: BioMed under the authors' prior.
PAPER = (34.7, 8.1, 5.4, 4.4, 3.8, 3.6, 3.7, 4.0, 5.2, 27.1)
PILOT = 1_000  # the seeds of the documents that only say how far draws lie apart


@dataclass(frozen=True, slots=True)
class Reading(Scale):
    """How much text of each corpus a prior reads."""

    size: int = 100_000  # bytes of a draw
    words: int = 10_000
    work_per_word: float = 3e7  # of the prior


FILES = {
    "human": ("biomedicine=human/biomed_abstracts.train.jsonl.gz",),
    "beside_web": ("web=human/web.train.jsonl.gz",),
    "beside_synthetic": ("synthetic textbooks=synthetic/textbook_gpt4.valid.jsonl.gz",),
}
SCALES: Mapping[ScaleName, Reading] = {
    "tiny": Reading(FILES, size=60_000, words=5_000),
    "small": Reading(FILES, size=400_000, words=50_000, device="one H100"),
    "paper": Reading(
        {"human": ()},
        prior="hf:Qwen/Qwen2-0.5B-Instruct",
        size=5_000_000_000,
        words=20_000_000,
        work_per_word=1.5e9,
        device="one H100",
    ),
}


def _read(bench: Bench[Reading], role: str, seed: int) -> Step:
    def read(out: Path) -> object:
        text = bench.drawn(role, Draw(bench.scale.size, seed))
        spec = ProfileSpec(
            scorer=(bench.prior,), scored_words=bench.scale.words, draws=50, seed=seed,
            model=PriorSettings(device=bench.spec.device),
        )  # fmt: skip
        return profile(text, out, spec, AuditEffort(workers=bench.effort.workers))

    return Step(f"{role}-{seed}", "profile", read, bench.scale.words * bench.scale.work_per_word)


def pilot(bench: Bench[Reading]) -> Iterator[Step]:
    """Other documents of the same corpus, twice for each seed: how far two draws lie apart."""
    for seed in bench.seeds:
        yield _read(bench, "human", PILOT + 2 * seed)
        yield _read(bench, "human", PILOT + 2 * seed + 1)


def shares(bench: Bench[Reading], step: str) -> list[float]:
    """Ten shares in percent, of the finer counts of the profile."""
    counts = bench.report(step)["scorers"][0]["probabilities"]
    wide = len(counts) // len(PAPER)
    return [100.0 * sum(counts[i * wide : (i + 1) * wide]) / sum(counts) for i in range(len(PAPER))]


def ends(found: Sequence[float]) -> tuple[float, float]:
    """How far the lowest range and the highest one stand above the mean of those between them."""
    between = sum(found[1:-1]) / len(found[1:-1])
    return found[0] - between, found[-1] - between


def null(bench: Bench[Reading]) -> Mapping[str, Sequence[float]]:
    pairs = [[ends(shares(bench, f"human-{PILOT + 2 * s + k}")) for k in (0, 1)] for s in bench.seeds]
    return {"low end": [a[0] - b[0] for a, b in pairs], "high end": [a[1] - b[1] for a, b in pairs]}


def steps(bench: Bench[Reading]) -> Iterator[Step]:
    for role in bench.roles:
        for seed in bench.seeds:
            yield _read(bench, role, seed)


def findings(bench: Bench[Reading]) -> Findings:
    found = {role: [shares(bench, f"{role}-{seed}") for seed in bench.seeds] for role in bench.roles}
    low, high = ends(PAPER)
    tall = [ends(one) for one in found["human"]]
    unit = "percentage points"
    claims = (
        bench.claim(
            "tokens that a prior is sure of (0.9 and more) are more frequent than those of the ranges between",
            ("high end", unit), [one[1] for one in tall], True, f"+{high:.1f} {unit}",
        ),
        bench.claim(
            "tokens that surprise it (below 0.1) are more frequent than those of the ranges between",
            ("low end", unit), [one[0] for one in tall], True, f"+{low:.1f} {unit}",
        ),
    )  # fmt: skip
    names = {role: next(iter(bench.named(role))) for role in bench.roles}
    rows = tuple(
        Row(
            f"{i / 10:.1f} to {(i + 1) / 10:.1f}",
            {names[role]: measured([one[i] for one in draws]) for role, draws in found.items()},
            {"BioMed": PAPER[i]},
        )
        for i in range(len(PAPER))
    )
    table = StudyTable("Tokens by their probability, percent", rows)
    notes = (
        f"The prior is {bench.prior}; how high the ends stand is a matter of the prior as much as of the text.",
        "It reads passages of 200 words, each without the text before it.",
    )
    return Findings(claims, (table,), notes)


STUDY = Study(
    name="u-shape",
    title="The U shape of token probabilities",
    question="Are most tokens of human text either a surprise to a prior or none?",
    source="ToEdit, table 8",
    scales=SCALES,
    pilot=pilot,
    null=null,
    steps=steps,
    findings=findings,
)
