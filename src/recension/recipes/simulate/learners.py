"""What is trained in every generation: an n-gram model, or a small transformer of our own training."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from recension.methods.toedit import Surfaces, surfaces
from recension.models import ngram, ngram_sampling, ngram_tokens
from recension.models.load import PriorOptions, load_prior
from recension.ports import Prior

Files = dict[str, bytes]
BATCH = 8  # rows of a step of the transformer: there is little text, and it is to make many steps


class Model(Protocol):
    """A fitted model: it scores texts, and writes some of so many tokens."""

    @property
    def prior(self) -> Prior: ...

    def write(self, lengths: Sequence[int], seed: int) -> list[str]: ...


class Learner(Protocol):
    """How models are fitted. All generations have one tokenizer, given by its files."""

    def tokenizer(self, texts: Sequence[str], place: Path) -> Files: ...

    def fit(self, texts: Sequence[str], files: Files, place: Path, seed: int) -> Model:
        """Fit into an empty folder."""


@dataclass(frozen=True)
class NgramModel:
    prior: ngram.NgramPrior

    def write(self, lengths: Sequence[int], seed: int) -> list[str]:
        return ngram_sampling.write(self.prior, lengths, np.random.Generator(np.random.Philox(key=seed)))


@dataclass(frozen=True)
class NgramLearner:
    order: int
    vocabulary: int

    def tokenizer(self, texts: Sequence[str], place: Path) -> Files:
        return {"tokenizer.json": ngram_tokens.fit_tokenizer(texts, self.vocabulary).to_str().encode()}

    def fit(self, texts: Sequence[str], files: Files, place: Path, seed: int) -> NgramModel:
        unpack(files, place)
        settings = ngram.NgramSettings(self.order, self.vocabulary, tokenizer=str(place / "tokenizer.json"))
        ngram.train(texts, settings, place / "model")
        return NgramModel(ngram.NgramPrior.load(place / "model"))


@dataclass(frozen=True)
class TinyModel:
    prior: Prior
    place: Path

    def write(self, lengths: Sequence[int], seed: int) -> list[str]:
        from recension.models.causal_sampling import write

        return write(self.place, lengths, seed)


@dataclass(frozen=True)
class TinyLearner:
    """`tokens` are read in every training, however much text there is: steps are equal, and so comparable."""

    preset: str
    vocabulary: int
    tokens: int

    def tokenizer(self, texts: Sequence[str], place: Path) -> Files:
        from recension.training.tokenizer import fit_tokenizer

        fit_tokenizer(texts, self.vocabulary, place)
        return {path.name: path.read_bytes() for path in sorted(place.iterdir())}

    def fit(self, texts: Sequence[str], files: Files, place: Path, seed: int) -> TinyModel:
        from recension.recipes.train import train_pretrain
        from recension.recipes.train.spec import LearningSettings, PretrainSpec, TrainEffort

        unpack(files, place / "tokenizer")
        source = place / "text.jsonl"
        source.write_bytes(b"".join(msgspec.json.encode({"text": text}) + b"\n" for text in texts))
        learning = LearningSettings(
            tokens=self.tokens, batch=BATCH, seed=seed % (1 << 31), device="cpu", threads=1, compile="off"
        )
        spec = PretrainSpec(preset=self.preset, tokenizer=str(place / "tokenizer"), learning=learning)
        train_pretrain(source, place / "run", spec, TrainEffort(workers=1))
        model = place / "run" / "model"
        return TinyModel(load_prior(f"hf:{model}", PriorOptions()), model)


def unpack(files: Files, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name).write_bytes(content)


def vocabulary_of(prior: Prior) -> Surfaces:
    return surfaces(prior.surfaces)
