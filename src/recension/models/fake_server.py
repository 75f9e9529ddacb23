"""A server with the protocol of OpenAI's API and no model: for tests, examples and benchmarks, and able to misbehave.

    with FakeServer(latency=0.05, faults=Faults({"429": 0.1, "cut": 0.1})) as server:
        ...  # talk to server.url
    server.counts.completed

It listens on this machine only. As a process of its own, which outlives a client that is killed:

    python -m recension.models.fake_server --latency 0.05 --room 1000 --faults 0.3 --seed 0

What it answers is a function of the request (`fake_answers`), how it fails one of request and attempt (`fake_faults`), and what
was asked and answered is counted: `counts`, or GET /counts.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recension.models.fake_answers import written
from recension.models.fake_desk import Counts, Desk, Manners
from recension.models.fake_faults import Faults, read_shares

__all__ = ["Counts", "FakeServer", "Faults"]


@dataclass(eq=False)
class FakeServer:
    """The server in a thread of this process; a context manager.

    `answer` gives the text of an answer from the body of the request. `latency` is the seconds an answer takes, with `spread`
    the median of a log-normal law. More than `room` requests at once get a 429. `context` is the most tokens (four characters
    each) of prompt and answer. `key` is asked for as a bearer token. `idempotent` servers send the answer of an
    Idempotency-Key again without counting it anew. Servers without `schemas` refuse `response_format` with status `unknown`;
    without `stops` they leave stop words in an answer.
    """

    answer: Callable[[Mapping[str, Any]], str] = written
    faults: Faults = field(default_factory=Faults)
    latency: float = 0.0
    spread: float = 0.0
    room: int | None = None
    context: int | None = None
    key: str | None = None
    idempotent: bool = False
    schemas: bool = True
    stops: bool = True
    unknown: int = 400
    retry_after: float = 0.05
    slow: float = 1.0
    deaf: float = 0.5
    model: str = "fake"
    port: int = 0
    log: Path | None = None
    _desk: Desk = field(init=False, repr=False)
    _loop: asyncio.AbstractEventLoop | None = field(init=False, repr=False, default=None)
    _thread: threading.Thread | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        manners = {name: getattr(self, name) for name in Manners.__dataclass_fields__}
        self._desk = Desk(Manners(**manners))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def counts(self) -> Counts:
        """What was asked and answered so far."""
        if self._loop is None:
            return self._desk.told()

        async def told() -> Counts:
            return self._desk.told()

        return asyncio.run_coroutine_threadsafe(told(), self._loop).result()

    def start(self) -> FakeServer:
        listener = self._listen()
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listener, ready), daemon=True)
        self._thread.start()
        ready.wait()
        return self

    def stop(self) -> None:
        """Break off everything under way, and listen no more."""
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop = self._thread = None

    def serve(self) -> None:
        """Be the server in this thread until SIGTERM or SIGINT; the URL is the first line on standard output."""
        self._loop = asyncio.new_event_loop()
        listener = self._listen()
        for ending in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(ending, self._loop.stop)
        sys.stdout.write(f"{self.url}\n")
        sys.stdout.flush()
        self._run(listener, threading.Event())

    def __enter__(self) -> FakeServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _listen(self) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", self.port), backlog=4096)
        self.port = listener.getsockname()[1]
        return listener

    def _run(self, listener: socket.socket, ready: threading.Event) -> None:
        loop = self._loop
        assert loop is not None
        try:
            loop.run_until_complete(self._desk.open(listener))
            ready.set()
            loop.run_forever()
            loop.run_until_complete(self._desk.close())
        finally:
            loop.close()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        "python -m recension.models.fake_server", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--port", type=int, default=0, help="0 for any that is free")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that an answer takes")
    parser.add_argument("--spread", type=float, default=0.0, help="sigma of a log-normal law about it")
    parser.add_argument("--room", type=int, help="most requests at once before it says 429")
    parser.add_argument("--context", type=int, help="most tokens of prompt and answer")
    parser.add_argument("--faults", default="", help="share of failing attempts, 0.3, or by kind: 429=0.1,cut=0.05")
    parser.add_argument("--worst", type=int, default=5, help="attempts of one request that may fail")
    parser.add_argument("--seed", type=int, default=0, help="of the faults and the latency")
    parser.add_argument("--idempotent", action="store_true", help="honour Idempotency-Key")
    parser.add_argument("--slow", type=float, default=1.0, help="seconds of a slow answer")
    parser.add_argument("--deaf", type=float, default=0.5, help="seconds without listening")
    parser.add_argument("--text", help="answer every request with this")
    parser.add_argument("--log", type=Path, help="a line of JSON for every request")
    given = vars(parser.parse_args(arguments))
    text, shares, worst = given.pop("text"), given.pop("faults"), given.pop("worst")
    faults = Faults(read_shares(shares), worst=worst, seed=given.pop("seed"))
    _allow_connections()
    FakeServer(answer=written if text is None else lambda body: text, faults=faults, **given).serve()


def _allow_connections() -> None:
    """As many open sockets as this process may have; the usual limit is 1,024."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
