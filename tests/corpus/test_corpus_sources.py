"""What is found where: files, folders, globs, URLs, data set folders, and clear words where nothing is."""

from __future__ import annotations

import contextlib
import functools
import gzip
import http.server
import importlib.util
import json
import os
import threading
import zipfile
from itertools import count
from pathlib import Path

import datasets
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recension.corpus import Reading, check_unchanged, dropped_batch, open_corpus
from recension.corpus.listing import format_of
from recension.corpus.streams import Stream
from recension.errors import InputChangedError, InputError, UsageError
from tests.corpus.tools import jsonl, read_all, write_all

NUMBERS = count()


def labels(*inputs, exclude=None):
    return [file.label for file in open_corpus([str(item) for item in inputs], Reading(), exclude).files]


def fill(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jsonl({"text": f"in {name}"}))
    return root


def test_formats_by_name():
    assert format_of("a.JSONL") == "jsonl"
    assert format_of("a.b.json.gz") == "json.gz"
    assert format_of("a.txt.zst") == "txt.zst"
    assert [format_of(name) for name in ("a", "jsonl", "a.csv", "a.parquet.gz", "a.gz", "a.jsonl.bz2")] == [None] * 6


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path):
    fill(
        tmp_path,
        "b.jsonl",
        "a/z.jsonl",
        "a/b/c.jsonl",
        "a-b.jsonl",
        ".hidden/x.jsonl",
        ".h.jsonl",
        "_temporary/x.jsonl",
    )
    fill(tmp_path, "_SUCCESS", "README.md", "LICENSE", "notes.pdf", "a/table.csv", "dataset_info.json")
    corpus = open_corpus([str(tmp_path)], Reading())
    assert [file.label for file in corpus.files] == ["a-b.jsonl", "a/b/c.jsonl", "a/z.jsonl", "b.jsonl"]
    assert corpus.skipped == ("a/table.csv", "notes.pdf")


def test_links_are_followed_and_circles_are_not(tmp_path):
    fill(tmp_path, "blobs/x", "snap/keep.jsonl")
    (tmp_path / "snap" / "linked.jsonl").symlink_to(tmp_path / "blobs" / "x")
    (tmp_path / "snap" / "circle").symlink_to(tmp_path / "snap")
    assert labels(tmp_path / "snap") == ["keep.jsonl", "linked.jsonl"]


def test_globs(tmp_path):
    fill(tmp_path, "a/1.jsonl", "a/2.jsonl", "b/1.jsonl", "b/deep/3.jsonl", "b/x.csv", "star[1].jsonl")
    assert labels(tmp_path / "*" / "1.jsonl") == ["a/1.jsonl", "b/1.jsonl"]
    assert labels(tmp_path / "**" / "*.jsonl") == [
        "a/1.jsonl",
        "a/2.jsonl",
        "b/1.jsonl",
        "b/deep/3.jsonl",
        "star[1].jsonl",
    ]
    assert labels(tmp_path / "[b]") == ["b/1.jsonl", "b/deep/3.jsonl"]
    assert labels(tmp_path / "star[1].jsonl") == ["star[1].jsonl"]


def test_relative_and_file_urls(tmp_path):
    fill(tmp_path, "a/1.jsonl")
    with contextlib.chdir(tmp_path):
        assert labels("a") == labels("a/*") == labels(f"file://{tmp_path}/a") == ["1.jsonl"]
        assert os.path.isabs(open_corpus(["a"], Reading()).files[0].url)


def test_names_that_are_no_text(tmp_path):
    with open(os.fsencode(tmp_path) + b"/caf\xe9.jsonl", "wb") as file:
        file.write(b"{broken\n")
    result = read_all(tmp_path)
    assert [bad.place.file for bad in result.bad] == ["caf\\xe9.jsonl"]
    assert dropped_batch(result.bad)["file"].to_pylist() == ["caf\\xe9.jsonl"]


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet", "arrow"])
def test_names_that_are_no_text_can_be_stored(kind, tmp_path):
    name = os.fsencode(tmp_path) + b"/b\xff." + kind.encode()
    table = pa.table({"text": ["t"]})
    sink = pa.BufferOutputStream()
    if kind == "parquet":
        pq.write_table(table, sink)
    elif kind == "arrow":
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        content = jsonl({"text": "t"})
        sink.write(gzip.compress(content) if kind.endswith(".gz") else content)
    with open(name, "wb") as file:
        file.write(sink.getvalue())
    with open(os.fsencode(tmp_path) + b"/c\xff.csv", "wb"):
        pass
    for given in (str(tmp_path), os.fsdecode(name)):
        result = read_all(given)
        (file,) = result.corpus.files
        assert [r.document.text for r in result.good] == ["t"]
        assert file.label == f"b\\xff.{kind}"
        assert json.dumps([file.where, file.label, *result.corpus.skipped]).encode()
        assert file.where.encode().endswith(b"b\\xff." + kind.encode())
    os.unlink(name)
    with pytest.raises(InputChangedError) as raised:
        check_unchanged(file)
    assert str(raised.value).encode()
    for missing in (os.fsdecode(name), os.fsdecode(name) + "*"):
        with pytest.raises(InputError) as raised:
            labels(missing)
        assert str(raised.value).encode()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_http(tmp_path):
    pytest.importorskip("aiohttp")
    fill(tmp_path, "a.jsonl", "deep/b.jsonl")
    handler = functools.partial(Quiet, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"
        result = read_all([f"{root}/a.jsonl", f"{root}/deep/b.jsonl?download=true"])
        assert [r.document.text for r in result.good] == ["in a.jsonl", "in deep/b.jsonl"]
        assert [file.label for file in result.corpus.files] == ["a.jsonl", "b.jsonl"]
        with pytest.raises(InputError, match="no such file"):
            labels(f"{root}/nowhere.jsonl")
        server.shutdown()


def test_files_of_one_name_stay_apart(tmp_path):
    fill(tmp_path, "a/x.jsonl", "b/x.jsonl")
    one, two = str(tmp_path / "a" / "x.jsonl"), str(tmp_path / "b")
    assert labels(one, two, one) == ["x.jsonl", "2:x.jsonl", "3:x.jsonl"]
    result = read_all([one, one])
    assert [r.document.text for r in result.good] == ["in a/x.jsonl"] * 2
    assert len({r.document.id for r in result.good}) == 2
    assert set(result.corpus.digests) == {"x.jsonl", "2:x.jsonl"}


def test_the_output_folder_is_not_read(tmp_path):
    fill(tmp_path, "a.jsonl", "out/data/0.jsonl", "outer/b.jsonl")
    assert labels(tmp_path, exclude=tmp_path / "out") == ["a.jsonl", "outer/b.jsonl"]
    assert labels(tmp_path / "**" / "*.jsonl", exclude=tmp_path / "out") == ["a.jsonl", "outer/b.jsonl"]
    with pytest.raises(InputError, match="output folder"):
        labels(tmp_path / "out" / "data" / "0.jsonl", exclude=tmp_path / "out")


def test_clear_words(tmp_path):
    fill(tmp_path, "csv/a.csv", "empty/.keep")
    cases = {
        "nowhere": "no such file",
        "*.jsonl": "nothing matches",
        "csv": "no usable file",
        "empty": "no usable file",
        "csv/a.csv": "no format we know",
        "csv/*": "no usable file",
    }
    for name, words in cases.items():
        with pytest.raises(InputError, match=words) as raised:
            labels(tmp_path / name)
        assert "\n" not in str(raised.value)
    for url, words in {"nosuch://a/b": "cannot open nosuch://", "memory://nothing/here": "no such file"}.items():
        with pytest.raises(InputError, match=words):
            labels(url)
    with pytest.raises(InputError, match="no input"):
        open_corpus([], Reading())
    with pytest.raises(UsageError, match="--max-row"):
        Reading(max_row=0)


@pytest.mark.skipif(importlib.util.find_spec("gcsfs") is not None, reason="its driver is installed")
def test_a_missing_driver_is_named():
    with pytest.raises(InputError, match="gcsfs") as raised:
        labels("gs://bucket/a.jsonl")
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_permission(tmp_path):
    fill(tmp_path, "a/x.jsonl")
    (tmp_path / "a" / "x.jsonl").chmod(0)
    with pytest.raises(InputError, match="permission denied"):
        labels(tmp_path / "a")


def test_memory_urls(tmp_path):
    root = f"memory://corpus-{next(NUMBERS)}"
    for name in ("a.jsonl", "deep/b.jsonl.gz", "x.csv"):
        with fsspec.open(f"{root}/{name}", "wb", compression="infer") as file:
            file.write(jsonl({"text": name}, {"text": "more"}))
    with fsspec.open(f"{root}/t.parquet", "wb") as file:
        pq.write_table(pa.table({"text": ["in a table"]}), file)
    with (
        fsspec.open(f"{root}/u.arrow", "wb") as file,
        pa.ipc.new_stream(file, pa.schema([("text", pa.string())])) as out,
    ):
        out.write_table(pa.table({"text": ["in a stream"]}))
    result = read_all(root, shard_bytes=10)
    assert [file.label for file in result.corpus.files] == ["a.jsonl", "deep/b.jsonl.gz", "t.parquet", "u.arrow"]
    texts = ["a.jsonl", "more", "deep/b.jsonl.gz", "more", "in a table", "in a stream"]
    assert [r.document.text for r in result.good] == texts
    assert result.corpus.skipped == ("x.csv",)
    assert result.corpus.digests["t.parquet"].startswith("footer:")
    assert labels(f"{root}/*.jsonl") == ["a.jsonl"]
    assert labels(f"{root}/deep/b.jsonl.gz") == ["b.jsonl.gz"]
    check_unchanged(result.corpus.files)
    with fsspec.open(f"{root}/a.jsonl", "wb") as file:
        file.write(b"other")
    with pytest.raises(InputChangedError):
        check_unchanged(result.corpus.files)


def test_inside_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/a.jsonl", jsonl({"text": "zipped"}))
        archive.writestr("in/b.csv", "no")
    for url in (
        f"zip://in/a.jsonl::{tmp_path}/a.zip",
        f"zip://in::{tmp_path}/a.zip",
        f"zip://in/*.jsonl::{tmp_path}/a.zip",
    ):
        result = read_all(url)
        assert [r.document.text for r in result.good] == ["zipped"]
        assert [file.label for file in result.corpus.files] == ["a.jsonl"]


def test_saved_data_sets(tmp_path):
    train = datasets.Dataset.from_dict({"text": [f"train {i}" for i in range(30)], "label": list(range(30))})
    test = datasets.Dataset.from_dict({"text": ["test"], "label": [1]})
    train.save_to_disk(tmp_path / "single", num_shards=3)
    (tmp_path / "single" / "cache-123.arrow").write_bytes(b"not data")
    result = read_all(tmp_path / "single", shard_bytes=1)
    assert [r.document.text for r in result.good] == train["text"]
    assert result.corpus.layout.kind == "columns"
    datasets.DatasetDict(train=train, test=test).save_to_disk(tmp_path / "dict")
    for given in (tmp_path / "dict", tmp_path / "dict" / "train"):
        assert [r.document.text for r in read_all(given).good][:30] == train["text"]
    assert [r.document.text for r in read_all(tmp_path / "dict").good][30:] == ["test"]
    state = tmp_path / "single" / "state.json"
    state.write_text(state.read_text().replace("data-00000", "data-00009"))
    with pytest.raises(InputError, match="incomplete"):
        labels(tmp_path / "single")


def card(root, configs):
    (root / "README.md").write_text(f"---\nlicense: mit\nconfigs: {json.dumps(configs)}\n---\n# A card\n")


def test_the_card_of_a_snapshot_names_the_data(tmp_path):
    fill(tmp_path, "raw/a.jsonl", "raw/b.jsonl", "en/train-0.jsonl", "en/train-1.jsonl", "en/test.jsonl", "other.jsonl")
    en = {
        "config_name": "en",
        "data_files": [{"split": "train", "path": "en/train-*"}, {"split": "test", "path": "en/test*"}],
    }
    raw = {"config_name": "raw", "data_dir": "raw"}
    card(tmp_path, [en, raw])
    assert labels(tmp_path) == ["en/train-0.jsonl", "en/train-1.jsonl", "en/test.jsonl"]
    card(tmp_path, [en, {**raw, "default": True}])
    assert labels(tmp_path) == ["raw/a.jsonl", "raw/b.jsonl"]
    card(tmp_path, [en, {"config_name": "default", "data_files": "**/*.jsonl"}])
    assert len(labels(tmp_path)) == 6
    card(tmp_path, [{"config_name": "gone", "data_files": "gone/*"}])
    with pytest.raises(InputError, match="gone"):
        labels(tmp_path)


def test_a_run_folder_gives_its_data_only(tmp_path):
    fill(tmp_path, "in/a.jsonl")
    (tmp_path / "in" / "b.jsonl").write_bytes(b"{broken\n")
    out = tmp_path / "out"
    first = read_all(tmp_path / "in")
    write_all(out, first)
    (out / "manifest.json").write_text('{"recipe": "edit", "key": "k"}')
    fill(out, "receipts/00000.json", "report.json")
    again = read_all(out)
    assert [file.label for file in again.corpus.files] == ["data/00000.parquet"]
    assert [r.document for r in again.good] == [r.document for r in first.good] or not first.good[0].document.given_id
    assert [r.document.id for r in again.good] == [r.document.id for r in first.good]
    assert labels(tmp_path) == ["in/a.jsonl", "in/b.jsonl", "out/data/00000.parquet"]


def test_an_empty_input_is_not_the_folder_one_stands_in(tmp_path):
    fill(tmp_path, "a.jsonl")
    with contextlib.chdir(tmp_path):
        for empty in ("", "file://"):
            with pytest.raises(InputError, match="shell variable"):
                labels("a.jsonl", empty)


def test_urls_that_lead_nowhere_are_one_line(tmp_path):
    (tmp_path / "no.zip").write_bytes(b"not packed")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jsonl", jsonl({"text": "zipped"}))
    for url in (
        f"zip://a.jsonl::{tmp_path}/missing.zip",
        f"zip://a.jsonl::{tmp_path}/no.zip",
        f"zip://b.jsonl::{tmp_path}/a.zip",
        f"zip://b/*.jsonl::{tmp_path}/a.zip",
        f"tar://a.jsonl::{tmp_path}/no.zip",
        "zip://a.jsonl",
        "reference://a",
    ):
        with pytest.raises(InputError) as raised:
            labels(url)
        assert "\n" not in str(raised.value)
    file = open_corpus([f"zip://a.jsonl::{tmp_path}/a.zip"], Reading()).files[0]
    (tmp_path / "a.zip").write_bytes(b"not packed any more")
    for look in (lambda: check_unchanged(file), lambda: list(Stream(file))):
        with pytest.raises(InputError):
            look()


def test_a_file_that_comes_twice_is_named(tmp_path):
    fill(tmp_path, "a.jsonl", "b.jsonl")
    (tmp_path / "c.jsonl").symlink_to(tmp_path / "a.jsonl")
    corpus = open_corpus([str(tmp_path), str(tmp_path / "b.jsonl")], Reading())
    assert [file.label for file in corpus.files] == ["a.jsonl", "b.jsonl", "c.jsonl", "2:b.jsonl"]
    assert corpus.repeated == ("c.jsonl", "2:b.jsonl")
    assert open_corpus([str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")], Reading()).repeated == ()


def make_run(root):
    root.mkdir(parents=True)
    (root / "manifest.json").write_text('{"recipe": "edit", "key": "k"}')
    (root / "seal.json").write_text('{"id": "s", "text": "no document"}')
    (root / "report.json").write_text('{"id": "r", "text": "no document"}')
    return root


def test_runs_among_the_inputs(tmp_path):
    run = make_run(tmp_path / "runs" / "one")
    with pytest.raises(InputError, match="holds no documents"):
        labels(run)
    with pytest.raises(InputError, match="holds no documents"):
        labels(tmp_path / "runs" / "*")
    fill(tmp_path, "runs/a.jsonl")
    corpus = open_corpus([str(tmp_path / "runs")], Reading())
    assert [file.label for file in corpus.files] == ["a.jsonl"]
    assert corpus.runs == (str(run),)
    fill(run, "data/0.jsonl")
    with contextlib.chdir(tmp_path):
        for given, runs in {
            "runs/one": ["runs/one"],
            "runs": ["runs/one"],
            f"file://{run}": [str(run)],
            "runs/o*": ["runs/one"],
            "runs/one/data": [],
        }.items():
            assert open_corpus([given], Reading()).runs == tuple(runs)
        assert open_corpus(["runs", "runs/one"], Reading()).runs == ("runs/one",)
        assert open_corpus(["runs"], Reading(), Path("runs/one")).runs == ()


def test_runs_behind_urls():
    root = f"memory://corpus-{next(NUMBERS)}"
    with fsspec.open(f"{root}/one/manifest.json", "wb") as file:
        file.write(b'{"recipe": "edit", "key": "k"}')
    with pytest.raises(InputError, match="holds no documents"):
        labels(root)
    with fsspec.open(f"{root}/one/data/0.jsonl", "wb") as file:
        file.write(jsonl({"text": "t"}))
    for given in (root, f"{root}/one"):
        (run,) = open_corpus([given], Reading()).runs
        assert labels(run) == ["data/0.jsonl"]


def test_the_columns_that_there_are(tmp_path):
    pq.write_table(pa.table({"txet": ["a"], "n": [1]}), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_bytes(jsonl({"body": "b", "n": 2}, b"{broken", b'{"\\ud800": 1}'))
    (tmp_path / "c.txt").write_bytes(b"text")
    (tmp_path / "d.parquet").write_bytes(b"broken")
    (tmp_path / "e.jsonl.gz").write_bytes(gzip.compress(jsonl({f"k{i}": i for i in range(1000)})))
    names = open_corpus([str(tmp_path)], Reading(shapes=("text",))).columns_seen()
    assert names[:4] == ("txet", "n", "body", "\\ud800")
    assert len(names) == 40
