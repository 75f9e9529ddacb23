"""What every writer with a real model behind it promises, as one check; `asked` makes a request from the words of a user."""

from __future__ import annotations

import asyncio
from typing import Any

from recension.identity import canonical_json
from recension.ports import Completion, Request, Writer

FINISHES = ("stop", "length", "refused", "rejected")


def asked(*contents: str, key: str = "", **sampling: Any) -> Request:
    messages = tuple({"role": "user", "content": content} for content in contents)
    return Request(
        key or f"{contents}{sampling}", messages, {"temperature": 0.8, "max_tokens": 12, "seed": 1, **sampling}
    )


async def check_writer(writer: Writer, too_long: str | None) -> None:
    """The promises that hold for any model, however small and silly; None where a server takes what is too long."""
    assert isinstance(writer, Writer)
    assert writer.spec["kind"]
    assert canonical_json(writer.spec)
    one = await writer.write(asked("Tell me of the river.", key="k1"))
    assert isinstance(one, Completion)
    assert one.key == "k1"
    assert one.finish in FINISHES[:2]
    assert one.text
    assert canonical_json(one.raw)
    assert one.usage["prompt_tokens"] > 2
    assert 0 < one.usage["completion_tokens"] <= 12
    assert one.model
    assert one.seconds > 0
    requests = [asked("the river ran " * (i % 4 + 1), key=f"k{i}", seed=i) for i in range(9)]
    answers = await asyncio.gather(*(writer.write(request) for request in requests))
    assert [answer.key for answer in answers] == [request.key for request in requests]
    longer = await writer.write(asked("the river ran", max_tokens=5))
    assert longer.finish == "length" or longer.usage["completion_tokens"] < 5
    if too_long is None:
        return
    refused = await writer.write(asked(too_long, key="long"))
    assert (refused.key, refused.finish, refused.text) == ("long", "rejected", "")
    assert refused.raw


async def check_stop(writer: Writer) -> None:
    """An answer ends before a word that stops it."""
    whole = await writer.write(asked("the river ran", max_tokens=20))
    word = whole.text[4:8]
    cut = await writer.write(asked("the river ran", max_tokens=20, stop=[word]))
    assert cut.finish == "stop"
    assert cut.text == whole.text[: whole.text.index(word)]


async def differing(writer: Writer, count: int = 12) -> list[int]:
    """Which of several answers change where they are asked for alone instead of all at once."""
    requests = [asked("the river ran " * (i % 4 + 1), key=f"k{i}", seed=i) for i in range(count)]
    together = await asyncio.gather(*(writer.write(request) for request in requests))
    alone = [await writer.write(request) for request in requests]
    return [i for i, (a, b) in enumerate(zip(together, alone, strict=True)) if a.text != b.text]
