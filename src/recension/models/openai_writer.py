"""Models behind servers with OpenAI's chat API, as writers: `openai:MODEL@URL`."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import msgspec

from recension.document import JSON
from recension.errors import ModelError, UnansweredError
from recension.models.answering import before_stop, now
from recension.models.chat import Dialect, body_of, final_refusal, read_chat
from recension.models.endpoint import BUSY, Reply, in_words, said, seconds
from recension.models.pace import Pace
from recension.models.wire import BrokenWireError
from recension.models.wires import Wires
from recension.ports import Completion, Request

TOO_MUCH = frozenset({408, 425, 429, 503, 504, 529})  # says that fewer at once would help
FINAL = frozenset({400, 413, 422, 451})  # the request is to blame; with all others it is the account or the server
SLOW = frozenset({408, 504})  # and may be about the request all the same
LARGEST = 32 << 20  # bytes of an answer
LONGEST_PAUSE = 30.0
STUMBLES = 4  # errors of the server in a row that are about the request and not about its day
REMEMBERED = 4_096  # answers
REAL_KEY = 16  # characters; a shorter one, such as "none", is a word that answers may hold
UNWANTED = 20  # requests that a server rejects in a row, before that is no matter of the single request any more
BETWEEN = 0.25  # seconds that may pass between the end of an answer and our seeing it


@dataclass(frozen=True, slots=True)
class Traffic:
    """How a server is asked. None of it can change an answer.

    `attempts` are those of one request while others are answered; a server that answers nobody is waited for up to
    `patience` seconds.
    """

    concurrency: int = 256
    timeout: float = 300.0
    attempts: int = 12
    patience: float = 300.0
    first_pause: float = 0.5


class Trouble(NamedTuple):
    """Why there is no answer this time. `crowded` where fewer requests at once would help, `slow` where one took too long."""

    words: str
    crowded: bool = False
    wait: float | None = None
    slow: bool = False


class Watch(Protocol):
    """Told of every request that goes out, and of each that failed and may go out again; and of what a person should know."""

    def sent(self) -> None: ...

    def failed(self) -> None: ...

    def note(self, line: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Aside:
    """Passes on what a person should know, and counts nothing: what a probe asks is no part of the work."""

    watch: Watch

    def sent(self) -> None:
        pass

    def failed(self) -> None:
        pass

    def note(self, line: str) -> None:
        self.watch.note(line)


class OpenAIWriter:
    """Asks until there is an answer; says which requests can never have one."""

    def __init__(self, model: str, url: str, key: str | None, traffic: Traffic, watch: Watch) -> None:
        self.name = f"openai:{model}"
        self.model = model
        self.url = url
        self.dialect = Dialect()
        self.pace = Pace(traffic.concurrency)
        self.troubles: dict[str, int] = {}
        self._key = key
        self._traffic = traffic
        self._watch = watch
        self._wires = self._opened()
        self._retired: list[Wires] = []
        self._twice = Twice()
        self._last_answer = time.monotonic()
        self._told_down = False
        self._rejected = 0  # in a row
        self._looking = asyncio.Lock()

    @property
    def spec(self) -> Mapping[str, JSON]:
        return {"kind": "openai", "model": self.model, "url": self.url, "dialect": self.dialect.to_json()}

    async def learn(self) -> Dialect:
        """Which words the server knows: tried once on a request of a few tokens, from the fullest to the plainest."""
        refused, watch = "", self._watch
        self._watch = _Aside(watch)
        try:
            for dialect in Dialect.ladder():
                self.dialect = dialect
                answer = await self._tried(_probe())
                if answer is not None and answer.finish != "rejected":
                    return dialect
                refused = "500" if answer is None else str(answer.raw.get("error"))
        finally:
            self._watch = watch
        raise ModelError(f"{self.name}: the server refuses the plainest request ({refused})")

    async def _tried(self, request: Request) -> Completion | None:
        """None where the server breaks down over it each time, as llama.cpp's in Python does over words unknown to it."""
        body = msgspec.json.encode(body_of(self.model, request, self.dialect))
        for attempt in range(STUMBLES):
            found = await self._once(request.key, body)
            if isinstance(found, Completion):
                self._last_answer = time.monotonic()
                return found
            if found.words != "500":
                return await self.write(request)
            await asyncio.sleep(self._traffic.first_pause * attempt)
        return None

    async def write(self, request: Request) -> Completion:
        body = msgspec.json.encode(body_of(self.model, request, self.dialect))
        began = time.monotonic()
        attempt = tries = 0
        while True:
            async with self.pace.slot() as leave:
                self._watch.sent()
                try:
                    found = await self._once(request.key, body, leave)
                    if isinstance(found, Completion):
                        self._check_wanted(found)
                except ModelError:
                    self._watch.failed()  # an answer all the same: nothing is under way any more
                    raise
            if isinstance(found, Completion):
                self._answered(found.seconds)
                return _stopped(found, request)
            self._watch.failed()
            self.troubles[found.words] = self.troubles.get(found.words, 0) + 1
            tries += 1
            if found.crowded:
                self.pace.refused(found.wait)
            if found.slow or not found.crowded:
                attempt += 1
            if self._silent(began) > self._traffic.patience:
                await self._look(found, began)
                attempt = max(attempt, tries)  # the server is well: it is this request
            self._give_up(found, attempt, began)
            pause = min(self._traffic.first_pause * 2 ** min(attempt, 8), LONGEST_PAUSE)
            await self.pace.rest(random.uniform(0.3, 1.0) * pause)

    async def close(self) -> None:
        for wires in (*self._retired, self._wires):
            await wires.close()

    def _answered(self, took: float) -> None:
        self.pace.answered(took)
        self._last_answer = time.monotonic()
        if self._told_down:
            self._told_down = False
            self._watch.note(f"{self.name}: the server answers again")

    def _silent(self, began: float) -> float:
        return time.monotonic() - max(self._last_answer, began)

    async def _look(self, trouble: Trouble, began: float) -> None:
        """Whether a server that answered nobody for so long is dead, or only cannot answer what it is asked now."""
        async with self._looking:
            silent = self._silent(began)
            if silent <= self._traffic.patience:
                return
            found = await self._once("probe", msgspec.json.encode(body_of(self.model, _probe(), self.dialect)))
            if isinstance(found, Trouble) or found.finish == "rejected":
                raise ModelError(
                    f"{self.name}: no answer from {self.url} for {silent:.0f} s ({trouble.words}); is the server up? All "
                    "answers so far are kept: the same command goes on"
                )
            self._last_answer = time.monotonic()

    def _give_up(self, trouble: Trouble, attempt: int, began: float) -> None:
        """One request that fails while others are answered is given up."""
        silent = self._silent(began)
        if silent > 10.0 and not self._told_down:
            self._told_down = True
            left = max(self._traffic.patience - silent, 0.0)
            self._watch.note(
                f"{self.name}: {self.url} does not answer ({trouble.words}); waiting up to {left:.0f} s more"
            )
        if attempt >= self._traffic.attempts and self._last_answer > began:
            raise UnansweredError(f"no answer in {attempt} attempts ({trouble.words})")

    def _check_wanted(self, found: Completion) -> None:
        """A server that rejects one request after the other is set up otherwise than we ask: no text is to blame for that."""
        unwanted = found.finish == "rejected" and found.raw.get("why") == "rejected"
        self._rejected = self._rejected + 1 if unwanted else 0
        if self._rejected >= UNWANTED:
            raise ModelError(
                f"{self.name}: {self.url} rejected {self._rejected} requests in a row ({found.raw.get('error')}): see to "
                "what it accepts; all answers so far are kept"
            )

    async def _once(self, key: str, body: bytes, leave: Callable[[], None] | None = None) -> Completion | Trouble:
        """An answer, or why there is none. `leave` is called as soon as either is here."""
        wires, sent = self._wires, time.monotonic()
        try:
            status, headers, raw, took = await wires.post(key, body, leave)
        except TimeoutError:
            return Trouble(f"no answer within {self._traffic.timeout:g} s", crowded=True, slow=True)
        except BrokenWireError as error:
            return Trouble(str(error))
        except OSError as error:
            return Trouble(in_words(error))
        if raw is None:
            return Trouble(f"an answer of more than {LARGEST >> 20} MiB")
        if self._key and len(self._key) >= REAL_KEY:  # a server that repeats its request would bring it to the disk
            raw = raw.replace(self._key.encode(), b"***")
        if status < 300:
            found = self._checked(read_chat(key, raw), wires, sent)
        else:
            wait = seconds(headers.get(b"retry-after", b"").decode("latin-1"))
            found = self._refused(key, Reply(status, raw), wait)
        return _stamped(found, took) if isinstance(found, Completion) else found

    def _checked(self, answer: Completion | None, wires: Wires, sent: float) -> Completion | Trouble:
        """An answer, unless it belongs to another request.

        A server that sends an answer twice gives the second one to whatever is asked next on that connection, and everything
        after it to the wrong request. So no connection of that time is used any more, and what was just sent is asked again.
        """
        if answer is None:
            return Trouble("an answer that is no chat completion")
        if self._twice.came_before(answer):
            self._twice.since = time.monotonic() - BETWEEN
            if wires is self._wires:
                self._retired.append(wires)
                wires.retire()
                self._wires = self._opened()
            return Trouble("the answer to another request")
        if wires is not self._wires and sent >= self._twice.since:
            return Trouble("an answer on a connection that mixed them up")
        return answer

    def _refused(self, key: str, reply: Reply, wait: float | None) -> Completion | Trouble:
        status = reply.status
        if status < 400:
            raise ModelError(f"{self.name}: {self.url} redirects ({status}); give the URL it leads to")
        if status in (401, 403):
            # Not quoted: some servers repeat a part of the key.
            given = "refuses the key" if self._key else "asks for a key, and there is none"
            raise ModelError(f"{self.name}: {self.url} {given} ({status}); see --api-key-variable")
        if status in BUSY or status >= 500:
            if wait is not None and wait > self._traffic.patience:
                raise ModelError(f"{self.name}: the server asks to wait {wait:.0f} s ({said(reply, self._key)})")
            return Trouble(str(status), status in TOO_MUCH, wait, status in SLOW)
        if status in (404, 405):
            raise ModelError(f"{self.name}: {self.url} knows no such model or no chat ({said(reply, self._key)})")
        if status not in FINAL:
            raise ModelError(
                f"{self.name}: {self.url} answers nobody like this ({said(reply, self._key)}); all answers so far are kept: "
                "the same command goes on"
            )
        return final_refusal(key, reply, said(reply, self._key))

    def _opened(self) -> Wires:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "recension"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return Wires(f"{self.url}/chat/completions", headers, self._traffic.timeout, LARGEST)


class Twice:
    """Knows the ids of the last answers, by which one that comes a second time is seen."""

    def __init__(self) -> None:
        self.since = float("inf")  # what was sent from then on, on connections of that time, may get another's answer
        self._known: OrderedDict[str, tuple[str, bytes]] = OrderedDict()  # key and digest: texts may be long
        self._telling = True

    def came_before(self, answer: Completion) -> bool:
        """Whether this very answer was that of another request. Servers whose ids are all alike are left alone."""
        number = str(answer.raw.get("id") or "")
        if not number or not self._telling:
            return False
        digest = hashlib.blake2b(answer.text.encode(), digest_size=16).digest()
        key, known = self._known.setdefault(number, (answer.key, digest))
        if key == answer.key:
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            return False
        self._telling = known == digest
        return self._telling


def _probe() -> Request:
    """The plainest request that knows all words we use."""
    schema: dict[str, JSON] = {
        "type": "object",
        "properties": {"word": {"type": "string"}},
        "required": ["word"],
        "additionalProperties": False,
    }
    messages = ({"role": "user", "content": 'Answer with the JSON object {"word": "yes"} and nothing else.'},)
    sampling: dict[str, JSON] = {"temperature": 0.7, "top_p": 0.9, "max_tokens": 16, "seed": 1}
    return Request("probe", messages, sampling, schema)


def _stopped(answer: Completion, request: Request) -> Completion:
    """The text before a word that stops it; some servers leave the word there."""
    before = before_stop(answer.text, request)
    return answer if before is None else replace(answer, text=before, finish="stop")


def _stamped(answer: Completion, took: float) -> Completion:
    told = (answer.key, answer.text, answer.finish, answer.raw, answer.usage, answer.model)
    return Completion(*told, seconds=round(took, 4), at=now())
