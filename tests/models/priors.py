"""The priors that the contract tests run over: a name, and how to make one in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from serving import Behaviour, model_of, start
from tiny import FAMILIES

from recension.models.fake import fake_prior
from recension.models.load import PriorOptions, load_prior
from recension.models.ngram import NgramPrior, NgramSettings, train
from recension.ports import Prior

SENTENCES = [
    "The river rises in the hills and runs through three towns before it reaches the sea.",
    "In the spring of the year the river floods, and the people of the towns move to the hills.",
    "She wrote to her brother that the house had been sold for 1,250 pounds; he did not answer.",
    "What is heat? Heat is the motion of the small parts of a body, and nothing else.",
    "Das Haus am Fluß wurde für 1.250 € verkauft – naïve façade, coöperation, Œuvre.",
    "河は山から流れ、三つの町を通って海に至る。Река течёт с гор к морю. 🙂👩‍👩‍👧 e\u0301",
    "def area(r):\n\treturn 3.14159 * r ** 2\n\n\nprint(area(2))  # 12.56\r\n",
]
CORPUS = [" ".join(SENTENCES[(i * 3 + j) % len(SENTENCES)] for j in range(1 + i % 5)) for i in range(40)]


def ngram(folder: Path) -> Prior:
    train(iter(CORPUS), NgramSettings(order=4, vocabulary=400), folder / "ngram")
    return NgramPrior.load(folder / "ngram")


def transformers_prior(family: str) -> Callable[[Path], Prior]:
    def make(folder: Path) -> Prior:
        return load_prior(f"hf:{FAMILIES[family](folder)}", PriorOptions(batch_tokens=256))

    return make


def served(folder: Path) -> Prior:
    """A real model behind our small server, which goes when the tests do."""
    from tokenizers import Tokenizer

    place = FAMILIES["gpt2"](folder)
    tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
    port = start(model_of(place), tokenizer, Behaviour(longest=96)).server_address[1]
    return load_prior(
        f"openai:tiny@http://127.0.0.1:{port}", PriorOptions(batch_tokens=256, prior_tokenizer=str(place))
    )


# Priors that somebody has running, each "NAME" or "NAME TOKENIZER", with ";" between: see CONTRIBUTING.md.
RUNNING = [words.split() for words in os.environ.get("RECENSION_TEST_PRIORS", "").split(";") if words.strip()]


def running(name: str, tokenizer: str | None = None) -> Callable[[Path], Prior]:
    return lambda _: load_prior(name, PriorOptions(prior_tokenizer=tokenizer))


PRIORS: dict[str, Callable[[Path], Prior]] = {
    "fake:plain": lambda _: fake_prior("plain"),
    "fake:sure": lambda _: fake_prior("sure"),
    "fake:headless": lambda _: fake_prior("headless"),
    "ngram": ngram,
    "openai": served,
    **{words[0]: running(*words) for words in RUNNING},
    **{
        f"hf:{family}": transformers_prior(family)
        for family in ("llama-metaspace", "llama-bytes", "gpt2", "qwen", "bloom")
    },
    "embedded": lambda _: load_prior("embedded"),
}
