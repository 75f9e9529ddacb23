"""Texts alone are the rows that whole records are: same order, same ids, the same ones bad."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recension.corpus import (
    BadRow,
    Outlines,
    OutRow,
    Places,
    PlainRows,
    Reading,
    column_value,
    open_corpus,
    read_chosen,
    read_texts,
)
from recension.corpus.rows import LinePart, SpanPart
from recension.corpus.spans import read_span
from recension.errors import InputChangedError
from tests.corpus.tools import read_all

LINES = [
    b'{"id": "a", "text": "Loose spelling, \\u00e9 and \\"quotes\\".", "domain": "x"}',
    b'{"id":"b","text":"Tight spelling","domain":7}',
    b'{"text": "no id at all"}',
    b'{"id": 5, "text": "an id that is a number"}',
    b'{"id": null, "text": "an id that is null", "domain": true}',
    b'{"id": "dup", "text": "one", "text": "two"}',
    b'{"id":"dup4","ab":1,"ab":1,"text":"two","c":2}',
    b'{"id": "mixed","text":"mixed spelling", "domain": "x"}',
    b'  {"id": "indented", "text": "white space around"}  ',
    b'{"id": "slash", "text": "a \\\\n path", "domain": "x"}',
    b'{"id": "tab", "text": "a\\tb\\n\\"c\\" d", "domain": "x"}',
    b'{"id": "feed", "text": "a\\fb \\/ c", "domain": "x"}',
    b'{"id": "odd", "text": "a\\qb"}',
    b"",
    b"   ",
    b"{broken",
    b'{"id": "nul", "text": "a\\u0000b"}',
    b'{"id": "esc\\u00e9", "t\\u0065xt": "an escaped key"}',
    b'{"id": "empty", "text": ""}',
    b'{"id": "wrong", "text": 5}',
    b'{"id": "nothing"}',
    b'{"id": "utf8", "text": "\xff"}',
    b'{"id": "sur", "text": "\\ud800"}',
    b'{"id": "long", "text": "' + b"x" * 600 + b'"}',
    b'{"id": "chat", "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]}',
    b'{"id": "ours", "text": "t", "origin": {"kind": "human", "root": "r", "parent": "r", "method": "", "run": "", '
    b'"generation": 0, "edition": 1}, "metadata": "{\\"domain\\":\\"m\\"}"}',
]

ODD = [
    b'{"id":"deep","text":"x","m":{"a":[1,2,{"b":null}],"c":"\\u00e9","d":{}},"z":-1.5e3,"y":[]}',
    b'{"text" : "spaces" ,"id":"s", "u":0.5, "v":-0, "w":true, "domain":"\\ud83d\\ude42"}\r',
    b'{"id":"zero","text":"t","n":01}',
    b'{"id":"comma","text":"t",}',
    b'{"id":"lists","text":"t","n":[1,]}',
    b'{"id":"control","text":"a\x01b"}',
    b'{"id":"half","text":"\\ud83d x"}',
    b'{"id":"half2","text":"t","domain":"\\ud83d"}',
    b'{"id":"","text":"an empty id","domain":""}',
    '{"id":"é","text":"Ünï 中文 🙂","domain":"ß","k\x7f":"\x7f"}'.encode(),
    b'{"id":"more","text":"q"} x',
    b"[1]",
    b'{"id":"origin","text":"t","origin":5}',
    b'{"id":"nul","text":"t","k":"\\u0000","m":nul}',
    b'{"id":"over","text":"\xed\xa0\x80"}',
    b'{"id":"ours","text":"t","origin":{"kind":"human","root":"r","parent":"r","method":"","run":"","generation":0},'
    b'"metadata":"{\\"broken"}',
    b" " * 80,
    b'{"id":"last","text":"no line feed behind it"}',
]


def values_of(batch):
    return [value if there else None for value, there in zip(batch.values, batch.valued.tolist(), strict=True)]


def check(path, reading, **ask):
    whole = read_all(path, reading, **ask)
    rows = [
        (row.id, None, None) if isinstance(row, BadRow)
        else (row.document.id, row.document.text, column_value(row, "domain"))
        for row in whole.rows
    ]  # fmt: skip
    places = [(row.place.file, row.place.row, row.place.offset, row.place.length) for row in whole.rows]
    batches = [b for piece in whole.pieces for b in read_texts(piece, reading, whole.corpus.layout, "domain")]
    found = [row for b in batches for row in zip(b.ids, b.texts, b.good.tolist(), values_of(b), strict=True)]
    assert [(name, text if good else None) for name, text, good, _ in found] == [(n, text) for n, text, _ in rows]
    said = [value if value is None or isinstance(value, str) else json.dumps(value) for _, _, value in rows]
    assert [value for _, _, _, value in found] == said
    at = [p for b in batches for p in zip(b.files.tolist(), b.rows, b.offsets, b.lengths, strict=True)]
    names = [name for b in batches for name in np.array(b.labels)[b.files].tolist()]
    assert [(name, *where[1:]) for name, where in zip(names, at, strict=True)] == places
    given = [not isinstance(row, BadRow) and row.document.given_id for row in whole.rows]
    assert [g for b in batches for g in b.given.tolist()] == given
    assert all(b.texts[i] == text for b in batches for i, text in enumerate(b.texts))
    outlines, how = Outlines(whole.corpus), (ask.get("shard_bytes", 1 << 20), ask.get("limit"), lambda _: False)
    assert list(outlines.draw(*how)) == whole.pieces
    again = [pickle.loads(pickle.dumps(piece)) for piece in outlines.pieces(*how)]
    first, size = 0, 0
    for piece in whole.pieces:
        size = sum(len(b.ids) for b in read_texts(piece, reading, whole.corpus.layout))
        wanted = np.arange(size) % 3 != 1
        labels = list(dict.fromkeys(row.place.file for row in whole.rows))
        here = [row.place for row in whole.rows[first : first + size]]
        places = Places(
            labels, np.array([labels.index(p.file) for p in here], np.int32),
            *(np.array([getattr(p, name) for p in here], np.int64) for name in ("row", "offset", "length")),
        )  # fmt: skip
        for one in (piece, again[piece.index]):
            chosen = {}
            for item in read_chosen(one, reading, whole.corpus.layout, wanted, places):
                if isinstance(item, PlainRows):
                    known = [
                        OutRow(row, row.document)
                        for row in map(whole.rows.__getitem__, (item.numbers + first).tolist())
                    ]
                    columns = item.ids, item.texts, item.others
                    assert whole.corpus.layout.plain_batch(*columns, reading.origin) == whole.corpus.layout.batch(known)
                    chosen |= {number: known[i].record for i, number in enumerate(item.numbers.tolist())}
                else:
                    chosen[item[0]] = item[1]
            assert sorted(chosen) == list(chosen) == [i for i in range(size) if i % 3 != 1]
            assert all(type(row) is type(whole.rows[first + i]) for i, row in chosen.items())
            assert all(getattr(row, "place", None) == whole.rows[first + i].place for i, row in chosen.items())
        first += size
    assert first == len(whole.rows)
    return rows, again


@pytest.mark.parametrize("without", [(), (21,), (16, 21)])
@pytest.mark.parametrize("shape", ["auto", "mixed"])
def test_json_lines(tmp_path, without, shape):
    """With and without what sends a whole block the long way: bytes that are not UTF-8, a NUL."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(line for i, line in enumerate(LINES) if i not in without) + b"\n")
    reading = Reading(max_row=500, shape=shape)
    rows, again = check(path, reading)
    assert not any(isinstance(part, LinePart) for piece in again for part in piece.parts)
    assert ("dup", None, None) not in rows and len(rows) == 24 - len(without)
    check(path, reading, shard_bytes=300)
    check(path, reading, limit=9)


def test_odd_lines(tmp_path):
    """Lines at the border of what the short way takes for plain."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(ODD))
    rows, _ = check(path, Reading())
    assert len(rows) == len(ODD) - 1 and rows[0] == ("deep", "x", None) and rows[1] == ("s", "spaces", "🙂")
    check(path, Reading(), shard_bytes=200)


def test_json_arrays_text_and_tables(tmp_path):
    (tmp_path / "array.json").write_text(json.dumps([{"id": "a", "text": "one"}, 5, {"text": "two", "domain": "d"}]))
    check(tmp_path / "array.json", Reading())
    (tmp_path / "lines.txt").write_text("one\n\ntwo\r\nthree")
    check(tmp_path / "lines.txt", Reading(text_unit="line"))
    pq.write_table(
        pa.table({"id": ["a", None, "c"], "text": ["x", "y", None], "domain": ["d", None, "e"]}), tmp_path / "t.parquet"
    )
    check(tmp_path / "t.parquet", Reading())


def test_pieces_are_remembered_as_they_were_asked_for(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(b'{"text": "%d"}\n' % i for i in range(20)))
    outlines = Outlines(open_corpus([str(path)], Reading()))
    list(outlines.draw(100, None, lambda _: False))
    kinds = [
        {type(part) for piece in outlines.pieces(size, None, lambda index: index == 1) for part in piece.parts}
        for size in (100, 50)
    ]
    assert kinds == [{SpanPart}, {LinePart}]
    assert [piece.skipped for piece in outlines.pieces(100, None, lambda index: index == 1)] == [False, True, False]
    [first, *_] = outlines.pieces(100, None, lambda _: False)
    path.write_bytes(b"{}")
    with pytest.raises(InputChangedError, match="start over"):
        list(outlines.pieces(100, None, lambda _: False))
    with pytest.raises(InputChangedError, match="shorter"):
        read_span(first.parts[0])


def test_a_file_is_hashed_once_however_often_it_is_read(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "one"}\n')
    corpus = read_all(path).corpus
    digest = corpus.digests["rows.jsonl"]
    corpus.digests["rows.jsonl"] = "known"
    list(corpus.pieces(100))
    assert corpus.digests["rows.jsonl"] == "known" and len(digest) == 64
