"""Has the choice narrowed the corpus? The measures of an audit on two samples, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from recension.identity import content_hash
from recension.methods.audit import shift
from recension.methods.audit.chain import generations
from recension.methods.audit.measures import KINDS, NAMES, effects, figures_of
from recension.methods.audit.panel import Side, panel_of, rewritten, units_of
from recension.methods.audit.resampling import draw, left_out, match, whole
from recension.methods.audit.verdict import Evidence, Verdict, judge
from recension.models.embedders import load_embedder
from recension.recipes.audit.samples import tokens_at
from recension.recipes.select.writing import Passage

GENERATIONS, DRAWS = 3, 60
FEWEST_WORDS, UNIT = 1_000, 100


class Contraction(NamedTuple):
    """The verdict on so many words of each side, the figures of both, and the coverage of meanings."""

    verdict: Verdict
    words: int
    before: tuple[float, ...]
    after: tuple[float, ...]
    covered: float  # passages of before that have one of after among their neighbours
    self_covered: float  # the same between halves of before
    passages: int  # as many of each side


def measured(passages: Sequence[Passage], budget: int, embedder: str, seed: int) -> Contraction | None:
    """None where there is too little to compare."""
    # In an order that has nothing to do with where they stand, since halves and first words are taken of them.
    mixed = sorted(passages, key=lambda p: (content_hash(p.text), p.document))
    sides = [[p for p in mixed if p.after is after and p.text.strip()] for after in (False, True)]
    units = [[unit for p in side for unit in units_of(p.text, p.document, UNIT)] for side in sides]
    if not all(units):
        return None
    panel = panel_of(units)
    found = match(panel, budget)
    if found.words < FEWEST_WORDS:
        return None
    reference = whole(found.left)
    lengths = np.zeros_like(reference.starts)
    side = Side(reference.starts, reference.sizes, lengths, lengths)
    own = tokens_at(panel, reference)
    curve = []
    for made in generations(panel, side, GENERATIONS, seed + 1):
        chain = rewritten(panel, [own, made])
        curve.append(effects(*figures_of(chain, *(whole([one]) for one in chain.sides))))
    before, after = figures_of(panel, reference, whole(found.right))
    families = tuple(kind.family for kind in KINDS.values())
    drawn = draw(found, range(DRAWS), seed)
    evidence = Evidence(NAMES, families, effects(before, after), drawn, np.array(curve), left_out(found))
    model = load_embedder(embedder)
    vectors = [model.embed([p.text for p in part]) for part in sides]
    covered = shift.embedded(vectors[0], vectors[1])
    return Contraction(
        judge(evidence, found.words),
        found.words,
        tuple(before.tolist()),
        tuple(after.tolist()),
        covered.coverage,
        covered.human_coverage,
        min(map(len, vectors)) // 2,
    )
