"""`select` as a run: every method, one answer for any number of workers, after any kill, with everything accounted for."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

import recension
from recension import HeadSpec, RowSettings, SelectEffort, SelectSpec
from recension.cli.main import main
from recension.errors import InputError, ManifestMismatchError, ModelError, TooManyDroppedError, UsageError
from recension.recipes.select import outcome
from recension.report.select import DomainShare
from tests.recipes.conftest import read, tree, write_jsonl

SAMPLES = Path(__file__).parent.parent.parent / "samples" / "human.jsonl.gz"
PARTS = ("data", "dropped", "scores")
ONE = SelectEffort(workers=1)
HOSTILE = "<img src=x onerror=alert(1)>"


def rows(domain: str) -> list[dict]:
    with gzip.open(SAMPLES, "rt") as file:
        return [row for row in map(json.loads, file) if row["domain"] == domain]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> tuple[Path, Path]:
    """Three domains, some rows that cannot be read, a copy, near-copies, and a domain that tries to be markup; a target."""
    folder = tmp_path_factory.mktemp("corpora")
    novels, sums, plans = rows("fiction")[:60], rows("math")[:140], rows("technical_proposals")[:40]
    for row in (*novels, *plans):
        row["text"] = row["text"][:1_500]
    mixed: list = [row for trio in zip(sums, [*novels, *plans, *sums[100:140]], strict=True) for row in trio]
    mixed[3] = b"{broken"
    mixed[50] = {"id": "empty", "text": ""}
    mixed.append({**mixed[10], "id": "copy"})
    mixed.append({**mixed[11], "id": "near", "text": mixed[11]["text"].replace(" the ", " that ", 1)})
    mixed.append({"text": f"{HOSTILE} " * 30 + "and words enough to be read", "domain": HOSTILE})
    target = [{"text": row["text"][:1_500]} for row in rows("fiction")[100:250]]
    return write_jsonl(folder / "mixed.jsonl", mixed), write_jsonl(folder / "target.jsonl", target)


def spec(target: Path, **more) -> SelectSpec:
    settings = {"target": (str(target),), "keep": 0.2, "min_words": 5, "shard_bytes": 60_000, "tail_words": 4_000}
    return SelectSpec(**{**settings, **more})


@pytest.fixture(scope="module")
def drawn(corpora, tmp_path_factory):
    out = tmp_path_factory.mktemp("drawn") / "out"
    return out, recension.select(corpora[0], out, spec(corpora[1]), ONE)


def test_dsir_finds_what_is_like_the_target_and_accounts_for_the_rest(corpora, drawn):
    out, report = drawn
    proof = recension.verify(out)
    assert proof.sound and proof.shards > 2 and (proof.rows, proof.written) == (283, 56)
    assert report.kept == 56 and report.documents == 281
    kept = [json.loads(row["metadata"])["domain"] for row in read(out)]
    assert kept.count("fiction") > 50
    reasons = {row["reason"] for row in read(out, "dropped")}
    assert {"not-drawn", "not-json", "empty-text"} <= reasons
    assert report.dropped == {r: sum(row["reason"] == r for row in read(out, "dropped")) for r in reasons}
    scores = read(out, "scores")
    assert len(scores) == 281 and sum(row["kept"] for row in scores) == 56
    by_id = {row["id"]: row["score"] for row in scores}
    assert all(row["score"] == by_id[row["id"]] for row in read(out, "dropped") if row["reason"] == "not-drawn")


def test_what_is_left_out_is_named_by_its_place_and_nothing_is_copied(corpora, drawn):
    out, _ = drawn
    content = corpora[0].read_bytes()
    removed = [row for row in read(out, "dropped") if row["original_format"] == "reference"]
    assert len(removed) == 281 - 56
    for row in removed:
        line = content[row["offset"] : row["offset"] + row["length"]]
        assert row["original"] is None and row["file"] == "mixed.jsonl"
        assert (
            json.loads(line).get("id", row["id"]) == row["id"]
            and content[: row["offset"]].count(b"\n") + 1 == row["row"]
        )
    assert {row["original"] for row in read(out, "dropped") if row["reason"] == "not-json"} == {b"{broken"}


def test_the_report_tells_the_tail(drawn):
    out, report = drawn
    raw = json.loads((out / "report.json").read_bytes())
    assert raw["facts"]["top_k_overlap"] > 0.9 and raw["facts"]["effective_sample_size"] < 20
    assert any("--temperature" in warning for warning in report.warnings)
    gone = msgspec.structs.replace(report, domains=(DomainShare("letters", 50, 0, 900, 0),))
    assert "Nothing is left of letters." in list(outcome.warnings_of(gone))
    assert report.narrowing is not None and report.narrowing.passages == 18
    for seen, told in ((0.5, True), (0.95, False)):
        thin = msgspec.structs.replace(report.narrowing, covered=seen, self_covered=1.0)
        said = outcome.warnings_of(msgspec.structs.replace(report, narrowing=thin))
        assert any("50.0% of its passages" in warning for warning in said) is told
    none = msgspec.structs.replace(report, kept=0, dropped={"too-short": 2, "low-score": 9})
    assert list(outcome.warnings_of(none)) == ["No document is kept: all have a score below --min-score."]
    assert sum(d.documents for d in report.domains) == 281 and sum(d.kept for d in report.domains) == 56
    assert sum(row[1] for row in report.lengths) == 281 and sum(row[2] for row in report.lengths) == 56
    assert report.narrowing is not None and len(report.narrowing.figures) == 11
    assert 0 < report.rare[0].expected < 1 and report.buckets[0] > report.buckets[1]
    page = (out / "report.html").read_text()
    assert "&lt;img" in page and "<img" not in page and "Look at this first" in page
    card = (out / "README.md").read_text()
    assert "config_name: scores" in card and "config_name: dropped" in card


KILLER = """
import os, signal, sys
import recension
class Killer:
    def update(self, progress):
        if progress.stage == sys.argv[4]:
            os.kill(os.getpid(), signal.SIGKILL)
    def note(self, line):
        pass
spec = recension.SelectSpec(
    target=(sys.argv[2],), keep=0.2, min_words=5, shard_bytes=60_000, tail_words=4_000)
recension.select(sys.argv[1], sys.argv[3], spec, recension.SelectEffort(workers=1), Killer())
"""


def test_killed_between_passes_and_with_two_workers_it_writes_the_same_bytes(corpora, drawn, tmp_path):
    source, target = corpora
    out = tmp_path / "out"
    for stage in ("score", "report"):
        done = subprocess.run([sys.executable, "-c", KILLER, str(source), str(target), str(out), stage], check=False)
        assert done.returncode == -9
        assert not recension.verify(out).complete and not recension.verify(out).problems
    recension.select(source, out, spec(target), SelectEffort(workers=2))
    assert tree(out, PARTS) == tree(drawn[0], PARTS) and recension.verify(out).sound
    assert (out / "report.json").read_text().replace('"title": "out"', "") == (
        (drawn[0] / "report.json").read_text().replace('"title": "out"', "")
    )
    again = recension.select(source, out, spec(target), ONE)
    assert again == drawn[1]
    next((out / "receipts").glob("00001.json")).unlink()  # a finished run that lost a shard begins anew
    recension.select(source, out, spec(target), ONE)
    assert tree(out, PARTS) == tree(drawn[0], PARTS) and recension.verify(out).sound
    with pytest.raises(ManifestMismatchError, match=r"keep was 0\.2, now 0\.3"):
        recension.select(source, out, spec(target, keep=0.3), ONE)


def test_the_order_of_files_changes_no_draw(corpora, drawn, tmp_path):
    """A draw belongs to the document: with the rows turned round the same documents are drawn."""
    lines = corpora[0].read_bytes().splitlines()
    turned = write_jsonl(tmp_path / "mixed.jsonl", lines[::-1])
    recension.select(turned, tmp_path / "out", spec(corpora[1], tail_words=0), ONE)
    names = [{row["id"] for row in read(out) if "-" not in row["id"]} for out in (drawn[0], tmp_path / "out")]
    assert names[0] == names[1] and len(names[0]) > 40
    recension.select(corpora[0], tmp_path / "seed", spec(corpora[1], tail_words=0, seed=1, temperature=50.0), ONE)
    assert {row["id"] for row in read(tmp_path / "seed")} != {row["id"] for row in read(drawn[0])}


def test_temperature_and_length_even_the_weights_out(corpora, drawn, tmp_path):
    flat = recension.select(corpora[0], tmp_path / "flat", spec(corpora[1], tail_words=0, temperature=1000.0), ONE)
    assert flat.facts["effective_sample_size"] > 10 * drawn[1].facts["effective_sample_size"]
    assert flat.facts["top_k_overlap"] < 0.6 and flat.narrowing is None
    even = recension.select(corpora[0], tmp_path / "even", spec(corpora[1], tail_words=0, length_normalise=True), ONE)
    assert even.facts["effective_sample_size"] != drawn[1].facts["effective_sample_size"]
    published = spec(corpora[1], tail_words=0, hash="sha256", format="jsonl.zst")
    report = recension.select(corpora[0], tmp_path / "sha", published, ONE)
    assert report.kept == 56 and recension.verify(tmp_path / "sha").sound


def test_a_number_of_words_or_tokens_is_filled_and_not_exceeded(corpora, tmp_path):
    words = spec(corpora[1], keep=None, keep_tokens=3_000, tail_words=0)
    report = recension.select(corpora[0], tmp_path / "words", words, ONE)
    assert 2_600 < report.kept_words <= 3_000
    tokenizer = Path(recension.__file__).parent / "models" / "embedded" / "tokenizer.json"
    tokens = spec(corpora[1], keep=None, keep_tokens=3_000, tokenizer=str(tokenizer), tail_words=0)
    fewer = recension.select(corpora[0], tmp_path / "tokens", tokens, ONE)
    assert 0 < fewer.kept_words < report.kept_words
    same = recension.select(corpora[0], tmp_path / "tokens", replace(tokens, tokenizer="embedded"), ONE)
    assert same == fewer  # what it counts with is in the key, and not what that is called
    with pytest.raises(ManifestMismatchError):
        recension.select(corpora[0], tmp_path / "tokens", replace(tokens, tokenizer="bytes"), ONE)
    with pytest.raises(ModelError, match="there is no such file"):
        recension.select(corpora[0], tmp_path / "none", replace(tokens, tokenizer="none.json"), ONE)


def test_a_band_of_perplexity_is_kept(corpora, tmp_path):
    settings = {"method": "perplexity", "prior": "fake:sure", "tail_words": 0, "shard_bytes": 60_000}
    band = recension.select(corpora[0], tmp_path / "band", SelectSpec(**settings, low=0.1, high=0.5), ONE)
    scores = read(tmp_path / "band", "scores")
    kept, out = ([row["score"] for row in scores if row["kept"] is flag] for flag in (True, False))
    assert band.kept == round(0.5 * 281) - round(0.1 * 281) and recension.verify(tmp_path / "band").sound
    assert sum(score < min(kept) for score in out) <= round(0.1 * 281)
    assert all(score <= min(kept) or score >= max(kept) for score in out)
    some = recension.select(corpora[0], tmp_path / "some", SelectSpec(**settings, keep_tokens=2_000), ONE)
    assert 1_500 < some.kept_words <= 2_000
    middle = [row["score"] for row in read(tmp_path / "some", "scores") if row["kept"]]
    ordered = sorted(row["score"] for row in scores)
    assert min(middle) <= ordered[140] <= max(middle)


def test_density_and_dedup(corpora, tmp_path):
    settings = {"shard_bytes": 300_000, "tail_words": 0}
    report = recension.select(corpora[0], tmp_path / "dense", SelectSpec("density", keep=0.5, **settings), ONE)
    assert report.kept == round(281 / 2) and recension.verify(tmp_path / "dense").sound
    scores = {row["id"]: row["score"] for row in read(tmp_path / "dense", "scores")}
    assert scores["copy"] > np.median(list(scores.values()))  # what stands there twice is dense
    found = recension.select(corpora[0], tmp_path / "once", SelectSpec("dedup", shard_bytes=60_000), ONE)
    removed = {
        row["id"]: row["detail"] for row in read(tmp_path / "once", "dropped") if row["reason"] == "near-duplicate"
    }
    assert found.facts == {"near_duplicates": len(removed), "groups": len(set(removed.values()))}
    kept = {row["id"]: row for row in read(tmp_path / "once")}
    assert {"copy", "near"} <= set(removed)
    first, _, there = removed["copy"].removeprefix("of ").partition(" at mixed.jsonl row ")
    assert first in kept and int(there) <= 11 and recension.verify(tmp_path / "once").sound


def test_a_head_is_trained_and_chooses(corpora, tmp_path):
    labelled = [
        {**row, "score": 4 if row["domain"] == "fiction" else 1} for row in (*rows("fiction"), *rows("math")[:250])
    ]
    source = write_jsonl(tmp_path / "labelled.jsonl", [*labelled, {"text": "no score", "score": "high"}, b"{"])
    same = write_jsonl(tmp_path / "same.jsonl", [{**row, "score": 2} for row in labelled[::8]])
    with pytest.raises(InputError, match="'score' are all the same"):
        recension.train_head(same, tmp_path / "none")
    report = recension.train_head(source, tmp_path / "head", HeadSpec(rows=RowSettings()))
    proof = recension.verify(tmp_path / "head")
    assert proof.sound and (proof.rows, proof.written, proof.dropped) == (506, 504, 2)
    assert report.f1 > 0.9 and report.explained > 0.7 and report.documents == 504
    assert recension.train_head(source, tmp_path / "head") == report
    chosen = SelectSpec("edu", head=str(tmp_path / "head"), min_score=2.5, shard_bytes=300_000, tail_words=0)
    found = recension.select(corpora[0], tmp_path / "out", chosen, ONE)
    kept = [json.loads(row["metadata"])["domain"] for row in read(tmp_path / "out")]
    assert kept.count("fiction") > 50 and kept.count("math") < 10 and found.kept == len(kept)
    assert all((row["score"] >= 2.5) == row["kept"] for row in read(tmp_path / "out", "scores"))
    with pytest.raises(ModelError, match="no head is there"):
        recension.select(corpora[0], tmp_path / "other", replace(chosen, head=str(source)), ONE)
    (tmp_path / "head" / "model" / "head.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelError, match="damaged"):
        recension.select(
            corpora[0], tmp_path / "other", SelectSpec("edu", head=str(tmp_path / "head"), keep=0.1, seed=1), ONE
        )


def test_bad_rows_move_no_removal_to_another_document(tmp_path):
    texts = {name: " ".join(f"{name}{i}" for i in range(60)) for name in "abc"}
    given = [b"{", {"id": "a", "text": texts["a"]}, {"id": "empty", "text": ""}, {"id": "b", "text": texts["b"]}, b"{",
             {"id": "a2", "text": texts["a"]}, {"id": "c", "text": texts["c"]}, {"id": "b2", "text": texts["b"]}]  # fmt: skip
    source = write_jsonl(tmp_path / "in.jsonl", given)
    report = recension.select(source, tmp_path / "out", SelectSpec("dedup", tail_words=0), ONE)
    removed = {r["id"]: r["detail"] for r in read(tmp_path / "out", "dropped") if r["reason"] == "near-duplicate"}
    assert removed == {"a2": "of a at in.jsonl row 2", "b2": "of b at in.jsonl row 4"}
    assert [row["id"] for row in read(tmp_path / "out")] == ["a", "b", "c"] and report.kept == 3


def test_origins_are_kept(tmp_path):
    origin = {
        "kind": "edited",
        "root": "r",
        "parent": "p",
        "method": "toedit",
        "run": "x",
        "generation": 2,
        "edition": 1,
    }
    source = write_jsonl(tmp_path / "in.jsonl", [{"id": "a", "text": "one two three", "origin": origin}])
    recension.select(source, tmp_path / "out", SelectSpec("dedup", tail_words=0), ONE)
    [row] = read(tmp_path / "out")
    assert row["origin"] == origin


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "--method dsir needs --keep"),
        ({"keep": 0.1}, "needs --target"),
        ({"keep": 0.1, "keep_tokens": 5, "target": ("x",)}, "exclude each other"),
        ({"method": "dedup", "keep": 0.1}, "--keep says nothing to --method dedup"),
        ({"method": "perplexity", "target": ("x",)}, "--target says nothing to"),
        ({"method": "edu", "keep": 0.1}, "needs --head"),
        ({"method": "perplexity", "low": 0.8, "high": 0.2}, "nothing would be kept"),
        ({"method": "density", "keep": 0.1, "temperature": 0.0}, "--temperature is above 0"),
        ({"method": "density", "keep": 0.1, "embedder": "none"}, "--embedder is static"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        SelectSpec(**settings)


def test_inputs_that_cannot_work_are_refused(corpora, tmp_path):
    empty = write_jsonl(tmp_path / "empty.jsonl", [{"words": "x"}])
    with pytest.raises(InputError, match="is --text-key right"):
        recension.select(empty, tmp_path / "a", spec(corpora[1]), ONE)
    with pytest.raises(InputError, match=r"--target .* holds no text"):
        recension.select(corpora[0], tmp_path / "b", spec(empty), ONE)
    with pytest.raises(InputError, match="no document can be kept"):
        recension.select(corpora[0], tmp_path / "c", spec(corpora[1], min_words=100_000), ONE)
    with pytest.raises(TooManyDroppedError, match="2 of 283 rows"):
        recension.select(corpora[0], tmp_path / "d", spec(corpora[1]), SelectEffort(workers=1, max_dropped=0.001))


def test_the_command_has_a_command_below_it(corpora, tmp_path):
    run = CliRunner().invoke
    told = run(main, ["select", "--help"]).output
    assert "train-head" in told and "--keep-tokens" in told
    below = run(main, ["select", "train-head", "--help"]).output
    assert "--label-key" in below and "--keep-tokens" not in below
    flags = ["--target", str(corpora[1]), "--keep", "0.1", "-o", str(tmp_path / "out"), "--dry-run"]
    planned = run(main, ["select", str(corpora[0]), *flags])
    assert planned.exit_code == 0 and "would read 1 files" in planned.output and not (tmp_path / "out").exists()
