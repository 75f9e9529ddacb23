"""What a server really does: asked over plain HTTP, one question after another, and put into a word or two.

Nothing here fails: a probe says what it saw. What must hold is in contract.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

MODEL = "tiny"
CONTEXT = 512  # what the model reads
SCHEMA = {
    "type": "object",
    "properties": {
        "score": {"type": "integer", "enum": [1, 2, 3, 4, 5]},
        "fit": {"type": "string", "enum": ["yes", "no"]},
    },
    "required": ["score", "fit"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Served:
    """A server that runs, and what is known of the model in it."""

    url: str
    greedy: str  # what the model itself answers to `chat()` at temperature 0
    mark: str  # a special token
    long: str  # more than the model reads


@dataclass(frozen=True)
class Reply:
    status: int
    text: str
    kind: str = ""

    @property
    def body(self) -> Any:
        try:
            return json.loads(self.text)
        except json.JSONDecodeError:
            return {}

    @property
    def answer(self) -> str:
        return (self.body["choices"][0]["message"]["content"] or "") if "choices" in self.body else ""

    @property
    def finish(self) -> str:
        return str(self.body["choices"][0]["finish_reason"]) if "choices" in self.body else f"status {self.status}"


def post(url: str, body: Any, path: str = "/chat/completions", **headers: str) -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(url + path, data, {"Content-Type": "application/json", **headers})
    try:
        with urlopen(request, timeout=120) as reply:
            return Reply(reply.status, reply.read().decode("utf-8", "replace"), reply.headers.get_content_type())
    except HTTPError as error:
        with error:
            return Reply(error.code, error.read().decode("utf-8", "replace"), error.headers.get_content_type())
    except OSError as error:
        return Reply(0, f"{type(error).__name__}: {error}")


def chat(content: str = "the river ran past", **more: Any) -> dict[str, Any]:
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 12,
        "temperature": 0.8,
        **more,
    }


def reason(reply: Reply) -> str:
    """Status and the server's words, short."""
    found = reply.body
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and name in found:
            found = found[name]
    words = found if isinstance(found, str) else json.dumps(found) if found else reply.text
    return f"{reply.status}: {' '.join(words.split())[:110]}"


def yes(found: bool, otherwise: str = "no") -> str:
    return "yes" if found else otherwise


def its_answer(server: Served) -> str:
    """Greedy, without anything that the request did not ask for."""
    reply = post(server.url, chat(temperature=0))
    if reply.status != 200 or reply.answer.strip() == server.greedy.strip():
        return "yes" if reply.status == 200 else reason(reply)
    reply = post(server.url, chat(temperature=0, repeat_penalty=1.0))
    penalised = reply.answer.strip() == server.greedy.strip()
    return "no: repetitions are penalised unless `repeat_penalty` is 1" if penalised else f"no: {reply.answer[:40]!r}"


def usage(server: Served) -> str:
    used = post(server.url, chat()).body.get("usage") or {}
    return yes(used.get("completion_tokens", 0) > 0 < used.get("prompt_tokens", 0))


def seed(server: Served) -> str:
    def ask(number: int) -> str:
        return post(server.url, chat(seed=number, temperature=1.0)).answer

    texts = [ask(1), ask(1), ask(2), ask(3)]
    if texts[0] != texts[1]:
        return "no"
    return yes(len(set(texts)) > 1, "ignored, with the temperature" if texts[0] == server.greedy else "ignored")


def at_once(server: Served) -> str:
    """Whether an answer depends on others that are under way."""
    bodies = [chat("the river ran " * (i % 3 + 1), seed=i, temperature=1.0) for i in range(8)]
    alone = [post(server.url, body) for body in bodies]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda body: post(server.url, body), bodies))
    failed = [reply for reply in together if reply.status != 200]
    if failed:
        return reason(failed[0])
    same = sum(a.answer == b.answer for a, b in zip(alone, together, strict=True))
    return f"{same} of {len(bodies)} as alone"


def cut_off(server: Served) -> str:
    reply = post(server.url, chat(max_tokens=5))
    return yes(reply.finish == "length", reply.finish)


def newer_name(server: Served) -> str:
    body = chat(max_completion_tokens=5)
    del body["max_tokens"]
    reply = post(server.url, body)
    written = (reply.body.get("usage") or {}).get("completion_tokens")
    return yes(written == 5, reason(reply) if reply.status != 200 else f"ignored ({written} tokens)")


def stop(server: Served) -> str:
    whole = post(server.url, chat(temperature=0)).answer
    word = whole[4:8]
    reply = post(server.url, chat(temperature=0, stop=[word]))
    if reply.status != 200:
        return reason(reply)
    before = whole[: whole.index(word)]
    if reply.answer.strip() == before.strip():
        return yes(reply.finish == "stop", f"yes, as {reply.finish}")
    return "ends there, but leaves the word in" if word in reply.answer and reply.finish == "stop" else "ignored"


def several(server: Served) -> str:
    reply = post(server.url, chat(n=2, temperature=1.0))
    count = len(reply.body.get("choices") or ())
    return yes(count == 2, reason(reply) if reply.status != 200 else f"{count} of 2 given")


def logprobs(server: Served) -> str:
    reply = post(server.url, chat(logprobs=True, top_logprobs=2))
    if reply.status != 200:
        return reason(reply)
    told = reply.body["choices"][0].get("logprobs") or {}
    return yes(bool(told.get("content")))


def prompt_logprobs(server: Served) -> str:
    plain = {"model": MODEL, "prompt": "the river ran", "max_tokens": 1, "temperature": 0}
    ways = {"prompt_logprobs": {"prompt_logprobs": 2}, "echo": {"echo": True, "logprobs": 2}}
    found = []
    for name, more in ways.items():
        reply = post(server.url, {**plain, **more}, "/completions")
        choice = (reply.body.get("choices") or [{}])[0] if reply.status == 200 else {}
        told = choice.get("prompt_logprobs") or (choice.get("logprobs") or {}).get("token_logprobs") or ()
        if len(told) > 2:
            found.append(name)
    return " and ".join(found) or "no"


def schema(server: Served) -> str:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
    fits = begun = 0
    for number in range(3):
        reply = post(server.url, chat(response_format=form, max_tokens=96, seed=number))
        if reply.status != 200:
            return reason(reply)
        begun += reply.finish == "length" and reply.answer.lstrip()[:1] == "{"
        try:
            found = json.loads(reply.answer)
        except json.JSONDecodeError:
            continue
        fits += isinstance(found, dict) and set(found) == {"score", "fit"} and found["score"] in range(1, 6)
    if fits + begun < 3:
        return "ignored" if not fits else f"{fits} of 3 fit"
    return "yes" if not begun else "yes, but white space has no end"


def too_long(server: Served) -> str:
    reply = post(server.url, chat(server.long))
    return "200: answered all the same" if reply.status == 200 else reason(reply)


def too_long_streamed(server: Served) -> str:
    reply = post(server.url, chat(server.long, stream=True))
    if reply.kind == "application/json":
        return reason(reply)
    if "error" not in reply.text:
        return (
            f"{reply.status}: a stream without a word of it"
            if '"delta"' in reply.text
            else f"{reply.status}: a stream that breaks off"
        )
    return f"{reply.status}: the reason in the stream"


def too_much_wanted(server: Served) -> str:
    reply = post(server.url, chat(max_tokens=CONTEXT + 8))
    if reply.status != 200:
        return reason(reply)
    written = (reply.body.get("usage") or {}).get("completion_tokens", 0)
    return "writes past the context" if written > CONTEXT else "cut to what there is room for"


def streams(server: Served) -> str:
    reply = post(server.url, chat(stream=True))
    if reply.status != 200 or not reply.text.startswith("data:"):
        return reason(reply)
    return yes("[DONE]" in reply.text, "yes, without a last [DONE]")


def unknown_model(server: Served) -> str:
    reply = post(server.url, {**chat(), "model": "another"})
    return "answered all the same" if reply.status == 200 else reason(reply)


def no_json(server: Served) -> str:
    return reason(post(server.url, b'{"model": "tiny", "messages": ['))


def idempotency(server: Served) -> str:
    header = {"Idempotency-Key": "one-and-the-same"}
    body = chat(temperature=1.5, max_tokens=30)
    first, second = (post(server.url, body, **header) for _ in range(2))
    return yes(first.status == 200 and first.body.get("id") == second.body.get("id"))


def marks(server: Served) -> str:
    """How a special token within a message is read: one more of it is one token more, or as many as its letters have."""
    counts = []
    for times in (1, 2):
        reply = post(server.url, chat("the river " + server.mark * times, max_tokens=1))
        counts.append((reply.body.get("usage") or {}).get("prompt_tokens"))
    if None in counts:
        return "not told"
    return "as the token" if counts[1] - counts[0] == 1 else "as text"


PROBES: dict[str, Callable[[Served], str]] = {
    "greedy as the model itself": its_answer,
    "usage": usage,
    "seed": seed,
    "eight at once, with seeds": at_once,
    "`max_tokens`": cut_off,
    "`max_completion_tokens`": newer_name,
    "`stop`": stop,
    "`n`": several,
    "`logprobs`": logprobs,
    "log-probabilities of a prompt": prompt_logprobs,
    "JSON schema": schema,
    "streams": streams,
    "a prompt that is too long": too_long,
    "the same, streamed": too_long_streamed,
    "`max_tokens` beyond the context": too_much_wanted,
    "an unknown model": unknown_model,
    "broken JSON": no_json,
    "`Idempotency-Key`": idempotency,
    "a special token in a message": marks,
}


def probed(server: Served) -> dict[str, str]:
    return {name: probe(server) for name, probe in PROBES.items()}
