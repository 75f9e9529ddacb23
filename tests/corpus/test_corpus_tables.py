"""Tables whose columns are of other types than ours: read where they are texts, set aside in so many words elsewhere."""

from __future__ import annotations

import datetime
import json
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recension.corpus import Reading, open_corpus
from tests.corpus.tools import jsonl, read_all, table_of

TURN = pa.struct([("role", pa.string()), ("content", pa.string()), ("at", pa.int32())])


def read_table(path, columns, reading=None):
    pq.write_table(pa.table(columns), path)
    return read_all(path, reading)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(4), pa.dictionary(pa.int8(), pa.binary())])
def test_texts_of_bytes(kind, tmp_path):
    texts = pa.array([b"caf\xc3"[:3] + b"e", b"\xff\xfe..", "né.".encode(), None], pa.binary())
    result = read_table(tmp_path / "a.parquet", {"id": list("abcd"), "text": texts.cast(kind)})
    assert [r.document.text for r in result.good] == ["cafe", "né."]
    assert [(bad.id, bad.reason) for bad in result.bad] == [("b", "not-utf8"), ("d", "missing-text")]
    original = pa.ipc.open_stream(result.bad[0].original).read_all()
    assert original["text"].to_pylist() == [b"\xff\xfe.."]
    assert table_of(result, {"a": {"text": "tea"}})["text"].to_pylist() == ["tea", "né."]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (pa.array([datetime.datetime(2024, 1, 1)], pa.timestamp("us")), "timestamp[us]"),
        (pa.array([datetime.date(2024, 1, 1)]), "date32[day]"),
        (pa.array([5]), "a number"),
        (pa.array([float("nan")]), "a number"),
        (pa.array([["a"]]), "a list"),
        (pa.array([{"a": "b"}]), "an object"),
        (pa.array([5], pa.duration("s")), "duration[s]"),
    ],
)
@pytest.mark.parametrize("name", ["text", "output"])
def test_what_is_no_text_is_never_edited(name, values, named, tmp_path):
    result = read_table(tmp_path / "a.parquet", {"instruction": ["i"], name: values})
    (bad,) = result.rows
    assert (bad.reason, bad.detail) == ("wrong-type", f"'{name}' is {named}, not a string")


def test_ids_of_bytes(tmp_path):
    ids = pa.array([b"name", b"\xff\x00", b"", None])
    result = read_table(tmp_path / "a.parquet", {"id": ids, "text": list("abcd")})
    assert [r.document.id for r in result.good][:2] == ["name", "ff00"]
    assert [r.document.given_id for r in result.good] == [True, True, False, False]
    names = [uuid.UUID(int=2**127 + 1).bytes]
    with pa.ipc.new_stream(tmp_path / "b.arrow", pa.schema([("id", pa.uuid()), ("text", pa.string())])) as writer:
        ids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array(names, pa.binary(16)))
        writer.write_table(pa.table({"id": ids, "text": ["t"]}))
    assert [r.document.id for r in read_all(tmp_path / "b.arrow").good] == [names[0].hex()]


def test_chats_of_bytes(tmp_path):
    turn = pa.struct([("role", pa.binary()), ("content", pa.binary()), ("blob", pa.binary())])
    chats = [[{"role": b"assistant", "content": b"abcd", "blob": b"\xff"}], [{"role": b"user", "content": b"\xff"}]]
    result = read_table(tmp_path / "a.parquet", {"id": ["a", "b"], "messages": pa.array(chats, pa.list_(turn))})
    assert [r.document.text for r in result.good] == ["assistant: abcd"]
    assert [(bad.reason, bad.detail[:30]) for bad in result.bad] == [("not-utf8", "the content of messages[0] is ")]
    written = table_of(result, {"a": {"messages[0].content": "é"}})["messages"].to_pylist()
    assert written == [[{"role": b"assistant", "content": "é".encode(), "blob": b"\xff"}]]


def test_chats_of_times(tmp_path):
    turn = pa.struct([("role", pa.string()), ("content", pa.timestamp("us"))])
    chats = pa.array([[{"role": "assistant", "content": 5}], [{"role": "assistant", "content": None}]], pa.list_(turn))
    result = read_table(tmp_path / "a.parquet", {"messages": chats})
    assert [bad.reason for bad in result.rows] == ["wrong-type", "empty-text"]


@pytest.mark.parametrize("kind", [pa.list_(TURN, 2), pa.large_list(TURN), pa.list_(TURN)])
@pytest.mark.parametrize("beside", [False, True])
def test_lists_of_messages_of_any_kind_with_gaps(kind, beside, tmp_path):
    chats = [
        [{"role": "user", "content": "q", "at": 1}, {"role": "assistant", "content": "a", "at": None}],
        None,
        [None, {"role": "assistant", "content": "b", "at": 2}],
        [{"role": "assistant", "content": "c", "at": 3}, None],
    ]
    pq.write_table(pa.table({"id": list("wxyz"), "messages": pa.array(chats, kind)}), tmp_path / "a.parquet")
    if beside:
        (tmp_path / "b.jsonl").write_bytes(jsonl({"id": "j", "messages": [None, {"role": "user", "content": "u"}]}))
    result = read_all(tmp_path)
    assert [(bad.id, bad.reason) for bad in result.bad] == [("x", "missing-text")]
    texts = ["user: q\n\nassistant: a", "assistant: b", "assistant: c", "user: u"]
    assert [r.document.text for r in result.good] == texts[: 3 + beside]
    written = table_of(result, {"y": {"messages[1].content": "B"}, "z": {"messages[0].content": "C"}})
    rows = {row["id"]: row for row in written.to_pylist()}
    if beside:
        assert rows["y"]["messages"] == [None, {"role": "assistant", "content": "B"}]
        assert json.loads(rows["y"]["metadata"]) == {"messages_extra": [None, {"at": 2}]}
        assert rows["j"]["messages"] == [None, {"role": "user", "content": "u"}]
        return
    assert written.schema.field("messages").type == kind
    chats[2][1]["content"], chats[3][0]["content"] = "B", "C"
    assert [rows[name]["messages"] for name in "wyz"] == [chats[0], chats[2], chats[3]]


def test_an_instruction_that_is_null_is_empty(tmp_path):
    rows = [{"instruction": None, "input": None, "output": "o"}, {"instruction": "i", "input": "n", "output": None}]
    (tmp_path / "a.jsonl").write_bytes(jsonl(*rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
    for name in ("a.jsonl", "b.parquet"):
        result = read_all(tmp_path / name, Reading(shape="instruction"))
        assert [r.document.text for r in result.good] == ["o"]
        assert [bad.reason for bad in result.bad] == ["missing-text"]
        written = table_of(result, {result.good[0].document.id: {"output": "O"}}).to_pylist()[0]
        assert [written[key] for key in rows[0]] == [None, None, "O"]


def test_origins_that_say_less_or_something_else(tmp_path):
    full = {"kind": "edited", "root": "r", "parent": "p", "method": "m", "run": "x", "generation": 2, "edition": 1}
    origins = [
        full,
        {**full, "generation": None},
        {**full, "kind": "stolen"},
        {**full, "generation": -1, "root": None, "parent": None},
        dict.fromkeys(full),
        None,
    ]
    columns = {"id": list("abcdef"), "text": list("abcdef"), "origin": origins}
    result = read_table(tmp_path / "a.parquet", columns, Reading(origin="human"))
    assert not result.bad
    found = [(o.kind, o.root, o.parent, o.generation) for r in result.good for o in (r.document.origin,)]
    assert found == [
        ("edited", "r", "p", 2),
        ("edited", "r", "p", 0),
        ("unknown", "r", "p", 2),
        ("edited", "d", "d", 0),
        ("human", "e", "e", 0),
        ("human", "f", "f", 0),
    ]
    table_of(result)
    huge = {**full, "generation": 1 << 40}
    (tmp_path / "a.jsonl").write_bytes(jsonl({"text": "a", "origin": huge}))
    assert json.loads(table_of(read_all(tmp_path / "a.jsonl"))["metadata"][0].as_py())["origin"] == huge


def test_two_columns_of_one_name_are_one_file_set_aside(tmp_path):
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array([1]), pa.array([2])], names=["text", "n", "n"])
    pq.write_table(twice, tmp_path / "a.parquet")
    with pa.ipc.new_stream(tmp_path / "b.arrow", twice.schema) as writer:
        writer.write_table(twice)
    pq.write_table(pa.table({"text": ["fine"], "n": [1]}), tmp_path / "c.parquet")
    result = read_all(tmp_path)
    assert [r.document.text for r in result.good] == ["fine"]
    assert [bad.reason for bad in result.bad] == ["unreadable-parquet", "unreadable-arrow"]
    assert all("two columns are named 'n'" in bad.detail for bad in result.bad)
    assert result.corpus.layout.kind == "columns"


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the system does not count what is read")
def test_a_table_is_hashed_once(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [str(i) * 50 for i in range(300_000)]}), path, compression="none")
    corpus = open_corpus([str(path)], Reading())

    def bytes_read():
        before = count_read()
        pieces = list(corpus.pieces(1 << 20))
        assert len(pieces) > 0
        return count_read() - before

    def count_read():
        return int(Path("/proc/self/io").read_text().split()[1])

    size = path.stat().st_size
    assert bytes_read() >= size
    digest = dict(corpus.digests)
    assert bytes_read() < size / 4
    assert corpus.digests == digest
