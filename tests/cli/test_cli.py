"""The command line as a person and a script meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from tests.recipes.conftest import make_rows, read, write_jsonl
from tests.warm import recension

from recension.cli.flags import names_or_pattern, read_config, spread
from recension.cli.main import main
from recension.errors import UsageError


@pytest.fixture
def source(tmp_path) -> Path:
    return write_jsonl(tmp_path / "in.jsonl", make_rows(60))


FLAGS = ("--prior", "fake:sure", "--exclude-original", "--shard-bytes", "4k", "--workers", "1")


def test_edit_tells_what_it_did_and_what_to_do_next(source, tmp_path):
    done = recension("edit", source, "-o", tmp_path / "out", *FLAGS)
    assert done.returncode == 0, done.stderr
    for word in ("60", "flagged", "changed", "recension view", "recension revert", str(tmp_path / "out")):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("edit",), "name at least one input"),
        (("edit", "IN"), "-o OUT is missing"),
        (("edit", "IN", "-o", "s3://bucket/x", *FLAGS), "a run folder is local"),
        (("edit", "missing.jsonl", "-o", "OUT", *FLAGS), "no such file or folder: missing.jsonl"),
        (("edit", "IN", "-o", "OUT", "--prior", "ngram:nowhere"), "no n-gram model in nowhere"),
        (("edit", "IN", "-o", "OUT", "--threshold", "2", *FLAGS), "--threshold is a probability between 0 and 1"),
        (("edit", "IN", "-o", "OUT", "--sampler", "beam", *FLAGS), "'beam' is not one of"),
        (("edit", "IN", "-o", "OUT", "--max-row", "lots", *FLAGS), "is not a size"),
        (("edit", "IN", "-o", "OUT", "--treshold", "0.9", *FLAGS), "--threshold"),
        (("edit", "IN", "-o", "OUT", "-c", "none.yaml", *FLAGS), "none.yaml"),
        (("edit", "IN", "-o", "IN", *FLAGS), "choose another -o"),
        (("verify", "nowhere"), "no Recension run"),
        (("verify", "IN"), "no Recension run"),
        (("revert", "nowhere", "-o", "OUT"), "no Recension run"),
        (("view", "nowhere"), "no Recension run"),
        (("edt",), "Did you mean 'edit'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(source, tmp_path, arguments, said):
    names = {"IN": str(source), "OUT": str(tmp_path / "out")}
    done = recension(*(names.get(a, a) for a in arguments), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr


def test_json_is_one_object_a_line_with_the_report_last(source, tmp_path):
    done = recension("edit", source, "-o", tmp_path / "out", "--json", *FLAGS)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["event"] == "done" and events[-1]["report"]["documents"] == 60
    assert {"progress"} <= {e["event"] for e in events}
    assert {"documents", "tokens", "dropped", "fraction", "seconds_left", "tokens_per_second"} <= set(
        events[0]
    ) or events[0]["event"] == "note"
    proof = json.loads(recension("verify", tmp_path / "out", "--json").stdout)
    assert proof["sound"] is True and proof["units"] == 60


def test_verify_exits_with_1_on_damage_and_on_an_unfinished_run(source, tmp_path):
    out = tmp_path / "out"
    recension("edit", source, "-o", out, *FLAGS)
    (out / "receipts" / "seal.json").unlink()
    unfinished = recension("verify", out)
    assert unfinished.returncode == 1 and "unfinished" in unfinished.stdout
    next((out / "data").iterdir()).write_bytes(b"x")
    damaged = recension("verify", out)
    assert damaged.returncode == 1 and "NOT sound" in damaged.stdout


def test_a_dry_run_says_what_would_happen_and_writes_nothing(source, tmp_path):
    done = recension("edit", source, "-o", tmp_path / "out", "--dry-run", *FLAGS)
    assert done.returncode == 0 and "tokens/s" in done.stdout and "expected to change" in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["yaml", "toml"])
def test_a_config_file_equals_the_flags(source, tmp_path, kind):
    recension("edit", source, "-o", tmp_path / "flags", *FLAGS, "--protect", "numbers,urls", "--seed", "3")
    settings = {"prior": "fake:sure", "exclude-original": True, "shard_bytes": 4096, "workers": 1, "seed": 3}
    config = tmp_path / f"c.{kind}"
    if kind == "yaml":
        config.write_text(yaml.safe_dump({**settings, "inputs": [str(source)], "protect": ["numbers", "urls"]}))
    else:
        lines = [f"{k} = {json.dumps(v)}" for k, v in settings.items()]
        config.write_text("\n".join([*lines, f'inputs = ["{source}"]', 'protect = ["numbers", "urls"]']))
    done = recension("edit", "-c", config, "-o", tmp_path / "config")
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "flags") == read(tmp_path / "config")
    changed = recension("edit", "-c", config, "-o", tmp_path / "config", "--seed", "4")
    assert changed.returncode == 2 and "spec.seed was 3, now 4" in changed.stderr


def test_the_stored_config_repeats_the_run(source, tmp_path):
    recension("edit", source, "-o", tmp_path / "one", *FLAGS, "--protect", "quotes")
    done = recension("edit", "-c", tmp_path / "one" / "config.yaml", "-o", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "one") == read(tmp_path / "two")


def test_an_unknown_key_is_an_error_with_a_suggestion(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("treshold: 0.9\n")
    with pytest.raises(UsageError, match="unknown key 'treshold'; did you mean 'threshold'"):
        read_config(path, {"threshold": float, "prior": str})
    path.write_text("just words")
    with pytest.raises(UsageError, match="holds no settings"):
        read_config(path, {"threshold": float})
    path.write_text("a: [")
    with pytest.raises(UsageError, match="cannot be parsed"):
        read_config(path, {"a": float})


def test_fresh_asks_first(source, tmp_path):
    out = tmp_path / "out"
    recension("edit", source, "-o", out, *FLAGS)
    refused = recension("edit", source, "-o", out, *FLAGS, "--seed", "5", "--fresh")
    assert refused.returncode == 2 and "--yes" in refused.stderr
    again = recension("edit", source, "-o", out, *FLAGS, "--seed", "5", "--fresh", "--yes")
    assert again.returncode == 0 and recension("verify", out).returncode == 0


def test_several_priors_after_one_flag():
    assert spread(["in", "--priors", "ngram:a", "hf:b", "-o", "x"], "--priors") == [
        "in", "--priors", "ngram:a", "--priors", "hf:b", "-o", "x",
    ]  # fmt: skip
    assert spread(["--priors", "ngram:a", "in.jsonl"], "--priors") == ["--priors", "ngram:a", "in.jsonl"]


def test_protect_takes_names_or_one_pattern():
    assert names_or_pattern(["numbers,urls", "a{1,2}"], ["numbers", "urls"]) == ("numbers", "urls", "a{1,2}")


@pytest.mark.parametrize("command", [["edit"], ["train", "ngram"], ["train"], ["revert"], ["view"], ["verify"], []])
def test_every_help_page_shows_an_example(command):
    shown = CliRunner().invoke(main, [*command, "--help"])
    assert shown.exit_code == 0
    if command != ["train"]:
        assert "Example" in shown.output


def test_no_terminal_gets_plain_lines(source, tmp_path):
    done = recension("edit", source, "-o", tmp_path / "out", *FLAGS)
    assert "\x1b" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("threshold: [0.3]", "threshold is a number, not [0.3]"),
        ("exclude_original: 3", "exclude_original is true or false, not 3"),
        ("seed: 1.7", "seed is a whole number, not 1.7"),
        ("threshold: true", "threshold is a number, not True"),
        ("shard_bytes: true", "shard_bytes is a whole number, not True"),
        ("protect: {a: 1}", "protect is a list of words"),
        ("seed: 1\nseed: 2", "'seed' stands there twice"),
        ("shard-bytes: 1\nshard_bytes: 2", "'shard_bytes' stands there twice"),
        ("sampler: beam", "sampler is one of top-k, top-p, rejection"),
    ],
)
def test_a_config_value_of_the_wrong_type_is_an_error(source, tmp_path, text, said):
    path = tmp_path / "c.yaml"
    path.write_text(text + "\n")
    done = CliRunner().invoke(
        main, ["edit", str(source), "-o", str(tmp_path / "out"), "--prior", "fake:sure", "-c", str(path)]
    )
    assert said in str(done.exception)


def test_one_word_is_a_list_of_one(source, tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('protect = "numbers"\nshard_bytes = "4k"\nprior = "fake:sure"\n')
    assert recension("edit", source, "-o", tmp_path / "out", "-c", path).returncode == 0
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["spec"]["protect"] == ["numbers"]
