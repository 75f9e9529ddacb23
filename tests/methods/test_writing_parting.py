"""Parts tile the text, are about equal, and end where the text does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recension.methods.writing.parting import parts

TEXTS = st.text(alphabet=st.sampled_from("ab .\n。é\u0301\u200d\r한"), max_size=200)


@settings(max_examples=80, deadline=None)
@given(TEXTS, st.integers(1, 60))
def test_parts_tile_the_text(text, most):
    spans = parts(text, most)
    assert "".join(text[a:b] for a, b in spans) == text
    assert [a for a, _ in spans] == [0, *(b for _, b in spans[:-1])]
    sizes = [b - a for a, b in spans]
    assert max(sizes) <= most
    if len(spans) > 1:
        assert min(sizes[:-1]) >= max(1, most // 2)
        assert sizes[-1] >= most // 4


def test_a_short_text_is_one_part():
    assert parts("", 10) == [(0, 0)]
    assert parts("0123456789", 10) == [(0, 10)]
    with pytest.raises(ValueError, match="at least one"):
        parts("a", 0)


PARAGRAPHS = "\n\n".join(f"Paragraph {i} has two sentences. This is its second one, no more." for i in range(20))
SENTENCES = PARAGRAPHS.replace("\n\n", " ")
WORDS = SENTENCES.replace(". ", " ")


@pytest.mark.parametrize(("text", "ends"), [(PARAGRAPHS, "more.\n\n"), (SENTENCES, ". "), (WORDS, " ")])
def test_cuts_are_at_the_strongest_border(text, ends):
    spans = parts(text, 300)
    assert 5 <= len(spans) <= 7
    assert all(text[a:b].endswith(ends) for a, b in spans[:-1])
    sizes = [b - a for a, b in spans]
    assert min(sizes) > 0.6 * max(sizes)


def test_a_character_stays_with_its_marks():
    text = "e\u0301" * 50 + "👩\u200d👩" * 20 + "\r\n" * 20
    for most in (7, 10, 33):
        for start, _ in parts(text, most)[1:]:
            assert text[start] not in "\u0301\u200d\n"
            assert text[start - 1] != "\u200d"
