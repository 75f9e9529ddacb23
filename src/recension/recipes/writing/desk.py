"""Where the verbs ask: prompts to requests, answers to what can be used of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from recension.document import JSON, Document
from recension.errors import UnansweredError
from recension.identity import content_hash
from recension.methods.writing.cleaning import is_refusal
from recension.methods.writing.objects import find_object
from recension.ports import Completion, Request, Writer
from recension.randomness import document_key
from recension.recipes.writing.prompts import Prompt, Text, load_prompt, tamed
from recension.recipes.writing.tally import Tally
from recension.run.answers import Answers, request_for

UNANSWERED = "unanswered"
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request: a text that is whole, or the reason why there is none."""

    text: str
    trouble: str = ""
    detail: str = ""

    @property
    def ok(self) -> bool:
        return not self.trouble


@dataclass(frozen=True)
class Form(Generic[Found]):
    """What an answer in JSON has to be like. `read` makes of an object what is wanted of it, None where it is not there."""

    schema: Mapping[str, JSON]
    read: Callable[[Mapping[str, JSON]], Found | None]

    def found_in(self, text: str) -> Found | None:
        held = find_object(text, list(cast("Mapping[str, JSON]", self.schema["properties"])))
        return None if held is None else self.read(held)


@dataclass(frozen=True)
class Desk:
    """One model and how it is asked. `spec` is the writer's, also where only its journal is left."""

    answers: Answers
    writer: Writer | None
    spec: Mapping[str, JSON]
    sampling: Mapping[str, JSON]
    structured: bool
    seed: int
    judging: bool = False

    @property
    def model(self) -> str:
        return str(self.spec.get("model") or self.spec.get("kind"))

    async def ask(self, messages: tuple[Mapping[str, str], ...], draw: int, stage: str, tally: Tally) -> Answer:
        """A text in answer."""
        return await self._ask(self._request(messages, draw, None), stage, tally)

    async def find(
        self, messages: tuple[Mapping[str, str], ...], form: Form[Found], draw: int, stage: str, tally: Tally
    ) -> Found | Answer:
        """What an object in answer says; where the first answer holds none that can be used, it is asked for once more."""
        answer = await self._ask(self._request(messages, draw, form.schema), stage, tally)
        if not answer.ok and answer.trouble != "truncated":
            return answer
        found = form.found_in(answer.text)
        if found is None and answer.ok and is_refusal(answer.text):
            tally.count("stages", stage, "refusal")
            return Answer("", "refusal", answer.text[:200])
        if found is None:
            tally.count("stages", stage, "repair")
            said = {"role": "assistant", "content": tamed(answer.text)}
            again = load_prompt("reformulate/repair").messages({"answer": Text(answer.text)})
            repaired = await self._ask(
                self._request((*messages, said, again[1]), draw, form.schema), f"{stage} repair", tally
            )
            found = form.found_in(repaired.text)
        if found is None:
            return answer if not answer.ok else Answer("", "unparsable", answer.text[:200])
        return found

    def _request(
        self, messages: tuple[Mapping[str, str], ...], draw: int, schema: Mapping[str, JSON] | None
    ) -> Request:
        sampling = {**self.sampling, "seed": draw & 0x7FFFFFFF}
        return request_for(self.spec, messages, sampling, schema if self.structured else None)

    async def _ask(self, request: Request, stage: str, tally: Tally) -> Answer:
        try:
            found = await self.answers.ask(request, self.writer, self.judging)
        except UnansweredError as error:
            tally.count("stages", stage, UNANSWERED)
            return Answer("", UNANSWERED, str(error))
        answer = _read(found)
        tally.count("stages", stage, answer.trouble or "answered")
        tally.count("tokens", "read", by=int(found.usage.get("prompt_tokens") or 0))
        tally.count("tokens", "written", by=int(found.usage.get("completion_tokens") or 0))
        return answer


def _read(found: Completion) -> Answer:
    """Cut off, empty, refused by a filter and rejected by the server are four things."""
    if found.finish == "rejected":
        why = str(found.raw.get("why") or "rejected")
        # An answer can be too long as well, which is another matter.
        return Answer("", "prompt-too-long" if why == "too-long" else why, str(found.raw.get("error") or "")[:200])
    if found.finish == "refused":
        return Answer("", "refused", _refusal(found.raw)[:200])
    if found.finish == "length":
        return Answer(found.text, "truncated", f"cut off after {found.usage.get('completion_tokens', '?')} tokens")
    if not found.text.strip():
        return Answer("", "empty", "the model answered nothing")
    return Answer(found.text)


def _refusal(raw: Mapping[str, JSON]) -> str:
    choices: Any = raw.get("choices")
    try:
        return str(choices[0]["message"].get("refusal") or "a content filter stopped it")
    except (LookupError, TypeError, AttributeError):
        return str(raw.get("error") or "a content filter stopped it")


def draw_of(seed: int, document: Document, stage: str, number: int = 0) -> int:
    """The seed of one request: the document's own, so that neither order nor workers change what is drawn."""
    given = document.id if document.given_id else None
    return document_key(seed, given, f"{content_hash(document.text)} {stage}", 1, number)


async def together(*waiting: Any) -> list[Any]:
    """All at once; the first error ends the others."""
    if len(waiting) == 1:
        return [await waiting[0]]
    tasks = [asyncio.ensure_future(one) for one in waiting]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


__all__ = ["UNANSWERED", "Answer", "Desk", "Form", "Prompt", "Text", "draw_of", "load_prompt", "together"]
