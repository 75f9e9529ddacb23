"""Pairs of genre and audience: read from whatever came, refused where they are alike."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recension.methods.writing.pairs import ALIKE, Pair, fresh_pairs, pairs_schema, read_pairs, similarity

TRAVEL = Pair(
    "Travel essay: A slow, sensory piece that walks the reader through places. The tone is warm, the rhythm unhurried.",
    "Retired engineers: Aged 60 to 75, patient and curious. They like to know how things work.",
)
REPORT = Pair("Field report - brisk and exact, with findings first.", "Young biologists in their first job")


def test_names_are_what_stands_before_the_description():
    assert (TRAVEL.genre_name, TRAVEL.audience_name) == ("travel essay", "retired engineers")
    assert (REPORT.genre_name, REPORT.audience_name) == ("field report", "young biologists in their first")
    assert Pair("**Genre:** *Radio play*. Two voices.", "Audience 2: People at sea").genre_name == "radio play"
    assert Pair("Ode", "").audience_name == ""


def test_the_schema_asks_for_flat_strings():
    schema = pairs_schema(2)
    assert schema["required"] == ["audience_1", "genre_1", "audience_2", "genre_2"]
    assert set(schema["properties"]) == set(schema["required"])


@pytest.mark.parametrize(
    "found",
    [
        {"audience_1": "a b", "genre_1": "c d", "audience_2": "e", "genre_2": "f"},
        {"Genre 1": "c d", "Audience 1": "a b", "genre2": "f", "audience-2": "e", "note": "two pairs"},
        {"pairs": [{"genre": "c d", "audience": "a b"}, {"genre": "f", "audience": "e"}]},
        {"pair_1": {"genre_1": ["c", "d"], "audience_1": "a b"}, "pair_2": {"genre": "f", "audience": "e"}},
        {"genres": ["c d", "f"], "audiences": ["a b", "e"]},
        {"genre_1": "c d", "audience_1": "a b", "genre_2": "f", "audience_2": "e", "genre_3": 7, "audience_3": "x"},
        {"genre_1": "c d", "audience_1": "a b", "genre_3": "f", "audience_3": "e", "genre_2": "  ", "audience_4": "x"},
    ],
)
def test_pairs_are_read_from_many_forms(found):
    assert read_pairs(found, 5) == [Pair("c d", "a b"), Pair("f", "e")]
    assert read_pairs(found, 1) == [Pair("c d", "a b")]


def test_what_is_no_pair_is_left_out():
    assert read_pairs({"genre_1": "x" * 5000, "audience_1": "y"}, 5) == []
    assert read_pairs({"genre_1": "...", "audience_1": None, "pairs": "none"}, 5) == []
    named = {"genre_1": {"name": "Ode", "description": "Short lines."}, "audience_1": "Sailors"}
    assert read_pairs(named, 5) == [Pair("Ode: Short lines.", "Sailors")]


JSONS = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["genre", "audience_1", "x"]), inner),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from(["genre_1", "audience_1", "genre", "pairs"]), JSONS))
def test_no_answer_breaks_it(found):
    assert all(pair.genre and pair.audience for pair in read_pairs(found, 3))


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("News report", "news report!", True),
        ("Travel blog for families", "travel blogs for a family", True),
        ("Primary school children", "Elementary school children", True),
        ("Letter to a friend", "To a friend: a letter", True),
        ("Detective story", "Detective comic", False),
        ("College students", "Graduate students", False),
        ("Young parents", "New parents", False),
        ("여행 에세이", "여행 에세이.", True),
        ("여행 에세이", "탐정 소설", False),
    ],
)
def test_what_counts_as_alike(one, other, alike):
    assert (similarity(one, other) >= ALIKE) is alike
    assert similarity(one, other) == similarity(other, one)


def test_a_pair_is_refused_only_where_both_halves_are_alike():
    again = Pair(TRAVEL.genre.upper(), TRAVEL.audience.replace(",", " ;"))
    same_name = Pair("Travel essay: Letters home, full of jokes and small drawings in words.", TRAVEL.audience)
    for_others = Pair(TRAVEL.genre, "School classes: Children of ten who have never been away.")
    kept, refused = fresh_pairs([REPORT, again, same_name, for_others, REPORT], [TRAVEL])
    assert kept == [REPORT, for_others]
    assert refused == [again, same_name, REPORT]


def test_fresh_pairs_stay_fresh():
    pairs = [TRAVEL, REPORT, TRAVEL]
    kept, refused = fresh_pairs(pairs)
    assert fresh_pairs(kept) == (kept, [])
    assert len(kept) + len(refused) == len(pairs)
