"""JSON out of answers: valid JSON as JSON, bent JSON as it was meant, and never more work than the answer is long."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recension.methods.writing.objects import find_object, read_object, without_thoughts

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats(-1e6, 1e6) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=5), st.booleans(), st.sampled_from([None, 2]))
def test_valid_json_is_read_as_json(value, ascii_only, indent):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert find_object(text) == value
    assert find_object(f"Here it is:\n```json\n{text}\n```\nDone.", tuple(value)) == value


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="{}[]\"'“”:,\\/*abu01 \n", max_size=120), st.booleans())
def test_no_answer_breaks_it(text, close):
    found = read_object(text, close=close)
    assert found is None or isinstance(found.value, dict)
    assert found is None or found.complete or close


@pytest.mark.parametrize(
    ("answer", "meant"),
    [
        ('Sure!\n```json\n{"a": "x", "b": [1, 2,],}\n```', {"a": "x", "b": [1, 2]}),
        ('{"a": "one\ntwo\tthree"}', {"a": "one\ntwo\tthree"}),
        ('{"a": "He said "yes" and left", "b": 1}', {"a": 'He said "yes" and left', "b": 1}),
        ('{"a": "He said "yes", then left"}', {"a": 'He said "yes", then left'}),
        ("{'a': 'it's fine', 'b': True, 'c': None}", {"a": "it's fine", "b": True, "c": None}),
        ("{“a”: “smart “inner” quotes”, “b”: 2}", {"a": "smart “inner” quotes", "b": 2}),
        ('{"a": "x"\n "b": "y"}', {"a": "x", "b": "y"}),
        ('{a: 1, // why\n b: "http://x/{y}" /* done */}', {"a": 1, "b": "http://x/{y}"}),
        (r'{"a": "\alpha and \u00e9 \ud83d\ude00 \ud83d"}', {"a": "\\alpha and é 😀 \ufffd"}),
        ('{"a": "}{ nested \\" }"}', {"a": '}{ nested " }'}),
        ('<think>{"a": 0} or so?</think>\n{"a": 1}', {"a": 1}),
        ('I think so.\n</think>{"a": 1}', {"a": 1}),
        ('As [1] and {curly} say: {"a": 1}', {"a": 1}),
        ('[{"genre": "x"}, {"genre": "y"}]', {"items": [{"genre": "x"}, {"genre": "y"}]}),
        ('{{"a": 1}}', {"a": 1}),
        ('{"a": 1e999, "b": NaN, "c": 99999999999999999999}', {"a": None, "b": None, "c": 1e20}),
        ("\ufeff{\n}", {}),
    ],
)
def test_a_bent_answer_is_read_as_it_was_meant(answer, meant):
    assert find_object(answer) == meant


@pytest.mark.parametrize(
    "answer", ["", "no", "{", '{"a"}', "[1, 2]", '{"a": }', "<think>{}", '{"a": {"b": 1}', '{"a": wrong}']
)
def test_what_is_no_whole_object_is_none(answer):
    assert find_object(answer) is None


def test_of_several_objects_the_one_that_was_asked_for():
    answer = '{"note": "a long remark about nothing much", "x": 1} {"score": 2} then {"score": 3}'
    assert find_object(answer, ("score",)) == {"score": 3}
    assert find_object(answer) == {"note": "a long remark about nothing much", "x": 1}


@pytest.mark.parametrize(
    ("cut", "closed"),
    [
        ('{"a": "one", "b": "tw', {"a": "one", "b": "tw"}),
        ('{"a": "one", "b', {"a": "one"}),
        ('{"a": [{"b": 1}, {"b": 2', {"a": [{"b": 1}, {}]}),
        ('{"a": "one", "b":', {"a": "one"}),
    ],
)
def test_a_cut_end_is_closed_only_when_asked(cut, closed):
    assert read_object(cut) is None
    assert read_object(cut, close=True) == (closed, False)


@pytest.mark.parametrize(
    "bomb",
    [
        '{"a":' * 8_000,
        "[" * 50_000,
        '{"a' * 15_000,
        '{"a": "' + '" ' * 25_000,
        "{/*" * 15_000,
        '{"a": ' + "1" * 50_000,
        '{"a":1}' * 8_000,
        '{"a": "' + '\\"' * 25_000,
        '{"a"' + " " * 50_000,
    ],
)
def test_no_answer_costs_more_than_its_length(bomb):
    begin = time.process_time()
    read_object(bomb, close=True)
    assert time.process_time() - begin < 3  # quadratic work would take minutes


def test_thoughts_are_no_answer():
    assert without_thoughts("<think>\nlong\n</think>\n\nText with a </think> tag.") == "\n\nText with a </think> tag."
    assert without_thoughts("<think>never done") == ""
    assert without_thoughts("Plain text.") == "Plain text."
