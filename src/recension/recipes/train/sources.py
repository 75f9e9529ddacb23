"""The sources of a training: all inputs as one, or corpora side by side in a mixture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from recension.corpus import Layout, Reading, open_corpus
from recension.errors import UsageError
from recension.recipes.joined import Joined, named
from recension.training.order import parse_weight


@dataclass(frozen=True)
class Sources:
    """Corpora with a name and a weight in the mixture each."""

    names: tuple[str, ...]
    weights: tuple[Fraction, ...]
    data: Joined

    @property
    def readings(self) -> tuple[tuple[Reading, Layout], ...]:
        return tuple((corpus.reading, corpus.layout) for corpus in self.data.corpora)


def open_sources(inputs: Sequence[str], mix: Sequence[str], reading: Reading, out: Path) -> Sources:
    """Either all inputs as one source, each token as often as any other, or the sources of a mixture."""
    if inputs and mix:
        raise UsageError("name the data either as IN or with --mix, not both")
    if not inputs and not mix:
        raise UsageError("name at least one input: a file, a folder, a glob or a URL")
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
