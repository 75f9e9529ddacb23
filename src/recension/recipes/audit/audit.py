"""`audit`: has a candidate contracted, against a human reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from recension import __version__
from recension.document import JSON
from recension.errors import InputError, MissingExtraError, OutputError, UsageError
from recension.methods.audit.picture import drawing_of
from recension.methods.audit.resampling import pair_numbers
from recension.models.embedders import load_embedder
from recension.models.load import PriorOptions
from recension.recipes.audit import stages
from recension.recipes.audit.corpora import Corpora, TestSets, open_corpora, read_test_sets
from recension.recipes.audit.counting import Counting, Keys, count, merge_states
from recension.recipes.audit.outcome import Findings, ScoredSides, report_of
from recension.recipes.audit.samples import SAMPLE, Design, folds_of, material, packed
from recension.recipes.audit.spec import AuditEffort, AuditSpec, named_scorers
from recension.recipes.audit.stages import AuditTexts, Bench, ScoreTask, first_of_all, scored
from recension.recipes.pages import encodable, yaml_config
from recension.recipes.priors import forget, load, options_of
from recension.recipes.settings import flat
from recension.report.audit import AuditReport, audit_markdown
from recension.report.audit_page import audit_page
from recension.report.audit_picture import audit_picture, png_of
from recension.run.execute import seal, totals
from recension.run.folder import output_path
from recension.run.manifest import Manifest, Run, open_run
from recension.run.progress import Observer, Silent

RECIPE_VERSION = 3
FEWEST_WORDS = 1_000
MAPS = {"opentsne": "t-SNE by openTSNE", "exact": "exact t-SNE", "pca": "principal components"}


@dataclass(frozen=True)
class _Job:
    """An audit that is going on."""

    run: Run
    spec: AuditSpec
    effort: AuditEffort
    corpora: Corpora
    tests: TestSets
    observer: Observer


def audit(
    sides: Sequence[str | Path],
    out: str | Path,
    spec: AuditSpec | None = None,
    effort: AuditEffort | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> AuditReport:
    """Judge the second of two corpora against the first, into a run folder. A second call does what is missing."""
    spec, effort, observer = spec or AuditSpec(), effort or AuditEffort(), observer or Silent()
    if isinstance(sides, str | Path) or len(sides) != 2:
        raise UsageError("an audit takes two corpora: the reference and the candidate")
    if spec.pair_key and spec.group_key:
        raise UsageError("--pair-key and --group-key exclude each other: pairs are drawn as pairs")
    out = output_path(out)
    given = [*map(str, sides), *spec.also]
    corpora = open_corpora(given, spec.rows, spec.limit, out, observer)
    tests = read_test_sets(spec.test_set)
    options = options_of(spec.model)
    needed = [Path(name.partition(":")[2]) for name in named_scorers(spec.scorer)]
    with open_run(out, _manifest(spec, corpora, tests, given), fresh, needed) as opened:
        forget()
        report = _audited(_Job(opened, spec, effort, corpora, tests, observer), options)
        pages = {
            "report.json": msgspec.json.format(msgspec.json.encode(report.to_json()), indent=1),
            "report.html": audit_page(report).encode("utf-8", "replace"),
            **_pictures(report, observer),
            "summary.md": audit_markdown(report).encode("utf-8", "replace"),
            "config.yaml": yaml_config(opened.manifest),
        }
        seal(opened, corpora.data.digests, pages, spec.limit)
    return report


def _pictures(report: AuditReport, observer: Observer) -> dict[str, bytes]:
    """The verdict as SVG, and as PNG where that can be made."""
    drawn = audit_picture(report)
    found = {"summary.svg": drawn.encode("utf-8", "replace")}
    try:
        found["summary.png"] = png_of(drawn)
    except (MissingExtraError, OutputError) as error:
        observer.note(f"{error}; summary.svg is there")
    return found


def _manifest(spec: AuditSpec, corpora: Corpora, tests: TestSets, given: list[str]) -> Manifest:
    chosen = {name: value for name, value in flat(spec).items() if name not in ("scorer", "also", "test_set", "map")}
    options = options_of(spec.model)
    models: list[JSON] = [dict(load(name, options).prior.spec) for name in named_scorers(spec.scorer)]
    embedder = {} if spec.embedder == "none" else dict(load_embedder(spec.embedder).spec)
    facts: dict[str, JSON] = {
        "recension": __version__,
        "given": encodable(given[:2]),
        "urls": {file.label: file.where for file in corpora.data.files},
        "models": list(spec.scorer),
        "config": flat(spec),
    }
    sets: list[JSON] = [{"label": n, "sha256": d} for n, d in zip(tests.names, tests.digests, strict=True)]
    drawing: list[JSON] = [*drawing_of(spec.map)] if embedder else []
    identity = {"spec": chosen, **corpora.identity(), "tests": sets, "models": models, "embedder": embedder}
    identity["map"] = drawing
    return Manifest("audit", RECIPE_VERSION, identity, facts)


def _audited(job: _Job, options: PriorOptions) -> AuditReport:
    run, spec, effort = job.run, job.spec, job.effort
    keys = Keys(spec.pair_key, spec.group_key, spec.stratum_key)
    wanted = Counting(job.corpora, keys, spec.budget, job.tests.hashes)
    count(run, wanted, effort.workers, effort.max_dropped, job.observer)
    bench = Bench(run, effort.workers, job.observer)
    size = len(job.corpora.names)
    stages.sample(bench, SAMPLE, lambda: packed(merge_states(run.out, size, spec.budget, job.tests.hashes)))
    design = Design(run.out, run.key, spec.budget, spec.unit, spec.seed, spec.pair_key is not None)
    stuff = material(design)
    _check_enough(stuff.match.words, job)
    curve = stages.curve(bench, design)
    findings = Findings(
        names=job.corpora.names,
        folds=folds_of(run.out, run.key),
        material=stuff,
        curve=curve,
        draws=stages.draws(bench, design, spec.draws),
        scored=tuple(_score(bench, design, spec, options)),
        shift=stages.shifted(bench, design, spec.embedder, drawing_of(spec.map)[0]),
        tests=job.tests,
        seed=spec.seed,
        margin=spec.margin,
    )
    return report_of(findings, _about(job, stuff.unit_words))


def _check_enough(words: int, job: _Job) -> None:
    if words < FEWEST_WORDS:
        what = "pairs" if job.spec.pair_key else "strata" if job.spec.stratum_key else "text"
        raise InputError(
            f"only {words:,} words of each side can be compared (there is too little {what} in common): an audit needs "
            f"{FEWEST_WORDS:,} at least"
        )


def _score(bench: Bench, design: Design, spec: AuditSpec, options: PriorOptions) -> list[ScoredSides]:
    texts = AuditTexts(design, spec.scored_words)
    found = material(design).match
    number_of = pair_numbers(found.panel) if found.paired else np.arange(len(found.panel.clusters))
    clusters = [
        number_of[np.concatenate([side.clusters for side in part])][first_of_all(part, spec.scored_words)]
        for part in (found.left, found.right)
    ]
    clusters.append(clusters[0])
    results = []
    for number, name in enumerate(named_scorers(spec.scorer)):
        task = ScoreTask(texts, name, options)
        sizes = [len(part) for part in clusters]
        rows = stages.scores(bench, number, task, [spec.scored_words, number], sum(sizes))
        parts = np.split(rows, np.cumsum(sizes)[:-1])
        one, two, chain = (scored(part, owners) for part, owners in zip(parts, clusters, strict=True))
        histograms = [tuple(int(n) for n in part[:, 4:].sum(axis=0)) for part in parts]
        results.append(ScoredSides(_short(name), one, two, chain, histograms[0], histograms[1]))
    return results


def _short(name: str) -> str:
    """The end of a model's name."""
    return name.rstrip("/").rpartition("/")[2] if "/" in name else name


def _about(job: _Job, unit: int) -> Mapping[str, Any]:
    spec = job.spec
    shown = {
        "budget": f"{spec.budget:,} words",
        "passages": f"{unit} words",
        "draws": f"{spec.draws:,} permutations and half-samples",
        "margin": f"{spec.margin:g} of a generation",
        "seed": str(spec.seed),
        "embedder": spec.embedder,
    }
    if spec.embedder != "none":
        shown["map"] = MAPS[drawing_of(spec.map)[0]]
    shown |= {"scorer": ", ".join(spec.scorer)}
    shown |= {
        name: str(value)
        for name, value in (("pairs", spec.pair_key), ("sources", spec.group_key), ("strata", spec.stratum_key))
        if value
    }
    dropped = dict(totals(job.run.out).dropped)
    return {"title": job.run.out.resolve().name, "run": job.run.name, "settings": shown, "dropped": dropped}
