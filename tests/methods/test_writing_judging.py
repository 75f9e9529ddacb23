"""Verdicts read, and what a rewrite says without support: precise enough to drop a text for it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recension.methods.writing.judging import Unsupported, Verdict, read_verdict, unsupported, verdict_schema

SOURCE = """In 1914-18 about 1,980,000 men served at the front, and 12.5 % of them died. The laboratory of Marie Curie opened on
March 5, 1920 at 14:30; it cost $5M, half of it lent by the League of Nations. The WHO came later. Twelve hundred ships sailed
in the 1990s with version 3.11.2 on board. Anna had two brothers and walked 25 km a day."""


def numbers_in(candidate: str) -> list[str]:
    return [one.text for one in unsupported(SOURCE, candidate) if one.kind == "number"]


def names_in(candidate: str) -> list[str]:
    return [one.text for one in unsupported(SOURCE, candidate) if one.kind == "name"]


@pytest.mark.parametrize(
    "candidate",
    [
        "By 1918 nearly two million men had gone, 2,000,000 in all.",
        "12.5 percent of 1980000; 12,5 %; 1.98 million",
        "It opened on 1920-03-05, or 05/03/1920, at 2:30 pm.",
        "It cost 5 million dollars, 50% of them lent, in the '90s and in 1990.",
        "1,200 ships ran 3.11.2, and three things came of it: 25 kilometres, two brothers.",
        "1. Serve.\n2. Sail.\n3) Walk.\n\n## 4. Rest\n| 5 | row |\nStep 6: go. Chapter 7. Here are 10 tips and 8 easy ways.",
        "They served in the 1910s and sailed in the 1990s; so were the 1900s.",
        "H2O, COVID-19, GPT-4, 3D and 5G are names. See https://a.b/c/2231.html.",
    ],
)
def test_numbers_that_the_source_supports_are_left_alone(candidate):
    assert numbers_in(candidate) == []


@pytest.mark.parametrize(
    ("candidate", "invented"),
    [
        ("3 million men", ["3"]),
        ("It opened in 1921, for 26 km and 13 %.", ["1921", "26", "13"]),
        ("thirty-seven ships, and seventeen more", ["thirty-seven", "seventeen"]),
        ("On 1920-03-07 version 3.17.2 came.", ["1920-03-07", "3.17.2"]),
        ("약300명이 왔다", ["300"]),
        ("In the 1880s none sailed, and in 1995 twelve hundred.", ["1880s", "1995"]),
    ],
)
def test_numbers_that_it_does_not_support_are_found(candidate, invented):
    assert numbers_in(candidate) == invented


@pytest.mark.parametrize(
    "candidate",
    [
        "She met Curie, and Marie Curie's laboratory; the World Health Organization came.",
        "Imagine Paris in spring. Dear Readers, Monday Morning was grey. But I knew New York.",
        "# A Talk With Albert Einstein\n\n**The Life Of Albert Einstein**\n\nAlbert Einstein Meets His Readers",
        "The Front Program was a program.",
        "Der Große Hund und die Kleine Katze sind nicht in dem Haus, das der Mann mit der Frau Albert Einstein hat.",
        "나는 학교 에 간다. Я люблю читать книги.",
    ],
)
def test_names_that_are_none_or_are_supported_are_left_alone(candidate):
    assert names_in(candidate) == []


@pytest.mark.parametrize(
    ("candidate", "invented"),
    [
        ("There he met Albert Einstein in Berlin.", ["Albert Einstein"]),
        ("As Lin Wei said, so it is. Lin Wei then left.", ["Lin Wei"]),
        ("She went to the University of Vienna.", ["University of Vienna"]),
        ("Потом пришла Анна Каренина и села.", ["Анна Каренина"]),
    ],
)
def test_names_that_the_source_lacks_are_found(candidate, invented):
    assert names_in(candidate) == invented


def test_short_and_other_forms_support_a_name():
    source = "The U.S. Democrats met Davis; an SSD has 8 GB."
    candidate = (
        "In the United States the Democratic Party met Governor Davis, with GB of RAM. There sat Senator Anna Bowen."
    )
    assert [one.text for one in unsupported(source, candidate)] == ["Anna Bowen"]


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet="Ab 1.,:/-–%kM\nтЖ가٣½", max_size=60))
def test_a_text_supports_itself(text):
    assert unsupported(text, text) == ()


def test_what_a_judge_names_counts_only_where_it_stands():
    candidate = (
        "Anna walked 40 km a day, which made her\nthe fastest walker of all. Her brother Piotr cried: “No, never!”"
    )
    said = [
        ("claim", "made her the fastest walker"),
        ("claim", "Her brother Piotr ... never"),
        ("claim", "Anna was a liar"),
        ("claim", "a day"),
        ("number", "40 km"),
        ("number", "99"),
        ("name", "PIOTR"),
        ("name", "Anna"),
    ]
    verdict = Verdict(4, "", tuple(Unsupported(kind, text) for kind, text in said))
    found = unsupported(SOURCE, candidate, verdict)
    assert [one.text for one in found] == [said[0][1], said[1][1], "40 km", "PIOTR"]


@pytest.mark.parametrize(
    ("given_score", "read"),
    [
        (4, 4), ("4", 4), ("4/5", 4), (4.0, 4), ("Score: 5.", 5), ("3 out of 5", 3), ("2.0", 2),
        (0, None), (6, None), ("4.5", None), (4.5, None), (True, None), (None, None), ("good", None), ([5], None),
        (1e300, None),
    ],
)  # fmt: skip
def test_scores(given_score, read):
    verdict = read_verdict({"Score": given_score, "analysis": " fine "})
    assert (verdict and verdict.score) == read
    assert verdict is None or verdict.analysis == "fine"


def test_lists_of_a_verdict_in_many_forms():
    found = {
        "score": 3,
        "unsupported_claims": ["He ran.", {"claim": "She flew."}, 7, None, "None"],
        "Unsupported Numbers": "- 40\n- 41; n/a",
        "unsupported_names": None,
        "names": "ignored",
    }
    verdict = read_verdict(found)
    assert [one.text for one in verdict.unsupported] == ["He ran.", "She flew.", "7", "40", "41"]
    assert read_verdict({}) is None
    assert set(verdict_schema()["required"]) >= {"analysis", "score", "unsupported_claims"}
