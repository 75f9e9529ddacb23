"""Reference, candidate and further corpora as the input of one run; evaluation sets as hashed runs of words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recension.corpus import Corpus, Layout, ObjectRow, Reading, open_corpus, read_objects
from recension.document import JSON
from recension.errors import InputError, UsageError
from recension.methods.audit.folds import runs_of
from recension.methods.audit.words import Hashes
from recension.recipes.evaluate.domains import stem
from recension.recipes.joined import Joined, named
from recension.recipes.pages import identity_of, look_over, reading_of
from recension.recipes.settings import RowSettings
from recension.run.progress import Observer

_NAMED = re.compile(r"([^/=:]+)=(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Source:
    """How the rows of a file are read, and the number of the corpus they belong to."""

    corpus: int
    reading: Reading
    layout: Layout


@dataclass(frozen=True)
class Corpora:
    """Corpora by name, in order."""

    names: tuple[str, ...]
    data: Joined

    @property
    def sources(self) -> Mapping[str, Source]:
        """By the label of the file."""
        return {
            file.label: Source(number, corpus.reading, corpus.layout)
            for number, corpus in enumerate(self.data.corpora)
            for file in corpus.files
        }

    def identity(self) -> dict[str, JSON]:
        described: list[JSON] = [
            {"label": name, "layout": corpus.layout.to_json()}
            for name, corpus in zip(self.names, self.data.corpora, strict=True)
        ]
        return {"inputs": [identity_of(file) for file in self.data.files], "corpora": described}


def open_corpora(given: Sequence[str], rows: RowSettings, limit: int | None, out: Path, observer: Observer) -> Corpora:
    """Open each; names that come twice are numbered."""
    names: list[str] = []
    corpora: list[Corpus] = []
    for item in given:
        name, path = name_and_path(item)
        while name in names:
            name += "'"
        corpus = named(open_corpus([path], reading_of(rows), exclude=out), name)
        look_over(corpus, observer)
        names.append(name)
        corpora.append(corpus)
    return Corpora(tuple(names), Joined(tuple(corpora), (limit,) * len(corpora)))


def name_and_path(given: str) -> tuple[str, str]:
    match = _NAMED.fullmatch(given)
    if match and not Path(given).exists():
        return match[1].strip(), match[2]
    return stem(given), given


@dataclass(frozen=True)
class TestSets:
    """Questions by set: `spans` says which of the sorted `hashes` each question is made of."""

    __test__ = False  # no test of ours, whatever pytest thinks

    names: tuple[str, ...]
    hashes: Hashes
    questions: tuple[tuple[int, str, tuple[int, ...]], ...]  # set, text, places among the hashes
    digests: tuple[str, ...]


def read_test_sets(given: Sequence[str]) -> TestSets:
    """The longest text of each row, as runs of words; questions shorter than a run cannot be looked for."""
    names: list[str] = []
    digests: list[str] = []
    found: list[tuple[int, str, Hashes]] = []
    for item in given:
        name, path = name_and_path(item)
        if name in names:
            raise UsageError(f"--test-set: two sets are called '{name}': name one with NAME=PATH")
        file = read_objects(path)
        rows = [row for row in file.rows if isinstance(row, ObjectRow)]
        if not rows:
            raise InputError(f"--test-set {path} holds no row that can be read")
        for row in rows:
            text = max(_texts(row.values), key=len, default="")
            found.append((len(names), text, runs_of(text)))
        names.append(name)
        digests.append(file.sha256)
    hashes = np.unique(np.concatenate([np.zeros(0, np.uint64), *(runs for _, _, runs in found)]))
    questions = tuple((number, text, tuple(np.searchsorted(hashes, runs).tolist())) for number, text, runs in found)
    return TestSets(tuple(names), hashes, questions, tuple(digests))


def _texts(values: Mapping[str, JSON]) -> list[str]:
    return [value for name, value in values.items() if isinstance(value, str) and name not in ("id", "source")]
