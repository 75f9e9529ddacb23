"""Everything that was found, as a report, pages and the dataset card."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recension.methods.audit.measures import KINDS, NAMES
from recension.methods.select import tail
from recension.methods.select.choice import LAST, Part, below, best_first, cut_at
from recension.methods.select.tail import Holding, largest, median, words_of_bin
from recension.recipes.audit.samples import artefact
from recension.recipes.pages import Story, run_card, yaml_config
from recension.recipes.select import contraction, duplicates
from recension.recipes.select.ranking import Ranks, spread_of
from recension.recipes.select.reading import Left
from recension.recipes.select.sheets import SCORE, Ranked
from recension.recipes.select.spec import SelectSpec
from recension.recipes.select.writing import REMOVED_SCHEMA, SCORES_SCHEMA, Passage, kept_state
from recension.report.page import percent
from recension.report.select import (
    DomainShare,
    NarrowedFigure,
    Narrowing,
    RareLoss,
    ScoreShape,
    SelectReport,
    select_page,
    select_report_from_json,
)
from recension.run.execute import totals
from recension.run.manifest import Run

REPORT = "report.json"
FINE, BINS = 4_096, 48
CLIPPED = 0.002  # of the documents on either side are outside the picture
SHOWN_DOMAINS = 20
FEW_EFFECTIVE, MUCH_LOST, LARGE_DOMAIN = 0.1, 0.1, 0.01
SHOWN = (
    "keep", "keep_tokens", "tokenizer", "min_words", "seed", "target", "hash", "temperature", "length_normalise",
    "prior", "head", "min_score", "embedder", "limit",
)  # fmt: skip
AXES = {
    "dsir": ("log-weight", False),
    "perplexity": ("perplexity (log10)", True),
    "edu": ("score", False),
    "density": ("density (log10)", True),
}
SUMMARIES = {
    "dsir": "drawn by importance resampling (DSIR)",
    "perplexity": "kept from a band of perplexity",
    "edu": "kept by an education score",
    "density": "drawn against density",
    "dedup": "kept as the first of their near-duplicates",
}


@dataclass(frozen=True)
class Found:
    """The artefacts of all passes."""

    run: Run
    spec: SelectSpec
    left: Left
    ranks: Ranks
    choice: Any
    kept: Callable[[int, Ranked], NDArray[np.bool_]]

    def each(self) -> Iterator[tuple[Ranked, NDArray[np.bool_]]]:
        for number, one in enumerate(self.ranks):
            yield one, self.kept(number, one)


def report_of(found: Found) -> SelectReport:
    run, spec = found.run, found.spec
    before = tail.from_bytes(found.left.holding)
    states, passages = [], list[Passage]()
    for index in range(len(found.left.pieces)):
        state, more = kept_state(run.out, index)
        states.append(state)
        passages += more
    after = tail.joined(states)
    narrowing = _narrowing(spec, passages)
    sums = totals(run.out)
    facts = _facts(found, after)
    share = after.words / max(1, before.words)
    rare = (
        _rare("words", before.singles, after.singles, share),
        _rare("pairs of words", before.pairs, after.pairs, share),
    )
    uncovered = tail.coverage(after.buckets, before.buckets)
    domains = _domains(before, after)
    report = SelectReport(
        title=run.out.resolve().name,
        run=run.name,
        method=spec.method,
        documents=before.documents,
        kept=after.documents,
        words=before.words,
        kept_words=after.words,
        dropped=dict(sums.dropped),
        settings=_settings(spec),
        facts=facts,
        scores=_shape(found) if spec.method != "dedup" else None,
        lengths=tuple(
            (words_of_bin(i), int(before.lengths[i]), int(after.lengths[i]))
            for i in np.flatnonzero(before.lengths).tolist()
        ),
        medians=(median(before.lengths), median(after.lengths)),
        domains=domains,
        buckets=(int((before.buckets > 0).sum()), uncovered.filled),
        effective=(tail.coverage(before.buckets, before.buckets).effective, uncovered.effective),
        uncovered=uncovered.uncovered,
        rare=rare,
        narrowing=narrowing,
        warnings=(),
    )
    return msgspec.structs.replace(report, warnings=tuple(warnings_of(report)))


def _settings(spec: SelectSpec) -> dict[str, str]:
    found: dict[str, str] = {"method": spec.method}
    for name in SHOWN:
        value, default = getattr(spec, name), SelectSpec.__dataclass_fields__[name].default
        if value != default or (name == "seed" and spec.method in ("dsir", "density")):
            found[name] = ", ".join(value) if isinstance(value, tuple) else str(value)
    found["min_words"] = str(spec.shortest)
    if spec.method == "perplexity" and spec.keep_tokens is None:
        found["band"] = f"{spec.band[0]:g} to {spec.band[1]:g}"
    return found


def _facts(found: Found, after: Holding) -> dict[str, float]:
    """What is worth knowing of a method, by name."""
    spec = found.spec
    if spec.method == "dedup":
        groups = duplicates.removed(found.run.out, found.run.manifest.key)
        return {"near_duplicates": float(len(groups.documents)), "groups": float(groups.groups)}
    if spec.method not in ("dsir", "density"):
        return {}
    spread = spread_of(artefact(found.run.out, SCORE).read_bytes())
    return {
        "eligible": float(spread.count),
        "effective_sample_size": spread.size,
        "log_weight_deviation": spread.spread,
        "top_k_overlap": _overlap(found, after.documents),
    }


def _overlap(found: Found, count: int) -> float:
    """The share of what was drawn that the plain top of as many documents holds as well."""
    sense = -1.0 if found.spec.method == "density" else 1.0

    def plain(one: Ranked) -> NDArray[np.uint64]:
        return np.where(one.ranks == np.uint64(LAST), np.uint64(LAST), best_first(sense * one.scores))

    cut = cut_at(lambda: (Part(plain(one)) for one in found.ranks), count)
    both = sum(int((below(plain(one), number, cut) & kept).sum()) for number, (one, kept) in enumerate(found.each()))
    return both / max(1, count)


def _shape(found: Found) -> ScoreShape | None:
    """The distribution of the scores, of all documents that have one and of those that are kept."""
    name, logarithmic = AXES[found.spec.method]

    def values(one: Ranked) -> NDArray[np.float64]:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log10(one.scores) if logarithmic else one.scores

    low, high = np.inf, -np.inf
    for one in found.ranks:
        finite = values(one)[np.isfinite(values(one))]
        if len(finite):
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if not low < high:
        return None
    counts = np.zeros((2, FINE), np.int64)
    ends = [np.inf, -np.inf]
    for one, kept in found.each():
        scores = values(one)
        known: NDArray[np.bool_] = np.isfinite(scores)
        for row, chosen in enumerate((known, known & kept)):
            counts[row] += np.histogram(scores[chosen], bins=FINE, range=(low, high))[0]
        if (known & kept).any():
            inside = scores[known & kept]
            ends = [min(ends[0], float(inside.min())), max(ends[1], float(inside.max()))]
    total = np.cumsum(counts[0])
    first = int(np.searchsorted(total, CLIPPED * total[-1]))
    last = max(first + 1, int(np.searchsorted(total, (1 - CLIPPED) * total[-1])) + 1)
    edges = np.linspace(first, last, min(BINS, last - first) + 1).round().astype(np.int64)
    step = (high - low) / FINE
    return ScoreShape(
        name,
        tuple(float(low + step * (a + b) / 2) for a, b in pairwise(edges.tolist())),
        tuple(int(counts[0, a:b].sum()) for a, b in pairwise(edges.tolist())),
        tuple(int(counts[1, a:b].sum()) for a, b in pairwise(edges.tolist())),
        (ends[0], ends[1]) if ends[0] <= ends[1] else None,
    )


def _rare(name: str, before: tail.Sampled, after: tail.Sampled, share: float) -> RareLoss:
    return RareLoss(name, *tail.lost(before, after, share))


def _domains(before: Holding, after: Holding) -> tuple[DomainShare, ...]:
    names = [*largest(before.domains, SHOWN_DOMAINS)]
    found = [
        DomainShare(
            name, before.domains[name], after.domains[name], before.domain_words[name], after.domain_words[name]
        )
        for name in names
    ]
    rest = [
        sum(counts.values()) - sum(counts[name] for name in names)
        for counts in (before.domains, after.domains, before.domain_words, after.domain_words)
    ]
    return (*found, *((DomainShare("all others", *rest),) if rest[0] else ()))


def _narrowing(spec: SelectSpec, passages: Sequence[Passage]) -> Narrowing | None:
    if not spec.tail_words:
        return None
    found = contraction.measured(passages, spec.tail_words, spec.embedder, spec.seed)
    if found is None:
        return None
    placed = {figure.name: figure for figure in found.verdict.figures}
    return Narrowing(
        level=found.verdict.level,
        reasons=found.verdict.reasons,
        narrower=tuple(family.name for family in found.verdict.families if family.state == "narrower"),
        words=found.words,
        figures=tuple(
            NarrowedFigure(
                name, KINDS[name].family, found.before[i], found.after[i], placed[name].effect, placed[name].low,
                placed[name].high, placed[name].p,
            )
            for i, name in enumerate(NAMES)
        ),
        covered=found.covered,
        self_covered=found.self_covered,
        passages=found.passages,
    )  # fmt: skip


def warnings_of(report: SelectReport) -> Iterator[str]:
    """What somebody should know before using the choice."""
    narrow = report.narrowing
    if report.documents and not report.kept:
        yield f"No document is kept: {_why_none(report)}."
        return
    if narrow is not None and narrow.thinner:
        yield (
            f"The choice narrowed the corpus: {percent(narrow.covered, 1)} of its passages have one that is kept among their "
            f"neighbours, where as much of it at random would leave {percent(narrow.self_covered, 1)} with one."
        )
    if narrow is not None and narrow.narrower:
        yield (
            f"The choice narrowed the corpus in {' and '.join(narrow.narrower)} (level: {narrow.level}): a model trained on "
            "it sees less of what the input holds."
        )
    size = report.facts.get("effective_sample_size")
    if size is not None and size < FEW_EFFECTIVE * report.kept:
        yield (
            f"The weights are worth {size:,.1f} documents, and {report.kept:,} were drawn: "
            f"{percent(report.facts['top_k_overlap'], 1)} of the draw is the plain top. A higher --temperature"
            + (", or --length-normalise, evens them out." if report.method == "dsir" else " evens them out.")
        )
    for loss in report.rare:
        if loss.kinds and loss.share > loss.expected + MUCH_LOST:
            yield (
                f"Of the rare {loss.name} {percent(loss.share, 1)} are gone; a random choice of as much text would lose "
                f"{percent(loss.expected, 1)}."
            )
    gone = [d.name for d in report.domains if not d.kept and d.documents >= LARGE_DOMAIN * report.documents]
    if gone:
        yield f"Nothing is left of {', '.join(gone[:5])}{f' and {len(gone) - 5} more' if len(gone) > 5 else ''}."


def _why_none(report: SelectReport) -> str:
    """The reason that most of them have, and what to change."""
    reason = max(report.dropped, key=lambda name: report.dropped[name], default="")
    hints = {
        "low-score": "all have a score below --min-score",
        "too-short": "all have fewer than --min-words words",
        "outside-band": "the band is empty",
        "not-drawn": "the first that was drawn is larger than --keep-tokens, or --keep comes to none",
        "no-score": "the prior has no perplexity for any",
    }
    return hints.get(reason, f"most are set aside as {reason}")


def pages(run: Run, report: SelectReport, schema: Any) -> dict[str, bytes]:
    spec: Any = run.manifest.identity["spec"]
    models: Any = run.manifest.identity["models"]
    story = Story(
        summary=f"Made with `recension select`: {report.kept:,} of {report.documents:,} documents, "
        f"{SUMMARIES[report.method]}. What was left out stands in `dropped/` by its place in the input, with score and "
        "reason; `scores/` holds the score of every document.",
        schemas={"data": schema, "dropped": REMOVED_SCHEMA, "scores": SCORES_SCHEMA},
        settings=report.settings,
        models=tuple(str(model.get("name") or model["kind"]) for model in models),
        origin=spec["origin"] or "unknown",
    )
    return {
        REPORT: msgspec.json.format(msgspec.json.encode(report), indent=1),
        "report.html": select_page(report).encode("utf-8", "replace"),
        "README.md": run_card(run, story).encode("utf-8", "replace"),
        "config.yaml": yaml_config(run.manifest),
    }


def read_report(out: Path) -> SelectReport:
    return select_report_from_json((out / REPORT).read_bytes())
