"""What is written of what was read: columns, types, conflicts, and the tools that read it."""

from __future__ import annotations

import datetime
import decimal
import json
import pickle
import random

import datasets
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recension.corpus import FORMATS, Reading, open_writer, read_table_rows
from recension.corpus.layout import OutRow, set_aside
from recension.corpus.plain import arrow_values, plain_values
from recension.errors import InputError, UsageError
from tests.corpus.tools import jsonl, read_all, table_of, write_all

TIME = datetime.datetime(2024, 2, 29, 12, 30, 1, 5, tzinfo=datetime.UTC)
STRUCT = pa.struct([("a", pa.timestamp("us", tz="UTC")), ("b", pa.list_(pa.float64()))])
COLUMNS = {
    "small": pa.array([1, None, -3], pa.int8()),
    "big": pa.array([2**63, 0, None], pa.uint64()),
    "single": pa.array([0.1, float("nan"), float("-inf")], pa.float32()),
    "half": pa.array([np.float16(1.5), None, np.float16(2)], pa.float16()),
    "flag": pa.array([True, None, False]),
    "when": pa.array([TIME, None, TIME], pa.timestamp("us", tz="UTC")),
    "fine": pa.array([1, None, 2**61], pa.timestamp("ns")),
    "day": pa.array([datetime.date(1999, 1, 1), None, datetime.date(1, 1, 1)]),
    "clock": pa.array([datetime.time(1, 2, 3, 4), None, datetime.time(23)], pa.time64("us")),
    "seconds": pa.array([datetime.time(1, 2, 3), None, datetime.time(23)], pa.time32("s")),
    "span": pa.array([5, None, 7], pa.duration("ms")),
    "price": pa.array([decimal.Decimal("1.10"), None, decimal.Decimal("-2.00")], pa.decimal128(9, 2)),
    "bytes": pa.array([b"\xff\0", None, b""]),
    "fixed": pa.array([b"ab", None, b"cd"], pa.binary(2)),
    "large": pa.array(["a", None, "c"], pa.large_string()),
    "words": pa.array(["x", None, "x"]).dictionary_encode(),
    "list": pa.array([[1, None], None, []], pa.list_(pa.int16())),
    "lists": pa.array([[[b"a"], None], None, []], pa.large_list(pa.list_(pa.binary()))),
    "pair": pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int32(), 2)),
    "struct": pa.array([{"a": TIME, "b": [1.5]}, None, {"a": None, "b": None}], STRUCT),
    "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int32())),
    "nothing": pa.nulls(3),
}


def typed_table():
    return pa.table({"id": ["a", "b", "c"], "text": ["one", "two", "three"], **COLUMNS})


@pytest.mark.parametrize("name", COLUMNS)
def test_plain_values_and_back(name):
    array = COLUMNS[name]
    for part in (array, array.slice(1), array.slice(0, 2), array.slice(1, 0)):
        plain = json.loads(json.dumps(plain_values(part), allow_nan=False))
        assert plain_values(arrow_values(plain, part.type)) == plain
        back = arrow_values(plain, part.type)
        back.validate(full=True)
        assert str(back.to_pylist()) == str(part.to_pylist())


def test_columns_of_tables_keep_name_and_type(tmp_path):
    table = typed_table().drop_columns("seconds")  # parquet has no such type
    pq.write_table(table.slice(0, 2), tmp_path / "a.parquet", row_group_size=1)
    with pa.ipc.new_stream(tmp_path / "b.arrow", table.schema) as writer:
        writer.write_table(table.slice(2))
    result = read_all(tmp_path)
    assert result.corpus.layout.kind == "columns"
    assert pickle.loads(pickle.dumps(result.corpus.layout)).to_json() == result.corpus.layout.to_json()
    written = table_of(result, {"b": {"text": "TWO"}})
    for name in table.schema.names[2:]:
        array = COLUMNS[name]
        assert written.schema.field(name).type == array.type
        assert str(written[name].to_pylist()) == str(array.to_pylist())
    assert written["text"].to_pylist() == ["one", "TWO", "three"]
    for format in FORMATS:
        (tmp_path / format).mkdir()
        with open_writer(tmp_path / format / "00000", written.schema, format) as writer:
            writer.write(written)
            writer.close()
        (path,) = (tmp_path / format).iterdir()
        back = pa.Table.from_batches(read_table_rows(path, written.schema))
        assert back.schema == written.schema
        assert str(back.to_pylist()) == str(written.to_pylist())


def test_our_names_are_taken(tmp_path):
    table = pa.table(
        {"id": [1, 2], "source_id": ["p", "q"], "text": ["x", "y"], "body": ["a", "b"], "origin": ["w", "v"]}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    written = table_of(read_all(tmp_path, Reading(text_key="body", id_key="none")))
    assert written["text"].to_pylist() == ["a", "b"]
    assert written["source_text"].to_pylist() == ["x", "y"]
    assert written["source_source_id"].to_pylist() == [1, 2]
    assert written["source_id"].to_pylist() == ["p", "q"]
    assert written["source_origin"].to_pylist() == ["w", "v"]
    assert written.schema.names[:3] == ["id", "text", "origin"]


def test_an_origin_column_of_ours(tmp_path):
    def origins(*kinds):
        names = ("root", "parent", "method", "run")
        return [{"kind": kind, **dict.fromkeys(names, "x"), "generation": 1} if kind else None for kind in kinds]

    table = pa.table({"text": ["a", "b", "c"], "origin": origins("human", None, "odd")})
    pq.write_table(table, tmp_path / "a.parquet")
    result = read_all(tmp_path)
    assert [r.document.origin.kind for r in result.good] == ["human", "unknown", "unknown"]
    assert result.good[0].document.origin.root == "x"
    assert (result.good[2].document.origin.root, result.good[2].document.origin.generation) == ("x", 1)
    assert table_of(result).schema.names == ["id", "text", "origin"]


def test_missing_and_null_columns_are_promoted(tmp_path):
    pq.write_table(pa.table({"text": ["a"], "n": pa.nulls(1)}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["b"], "n": [5], "m": ["x"]}), tmp_path / "b.parquet")
    written = table_of(read_all(tmp_path))
    assert written.select(["text", "n", "m"]).to_pylist() == [
        {"text": "a", "n": None, "m": None},
        {"text": "b", "n": 5, "m": "x"},
    ]


def test_tables_that_do_not_agree_go_to_metadata(tmp_path):
    pq.write_table(pa.table({"text": ["a"], "n": [1], "at": [TIME], "x": [float("nan")]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["b"], "n": ["one"]}), tmp_path / "b.parquet")
    (tmp_path / "c.jsonl").write_bytes(jsonl({"text": "c", "n": {"deep": 1}}))
    written = table_of(read_all(tmp_path)).to_pylist()
    assert [json.loads(row["metadata"]) for row in written] == [
        {"n": 1, "at": "2024-02-29 12:30:01.000005Z", "x": "NaN"},
        {"n": "one"},
        {"n": {"deep": 1}},
    ]


def test_chat_and_instruction_tables(tmp_path):
    turn = pa.struct([("content", pa.large_string()), ("role", pa.string()), ("at", pa.timestamp("ns"))])
    chats = [
        [{"role": "user", "content": "q", "at": 1}, {"role": "assistant", "content": "a", "at": None}],
        None,
        [],
        [{"role": "assistant", "content": "z", "at": 7}],
    ]
    table = pa.table({"id": list("abcd"), "messages": pa.array(chats, pa.list_(turn)), "k": [1, 2, 3, 4]})
    pq.write_table(table, tmp_path / "a.parquet")
    result = read_all(tmp_path)
    assert [bad.reason for bad in result.bad] == ["missing-text", "empty-text"]
    written = table_of(result, {"a": {"messages[1].content": "A"}})
    assert written.schema.field("messages").type == pa.list_(turn)
    chats[0][1]["content"] = "A"
    expected = pa.array([chats[0], chats[3]], pa.list_(turn))
    assert written["messages"].combine_chunks() == expected
    pq.write_table(pa.table({"instruction": ["i", "j"], "output": ["o", "p"], "n": [1, 2]}), tmp_path / "a.parquet")
    result = read_all(tmp_path)
    changed = {result.good[1].document.id: {"output": "P"}}
    assert table_of(result, changed).select(["instruction", "output", "n"]).to_pylist() == [
        {"instruction": "i", "output": "o", "n": 1},
        {"instruction": "j", "output": "P", "n": 2},
    ]


def test_rows_out_of_order_and_with_gaps(tmp_path):
    table = pa.table({"id": [str(i) for i in range(50)], "text": ["t"] * 50, "n": list(range(50))})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=9)
    result = read_all(tmp_path)
    rows = [OutRow(r, r.document) for r in result.good]
    random.Random(1).shuffle(rows)
    batch = result.corpus.layout.batch(rows[:31])
    assert batch["n"].to_pylist() == [int(name) for name in batch["id"].to_pylist()]
    assert result.corpus.layout.batch([]).num_rows == 0


def test_what_is_set_aside_later_keeps_its_original(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"id":"x",  "text":"t"}\n')
    bad = set_aside(read_all(tmp_path).good[0], "short", "too short")
    assert (bad.id, bad.reason, bad.original) == ("x", "short", b'{"id":"x",  "text":"t"}')
    pq.write_table(typed_table(), tmp_path / "a.parquet")
    bad = set_aside(read_all(tmp_path / "a.parquet").good[1], "short", "too short")
    assert str(pa.ipc.open_stream(bad.original).read_all().to_pylist()) == str(typed_table().slice(1, 1).to_pylist())


CONFLICTS = jsonl(
    {"id": "a", "text": "one", "score": 1, "tags": ["x"], "who": {"name": "n"}},
    {"id": 2, "text": "two", "score": "high", "tags": "x", "who": None},
    b'{"id": "a", "text": "three", "score": [1, {"deep": 1.0}], "who": "me"}',
    {"text": "four", "origin": 7},
    b"{broken",
    {"text": 5},
)


@pytest.mark.parametrize("format", FORMATS)
def test_datasets_loads_rows_whose_types_conflict(format, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(CONFLICTS)
    out = tmp_path / "out"
    write_all(out, read_all(tmp_path / "a.jsonl"), format=format)
    cache = str(tmp_path / "cache")
    data = datasets.load_dataset(str(out), "data", cache_dir=cache)["train"]
    assert data["text"] == ["one", "two", "three", "four"]
    assert data["id"][:3] == ["a", "2", "a"]
    assert json.loads(data["metadata"][0]) == {"score": 1, "tags": ["x"], "who": {"name": "n"}}
    assert data["metadata"][2] == '{"score":[1, {"deep": 1.0}],"who":"me"}'
    assert data["origin"][0]["generation"] == 0
    dropped = datasets.load_dataset(str(out), "dropped", cache_dir=cache)["train"]
    assert dropped["reason"] == ["not-json", "wrong-type"]
    assert dropped["row"] == [5, 6]


def test_pandas_polars_and_duckdb_read_the_parquet(tmp_path):
    pq.write_table(typed_table().drop_columns(["half", "map"]), tmp_path / "a.parquet")
    out = tmp_path / "out"
    write_all(out, read_all(tmp_path / "a.parquet"))
    path = out / "data" / "00000.parquet"
    assert pd.read_parquet(path)["text"].tolist() == ["one", "two", "three"]
    assert pl.read_parquet(path)["text"].to_list() == ["one", "two", "three"]
    assert duckdb.sql(f"select origin.kind, text from '{path}'").fetchall()[0] == ("unknown", "one")
    assert datasets.load_dataset(str(out), "data", cache_dir=str(tmp_path / "cache"))["train"]["small"] == [1, None, -3]


@pytest.mark.parametrize("format", FORMATS)
def test_what_we_wrote_reads_as_it_was(format, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(CONFLICTS)
    first = read_all(tmp_path / "a.jsonl")
    write_all(tmp_path / "out", first, format=format)
    again = read_all(tmp_path / "out" / "data")
    assert [r.document.text for r in again.good] == [r.document.text for r in first.good]
    assert [r.document.origin for r in again.good] == [r.document.origin for r in first.good]
    assert table_of(again).select(["id", "text", "origin", "metadata"]) == table_of(first).select(
        ["id", "text", "origin", "metadata"]
    )


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_rows_give_the_same_bytes(format, tmp_path):
    rng = random.Random(5)
    table = pa.table(
        {"id": [str(i) for i in range(3000)], "n": [rng.random() for _ in range(3000)], "b": [b"x"] * 3000}
    )
    written = []
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        with open_writer(tmp_path / run / "00.000", table.schema, format) as writer:
            for batch in table.to_batches(max_chunksize=101):
                writer.write(batch)
            written.append(writer.close())
    assert written[0] == written[1]
    path = tmp_path / "one" / f"00.000.{format}"
    assert (written[0].name, written[0].rows, written[0].bytes) == (path.name, 3000, path.stat().st_size)
    assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert pa.Table.from_batches(read_table_rows(path, table.schema)).equals(table)


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_table(format, tmp_path):
    schema = pa.schema([("id", pa.string()), ("b", pa.binary())])
    with open_writer(tmp_path / "x", schema, format) as writer:
        written = writer.close()
    assert written.rows == 0
    assert list(read_table_rows(tmp_path / written.name, schema)) == []


def test_row_groups_are_bounded(tmp_path):
    table = pa.table({"text": ["x" * 100_000 + str(i) for i in range(500)]})
    with open_writer(tmp_path / "a", table.schema, "parquet") as writer:
        writer.write(table)
        writer.close()
    metadata = pq.ParquetFile(tmp_path / "a.parquet").metadata
    sizes = [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]
    assert len(sizes) == 3 or max(sizes) <= 17 << 20
    assert max(sizes) <= 17 << 20


def test_damage_in_what_we_wrote_is_one_line(tmp_path):
    table = pa.table({"text": ["abc"] * 100})
    for format in FORMATS:
        with open_writer(tmp_path / "a", table.schema, format) as writer:
            writer.write(table)
            written = writer.close()
        path = tmp_path / written.name
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(InputError, match="damaged"):
            list(read_table_rows(path, table.schema))
    with pytest.raises(UsageError, match="csv"):
        open_writer(tmp_path / "a", table.schema, "csv")


def test_only_strings_that_come_again_have_a_dictionary(tmp_path):
    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    columns = [
        ("id", pa.string()),
        ("text", pa.string()),
        ("messages", pa.list_(turn)),
        ("row", pa.int64()),
        ("file", pa.string()),
    ]
    row = {"id": "a", "text": "b", "messages": [{"role": "user", "content": "c"}], "row": 1, "file": "d"}
    with open_writer(tmp_path / "rows", pa.schema(columns), "parquet") as writer:
        writer.write(pa.RecordBatch.from_pylist([row] * 9, pa.schema(columns)))
        writer.close()
    group = pq.ParquetFile(tmp_path / "rows.parquet").metadata.row_group(0)
    chunks = [group.column(number) for number in range(group.num_columns)]
    found = [chunk.path_in_schema for chunk in chunks if chunk.has_dictionary_page]
    assert found == ["messages.list.element.role", "messages.list.element.content", "file"]
