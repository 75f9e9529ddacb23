"""What every writer, journal and embedder promises, checked on the fakes now and on the real ones as they come."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recension.errors import ModelError
from recension.identity import canonical_json
from recension.models.fake import FakeEmbedder, FakePrior, FakeWriter, MemoryJournal, fake_prior
from recension.ports import Ask, Completion, Embedder, Journal, Request, Writer

WRITERS = {
    "fake": FakeWriter,
    "fake:upper": lambda: FakeWriter(lambda request: request.messages[0]["content"].upper()),
}
EMBEDDERS = {"fake": FakeEmbedder, "fake:8": lambda: FakeEmbedder(8)}


def request(key: str, *contents: str) -> Request:
    return Request(key, tuple({"role": "user", "content": content} for content in contents), {"temperature": 0.7})


@pytest.fixture(params=list(WRITERS))
def writer(request) -> Writer:
    return WRITERS[request.param]()


@pytest.fixture(params=list(EMBEDDERS))
def embedder(request) -> Embedder:
    return EMBEDDERS[request.param]()


def test_a_writer_says_who_it_is(writer):
    assert isinstance(writer, Writer)
    assert canonical_json(writer.spec) == canonical_json(writer.spec)
    assert writer.spec["kind"]


def test_a_completion_answers_its_request(writer):
    answer = asyncio.run(writer.write(request("k1", "Tell me of the sea.", "In one line.")))
    assert isinstance(answer, Completion)
    assert answer.key == "k1"
    assert answer.text
    assert answer.finish == "stop"
    assert answer.text in str(answer.raw)
    assert canonical_json(answer.raw)
    assert answer.usage["prompt_tokens"] == 8
    assert answer.usage["completion_tokens"] > 0


def test_many_requests_at_once_each_get_their_own_answer(writer):
    requests = [request(f"k{i}", f"question {i}") for i in range(50)]

    async def ask_all() -> list[Completion]:
        return await asyncio.gather(*(writer.write(r) for r in requests))

    answers = asyncio.run(ask_all())
    assert [a.key for a in answers] == [r.key for r in requests]
    assert [a.text.lower() for a in answers] == [f"question {i}" for i in range(50)]


def test_writers_that_answer_differently_have_different_specs():
    assert WRITERS["fake"]().spec != WRITERS["fake:upper"]().spec


def test_a_fake_writer_fails_when_told_and_then_goes_on():
    writer = FakeWriter(fail_every=3)
    outcomes = []
    for i in range(7):
        try:
            outcomes.append(asyncio.run(writer.write(request(str(i), "hello"))).key)
        except ModelError as error:
            assert "fails every 3" in str(error)
            outcomes.append("failed")
    assert outcomes == ["0", "1", "failed", "3", "4", "failed", "6"]
    assert writer.calls == 7


def test_a_journal_gives_back_what_was_put():
    journal = MemoryJournal()
    assert isinstance(journal, Journal)
    assert len(journal) == 0
    assert journal.get("k") is None
    first, second = (Completion("k", text, "stop", {"text": text}) for text in ("one", "two"))
    journal.put(first)
    assert journal.get("k") == first
    # An answer that was paid for is never replaced.
    journal.put(second)
    assert journal.get("k") == first
    journal.put(Completion("other", "", "length", {}))
    assert len(journal) == 2


@given(texts=st.lists(st.text(max_size=30), max_size=5))
@pytest.mark.parametrize("make", list(EMBEDDERS.values()), ids=list(EMBEDDERS))
def test_an_embedder_gives_unit_vectors_whatever_the_batch(make, texts):
    embedder = make()
    vectors = embedder.embed(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape[0] == len(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_allclose(embedder.embed([text])[0], vector, atol=1e-6)


def test_texts_that_share_words_lie_closer(embedder):
    assert isinstance(embedder, Embedder)
    assert canonical_json(embedder.spec)
    a, b, c = embedder.embed(
        [
            "the river runs from the hills down to the sea",
            "the river runs from the hills up to the north",
            "quarterly earnings exceeded every forecast",
        ]
    )
    assert a @ b > a @ c


def test_fake_priors_are_named_by_kind():
    assert fake_prior("plain") == FakePrior()
    with pytest.raises(ModelError, match="fake:sure"):
        fake_prior("nonsense")


def test_the_sure_fake_is_sure_of_many_tokens_and_the_plain_one_of_few():
    text = "The ship that sailed to the island of the old king was lost in a storm. " * 20
    share = {
        kind: len(fake_prior(kind).score([text], Ask(above=0.99))[0].flagged)
        / len(fake_prior(kind).score([text], Ask())[0].ids)
        for kind in ("plain", "sure")
    }
    assert share["plain"] < 0.05
    assert 0.1 < share["sure"] < 0.6


def test_the_headless_fake_does_not_score_the_first_token():
    (found,) = fake_prior("headless").score(["river"], Ask(above=0.0))
    assert np.isnan(found.logprobs[0])
    assert found.flagged[0] == 1
