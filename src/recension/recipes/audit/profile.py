"""`profile`: what one corpus is like. The statistics of an audit without a reference, and so without a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from recension import __version__
from recension.document import JSON
from recension.errors import InputError
from recension.methods.audit import crowding, near
from recension.methods.audit.folds import Fold
from recension.methods.audit.languages import languages
from recension.methods.audit.measures import KINDS, NAMES, TAIL, Stretch, counted, figures, stretch
from recension.methods.audit.panel import Panel, panel_of
from recension.methods.audit.resampling import interval, shuffled
from recension.models.embedders import load_embedder
from recension.recipes.audit import drivers, stages
from recension.recipes.audit.corpora import Corpora, TestSets, open_corpora, read_test_sets
from recension.recipes.audit.counting import Counting, Keys, count, merge_crowding, merge_states
from recension.recipes.audit.outcome import buckets_of, integrity_of, levels_of
from recension.recipes.audit.samples import SAMPLE, Design, artefact, folds_of, packed, texts_of, units_of_fold
from recension.recipes.audit.spec import AuditEffort, ProfileSpec, named_scorers
from recension.recipes.audit.stages import Bench, ScoreTask, first_words, scored
from recension.recipes.pages import as_inputs, encodable, yaml_config
from recension.recipes.priors import forget, load, options_of
from recension.recipes.settings import flat
from recension.report.profile import ProfiledDensity, ProfiledFigure, ProfiledScorer, ProfileReport, profile_page
from recension.run.execute import seal, totals
from recension.run.folder import output_path
from recension.run.manifest import Manifest, Run, open_run
from recension.run.progress import Observer, Silent

RECIPE_VERSION = 3
DENSITY = "density"
DENSITY_BINS, FURTHEST = 24, 3  # of the histogram; documents shown of either end
FEWEST_WORDS = 100


def profile(
    corpus: str | Path,
    out: str | Path,
    spec: ProfileSpec | None = None,
    effort: AuditEffort | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> ProfileReport:
    """Describe a corpus, into a run folder. A second call does what is missing."""
    spec, effort, observer = spec or ProfileSpec(), effort or AuditEffort(), observer or Silent()
    out = output_path(out)
    given = as_inputs(corpus)
    corpora = open_corpora(given, spec.rows, spec.limit, out, observer)
    tests = read_test_sets(spec.test_set)
    needed = [Path(name.partition(":")[2]) for name in named_scorers(spec.scorer)]
    with open_run(out, _manifest(spec, corpora, tests, given), fresh, needed) as run:
        forget()
        wanted = Counting(corpora, Keys(group=spec.group_key), spec.budget, tests.hashes, spec.embedder)
        count(run, wanted, effort.workers, effort.max_dropped, observer)
        bench = Bench(run, effort.workers, observer)
        stages.sample(bench, SAMPLE, lambda: packed(merge_states(run.out, 1, spec.budget, tests.hashes)))
        if spec.embedder != "none":
            stages.sample(bench, DENSITY, lambda: merge_crowding(run.out))
        report = _report(bench, spec, corpora, tests)
        pages = {
            "report.json": msgspec.json.format(msgspec.json.encode(report.to_json()), indent=1),
            "report.html": profile_page(report).encode("utf-8", "replace"),
            "config.yaml": yaml_config(run.manifest),
        }
        seal(run, corpora.data.digests, pages, spec.limit)
    return report


def _manifest(spec: ProfileSpec, corpora: Corpora, tests: TestSets, given: list[str]) -> Manifest:
    chosen = {name: value for name, value in flat(spec).items() if name not in ("scorer", "test_set")}
    options = options_of(spec.model)
    models: list[JSON] = [dict(load(name, options).prior.spec) for name in named_scorers(spec.scorer)]
    embedder = {} if spec.embedder == "none" else dict(load_embedder(spec.embedder).spec)
    facts: dict[str, JSON] = {
        "recension": __version__,
        "given": encodable(given),
        "urls": {file.label: file.where for file in corpora.data.files},
        "models": list(spec.scorer),
        "config": flat(spec),
    }
    sets: list[JSON] = [{"label": n, "sha256": d} for n, d in zip(tests.names, tests.digests, strict=True)]
    identity = {"spec": chosen, **corpora.identity(), "tests": sets, "models": models, "embedder": embedder}
    return Manifest("profile", RECIPE_VERSION, identity, facts)


@lru_cache(maxsize=1)
def _panel(design: Design) -> Panel:
    [fold] = folds_of(design.out, design.key)
    return panel_of([tuple(units_of_fold(fold, design.unit))])


def _chosen(design: Design) -> Stretch:
    side = _panel(design).sides[0]
    return stretch(side, np.arange(len(side.starts)), design.budget)


@dataclass(frozen=True)
class ProfileTexts:
    """The passages that scorers read."""

    design: Design
    words: int

    def __call__(self) -> list[str]:
        return texts_of(_panel(self.design), first_words(_chosen(self.design), self.words))


def _report(bench: Bench, spec: ProfileSpec, corpora: Corpora, tests: TestSets) -> ProfileReport:
    run: Run = bench.run
    design = Design(run.out, run.key, spec.budget, spec.unit, spec.seed)
    [fold] = folds_of(run.out, run.key)
    panel, chosen = _panel(design), _chosen(design)
    words = int(chosen.sizes.sum())
    if words < FEWEST_WORDS:
        raise InputError(f"the corpus holds {words:,} words; a profile needs {FEWEST_WORDS} at least")
    kin = near.repeated(fold.bands)
    return ProfileReport(
        title=corpora.names[0],
        run=run.name,
        documents=fold.documents,
        bytes=fold.size,
        words=fold.words,
        compared=words,
        sources=len({p.cluster for p in fold.sample}),
        figures=tuple(_figures(panel, chosen, spec)),
        lengths=_lengths(fold),
        buckets=buckets_of(fold.buckets[0]),
        bigrams=tuple((b.text, b.share) for b in drivers.bigrams(panel, chosen)),
        repeated=kin.hits,
        looked=kin.looked,
        repeated_error=kin.error,
        density=None if spec.embedder == "none" else _density(run),
        groups=tuple(int(size) for size in kin.sizes[:10] if size > 1),
        languages=languages(p.text for p in fold.sample),
        scorers=tuple(_scorers(bench, design, spec)),
        examples=tuple((e.text, e.repeated) for e in drivers.examples(panel, chosen)),
        tests=tuple((item.name, item.says) for item in integrity_of(tests, fold)),
        settings={
            "budget": f"{spec.budget:,} words", "passages": f"{spec.unit} words at most", "half-samples": f"{spec.draws:,}",
            "seed": str(spec.seed), "embedder": spec.embedder, **({"sources": spec.group_key} if spec.group_key else {}),
        },
        dropped=dict(totals(run.out).dropped),
    )  # fmt: skip


def _figures(panel: Panel, chosen: Stretch, spec: ProfileSpec) -> Sequence[ProfiledFigure]:
    """Each figure with the spread of random halves about their mean, which is about that of the whole. One source has none."""
    side = panel.sides[0]
    text = counted(panel, chosen)
    whole = figures(panel, text, text, len(text.packed))
    rows = []
    half = int(chosen.sizes.sum()) // 2
    side = side.only(np.arange(len(chosen.starts)))
    for number in range(spec.draws):
        random = np.random.Generator(np.random.Philox(key=[spec.seed, number]))
        part = counted(panel, stretch(side, shuffled(side.clusters, random), half))
        rows.append(np.log(figures(panel, part, part, len(part.packed))))
    apart = np.array(rows) - np.mean(rows, axis=0)
    low, high = interval(apart)
    if len(np.unique(side.clusters)) < 2:  # halves of one source are all of it
        low, high = np.full_like(low, np.nan), np.full_like(high, np.nan)
    return [
        ProfiledFigure(name, KINDS[name].family, *(float(whole[i] * np.exp(x)) for x in (0.0, low[i], high[i])))
        for i, name in enumerate(NAMES)
        if i != TAIL  # there is no other text whose tail could be looked for
    ]


def _lengths(fold: Fold) -> tuple[tuple[int, int], ...]:
    """The fewest words of documents of each bin, a quarter of an octave wide, and how many they are."""
    used = np.flatnonzero(fold.lengths)
    return tuple((int(np.ceil(2 ** (i / 4) - 1)), int(fold.lengths[i])) for i in used.tolist())


def _density(run: Run) -> ProfiledDensity:
    """How the densities around documents are spread; of the sample, each as often as documents begin so."""
    crowd = crowding.from_bytes(artefact(run.out, DENSITY).read_bytes())
    found = crowd.densities()
    order = np.argsort(found.values, kind="stable")
    values = np.repeat(found.values, found.times)
    levels = np.log10(np.maximum(values, 1 / crowd.sketch.shape.columns))
    edges = np.linspace(levels.min(), levels.max() + 1e-9, DENSITY_BINS + 1)
    ends = [[(found.texts[i], float(found.values[i])) for i in part.tolist()] for part in (
        order[::-1][:FURTHEST], order[:FURTHEST]
    )]  # fmt: skip
    return ProfiledDensity(
        crowd.sketch.count,
        len(values),
        tuple(float(q) for q in np.quantile(values, [0.25, 0.5, 0.75])),
        float(1 / values.mean()),
        tuple(edges.tolist()),
        tuple(np.histogram(levels, bins=edges)[0].tolist()),
        tuple(ends[0]),
        tuple(ends[1]),
    )


def _scorers(bench: Bench, design: Design, spec: ProfileSpec) -> Sequence[ProfiledScorer]:
    found: list[ProfiledScorer] = []
    texts = ProfileTexts(design, spec.scored_words)
    for number, name in enumerate(named_scorers(spec.scorer)):
        size = len(first_words(_chosen(design), spec.scored_words).starts)
        task = ScoreTask(texts, name, options_of(spec.model))
        rows = stages.scores(bench, number, task, [spec.scored_words, number], size)
        one = scored(rows, np.arange(len(rows)))
        edges, counts = levels_of(one.levels, one.levels)
        quartiles: Any = np.exp(np.quantile(one.levels, [0.25, 0.5, 0.75]))
        found.append(
            ProfiledScorer(
                name,
                tuple(float(q) for q in quartiles),
                edges,
                counts[0],
                tuple(int(n) for n in rows[:, 4:].sum(axis=0)),
            )
        )
    return found
