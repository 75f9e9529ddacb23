"""Asking a writer so that no answer is paid for twice and none is lost: the journal first, then the budget, then the model."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_letters

from recension.document import JSON
from recension.errors import BudgetError, ModelError, UnansweredError
from recension.identity import fingerprint
from recension.ports import Completion, Request, Writer
from recension.run.journal import ANSWERS, Ledger, Spent, SqliteJournal

LETTERS_A_TOKEN = 2  # few, so that what a prompt may cost is not taken for less than it is
AROUND = 64  # tokens that a chat template may put around the messages
DOUBTED = 64  # rejections in a row that are doubted when a writer gives up
BATCH = 512  # answers in one transaction
MANY = 64  # answers that wait for the disk, from which on it is asked at once
GATHERED = 0.005  # seconds for which more answers are waited for while they come one after the other
_NO_LETTERS = dict.fromkeys(map(ord, f"{ascii_letters} \n"))


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may spend in all, earlier calls included. Prices are for a million tokens."""

    requests: int | None = None
    tokens: int | None = None
    cost: float | None = None
    price_in: float = 0.0
    price_out: float = 0.0
    judge_price_in: float | None = None  # where they are not those of the writer
    judge_price_out: float | None = None

    def price(self, spent: Spent) -> float:
        judge_in = self.price_in if self.judge_price_in is None else self.judge_price_in
        judge_out = self.price_out if self.judge_price_out is None else self.judge_price_out
        read = (spent.prompt_tokens - spent.judge_prompt) * self.price_in + spent.judge_prompt * judge_in
        return (
            read + (spent.written_tokens - spent.judge_written) * self.price_out + spent.judge_written * judge_out
        ) / 1e6

    def exceeded(self, spent: Spent) -> str | None:
        """The limit that `spent` is above, as a flag with its value."""
        if self.requests is not None and spent.requests > self.requests:
            return f"--max-requests {self.requests:,}"
        if self.tokens is not None and spent.prompt_tokens + spent.written_tokens > self.tokens:
            return f"--max-tokens {self.tokens:,}"
        if self.cost is not None and self.price(spent) > self.cost:
            return f"--max-cost {self.cost:g}"
        return None


def request_for(
    spec: Mapping[str, JSON],
    messages: Sequence[Mapping[str, str]],
    sampling: Mapping[str, JSON],
    schema: Mapping[str, JSON] | None = None,
) -> Request:
    """A request whose key holds all that can change its answer: the model and where it runs, the words, the draw."""
    parts: list[JSON] = [dict(spec), [dict(m) for m in messages], dict(sampling), dict(schema) if schema else None]
    return Request(fingerprint(parts), tuple(messages), sampling, schema)


class Answers:
    """One journal and one event loop. `earlier` is the journal of another run, which is read and never written."""

    def __init__(self, folder: Path, budget: Budget | None = None, earlier: Path | None = None) -> None:
        self.journal = SqliteJournal(folder / ANSWERS)
        self.ledger = Ledger(folder, len(self.journal))
        self.spent = self.journal.spent()
        self.asked = 0  # in this session
        self.known = 0
        # A journal that was empty is not asked for what this session never put into it: a look costs as much as a request.
        self._held = None if len(self.journal) else _Keys()
        self._earlier = SqliteJournal(earlier / ANSWERS, lent=True) if earlier is not None else None
        self._budget = budget or Budget()
        self._reserved = Spent()
        self._under_way: dict[str, asyncio.Task[Completion]] = {}
        self._room = asyncio.Condition()
        self._stopped = False
        self._waiting: list[tuple[Completion, bool, asyncio.Future[None]]] = []
        self._kept: deque[tuple[asyncio.Future[None], BaseException | None]] = deque()
        self._flushing: asyncio.Task[None] | None = None
        self._doubtful: list[str] = []
        self._disk = ThreadPoolExecutor(1, "journal")

    async def ask(self, request: Request, writer: Writer | None, judged: bool = False) -> Completion:
        """The answer to a request: from a journal, from one that is under way, or from the writer where there is one.

        What is `judged` is paid for at the judge's prices.
        """
        running = self._under_way.get(request.key)
        if running is None:
            found = self.journal.get(request.key) if self._held is None or request.key in self._held else None
            if found is None and self._earlier is not None:
                found = self._earlier.get(request.key)
            if found is not None:
                self.known += 1
                return found
            if writer is None:
                raise UnansweredError("the journal holds no answer to this request")
            # A task of its own: who asked may be cancelled, what is paid for is kept.
            running = asyncio.get_running_loop().create_task(self._pay(request, writer, judged))
            self._under_way[request.key] = running
            running.add_done_callback(lambda task: self._ended(request.key, task))
        return await asyncio.shield(running)

    def _ended(self, key: str, task: asyncio.Task[Completion]) -> None:
        self._under_way.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen here, for the case that nobody waits any more

    async def stop(self) -> None:
        """Ask nothing any more: who waits for a budget is cancelled."""
        self._stopped = True
        async with self._room:
            self._room.notify_all()

    async def drain(self, seconds: float | None = None) -> int:
        """Wait for what is under way; returns how many answers did not come in time."""
        if not self._under_way:
            return 0
        _, late = await asyncio.wait(list(self._under_way.values()), timeout=seconds)
        for task in late:
            task.cancel()
        if self._flushing is not None:  # what has come is kept, also where nobody waits for it any more
            await asyncio.wait([self._flushing])
        return len(late)

    def close(self, forget: bool = False) -> None:
        """`forget` removes a journal in which nothing ever was, so that a call that failed at once leaves a folder free."""
        self._disk.shutdown(wait=True)
        unused = forget and not (self.ledger.used or len(self.journal))
        self.ledger.close()
        self.journal.close()
        if unused:
            self.ledger.path.unlink(missing_ok=True)
            for ending in ("", "-wal", "-shm"):
                self.journal.path.with_name(self.journal.path.name + ending).unlink(missing_ok=True)
            with suppress(OSError):  # something else is in it
                self.journal.path.parent.rmdir()
        if self._earlier is not None:
            self._earlier.close()

    async def _pay(self, request: Request, writer: Writer, judged: bool) -> Completion:
        held = await self._reserve(request, judged)
        try:
            try:
                answer = _counted(await writer.write(request), held)
            except ModelError as error:
                if not isinstance(error, UnansweredError):  # which is about this one request
                    self._forget()
                raise
            await self._keep(answer, judged)
            if self._held is not None:
                self._held.add(answer.key)
            self._doubt(answer)
            self.asked += 1
            self.spent = _sum(self.spent, _used(answer, judged))
            return answer
        finally:
            if self._limited:
                self._reserved = _sum(self._reserved, held, -1)
                async with self._room:
                    self._room.notify_all()

    def _doubt(self, answer: Completion) -> None:
        """Remember which rejections came last, one after the other."""
        if answer.finish == "rejected":
            self._doubtful = [*self._doubtful[1 - DOUBTED :], answer.key]
        else:
            self._doubtful = []

    def _forget(self) -> None:
        """A writer gives up: if all it did of late was to reject, no text is to blame, and these are asked again."""
        doubtful, self._doubtful = self._doubtful, []
        if doubtful:
            self.journal.forget(doubtful)
        for _ in doubtful:
            self.ledger.failed()

    @property
    def _limited(self) -> bool:
        return not (self._budget.requests is self._budget.tokens is self._budget.cost is None)

    async def _reserve(self, request: Request, judged: bool) -> Spent:
        """Hold back the most that an answer can use; wait for others to give back what they did not use."""
        if not self._limited:
            return Spent()
        told = "".join((*(message["content"] for message in request.messages), str(request.schema or "")))
        written = request.sampling.get("max_tokens")
        most = _spent(_at_most(told) + AROUND, written if isinstance(written, int) else 0, judged)
        async with self._room:
            while (limit := self._budget.exceeded(_sum(_sum(self.spent, self._reserved), most))) is not None:
                if self._reserved.requests == 0:
                    raise BudgetError(
                        f"stopped at {limit}: {self.spent.requests:,} answers, "
                        f"{self.spent.prompt_tokens + self.spent.written_tokens:,} tokens"
                        + (f", {self._budget.price(self.spent):.2f} in money" if self._budget.cost is not None else "")
                        + ("" if limit.startswith("--max-requests") else f", and the next may use {_told(most)}")
                        + "; all of them are kept: the same command with a larger budget goes on"
                    )
                await self._room.wait()
                if self._stopped:
                    raise asyncio.CancelledError
            self._reserved = _sum(self._reserved, most)
        return most

    async def _keep(self, answer: Completion, judged: bool) -> None:
        """On the disk, together with whatever else has come by then."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((answer, judged, done))
        if self._flushing is None or self._flushing.done():
            self._flushing = loop.create_task(self._flush())
        await done

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            kept = [(answer, judged) for answer, judged, _ in batch]
            writing = loop.run_in_executor(self._disk, self.journal.put_all, kept)
            await asyncio.wait([writing])
            error = writing.exception()
            begin = not self._kept
            self._kept.extend((done, error) for *_, done in batch)
            if begin:
                self._hand_on()
            if 0 < len(self._waiting) < MANY:
                await asyncio.sleep(GATHERED)

    def _hand_on(self) -> None:
        """Tell the next who waits that their answer is kept, and the others in the next rounds of the loop.

        What is made of an answer takes longer than sending the next request: if all were told at once, the server would wait.
        """
        done, error = self._kept.popleft()
        if not done.done():
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
        if self._kept:
            asyncio.get_running_loop().call_soon(self._hand_on)


class _Keys:
    """Keys in room that does not grow: one that was added is always known, of others the fewer the longer it is used."""

    def __init__(self) -> None:
        self._bits = bytearray(1 << 23)

    def add(self, key: str) -> None:
        for place in self._places(key):
            self._bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, key: str) -> bool:
        return all(self._bits[place >> 3] >> (place & 7) & 1 for place in self._places(key))

    @staticmethod
    def _places(key: str) -> tuple[int, int]:
        number = hash(key)  # of this process alone, as these bits are
        return number & 0x3FFFFFF, number >> 26 & 0x3FFFFFF


def _at_most(text: str) -> int:
    """Tokens that a text may have: some tokenizers make one of each digit, sign or byte of Chinese, none many of a word."""
    others = text.translate(_NO_LETTERS)
    return (len(text) - len(others)) // LETTERS_A_TOKEN + len(others.encode("utf-8", "replace"))


def _told(most: Spent) -> str:
    return f"{most.prompt_tokens + most.written_tokens:,} tokens"


def _counted(answer: Completion, held: Spent) -> Completion:
    """A server that counts no tokens would never reach a budget: then what was held back counts as used."""
    if answer.usage or answer.finish == "rejected" or not held.requests:
        return answer
    return replace(answer, usage={"prompt_tokens": held.prompt_tokens, "completion_tokens": held.written_tokens})


def _used(answer: Completion, judged: bool) -> Spent:
    usage = answer.usage
    return _spent(int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0), judged)


def _spent(read: int, written: int, judged: bool) -> Spent:
    """By one answer."""
    return Spent(1, read, written, read if judged else 0, written if judged else 0)


def _sum(left: Spent, right: Spent, sign: int = 1) -> Spent:
    return Spent(
        left.requests + sign * right.requests,
        left.prompt_tokens + sign * right.prompt_tokens,
        left.written_tokens + sign * right.written_tokens,
        left.judge_prompt + sign * right.judge_prompt,
        left.judge_written + sign * right.judge_written,
    )
