"""The card of a run folder, read by the real `datasets` library."""

from __future__ import annotations

import datetime
import decimal
import gzip
import io
import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from recension.report import Card, CardPart, dataset_card
from recension.report.card import code, features, front_matter, plain

ORIGIN = pa.struct([("kind", pa.string()), ("generation", pa.int32())])
DATA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.large_string()),
        ("origin", ORIGIN),
        ("turns", pa.list_(pa.struct([("role", pa.string()), ("scores", pa.list_(pa.float32()))]))),
        ("vector", pa.list_(pa.float64(), 2)),
        ("nested", pa.list_(pa.list_(pa.int64()))),
        ("raw", pa.binary()),
        ("nothing", pa.null()),
        ("when", pa.timestamp("us", tz="UTC")),
        ("day", pa.date32()),
        ("price", pa.decimal128(9, 2)),
        ("kind", pa.dictionary(pa.int32(), pa.string())),
        ("flag", pa.bool_()),
        ("small", pa.uint8()),
        ("half", pa.float16()),
    ]
)
ROW = {
    "id": "a",
    "text": "Ünï\u2028",
    "origin": {"kind": "edited", "generation": 1},
    "turns": [{"role": "user", "scores": [0.5, None]}, {"role": None, "scores": None}],
    "vector": [1.0, 2.0],
    "nested": [[1], [], [2, 3]],
    "raw": b"\x00\xff",
    "nothing": None,
    "when": datetime.datetime(2024, 1, 2, 3, 4, 5, 678, tzinfo=datetime.UTC),
    "day": datetime.date(2024, 2, 29),
    "price": decimal.Decimal("1.25"),
    "kind": "x",
    "flag": True,
    "small": 7,
    "half": 0.5,
}
EDITS = pa.schema([("row", pa.int64()), ("id", pa.string()), ("p_old", pa.float32()), ("new", pa.string())])
DROPPED = pa.schema([("id", pa.string()), ("reason", pa.string()), ("original", pa.binary())])
HOSTILE = "x: | `code` ``two``\n---\n# head [link](http://a.b) <script> {{x}} \u2028 'quote' \"q\" *b* & \\ end"


def card(*parts: CardPart, **changes) -> Card:
    given = Card("Edited corpus", "edit", "0.1.0", "0123456789ab", "A corpus with some tokens changed.", parts)
    return replace(given, **changes)


def front(text: str) -> dict:
    _, block, _ = text.split("---\n", 2)
    return yaml.safe_load(block)


def write_parquet(folder: Path, schema: pa.Schema, shards: list[list[dict]]) -> None:
    folder.mkdir(parents=True)
    for i, rows in enumerate(shards):
        with pq.ParquetWriter(folder / f"{i:05}.parquet", schema) as writer:
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def write_jsonl(folder: Path, suffix: str, shards: list[list[dict]]) -> None:
    folder.mkdir(parents=True)
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}[suffix]
    for i, rows in enumerate(shards):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{i:05}.jsonl{suffix}").write_bytes(pack(lines.encode()))


@pytest.fixture
def load(tmp_path, monkeypatch):
    import datasets

    datasets.disable_progress_bars()

    def read(folder: Path, *name: str):
        return datasets.load_dataset(str(folder), *name, split="train", cache_dir=str(tmp_path / "cache"))

    return read


def test_datasets_reads_a_parquet_run(tmp_path, load):
    import datasets

    out = tmp_path / "out"
    write_parquet(out / "data", DATA, [[], [ROW, {**ROW, "id": "b", "turns": None, "origin": None, "raw": None}]])
    write_parquet(out / "edits", EDITS, [[], [{"row": 0, "id": "a", "p_old": 0.5, "new": "n"}]])
    write_parquet(out / "dropped", DROPPED, [[], [{"id": "c", "reason": "not UTF-8", "original": b"\xff"}], []])
    (out / "receipts").mkdir()
    (out / "receipts" / "00000.json").write_text("{}")
    (out / "report.json").write_text("{}")
    parts = (
        CardPart("data", "data/*.parquet", 2, DATA),
        CardPart("edits", "edits/*.parquet", 1, EDITS),
        CardPart("dropped", "dropped/*.parquet", 1, DROPPED),
    )
    (out / "README.md").write_text(dataset_card(card(*parts)), encoding="utf-8")
    assert datasets.get_dataset_config_names(str(out)) == ["data", "edits", "dropped"]
    rows = load(out)
    assert rows.features == datasets.Features.from_arrow_schema(DATA)
    assert rows[0] == ROW
    assert rows[1]["id"] == "b"
    assert rows[1]["turns"] is None
    assert load(out, "edits")[0] == {"row": 0, "id": "a", "p_old": 0.5, "new": "n"}
    assert load(out, "dropped")[0] == {"id": "c", "reason": "not UTF-8", "original": b"\xff"}


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_datasets_reads_a_jsonl_run(tmp_path, load, suffix):
    out = tmp_path / "out"
    schema = pa.schema([("id", pa.string()), ("text", pa.string()), ("metadata", pa.string()), ("origin", ORIGIN)])
    first = {"id": "1", "text": "t", "metadata": None, "origin": {"kind": "human", "generation": 0}}
    second = {**first, "id": "2", "metadata": '{"a": [1, "x"]}', "origin": None}
    write_jsonl(out / "data", suffix, [[], [first], [second], []])
    write_jsonl(out / "dropped", suffix, [[{"id": "x", "reason": "bad", "original": "AP8="}], []])
    edit = {"row": 0, "id": "1", "p_old": 0.5, "new": "n"}
    write_jsonl(out / "edits", suffix, [[edit], []])
    parts = (
        CardPart("data", f"data/*.jsonl{suffix}", 2, schema),
        CardPart("edits", f"edits/*.jsonl{suffix}", 1, EDITS),
        CardPart("dropped", f"dropped/*.jsonl{suffix}", 1, DROPPED),
    )
    (out / "README.md").write_text(dataset_card(card(*parts)), encoding="utf-8")
    assert load(out).to_list() == [first, second]
    assert load(out, "dropped").to_list() == [{"id": "x", "reason": "bad", "original": "AP8="}]
    assert load(out, "edits").to_list() == [edit]
    assert "looks like a date" in dataset_card(card(*parts))


def test_what_datasets_cannot_load_is_no_configuration(tmp_path, load):
    out = tmp_path / "out"
    schema = pa.schema([("id", pa.string())])
    write_parquet(out / "data", schema, [[{"id": "a"}], []])
    write_parquet(out / "dropped", DROPPED, [[]])
    write_jsonl(out / "notes", "", [[{"id": "b"}]])
    parts = (
        CardPart("data", "data/*.parquet", 1, schema),
        CardPart("dropped", "dropped/*.parquet", 0, DROPPED),
        CardPart("notes", "notes/*.jsonl", 1, schema),
    )
    text = dataset_card(card(*parts))
    (out / "README.md").write_text(text, encoding="utf-8")
    assert load(out).to_list() == [{"id": "a"}]
    assert [c["config_name"] for c in front(text)["configs"]] == ["data"]
    assert "`dropped/*.parquet`" in text


@pytest.mark.parametrize(
    "schema",
    [
        None,
        pa.schema([("a", pa.map_(pa.string(), pa.int32()))]),
        pa.schema([("a", pa.list_(pa.struct([("m", pa.map_(pa.string(), pa.int32()))])))]),
        pa.schema([("a", pa.int8()), ("a", pa.string())]),
        pa.schema([("a", pa.struct([]))]),
    ],
    ids=["none", "map", "map inside", "twice", "empty struct"],
)
def test_types_without_a_word_leave_the_features_out(schema):
    assert features(schema) is None
    assert "dataset_info" not in front_matter(card(CardPart("data", "data/*.parquet", 1, schema)))


def test_front_matter_names_only_what_there_is():
    held = front(dataset_card(card(CardPart("data", "data/*.parquet", 1_500, DATA))))
    assert [c["config_name"] for c in held["configs"]] == ["data"]
    assert held["configs"][0]["default"] is True
    assert held["license"] == "unknown"
    assert held["size_categories"] == ["1K<n<10K"]
    assert "recension" in held["tags"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**12 - 1, "100B<n<1T"), (10**12, "n>1T")],
)
def test_sizes(rows, says):
    assert front_matter(card(CardPart("data", "data/*.parquet", rows)))["size_categories"] == [says]


def test_the_text_says_how_to_use_it_and_what_it_is_not():
    parts = (
        CardPart("data", "data/*.parquet", 5, DATA, {"text": "the edited text"}),
        CardPart("edits", "edits/*.parquet", 9, EDITS),
    )
    text = dataset_card(
        card(*parts, models=("ngram:small",), settings={"threshold": "0.99"}, counts={"tokens": "9,000"})
    )
    for piece in (
        "`ngram:small`",
        "`0.99`",
        "9,000",
        "recension verify",
        "recension revert",
        "- `text`: the edited text",
    ):
        assert piece in text
    assert "was not declared" in text
    assert "declared to be `human`" in dataset_card(card(*parts, origin="human"))
    assert "recension revert" not in dataset_card(card(parts[0]))


def test_foreign_words_stay_words():
    part = CardPart(HOSTILE, "data/*.parquet", 1, pa.schema([(HOSTILE, pa.string())]), {HOSTILE: HOSTILE})
    text = dataset_card(
        card(
            part,
            title=HOSTILE,
            summary=HOSTILE,
            models=(HOSTILE,),
            settings={HOSTILE: HOSTILE},
            counts={HOSTILE: HOSTILE},
            origin=HOSTILE,
            license=HOSTILE,
            tags=(HOSTILE,),
            notes=(HOSTILE,),
        )
    )
    held = front(text)
    assert held["license"] == held["pretty_name"] == HOSTILE
    assert held["dataset_info"][0]["features"][0]["name"] == HOSTILE
    body = text.split("---\n", 2)[2]
    tame = front(dataset_card(card(CardPart("data", "data/*.parquet", 1))))
    assert set(tame) == set(held) - {"dataset_info"}
    assert "\n---\n" not in body
    assert "\n# head" not in body


@given(st.text())
def test_plain_words_read_back_as_they_were(text):
    """A Markdown reader of exactly what `plain` promises: backslashes and entities stand for characters."""
    line = plain(text)
    assert "\n" not in line
    read, i = io.StringIO(), 0
    while i < len(line):
        if line[i] == "\\":
            i += 1
        else:
            assert line[i] not in "`*_[]#|~<>"
        read.write(line[i])
        i += 1
    import html

    shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    assert html.unescape(read.getvalue().replace("&amp;", "\0")).replace("\0", "&") == shown


@given(st.text(min_size=1))
def test_code_is_closed_by_its_own_fence(text):
    span = code(text)
    assert "\n" not in span
    if span != "–":
        fence = span[: len(span) - len(span.lstrip("`"))]
        assert span.endswith(fence)
        assert fence not in span[len(fence) : -len(fence)].strip().replace("x" * 99, "")
