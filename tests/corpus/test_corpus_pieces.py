"""Pieces: their borders, limits, skipping, hashes and memory."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from recension.corpus import Reading, check_unchanged, open_corpus
from recension.errors import InputChangedError
from tests.corpus.tools import read_all

PACK = {"": lambda b: b, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One file of every kind, bad rows and blank lines among them."""
    root = tmp_path_factory.mktemp("mixed")
    number = iter(range(10_000))

    def rows(count):
        return [{"id": f"r{next(number)}", "text": "word " * (next(number) % 9 + 1), "n": 1} for _ in range(count)]

    def lines(count):
        return "\n".join([json.dumps(row) for row in rows(count)] + ["", "{broken"]) + "\n"

    for ending, pack in PACK.items():
        (root / f"a.jsonl{ending}").write_bytes(pack(lines(40).encode()))
        (root / f"b.json{ending}").write_bytes(pack(json.dumps(rows(20), indent=2).encode()))
        (root / f"c.txt{ending}").write_bytes(pack(f"some text {ending}\n\nmore".encode()))
    (root / "d.ndjson").write_text(lines(3).rstrip("\n"))
    for index in range(8):
        (root / f"small-{index}.jsonl").write_text(lines(2))
    pq.write_table(pa.Table.from_pylist(rows(50)), root / "e.parquet", row_group_size=7)
    with pa.ipc.new_stream(root / "f.arrow", pa.Table.from_pylist(rows(1)).schema) as writer:
        for _ in range(5):
            writer.write_table(pa.Table.from_pylist(rows(4)))
    return root


def names(rows):
    return [(type(row).__name__, getattr(row, "id", None) or row.document.id, row.place) for row in rows]


@pytest.fixture(scope="module")
def whole(folder):
    return names(read_all(folder).rows)


def test_everything_is_read(folder, whole):
    read = read_all(folder)
    assert not read.corpus.skipped
    ids = [row.document.id for row in read.good if row.document.given_id]
    assert len(ids) == len(set(ids)) == 3 * 40 + 3 * 20 + 3 + 8 * 2 + 50 + 20
    assert [row.reason for row in read.bad] == ["not-json"] * (3 + 1 + 8)


@given(shard_bytes=st.integers(1, 20_000))
@settings(max_examples=25, deadline=None)
def test_pieces_together_are_the_corpus(shard_bytes, folder, whole):
    result = read_all(folder, shard_bytes=shard_bytes)
    assert names(result.rows) == whole
    assert [piece.index for piece in result.pieces] == list(range(len(result.pieces)))
    assert all(piece.size >= shard_bytes for piece in result.pieces[:-1])


@given(shard_bytes=st.integers(1, 20_000), limit=st.integers(0, 400))
@settings(max_examples=40, deadline=None)
def test_a_limit_is_a_prefix(shard_bytes, limit, folder, whole):
    full = read_all(folder, shard_bytes=shard_bytes).pieces
    result = read_all(folder, shard_bytes=shard_bytes, limit=limit)
    assert names(result.rows) == whole[:limit]
    for piece, other in zip(result.pieces, full, strict=False):
        assert piece.index == other.index
        if piece.rows_cap is None:
            assert piece == other
        else:
            assert piece is result.pieces[-1]


@given(shard_bytes=st.integers(1, 20_000), skipped=st.sets(st.integers(0, 30)), limit=st.none() | st.integers(1, 400))
@settings(max_examples=40, deadline=None)
def test_skipped_pieces_are_counted_and_empty(shard_bytes, skipped, limit, folder):
    full = read_all(folder, shard_bytes=shard_bytes, limit=limit)
    result = read_all(folder, shard_bytes=shard_bytes, limit=limit, skip=skipped.__contains__)
    assert len(result.pieces) == len(full.pieces)
    for piece, other in zip(result.pieces, full.pieces, strict=True):
        assert (piece.index, piece.size, piece.rows_cap) == (other.index, other.size, other.rows_cap)
        assert piece.skipped == (piece.index in skipped)
        assert piece.parts == (() if piece.skipped else other.parts)
    assert result.corpus.digests == full.corpus.digests


def test_digests_are_of_the_raw_bytes(folder):
    corpus = read_all(folder).corpus
    assert corpus.digests == {
        file.label: hashlib.sha256((folder / file.label).read_bytes()).hexdigest() for file in corpus.files
    }


def test_small_files_share_a_piece(folder):
    pieces = read_all(folder, shard_bytes=1 << 30).pieces
    assert len(pieces) == 1
    assert len(pieces[0].files) == len(list(folder.iterdir()))


def test_borders_do_not_move_when_a_file_follows(tmp_path):
    content = b"".join(b'{"text": "%d"}\n' % index for index in range(1000))
    (tmp_path / "a.jsonl").write_bytes(content)
    one = read_all(tmp_path, shard_bytes=100).pieces
    (tmp_path / "b.jsonl").write_bytes(content)
    assert read_all(tmp_path, shard_bytes=100).pieces[: len(one) - 1] == one[:-1]


def test_a_changed_file_is_noticed(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n' * 9)
    corpus = open_corpus([str(path)], Reading())
    check_unchanged(corpus.files)
    pieces = list(corpus.pieces(40))
    check_unchanged(pieces[0].files)
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputChangedError, match="modified"):
        check_unchanged(pieces[0].files)
    with pytest.raises(InputChangedError):
        list(corpus.pieces(40))
    path.write_text("")
    with pytest.raises(InputChangedError, match="bytes then"):
        check_unchanged(corpus.files[0])
    path.unlink()
    with pytest.raises(InputChangedError, match="gone"):
        check_unchanged(corpus.files[0])


def test_a_file_that_changes_while_it_is_read_stops_the_run(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n' * 200_000)
    pieces = open_corpus([str(path)], Reading()).pieces(1 << 20)
    next(pieces)
    with path.open("a") as file:
        file.write('{"text": "more"}\n')
    with pytest.raises(InputChangedError):
        list(pieces)


MEASURE = """
import resource, sys
from recension.corpus import Reading, open_corpus, read_piece
reading = Reading(max_row=1 << 20)
corpus = open_corpus([sys.argv[1]], reading)
rows = sum(1 for piece in corpus.pieces(4 << 20) for _ in read_piece(piece, reading, corpus.layout))
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(rows, int(peak.split()[1]) // 1024)
"""


def measure(path):
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    rows, peak = done.stdout.split()
    return int(rows), int(peak)


def test_memory_does_not_grow_with_the_file(tmp_path):
    line = json.dumps({"text": "abcdefghi " * 300}).encode() + b"\n"
    block = line * 3300  # about 10 MB
    peaks = {}
    for times in (1, 15):
        path = tmp_path / f"{times}.jsonl"
        with path.open("wb") as file:
            for _ in range(times):
                file.write(block)
        rows, peaks[times] = measure(path)
        path.unlink()
        assert rows == 3300 * times
    assert abs(peaks[15] - peaks[1]) < 30


def test_a_line_of_half_a_gigabyte_is_never_held(tmp_path):
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(b'{"text": "one"}\n')
        file.truncate(1 << 29)  # a hole: it takes no room on the disk
        file.seek(0, os.SEEK_END)
        file.write(b'\n{"text": "two"}\n')
    rows, peak = measure(path)
    assert rows == 3
    assert peak < 250
