"""The seams: what a part may ask of another, and the values that cross.

Adapters live in `models/`, `engines/` and `run/`; nothing here imports them. Prior, Writer, Embedder, Journal and
Engine have contract tests that their fakes (`models/fake.py`) and their real adapters pass alike; Judge, Metric and
Selector are shapes for verbs to come, and get theirs with their first adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from recension.document import JSON, Document

Task = TypeVar("Task")
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Ask:
    """What is wanted of a scoring pass beside the log-probability of every token.

    A position is flagged where the probability of its token is at least `above` or at most `below` (probabilities in
    [0, 1], None for neither). Only there the head fetches rivals: the `k` most probable tokens, or, where `mass` is
    set and the first `k` hold less than that, as many as hold it, up to `cap`.

    The log-probabilities of all tokens are wanted of every `every`-th text of a call, the first included. Of the others a
    prior may leave out those of tokens that are not flagged, where it can tell for less that they are not.
    """

    above: float | None = None
    below: float | None = None
    k: int = 8
    mass: float | None = None
    cap: int = 256
    every: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class TokenScores:
    """What a prior says of one text of T tokens, F of them flagged.

    `spans` are character offsets in the text, (-1, -1) for a token that cannot be edited because
    `text[start:end]` is not exactly the surface of the token (it ends inside a character, say, or was normalised).
    `logprobs` is natural, and NaN for a token that has nothing before it (models without a beginning-of-text token).
    `rivals` are the most probable tokens in falling order, the original among them where it belongs there,
    padded with -1 (log-probability -inf); `rival_mass` is the probability that they hold together.
    Special tokens are neither in `ids`, nor flagged, nor among the rivals. Where not `complete`, log-probabilities of
    tokens that are not flagged are left out (NaN), as `Ask.every` allows.
    """

    ids: NDArray[np.int32]
    spans: NDArray[np.int32]
    logprobs: NDArray[np.float32]
    flagged: NDArray[np.int32]
    rivals: NDArray[np.int32]
    rival_logprobs: NDArray[np.float32]
    rival_mass: NDArray[np.float32]
    complete: bool = True


@runtime_checkable
class Prior(Protocol):
    """A model that scores tokens."""

    @property
    def spec(self) -> Mapping[str, JSON]:
        """Everything about the model that can change a score: goes into the key of a run."""

    @property
    def exact(self) -> bool:
        """Whether scores are the same bits for any batch size, thread count and order."""

    @property
    def surfaces(self) -> Sequence[str | None]:
        """For each token id the characters it stands for; None for special tokens and parts of characters."""

    def score(self, texts: Sequence[str], ask: Ask) -> list[TokenScores]:
        """One `TokenScores` for each text, in order, however long the text is. No text is truncated."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a writer; `key` names everything that can change the answer.

    `sampling` knows temperature, top_p, max_tokens, seed and stop. `schema` is the JSON schema that the answer is to fit,
    for writers that can be held to one.
    """

    key: str
    messages: tuple[Mapping[str, str], ...]
    sampling: Mapping[str, JSON] = field(default_factory=dict)
    schema: Mapping[str, JSON] | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer, as it came: `raw` is what goes to the journal before anything is parsed.

    `finish` is `stop`, `length` (cut off), `refused` (by the model or a filter) or `rejected` (the request could not be
    answered at all, being too long for instance; the reason is in `raw`, and `text` is empty).
    """

    key: str
    text: str
    finish: str
    raw: Mapping[str, JSON]
    usage: Mapping[str, int] = field(default_factory=dict)
    model: str = ""
    seconds: float = 0.0
    at: str = ""


@runtime_checkable
class Writer(Protocol):
    """A model that writes text.

    What is final is an answer, also a refusal. Raised are a server or model that is of no use at all (`ModelError`), and
    a request that got no answer while others did (`UnansweredError`).
    """

    @property
    def spec(self) -> Mapping[str, JSON]:
        """Everything beside the request that can change an answer: goes into its key."""

    async def write(self, request: Request) -> Completion: ...

    async def close(self) -> None:
        """Let go of connections and threads; a writer is of no use after that."""


@runtime_checkable
class Journal(Protocol):
    """Paid answers on disk. `put` returns only when the answer would survive a power cut."""

    def get(self, key: str) -> Completion | None: ...

    def put(self, completion: Completion) -> None: ...

    def __len__(self) -> int: ...


@runtime_checkable
class Judge(Protocol):
    """Rates a text against its source."""

    @property
    def spec(self) -> Mapping[str, JSON]: ...

    async def rate(self, source: Document, candidate: Document) -> Mapping[str, JSON]: ...


@runtime_checkable
class Embedder(Protocol):
    """Texts to unit vectors."""

    @property
    def spec(self) -> Mapping[str, JSON]: ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]: ...


@runtime_checkable
class Metric(Protocol):
    """A statistic of a corpus as a mergeable state: what an audit is made of."""

    name: str

    def start(self) -> Any: ...

    def add(self, state: Any, documents: Sequence[Document]) -> Any: ...

    def merge(self, left: Any, right: Any) -> Any: ...

    def value(self, state: Any) -> Mapping[str, JSON]: ...


@runtime_checkable
class Selector(Protocol):
    """Scores documents for keeping; what is not kept is reported by reference."""

    @property
    def spec(self) -> Mapping[str, JSON]: ...

    def scores(self, documents: Sequence[Document]) -> NDArray[np.float64]: ...


@runtime_checkable
class Engine(Protocol):
    """Applies a task to items, somewhere. It knows nothing of documents.

    Results come as they finish, each item exactly once. Items are drawn lazily, so at most a few are in memory. A task
    that raises ends the iteration with that error and stops the running ones: what counts is on disk by then.
    """

    def map(self, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]: ...
