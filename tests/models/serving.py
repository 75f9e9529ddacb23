"""A small server with the completions API as vLLM and SGLang speak it, in a thread, over any table of probabilities.

It computes what it answers; `spoil` may then damage an answer, and `trouble` stands before it, as a bad server would.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from tiny import byte_level

Scoring = Callable[[Sequence[int]], np.ndarray]  # ids to (T, V): row i holds the log-probabilities after token i


@dataclass
class Behaviour:
    """How the server answers, and what it was asked."""

    model: str = "tiny"
    ways: tuple[str, ...] = ("prompt_logprobs", "echo")
    key: str | None = None
    most: int | None = None  # more candidates are refused, as vLLM does it
    silent_most: int | None = None  # more are not given
    longest: int | None = 64
    spoil: Callable[[dict[str, Any], int], None] | None = None  # the answer, and how many came before it
    trouble: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    delay: float = 0.0
    asked: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0


def table_of(size: int, seed: int = 3) -> Scoring:
    """Probabilities that depend on the token before, many of them near 1."""
    logits = np.random.default_rng(seed).normal(0, 3, (size, size))
    logits[np.arange(size), (np.arange(size) * 7 + 3) % size] += 16 * (np.arange(size) % 2)
    table = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
    return lambda ids: table[np.asarray(ids)]


def model_of(folder: Path) -> Scoring:
    """A real model."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder).eval()

    def score(ids: Sequence[int]) -> np.ndarray:
        with torch.inference_mode():
            return torch.log_softmax(model(torch.tensor([list(ids)])).logits[0].float(), -1).numpy()

    return score


def tokenizer_folder(folder: Path, bos: bool = True) -> Path:
    """A tokenizer alone, as the client needs it."""
    from transformers import PreTrainedTokenizerFast

    marks = {"bos_token": "<s>"} if bos else {}
    PreTrainedTokenizerFast(tokenizer_object=byte_level(["<s>", "</s>"]), eos_token="</s>", **marks).save_pretrained(
        folder
    )
    return folder


@contextmanager
def serving(scoring: Scoring, tokenizer: Any, behaviour: Behaviour) -> Iterator[str]:
    """The URL of a server that runs until the end of the block."""
    server = start(scoring, tokenizer, behaviour)
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def start(scoring: Scoring, tokenizer: Any, behaviour: Behaviour) -> ThreadingHTTPServer:
    lock = threading.Lock()
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    names = [tokenizer.decode([i], skip_special_tokens=False) for i in range(tokenizer.get_vocab_size())]
    names = [tokenizer.id_to_token(i) if i in special else name for i, name in enumerate(names)]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def say(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
            body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def allowed(self) -> bool:
            if behaviour.key is None or self.headers.get("Authorization") == f"Bearer {behaviour.key}":
                return True
            self.say(401, {"error": {"message": f"Incorrect API key: {self.headers.get('Authorization')}"}})
            return False

        def do_GET(self) -> None:
            if self.path.endswith("/models") and self.allowed():
                entry = {"id": behaviour.model, "root": "org/tiny", "max_model_len": behaviour.longest}
                self.say(200, {"data": [entry]})
            elif self.path == "/version":
                self.say(200, {"version": "1.2.3"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                behaviour.times.append(time.monotonic())
                trouble = behaviour.trouble.pop(0) if behaviour.trouble else None
                number = len(behaviour.asked)
                if trouble is None:
                    behaviour.asked.append(body)
                behaviour.at_once += 1
                behaviour.most_at_once = max(behaviour.most_at_once, behaviour.at_once)
            time.sleep(behaviour.delay)
            with lock:  # before the answer, after which the next question may be here before anything else is done
                behaviour.at_once -= 1
            if trouble is not None:
                self.say(trouble[0], trouble[2], trouble[1])
            elif self.allowed():
                self.answer(body, number)

        def answer(self, body: dict[str, Any], number: int) -> None:
            way = "echo" if body.get("echo") else "prompt_logprobs"
            count = body.get("logprobs" if way == "echo" else "prompt_logprobs")
            if behaviour.most is not None and count > behaviour.most:
                words = f"Requested prompt logprobs of {count}, which is greater than max allowed: {behaviour.most}"
                return self.say(400, {"error": {"message": words}})
            count = min(count, behaviour.silent_most or count)
            choices = [
                {"index": i, "text": "", **(spoken(way, ids, count) if way in behaviour.ways else {})}
                for i, ids in enumerate(body["prompt"])
            ]
            answer = {"choices": choices, "model": behaviour.model}
            if behaviour.spoil is not None:
                behaviour.spoil(answer, number)
            return self.say(200, answer)

    def spoken(way: str, ids: list[int], count: int) -> dict[str, Any]:
        rows = scoring(ids)[:-1]
        own = [float(row[token]) for row, token in zip(rows, ids[1:], strict=True)]
        best = [np.argsort(-row, kind="stable")[:count].tolist() for row in rows]
        if way == "echo":
            tops = [
                {name(i): float(row[i]) for i in reversed([*places, token])}
                for row, places, token in zip(rows, best, ids[1:], strict=True)
            ]
            echoed = {
                "tokens": [*map(name, ids), " end"],
                "token_logprobs": [None, *own, -1.0],
                "top_logprobs": [None, *tops, None],
            }
            return {"logprobs": echoed}
        entries = [
            {str(i): {"logprob": float(row[i]), "decoded_token": name(i)} for i in [token, *places]}
            for row, places, token in zip(rows, best, ids[1:], strict=True)
        ]
        return {"prompt_logprobs": [None, *entries], "prompt_token_ids": ids}

    def name(i: int) -> str:
        return names[i] if i < len(names) else ""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server
