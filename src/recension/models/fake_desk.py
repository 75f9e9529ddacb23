"""The desk of the fake server: takes requests, counts them, and answers or fails as told. Lives in one event loop."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any, TextIO

import msgspec

from recension.models.fake_faults import ANSWERED, Faults, uniform
from recension.models.fake_replies import (
    REFUSALS,
    Reply,
    completion,
    error,
    failing,
    prompt_of,
    sent,
    tokens,
)

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_BEARER = re.compile(rb"\r\nauthorization:[ \t]*bearer[ \t]+(\S+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
_IDEMPOTENCY = re.compile(rb"\r\nidempotency-key:[ \t]*(\S+)", re.IGNORECASE)


@dataclass
class Counts:
    """What was asked and answered. A full answer is completed also where it was bad (empty, truncated, refused) or late."""

    received: int = 0
    completed: int = 0
    replayed: int = 0  # answers to an Idempotency-Key sent again: not in `completed`
    lost: int = 0  # the client went away before its answer
    connections: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    began: float = 0.0  # the first request, and the last full answer, on a clock of the server
    ended: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)  # by kind, those that give an answer included
    by_request: dict[str, int] = field(default_factory=dict)  # completed answers by the hash of the request's body

    @property
    def unique(self) -> int:
        """Requests that were answered in full at least once."""
        return len(self.by_request)

    @property
    def seconds(self) -> float:
        """From the first request to the last full answer."""
        return max(self.ended - self.began, 0.0)

    @property
    def failed(self) -> int:
        """Attempts that got no full answer."""
        return sum(count for kind, count in self.faults.items() if kind not in ANSWERED)


@dataclass(frozen=True)
class Manners:
    """How the server behaves; `FakeServer` says what each means."""

    answer: Callable[[Mapping[str, Any]], str]
    faults: Faults
    latency: float
    spread: float
    room: int | None
    context: int | None
    key: str | None
    idempotent: bool
    schemas: bool
    stops: bool
    unknown: int
    retry_after: float
    slow: float
    deaf: float
    model: str
    log: Path | None


@dataclass(slots=True)
class _Ask:
    """One attempt of one request."""

    body: bytes
    request: bytes
    chat: bool
    attempt: int = 0
    fault: str = ""
    name: bytes = b""  # its Idempotency-Key
    last: bool = False  # the client wants the connection closed after it
    timer: asyncio.TimerHandle | None = None


class Connection(asyncio.BufferedProtocol):
    """HTTP/1.1 with keep-alive, one request at a time."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._buffer = b""
        self.asking: _Ask | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._desk.arrive(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._desk.leave(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._desk.room  # shared: it is read before anything else is received

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._desk.room[:nbytes])
        self._buffer = self._buffer + data if self._buffer else data
        if self.asking is None:
            self.read_on()

    def read_on(self) -> None:
        """Take the next request out of the buffer, if it is there in full."""
        while self.asking is None and self._buffer and not self.transport.is_closing():
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(self._buffer, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                return
            head, body = self._buffer[:end], self._buffer[end + 4 : whole]
            self._buffer = self._buffer[whole:]
            self._desk.take(self, head, body)

    def say(self, reply: Reply) -> None:
        self.transport.write(sent(reply))


class Desk:
    """Everything the connections share."""

    def __init__(self, manners: Manners) -> None:
        self._manners = manners
        self._counts = Counts()
        self.room = memoryview(bytearray(1 << 16))
        self._by_request: dict[bytes, int] = {}
        self._attempts: dict[bytes, int] = {}
        self._named: dict[bytes, bytes] = {}
        self._connections: set[Connection] = set()
        self._listener: asyncio.Server | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._port = 0
        self._log: TextIO | None = None

    async def open(self, listener: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._port = listener.getsockname()[1]
        if self._manners.log is not None and self._log is None:
            self._log = self._manners.log.open("a", encoding="utf-8", buffering=1)
        self._listener = await self._loop.create_server(lambda: Connection(self), sock=listener, backlog=4096)

    async def close(self) -> None:
        if self._reopening is not None:
            self._reopening.cancel()
        self._hang_up()
        await asyncio.sleep(0)  # connections are told of their end in the next turn
        if self._log is not None:
            self._log.close()
            self._log = None

    def told(self) -> Counts:
        return replace(
            self._counts,
            faults=dict(self._counts.faults),
            by_request={request.hex(): count for request, count in self._by_request.items()},
        )

    def arrive(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._counts.connections += 1

    def leave(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if connection.asking is not None:
            ask, connection.asking = connection.asking, None
            if ask.timer is not None:
                ask.timer.cancel()
            self._counts.in_flight -= 1
            self._counts.lost += 1
            self._note(ask, "lost")

    def take(self, connection: Connection, head: bytes, body: bytes) -> None:
        """One request that came in full."""
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method == b"GET":
            connection.say(self._get(path))
            if _CLOSE.search(head):
                connection.transport.close()
            return
        if path not in (b"/v1/chat/completions", b"/v1/completions"):
            connection.say(error(404, "Not Found", "not_found"))
            return
        if self._manners.key is not None:
            given = _BEARER.search(head)
            if given is None or given[1] != self._manners.key.encode():
                shown = given[1].decode() if given else ""  # as some servers do, to the shame of whoever logs it
                connection.say(error(401, f"Incorrect API key provided: {shown}", "invalid_api_key"))
                return
        ask = _Ask(body, hashlib.blake2b(body, digest_size=16).digest(), path == b"/v1/chat/completions")
        name = _IDEMPOTENCY.search(head) if self._manners.idempotent else None
        ask.name = name[1] if name else b""
        ask.last = _CLOSE.search(head) is not None
        self._accept(connection, ask)

    def _get(self, path: bytes) -> Reply:
        if path.endswith(b"/models"):
            entry = {"id": self._manners.model, "object": "model", "owned_by": "recension"}
            return Reply(200, {"object": "list", "data": [entry | {"max_model_len": self._manners.context}]})
        if path.endswith(b"/counts"):
            told = self.told()
            return Reply(
                200,
                {**msgspec.to_builtins(told), "unique": told.unique, "failed": told.failed, "seconds": told.seconds},
            )
        return Reply(200, {"status": "ok"}) if path.endswith(b"/health") else error(404, "Not Found", "not_found")

    def _accept(self, connection: Connection, ask: _Ask) -> None:
        counts, manners = self._counts, self._manners
        number = counts.received
        counts.received += 1
        if number == 0:
            counts.began = time.monotonic()
        if manners.room is not None and counts.in_flight >= manners.room:
            self._count_fault(ask, "room")
            connection.say(error(429, "Too many requests at once", "rate_limit_exceeded"))
            return
        counts.in_flight += 1
        counts.most_in_flight = max(counts.most_in_flight, counts.in_flight)
        connection.asking = ask
        if self._named.get(ask.name, ask.request) != ask.request:
            self._end(connection, ask)
            connection.say(error(422, "This Idempotency-Key belongs to another request", "idempotency_error"))
            return
        ask.attempt = self._attempts.get(ask.request, 0)
        self._attempts[ask.request] = ask.attempt + 1
        if ask.name not in self._named:
            ask.fault = manners.faults.choose(number, ask.request, ask.attempt)
        if ask.fault:
            self._count_fault(ask, ask.fault)
        if ask.fault == "hang":
            return  # until the client has had enough
        wait = self._wait(ask)
        if wait <= 0:
            self._finish(connection, ask)
        else:
            ask.timer = self._loop.call_later(wait, self._finish, connection, ask)

    def _wait(self, ask: _Ask) -> float:
        manners = self._manners
        if ask.fault in REFUSALS:
            return 0.0
        wait = manners.slow if ask.fault == "slow" else manners.latency
        if manners.spread:
            normal = NormalDist().inv_cdf(
                min(max(uniform(manners.faults.seed, ask.request, -1 - ask.attempt), 1e-9), 1 - 1e-9)
            )
            wait *= math.exp(manners.spread * normal)
        return wait

    def _finish(self, connection: Connection, ask: _Ask) -> None:
        ask.timer = None
        if ask.fault == "deaf":
            self._end(connection, ask)
            self._hang_up()
            self._reopening = self._loop.create_task(self._reopen())
            return
        if ask.fault == "reset":
            self._end(connection, ask)
            _reset(connection.transport)
            return
        reply = failing(ask.fault, self._manners.retry_after)
        if reply is None:
            reply = self._answer(ask)
        whole = sent(reply)
        if ask.fault in ("cut", "half-json"):
            half = replace(reply, body=reply.encoded()[: len(reply.encoded()) // 2])
            whole = sent(half) if ask.fault == "half-json" else whole[: len(whole) - len(half.encoded())]
        if reply.status == 200 and ask.fault in ("", *ANSWERED):
            self._count_answer(ask, reply)
        self._end(connection, ask)
        connection.transport.write(whole * 2 if ask.fault == "duplicate" else whole)
        if ask.fault == "cut" or ask.last:
            connection.transport.close()
        connection.read_on()

    def _answer(self, ask: _Ask) -> Reply:
        try:
            body = msgspec.json.decode(ask.body)
        except msgspec.DecodeError as problem:
            return error(400, f"The body is no JSON: {problem}", "invalid_request_error")
        if not isinstance(body, dict) or not (body.get("messages") if ask.chat else body.get("prompt")):
            return error(400, "A request needs messages or a prompt", "invalid_request_error")
        if body.get("stream"):
            return error(400, "This server does not stream", "unsupported_parameter")
        if body.get("response_format") and not self._manners.schemas:
            return error(self._manners.unknown, "Unknown parameter: 'response_format'", "unknown_parameter")
        if not self._manners.stops:
            body["stop"] = None
        prompt = tokens(prompt_of(body))
        context, wanted = self._manners.context, body.get("max_tokens") or body.get("max_completion_tokens") or 0
        if ask.fault == "rejected" or (context is not None and prompt + wanted > context):
            most = f"This model's maximum context length is {context or prompt // 2} tokens."
            return error(400, f"{most} However, you requested {prompt + wanted} tokens", "context_length_exceeded")
        name = f"fake-{ask.request.hex()}-{ask.attempt}"
        return completion(body, self._manners.answer, name, ask.fault)

    def _count_answer(self, ask: _Ask, reply: Reply) -> None:
        if ask.name in self._named:
            self._counts.replayed += 1
            return
        if ask.name:
            self._named[ask.name] = ask.request
        self._counts.completed += 1
        self._counts.ended = time.monotonic()
        self._counts.prompt_tokens += reply.body["usage"]["prompt_tokens"]
        self._counts.completion_tokens += reply.body["usage"]["completion_tokens"]
        self._by_request[ask.request] = self._by_request.get(ask.request, 0) + 1

    def _count_fault(self, ask: _Ask, kind: str) -> None:
        self._counts.faults[kind] = self._counts.faults.get(kind, 0) + 1
        if kind == "room":
            self._note(ask, kind)

    def _end(self, connection: Connection, ask: _Ask) -> None:
        connection.asking = None
        self._counts.in_flight -= 1
        self._note(ask, ask.fault or "answered")

    def _note(self, ask: _Ask, outcome: str) -> None:
        if self._log is not None:
            line = {"time": time.time(), "request": ask.request.hex(), "attempt": ask.attempt, "outcome": outcome}
            self._log.write(msgspec.json.encode(line).decode() + "\n")

    def _hang_up(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in list(self._connections):
            connection.transport.abort()

    async def _reopen(self) -> None:
        await asyncio.sleep(self._manners.deaf)
        await self.open(socket.create_server(("127.0.0.1", self._port), backlog=4096))


def _reset(transport: asyncio.Transport) -> None:
    """Closed with a reset instead of an end."""
    connected = transport.get_extra_info("socket")
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
