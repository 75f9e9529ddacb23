"""Questions of every kind: what is asked, what is right, and which examples stand before."""

from __future__ import annotations

import pytest

from recension.methods.answers import last_number, matches, plain_words
from recension.methods.questions import Asking, Question, answered, chance, examples_for, joined, lead, requests


def test_the_separator_stands_only_where_no_white_space_does():
    assert joined("Why?", "So.", " ") == " So."
    assert joined("Why?\n", "So.", " ") == "So."
    assert joined("Why?", "\nSo.", " ") == "\nSo."
    assert joined("", "So.", " ") == "So."
    assert joined("2+2=", "4", "") == "4"


def test_what_is_asked():
    choices = Question(("Is it?",), ("yes", "no"), (1,))
    assert requests(Asking("choices"), choices) == [("Is it?", " yes"), ("Is it?", " no")]
    contexts = Question(("the cat", "the dog"), ("barks",), (1,))
    assert requests(Asking("contexts"), contexts) == [("the cat", " barks"), ("the dog", " barks")]
    assert requests(Asking("text"), Question((), ("all of it",))) == [("all of it",)]
    asked = requests(Asking("answer", stop=("\n", "Q:"), max_tokens=5), Question(("1+1=",), accepted=("2",)), "Q: ")
    assert asked == [("Q: 1+1=", {"until": ["\n", "Q:"], "max_gen_toks": 5, "do_sample": False})]


def test_choices_are_judged_by_sum_by_characters_and_by_bytes():
    question = Question(("q",), ("aaaa", "öö"), (1,))
    found = answered(Asking("choices"), question, [(-4.4, False), (-2.8, True)])
    assert found.chosen == 1 and found.greedy == (False, True)
    # -4.4 / 4 and -2.8 / 2 by characters, -2.8 / 4 by bytes.
    assert {name: item.value for name, item in found.items.items()} == {"acc": 1, "acc_norm": 0, "acc_bytes": 1}


def test_several_choices_may_be_right():
    question = Question(("q",), ("a", "b", "c"), (0, 2))
    assert chance(Asking("choices"), question) == pytest.approx(2 / 3)
    assert answered(Asking("choices"), question, [(-2, False), (-3, False), (-1, False)]).items["acc"].value == 1


def test_cloze_and_text():
    cloze = answered(Asking("cloze"), Question(("a",), ("b",), (0,)), [(-1.5, True)])
    assert (cloze.items["acc"].value, cloze.items["perplexity"].value) == (1, 1.5)
    text = answered(Asking("text"), Question((), ("zwölf Boxer",)), [-6.0])
    assert text.items["bits_per_byte"] == (6.0, 12)
    assert text.items["word_perplexity"] == (6.0, 2)
    assert chance(Asking("text"), Question((), ("x",))) is None


@pytest.mark.parametrize(
    ("written", "accepted", "how", "right"),
    [
        (" The Antelope.", ["antelope"], "text", True),
        ("antelopes", ["antelope"], "text", False),
        ("“Ｎｏｎｅ”", ["none"], "text", True),
        ("!", ["?"], "text", False),  # no words in either: what stands there counts
        ("the", [""], "text", False),
        ("So 3 * 6 = 18 and she makes $1,018.00 a day.", ["1018"], "number", True),
        ("18 or 19", ["18"], "number", False),
        ("none", ["none"], "number", False),
        (" x+1\n", ["x+1"], "none", True),
        ("X+1", ["x+1"], "none", False),
    ],
)
def test_answers(written, accepted, how, right):
    assert matches(written, accepted, how) is right


def test_words_and_numbers():
    assert plain_words("An  Apple, a day: THE end!") == "apple day end"
    assert float(last_number("from -3 to 1,234.5")) == 1234.5
    assert last_number("no number") is None


def test_examples_belong_to_the_question():
    pool = [Question((f"q{i}",), (f"a{i}", "no"), (0,)) for i in range(9)]
    twice = [*pool, pool[4]]
    found = examples_for(pool[4], twice, 8, 0, "t")
    assert pool[4] not in found and len(found) == 8
    assert examples_for(pool[4], twice, 3, 0, "t") == found[:3]
    assert examples_for(pool[4], twice, 3, 1, "t") != found[:3]
    assert len(examples_for(pool[4], pool, 20, 0, "t")) == 8
    assert lead(Asking("choices"), pool[:2]) == "q0 a0\n\nq1 a1\n\n"
    assert lead(Asking("contexts"), [Question(("a", "b"), ("c",), (1,))]) == "b c\n\n"
    assert lead(Asking("answer"), [Question(("a",), accepted=("x", "y"))]) == "a x\n\n"
