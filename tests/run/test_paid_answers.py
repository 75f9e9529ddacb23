"""Answers are on the disk before anybody reads them, paid for once, and never dearer than the budget."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest

from recension.errors import BudgetError, ModelError, OutputError, UnansweredError
from recension.models.fake import FakeWriter, MemoryJournal
from recension.models.fake_server import FakeServer
from recension.models.openai_writer import OpenAIWriter, Traffic
from recension.ports import Completion, Journal, Request
from recension.recipes.writing.session import Told
from recension.run.answers import Answers, Budget, request_for
from recension.run.journal import ANSWERS, Ledger, Spent, SqliteJournal, journal_problems
from recension.run.progress import Silent


def completion(key: str, text: str = "yes") -> Completion:
    return Completion(key, text, "stop", {"choices": [{"text": text}]}, {"completion_tokens": 1})


@pytest.fixture(params=["memory", "sqlite"])
def journal(request, tmp_path):
    return MemoryJournal() if request.param == "memory" else SqliteJournal(tmp_path / "journal" / ANSWERS)


def test_a_journal_keeps_the_first_answer_to_a_key(journal):
    assert isinstance(journal, Journal) and journal.get("a") is None and len(journal) == 0
    journal.put(completion("a"))
    journal.put(completion("a", "another"))
    journal.put(completion("b", "Größe 🙂"))
    assert journal.get("a") == completion("a") and journal.get("b").text == "Größe 🙂" and len(journal) == 2


DIE = (
    "import os, signal, sys\nfrom pathlib import Path\n"
    "from recension.run.journal import SqliteJournal\nfrom recension.ports import Completion\n"
    "journal = SqliteJournal(Path(sys.argv[1]))\n"
    "for i in range(20):\n    journal.put(Completion(str(i), 'x', 'stop', {}))\n"
    "os.kill(os.getpid(), signal.SIGKILL)\n"
)


def test_an_answer_that_was_put_survives_a_kill(tmp_path):
    path = tmp_path / "j.sqlite"
    done = subprocess.run([sys.executable, "-c", DIE, str(path)])
    assert done.returncode == -signal.SIGKILL
    assert len(SqliteJournal(path)) == 20


def test_a_journal_says_what_was_spent_and_what_was_damaged(tmp_path):
    journal = SqliteJournal(tmp_path / ANSWERS)
    used = {"prompt_tokens": 3, "completion_tokens": 4}
    journal.put_all([(Completion(str(i), "x", "stop", {}, used), i == 4) for i in range(5)])
    assert journal.spent() == Spent(5, 15, 20, 3, 4) and [answer.key for answer in journal] == list("01234")
    journal.close()
    assert list(journal_problems(tmp_path)) == []
    lent = SqliteJournal(tmp_path / ANSWERS, lent=True)
    assert lent.get("3").text == "x" and len(lent) == 5 and [path.name for path in tmp_path.iterdir()] == [ANSWERS]
    with pytest.raises(OutputError, match="readonly"):
        lent.put(completion("new"))
    lent.close()
    with sqlite3.connect(tmp_path / ANSWERS) as connection:
        connection.execute("UPDATE answers SET answer = x'00' WHERE key = '3'")
    connection.close()
    assert "1 answers are not what was written" in next(journal_problems(tmp_path))
    damaged = SqliteJournal(tmp_path / ANSWERS)
    with pytest.raises(OutputError, match="it was damaged"):
        damaged.get("3")
    assert damaged.get("2").text == "x"
    damaged.close()


def test_a_journal_from_before_judges_had_prices_goes_on(tmp_path):
    path = tmp_path / ANSWERS
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE answers (key TEXT PRIMARY KEY, prompt INTEGER, written INTEGER, digest BLOB, answer BLOB)"
        )
        connection.execute("INSERT INTO answers VALUES ('old', 7, 9, x'00', x'00')")
    connection.close()
    lent = SqliteJournal(path, lent=True)
    assert lent.spent() == Spent(1, 7, 9)
    lent.close()
    journal = SqliteJournal(path)
    journal.put(Completion("new", "x", "stop", {}, {"prompt_tokens": 1, "completion_tokens": 2}), judged=True)
    assert journal.spent() == Spent(2, 8, 11, 1, 2) and journal.get("new").text == "x"
    journal.close()


def test_a_journal_that_is_none_is_said_in_one_line(tmp_path):
    (tmp_path / ANSWERS).write_bytes(b"no database at all, and long enough to be taken for one " * 20)
    for lent in (True, False):
        with pytest.raises(OutputError, match="journal"):
            SqliteJournal(tmp_path / ANSWERS, lent=lent)


def test_what_a_judge_reads_and_writes_has_its_own_price():
    spent = Spent(2, 3_000_000, 2_000_000, 1_000_000, 500_000)
    assert Budget(price_in=1.0, price_out=2.0).price(spent) == 7.0
    assert Budget(price_in=1.0, price_out=2.0, judge_price_in=10.0, judge_price_out=0.0).price(spent) == 2 + 10 + 3


def test_a_batch_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    journal = SqliteJournal(tmp_path / ANSWERS)
    with sqlite3.connect(tmp_path / ANSWERS) as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON answers WHEN NEW.key = 'b' "
                           "BEGIN SELECT RAISE(FAIL, 'the disk is full'); END")  # fmt: skip
    connection.close()
    with pytest.raises(OutputError, match="the disk is full"):
        journal.put_all([(completion("a"), False), (completion("b"), False)])
    assert len(journal) == 0
    journal.put(completion("c"))
    assert [one.key for one in journal] == ["c"]
    journal.close()


def test_what_was_under_way_at_a_kill_is_known_afterwards(tmp_path):
    for sent, failed, answered in ((10, 2, 5), (4, 0, 4)):  # the first was killed with 3 under way
        ledger = Ledger(tmp_path, 0 if sent == 10 else 5)
        for _ in range(sent):
            ledger.sent()
        for _ in range(failed):
            ledger.failed()
        ledger.close()
        assert answered
    ledger = Ledger(tmp_path, 9)
    assert (ledger.lost, ledger.retried) == (3, 2)
    ledger.close()


def ask(answers: Answers, writer, numbers, **sampling) -> list[Completion | BaseException]:
    async def all_of_them():
        requests = [
            request_for(writer.spec, [{"role": "user", "content": f"{n}"}], {"max_tokens": 9, **sampling})
            for n in numbers
        ]
        found = await asyncio.gather(*(answers.ask(one, writer) for one in requests), return_exceptions=True)
        await answers.drain()
        return found

    return asyncio.run(all_of_them())


def test_a_question_is_asked_once_however_often_it_comes(tmp_path):
    writer, answers = FakeWriter(), Answers(tmp_path)
    found = ask(answers, writer, [1, 2, 1, 1, 2])
    assert [one.text for one in found] == ["1", "2", "1", "1", "2"] and writer.calls == 2
    ask(answers, writer, [1], seed=1)
    assert writer.calls == 3, "another draw is another question"
    answers.close()
    again = Answers(tmp_path)
    assert ask(again, writer, [1, 2])[0].text == "1" and writer.calls == 3 and again.spent.requests == 3
    again.close()


def test_a_question_that_failed_is_asked_again_and_a_journal_alone_asks_nobody(tmp_path):
    writer, answers = FakeWriter(fail_every=2), Answers(tmp_path)
    first = ask(answers, writer, [1, 2, 3])
    assert sum(isinstance(one, Completion) for one in first) == 2
    ask(answers, writer, [1, 2, 3])
    assert all(isinstance(one, Completion) for one in ask(answers, writer, [1, 2, 3])) and writer.calls == 5
    answers.close()
    other = Answers(tmp_path / "other", earlier=tmp_path)

    async def read(number: int) -> Completion:
        return await other.ask(
            request_for(writer.spec, [{"role": "user", "content": f"{number}"}], {"max_tokens": 9}), None
        )

    assert asyncio.run(read(3)).text == "3"
    with pytest.raises(UnansweredError):
        asyncio.run(read(4))
    other.close()


class Unwilling(FakeWriter):
    """Answers one request, rejects the next three, and then says what is wrong."""

    def __init__(self, trouble: ModelError) -> None:
        super().__init__()
        self._trouble = trouble

    async def write(self, request: Request) -> Completion:
        answer = await super().write(request)
        if self.calls > 4:
            raise self._trouble
        return replace(answer, finish="rejected", usage={}) if self.calls > 1 else answer


@pytest.mark.parametrize(("trouble", "asked"), [(ModelError("it rejects all"), 4), (UnansweredError("this one"), 1)])
def test_what_was_rejected_is_asked_again_if_the_writer_gave_up_and_else_kept(tmp_path, trouble, asked):
    answers, unwilling = Answers(tmp_path), Unwilling(trouble)
    found = [ask(answers, unwilling, [n])[0] for n in range(5)]
    assert [getattr(one, "finish", None) for one in found] == ["stop", *["rejected"] * 3, None]
    answers.close()
    again, writer = Answers(tmp_path), FakeWriter()
    assert [one.finish for one in ask(again, writer, range(5))].count("stop") == asked + 1 and writer.calls == asked
    assert again.ledger.retried == asked - 1
    again.close()


@pytest.mark.parametrize(
    ("budget", "flag"),
    [
        (Budget(requests=3), "--max-requests 3"),
        (Budget(tokens=90), "--max-tokens 90"),
        (Budget(cost=0.003, price_in=1.0, price_out=100.0), "--max-cost 0.003"),
    ],
)
def test_a_budget_is_never_exceeded_and_a_larger_one_goes_on(tmp_path, budget, flag):
    writer, answers = FakeWriter(), Answers(tmp_path, budget)
    found = ask(answers, writer, range(40))
    got = [one for one in found if isinstance(one, Completion)]
    stopped = [one for one in found if isinstance(one, BudgetError)]
    assert got and stopped and len(got) + len(stopped) == 40 and flag in str(stopped[0])
    assert budget.exceeded(answers.spent) is None and len(answers.journal) == len(got) == writer.calls
    answers.close()
    answers = Answers(tmp_path)
    assert all(isinstance(one, Completion) for one in ask(answers, writer, range(40))) and writer.calls == 40
    answers.close()


def test_a_budget_holds_where_each_sign_is_many_tokens(tmp_path):
    class Chinese(FakeWriter):
        async def write(self, request: Request) -> Completion:
            read = sum(len(message["content"].encode()) for message in request.messages)
            return replace(await super().write(request), usage={"prompt_tokens": read, "completion_tokens": 9})

    budget = Budget(tokens=1500)
    english = "The ferry crosses the strait at noon, and 1,200 people are on board. "
    writer, answers = Chinese(), Answers(tmp_path, budget)
    found = ask(answers, writer, ["渡船中午过海峡。" * 10 + str(n) for n in range(8)])
    assert any(isinstance(one, BudgetError) for one in found) and 3 < writer.calls < 8
    assert budget.exceeded(answers.spent) is None
    answers.close()
    small = Answers(tmp_path / "small", Budget(tokens=9))
    told = str(ask(small, FakeWriter(), [english * 10])[0])
    assert "and the next may use 453 tokens" in told, "620 letters, 70 signs, 64 around them, 9 for the answer"
    small.close()


def test_whoever_stops_waiting_does_not_lose_the_answer(tmp_path):
    class Slow(FakeWriter):
        async def write(self, request: Request) -> Completion:
            await asyncio.sleep(0.05)
            return await super().write(request)

    writer, answers = Slow(), Answers(tmp_path)

    async def leave():
        waiting = asyncio.create_task(
            answers.ask(request_for(writer.spec, [{"role": "user", "content": "1"}], {}), writer)
        )
        await asyncio.sleep(0.01)
        waiting.cancel()
        assert await answers.drain() == 0

    asyncio.run(leave())
    assert len(answers.journal) == 1
    answers.close()


def test_a_server_that_counts_no_tokens_reaches_a_budget_all_the_same(tmp_path):
    class Uncounted(FakeWriter):
        async def write(self, request: Request) -> Completion:
            return replace(await super().write(request), usage={})

    writer, answers = Uncounted(), Answers(tmp_path, Budget(tokens=100))
    found = ask(answers, writer, range(40))
    assert 0 < sum(isinstance(one, Completion) for one in found) < 10
    assert any(isinstance(one, BudgetError) for one in found)
    answers.close()


def test_after_an_interrupt_nothing_new_is_asked(tmp_path):
    answers = Answers(tmp_path, Budget(requests=2))

    async def interrupted(url: str) -> int:
        writer = OpenAIWriter("fake", url, None, Traffic(concurrency=1), Told(answers, Silent()))
        waiting = [
            asyncio.create_task(
                answers.ask(request_for({}, [{"role": "user", "content": f"{n}"}], {"max_tokens": 9}), writer)
            )
            for n in range(5)
        ]
        await asyncio.sleep(0.1)  # one is on its way, one waits for its turn, three for the budget
        await answers.stop()
        writer.pace.end()
        late = await answers.drain(5.0)
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert sum(isinstance(one, asyncio.CancelledError) for one in ended) == 4
        await writer.close()
        return late

    with FakeServer(latency=0.4) as server:
        assert asyncio.run(interrupted(server.url)) == 0
        assert server.counts.completed == 1
    assert len(answers.journal) == answers.ledger.now_sent == 1
    answers.close()
