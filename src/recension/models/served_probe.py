"""Proof on a short text that the scores of a server are scores of the tokens that were sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recension.errors import ModelError
from recension.models.served import Answer, Served

TEXT = "The weather was fine, and the two of them walked down to the sea."
LONGEST = 64
# In nats. A server that computes in bfloat16 and puts others into the same batch stays well below both.
MEAN, LARGEST = 0.02, 0.25
CANDIDATES = 5


def probe_of(tokenizer: Any, bos: int | None, context: int) -> list[int]:
    """A plain sentence as it is sent."""
    ids: list[int] = tokenizer.encode(TEXT, add_special_tokens=False).ids
    return ([] if bos is None else [bos]) + ids[: min(context - 1, LONGEST)]


def check_words(served: Served, exact: bool) -> None:
    """That the server's tokens are ours: the same names, or `exact`ly the same characters where rivals are so named."""
    probe = probe_of(served.tokenizer, served.bos, served.context)
    [answer] = served.server.answer([probe], CANDIDATES)
    for token, word in zip(probe, answer.words, strict=True):
        surface = served.surfaces.characters[token]
        if surface is None or not word:
            continue
        if (word != surface) if exact else (word.strip() != surface.strip()):
            raise ModelError(
                f"{served.server.name}: token {token} is {surface!r} here and {word!r} there; name the model's own "
                "tokenizer with --prior-tokenizer, or use a server with prompt_logprobs (vLLM)"
            )


def check_agreement(served: Served) -> None:
    """That candidates and tokens agree, and answers with each other: again, in company, and cut short."""
    server = served.server
    probe = probe_of(served.tokenizer, served.bos, served.context)
    half = probe[: max(len(probe) // 2, 2)]
    count = min(CANDIDATES, server.most)
    [first] = server.answer([probe], count)
    [again] = server.answer([probe], count)
    [_, together, short] = server.answer([probe[::-1], probe, half], count)
    _check_rivals(server.name, probe, first)
    _check_same(server.name, first, again.own, "a second request gives")
    _check_same(server.name, first, together.own, "a request with other texts gives")
    _check_same(server.name, first, short.own, "the same text cut short gives")


def _check_rivals(name: str, probe: Sequence[int], answer: Answer) -> None:
    """The log-probability of a token as a candidate is its own; one that is no candidate is no better than these."""
    for place in range(1, len(probe)):
        there = answer.rivals[place] >= 0
        ids, best = answer.rivals[place][there].tolist(), answer.rival_logprobs[place][there]
        own, token = float(answer.own[place]), probe[place]
        if not ids:
            raise ModelError(f"{name}: the server names no candidates")
        if (abs(float(best[ids.index(token)]) - own) if token in ids else own - float(best[-1])) > 1e-3:
            raise ModelError(f"{name}: a token's log-probability ({own:.4f}) does not fit those of the candidates")


def _check_same(name: str, first: Answer, other: NDArray[np.float32], what: str) -> None:
    nats = np.abs(first.own[1 : len(other)] - other[1:])
    if nats.mean() > MEAN or nats.max() > LARGEST:
        raise ModelError(
            f"{name}: {what} other log-probabilities: {nats.mean():.2g} nats apart on average, {nats.max():.2g} at most, "
            f"where {MEAN:g} and {LARGEST:g} are allowed"
        )
