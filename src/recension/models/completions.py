"""The completions API of OpenAI, as far as it gives the log-probabilities of a prompt of token ids.

Two ways of asking are known. vLLM's `prompt_logprobs` names candidates by their ids. The older `echo` with `logprobs`
(SGLang, and others) names them by their characters; those that are not the exact name of a token are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from recension.document import JSON
from recension.errors import ModelError
from recension.models import hub
from recension.models.endpoint import Endpoint, Reply
from recension.models.served import Answer, answer_of, best_of
from recension.models.surfaces import Surfaces

Way = Literal["prompt_logprobs", "echo"]
WAYS: tuple[Way, ...] = ("prompt_logprobs", "echo")


class _Candidate(msgspec.Struct):
    logprob: float | None = None
    decoded_token: str | None = None


class _Echo(msgspec.Struct):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float | None] | None] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    logprobs: _Echo | None = None
    prompt_logprobs: list[dict[int, _Candidate] | None] | None = None
    prompt_token_ids: list[int] | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    system_fingerprint: str | None = None


class CompletionServer:
    """A model behind `/completions`, asked in one way, for at most `most` candidates."""

    def __init__(self, endpoint: Endpoint, model: str, surfaces: Surfaces, way: Way, parallel: int, most: int) -> None:
        self.name = endpoint.name
        self.way = way
        self.parallel = parallel
        self.most = most
        self.fingerprint: str | None = None
        self._endpoint = endpoint
        self._model = model
        self._surfaces = surfaces
        self._named: Mapping[str, int] | None = None

    def answer(self, sequences: Sequence[Sequence[int]], count: int) -> list[Answer]:
        reply = self.ask(sequences, count)
        if not reply.ok:
            raise ModelError(f"{self.name}: the server refuses to score ({self.reason(reply)})")
        return self.read(reply, sequences, count)

    def ask(self, sequences: Sequence[Sequence[int]], count: int) -> Reply:
        body: dict[str, JSON] = {
            "model": self._model,
            "prompt": [list(ids) for ids in sequences],
            "max_tokens": 1,  # no server gives none
            "temperature": 0,
        }
        if self.way == "echo":
            # SGLang takes 0 for "none at all".
            body |= {"echo": True, "logprobs": max(count, 1)}
        else:
            body |= {"prompt_logprobs": count, "return_token_ids": True}
        tokens = sum(map(len, sequences))
        return self._endpoint.post("/completions", body, (4 << 20) + tokens * (count + 2) * 512)

    def reason(self, reply: Reply) -> str:
        return self._endpoint.said(reply)

    def ignores(self, reply: Reply) -> bool:
        """Whether a server that did answer knows nothing of this way."""
        choices = self._decoded(reply).choices
        return bool(choices) and all(choice.prompt_logprobs is None and choice.logprobs is None for choice in choices)

    def _decoded(self, reply: Reply) -> _Completion:
        try:
            return msgspec.json.decode(reply.body, type=_Completion)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ModelError(f"{self.name}: the server's answer cannot be read ({hub.brief(error)})") from error

    def read(self, reply: Reply, sequences: Sequence[Sequence[int]], count: int) -> list[Answer]:
        """The answers, each aligned with the ids that were sent, or a refusal that says what is wrong."""
        completion = self._decoded(reply)
        self.fingerprint = completion.system_fingerprint
        choices = sorted(completion.choices, key=lambda choice: choice.index)
        if [choice.index for choice in choices] != list(range(len(sequences))):
            raise ModelError(f"{self.name}: {len(sequences)} texts were sent, {len(choices)} answers came back")
        found = self._by_id if self.way == "prompt_logprobs" else self._by_name
        return [found(choice, ids, count) for choice, ids in zip(choices, sequences, strict=True)]

    def _by_id(self, choice: _Choice, ids: Sequence[int], count: int) -> Answer:
        rows = choice.prompt_logprobs
        if rows is None:
            raise ModelError(f"{self.name}: the server gives no log-probabilities of the prompt (no prompt_logprobs)")
        self._check_length(len(rows), len(ids))
        if choice.prompt_token_ids is not None and choice.prompt_token_ids != list(ids):
            raise ModelError(f"{self.name}: the server read other tokens than were sent; does it add a BOS of its own?")
        if rows[0] is not None:
            raise self._misaligned(0)
        own, places = [], []
        words: list[str | None] = [None]
        for place, (row, token) in enumerate(zip(rows[1:], ids[1:], strict=True), start=1):
            if row is None or (mine := row.get(token)) is None:
                raise self._misaligned(place)
            numbers = [_number(candidate.logprob) for candidate in row.values()]
            own.append(_number(mine.logprob))
            words.append(mine.decoded_token)
            places.append(best_of(list(row), numbers, count))
        return answer_of(self.name, own, places, words)

    def _by_name(self, choice: _Choice, ids: Sequence[int], count: int) -> Answer:
        echo = choice.logprobs
        if echo is None:
            raise ModelError(f"{self.name}: the server gives no log-probabilities of the prompt (echo is ignored)")
        # The one token that was written stands at the end, where the server writes one.
        extra = len(echo.tokens) - len(ids)
        if len(echo.token_logprobs) != len(echo.tokens) or extra not in (0, 1):
            self._check_length(len(echo.token_logprobs) - 1, len(ids))
        if echo.token_logprobs[0] is not None:
            raise self._misaligned(0)
        own = [_number(value) for value in echo.token_logprobs[1 : len(ids)]]
        rows = echo.top_logprobs or [None] * len(ids)
        places = [
            self._candidates(row or {}, token, word, count)
            for row, token, word in zip(rows[1 : len(ids)], ids[1:], echo.tokens[1:], strict=False)
        ]
        if len(places) != len(ids) - 1:
            self._check_length(len(rows), len(ids))
        return answer_of(self.name, own, places, [None, *echo.tokens[1 : len(ids)]])

    def _candidates(
        self, row: Mapping[str, float | None], token: int, word: str, count: int
    ) -> tuple[list[int], list[float]]:
        """The candidates that are named exactly; the token that stands there is known whatever its name."""
        named = self._ids_of_names()
        known = [(token if name == word else named.get(name, -1), _number(value)) for name, value in row.items()]
        falling = sorted(known, key=lambda pair: -pair[1])
        if falling and falling[-1][0] == token:
            # It comes on top of the best ones. Names that several candidates share hide how many there are.
            del falling[-1]
        return best_of([i for i, _ in falling if i >= 0], [value for i, value in falling if i >= 0], count)

    def _ids_of_names(self) -> Mapping[str, int]:
        if self._named is None:
            # Of tokens with the same characters the last: single bytes come first in all tokenizers that have them.
            self._named = {text: i for i, text in enumerate(self._surfaces.characters) if text is not None}
        return self._named

    def _check_length(self, found: int, sent: int) -> None:
        if found != sent:
            raise ModelError(f"{self.name}: {sent} tokens were sent, {found} log-probabilities came back")

    def _misaligned(self, place: int) -> ModelError:
        return ModelError(f"{self.name}: the log-probabilities are not those of the tokens that were sent (at {place})")


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
