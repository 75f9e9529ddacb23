"""A look at the beginning of each source: what `--dry-run` says, and how much has to be counted for a plan."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from recension.corpus import Record, expected_size, read_piece
from recension.methods.mixture import Wanted, allocate
from recension.recipes.mix.counting import Bounds
from recension.recipes.mix.job import MixJob, job_of
from recension.recipes.mix.presets import check_parts, fit
from recension.recipes.mix.recipe import spec_of
from recension.recipes.mix.spec import MixSpec

GLANCE_BYTES = 1 << 20
ENDLESS = 1 << 62
SPARE, LEAST, WORTH = 1.3, 100_000, 0.75


@dataclass(frozen=True, slots=True)
class PlannedSource:
    name: str
    files: int
    bytes: int
    tokens: int
    planned: int
    repeats: float


@dataclass(frozen=True, slots=True)
class MixPlan:
    """What `mix` would do: the answer of `--dry-run`. Tokens are estimated from the beginning of each source."""

    sources: tuple[PlannedSource, ...]
    tokens: int
    tokenizer: str
    notes: tuple[str, ...]


def plan_mix(recipe: MixSpec | str | Path) -> MixPlan:
    """Look at the beginnings of the sources, and write nothing."""
    job = job_of(spec_of(recipe), None)
    spec = job.spec
    kept = 1 - spec.holdout if spec.holdout is not None and spec.holdout < 1 else 1.0
    held = [round(_tokens(job, number) * kept) for number in range(len(spec.sources))]
    notes: list[str] = []
    asked: list[Wanted] = job.wanted()
    caps, total = [source.cap for source in spec.sources], spec.tokens
    if spec.preset is not None:
        parts = list(zip(asked, (source.part for source in spec.sources), strict=True))
        fitted = fit(spec.preset, parts, held, total)
        notes = check_parts(spec.preset, spec.roles, {}) + fitted.notes
        asked, caps, total = fitted.wanted, fitted.caps, fitted.total
    pools = [have if cap is None else min(cap, have) for cap, have in zip(caps, held, strict=True)]
    planned = allocate(asked, pools, total)
    sources = tuple(
        PlannedSource(source.name, len(corpus.files), corpus.size, have, tokens, tokens / max(pool, 1))
        for source, corpus, have, tokens, pool in zip(spec.sources, job.data.corpora, held, planned, pools, strict=True)
    )
    return MixPlan(sources, sum(planned), spec.tokenizer, tuple(notes))


def _tokens(job: MixJob, number: int) -> int:
    """The tokens of a source: counted where its first piece is all of it, else by its tokens for each byte."""
    corpus = job.data.corpora[number]
    tokens = read = 0
    pieces = list(islice(corpus.pieces(GLANCE_BYTES), 2))
    for piece in pieces[:1]:
        rows = [row for row in read_piece(piece, corpus.reading, corpus.layout) if isinstance(row, Record)]
        tokens = job.counter.total([row.document.text for row in rows])
        read = piece.size
    return tokens if len(pieces) < 2 else round(tokens * expected_size(corpus) / max(read, 1))


def needs(job: MixJob) -> list[int | None]:
    """The tokens of each source, in the order of its keys, that a plan can be made from; None: all of them."""
    spec, size = job.spec, len(job.spec.sources)
    if spec.holdout is not None and spec.holdout >= 1:
        return [None] * size  # which lineages these are is not known before
    asked, caps, total = job.wanted(), [source.cap for source in spec.sources], spec.tokens
    if spec.preset is not None:
        if total is None:
            return [None] * size
        parts = list(zip(asked, (source.part for source in spec.sources), strict=True))
        fitted = fit(spec.preset, parts, [ENDLESS] * size, total)
        asked, caps = fitted.wanted, fitted.caps
    tokens: list[int | None] = [ask.tokens for ask in asked]
    if total is not None and all(ask.repeat is None for ask in asked):
        tokens = [*allocate(asked, [ENDLESS] * size, total)]
    return [cap if cap is not None else found for cap, found in zip(caps, tokens, strict=True)]


def bounds_of(job: MixJob) -> Bounds:
    """The keys up to which documents are counted, where a part of a source is surely enough."""
    kept = 1 - job.spec.holdout if job.spec.holdout is not None and job.spec.holdout < 1 else 1.0
    found: list[int | None] = []
    for number, need in enumerate(needs(job)):
        if need is None or expected_size(job.data.corpora[number]) < GLANCE_BYTES:
            found.append(None)
            continue
        share = max(SPARE * need, need + LEAST) / max(_tokens(job, number) * kept, 1)
        found.append(int(share * 2.0**64) if share < WORTH else None)
    return tuple(found)
