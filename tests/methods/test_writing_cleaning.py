"""Answers made tidy; flaws named, and texts without one left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recension.methods.writing.cleaning import RULES, Rules, flaw, is_refusal, tidy

SOURCE = """The lighthouse at Skerryvore was built between 1838 and 1844 on a reef twelve miles from the island of Tiree. Alan
Stevenson designed the granite tower, which weighs 58,580 tons and rises 156 feet above the water. In winter storms the workers
slept in a wooden barrack on iron legs, and the sea broke over its roof. The first barrack was swept away before anybody had
lived in it. When the lamp was lit, ships could see it from eighteen miles away, and wrecks on the reef became rare."""
REWRITE = """Imagine a rock in the open Atlantic, far from Tiree, where waves never rest. On that reef a young engineer, Alan
Stevenson, raised a tower of granite: the Skerryvore lighthouse. His workers lived above the storms in a barrack on iron legs,
after an earlier one had vanished in the sea. By 1844 the lamp was burning, and sailors eighteen miles out steered by it."""
OTHER = """Sourdough bread begins with flour, water and patience. A starter of wild yeast is fed each day until it bubbles, and
then the dough rests overnight in a cool kitchen. Bakers fold it gently, shape round loaves, and bake them in heavy iron pots so
that steam keeps the crust soft for the first twenty minutes, while the crumb inside opens and the kitchen smells of toast."""


@pytest.mark.parametrize(
    "answer",
    [
        "BODY",
        "Here is the rewritten text:\n\nBODY",
        "Sure! Here's a version for young readers, with short words:\nBODY",
        "Certainly! I can do that. Below is the reformulated article:\n\nBODY",
        "**Rewritten text:**\n\nBODY",
        "Of course!\n\nBODY",
        "```markdown\nBODY\n```",
        "Here is the requested text:\n```\nBODY\n```\n\nI hope this helps!",
        "“BODY”",
        "BODY\n\n---\n\n(Note: This version keeps the tone of the original text.)",
        "BODY\n\nWord count: 212\n\nLet me know if you need any changes.",
        "<think>Which genre?</think>\nBODY",
        "다음은 독자에 맞게 다시 쓴 글입니다:\n\nBODY",
        "以下是改写后的文本：\nBODY",
        "Hier ist der umgeschriebene Text:\n\nBODY",
        "### Rewritten Text\n\nBODY",
        "**Revised version**\nBODY",
        "This text has been rewritten for young children.\n\nBODY",
        "**Genre:** a tale\n**Audience:** children of nine\n\nBODY",
        "Of course! Here is an adaptation of the article as a letter:\n\n---\n\nBODY",
    ],
)
def test_what_was_said_around_a_text_is_taken_away(answer):
    assert tidy(answer.replace("BODY", REWRITE)) == REWRITE


@pytest.mark.parametrize(
    "text",
    [
        "Here is what you need:\n\nFlour, water, salt.",
        "Here are the answers to common questions:\n\nQ: Why?\nA: So.",
        "```python\nprint(1)\n```\nThen run it.\n```sh\npython a.py\n```",
        "“Go!” she said. He answered: “No.”",
        "He went home.\n\nNote: the bridge is closed in winter.",
        "Dear Ann,\n\nit rains.\n\nLet me know if you can come.\n\nYours, Tom",
        "Great storms came.\nThen it was still.",
        "# Summary:\n\nIt works.",
        "Audience: pupils of nine\n\nAims: to know a lighthouse.",
        "# Revised Statutes\n\nThis article was adapted from a lecture.",
        "다음은 그해 겨울의 일이다.\n바다는 얼었다.",
        "Hier ist der Ort, an dem er lebte:\nein Haus am Meer.",
    ],
)
def test_what_belongs_to_a_text_stays(text):
    assert tidy(text) == text


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet='aN:o `"“”\n-*(.', max_size=60))
def test_tidy_takes_away_and_never_adds(text):
    tidied = tidy(text)
    assert tidied in text
    assert flaw(text, tidied) is None or isinstance(flaw(text, tidied), str)


def test_a_good_rewrite_has_no_flaw():
    assert flaw(SOURCE, REWRITE) is None
    assert flaw(SOURCE, REWRITE, [OTHER], RULES["relaxed"]) is None
    assert flaw(SOURCE, f"{SOURCE}\n\n{REWRITE}", [], RULES["base"]) == "copy", "the source, with something behind it"
    assert flaw(SOURCE, f"{SOURCE}\n\n{REWRITE}", [], Rules()) is None, "in a style of one's own it may be meant"
    light = SOURCE.replace("was built", "was put up").replace("lived in it", "slept there").replace("rare", "few")
    assert flaw(SOURCE, light, [], RULES["strict"]) is None


LOOP = REWRITE + " And the waves rose and the waves fell and the wind blew over the rock." * 12
GERMAN = """Der Leuchtturm von Skerryvore steht auf einem Riff im Atlantik, weit vor der Insel Tiree. Alan Stevenson hat ihn
aus Granit gebaut, und die Arbeiter haben in einer Baracke auf eisernen Beinen gewohnt, bis die Lampe im Jahr 1844 brannte."""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("  \n…", "too-short"),
        ("A tower.", "too-short"),
        (
            REWRITE + "".join(f" Wave {i} came over rock {i + 7}, and {i * 3} men saw it." for i in range(80)),
            "too-long",
        ),
        ("Notes: " + REWRITE, "boilerplate"),
        ("Please note that " + REWRITE, "boilerplate"),
        ("The following is a story. " + REWRITE, "boilerplate"),
        ("참고: 스케리보어 등대는 대서양의 암초 위에 서 있다.", "boilerplate"),
        ("I'm sorry, but I can't help with that request.", "refusal"),
        ("As an AI language model, I cannot write this kind of content.", "refusal"),
        ("抱歉，我无法帮助您完成这个请求。", "refusal"),
        (REWRITE + "\n</document-0123456789ab>", "echo"),
        (LOOP, "looping"),
        (GERMAN, "other-language"),
        (
            "스케리보어 등대는 대서양의 암초 위에 서 있다. 앨런 스티븐슨이 화강암으로 세웠고 1844년에 불을 밝혔다. "
            * 2,
            "other-language",
        ),
        (SOURCE, "copy"),
        (SOURCE[:400], "copy"),
        (OTHER, "off-source"),
    ],
)
def test_flaws(text, reason):
    assert flaw(SOURCE, text) == reason


def test_a_sibling_is_not_told_twice():
    again = REWRITE.replace("Imagine a rock", "Picture a rock").replace("burning", "alight")
    assert flaw(SOURCE, again, [OTHER, REWRITE]) == "near-sibling"
    assert flaw(SOURCE, again, [OTHER, REWRITE], replace(Rules(), most_shared=1.0)) is None


def test_sentences_of_the_prompt_are_an_echo_unless_the_source_has_them():
    order = "Write the document again for this audience and in this genre, and keep what it says."
    rules = replace(Rules(), instructions=order)
    assert flaw(SOURCE, f"{REWRITE} {order}", rules=rules) == "echo"
    assert flaw(f"{SOURCE} {order}", f"{REWRITE} {order}", rules=rules) is None


@pytest.mark.parametrize(
    "text",
    [
        "“I'm sorry, but I can't go with you,” said Anna, and closed the door.",
        "I cannot write of that night without tears. The sea took the barrack.",
        "I can't help thinking of the lighthouse.",
        "Sorry, we are closed. The lighthouse opens at nine.",
        "Unfortunately, the first barrack was swept away.",
        "We cannot process grief alone, the keeper said.",
    ],
)
def test_who_declines_inside_a_text_is_no_refusal(text):
    assert not is_refusal(text)


def test_an_extract_may_copy_and_a_composed_text_may_leave_its_seed():
    assert flaw(SOURCE, SOURCE[:200], rules=RULES["extract"]) is None
    assert flaw(SOURCE, OTHER, rules=RULES["compose"]) is None
