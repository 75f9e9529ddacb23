"""The client against a server that speaks the real protocol and misbehaves."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace

import pytest

from recension.errors import ModelError, UnansweredError
from recension.models.fake_server import FakeServer, Faults
from recension.models.openai_writer import OpenAIWriter, Traffic, Twice
from recension.models.pace import Pace
from recension.ports import Completion, Request, Writer

FAST = Traffic(concurrency=32, timeout=2.0, patience=3.0, first_pause=0.005)


@dataclass
class Watched:
    went: int = 0
    wrong: int = 0
    notes: list[str] = field(default_factory=list)

    def sent(self) -> None:
        self.went += 1

    def failed(self) -> None:
        self.wrong += 1

    def note(self, line: str) -> None:
        self.notes.append(line)


def asked(number: int, **sampling) -> Request:
    source = f"The ship sailed at dawn. It came back, late, with {number} men."
    words = f"Tell me of number {number}.\n\n<source>\n{source}\n</source>"
    return Request(f"k{number}", ({"role": "user", "content": words},), {"max_tokens": 200, "seed": number, **sampling})


def write(server_url: str, requests: list[Request], traffic: Traffic = FAST, key: str | None = None):
    watched = Watched()

    async def all_of_them():
        writer = OpenAIWriter("fake", server_url, key, traffic, watched)
        try:
            return await asyncio.gather(*(writer.write(r) for r in requests), return_exceptions=True), writer
        finally:
            await writer.close()

    found, writer = asyncio.run(all_of_them())
    return found, writer, watched


def test_it_keeps_the_contract_of_a_writer():
    with FakeServer() as server:
        [found], writer, watched = write(server.url, [asked(1, temperature=0.5)])
    assert isinstance(writer, Writer) and isinstance(found, Completion)
    assert found.key == "k1" and found.text in str(found.raw) and found.finish == "stop" and found.model == "fake"
    assert found.usage["prompt_tokens"] > 0 and found.usage["completion_tokens"] > 0
    assert found.seconds > 0 and found.at.startswith("20") and (watched.went, watched.wrong) == (1, 0)


QUICK = (
    "429",
    "429-retry-after",
    "500",
    "503",
    "cut",
    "half-json",
    "wrong-schema",
    "wrong-type",
    "reset",
    "duplicate",
    "bulky",
)


def test_whatever_goes_wrong_on_the_way_the_answers_are_the_same():
    requests = [asked(i) for i in range(60)]
    with FakeServer() as server:
        undisturbed, _, _ = write(server.url, requests)
    with FakeServer(faults=Faults({kind: 0.6 / len(QUICK) for kind in QUICK}), retry_after=0.02) as server:
        found, writer, watched = write(server.url, requests)
        counts = server.counts
    assert [one.text for one in found] == [one.text for one in undisturbed]
    assert counts.completed == 60 and watched.wrong > 30 and watched.went == 60 + watched.wrong
    assert sum(writer.troubles.values()) == watched.wrong and len(writer.troubles) >= 6


def test_an_answer_that_comes_twice_is_never_taken_for_that_of_the_next_request():
    requests = [asked(i) for i in range(120)]
    with FakeServer() as server:
        undisturbed, _, _ = write(server.url, requests)
    with FakeServer(faults=Faults({"duplicate": 0.5})) as server:
        found, _, _ = write(server.url, requests, Traffic(concurrency=4, first_pause=0.001))
    assert [one.text for one in found] == [one.text for one in undisturbed]
    late = Twice()
    assert not late.came_before(found[0]) and late.came_before(replace(found[0], key="of another"))
    same_ids = Twice()
    assert not same_ids.came_before(found[0])
    assert not same_ids.came_before(replace(found[1], raw=found[0].raw))


@pytest.mark.parametrize(
    ("fault", "finish", "empty"),
    [
        ("empty", "stop", True),
        ("truncated", "length", False),
        ("refused", "refused", True),
        ("rejected", "rejected", True),
    ],
)
def test_what_is_final_is_an_answer(fault, finish, empty):
    with FakeServer(faults=Faults(script={0: fault})) as server:
        [found], _, watched = write(server.url, [asked(1)])
    assert isinstance(found, Completion) and found.finish == finish and (not found.text) == empty and watched.wrong == 0
    if fault == "rejected":
        assert found.raw["why"] == "too-long"


def test_a_hanging_request_is_sent_again_after_its_time():
    with FakeServer(faults=Faults(script={0: "hang"})) as server:
        [found], writer, _ = write(server.url, [asked(1)], Traffic(timeout=0.3, first_pause=0.005))
    assert isinstance(found, Completion) and list(writer.troubles) == ["no answer within 0.3 s"]


def test_a_dead_server_is_waited_for_and_then_told_of_with_what_to_do():
    began = time.monotonic()
    [found], _, _ = write("http://127.0.0.1:9/v1", [asked(1)], Traffic(patience=0.4, first_pause=0.02))
    assert isinstance(found, ModelError) and not isinstance(found, UnansweredError)
    assert "no answer from http://127.0.0.1:9/v1" in str(found) and "the same command goes on" in str(found)
    assert 0.4 < time.monotonic() - began < 5


def test_one_request_that_always_fails_is_given_up_while_others_are_answered():
    with FakeServer(faults=Faults({"500": 0.4}, worst=10_000, seed=3)) as server:
        found, _, _ = write(server.url, [asked(i) for i in range(40)], Traffic(attempts=2, first_pause=0.001))
    given_up = [one for one in found if isinstance(one, UnansweredError)]
    assert given_up and len(given_up) < 20 and "no answer in 2 attempts (500)" in str(given_up[0])
    assert all(isinstance(one, Completion | UnansweredError) for one in found)


def test_the_key_is_asked_for_and_never_told():
    with FakeServer(key="sk-secret") as server:
        [found], _, _ = write(server.url, [asked(1)], key="sk-secret")
    with FakeServer(answer=lambda body: "You sent sk-a-long-secret with it.") as talkative:
        [told], _, _ = write(talkative.url, [asked(1)], key="sk-a-long-secret")
    assert told.text == "You sent *** with it." and "sk-a-long" not in str(told)
    with FakeServer(key="sk-secret") as server:
        [refused], _, _ = write(server.url, [asked(1)], key="sk-other-secret")
        [none], _, _ = write(server.url, [asked(1)])
    assert isinstance(found, Completion) and "secret" not in str(found)
    assert isinstance(refused, ModelError) and "refuses the key" in str(refused) and "sk-other" not in str(refused)
    assert "there is none" in str(none)


def test_what_a_server_does_not_know_is_found_out_once():
    for schemas, unknown in ((True, 400), (False, 400), (False, 500)):
        with FakeServer(schemas=schemas, unknown=unknown) as server:

            async def learn(url: str = server.url):
                writer = OpenAIWriter("fake", url, None, FAST, Watched())
                try:
                    return await writer.learn()
                finally:
                    await writer.close()

            assert asyncio.run(learn()).schema is schemas
    with FakeServer(faults=Faults(script={0: "500", 1: "500"})) as server:
        assert asyncio.run(learn(server.url)).schema is True


def test_a_stop_word_that_a_server_leaves_there_is_cut_off():
    with FakeServer(stops=False, answer=lambda body: "One. Two. Three.") as server:
        [plain, cut], _, _ = write(server.url, [asked(1), asked(2, stop=["Three", "Two"])])
        assert (plain.text, cut.text, cut.finish) == ("One. Two. Three.", "One. ", "stop")


def test_a_server_with_little_room_is_not_overrun():
    with FakeServer(latency=0.02, room=8) as server:
        found, writer, _ = write(
            server.url, [asked(i) for i in range(150)], Traffic(concurrency=200, first_pause=0.005)
        )
        counts = server.counts
    assert all(isinstance(one, Completion) for one in found) and counts.completed == 150
    assert writer.pace.limit < 24 and counts.most_in_flight <= 8


def test_the_pace_grows_with_answers_and_is_cut_once_for_one_push_back():
    now = [100.0]
    pace = Pace(100, lambda: now[0])

    async def rounds() -> None:
        for _ in range(40):
            async with pace.slot():
                pace.under_way = int(pace.limit)
                pace.answered(0.1)
                pace.under_way = 1

    asyncio.run(rounds())
    grown = pace.limit
    assert grown == 16 + 40
    for _ in range(10):
        pace.refused()
    assert pace.limit == pytest.approx(0.6 * grown)
    now[0] += 1.0
    pace.refused(wait=0.5)
    assert pace.limit == pytest.approx(0.36 * grown)


def test_a_place_that_is_left_early_is_left_once():
    pace = Pace(1)

    async def two() -> list[int]:
        seen = []
        async with pace.slot() as leave:
            seen.append(pace.under_way)
            leave()
            async with pace.slot():
                leave()
                seen.append(pace.under_way)
        return [*seen, pace.under_way]

    assert asyncio.run(two()) == [1, 1, 0]


def test_a_request_that_no_time_is_enough_for_does_not_stop_the_others_for_ever():
    """Also where it is the last one left: a server that answers something else is not dead."""
    script = {index: "hang" for index in range(20) if index != 2}
    with FakeServer(faults=Faults(script=script)) as server:
        [found], _, watched = write(
            server.url, [asked(1)], Traffic(timeout=0.1, patience=0.15, attempts=2, first_pause=0.001)
        )
    assert isinstance(found, UnansweredError) and "no answer within 0.1 s" in str(found)
    assert watched.went == watched.wrong == 2


@dataclass
class Odd:
    """A server that says one thing to everybody."""

    status: int
    body: bytes

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        length = f"HTTP/1.1 {self.status} X\r\nConnection: close\r\nContent-Length: {len(self.body)}\r\n\r\n"
        writer.write(length.encode() + self.body)
        await writer.drain()
        writer.close()


def odd(status: int, body: bytes, count: int):
    watched = Watched()

    async def all_of_them():
        async with Odd(status, body) as url:
            writer = OpenAIWriter("fake", url, None, FAST, watched)
            found = await asyncio.gather(*(writer.write(asked(i)) for i in range(count)), return_exceptions=True)
            await writer.close()
            return found

    return asyncio.run(all_of_them()), watched


def test_a_server_that_wants_money_or_rejects_everything_drops_no_text():
    found, watched = odd(402, b'{"error": {"message": "Insufficient balance"}}', 3)
    assert all(isinstance(one, ModelError) and "402: Insufficient balance" in str(one) for one in found)
    assert watched.went == watched.wrong == 3  # none of them counts as under way
    found, _ = odd(400, b'{"error": {"message": "no such option"}}', 30)
    assert sum(isinstance(one, Completion) for one in found) < 20
    assert "in a row (400: no such option)" in str(found[-1])


def test_half_a_character_and_impossible_counts_spoil_no_answer():
    body = b'{"choices": [{"message": {"content": "so \\ud83d"}}], "usage": {"prompt_tokens": %d, "completion_tokens": -5}}'
    [found], _ = odd(200, body % 2**70, 1)
    assert isinstance(found, Completion) and found.text == "so \ufffd" and found.usage == {}
