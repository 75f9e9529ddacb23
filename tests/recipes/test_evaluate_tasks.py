"""`evaluate tasks` from end to end: files, bad rows, stopping and going on, comparing, and the harness's own tasks."""

from __future__ import annotations

import gzip
import json
import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import recension
from recension import TasksSpec, evaluate_tasks
from recension.cli.main import main
from recension.errors import InputError, ManifestMismatchError, ModelError, UsageError
from recension.models.harness import check_names, run_named, task_index
from recension.models.prior_lm import prior_lm
from recension.recipes.evaluate.task_files import TaskSettings, read_task, task_name
from recension.report.tasks import tasks_sentence
from recension.run.receipts import read_receipt, read_seal
from tests.models.tiny import gpt2
from tests.recipes.conftest import read, tree, write_jsonl

CHOICES = [
    {"query": "The ship lay in", "choices": ["the harbour", "a cloud", "the soup"], "gold": 0},
    {"query": "The men", "choices": ["sang", "{{ 7*7 }}"], "gold": "sang"},
    {"query": "Which is a number?\n", "choices": ["[1]", "a word"], "gold": "A"},
    {"query": "Both", "choices": ["are right", "are good", "</s>"], "gold": [0, 1]},
]
BAD = [
    {"query": "no choices", "gold": 0},
    {"query": "far", "choices": ["a", "b"], "gold": 2},
    {"query": "true", "choices": ["a", "b"], "gold": True},
    {"query": "flat", "choices": "ab", "gold": 0},
    {"query": "one", "choices": ["a"], "gold": 0},
    {"query": "empty", "choices": ["a", " "], "gold": 0},
    b"{broken",
]
CLOZE = [{"context": f"Line {i} of the log says", "continuation": f"that {i} men sang"} for i in range(6)]
TEXTS = [{"text": "Größe, naïveté and 中的文字."}, {"text": "The end of the day."}, {"text": "And the men sang."}]
ANSWERS = [{"context": "1+1=", "answer": 2, "aliases": ["two"]}]
CONTEXTS = [{"context_options": ["the cat", "the dog"], "continuation": "barks", "gold": 1}]


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "eval"
    folder.mkdir()
    rows = {"mc": [*CHOICES, *BAD], "cloze": CLOZE, "texts": TEXTS, "qa": ANSWERS, "which": CONTEXTS}
    return {name: str(write_jsonl(folder / f"{name}.jsonl", rows[name])) for name in rows}


def spec(*files, **more):
    return TasksSpec(file=files, **more)


def test_a_run_from_end_to_end(files, tmp_path):
    out = tmp_path / "out"
    report = evaluate_tasks("fake:plain", out, spec(*(files[n] for n in ("mc", "cloze", "texts", "which"))))
    told = json.loads((out / "report.json").read_bytes())
    assert told == report.to_json()
    assert list(told["tasks"]) == ["mc", "cloze", "texts", "which"]
    assert told["about"]["mc"]["chance"] == pytest.approx((1 / 3 + 1 / 2 + 1 / 2 + 2 / 3) / 4)
    assert told["about"]["which"]["kind"] == "contexts"
    assert recension.verify(out).sound
    scores = {(row["task"], row["document"]): row for row in read(out, "scores")}
    acc = told["tasks"]["mc"]["acc"]
    right = [float(scores["mc", line]["chosen"] in scores["mc", line]["gold"]) for line in range(1, 5)]
    assert (acc["value"], acc["n"]) == (np.mean(right), 4)
    assert acc["stderr"] == pytest.approx(np.std(right, ddof=1) / 2)
    totals = [scores["texts", line]["loglikelihoods"][0] for line in (1, 2, 3)]
    size = sum(len(row["text"].encode()) for row in TEXTS)
    assert told["tasks"]["texts"]["bits_per_byte"]["value"] == pytest.approx(-sum(totals) / size / math.log(2))
    losses = [-scores["cloze", line]["loglikelihoods"][0] for line in range(1, 7)]
    assert told["tasks"]["cloze"]["perplexity"]["value"] == pytest.approx(math.exp(np.mean(losses)))


def test_bad_rows_are_set_aside_with_their_reasons(files, tmp_path):
    evaluate_tasks("fake:plain", tmp_path / "out", spec(files["mc"]))
    dropped = read(tmp_path / "out", "dropped")
    assert [row["reason"] for row in dropped] == [
        "missing-column", "gold-not-among-choices", "gold-not-among-choices", "wrong-type", "too-few-choices",
        "empty-text", "not-json",
    ]  # fmt: skip
    assert json.loads(dropped[0]["original"]) == BAD[0]
    assert [row["row"] for row in dropped] == list(range(5, 12))
    receipt = read_receipt(tmp_path / "out", 0)
    assert (receipt.rows, receipt.used, sum(receipt.dropped.values())) == (11, 4, 7)


def test_a_second_call_reads_the_result_back(files, tmp_path):
    out = tmp_path / "out"
    first = evaluate_tasks("fake:plain", out, spec(files["mc"]))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name[0] != "."}
    assert evaluate_tasks("fake:plain", out, spec(files["mc"])) == first
    assert before == {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file() and p.name[0] != "."}


@pytest.mark.parametrize("more", [{"limit": 2}, {"fewshot": 1}, {"seed": 1}])
def test_what_changes_the_answer_makes_another_run(files, tmp_path, more):
    evaluate_tasks("fake:plain", tmp_path / "out", spec(files["cloze"]))
    with pytest.raises(ManifestMismatchError, match=next(iter(more))):
        evaluate_tasks("fake:plain", tmp_path / "out", spec(files["cloze"], **more))


def test_the_same_questions_elsewhere_are_the_same_run_and_others_are_not(files, tmp_path):
    evaluate_tasks("fake:plain", tmp_path / "out", spec(files["cloze"]))
    (tmp_path / "other").mkdir()
    moved = write_jsonl(tmp_path / "other" / "cloze.jsonl", CLOZE)
    evaluate_tasks("fake:plain", tmp_path / "out", spec(str(moved)))
    write_jsonl(moved, CLOZE[:-1])
    with pytest.raises(ManifestMismatchError, match="files"):
        evaluate_tasks("fake:plain", tmp_path / "out", spec(str(moved)))


def test_a_stopped_run_goes_on_with_the_next_task(files, tmp_path):
    out = tmp_path / "out"
    asked = spec(files["cloze"], files["qa"], files["texts"])
    with pytest.raises(ModelError, match="need an hf: model"):
        evaluate_tasks("fake:plain", out, asked)
    assert read_seal(out) is None and not recension.verify(out).problems
    done = (out / "scores" / "00000.parquet").stat().st_mtime_ns
    with pytest.raises(ModelError):
        evaluate_tasks("fake:plain", out, asked)
    assert (out / "scores" / "00000.parquet").stat().st_mtime_ns == done
    # A task whose receipt is lost is asked again, and says the same.
    whole = tmp_path / "whole"
    evaluate_tasks("fake:plain", whole, spec(files["cloze"], files["texts"]))
    before = tree(whole, ("scores", "receipts"))
    (whole / "receipts" / "00001.json").unlink()
    (whole / "receipts" / "seal.json").unlink()
    evaluate_tasks("fake:plain", whole, spec(files["cloze"], files["texts"]))
    assert tree(whole, ("scores", "receipts")) == before
    assert recension.verify(whole).sound


def test_a_perplexity_may_be_beyond_all_numbers(tmp_path):
    path = str(write_jsonl(tmp_path / "long.jsonl", [{"text": "x" * 2000}, {"text": "y" * 2000}]))
    report = evaluate_tasks("fake:plain", tmp_path / "a", spec(path))
    figures = {figure.metric: figure for figure in report.tasks[0].figures}
    assert figures["word_perplexity"].value is None and figures["bits_per_byte"].value > 0
    evaluate_tasks("fake:sure", tmp_path / "b", spec(path), against=tmp_path / "a")
    assert recension.verify(tmp_path / "b").sound


def test_two_models_are_compared_document_by_document(files, tmp_path):
    asked = spec(files["mc"], files["texts"])
    evaluate_tasks("fake:plain", tmp_path / "a", asked)
    alone = evaluate_tasks("fake:sure", tmp_path / "b", asked)
    both = evaluate_tasks("fake:sure", tmp_path / "b", asked, against=tmp_path / "a")
    assert alone.against is None and both.tasks == alone.tasks
    other = json.loads((tmp_path / "a" / "report.json").read_bytes())["tasks"]
    told = both.to_json()
    for name, metrics in told["against"]["tasks"].items():
        for metric, change in metrics.items():
            expected = told["tasks"][name][metric]["value"] - other[name][metric]["value"]
            assert change["value"] == pytest.approx(expected, abs=1e-12)
    assert set(told["against"]["tasks"]) == {"mc", "texts"}
    assert recension.verify(tmp_path / "b").sound
    # Only documents that are the same take part.
    evaluate_tasks("fake:plain", tmp_path / "c", spec(str(write_jsonl(tmp_path / "texts.jsonl", TEXTS[:2]))))
    part = evaluate_tasks("fake:sure", tmp_path / "b", asked, against=tmp_path / "c")
    assert {(one.task, one.n, one.unmatched) for one in part.differences} == {("texts", 2, 1)}
    with pytest.raises(InputError, match="not finished"):
        (tmp_path / "c" / "receipts" / "seal.json").unlink()
        evaluate_tasks("fake:sure", tmp_path / "b", asked, against=tmp_path / "c")


def test_a_checkpoint_writes_answers(files, tmp_path):
    config = tmp_path / "eval" / "tasks.yaml"
    config.write_text("tasks:\n  qa: {file: qa.jsonl, max_tokens: 4, match: number}\n  mc: {file: mc.jsonl}\n")
    model = gpt2(tmp_path / "run" / "model")  # a run folder stands for the model in it
    asked = TasksSpec(task_config=str(config))
    report = evaluate_tasks(f"hf:{tmp_path / 'run'}", tmp_path / "out", asked)
    assert {task.name: task.figures[0].n for task in report.tasks} == {"qa": 1, "mc": 4}
    [answer] = [row["answer"] for row in read(tmp_path / "out", "scores") if row["task"] == "qa"]
    assert isinstance(answer, str)
    assert recension.verify(tmp_path / "out").sound
    # A finished run is read back without the model; other weights are another run.
    before = (model / "tokenizer.json").rename(tmp_path / "kept.json").read_bytes()
    with pytest.raises(ManifestMismatchError, match="tokenizer"):
        evaluate_tasks(f"hf:{tmp_path / 'run'}", tmp_path / "out", asked)
    (model / "tokenizer.json").write_bytes(before)
    assert evaluate_tasks(f"hf:{tmp_path / 'run'}", tmp_path / "out", asked) == report


def test_without_the_harness_the_extra_is_named(tmp_path, files):
    code = (
        "import sys; sys.modules['lm_eval'] = None\n"
        "from recension import TasksSpec, evaluate_tasks\n"
        f"evaluate_tasks('fake:plain', 'out', TasksSpec(file=({files['mc']!r},)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "recension[eval]" in done.stderr.strip().splitlines()[-1]


def test_examples_come_from_the_other_rows_or_from_a_file_of_their_own(files, tmp_path):
    config = tmp_path / "eval" / "tasks.yaml"
    config.write_text("tasks:\n  own: {file: cloze.jsonl}\n  apart: {file: cloze.jsonl, train: train.jsonl}\n")
    write_jsonl(tmp_path / "eval" / "train.jsonl", [{"context": "Only", "continuation": "this"}])
    report = evaluate_tasks("fake:plain", tmp_path / "out", TasksSpec(task_config=str(config), fewshot=1))
    assert [task.about["fewshot"] for task in report.tasks] == [1, 1]
    with pytest.raises(InputError, match="2 examples are wanted, and its file has 1 others"):
        evaluate_tasks("fake:plain", tmp_path / "more", TasksSpec(task_config=str(config), fewshot=2))


def test_a_task_config_says_which_column_is_which(tmp_path):
    rows = [{"Question": "2+2?", "A": "4", "B": 5, "C": "22", "label": "4"}, {"Question": "?", "A": "4", "B": None}]
    write_jsonl(tmp_path / "odd.jsonl", rows)
    read_ = read_task(
        "odd",
        TaskSettings(
            str(tmp_path / "odd.jsonl"),
            query="Question",
            choices=["A", "B", "C"],
            gold="label",
            before="Q: ",
            after="\nA:",
        ),
        None,
    )
    assert read_.rows[0][1].prompts == ("Q: 2+2?\nA:",)
    assert read_.rows[0][1].continuations == ("4", "5", "22")
    assert read_.rows[1].reason == "wrong-type"
    labels = TaskSettings(str(tmp_path / "odd.jsonl"), query="Question", labels=["4", "5"], gold="label")
    assert read_task("odd", labels, None).rows[0][1].gold == (0,)
    (tmp_path / "c.yaml").write_text("tasks:\n  t: {file: odd.jsonl, querry: Question}\n")
    with pytest.raises(UsageError, match="querry"):
        TasksSpec(task_config=str(tmp_path / "c.yaml"))
        evaluate_tasks("fake:plain", tmp_path / "out", TasksSpec(task_config=str(tmp_path / "c.yaml")))


def test_columns_of_no_kind_are_named(tmp_path):
    path = write_jsonl(tmp_path / "odd.jsonl", [{"Question": "2+2?", "Best Answer": "4"}])
    with pytest.raises(UsageError, match=r"columns are Question, Best Answer.*'query: Question'"):
        evaluate_tasks("fake:plain", tmp_path / "out", spec(str(path)))
    with pytest.raises(UsageError, match="is no 'text' task"):
        evaluate_tasks("fake:plain", tmp_path / "out", spec(str(path), kind="text"))
    empty = write_jsonl(tmp_path / "bad.jsonl", [{"text": ""}, {"text": 7}])
    assert read_task("bad", TaskSettings(str(empty)), None).rows[0].reason == "empty-text"
    with pytest.raises(InputError, match=r"no row of .*: 'text' is empty"):
        evaluate_tasks("fake:plain", tmp_path / "out", spec(str(empty), limit=1))


def test_files_are_named_by_their_stems(tmp_path, files):
    assert task_name("eval/arc_easy.dev.jsonl.gz") == "arc_easy.dev"
    packed = tmp_path / "mc.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "eval" / "mc.jsonl").read_bytes()))
    assert len(read_task("mc", TaskSettings(str(packed)), None).rows) == 11
    with pytest.raises(UsageError, match="two tasks are called 'mc'"):
        evaluate_tasks("fake:plain", tmp_path / "out", spec(files["mc"], str(packed)))


def test_misuse(tmp_path, files):
    with pytest.raises(UsageError, match="something to ask"):
        TasksSpec()
    with pytest.raises(UsageError, match="--limit"):
        spec("a", limit=0)
    assert TasksSpec(tasks=("a,b", " c")).tasks == ("a", "b", "c")
    with pytest.raises(ModelError, match="names no model"):
        evaluate_tasks("hf:", tmp_path / "out", spec(files["mc"]))
    result = CliRunner().invoke(main, ["evaluate", "tasks", "--file", files["mc"], "-o", str(tmp_path / "o")])
    assert isinstance(result.exception, UsageError) and "one model" in str(result.exception)


def test_the_command(tmp_path, files):
    out = str(tmp_path / "out")
    result = CliRunner().invoke(main, ["evaluate", "tasks", "fake:plain", "--file", files["mc"], "-o", out])
    assert result.exit_code == 0, result.output
    assert "4 questions of 1 task" in result.output and "7 rows were set aside" in result.output
    again = CliRunner().invoke(main, ["evaluate", "tasks", "-c", f"{out}/config.yaml", "-o", out, "--json"])
    assert json.loads(again.output.splitlines()[-1])["report"]["tasks"]["mc"]["acc"]["n"] == 4


# --- the harness's own tasks ------------------------------------------------------------------------------------------

YAML = """\
task: recension_local
dataset_path: json
dataset_kwargs: {{cache_dir: {folder}/cache, data_files: {{test: {folder}/rows.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{query}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{gold}}}}"
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 3}}
"""


GROUP = """\
group: recension_group
task: [recension_local]
aggregate_metric_list: [{metric: acc, aggregation: mean, weight_by_size: true}]
metadata: {version: 1}
"""


@pytest.fixture(scope="module")
def include(tmp_path_factory):
    folder = tmp_path_factory.mktemp("include")
    rows = [{"query": f"Line {i} says", "choices": ["one", "another"], "gold": i % 2} for i in range(8)]
    write_jsonl(folder / "rows.jsonl", rows)
    (folder / "local.yaml").write_text(YAML.format(folder=folder))
    (folder / "group.yaml").write_text(GROUP)
    return folder


def test_a_task_by_name_keeps_what_the_harness_says(include, tmp_path):
    index = task_index(["recension_local"], str(include))
    from recension.models.load import load_prior

    [outcome] = run_named(prior_lm(load_prior("fake:plain"), "fake:plain"), index, "recension_local", 6, None, 0)
    [figure] = outcome.figures
    assert (outcome.n, outcome.version, figure.metric, figure.rule) == (6, "3", "acc", "mean")
    out = tmp_path / "out"
    report = evaluate_tasks("fake:plain", out, TasksSpec(tasks=("recension_local",), include=str(include), limit=6))
    told = report.to_json()
    acc = told["tasks"]["recension_local"]["acc"]
    assert (acc["value"], acc["stderr"], acc["n"]) == (figure.value, figure.stderr, 6)
    right = [json.loads(row["metrics"])["acc"][0] for row in read(out, "scores")]
    assert acc["stderr"] == pytest.approx(np.std(right, ddof=1) / math.sqrt(6))
    assert told["about"]["recension_local"]["chance"] == 0.5
    assert recension.verify(out).sound
    # The same rows as a file of ours: the same numbers, to the last digit.
    ours = evaluate_tasks("fake:plain", tmp_path / "ours", spec(str(include / "rows.jsonl"), limit=6)).to_json()
    assert {k: v for k, v in ours["tasks"]["rows"]["acc"].items() if k != "n"} == {
        k: v for k, v in acc.items() if k != "n"
    }
    pairs = zip(read(tmp_path / "ours", "scores"), read(out, "scores"), strict=True)
    assert all(left["loglikelihoods"] == right["loglikelihoods"] for left, right in pairs)
    group = evaluate_tasks(
        "fake:plain", tmp_path / "group", TasksSpec(tasks=("recension_group",), include=str(include))
    )
    told = group.to_json()["tasks"]
    assert list(told) == ["recension_local", "recension_group"]
    assert told["recension_group"]["acc"]["n"] == 8
    assert "Of 1 task with choices" in tasks_sentence(group) and "8 questions of 1 task" in tasks_sentence(group)
    assert told["recension_group"]["acc"]["value"] == told["recension_local"]["acc"]["value"]
    assert recension.verify(tmp_path / "group").sound
    write_jsonl(include / "more.yaml", [])
    with pytest.raises(ManifestMismatchError, match="include"):
        evaluate_tasks("fake:plain", out, TasksSpec(tasks=("recension_local",), include=str(include), limit=6))


def test_a_name_that_is_near_is_offered(include):
    index = task_index(["recension_local"], str(include))
    check_names(index, ["recension_local", "recension_group"])
    with pytest.raises(UsageError, match="no such task; did you mean recension_local"):
        check_names(index, ["recension_locale"])


def test_a_task_of_the_hub_says_that_it_needs_the_network(tmp_path):
    """One of the harness's own, by its folder: an index of all its tasks takes the harness ten seconds and more."""
    folder = Path(find_spec("lm_eval").submodule_search_locations[0]) / "tasks" / "arc"
    done = subprocess.run(
        [sys.executable, "-m", "recension", "evaluate", "tasks", "fake:plain", "--tasks", "arc_easy", "--include", folder,
         "-o", "out"],
        cwd=tmp_path, env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}, text=True,
        capture_output=True,
    )  # fmt: skip
    assert done.returncode == 2
    line = done.stderr.strip().splitlines()[-1]  # before it there may be a line of progress
    assert "Traceback" not in done.stderr
    assert "task 'arc_easy'" in line and "need the network" in line and "--file" in line
    assert not (tmp_path / "out" / "manifest.json").exists()
