"""Everything that was computed, as one report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recension.methods.audit import near, spread
from recension.methods.audit.folds import SKETCHED, Fold, contained
from recension.methods.audit.measures import KINDS, NAMES, bucket_counts, effects, figures_of
from recension.methods.audit.measures import counted as counted_in
from recension.methods.audit.panel import Unit
from recension.methods.audit.resampling import Draws, left_out, stepped_up
from recension.methods.audit.verdict import Evidence, Verdict, judge, yardsticks
from recension.recipes.audit import drivers
from recension.recipes.audit.corpora import TestSets
from recension.recipes.audit.samples import Material, sides
from recension.recipes.audit.stages import Curve
from recension.report.audit import (
    AuditReport,
    CorpusFacts,
    Driver,
    FamilyResult,
    FigureResult,
    IntegrityResult,
    ScorerResult,
    ShiftResult,
    Shown,
    plain,
)
from recension.report.page import counted, percent

Floats = NDArray[np.float64]

FEW_SOURCES, APART, FULL_RUN, LARGER = 20, 3.0, 0.7, 3
LEVEL_BINS, FEWEST_BINS = 30, 8
MOST_QUESTIONS = 3
MOST_NAMED = 5  # strata
SHIFTS = ("auc", "js_words", "js_bigrams", "kl_eq9", "coverage", "density")


@dataclass(frozen=True, slots=True, eq=False)
class ScoredSides:
    """What one scorer said: of reference, candidate and the first generation, with the histograms of probabilities."""

    name: str
    reference: spread.Scored
    candidate: spread.Scored
    chain: spread.Scored
    reference_p: tuple[int, ...]
    candidate_p: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """The artefacts of all passes."""

    names: tuple[str, ...]
    folds: tuple[Fold, ...]
    material: Material
    curve: Curve
    draws: Draws
    scored: tuple[ScoredSides, ...]
    shift: Mapping[str, Any]
    tests: TestSets
    seed: int
    margin: float


def report_of(found: Findings, about: Mapping[str, Any]) -> AuditReport:
    """The report; `about` holds title, run, settings and what was set aside."""
    match = found.material.match
    figures = figures_of(match.panel, *sides(match))
    agreement = agreement_of(found.scored)
    verdict = judge(_evidence(found, figures, agreement[0]), match.words, found.margin, match.sources)
    left, right = sides(match)
    panel = match.panel
    values = dict(zip(NAMES, zip(*figures, strict=True), strict=True)) | _scored_values(found.scored)
    shown = [
        Shown(side, e.text, e.repeated)
        for side, chosen in (("reference", left), ("candidate", right))
        for e in drivers.examples(panel, chosen)
    ]
    spans = None if verdict.median is None else (verdict.median, verdict.lowest or 0.0, verdict.highest or 0.0)
    return AuditReport(
        level=verdict.level,
        reasons=verdict.reasons,
        needed_words=verdict.needed,
        generations=spans,
        words=match.words,
        unit=found.material.unit_words,
        corpora=tuple(_facts(found)),
        families=tuple(FamilyResult(*family) for family in verdict.families),
        figures=tuple(_figure(placed, values) for placed in verdict.figures),
        shift=tuple(_shift(found.shift)),
        integrity=tuple(_integrity(found)),
        scorers=tuple(_scorer(one, agreement[1]) for one in found.scored),
        curve={name: tuple(found.curve.effects[:, i].tolist()) for i, name in enumerate(NAMES)}
        | {p.name: () for p in verdict.figures if p.name not in NAMES},
        drivers=tuple(Driver(*run) for run in drivers.runs(panel, left, right)),
        examples=tuple(shown),
        bigrams=tuple(tuple((b.text, b.share) for b in drivers.bigrams(panel, side)) for side in (left, right)),  # type: ignore[arg-type]
        buckets=tuple(buckets_of(bucket_counts(panel, counted_in(panel, side))) for side in (left, right)),  # type: ignore[arg-type]
        coverage=_coverage(found),
        points=_points(found.shift),
        notes=tuple(_notes(found, verdict)),
        **about,
    )


# --- the evidence -----------------------------------------------------------------------------------------------------


def agreement_of(scored: Sequence[ScoredSides]) -> tuple[NDArray[np.bool_], str]:
    """Which figures of scorers may have a say in the verdict, and what is said of it: those that all see alike, and that two at
    least can measure. Else a single scorer would speak for the others."""
    nothing = np.zeros(len(spread.FIGURES), dtype=bool)
    if len(scored) < 2:
        return nothing, "One scorer is no evidence, so it has no say in the verdict: name a second --scorer."
    signs = np.sign([spread.effects(one.reference, one.candidate) for one in scored])
    alike = (signs == signs[0]).all(axis=0)
    if not alike.any():
        return alike, "The scorers disagree in sign on every figure, so none has a say."
    heard = alike & (sum(_moves(one).astype(int) for one in scored) >= 2)
    if heard.all():
        return heard, "The scorers agree in sign on every figure, so these have a say."
    split = "" if alike.all() else f"The scorers disagree in sign on {_named(~alike)}. "
    if not heard.any():
        return heard, (
            f"{split}Where the scorers agree in sign, the collapse curve moves no figure clearly in the eyes of two of them: "
            "none has a say."
        )
    return heard, (
        f"{split}The scorers agree in sign on {_named(heard)}, and the collapse curve moves them for two at least: these have "
        "a say, the others none."
    )


def _named(chosen: NDArray[np.bool_]) -> str:
    return ", ".join(name for name, has in zip(spread.FIGURES, chosen, strict=True) if has)


def _moves(one: ScoredSides) -> NDArray[np.bool_]:
    """Which figures the chain moves clearly in the eyes of a scorer."""
    first = spread.effects(one.reference, one.chain)
    floor = np.abs(spread.left_out(one.reference)).max(axis=0, initial=0.0)
    return yardsticks(np.stack([first, 2 * first]), floor)


def _evidence(found: Findings, figures: tuple[Floats, Floats], heard: NDArray[np.bool_]) -> Evidence:
    match = found.material.match
    blocks = [(effects(*figures), found.draws, found.curve.effects, left_out(match))]
    names, families = list(NAMES), [kind.family for kind in KINDS.values()]
    count = len(found.draws.permuted)
    for one in found.scored:
        effect = spread.effects(one.reference, one.candidate)
        first = np.where(heard, spread.effects(one.reference, one.chain), 0.0)
        # Only the first generation is scored; the others are taken as its multiples.
        rising = np.outer(np.arange(1, len(found.curve.effects) + 1), first)
        drawn = spread.draws(one.reference, one.candidate, count, found.seed, match.paired)
        blocks.append((effect, drawn, rising, spread.left_out(one.reference)))
        names += [f"{one.name}: {figure}" for figure in spread.FIGURES]
        families += ["perplexity"] * len(spread.FIGURES)
    rows = max(len(block[3]) for block in blocks)
    padded = [np.vstack([block[3], np.zeros((rows - len(block[3]), block[3].shape[1]))]) for block in blocks]
    drawn = Draws(np.hstack([block[1].permuted for block in blocks]), np.hstack([block[1].halves for block in blocks]))
    return Evidence(
        tuple(names), tuple(families), np.concatenate([block[0] for block in blocks]), drawn,
        np.hstack([block[2] for block in blocks]), np.hstack(padded),
    )  # fmt: skip


def _scored_values(scored: Sequence[ScoredSides]) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}
    for one in scored:
        pairs = zip(spread.FIGURES, *spread.both(one.reference, one.candidate), strict=True)
        found |= {f"{one.name}: {name}": (float(a), float(b)) for name, a, b in pairs}
    return found


def _figure(placed: Any, values: Mapping[str, tuple[float, float]]) -> FigureResult:
    reference, candidate = values[placed.name]
    return FigureResult(placed.name, placed.family, float(reference), float(candidate), *placed[2:])


# --- the rest ---------------------------------------------------------------------------------------------------------


def _facts(found: Findings) -> list[CorpusFacts]:
    facts = []
    for number, (name, fold) in enumerate(zip(found.names, found.folds, strict=True)):
        role = ("reference", "candidate")[number] if number < 2 else "beside"
        words = sum(p.words * p.times for p in fold.sample)
        sources = len({p.cluster for p in fold.sample})
        median = found.material.medians[number]
        facts.append(CorpusFacts(name, role, fold.documents, fold.size, fold.words, median, words, sources))
    return facts


def _shift(found: Mapping[str, Any]) -> list[ShiftResult]:
    keys = ("value", "human", "low", "high", "p", "adjusted_p")
    names = [name for name in SHIFTS if name in found]
    # A p-value is null where there was nothing to be tested.
    tested = [name for name in names if found[name]["p"] is not None]
    adjusted = dict(zip(tested, stepped_up(np.array([found[name]["p"] for name in tested])).tolist(), strict=True))
    rows = [{**found[name], "adjusted_p": adjusted.get(name)} for name in names]
    return [ShiftResult(name, *(row[key] for key in keys)) for name, row in zip(names, rows, strict=True)]


def _coverage(found: Findings) -> dict[str, dict[str, float]]:
    kinds = ("coverage", "density")
    if kinds[0] not in found.shift:
        return {}
    human, candidate = ({n: found.shift[n][which] for n in kinds} for which in ("human", "value"))
    beside = [{n: one[n] for n in kinds} for one in found.shift["beside"]]
    others = zip(found.names[2:], beside, strict=True)
    return {f"{found.names[0]} (its other half)": human, found.names[1]: candidate, **dict(others)}


def _points(found: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[tuple[float, float], ...]]:
    if not found.get("map"):
        return (), ()
    owners, places = found["map"]
    return tuple(owners), tuple((x, y) for x, y in places)


def buckets_of(counts: NDArray[np.int64] | Floats) -> tuple[float, ...]:
    """The shares of hash buckets, fullest first, in hundred steps."""
    falling = np.sort(counts)[::-1] / max(1.0, float(counts.sum()))
    return tuple(float(part.mean()) for part in np.array_split(falling, 100))


def _integrity(found: Findings) -> list[IntegrityResult]:
    reference, candidate = found.folds[:2]
    rows = []
    for name, fold in zip(found.names[:2], (reference, candidate), strict=True):
        kin = near.repeated(fold.bands)
        largest = int(kin.sizes[0]) if len(kin.sizes) else 0
        says = f"{share_of(kin, 'document')} repeat another; the largest group has {largest:,}"
        rows.append(IntegrityResult(f"near-duplicates within {name}", kin.hits, kin.looked, kin.error, says))
    kin = near.shared(candidate.bands, reference.bands)
    says = f"{share_of(kin, 'candidate document')} have a near-duplicate in the reference"
    rows.append(IntegrityResult("near-duplicates across", kin.hits, kin.looked, kin.error, says))
    hit, looked = contained(candidate.runs, reference.runs)
    sampled = max(len(candidate.runs), len(reference.runs)) >= SKETCHED
    error = error_of(hit, looked) if sampled else 0.0
    told = f" (± {100 * error:.2g} points: a sample)" if sampled else ""
    says = f"{percent(hit, looked)}{told} of its {counted(looked, 'different run')} of 13 words stand in the reference"
    rows.append(IntegrityResult("copying from the reference", hit, looked, error, says))
    return [*rows, *integrity_of(found.tests, candidate)]


def error_of(hit: int, looked: int) -> float:
    """Half of the 95 % interval of a share (Agresti and Coull), which is not 0 where nothing was hit."""
    share = (hit + 2) / (looked + 4)
    return 1.96 * float(np.sqrt(share * (1 - share) / (looked + 4)))


def share_of(found: near.Found, what: str) -> str:
    """A share, with its error where only a sample of the documents was looked at."""
    sampled = f" (± {100 * found.error:.2g} points: a sample)" if found.error else ""
    return f"{percent(found.hits, found.looked)}{sampled} of {counted(found.looked, what)}"


def integrity_of(tests: TestSets, candidate: Fold) -> list[IntegrityResult]:
    """Which questions of evaluation sets a corpus holds."""
    rows = []
    for number, name in enumerate(tests.names):
        questions = [(text, places) for of, text, places in tests.questions if of == number and places]
        shares = [(float(candidate.met[list(places)].mean()), text) for text, places in questions]
        full = [text for value, text in shares if value >= FULL_RUN]
        some = sum(value > 0 for value, _ in shares)
        says = (
            f"{len(full):,} of {counted(len(questions), 'question')} stand in the corpus (70% of their runs of eight "
            f"words or more), {some:,} share a run with it"
        )
        short = sum(of == number and not places for of, _, places in tests.questions)
        if short:
            says += f"; {short:,} more are shorter than that and cannot be looked for"
        if full:
            says += "; such as: " + " / ".join(text[:80] for text in full[:MOST_QUESTIONS])
        rows.append(IntegrityResult(f"evaluation set {name}", len(full), len(questions), 0.0, says))
    return rows


def _scorer(one: ScoredSides, says: str) -> ScorerResult:
    levels = one.reference.levels, one.candidate.levels
    edges, counts = levels_of(*levels)
    one_median, two_median = (float(np.exp(np.median(part))) for part in levels)
    return ScorerResult(
        one.name,
        one_median,
        two_median,
        says,
        edges,
        counts[0],
        counts[1],
        one.reference_p,
        one.candidate_p,
    )


def levels_of(one: Floats, two: Floats) -> tuple[tuple[float, ...], list[tuple[int, ...]]]:
    """Log-perplexities of two sides in common bins, the furthest half percent in the outermost ones."""
    both = np.concatenate([one, two])
    bins = min(LEVEL_BINS, max(FEWEST_BINS, int(np.sqrt(max(len(one), len(two))))))  # few passages fill few bins
    edges = np.linspace(np.quantile(both, 0.005), np.quantile(both, 0.995), bins + 1)
    counts = [tuple(np.histogram(np.clip(part, edges[0], edges[-1]), bins=edges)[0].tolist()) for part in (one, two)]
    return tuple(edges.tolist()), counts


def left_aside(names: Sequence[str], corpora: Sequence[Sequence[Unit]]) -> list[str]:
    """What is said of strata that only one side has, and that are therefore compared with nothing."""
    words: tuple[Counter[str], Counter[str]] = Counter(), Counter()
    for count, units in zip(words, corpora[:2], strict=True):
        for unit in units:
            count[unit.stratum] += len(unit.surfaces)
    said = []
    for name, mine, theirs in zip(names[:2], words, words[::-1], strict=True):
        alone = [stratum for stratum, _ in mine.most_common() if stratum not in theirs]
        if alone:
            share = percent(sum(mine[stratum] for stratum in alone), mine.total())
            named = ", ".join(stratum[:40] for stratum in alone[:MOST_NAMED]) + (", …" if alone[MOST_NAMED:] else "")
            said.append(
                f"{share} of the sample of {name} is of strata that the other side lacks, and left aside: {named}."
            )
    return said


def _notes(found: Findings, verdict: Verdict) -> list[str]:
    notes = []
    match, facts = found.material.match, _facts(found)
    for fact in facts[:2]:
        if fact.sources < FEW_SOURCES:
            notes.append(
                f"{fact.name}: the sample comes from {counted(fact.sources, 'source')}. Fewer than {FEW_SOURCES} make wide "
                "and rather rough intervals."
            )
    one, two = (fact.median for fact in facts[:2])
    if min(one, two) and max(one, two) / min(one, two) > APART:
        cut = found.material.unit_words
        notes.append(f"Passages differ in length ({one:,} and {two:,} words in the median): both were cut to {cut}.")
    if facts[1].words > LARGER * match.words:
        notes.append(
            f"{facts[1].name} has {facts[1].words:,} words, and {match.words:,} were compared. What repeats itself only at the "
            "scale of the whole shows less in a sample: a larger --budget sees more."
        )
    if len(match.budgets) > 1:
        notes.append(f"Compared within {len(match.budgets)} strata, in equal amounts.")
    notes += left_aside(found.names, found.material.units)
    auc = found.shift["auc"]["value"]
    human = found.shift["auc"]["human"]
    if auc is not None and auc > 0.9:
        notes.append(
            f"A classifier tells the two sides apart almost always (AUC {auc:.3f}, {plain(human, 3)} within the reference). If "
            "their subjects differ, some figures differ for that alone: compare with a reference of the same subject, or "
            "within strata (--stratum-key)."
        )
    if not found.scored:
        notes.append("No scorer was named, so nothing is said of perplexity.")
    unmoved = [f.name.replace("_", " ") for f in verdict.figures if f.margin is None and f.family != "perplexity"]
    if unmoved:
        notes.append(
            f"The collapse curve of this reference does not move {', '.join(unmoved)}: shown, and without a say."
        )
    return notes
