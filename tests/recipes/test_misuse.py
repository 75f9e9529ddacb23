"""Held wrong, damaged or in the way: nothing silent, nothing destroyed."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recension
from recension import EditSpec, Effort, NgramSpec, PriorSettings, RowSettings
from recension.errors import InputError, ManifestMismatchError, OutputError, UsageError, VerificationError
from tests.recipes.conftest import make_rows, read, tree, write_jsonl

SURE = EditSpec(prior="fake:sure", exclude_original=True, shard_bytes=4_000)
ANSWER = "The end of the day is in the text of the ship and that of the line."


@pytest.mark.parametrize("shape", ["chat", "instruction"])
def test_a_table_with_a_text_column_beside_its_answers_is_reverted(tmp_path, shape):
    rows = [
        {
            "text": None if i % 2 else "a note",
            "messages": [{"role": "user", "content": ANSWER}, {"role": "assistant", "content": ANSWER}],
            "instruction": "Say it.",
            "output": ANSWER,
        }
        for i in range(5)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    recension.edit(tmp_path / "in.parquet", tmp_path / "out", replace(SURE, rows=RowSettings(shape=shape)))
    assert read(tmp_path / "out", "edits")
    recension.revert(tmp_path / "out", tmp_path / "back")
    for row, source in zip(read(tmp_path / "back"), rows, strict=True):
        assert row["messages"] == source["messages"] and row["output"] == ANSWER
    assert recension.view(tmp_path / "out").edits == len(read(tmp_path / "out", "edits"))


def test_contents_in_parts_survive_being_read_again(tmp_path):
    parts = [{"type": "text", "text": ANSWER}, {"type": "image_url", "image_url": {"url": "x"}}]
    rows = [
        {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": parts}]},
        {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": ANSWER}]},
    ]
    recension.edit(write_jsonl(tmp_path / "in.jsonl", rows), tmp_path / "out", SURE)
    recension.revert(tmp_path / "out", tmp_path / "back")
    first, second = read(tmp_path / "back")
    assert second["messages"][1]["content"] == ANSWER
    assert json.loads(first["metadata"]) == json.loads(read(tmp_path / "out")[0]["metadata"])


@pytest.mark.parametrize("damage", ["data gone", "edits gone", "edits empty", "text added", "receipt gone"])
def test_a_damaged_run_is_neither_reverted_nor_viewed(corpus, tmp_path, damage):
    out = tmp_path / "out"
    recension.edit(corpus, out, SURE)
    data, edits = out / "data" / "00001.parquet", out / "edits" / "00001.parquet"
    if damage == "data gone":
        data.unlink()
    elif damage == "edits gone":
        edits.unlink()
    elif damage == "edits empty":
        pq.write_table(pq.read_table(edits).slice(0, 0), edits)
    elif damage == "receipt gone":
        (out / "receipts" / "00001.json").unlink()
    else:
        table = pq.read_table(data)
        texts = [text + "!" for text in table["text"].to_pylist()]
        pq.write_table(table.set_column(table.column_names.index("text"), "text", [texts]), data)
    for use in (lambda: recension.revert(out, tmp_path / "back"), lambda: recension.view(out)):
        with pytest.raises(VerificationError, match="recension verify"):
            use()


def test_a_page_replaces_nothing_but_a_page(corpus, tmp_path):
    out = tmp_path / "out"
    recension.edit(corpus, out, SURE)
    with pytest.raises(OutputError, match="no page of ours"):
        recension.view(out, corpus / "a.jsonl")
    with pytest.raises(OutputError, match="no page of ours"):
        recension.view(out, out / "data" / "00000.parquet")
    with pytest.raises(OutputError, match="among the files of a run"):
        recension.view(out, out / "data" / "page.html")
    with pytest.raises(OutputError, match="is a folder"):
        recension.view(out, tmp_path)
    assert recension.verify(out).sound
    recension.view(out, tmp_path / "page.html")
    recension.view(out, tmp_path / "page.html")


def test_fresh_spares_what_the_run_needs_and_runs_of_other_verbs(corpus, tmp_path):
    prior = tmp_path / "prior"
    recension.train_ngram(corpus, prior, NgramSpec(order=2, vocabulary=300))
    with pytest.raises(OutputError, match="holds a run of train-ngram"):
        recension.edit(corpus, prior, EditSpec(prior=f"ngram:{prior}"), fresh=True)
    recension.edit(corpus, tmp_path / "out", SURE)
    shutil.copytree(prior, tmp_path / "out" / "prior")
    with pytest.raises(OutputError, match="which this run needs"):
        recension.edit(corpus, tmp_path / "out", EditSpec(prior=f"ngram:{tmp_path / 'out' / 'prior'}"), fresh=True)
    assert recension.verify(prior).sound and recension.verify(tmp_path / "out").sound


def test_an_unfinished_run_has_no_problems_and_a_damaged_one_has(corpus, tmp_path):
    out = tmp_path / "out"
    recension.edit(corpus, out, SURE)
    whole = tree(out)
    seal = (out / "receipts" / "seal.json").read_text()
    (out / "receipts" / "seal.json").unlink()
    (out / "receipts" / "00001.json").unlink()
    proof = recension.verify(out)
    assert not proof.complete and not proof.problems
    (out / "receipts" / "seal.json").write_text(seal)
    assert any("without a receipt" in p for p in recension.verify(out).problems)
    recension.edit(corpus, out, SURE)
    assert recension.verify(out).sound and tree(out) == whole
    (out / "receipts" / "seal.json").write_text(seal.replace('"rows": 120', '"rows": 121'))
    assert any("does not fit" in p for p in recension.verify(out).problems)


def test_verify_misses_the_artefact_of_a_decision(tmp_path):
    out = tmp_path / "out"
    source = write_jsonl(tmp_path / "in.jsonl", make_rows(80))
    recension.edit(source, out, replace(SURE, change_share=0.05))
    assert recension.verify(out).sound
    shutil.rmtree(out / "passes")
    assert any("was decided on" in p for p in recension.verify(out).problems)
    (out / "manifest.json").write_text("[]")
    with pytest.raises(OutputError, match="cannot be read"):
        recension.verify(out)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: EditSpec(protect="numbers"), "--protect is a list of words"),
        (lambda: EditSpec(protect=("",)), "--protect is a list of words"),
        (lambda: EditSpec(preset="foo"), "--preset is one of paper"),
        (lambda: EditSpec(origin="alien"), "--origin is one of human"),
        (lambda: EditSpec(policy="foo"), "--policy is one of anchor, chain"),
        (lambda: RowSettings(shape="foo"), "--shape is one of"),
        (lambda: EditSpec(sampler="topk"), "--sampler is one of top-k"),
        (lambda: EditSpec(threshold="0.1"), "--threshold is a number"),
        (lambda: EditSpec(seed="x"), "--seed is a whole number"),
        (lambda: EditSpec(seed=1.5), "--seed is a whole number"),
        (lambda: EditSpec(exclude_original=3), "--exclude-original is true or false"),
        (lambda: Effort(workers="2"), "--workers is a whole number"),
        (lambda: NgramSpec(order="3"), "--order is a whole number"),
        (lambda: NgramSpec(order=1), "--order lies between 2 and 16"),
        (lambda: NgramSpec(vocabulary=10), "--vocabulary lies between 256"),
    ],
)
def test_settings_check_themselves(make, said):
    with pytest.raises(UsageError, match=said):
        make()


def test_lists_are_tuples(corpus, tmp_path):
    assert EditSpec(protect=["numbers"]).protect == ("numbers",)


def test_settings_that_would_not_fit_are_refused(corpus, tmp_path):
    with pytest.raises(UsageError, match="--top-k is at most"):
        recension.edit(corpus, tmp_path / "out", replace(SURE, top_k=100_000))
    with pytest.raises(UsageError, match="--threads is 1 or more"):
        PriorSettings(threads=0)
    with pytest.raises(UsageError, match=r"rows takes RowSettings\(...\)"):
        EditSpec(rows="text")


@pytest.mark.parametrize("out", ["", "s3://bucket/x"])
def test_places_that_cannot_hold_a_run(corpus, out, tmp_path):
    with pytest.raises(OutputError, match="-o"):
        recension.edit(corpus, out, SURE)
    with pytest.raises(OutputError, match="cannot write"):
        recension.edit(corpus, tmp_path / ("x" * 300), SURE)


def test_an_empty_input_is_not_the_current_folder(tmp_path):
    with pytest.raises(InputError, match="empty"):
        recension.edit("", tmp_path / "out", SURE)


def test_a_run_in_which_nothing_could_be_used_is_an_error(corpus, tmp_path):
    with pytest.raises(InputError, match="none of the 120 rows"):
        recension.edit(corpus, tmp_path / "out", replace(SURE, rows=RowSettings(text_key="txet")))
    assert recension.verify(tmp_path / "out").sound


def test_a_run_that_failed_before_it_began_leaves_the_folder_free(tmp_path):
    empty = write_jsonl(tmp_path / "in.jsonl", [{"text": ""}])
    with pytest.raises(recension.RecensionError, match="nothing to fit"):
        recension.train_ngram(empty, tmp_path / "out")
    full = write_jsonl(tmp_path / "full.jsonl", make_rows(30))
    recension.train_ngram(full, tmp_path / "out", NgramSpec(order=2, vocabulary=300))


def test_settings_without_a_say_make_no_other_run(corpus, tmp_path):
    out = tmp_path / "out"
    recension.edit(corpus, out, replace(SURE, protect=("urls", "numbers")))
    same = replace(SURE, protect=("numbers", "urls", "numbers"), policy="anchor", top_p=0.5, origin="unknown")
    recension.edit(corpus, out, same)
    recension.edit(corpus, out, replace(same, prior="", priors=("fake:sure",)))
    with pytest.raises(ManifestMismatchError, match="protect"):
        recension.edit(corpus, out, replace(same, protect=("numbers",)))


def test_a_copy_of_the_corpus_gives_the_same_bytes(corpus, tmp_path):
    recension.edit(corpus, tmp_path / "one", SURE)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in corpus.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    recension.edit(copy, tmp_path / "two", SURE)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_a_file_name_that_is_not_utf8_is_no_obstacle(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    name = os.fsdecode(os.fsencode(str(folder)) + b"/b\xff.jsonl")
    with open(name, "wb") as file:
        file.write(write_jsonl(tmp_path / "rows.jsonl", make_rows(5)).read_bytes())
    recension.edit([name], tmp_path / "one", SURE)
    recension.edit(folder, tmp_path / "two", SURE)
    assert recension.verify(tmp_path / "one").sound and recension.verify(tmp_path / "two").written == 5


def test_an_unfinished_run_is_no_input(corpus, tmp_path):
    recension.edit(corpus, tmp_path / "one", SURE)
    (tmp_path / "one" / "receipts" / "seal.json").unlink()
    with pytest.raises(InputError, match="not finished"):
        recension.edit(tmp_path / "one", tmp_path / "two", SURE)


def test_a_misspelt_key_is_told_the_columns(corpus, tmp_path):
    with pytest.raises(InputError, match="the columns are id, text, page, tags"):
        recension.edit(corpus, tmp_path / "out", replace(SURE, rows=RowSettings(text_key="txet")))
