"""Our client against a real server, named by RECENSION_SERVER (MODEL@URL): run by lane.py, not by `make test`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from probes import SCHEMA, chat, post
from writing import asked, check_stop, check_writer

from recension.errors import ModelError
from recension.models.writers import WriterOptions, load_writer
from recension.ports import Request, Writer

SERVER = os.environ["RECENSION_SERVER"]


class Watch:
    """Counts what the client tells."""

    def __init__(self) -> None:
        self.requests = self.failures = 0
        self.notes: list[str] = []

    def sent(self) -> None:
        self.requests += 1

    def failed(self) -> None:
        self.failures += 1

    def note(self, line: str) -> None:
        self.notes.append(line)


def with_writer(use: Any, name: str = SERVER) -> Any:
    """The result of `use(writer, watch)`, after the writer has learnt what the server knows."""

    async def run() -> Any:
        watch = Watch()
        writer: Any = load_writer(f"openai:{name}", WriterOptions(), watch)
        try:
            await writer.learn()
            return await use(writer, watch)
        finally:
            await writer.close()

    return asyncio.run(asyncio.wait_for(run(), 240))


LONG = "the river ran " * 600


@pytest.fixture(scope="module")
def refuses() -> bool:
    """Whether the server says that a prompt is too long; some read on past the end of the model."""
    return post(SERVER.partition("@")[2], chat(LONG)).status != 200


def test_it_keeps_the_promises_of_a_writer(refuses):
    with_writer(lambda writer, _: check_writer(writer, LONG if refuses else None))


def test_a_word_that_stops_it_is_not_in_the_answer():
    async def use(writer: Writer, _: Watch) -> None:
        await check_stop(writer)

    with_writer(use)


def test_what_is_too_long_is_rejected_with_the_reason_and_asked_once(refuses):
    async def use(writer: Writer, watch: Watch) -> tuple[Any, int]:
        before = watch.requests
        return await writer.write(asked(LONG, key="long")), watch.requests - before

    answer, requests = with_writer(use)
    assert requests == 1
    if refuses:
        assert (answer.finish, answer.text) == ("rejected", "")
        assert answer.raw["why"] == "too-long", answer.raw
    else:
        assert answer.finish in ("stop", "length")


def test_many_requests_at_once_are_all_answered():
    async def use(writer: Writer, watch: Watch) -> tuple[list[Any], int]:
        requests = [asked(f"the river ran {i}", key=f"k{i}", seed=i, max_tokens=4) for i in range(30)]
        return await asyncio.gather(*(writer.write(request) for request in requests)), watch.failures

    answers, failures = with_writer(use)
    assert [answer.key for answer in answers] == [f"k{i}" for i in range(30)]
    assert all(answer.finish in ("stop", "length") for answer in answers)
    assert failures == 0


def test_a_schema_is_kept_where_the_server_says_that_it_knows_schemas():
    async def use(writer: Any, _: Watch) -> tuple[bool, list[Any]]:
        messages = ({"role": "user", "content": "Rate the text."},)
        requests = [Request(f"s{i}", messages, {"max_tokens": 120, "seed": i}, SCHEMA) for i in range(4)]
        return writer.dialect.schema, [await writer.write(request) for request in requests]

    knows, answers = with_writer(use)
    assert all(answer.finish in ("stop", "length") for answer in answers)
    if knows:
        fits = [json.loads(answer.text) for answer in answers if answer.finish == "stop"]
        assert all(found["score"] in range(1, 6) and found["fit"] in ("yes", "no") for found in fits)


def test_a_model_that_is_not_there_is_one_clear_line():
    """Or the server answers with the only model that it has."""

    async def use(writer: Writer, _: Watch) -> Any:
        return await writer.write(asked("the river ran"))

    _, _, url = SERVER.partition("@")
    try:
        answer = with_writer(use, f"another@{url}")
    except ModelError as error:
        assert "\n" not in str(error)
        assert "another" in str(error)
    else:
        assert answer.text
