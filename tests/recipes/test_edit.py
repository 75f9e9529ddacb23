"""`edit`, `revert`, `view` and `verify` from end to end."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

import recension
from recension import EditSpec, Effort, RevertSpec
from recension.engines.local import available_cores
from recension.errors import (
    InputChangedError,
    ManifestMismatchError,
    TooManyDroppedError,
    UnreachableError,
    UsageError,
    VerificationError,
)
from tests.recipes.conftest import make_rows, read, tree, write_jsonl

SURE = EditSpec(prior="fake:sure", exclude_original=True, shard_bytes=4_000)


def test_every_row_is_written_or_dropped_and_nothing_else_changes(corpus, tmp_path):
    out = tmp_path / "out"
    report = recension.edit([corpus], out, SURE)
    proof = recension.verify(out)
    assert proof.sound and (proof.rows, proof.written, proof.dropped) == (120, 117, 3)
    assert dict(report.dropped) == {"empty-text": 1, "not-json": 1, "nul": 1}
    sources = {row["id"]: row for row in make_rows(120)}
    rows = read(out)
    assert [r["id"] for r in rows].count("doc-42") == 2
    assert any(r["text"] != sources[r["id"]]["text"] for r in rows)
    for row in rows:
        assert json.loads(row["metadata"]) == {k: sources[row["id"]][k] for k in ("page", "tags")}
        assert row["origin"] == {
            "kind": "edited", "root": row["id"], "parent": row["id"], "method": "toedit", "run": report.run,
            "generation": 1, "edition": 1,
        }  # fmt: skip
    step = report.generations[0]
    assert 0 < step.changed <= step.flagged < step.tokens
    assert step.changed == len(read(out, "edits"))
    assert sum(step.probabilities) == step.tokens and sum(step.positions) == step.changed
    dropped = {r["reason"]: r for r in read(out, "dropped")}
    assert dropped["not-json"]["original"] == b"{broken" and dropped["not-json"]["row"] == 8
    assert dropped["nul"]["file"].endswith("b.jsonl") and dropped["nul"]["row"] == 21


def test_identical_rows_get_identical_edits(corpus, tmp_path):
    recension.edit([corpus], tmp_path / "out", SURE)
    twins = [r for r in read(tmp_path / "out") if r["id"] == "doc-42"]
    assert twins[0] == twins[1]


def test_the_log_tells_the_whole_change(corpus, tmp_path):
    recension.edit([corpus], tmp_path / "out", SURE)
    sources = {row["id"]: row["text"] for row in make_rows(120)}
    for path in sorted((tmp_path / "out" / "data").glob("*")):
        data = pq.read_table(path).to_pylist()
        edits = pq.read_table(tmp_path / "out" / "edits" / path.name).to_pylist()
        for number, row in enumerate(data):
            text, shift = sources[row["id"]], 0
            for edit in (e for e in edits if e["row"] == number):
                assert sources[row["id"]][edit["start"] : edit["end"]] == edit["old"]
                start = edit["start"] + shift
                text = text[:start] + edit["new"] + text[edit["end"] + shift :]
                shift += len(edit["new"]) - len(edit["old"])
                assert edit["p_old"] >= 0.99 > edit["p_new"]
            assert text == row["text"]


def test_workers_change_no_byte(corpus, tmp_path):
    recension.edit([corpus], tmp_path / "one", SURE, Effort(workers=1))
    recension.edit([corpus], tmp_path / "other", SURE, Effort(workers=2))
    assert tree(tmp_path / "one") == tree(tmp_path / "other")


def test_by_default_every_core_has_a_worker(corpus, tmp_path):
    """The tests have one core each, so here all are asked for again."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        plan = recension.plan_edit(corpus, tmp_path / "out", replace(SURE, shard_bytes=500))
        assert plan.workers == available_cores()
    finally:
        os.sched_setaffinity(0, before)
    assert recension.plan_edit(corpus, tmp_path / "out", SURE).workers == 1


def test_moving_and_renaming_files_changes_no_edit(corpus, tmp_path):
    recension.edit([corpus], tmp_path / "one", SURE)
    moved = tmp_path / "elsewhere" / "deeper"
    moved.mkdir(parents=True)
    (corpus / "a.jsonl").rename(moved / "z.jsonl")
    (corpus / "b.jsonl").rename(moved / "c.jsonl")
    recension.edit([moved], tmp_path / "two", replace(SURE, shard_bytes=1_000))
    texts = [sorted((r["id"], r["text"]) for r in read(tmp_path / name)) for name in ("one", "two")]
    assert texts[0] == texts[1]


def test_another_seed_draws_other_tokens(corpus, tmp_path):
    recension.edit([corpus], tmp_path / "one", SURE)
    recension.edit([corpus], tmp_path / "two", replace(SURE, seed=1))
    assert [r["text"] for r in read(tmp_path / "one")] != [r["text"] for r in read(tmp_path / "two")]


def test_a_finished_run_is_not_done_again(corpus, tmp_path):
    out = tmp_path / "out"
    first = recension.edit([corpus], out, SURE)
    before = {p: p.stat().st_mtime_ns for p in (out / "data").iterdir()}
    assert recension.edit([corpus], out, SURE).to_json() == first.to_json()
    assert {p: p.stat().st_mtime_ns for p in (out / "data").iterdir()} == before


def test_a_missing_or_damaged_shard_is_found_and_made_again(corpus, tmp_path):
    out = tmp_path / "out"
    recension.edit([corpus], out, SURE)
    whole = tree(out)
    (out / "data" / "00001.parquet").write_bytes(b"rubbish")
    assert any("00001" in p for p in recension.verify(out).problems)
    (out / "receipts" / "00001.json").unlink()
    assert not recension.verify(out).sound
    recension.edit([corpus], out, SURE)
    assert tree(out) == whole and recension.verify(out).sound


@pytest.mark.parametrize("tamper", ["data", "dropped", "edits", "receipt", "stray", "report", "row"])
def test_verify_notices(corpus, tmp_path, tamper):
    out = tmp_path / "out"
    recension.edit([corpus], out, SURE)
    assert recension.verify(out).sound
    if tamper == "receipt":
        path = out / "receipts" / "00000.json"
        raw = json.loads(path.read_text())
        path.write_text(json.dumps(raw | {"written": raw["written"] + 1}))
    elif tamper == "stray":
        (out / "data" / "99999.parquet").write_bytes((out / "data" / "00000.parquet").read_bytes())
    elif tamper == "report":
        (out / "report.json").write_text("{}")
    elif tamper == "row":
        path = out / "data" / "00000.parquet"
        table = pq.read_table(path)
        pq.write_table(table.slice(1), path)
    else:
        next((out / tamper).iterdir()).unlink()
    assert not recension.verify(out).sound


def test_a_limit_is_a_prefix_and_a_larger_one_goes_on(corpus, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    recension.edit([corpus], whole, SURE)
    for limit, written in ((10, 9), (33, 32), (100, None)):
        report = recension.edit([corpus], out, SURE, Effort(limit=limit))
        proof = recension.verify(out)
        assert proof.sound and proof.rows == limit
        if written:
            assert report.documents == written
    recension.edit([corpus], out, SURE)
    assert tree(out) == tree(whole)
    recension.edit([corpus], out, SURE, Effort(limit=5))
    assert tree(out) == tree(whole) and recension.verify(out).sound


def test_another_spec_or_input_is_refused_with_the_difference(corpus, tmp_path):
    out = tmp_path / "out"
    recension.edit([corpus], out, SURE)
    with pytest.raises(ManifestMismatchError, match=r"spec\.threshold was 0\.99, now 0\.5"):
        recension.edit([corpus], out, replace(SURE, threshold=0.5))
    with pytest.raises(ManifestMismatchError, match="models"):
        recension.edit([corpus], out, replace(SURE, prior="fake:headless"))
    with (corpus / "a.jsonl").open("a") as file:
        file.write('{"text": "one more"}\n')
    with pytest.raises(ManifestMismatchError, match=r"inputs\[.*a\.jsonl"):
        recension.edit([corpus], out, SURE)
    recension.edit([corpus], out, SURE, fresh=True)
    assert recension.verify(out).sound


def test_settings_that_mean_the_same_are_the_same_run(corpus, tmp_path):
    recension.edit([corpus], tmp_path / "out", SURE)
    recension.edit([corpus], tmp_path / "out", replace(SURE, threshold=0.99, top_k=8, temperature=1.0, policy="chain"))


def test_an_input_that_changes_during_the_run_fails_it(corpus, tmp_path):
    class Meddler:
        """Appends to the input as soon as it is told of progress."""

        def update(self, progress):
            pass

        def note(self, line):
            with (corpus / "b.jsonl").open("a") as file:
                file.write('{"text": "late"}\n')

    rare = EditSpec(prior="fake:sure", shard_bytes=4_000)
    with pytest.raises(InputChangedError, match=r"b\.jsonl"):
        recension.edit([corpus], tmp_path / "out", rare, observer=Meddler())
    assert not recension.verify(tmp_path / "out").sound


def test_too_many_dropped_rows_are_fatal_and_can_be_allowed_later(corpus, tmp_path):
    with pytest.raises(TooManyDroppedError, match="3 of 120"):
        recension.edit([corpus], tmp_path / "out", SURE, Effort(max_dropped=0.01))
    recension.edit([corpus], tmp_path / "out", SURE, Effort(max_dropped=0.5))
    assert recension.verify(tmp_path / "out").sound


@pytest.mark.parametrize("form", ["parquet", "jsonl", "jsonl.gz", "jsonl.zst"])
def test_revert_restores_every_original_byte(corpus, tmp_path, form):
    out, back = tmp_path / "out", tmp_path / "back"
    recension.edit([corpus], out, replace(SURE, format=form))
    recension.revert(out, back)
    sources = {row["id"]: row for row in make_rows(120)}
    rows = read(back)
    assert len(rows) == 117 and recension.verify(back).sound and recension.verify(out).sound
    for row in rows:
        assert row["text"] == sources[row["id"]]["text"]
        assert json.loads(row["metadata"])["page"] == sources[row["id"]]["page"]
        assert row["origin"]["generation"] == 0


@pytest.mark.parametrize("policy", ["chain", "anchor"])
def test_generations_are_logged_and_reverted_one_by_one(corpus, tmp_path, policy):
    out = tmp_path / "out"
    spec = replace(SURE, generations=3, policy=policy)
    report = recension.edit([corpus], out, spec)
    assert [g.generation for g in report.generations] == [1, 2, 3]
    for generation in range(4):
        recension.revert(out, tmp_path / f"to{generation}", RevertSpec(to=generation))
    texts = [[r["text"] for r in read(tmp_path / f"to{g}")] for g in range(4)]
    sources = {row["id"]: row["text"] for row in make_rows(120)}
    assert texts[0] == [sources[r["id"]] for r in read(out)]
    assert texts[3] == [r["text"] for r in read(out)]
    assert texts[1] != texts[2] != texts[3]
    recension.edit([corpus], tmp_path / "single", replace(SURE, generations=1))
    assert texts[1] == [r["text"] for r in read(tmp_path / "single")]
    assert {r["origin"]["generation"] for r in read(out)} == {3}


def test_a_chain_is_the_same_as_editing_again_and_again(corpus, tmp_path):
    recension.edit([corpus], tmp_path / "chain", replace(SURE, generations=2))
    recension.edit([corpus], tmp_path / "first", SURE)
    recension.edit([tmp_path / "first"], tmp_path / "second", SURE)
    assert [r["text"] for r in read(tmp_path / "chain")] == [r["text"] for r in read(tmp_path / "second")]
    assert {r["origin"]["generation"] for r in read(tmp_path / "second")} == {2}
    assert {r["origin"]["root"] for r in read(tmp_path / "second")} == {
        r["origin"]["root"] for r in read(tmp_path / "first")
    }


def test_what_is_declared_to_be_of_a_model_has_been_through_one(corpus, tmp_path):
    recension.edit([corpus], tmp_path / "out", replace(SURE, origin="generated"))
    assert {r["origin"]["generation"] for r in read(tmp_path / "out")} == {2}


def test_each_generation_its_own_prior_anchored_by_default(corpus, tmp_path):
    out = tmp_path / "out"
    spec = EditSpec(priors=("fake:sure", "fake:headless"), exclude_original=True)
    report = recension.edit([corpus], out, spec)
    assert [g.prior for g in report.generations] == ["fake:sure", "fake:headless"]
    recension.edit([corpus], tmp_path / "last", replace(SURE, prior="fake:headless", seed=0))
    recension.revert(out, tmp_path / "back")
    sources = {row["id"]: row["text"] for row in make_rows(120)}
    assert all(r["text"] == sources[r["id"]] for r in read(tmp_path / "back"))


def test_editions_are_independent_drafts_of_the_original(corpus, tmp_path):
    out = tmp_path / "out"
    recension.edit([corpus], out, replace(SURE, editions=3))
    proof = recension.verify(out)
    assert proof.sound and (proof.rows, proof.units) == (120, 3 * 117 + 3)
    rows = read(out)
    assert [r["origin"]["edition"] for r in rows[:6]] == [1, 2, 3, 1, 2, 3]
    assert len({r["text"] for r in rows[:3]}) == 3
    recension.edit([corpus], tmp_path / "single", SURE)
    assert [r["text"] for r in rows[::3]] == [r["text"] for r in read(tmp_path / "single")]
    recension.revert(out, tmp_path / "back")
    assert len(read(tmp_path / "back")) == 117 and recension.verify(tmp_path / "back").sound
    assert recension.view(out).edits > 0


def test_chat_and_instruction_rows_are_edited_in_the_answer_alone(tmp_path):
    answer = "The end of the day is in the text of the ship and that of the line."
    rows = [
        {"id": "c", "messages": [
            {"role": "system", "content": answer}, {"role": "user", "content": answer},
            {"role": "assistant", "content": answer, "name": "bot"}, {"role": "user", "content": "And?"},
            {"role": "assistant", "content": answer},
        ], "lang": "en"},
        {"id": "i", "instruction": answer, "input": answer, "output": answer, "n": 1},
        {"id": "t", "text": answer},
    ]  # fmt: skip
    out = tmp_path / "out"
    recension.edit([write_jsonl(tmp_path / "in.jsonl", rows)], out, SURE)
    chat, instruction, text = read(out)
    assert [m["content"] for m in chat["messages"]][:2] == [answer, answer]
    assert chat["messages"][2]["content"] != answer != chat["messages"][4]["content"]
    assert (instruction["instruction"], instruction["input"]) == (answer, answer) and instruction["output"] != answer
    assert text["text"] != answer
    assert {e["path"] for e in read(out, "edits")} == {"messages[2].content", "messages[4].content", "output", "text"}
    recension.revert(out, tmp_path / "back")
    back = read(tmp_path / "back")
    assert [m["content"] for m in back[0]["messages"]] == [m["content"] for m in rows[0]["messages"]]
    assert back[1]["output"] == answer and back[2]["text"] == answer
    assert recension.verify(tmp_path / "back").sound


def test_the_answer_is_scored_with_what_comes_before_it(tmp_path):
    """The first token of the answer has a predecessor, even for a model without a beginning-of-text token."""
    rows = [{"instruction": f"the {i}", "input": "", "output": " the end"} for i in range(200)]
    bare = [{"text": " the end"} for _ in range(200)]
    spec = replace(SURE, prior="fake:headless", threshold=0.0)
    recension.edit([write_jsonl(tmp_path / "a.jsonl", rows)], tmp_path / "with", spec)
    recension.edit([write_jsonl(tmp_path / "b.jsonl", bare)], tmp_path / "without", spec)
    assert min(e["start"] for e in read(tmp_path / "with", "edits")) == 0
    assert min(e["start"] for e in read(tmp_path / "without", "edits")) > 0


def test_protected_stretches_stay(corpus, tmp_path):
    out = tmp_path / "out"
    spec = replace(SURE, threshold=0.0, protect=("numbers", "urls", "quotes", r"captain"))
    report = recension.edit([corpus], out, spec)
    assert report.generations[0].protected > 0
    for row in read(out):
        source = next(r["text"] for r in make_rows(120) if r["id"] == row["id"])
        for kept in ("1805", "https://example.org/log", "“Never again,”"):
            assert row["text"].count(kept) >= source.count(kept)


def test_change_share_is_met(tmp_path):
    rows = make_rows(400)
    out = tmp_path / "out"
    spec = EditSpec(prior="fake:sure", change_share=0.05, exclude_original=True, shard_bytes=20_000)
    source = write_jsonl(tmp_path / "in.jsonl", rows)
    report = recension.edit([source], out, spec)
    step = report.generations[0]
    assert step.changed / step.tokens == pytest.approx(0.05, rel=0.15)
    decided = json.loads((out / "manifest.json").read_text())["decided"]["budget"]
    assert 0 < decided["threshold"] < 1 and decided["sha256"]
    assert recension.verify(out).sound
    recension.edit([source], tmp_path / "part", spec, Effort(limit=100))
    recension.edit([source], tmp_path / "part", spec, Effort(workers=2))
    assert tree(tmp_path / "part") == tree(out)


def test_a_share_that_cannot_be_reached_names_the_maximum(corpus, tmp_path):
    with pytest.raises(UnreachableError, match=r"at most 0\.\d+"):
        recension.edit([corpus], tmp_path / "out", replace(SURE, change_share=0.9))
    recension.edit([corpus], tmp_path / "out", replace(SURE, change_share=0.01))
    assert recension.verify(str(tmp_path / "out")).sound


def test_a_setting_that_hardly_changes_anything_is_said_before(corpus, tmp_path):
    notes = []

    class Ear:
        def update(self, progress):
            pass

        def note(self, line):
            notes.append(line)

    recension.edit([corpus], tmp_path / "out", EditSpec(prior="fake:sure", sampler="top-p", top_p=0.9), observer=Ear())
    assert len(notes) == 1 and "--change-share" in notes[0] and "0.000%" in notes[0]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (EditSpec(prior="fake:sure", priors=("fake:sure",)), "not both"),
        (EditSpec(prior="fake:sure", threshold=1.5), "--threshold is a probability"),
        (EditSpec(prior="fake:sure", change_share=5), "0.05 is 5 %"),
        (EditSpec(prior="fake:sure", temperature=0.0), "--temperature is above 0"),
        (EditSpec(prior="fake:sure", preset="paper", temperature=1.0), "--preset paper fixes --temperature"),
        (EditSpec(prior="fake:sure", preset="paper", change_share=0.1), "--preset paper"),
        (EditSpec(prior="fake:sure", editions=2, generations=2), "--editions"),
        (EditSpec(priors=("fake:sure", "fake:plain"), generations=3), "one prior for each"),
        (EditSpec(prior="fake:sure", protect=("(",)), "regular expression"),
        (EditSpec(prior="fake:sure", below=0.1, change_share=0.1), "--below"),
        (EditSpec(prior="nothing"), "ngram:PATH"),
        (EditSpec(prior="embedded:x"), "unknown kind"),
    ],
)
def test_bad_settings_are_refused_in_one_line(corpus, tmp_path, spec, said):
    with pytest.raises(recension.RecensionError, match=said) as error:
        recension.edit([corpus], tmp_path / "out", spec)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_the_paper_preset_is_the_published_recipe(corpus, tmp_path):
    out = tmp_path / "out"
    recension.edit([corpus], out, EditSpec(prior="fake:sure", preset="paper"))
    spec = json.loads((out / "manifest.json").read_text())["spec"]
    assert {k: spec[k] for k in ("threshold", "sampler", "top_k", "temperature", "exclude_original")} == {
        "threshold": 0.99, "sampler": "top-k", "top_k": 8, "temperature": 1.5, "exclude_original": False,
    }  # fmt: skip


def test_below_edits_the_improbable_tokens_only(corpus, tmp_path):
    out = tmp_path / "out"
    recension.edit([corpus], out, EditSpec(prior="fake:sure", below=0.001))
    edits = read(out, "edits")
    assert edits and max(e["p_old"] for e in edits) <= 0.001


def test_revert_refuses_what_it_cannot_undo(corpus, tmp_path):
    out = tmp_path / "out"
    recension.edit([corpus], out, SURE)
    with pytest.raises(UsageError, match="generations 0"):
        recension.revert(out, tmp_path / "back", RevertSpec(to=2))
    with pytest.raises(recension.RecensionError, match="no Recension run"):
        recension.revert(corpus, tmp_path / "back")
    recension.revert(out, tmp_path / "back")
    with pytest.raises(recension.RecensionError, match="has no edits"):
        recension.revert(tmp_path / "back", tmp_path / "again")
    path = out / "data" / "00000.parquet"
    table = pq.read_table(path)
    spoiled = table.set_column(1, "text", [["spoiled"] * table.num_rows])
    pq.write_table(spoiled, path)
    with pytest.raises(VerificationError, match="is not what was written"):
        recension.revert(out, tmp_path / "other")


def test_a_plan_writes_nothing(corpus, tmp_path):
    plan = recension.plan_edit([corpus], tmp_path / "out", SURE)
    assert plan.files == 2 and plan.tokens > 0 and plan.glance.expected > 0
    assert not (tmp_path / "out").exists()


def test_the_output_loads_as_a_dataset(corpus, tmp_path):
    datasets = pytest.importorskip("datasets")
    for form in ("parquet", "jsonl.zst"):
        out = tmp_path / form
        recension.edit([corpus], out, replace(SURE, format=form))
        loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))["train"]
        assert loaded.num_rows == 117 and "metadata" in loaded.column_names
        edits = datasets.load_dataset(str(out), "edits", cache_dir=str(tmp_path / "cache"))["train"]
        dropped = datasets.load_dataset(str(out), "dropped", cache_dir=str(tmp_path / "cache"))["train"]
        assert edits.num_rows > 0 and dropped.num_rows == 3
