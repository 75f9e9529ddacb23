"""The event loop, the journal and the models of one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from recension.document import JSON
from recension.errors import BudgetError
from recension.models.chat import Dialect
from recension.models.openai_writer import OpenAIWriter, Traffic
from recension.models.writers import WriterOptions, load_writer
from recension.ports import Writer
from recension.recipes.writing.spec import Calls, WriterSettings
from recension.run.answers import Answers, Budget
from recension.run.manifest import Run
from recension.run.progress import Observer, Progress

Result = TypeVar("Result")

JOURNAL = "journal"
LAST_CALL = 10.0  # seconds that answers under way get after an interrupt


@dataclass(frozen=True, slots=True)
class Models:
    """The writers of a call by name, with what is known of each. Without `writers` only the journal answers."""

    writers: Mapping[str, Writer]
    specs: Mapping[str, Mapping[str, JSON]]


@dataclass
class Session:
    """What a call works with."""

    loop: asyncio.AbstractEventLoop
    answers: Answers
    models: Models = field(default_factory=lambda: Models({}, {}))


class Told:
    """What goes out is entered into the ledger, what a person should know goes to the observer."""

    def __init__(self, answers: Answers, observer: Observer) -> None:
        self._ledger = answers.ledger
        self._observer = observer

    def sent(self) -> None:
        self._ledger.sent()

    def failed(self) -> None:
        self._ledger.failed()

    def note(self, line: str) -> None:
        self._observer.note(line)


class Watching:
    """An observer that also says how the server is doing and what has been spent."""

    def __init__(self, observer: Observer, session: Session, budget: Budget) -> None:
        self._observer = observer
        self._session = session
        self._budget = budget

    def update(self, progress: Progress) -> None:
        answers = self._session.answers
        figures: dict[str, float] = {"answers": answers.spent.requests}
        for writer in self._session.models.writers.values():
            if isinstance(writer, OpenAIWriter):
                figures["at once"] = writer.pace.under_way
        if answers.ledger.retried:
            figures["retries"] = answers.ledger.retried
        if price := self._budget.price(answers.spent):
            figures["cost"] = price
        self._observer.update(replace(progress, figures=figures))

    def note(self, line: str) -> None:
        self._observer.note(line)


def off_loop(work: Callable[[], Result]) -> Result:
    """Do it here; or in a thread, where this one has an event loop running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1) as aside:
        return aside.submit(work).result()


def budget_of(calls: Calls) -> Budget:
    return Budget(calls.max_requests, calls.max_tokens, calls.max_cost, *calls.prices)


def options_of(writing: WriterSettings, calls: Calls) -> WriterOptions:
    traffic = Traffic(calls.concurrency, calls.timeout, calls.attempts, calls.patience)
    return WriterOptions(traffic, calls.api_key_variable, writing.device, writing.dtype)


def options_by_name(writing: WriterSettings, calls: Calls, judge: str | None) -> dict[str, WriterOptions]:
    """How each writer of a call is run. A judge on another server has a key of its own; one that writes too has but one."""
    options = options_of(writing, calls)
    named = {writing.writer: options}
    if judge is not None:
        named.setdefault(judge, replace(options, api_key_variable=calls.judge_key_variable or calls.api_key_variable))
    return named


@contextmanager
def opened(out: Path, calls: Calls, observer: Observer, earlier: Path | None = None) -> Iterator[Session]:
    """A session over the journal of a run; what is under way at its end is waited for and kept."""
    loop = asyncio.new_event_loop()
    answers = Answers(out / JOURNAL, budget_of(calls), earlier / JOURNAL if earlier else None)
    session = Session(loop, answers)
    patient = False
    try:
        if answers.ledger.lost:
            observer.note(
                f"{answers.ledger.lost:,} requests were under way when earlier calls were cut off: they may be paid for twice"
            )
        yield session
        patient = True
    except BudgetError:
        patient = True
        raise
    finally:
        if not patient:  # no answer that nobody waits for is asked for any more
            loop.run_until_complete(answers.stop())
            for writer in session.models.writers.values():
                if isinstance(writer, OpenAIWriter):
                    writer.pace.end()
        late = loop.run_until_complete(answers.drain(None if patient else LAST_CALL))
        if late:
            observer.note(f"{late:,} answers under way were left: they are asked for again")
        for writer in session.models.writers.values():
            loop.run_until_complete(writer.close())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        answers.close(forget=not patient)


def models_of(run: Run, session: Session, options: Mapping[str, WriterOptions], observer: Observer) -> Models:
    """Load the writers; what a server knows of the API is learnt once for a run, and part of its keys from then on."""
    writers: dict[str, Writer] = {}
    told = Told(session.answers, observer)
    session.models = Models(writers, {})
    for name in options:
        writers[name] = load_writer(name, options[name], told)
    known: Any = run.manifest.decided.get("dialects", {})
    learnt = dict(known)
    for name, writer in writers.items():
        if isinstance(writer, OpenAIWriter):
            if name in known:
                writer.dialect = Dialect(**known[name])
                continue
            dialect = session.loop.run_until_complete(writer.learn())
            learnt[name] = dialect.to_json()
            if not dialect.schema:
                observer.note(f"{writer.name}: the server knows no JSON schemas; answers are read as they come")
    if learnt != known:  # all at once: a judge that was named wrongly leaves the folder free
        run.decide("dialects", learnt)
    session.models = Models(writers, {name: writer.spec for name, writer in writers.items()})
    return session.models
