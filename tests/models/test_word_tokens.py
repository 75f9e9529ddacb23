"""Tokens counted word by word are those that the tokenizer counts, whatever stands in a text."""

from __future__ import annotations

import json
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from recension.models.surfaces import as_text
from recension.models.token_counts import token_counter
from recension.models.word_tokens import WordTokens

COUNTER = token_counter("embedded")
SIGNS = [*"ab5é中\u0301 \u00a0\n\t\x1c\x85\u2003'.!s ٣²½", "<|endoftext|>", " ", "  ", "'s", " foo", " 12"]


def fresh(serial: str = COUNTER.tokenizer) -> tuple[object, WordTokens | None]:
    from tokenizers import Tokenizer

    tokenizer = as_text(Tokenizer.from_str(serial))
    return tokenizer, WordTokens.of(serial, tokenizer)


KEPT = fresh()


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.lists(st.sampled_from(SIGNS), max_size=14).map("".join), st.text(max_size=20)))
def test_every_text_has_as_many_tokens_as_the_tokenizer_says(text):
    tokenizer, words = KEPT
    assert words.count(text) == len(tokenizer.encode(text, add_special_tokens=False))


def test_words_are_counted_alike_when_they_come_back_and_when_the_table_begins_anew():
    tokenizer, words = fresh()
    drawn = random.Random(3)
    texts = [" ".join("".join(drawn.choices("etaoin", k=drawn.randint(1, 9))) for _ in range(60)) for _ in range(20)]
    wanted = [len(tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    assert [words.count(text) for text in texts] == wanted == [words.count(text) for text in texts]
    words._size = 1 << 40
    assert words.count(f"new {texts[0]}") == len(tokenizer.encode(f"new {texts[0]}", add_special_tokens=False))
    assert words._size < 1 << 20 and [words.count(text) for text in texts] == wanted


def test_a_tokenizer_that_joins_words_is_asked_itself():
    told = json.loads(COUNTER.tokenizer)
    for change in (
        {"normalizer": {"type": "NFC"}},
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}},
    ):
        assert fresh(json.dumps(told | change))[1] is None
