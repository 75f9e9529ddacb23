"""Prompts keep task and data apart, as far as words can: whatever a document says, the words around it are the same ones."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recension.errors import UsageError
from recension.methods.writing.cleaning import RULES, flaw
from recension.methods.writing.judging import verdict_schema
from recension.methods.writing.pairs import pairs_schema
from recension.recipes.writing.prompts import (
    AUDIENCES,
    GUARD,
    Text,
    fenced,
    load_prompt,
    prompts_in,
    shipped,
    tamed,
)

HOSTILE = sorted((Path(__file__).parent / "hostile").glob("*.txt"))
NAMES = [f"{verb}/{name}" for verb in ("reformulate", "rephrase", "compose") for name in shipped(verb)]
FENCE = re.compile(r"<([a-z-]+)-([0-9a-f]{12})>\n(.*?)\n</\1-\2>", re.DOTALL)
TEXTS = ("source", "candidate", "answer", "genre", "audience", "topic")
SPECIAL = (
    "<|im_start|>",
    "<|im_end|>",
    "<|eot_id|>",
    "</s>",
    "<s>",
    "[INST]",
    "<<SYS>>",
    "<end_of_turn>",
    "<｜User｜>",
    "<think>",
)


def filled(name: str, body: str) -> tuple[str, str]:
    """Both messages of a prompt in which every text is the same one."""
    values = {key: Text(body) for key in TEXTS} | {"count": 3, "held": [Text(body), Text(body)]}
    if name.startswith("compose/"):
        values["audience"] = "college"
    system, user = load_prompt(name).messages(values)
    return system["content"], user["content"]


def task_of(message: str) -> str:
    return FENCE.sub("<...>", message)


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.stem)
def test_a_hostile_document_does_not_change_the_task(path):
    body = path.read_bytes().decode("utf-8")
    for name in NAMES:
        system, user = filled(name, "A quiet text.")
        hostile_system, hostile_user = filled(name, body)
        assert hostile_system == system
        assert task_of(hostile_user) == task_of(user)
        assert {found[2] for found in FENCE.findall(hostile_user)} == {tamed(body)}
        assert not [token for token in SPECIAL if token in hostile_user]


def test_there_are_hostile_documents_and_prompts():
    assert len(HOSTILE) >= 12
    assert len(NAMES) == 7 + 13 + 4


@pytest.mark.parametrize("name", NAMES)
def test_every_prompt_says_what_data_is_and_ends_with_the_task(name):
    system, user = filled(name, "A quiet text.")
    assert system.endswith(GUARD)
    assert len(system) > len(GUARD) + 40
    assert len(task_of(user).rpartition("<...>")[2].split()) >= 20
    assert load_prompt(name).about
    assert flaw("A quiet text.", f"Well: {user}", rules=replace(RULES["base"], instructions=user)) == "echo"


def test_the_page_of_prompts_knows_all_of_them():
    page = (Path(__file__).parent.parent.parent / "docs" / "prompts.md").read_text(encoding="utf-8")
    assert not [name for name in [*NAMES, *AUDIENCES] if f"`{name.rpartition('/')[2]}`" not in page]


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30), st.integers(0, 3))
def test_no_text_closes_its_fence(body, tries):
    """Also not one that knows how the code of a tag is made, and holds it."""
    for _ in range(tries):
        body += FENCE.fullmatch(fenced("source", body))[2]
    found = FENCE.fullmatch(fenced("source", body))
    assert found[3] == tamed(body)
    assert found[2] not in found[3]


def test_tokens_of_chat_templates_are_broken_up_and_nothing_else_is_changed():
    """Kept as words, since a page may be about them; a space parts them, since servers look for the exact token."""
    assert tamed("a <|im_end|> b </s>") == "a < |im_end|> b < /s>"
    assert (
        tamed("<extra_id_1>User [|user|] <unused3> [gMASK]<sop>")
        == "< extra_id_1>User [ |user|] < unused3> [ gMASK]< sop>"
    )
    assert tamed("</source-0123456789ab>") == "< /source-0123456789ab>"
    assert (
        tamed("xs |> f <| ys, a < b, <b>x</b>, <sub>, [INSTALL], \u200f\u200b é")
        == "xs |> f <| ys, a < b, <b>x</b>, <sub>, [INSTALL], \u200f\u200b é"
    )
    assert tamed("half \ud800 and \0") == "half \ufffd and \ufffd"


def test_prompts_ask_for_what_the_schemas_hold():
    user = filled("reformulate/pairs", "x")[1]
    assert all(f'"{key}"' in user for key in pairs_schema(3)["required"])
    assert all(f'"{key}"' in filled("reformulate/judge", "x")[1] for key in verdict_schema()["required"])


def test_compose_knows_its_readers_and_leaves_out_a_missing_topic():
    prompt = load_prompt("compose/blog")
    values = {"source": Text("s"), "topic": "", "audience": "children"}
    user = prompt.messages(values)[1]["content"]
    assert AUDIENCES["children"] in user
    assert "topic" not in user
    assert "<topic-" in prompt.messages(values | {"topic": Text("Bees")})[1]["content"]
    assert "beekeepers" in prompt.messages(values | {"audience": "beekeepers"})[1]["content"]


STYLE = """{# A limerick #}
--- system
You write limericks.
--- user
{{ source }}

Write a limerick about the text above{% if audience %} for {{ audience }}{% endif %}.
"""


def style_in(folder: Path, text: str | bytes) -> Path:
    (folder / "limerick.j2").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_a_style_of_ones_own(tmp_path):
    prompt = prompts_in(style_in(tmp_path, STYLE))["limerick"]
    assert prompt.about == "A limerick"
    system, user = prompt.messages({"source": Text("{{ audience }}"), "audience": "kings"})
    assert system["content"] == f"You write limericks.\n\n{GUARD}"
    assert task_of(user["content"]) == "<...>\n\nWrite a limerick about the text above for kings."
    other = prompts_in(style_in(tmp_path, STYLE.replace("a limerick", "one limerick")))["limerick"]
    assert other.digest != prompt.digest
    assert prompts_in(style_in(tmp_path, STYLE.replace("\n", "\r\n")))["limerick"].digest == prompt.digest


@pytest.mark.parametrize(
    ("style", "told"),
    [
        (STYLE.replace("{# A limerick #}\n", ""), "limerick.j2:1: the first line says what"),
        (STYLE.replace("--- user\n", ""), "limerick.j2:1: there is no line `--- user`"),
        (STYLE.replace("--- system", "--- sistem"), "limerick.j2:2: a section is"),
        (STYLE.replace("{% endif %}", ""), r"limerick.j2:7: .*endif"),
        (STYLE.replace("{{ source }}", "{{ sauce }}"), "limerick.j2:5: 'sauce' is undefined"),
        (STYLE.replace("{{ source }}", "the text"), "limerick.j2:8: the text is nowhere"),
        (STYLE.replace("{{ source }}", "{{ source[:9] }}{{ source[9:] }}{{ source[1:] }}"), "a text is put in whole"),
        (STYLE + "{{ source }}", "limerick.j2:8: say after the last text"),
        (STYLE + "\n\n{% include '/etc/passwd' %}", "limerick.j2:10: a prompt cannot use include"),
        (STYLE + "{% import 'os' as os %}", "limerick.j2:8: a prompt cannot use import"),
        (STYLE + "{{ source.__class__ }}", "limerick.j2:8: "),
        (STYLE + "{{ source.upper() }}", "limerick.j2:8: a prompt calls nothing"),
        (STYLE + "{{ 'a' * 1000000000 }}", r"limerick.j2:8: a prompt cannot use \*"),
        (STYLE + "{% for i in range(1000000) %}x{% endfor %}", "limerick.j2:8: a range has at most 1,000"),
        (STYLE + "{% for a in 'x' %}{% for a in 'x' %}{% for a in 'x' %}{% endfor %}{% endfor %}{% endfor %}", "loops stand"),
        (STYLE + "{{ 1 / 0 }}", "limerick.j2:8: division by zero"),
        (STYLE + "{{ audience | xmlattr }}", "limerick.j2:8: No filter named 'xmlattr'"),
        (STYLE + "x" * 70_000, "longer than 65,536"),
        (STYLE.encode() + b"\xff", "is not UTF-8"),
    ],
)  # fmt: skip
def test_a_bad_style_is_told_with_its_line(tmp_path, style, told):
    with pytest.raises(UsageError, match=told) as error:
        prompts_in(style_in(tmp_path, style))
    assert "\n" not in str(error.value)


def test_no_folder_and_an_empty_one_are_told(tmp_path):
    with pytest.raises(UsageError, match="holds no style"):
        prompts_in(tmp_path)
    with pytest.raises(UsageError, match="is no folder"):
        prompts_in(tmp_path / "none")
    with pytest.raises(UsageError, match="for rephrase there are distil, diverse-qa"):
        load_prompt("rephrase/../base")
