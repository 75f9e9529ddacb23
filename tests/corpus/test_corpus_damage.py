"""Files that break off: every whole row before the cut is kept, and what is lost is said."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from recension.corpus import Reading
from recension.corpus.rows import SourceFile
from recension.corpus.streams import Stream
from tests.corpus.tools import jsonl, read_all


def some_rows(count, seed=3):
    rng = random.Random(seed)
    return [
        {"id": f"r{i}", "text": "".join(rng.choices("abcdefgh \u00e9\n", k=rng.randint(1, 300)))} for i in range(count)
    ]


def whole_rows(content: bytes) -> tuple[list[str], bytes]:
    """The ids of the whole rows of some lines, and the bytes behind the last line feed."""
    kept, _, rest = content.rpartition(b"\n")
    return [json.loads(line)["id"] for line in kept.split(b"\n") if line], rest


def test_gzip_cut_anywhere(tmp_path):
    packed = gzip.compress(jsonl(*some_rows(40)), mtime=0)
    path = tmp_path / "a.jsonl.gz"
    for cut in range(0, len(packed), 37):
        path.write_bytes(packed[:cut])
        readable = gzip_prefix(packed[:cut])
        result = read_all(path)
        ids, rest = whole_rows(readable)
        assert [r.document.id for r in result.good] == ids
        (bad,) = result.bad
        assert bad.reason == "truncated-gzip"
        assert bad.original == rest
        assert bad.place.row == len(ids) + 1
        assert result.corpus.digests["a.jsonl.gz"] == hashlib.sha256(packed[:cut]).hexdigest()


def gzip_prefix(data: bytes) -> bytes:
    out = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while byte := file.read1(1):
                out += byte
    except EOFError:
        pass
    return bytes(out)


def test_gzip_of_several_members_and_padding(tmp_path):
    rows = some_rows(6)
    packed = b"".join(gzip.compress(jsonl(*rows[i : i + 2])) for i in (0, 2, 4))
    (tmp_path / "a.jsonl.gz").write_bytes(packed + b"\0" * 700)
    result = read_all(tmp_path)
    assert [r.document.id for r in result.good] == [row["id"] for row in rows]
    assert not result.bad
    (tmp_path / "a.jsonl.gz").write_bytes(packed + b"garbage")
    result = read_all(tmp_path)
    assert len(result.good) == 6
    assert [bad.reason for bad in result.bad] == ["corrupt-gzip"]


def test_gzip_with_a_flipped_byte_goes_on_with_the_next_file(tmp_path):
    content = jsonl(*some_rows(4000))
    packed = bytearray(gzip.compress(content))
    packed[len(packed) // 2] ^= 0xFF
    (tmp_path / "a.jsonl.gz").write_bytes(packed)
    (tmp_path / "b.jsonl").write_bytes(jsonl({"id": "after", "text": "x"}))
    result = read_all(tmp_path)
    assert result.bad[-1].reason == "corrupt-gzip"
    assert result.good[-1].document.id == "after"
    assert [r.document.id for r in result.good[:1000]] == [f"r{i}" for i in range(1000)]


def test_gzip_checksum_that_does_not_agree_keeps_the_rows(tmp_path):
    packed = bytearray(gzip.compress(jsonl(*some_rows(40))))
    packed[-8] ^= 0xFF
    (tmp_path / "a.jsonl.gz").write_bytes(packed)
    result = read_all(tmp_path)
    assert len(result.good) == 40
    assert [bad.reason for bad in result.bad] == ["corrupt-gzip"]


@pytest.mark.parametrize("name", ["a.json.gz", "a.txt.gz"])
def test_other_formats_cut(name, tmp_path):
    content = json.dumps(some_rows(40)).encode() if "json" in name else b"some text " * 400
    packed = gzip.compress(content)
    (tmp_path / name).write_bytes(packed[: len(packed) // 2])
    result = read_all(tmp_path)
    (bad,) = result.bad
    assert bad.reason == "truncated-gzip"
    assert content[bad.place.offset :].startswith(bad.original)
    assert [r.document.id for r in result.good] == [f"r{i}" for i in range(len(result.good))]
    assert bool(result.good) == ("json" in name)


def test_zstd_cut_anywhere(tmp_path):
    rows = some_rows(1500)
    content = jsonl(*rows)
    packed = zstandard.ZstdCompressor(write_checksum=True).compress(content)
    path = tmp_path / "a.jsonl.zst"
    for cut in [0, 3, *range(9, len(packed), len(packed) // 30), len(packed) - 1]:
        path.write_bytes(packed[:cut])
        result = read_all(path)
        assert [r.document.id for r in result.good] == [f"r{i}" for i in range(len(result.good))]
        (bad,) = result.bad
        assert bad.reason == "truncated-zstd"
        assert content[bad.place.offset :].startswith(bad.original)
        assert content[: bad.place.offset].count(b"\n") == len(result.good)
    assert len(result.good) >= 1000


def test_zstd_frames_and_corruption(tmp_path):
    rows = some_rows(600)
    frames = [zstandard.ZstdCompressor(write_checksum=True).compress(jsonl(*rows[i : i + 200])) for i in (0, 200, 400)]
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(b"".join(frames))
    assert len(read_all(path).good) == 600
    path.write_bytes(frames[0] + frames[1][:-1] + b"\0" + frames[2])
    result = read_all(path)
    assert len(result.good) >= 200
    assert [bad.reason for bad in result.bad] == ["corrupt-zstd"]


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_a_bomb_comes_in_bounded_chunks(ending, tmp_path):
    zeros = bytes(150 << 20)
    packed = gzip.compress(zeros, 9) if ending == "gz" else zstandard.ZstdCompressor(level=19).compress(zeros)
    path = tmp_path / f"a.jsonl.{ending}"
    path.write_bytes(packed)
    sizes = [len(chunk) for chunk in Stream(SourceFile("a", str(path), len(packed), "", f"jsonl.{ending}"))]
    assert sum(sizes) == len(zeros)
    assert max(sizes) <= (65 << 20)
    (bad,) = read_all(path, Reading(max_row=1 << 20)).rows
    assert (bad.reason, bad.place.length) == ("too-long", len(zeros))


@pytest.fixture
def parquet(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.Table.from_pylist(some_rows(3000))
    small = {"row_group_size": 1000, "data_page_size": 4000, "write_batch_size": 20}
    pq.write_table(table, path, write_page_checksum=True, use_dictionary=False, **small)
    return path


def test_parquet_cut_short(parquet):
    content = parquet.read_bytes()
    for cut in (0, 1, 7, 500, len(content) // 2, len(content) - 1):
        parquet.write_bytes(content[:cut])
        (parquet.parent / "b.jsonl").write_bytes(jsonl({"id": "after", "text": "x"}))
        result = read_all(parquet.parent)
        assert [r.document.id for r in result.good] == ["after"]
        (bad,) = result.bad
        assert bad.reason == "unreadable-parquet"
        assert bad.original == content[:cut][: 64 << 10]
        assert bad.sha256 == hashlib.sha256(content[:cut]).hexdigest()
        assert (bad.place.offset, bad.place.length) == (0, cut)


def test_parquet_with_a_broken_page_keeps_the_rows_before(parquet):
    chunk = pq.ParquetFile(parquet).metadata.row_group(1).column(1)
    content = bytearray(parquet.read_bytes())
    middle = chunk.data_page_offset + chunk.total_compressed_size // 2
    content[middle : middle + 40] = bytes(40)
    parquet.write_bytes(content)
    result = read_all(parquet, shard_bytes=1 << 30)
    kept = [r.document.id for r in result.good]
    lost = next(index for index, name in enumerate(kept) if name != f"r{index}")
    assert 1000 < lost < 2000
    assert kept[lost:] == [f"r{i}" for i in range(2000, 3000)]
    (bad,) = result.bad
    assert bad.reason == "corrupt-parquet"
    assert f"rows {lost + 1} to 2000" in bad.detail
    assert bad.place.row == lost + 1
    group = bytes(content)[bad.place.offset :][: bad.place.length]
    assert bad.sha256 == hashlib.sha256(group).hexdigest()
    assert bad.original == group[: 64 << 10]


def test_parquet_with_text_that_is_not_utf8(tmp_path):
    raw = pa.array([b"fine", b"caf\xe9", b"also fine"], pa.binary())
    table = pa.table({"id": ["a", "b", "c"], "text": pa.Array.from_buffers(pa.string(), 3, raw.buffers())})
    pq.write_table(table, tmp_path / "a.parquet")
    result = read_all(tmp_path)
    assert [r.document.text for r in result.good] == ["fine", "also fine"]
    (bad,) = result.bad
    assert (bad.reason, bad.original_format, bad.place.row) == ("not-utf8", "arrow", 2)
    row = pa.ipc.open_stream(bad.original).read_all()
    assert row.column("text").cast(pa.binary()).to_pylist() == [b"caf\xe9"]


def test_bad_rows_of_a_table_are_kept_as_arrow(tmp_path):
    rows = [{"id": "a", "text": "x"}, {"id": "b", "text": ""}, {"id": "c", "text": None}, {"id": "d", "text": "q\0"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    result = read_all(tmp_path)
    assert [bad.reason for bad in result.bad] == ["empty-text", "missing-text", "nul"]
    assert [pa.ipc.open_stream(bad.original).read_all().to_pylist()[0] for bad in result.bad] == rows[1:]
    long = read_all(tmp_path, Reading(max_row=1)).bad[-1]
    assert (long.reason, long.original) == ("too-long", b"q\0")


def test_arrow_cut_short(tmp_path):
    path = tmp_path / "a.arrow"
    table = pa.Table.from_pylist(some_rows(400))
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    result = read_all(path)
    assert [r.document.id for r in result.good] == [f"r{i}" for i in range(200)]
    (bad,) = result.bad
    assert bad.reason == "corrupt-arrow"
    assert "from 201 on" in bad.detail
    path.write_bytes(content[:20])
    assert [bad.reason for bad in read_all(path).bad] == ["unreadable-arrow"]
