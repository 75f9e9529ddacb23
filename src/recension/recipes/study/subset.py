"""MAGA's SubSet, of `expansion-recipes`: beside much web text a small corpus is repeated, or expanded by rewrites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

from recension.recipes.mix.presets import preset_named
from recension.recipes.study.bench import Bench, measured
from recension.recipes.study.learning import Learner, bits, perplexities
from recension.report.study import Claim, Row, StudyTable

WEB = "beside_web"
KINDS = {"edu": "original", "synthetic": "base", "web": WEB}  # the parts of the presets of `mix`
PLAIN, REPEAT, EXPANDED = RECIPES = ("subset-plain", "subset-repeat", "subset-maga")
Text = Callable[[str, int], Path]  # of a kind, about so many bytes; 0: all that there is


def weighed(bench: Bench[Learner], recipe: str, text: Text) -> Mapping[str | Path, float]:
    """A recipe scaled to the budget: as many different bytes of each kind as it names, and each in its share."""
    parts = preset_named(recipe)
    whole = sum((part.tokens for part in parts.values()), Fraction(0))
    budget = bench.scale.bytes * bench.scale.epochs if bench.scale.vocabulary else 0
    found: dict[str | Path, float] = {}
    for role, part in parts.items():
        different = round(budget * (part.unique or part.tokens) / whole)
        found[text(KINDS[role], different)] = float(part.tokens / whole)
    return found


def told(bench: Bench[Learner], unit: str) -> tuple[tuple[Claim, ...], tuple[StudyTable, ...]]:
    """Is it better to expand the small corpus than to repeat it, where most of the text is another anyway?"""
    cost = {name: [bits(bench, f"{name}-{seed}") for seed in bench.seeds] for name in RECIPES}
    apart = [a - b for a, b in zip(cost[EXPANDED], cost[REPEAT], strict=True)]
    claims = [
        bench.claim(
            "beside web text, originals mixed with rewrites make a better model than originals repeated",
            ("bits", unit), apart, False, "figure 9: a gap that widens with the model",
        )
    ]  # fmt: skip
    rows = []
    counted: dict[str, list[float]] = {}
    if bench.scale.ngram:
        counted = {name: [bits(bench, f"ngram-{name}-{seed}") for seed in bench.seeds] for name in (REPEAT, EXPANDED)}
        apart = [a - b for a, b in zip(counted[EXPANDED], counted[REPEAT], strict=True)]
        says = "beside web text, an n-gram model of originals and rewrites is better than one of originals"
        claims.append(bench.claim(says, ("ngram", unit), apart, False, "figure 9"))
    for name, found in cost.items():
        ppl = [list(perplexities(bench, f"{name}-{seed}").values()) for seed in bench.seeds]
        row = {"bits per byte": measured(found), "PPL": measured([sum(one) / len(one) for one in ppl])}
        if name in counted:
            row["n-gram, bits per byte"] = measured(counted[name])
        rows.append(Row(name, row))
    note = (
        "Beside 450 parts of web text: 50 parts of originals (plain: both read 1.4 times; repeat: read 5 times), or 50 parts "
        "and 200 of rewrites (maga). An n-gram model sees every text once, and so more of it where there are rewrites. "
        "The smallest effects are those of originals alone. This part was added when the others had been seen."
    )
    return tuple(claims), (StudyTable("Beside web text (SubSet)", tuple(rows), note, "bits per byte"),)
