"""The replies of the fake server, good and bad, as bytes of HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec

REFUSALS = {"429": 429, "429-retry-after": 429, "500": 500, "503": 503}
MEGABYTE = 1 << 20
_ENCODE = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and a body: a value that becomes JSON, or bytes as they are."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "application/json"

    def encoded(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else _ENCODE(self.body)


def sent(reply: Reply) -> bytes:
    body = reply.encoded()
    more = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
    head = (
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n"
        f"Content-Type: {reply.kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    )
    return head.encode() + body


def error(status: int, message: str, code: str, headers: Mapping[str, str] | None = None) -> Reply:
    """As OpenAI's servers word it."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    told = {"message": message, "type": kind, "param": None, "code": code}
    return Reply(status, {"error": told}, headers or {})


def failing(fault: str, retry_after: float) -> Reply | None:
    """The reply that a fault is made of; None where it only changes the answer or the way it is sent."""
    if fault in REFUSALS:
        headers = {"Retry-After": f"{retry_after:g}"} if fault == "429-retry-after" else {}
        code = "rate_limit_exceeded" if REFUSALS[fault] == 429 else "server_error"
        return error(REFUSALS[fault], f"Told to fail with {fault}", code, headers)
    if fault == "wrong-schema":
        return Reply(200, {"object": "chat.completion", "result": "there are no choices here"})
    if fault == "wrong-type":
        return Reply(200, b"<html><body><h1>Welcome to your router</h1></body></html>", kind="text/html")
    return None


def completion(body: Mapping[str, Any], answer: Callable[[Mapping[str, Any]], str], name: str, fault: str) -> Reply:
    """The answer to a request, damaged by `fault` where that is a matter of content."""
    chat = "messages" in body
    asked = body if chat else {**body, "messages": [{"role": "user", "content": prompt_of(body)}]}
    count = int(body.get("n") or 1)
    choices, spent = [], 0
    for index in range(count):
        one = asked if index == 0 else {**asked, "seed": (asked.get("seed") or 0) + index}
        text, finish = _limited(answer(one), body)
        choice, used = _choice(text, finish, chat, fault)
        choices.append({"index": index, **choice})
        spent += used
    prompt = tokens(prompt_of(body))
    told = {
        "id": name,
        "object": "chat.completion" if chat else "text_completion",
        "created": int(time.time()),
        "model": body.get("model") or "fake",
        "choices": choices,
        "usage": {"prompt_tokens": prompt, "completion_tokens": spent, "total_tokens": prompt + spent},
    }
    if fault == "bulky":
        told["padding"] = "x" * MEGABYTE
    return Reply(200, told)


def _choice(text: str, finish: str, chat: bool, fault: str) -> tuple[dict[str, Any], int]:
    refusal: str | None = None
    if fault == "empty":
        text = ""
    elif fault == "truncated":
        text, finish = text[: len(text) // 2], "length"
    elif fault == "huge":
        text = (text or "x ") * (MEGABYTE // max(len(text), 2) + 1)
    elif fault == "refused":
        # Half of them in OpenAI's newer way, half in the way of a filter.
        refusal = "I'm sorry, but I can't help with that." if len(text) % 2 else None
        text, finish = "", "stop" if refusal else "content_filter"
    used = tokens(text) if text else 0
    if not chat:
        return {"text": text, "logprobs": None, "finish_reason": finish}, used
    message = {"role": "assistant", "content": None if refusal else text, "refusal": refusal}
    return {"message": message, "logprobs": None, "finish_reason": finish}, used


def _limited(text: str, body: Mapping[str, Any]) -> tuple[str, str]:
    """What `stop` and the most tokens leave of it."""
    stops = body.get("stop") or ()
    for stop in (stops,) if isinstance(stops, str) else stops:
        text = text.partition(stop)[0] if stop else text
    most = body.get("max_tokens") or body.get("max_completion_tokens")
    if most and tokens(text) > most:
        return text[: most * 4 - 1], "length"
    return text, "stop"


def prompt_of(body: Mapping[str, Any]) -> str:
    if "messages" not in body:
        prompt = body.get("prompt", "")
        return prompt if isinstance(prompt, str) else "\n".join(map(str, prompt))
    return "\n".join(str(message.get("content") or "") for message in body["messages"])


def tokens(text: str) -> int:
    """Four characters are a token here."""
    return len(text) // 4 + 1
