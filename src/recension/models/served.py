"""A prior whose model runs elsewhere and gives, for each token of a sequence, its log-probability and the best few.

The tokens are made here, since edits need their exact places; what is sent are ids. A server knows no thresholds: it
gives candidates everywhere, and what is not flagged is thrown away as soon as an answer is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from recension.document import JSON
from recension.errors import ModelError
from recension.models.rows import Rows, flags, joined
from recension.models.surfaces import Surfaces, encode
from recension.models.windows import Window, packs, windows
from recension.ports import Ask, TokenScores

LONGEST_CONTEXT = 4096
MOST_CANDIDATES = 1024
SPARE = 2  # asked for beside k, for special tokens among the best
MOST_SPECIAL = 64
ENTRIES = 1 << 18  # candidates in one answer, in all
LOWEST = -9999.0  # what servers write for a probability of nothing


class Answer(NamedTuple):
    """What a server says of one sequence of L tokens; the first has no say.

    `own` holds the log-probabilities of the tokens, `rivals` at most N best ids of each place in falling order (padded
    with -1, -inf), and `words` what the server calls the tokens, where it tells.
    """

    own: NDArray[np.float32]
    rivals: NDArray[np.int32]
    rival_logprobs: NDArray[np.float32]
    words: Sequence[str | None]


class Server(Protocol):
    """Where the model runs. `most` candidates can be had, `parallel` questions may be on their way at once."""

    name: str
    most: int
    parallel: int

    def answer(self, sequences: Sequence[Sequence[int]], count: int) -> list[Answer]:
        """Score sequences of two tokens or more, with `count` candidates; refuses what cannot be an answer."""


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A server with the tokenizer of its model. `bos` begins every window; `context` counts it."""

    server: Server
    tokenizer: Any
    surfaces: Surfaces
    bos: int | None
    context: int
    batch_tokens: int
    spec: dict[str, JSON]


class _Piece(NamedTuple):
    """A window of one text, and the ids that are sent."""

    text: int
    window: Window
    ids: list[int]

    @property
    def first(self) -> int:
        """Where in `ids` the tokens begin that get their score here."""
        return len(self.ids) - (self.window.stop - self.window.first)


class _Rows(NamedTuple):
    """Scores of one window, its flagged places counted from its first scored token."""

    logprobs: NDArray[np.float32]
    flagged: NDArray[np.int64]
    rivals: list[NDArray[np.int32]]
    rival_logprobs: list[NDArray[np.float32]]
    short: bool  # more candidates would have been needed than came


class ServedPrior:
    """Scores texts with a model that runs elsewhere. Build one with `load_openai` or `load_vllm`."""

    def __init__(self, served: Served) -> None:
        self._parts = served

    @property
    def spec(self) -> Mapping[str, JSON]:
        return self._parts.spec

    @property
    def exact(self) -> bool:
        return False

    @property
    def surfaces(self) -> Sequence[str | None]:
        return self._parts.surfaces.characters

    def score(self, texts: Sequence[str], ask: Ask) -> list[TokenScores]:
        parts = self._parts
        flags = ask.above is not None or ask.below is not None
        if flags and ask.k > parts.server.most:
            raise ModelError(too_many(parts.server, ask.k))
        encoded = encode(parts.tokenizer, texts, parts.surfaces)
        lead = [] if parts.bos is None else [parts.bos]
        pieces = [
            _Piece(i, window, lead + text.ids[window.start : window.stop].tolist())
            for i, text in enumerate(encoded)
            for window in windows(len(text.ids), parts.context, bool(lead))
        ]
        few = min(ask.k + SPARE, parts.server.most) if flags else 0
        rows = self._score(pieces, few, ask)
        wanted = max(ask.k, ask.cap) if ask.mass is not None else ask.k
        many = min(wanted + min(len(parts.surfaces.special), MOST_SPECIAL) + SPARE, parts.server.most)
        for count in sorted({many, parts.server.most}) if flags else ():
            # Special tokens stood among the best, or they did not hold the mass: more of them, where it is so.
            again = [i for i, found in enumerate(rows) if found.short] if count > few else []
            for i, found in zip(again, self._score([pieces[i] for i in again], count, ask), strict=True):
                rows[i] = found
        self._check_mass(rows, ask)
        found_in: list[list[tuple[Window, Rows]]] = [[] for _ in texts]
        for piece, found in zip(pieces, rows, strict=True):
            found_in[piece.text].append((piece.window, _padded(found, ask.k)))
        return [joined(text, found, parts.surfaces, ask.k) for text, found in zip(encoded, found_in, strict=True)]

    def _score(self, pieces: Sequence[_Piece], count: int, ask: Ask) -> list[_Rows]:
        """Every window once, a few questions at a time; an answer is cut down where it arrives."""
        parts = self._parts
        budget = max(min(parts.batch_tokens, ENTRIES // (count + 1)), 1)
        plan = packs([len(piece.ids) for piece in pieces], budget, mixed=True)

        def asked(pack: list[int]) -> list[_Rows]:
            members = [pieces[i] for i in pack]
            answers = parts.server.answer([piece.ids for piece in members], count)
            return [self._cut_down(piece, answer, ask) for piece, answer in zip(members, answers, strict=True)]

        rows: list[_Rows | None] = [None] * len(pieces)
        if parts.server.parallel == 1 or len(plan) < 2:
            for pack in plan:
                for i, found in zip(pack, asked(pack), strict=True):
                    rows[i] = found
        else:
            pool = ThreadPoolExecutor(parts.server.parallel, thread_name_prefix="server")
            try:
                for pack, several in zip(plan, pool.map(asked, plan), strict=True):
                    for i, found in zip(pack, several, strict=True):
                        rows[i] = found
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        return [found for found in rows if found is not None]

    def _cut_down(self, piece: _Piece, answer: Answer, ask: Ask) -> _Rows:
        surfaces = self._parts.surfaces
        first = piece.first
        logprobs = answer.own[first:]
        targets = np.array(piece.ids[first:], dtype=np.int32)
        marks = flags(logprobs, ask) & np.isin(targets, list(surfaces.special), invert=True)
        flagged = np.flatnonzero(marks)
        rivals, chances, short = [], [], False
        for place in (flagged + first).tolist():
            ids, best = answer.rivals[place], answer.rival_logprobs[place]
            known = (ids >= 0) & (ids < len(surfaces.characters))
            known &= np.isin(ids, list(surfaces.special), invert=True)
            ids, best = ids[known], best[known]
            needed = _needed(best, ask)
            short |= needed > len(ids)
            rivals.append(ids[:needed])
            chances.append(best[:needed])
        return _Rows(logprobs, flagged, rivals, chances, short)

    def _check_mass(self, rows: Sequence[_Rows], ask: Ask) -> None:
        """Fewer candidates than hold the mass asked for would be another distribution."""
        if ask.mass is None:
            return
        for found in rows:
            for best in found.rival_logprobs:
                held = float(np.exp(best.astype(np.float64)).sum())
                if found.short and len(best) < ask.cap and held < min(ask.mass, 1 - 1e-6):
                    server = self._parts.server
                    if server.most < len(self.surfaces):
                        raise ModelError(
                            f"{server.name}: its {server.most} best candidates hold {held:.3f} of the probability, not "
                            f"the {ask.mass:g} asked for; for vLLM, start it with --max-logprobs {ask.cap + SPARE}"
                        )


def too_many(server: Server, k: int) -> str:
    """The refusal of more candidates than a server gives."""
    return (
        f"{server.name} gives at most {server.most} candidates, not {k}: ask for fewer (--top-k {server.most}), or, for "
        f"vLLM, start the server with --max-logprobs {k + SPARE}"
    )


def best_of(ids: Sequence[int], logprobs: Sequence[float], count: int) -> tuple[list[int], list[float]]:
    """The `count` best candidates of one place in falling order, each once."""
    seen = dict(zip(reversed(ids), reversed(logprobs), strict=True))
    falling = sorted(seen.items(), key=lambda pair: -pair[1])[:count]
    return [i for i, _ in falling], [logprob for _, logprob in falling]


def answer_of(
    name: str, own: Sequence[float], places: Sequence[tuple[list[int], list[float]]], words: Sequence[str | None]
) -> Answer:
    """An answer as arrays, refused where its log-probabilities cannot be any. `places` are one fewer than tokens."""
    count = max((len(ids) for ids, _ in places), default=0)
    rivals = np.full((len(places) + 1, count), -1, dtype=np.int32)
    chances = np.full((len(places) + 1, count), -np.inf, dtype=np.float32)
    for row, (ids, best) in enumerate(places, start=1):
        rivals[row, : len(ids)] = ids
        chances[row, : len(ids)] = best
    logprobs = np.array([np.nan, *own], dtype=np.float32)
    check_numbers(name, logprobs[1:], chances[1:])
    return Answer(np.clip(logprobs, LOWEST, 0.0), rivals, np.minimum(chances, 0.0), words)


def check_numbers(name: str, own: NDArray[np.float32], chances: NDArray[np.float32]) -> None:
    """Refuse what cannot be log-probabilities."""
    if np.isnan(own).any() or np.isnan(chances).any():
        raise ModelError(f"{name}: the server gives log-probabilities that are no numbers; are its weights intact?")
    if (own > 1e-3).any() or (chances > 1e-3).any():
        raise ModelError(f"{name}: the server gives log-probabilities above 0; for vLLM, see its --logprobs-mode")
    if (np.exp(chances.astype(np.float64)).sum(axis=1) > 1.01).any():
        raise ModelError(f"{name}: the probabilities of the server's candidates add up to more than 1")


def _needed(best: NDArray[np.float32], ask: Ask) -> int:
    """How many of the best are asked for: k, or as many as hold the mass, up to the cap."""
    if ask.mass is None or ask.cap <= ask.k:
        return ask.k
    held = np.exp(best.astype(np.float64)).cumsum()
    return max(ask.k, min(int((held < ask.mass).sum()) + 1, ask.cap))


def _padded(found: _Rows, k: int) -> Rows:
    """Candidates of different numbers as one table."""
    width = max([k, *map(len, found.rivals)])
    rivals = np.full((len(found.rivals), width), -1, dtype=np.int32)
    chances = np.full((len(found.rivals), width), -np.inf, dtype=np.float32)
    for row, (ids, best) in enumerate(zip(found.rivals, found.rival_logprobs, strict=True)):
        rivals[row, : len(ids)] = ids
        chances[row, : len(ids)] = best
    return Rows(found.logprobs, found.flagged, rivals, chances)
