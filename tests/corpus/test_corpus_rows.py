"""Every kind of row, good and bad, and that nothing of it is lost."""

from __future__ import annotations

import gzip
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recension.corpus import Reading, rebuild
from recension.corpus.jsonrows import json_record
from recension.corpus.jsonvalues import columns_of, json_object
from recension.corpus.rows import Fault, Place
from tests.corpus.tools import jsonl, read_all, table_of

BAD = {
    "broken": (b'{"text": "a"', "not-json"),
    "trailing": (b'{"text": "a"} x', "not-json"),
    "nan": (b'{"text": "a", "score": NaN}', "not-json"),
    "control": (b'{"text": "a\tb"}', "not-json"),
    "list": (b"[1, 2]", "not-an-object"),
    "number": (b"17", "not-an-object"),
    "missing": (b'{"body": "a"}', "missing-text"),
    "null": (b'{"text": null}', "missing-text"),
    "empty": (b'{"text": ""}', "empty-text"),
    "typed": (b'{"text": 5}', "wrong-type"),
    "object": (b'{"text": {"a": 1}}', "wrong-type"),
    "latin": (b'{"text": "caf\xe9"}', "not-utf8"),
    "latin-elsewhere": (b'{"text": "a", "b": "caf\xe9"}', "not-utf8"),
    "nul": (b'{"text": "a\\u0000b"}', "nul"),
    "raw-nul": (b'{"text": "a\0b"}', "not-json"),
    "surrogate": (b'{"text": "a\\ud800b"}', "lone-surrogate"),
    "surrogate-id": (b'{"id": "\\udc00", "text": "a"}', "lone-surrogate"),
    "surrogate-in-list-id": (b'{"id": ["\\udc00"], "text": "a"}', "lone-surrogate"),
    "nul-id": (b'{"id": "\\u0000", "text": "a"}', "nul"),
    "twice": (b'{"text": "a", "n": 1, "n": 2}', "duplicate-key"),
    "deep": (b'{"text": "a", "n": ' + b"[" * 5000 + b"]" * 5000 + b"}", "not-json"),
    "messages": (b'{"messages": [1]}', "wrong-type"),
    "no-role": (b'{"messages": [{"content": "a"}]}', "wrong-type"),
    "no-content": (b'{"messages": [{"role": "user"}]}', "empty-text"),
    "no-answer": (b'{"instruction": "a", "output": ""}', "empty-text"),
    "answer": (b'{"instruction": "a", "output": 7}', "wrong-type"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_row(name, tmp_path):
    line, reason = BAD[name]
    before, after = {"id": "first", "text": "one"}, {"id": "last", "text": "two"}
    content = jsonl(before, line, after)
    (tmp_path / "a.jsonl").write_bytes(content)
    result = read_all(tmp_path, Reading(shape="mixed"))
    assert [r.document.id for r in result.good] == ["first", "last"]
    (bad,) = result.bad
    assert (bad.reason, bad.original, bad.original_format) == (reason, line, "raw")
    assert bad.sha256 == hashlib.sha256(line).hexdigest()
    assert bad.place.file == "a.jsonl"
    assert bad.place.row == 2
    assert content[bad.place.offset :][: bad.place.length] == line
    assert bad.detail
    assert "\n" not in bad.detail


def test_the_detail_names_nan(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a", "score": -Infinity}\n')
    (bad,) = read_all(tmp_path).bad
    assert "-Infinity" in bad.detail


def test_a_bad_row_keeps_the_id_it_brought(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(jsonl({"id": "mine", "text": ""}, {"id": 12, "text": None}))
    assert [bad.id for bad in read_all(tmp_path).bad] == ["mine", "12"]


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("long", [200, 70_000, 5_000_000])
def test_too_long(long, ending, tmp_path):
    line = json.dumps({"id": "x", "text": "ab" * (long // 2)}).encode()
    content = jsonl({"text": "one"}, line, {"text": "two"})
    (tmp_path / f"a.jsonl{ending}").write_bytes(gzip.compress(content) if ending else content)
    result = read_all(tmp_path, Reading(max_row=100))
    assert [r.document.text for r in result.good] == ["one", "two"]
    assert [r.place.row for r in result.good] == [1, 3]
    (bad,) = result.bad
    assert bad.reason == "too-long"
    assert bad.original == line[: 64 << 10]
    assert bad.sha256 == hashlib.sha256(line).hexdigest()
    assert (bad.place.row, bad.place.offset, bad.place.length) == (2, content.index(line), len(line))


@pytest.mark.parametrize("unit", ["document", "paragraph"])
def test_too_long_text(unit, tmp_path):
    body = b"word " * 600_000
    (tmp_path / "a.txt").write_bytes(body)
    (bad,) = read_all(tmp_path, Reading(max_row=1000, text_unit=unit)).rows
    assert (bad.reason, bad.sha256, bad.place.length) == ("too-long", hashlib.sha256(body).hexdigest(), len(body))


def test_ids(tmp_path):
    rows = [
        b'{"id": %s, "text": "a"}' % raw for raw in (b'"s"', b"7", b"1.0", b"true", b'{"a": [1.50]}', b'""', b"null")
    ]
    (tmp_path / "a.jsonl").write_bytes(jsonl(*rows, b'{"text": "a"}', b'{"id": "s", "text": "again"}'))
    documents = [r.document for r in read_all(tmp_path).good]
    ids = [document.id for document in documents]
    assert ids[:5] == ["s", "7", "1.0", "true", '{"a":[1.50]}']
    assert ids[8] == "s"
    assert [document.given_id for document in documents] == [True] * 5 + [False] * 3 + [True]
    assert len(set(ids[5:8])) == 3
    content = {name.split("-")[0] for name in ids[5:8]}
    assert content == {hashlib.sha256(b"a").hexdigest()[:16]}


def test_derived_ids_do_not_move_with_the_folder(tmp_path):
    for folder in ("here", "there/deeper"):
        (tmp_path / folder / "sub").mkdir(parents=True)
        (tmp_path / folder / "sub" / "a.jsonl").write_bytes(jsonl({"text": "a"}, {"text": "a"}))
    here = [r.document.id for r in read_all(tmp_path / "here").good]
    there = [r.document.id for r in read_all(tmp_path / "there" / "deeper").good]
    assert here == there
    assert len(set(here)) == 2


def test_other_columns_survive_byte_for_byte(tmp_path):
    others = b'"big": 123456789012345678901234567890, "s": "\\ud800", "e": 1e999, "o": {"b":  [1,2 ]}'
    line = b'{"id": "x", "z": 1.0, "text": "a", ' + others + b"}"
    (tmp_path / "a.jsonl").write_bytes(line + b"\r\n")
    result = read_all(tmp_path)
    metadata = table_of(result)["metadata"][0].as_py()
    assert metadata == '{"z":1.0,"big":123456789012345678901234567890,"s":"\\ud800","e":1e999,"o":{"b":  [1,2 ]}}'


@pytest.mark.parametrize(
    "line", [b'{"text": "a", "metadata": {"k":  1.0}}', b'{"text":"a","metadata":"{\\"k\\":  1.0}"}']
)
def test_metadata_alone_is_kept_exactly(line, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(line)
    assert table_of(read_all(tmp_path))["metadata"].to_pylist() == ['{"k":  1.0}']


def test_metadata_that_is_no_object_or_not_alone(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(
        jsonl(b'{"text":"a","metadata":"no"}', b'{"text":"a","metadata":{"a":1},"b":2}', b'{"text":"a"}')
    )
    written = table_of(read_all(tmp_path))["metadata"].to_pylist()
    assert written == ['{"metadata":"no"}', '{"metadata":{"a":1},"b":2}', "{}"]


def test_other_keys(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"name": "n", "body": "b", "text": "other", "id": 4}\n')
    result = read_all(tmp_path, Reading(text_key="body", id_key="name"))
    table = table_of(result).to_pylist()[0]
    assert (table["id"], table["text"], table["metadata"]) == ("n", "b", '{"text":"other","id":4}')


def test_blank_lines_bom_and_crlf(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text":"a"}\r\n\r\n  \n{"text":"b"}\n\n{"text":"c"}')
    result = read_all(tmp_path)
    assert [(r.document.text, r.place.row) for r in result.rows] == [("a", 1), ("b", 4), ("c", 6)]
    assert result.good[0].place.offset == 3


def test_chat(tmp_path):
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "what is this?"}, {"type": "image", "url": "u"}]},
        {"role": "assistant", "content": "a cat", "name": "bot"},
        {"role": "assistant", "content": None, "tool_calls": [1.0]},
        {"role": "assistant", "content": "no, a dog"},
    ]
    (tmp_path / "a.jsonl").write_bytes(jsonl({"id": "c", "messages": messages, "lang": "en"}))
    result = read_all(tmp_path)
    (record,) = result.good
    document = record.document
    assert document.text == ("system: be brief\n\nuser: what is this?\n\nassistant: a cat\n\nassistant: no, a dog")
    assert [(f.path, document.text[f.start : f.end]) for f in document.fields] == [
        ("messages[2].content", "a cat"),
        ("messages[4].content", "no, a dog"),
    ]
    row = table_of(result, {"c": {"messages[4].content": "no, a fox"}}).to_pylist()[0]
    assert [turn["content"] for turn in row["messages"]] == ["be brief", None, "a cat", None, "no, a fox"]
    metadata = json.loads(row["metadata"])
    assert metadata["lang"] == "en"
    assert metadata["messages_extra"] == [
        {},
        {"content": messages[1]["content"]},
        {"name": "bot"},
        {"tool_calls": [1.0]},
        {},
    ]


def test_instruction(tmp_path):
    rows = [{"instruction": "add", "input": "1 and 2", "output": "three"}, {"instruction": "greet", "output": "hi"}]
    (tmp_path / "a.jsonl").write_bytes(jsonl(*rows))
    result = read_all(tmp_path)
    assert [r.document.text for r in result.good] == ["add\n\n1 and 2\n\nthree", "greet\n\nhi"]
    assert [r.document.text[f.start : f.end] for r in result.good for f in r.document.fields] == ["three", "hi"]
    changed = {result.good[0].document.id: {"output": "3"}}
    table = table_of(result, changed).to_pylist()
    assert [(r["instruction"], r["input"], r["output"]) for r in table] == [
        ("add", "1 and 2", "3"),
        ("greet", None, "hi"),
    ]
    with pytest.raises(ValueError, match="no field"):
        rebuild(result.good[0], {"text": "x"}, result.good[0].document)


def test_a_shape_that_was_not_seen_is_set_aside(tmp_path):
    text = {"text": "a" * 1500}
    (tmp_path / "a.jsonl").write_bytes(jsonl(*[text] * 1200, {"instruction": "a", "output": "b"}))
    result = read_all(tmp_path)
    (bad,) = result.bad
    assert bad.reason == "unexpected-shape"
    assert "--shape mixed" in bad.detail
    mixed = read_all(tmp_path, Reading(shape="mixed"))
    assert not mixed.bad
    assert mixed.corpus.layout.shapes == ("text", "chat", "instruction")


def test_a_declared_shape_reads_only_that(tmp_path):
    row = {"text": "t", "messages": [{"role": "assistant", "content": "m"}]}
    (tmp_path / "a.jsonl").write_bytes(jsonl(row, {"text": "only"}))
    result = read_all(tmp_path, Reading(shape="chat"))
    assert [r.document.text for r in result.good] == ["assistant: m"]
    assert [bad.reason for bad in result.bad] == ["missing-text"]
    assert json.loads(table_of(result)["metadata"][0].as_py()) == {"text": "t"}


def test_origin(tmp_path):
    ours = {"kind": "edited", "root": "r", "parent": "p", "method": "edit", "run": "k", "generation": 2, "edition": 1}
    rows = [{"text": "a", "origin": ours}, {"text": "b", "origin": "the web"}, {"text": "c"}]
    (tmp_path / "a.jsonl").write_bytes(jsonl(*rows))
    result = read_all(tmp_path, Reading(origin="human"))
    origins = [r.document.origin for r in result.good]
    assert (origins[0].kind, origins[0].root, origins[0].generation) == ("edited", "r", 2)
    assert [origin.kind for origin in origins[1:]] == ["human", "human"]
    assert origins[2].root == origins[2].parent == result.good[2].document.id
    assert json.loads(table_of(result)["metadata"][1].as_py()) == {"origin": "the web"}
    assert read_all(tmp_path).good[2].document.origin.kind == "unknown"


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(max_size=9),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=6,
        ),
    ),
    st.sampled_from([(", ", ": "), (",", ":"), (" ,\t", " : ")]),
    st.booleans(),
)
def test_columns_are_what_json_says(row, separators, ascii_only):
    line = json.dumps(row, separators=separators, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    columns = columns_of(line)
    if isinstance(columns, Fault):  # text() makes lone surrogates; written as they are they are no UTF-8
        assert columns.reason == "not-utf8"
        assert not ascii_only
        return
    assert {key: json.loads(bytes(raw)) for key, raw in columns.items()} == row
    assert json.loads(json_object(columns)) == row


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_text_is_read_exactly(text):
    for ascii_only in (True, False):
        line = json.dumps({"text": text}, ensure_ascii=ascii_only).encode()
        record = json_record(line, Place("a", 1, 0, len(line)), Reading(), ("text",))
        assert record.document.text == text
        assert record.document.fields[0] == ("text", 0, len(text))
