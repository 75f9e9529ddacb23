"""The chat API: what is sent, and what an answer says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from recension.document import JSON
from recension.models.endpoint import Reply
from recension.ports import Completion, Request

FINISHES = {"length": "length", "max_tokens": "length", "content_filter": "refused", "safety": "refused"}
_LONG = re.compile(
    r"context.{0,20}(length|window|size)|maximum.{0,30}(token|length)|too (long|large|many tokens)", re.I
)
_HALF = re.compile("[\ud800-\udfff]")
_BEYOND = 1 << 40
_FILTER = re.compile(r"content.?(filter|policy|management)|moderation|safety|flagged", re.I)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What of the API a server knows. Learnt once, and part of the key of every request, since it changes what is sent."""

    schema: bool = True
    seed: bool = True
    length: str = "max_tokens"
    sampling: bool = True

    @classmethod
    def ladder(cls) -> Iterator[Dialect]:
        """From the fullest to the plainest."""
        yield cls()
        yield cls(length="max_completion_tokens")
        yield cls(schema=False)
        yield cls(schema=False, seed=False)
        yield cls(length="max_completion_tokens", seed=False, sampling=False)
        yield cls(schema=False, seed=False, length="max_completion_tokens", sampling=False)
        yield cls(schema=False, seed=False, sampling=False)

    def to_json(self) -> dict[str, JSON]:
        return asdict(self)


def body_of(model: str, request: Request, dialect: Dialect) -> dict[str, JSON]:
    """A request as the server is to get it."""
    body: dict[str, JSON] = {"model": model, "messages": [dict(message) for message in request.messages]}
    for name, value in request.sampling.items():
        if name == "max_tokens":
            body[dialect.length] = value
        elif name == "seed":
            if dialect.seed:
                body["seed"] = value
        elif name == "stop" or dialect.sampling:
            body[name] = value
    if request.schema is not None and dialect.schema:
        schema: JSON = {"name": "answer", "schema": dict(request.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def read_chat(key: str, raw: bytes) -> Completion | None:
    """An answer of a server; None where the bytes are no chat completion."""
    try:
        found: Any = _decoded(raw)
        choice = found["choices"][0]
        message = choice["message"]
        text, refusal, finish = message.get("content"), message.get("refusal"), choice.get("finish_reason")
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError, AttributeError):
        return None
    if isinstance(text, list):  # parts, as some servers give them
        text = "".join(str(part.get("text") or "") for part in text if isinstance(part, Mapping))
    if not isinstance(text, str | None):
        return None
    ended = "refused" if refusal else FINISHES.get(str(finish), "stop")
    counts = found.get("usage")
    usage = (
        {name: counts[name] for name in ("prompt_tokens", "completion_tokens") if _is_count(counts.get(name))}
        if isinstance(counts, Mapping)
        else {}
    )
    return Completion(key, text or "", ended, found, usage, str(found.get("model") or ""))


def _decoded(raw: bytes) -> Any:
    """JSON, also where an answer holds half a character, as models cut off within an emoji write it."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        if b"\\ud" not in raw.lower():
            raise
    try:
        whole = json.dumps(json.loads(raw), ensure_ascii=False)
    except (ValueError, RecursionError):
        raise msgspec.DecodeError("no JSON") from None
    return msgspec.json.decode(_HALF.sub("\ufffd", whole).encode())


def _is_count(value: object) -> bool:
    """A number of tokens that can be true: none is negative or beyond all counting."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _BEYOND


def final_refusal(key: str, reply: Reply, words: str) -> Completion:
    """A request that the server will never answer, and why: by its status and words."""
    refused = bool(_FILTER.search(words)) and not _LONG.search(words)
    why = "filtered" if refused else "too-long" if reply.status == 413 or _LONG.search(words) else "rejected"
    return Completion(
        key, "", "refused" if refused else "rejected", {"status": reply.status, "error": words, "why": why}
    )
