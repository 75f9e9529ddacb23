"""Stand-ins that keep every promise of the ports without a model, a network or a disk: for tests, docs and dry runs.

They pass the same contract tests as the real adapters, and answer the same on every machine.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.document import JSON
from recension.errors import ModelError
from recension.identity import fingerprint
from recension.ports import Ask, Completion, Request, TokenScores
from recension.randomness import uniforms

WORDS = (
    *(" the", " of", " and", " a", " to", " in", " is", " that", "the", "The", "ing", "ed", "er", "s"),
    *(" \n", "\r\n", "  ", "é", "ü", "ß", "ø", "中", "的", "🙂", "e\u0301"),
)


class _Model(NamedTuple):
    surfaces: tuple[str | None, ...]
    ids: Mapping[str, int]
    pattern: re.Pattern[str]
    p: NDArray[np.float64]
    falling: NDArray[np.int64]  # tokens from the likeliest on, after each token


@lru_cache(maxsize=8)
def _model(words: tuple[str, ...], seed: int) -> _Model:
    # Ids: 256 bytes, the words, and one special token, which also stands for the beginning of a text.
    size = 256 + len(words)
    letters = [None if b == 0 or b > 127 else chr(b) for b in range(256)]
    cells = np.arange((size + 1) * size)
    weights = np.exp(12 * uniforms(seed, cells).reshape(size + 1, size))
    longest_first = sorted(words, key=len, reverse=True)
    pattern = re.compile("|".join([*map(re.escape, longest_first), "."]), re.DOTALL)
    ids = {word: 256 + i for i, word in enumerate(words)}
    p = weights / weights.sum(axis=1, keepdims=True)
    return _Model((*letters, *words, None), ids, pattern, p, np.argsort(-p, axis=1, kind="stable"))


@dataclass(frozen=True, slots=True)
class FakePrior:
    """Bytes and a few words, each with a probability hashed from itself and the token before it.

    After a share `sure` of all pairs the model "knew" the token: it gets 0.995, and the others share the rest. Without
    `beginning` the first token of a text has nothing before it and is not scored.
    """

    sure: float = 0.0
    beginning: bool = True
    seed: int = 0
    words: tuple[str, ...] = WORDS

    @property
    def spec(self) -> Mapping[str, JSON]:
        return {
            "kind": "fake",
            "sure": self.sure,
            "beginning": self.beginning,
            "seed": self.seed,
            "words": fingerprint(self.words),
        }

    @property
    def exact(self) -> bool:
        return True

    @property
    def surfaces(self) -> Sequence[str | None]:
        return _model(self.words, self.seed).surfaces

    def score(self, texts: Sequence[str], ask: Ask) -> list[TokenScores]:
        return [self._score(text, ask) for text in texts]

    def _score(self, text: str, ask: Ask) -> TokenScores:
        ids, spans = self._tokens(text)
        before = np.concatenate([[256 + len(self.words)], ids])[:-1]
        certain = uniforms(self.seed, before * len(self.surfaces) + ids, lane=1) < self.sure
        p = _model(self.words, self.seed).p[before, ids]
        p = np.where(certain, p * 0.005 + 0.995, p).astype(np.float32)
        logprobs = np.log(p, dtype=np.float64).astype(np.float32)
        flags = np.zeros(len(ids), dtype=bool)
        if ask.above is not None:
            flags |= p >= ask.above
        if ask.below is not None:
            flags |= p <= ask.below
        if not self.beginning:
            logprobs[:1] = np.nan
            flags[:1] = False
        flagged = np.flatnonzero(flags)
        rivals, rival_p = self._rivals(before[flagged], ids[flagged], certain[flagged], ask)
        with np.errstate(divide="ignore"):
            rival_logprobs = np.log(rival_p.astype(np.float32), dtype=np.float64).astype(np.float32)
        return TokenScores(
            ids=ids.astype(np.int32),
            spans=spans,
            logprobs=logprobs,
            flagged=flagged.astype(np.int32),
            rivals=rivals,
            rival_logprobs=rival_logprobs,
            rival_mass=rival_p.sum(axis=1).astype(np.float32),
        )

    def _tokens(self, text: str) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        known = _model(self.words, self.seed)
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        for match in known.pattern.finditer(text):
            word = match[0]
            parts = [known.ids[word]] if word in known.ids else list(word.encode("utf-8"))
            ids.extend(parts)
            editable = len(parts) == 1 and known.surfaces[parts[0]] == word
            spans.extend([match.span() if editable else (-1, -1)] * len(parts))
        return np.array(ids, dtype=np.int64), np.array(spans, dtype=np.int32).reshape(-1, 2)

    def _rivals(
        self, before: NDArray[np.int64], ids: NDArray[np.int64], certain: NDArray[np.bool_], ask: Ask
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The likeliest tokens at each place, of which a certain one comes before all others."""
        known = _model(self.words, self.seed)
        most = min(ask.k if ask.mass is None else max(ask.k, ask.cap), known.p.shape[1])
        tokens = known.falling[before, : most + 1]
        # A certain token goes to the front, and those that stood before it move by one.
        places = np.arange(tokens.shape[1])
        at = np.where(tokens == ids[:, None], places, places[-1]).min(axis=1)
        moved = np.where((places <= at[:, None]) & certain[:, None], places - 1, places)
        tokens = np.take_along_axis(tokens, np.maximum(moved, 0), axis=1)
        tokens[certain, 0] = ids[certain]
        tokens = tokens[:, :most]
        p = known.p[before[:, None], tokens]
        p[certain] *= 0.005
        p[certain, 0] += 0.995
        if ask.mass is not None:
            enough = np.maximum((np.cumsum(p, axis=1) < ask.mass).sum(axis=1) + 1, ask.k)
            left = np.arange(most) >= enough[:, None]
            tokens[left], p[left] = -1, 0.0
            width = max(ask.k, int(min(enough.max(initial=0), most)))
            tokens, p = tokens[:, :width], p[:, :width]
        return tokens.astype(np.int32), p


def fake_prior(kind: str) -> FakePrior:
    """The prior that `fake:KIND` names: `plain`, `sure` (many tokens above 0.99) or `headless` (no beginning)."""
    kinds = {"plain": FakePrior(), "sure": FakePrior(sure=0.3), "headless": FakePrior(sure=0.3, beginning=False)}
    if kind not in kinds:
        raise ModelError(f"prior 'fake:{kind}': there is no such fake; write fake:plain, fake:sure or fake:headless")
    return kinds[kind]


def _repeat(request: Request) -> str:
    return request.messages[-1]["content"] if request.messages else ""


class FakeWriter:
    """Answers computed from the request; the last message comes back unless `answer` says otherwise.

    Every `fail_every`-th call raises, as a lost connection would; a repeated call is a new one. `calls` counts all.
    """

    def __init__(self, answer: Callable[[Request], str] = _repeat, fail_every: int | None = None) -> None:
        self._answer = answer
        self._fail_every = fail_every
        self.calls = 0

    @property
    def spec(self) -> Mapping[str, JSON]:
        return {"kind": "fake", "answer": getattr(self._answer, "__qualname__", repr(self._answer))}

    async def write(self, request: Request) -> Completion:
        self.calls += 1
        if self._fail_every and self.calls % self._fail_every == 0:
            raise ModelError(f"the fake writer fails every {self._fail_every}. call, and this was call {self.calls}")
        text = self._answer(request)
        usage = {
            "prompt_tokens": sum(len(message["content"].split()) for message in request.messages),
            "completion_tokens": len(text.split()),
        }
        raw: dict[str, JSON] = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
        return Completion(request.key, text, "stop", raw, usage)

    async def close(self) -> None:
        """There is nothing to let go of."""


class MemoryJournal:
    """Answers in memory: for tests only, since nothing survives. The first answer to a key is kept."""

    def __init__(self) -> None:
        self._answers: dict[str, Completion] = {}

    def get(self, key: str) -> Completion | None:
        return self._answers.get(key)

    def put(self, completion: Completion) -> None:
        self._answers.setdefault(completion.key, completion)

    def __len__(self) -> int:
        return len(self._answers)


@dataclass(frozen=True, slots=True)
class FakeEmbedder:
    """Each word of a text votes for a direction by its hash: texts that share words lie close together."""

    dimensions: int = 64

    @property
    def spec(self) -> Mapping[str, JSON]:
        return {"kind": "fake", "dimensions": self.dimensions}

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), self.dimensions))
        for i, text in enumerate(texts):
            # The empty word is in every text, so that no text is without direction.
            for word in ["", *text.lower().split()]:
                key = int.from_bytes(hashlib.blake2b(word.encode("utf-8"), digest_size=8).digest(), "little")
                rows[i] += uniforms(key, np.arange(self.dimensions)) - 0.5
        units: NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return units.astype(np.float32)
