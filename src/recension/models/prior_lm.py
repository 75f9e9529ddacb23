"""Any of our priors as a language model of lm-evaluation-harness."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recension.errors import ModelError
from recension.ports import Ask, Prior, TokenScores

BATCH = 64
SHOWN = 60


def split(context: str, continuation: str) -> tuple[str, str]:
    """White space at the end of a context goes to the continuation, as the harness does it."""
    bare = context.rstrip()
    return bare, context[len(bare) :] + continuation


def prior_lm(prior: Prior, name: str) -> Any:
    """Log-likelihoods from the scores of a prior. It cannot write, so tasks that ask for an answer are refused."""
    from lm_eval.api.model import LM

    class PriorLM(LM):  # type: ignore[misc, unused-ignore]
        """The tokens of a continuation are those that the context alone does not have, as in the harness."""

        truncated = 0

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            pairs = [split(*request.args) for request in requests]
            contexts = list(dict.fromkeys(context for context, _ in pairs))
            sizes = [len(scores.ids) for scores in _scored(prior, contexts, Ask(k=1))]
            skipped = dict(zip(contexts, sizes, strict=True))
            # Everything is flagged, so that the most probable token is there to compare with.
            scored = _scored(prior, [context + rest for context, rest in pairs], Ask(above=0.0, k=1))
            found = []
            for (context, rest), scores in zip(pairs, scored, strict=True):
                first = skipped[context]
                total = _total(scores, first, name, rest)
                found.append((total, bool((_best(scores)[first:] == scores.ids[first:]).all())))
            return found

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            texts = [request.args[0] for request in requests]
            scored = _scored(prior, texts, Ask(k=1))
            return [_total(scores, 0, name, text) for text, scores in zip(texts, scored, strict=True)]

        def generate_until(self, requests: list[Any]) -> list[str]:
            raise ModelError(f"{name} scores text and writes none: tasks that ask for an answer need an hf: model")

    return PriorLM()


def _scored(prior: Prior, texts: Sequence[str], ask: Ask) -> Iterator[TokenScores]:
    rest = iter(texts)
    while batch := list(islice(rest, BATCH)):
        yield from prior.score(batch, ask)


def _best(scores: TokenScores) -> NDArray[np.int32]:
    """The most probable token at each place; -1 where none is known."""
    best = np.full(len(scores.ids), -1, dtype=np.int32)
    best[scores.flagged] = scores.rivals[:, 0]
    return best


def _total(scores: TokenScores, first: int, name: str, text: str) -> float:
    logprobs = scores.logprobs[first:].astype(np.float64)
    if not len(logprobs):
        raise ModelError(f"{name}: {text[:SHOWN]!r} has no token of its own after what stands before it")
    if np.isnan(logprobs).any():
        raise ModelError(f"{name} has no token for the beginning of a text, so {text[:SHOWN]!r} cannot be scored whole")
    return float(logprobs.sum())
