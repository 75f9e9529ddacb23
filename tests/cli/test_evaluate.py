"""`recension evaluate` as a person and a script meet it."""

from __future__ import annotations

import json

import pytest
import yaml
from tests.recipes.conftest import make_rows, write_jsonl
from tests.warm import recension


@pytest.fixture
def source(tmp_path):
    return write_jsonl(tmp_path / "in.jsonl", make_rows(60))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ppl",), "recension evaluate ppl MODEL DATA... -o OUT"),
        (("ppl", "fake:plain"), "name at least one input"),
        (("ppl", "fake:plain", "IN"), "-o OUT is missing"),
        (("ppl", "fake:plain", "IN", "IN", "-o", "OUT"), "two domains are called 'in'"),
        (("ppl", "fake:plain", "IN", "-o", "OUT", "--domain-key", "genre"), "has the column 'genre': the columns are"),
        (("ppl", "fake:plain", "-o", "OUT", "--domains", "none.yaml"), "one of paloma, pile"),
        (("ppl", "fake:plain", "IN", "-o", "OUT", "--mode", "fast"), "'fast' is not one of"),
        (("ppl", "ngram:nowhere", "IN", "-o", "OUT"), "no n-gram model in nowhere"),
        (("perplexity",), "No such command"),
        (("loss-pattern", "fake:plain"), "recension evaluate loss-pattern MODEL_REAL MODEL_SYNTHETIC DATA... -o OUT"),
        (("loss-pattern", "fake:plain", "fake:sure"), "name at least one input"),
        (("loss-pattern", "fake:plain", "fake:sure", "IN"), "-o OUT is missing"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(source, tmp_path, arguments, said):
    names = {"IN": str(source), "OUT": str(tmp_path / "out")}
    done = recension("evaluate", *(names.get(a, a) for a in arguments), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr


def test_ppl_tells_its_figures_and_its_configuration_repeats_it(source, tmp_path):
    flags = ("--against", "fake:sure", "--workers", "1", "--bootstrap", "200")
    done = recension("evaluate", "ppl", "fake:plain", f"web={source}", "-o", tmp_path / "out", *flags)
    assert done.returncode == 0, done.stderr
    for word in ("bits per byte", "perplexity", "web", "A is fake:plain", "report.html"):
        assert word in done.stdout
    config = tmp_path / "out" / "config.yaml"
    assert yaml.safe_load(config.read_text())["prior"] == "fake:plain"
    again = recension("evaluate", "ppl", "-c", config, "-o", tmp_path / "again", "--json")
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout.splitlines()[-1])
    assert told["report"] == json.loads((tmp_path / "out" / "report.json").read_bytes())


def test_loss_pattern_tells_what_it_found(source, tmp_path):
    done = recension("evaluate", "loss-pattern", "fake:plain", "fake:sure", source, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for word in ("nats a token", "documents with an anomaly: k 0.5", "report.html"):
        assert word in done.stdout
    again = recension(
        "evaluate", "loss-pattern", "-c", tmp_path / "out" / "config.yaml", "-o", tmp_path / "b", "--json"
    )
    assert json.loads(again.stdout.splitlines()[-1])["report"]["models"] == {
        "real": "fake:plain",
        "synthetic": "fake:sure",
    }
