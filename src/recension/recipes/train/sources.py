"""The sources of a training: all inputs as one, or corpora side by side in a mixture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from recension.corpus import Layout, Reading, open_corpus
from recension.errors import UsageError
from recension.models.token_counts import TokenCounter
from recension.recipes.joined import Joined, named
from recension.recipes.mix.job import MixJob, job_of
from recension.recipes.mix.recipe import spec_of
from recension.training.order import parse_weight

RECIPE_BYTES = 8 << 20  # of a piece, when a recipe is read


@dataclass(frozen=True)
class Sources:
    """Corpora with a name and a weight in the mixture each."""

    names: tuple[str, ...]
    weights: tuple[Fraction, ...]
    data: Joined
    recipe: MixJob | None = None  # what is planned once there is a tokenizer: the weights, and the length in `total`
    total: int | None = None
    held_out: int = 0  # lineages whose hash is below this are held out

    @property
    def readings(self) -> tuple[tuple[Reading, Layout], ...]:
        return tuple((corpus.reading, corpus.layout) for corpus in self.data.corpora)


def open_sources(inputs: Sequence[str], mix: Sequence[str], reading: Reading, out: Path) -> Sources:
    """Either all inputs as one source, each token as often as any other, or the sources of a mixture or of a recipe."""
    if inputs and mix:
        raise UsageError("name the data either as IN or with --mix, not both")
    if not inputs and not mix:
        raise UsageError("name at least one input: a file, a folder, a glob or a URL")
    recipe = _recipe(inputs or mix)
    if recipe is not None:
        # What counts is the tokenizer that is trained with; the recipe's own has no say.
        job = replace(job_of(spec_of(recipe), out, TokenCounter("words", "words")), piece_bytes=RECIPE_BYTES)
        names_ = tuple(source.name for source in job.spec.sources)
        return Sources(names_, (Fraction(1),) * len(names_), job.data, job)
    if inputs:
        return Sources(("data",), (Fraction(1),), Joined((open_corpus(inputs, reading, exclude=out),)))
    names, weights, corpora = [], [], []
    for number, words in enumerate(mix, start=1):
        path, mark, weight = words.rpartition("=")
        if not mark or not path:
            raise UsageError(f"--mix {words}: write PATH=WEIGHT, such as human/=0.75")
        names.append(path)
        weights.append(parse_weight(weight))
        # Sources may overlap: the number keeps their files apart.
        corpora.append(named(open_corpus([path], reading, exclude=out), f"{number}:{path}"))
    if len(set(names)) < len(names):
        raise UsageError("--mix names a source twice: add the weights up")
    return Sources(tuple(names), tuple(weights), Joined(tuple(corpora)))


def _recipe(given: Sequence[str]) -> str | None:
    """The recipe, where that is what is named: a YAML file, which is no corpus."""
    recipes = [name for name in given if name.endswith((".yaml", ".yml"))]
    if recipes and len(given) > 1:
        raise UsageError(f"{recipes[0]} is a recipe and names its sources itself: give it alone")
    return recipes[0] if recipes else None
