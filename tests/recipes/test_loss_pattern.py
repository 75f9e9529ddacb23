"""`evaluate loss-pattern`: what stands in its rows is what plain scores give, and nothing is lost."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

import recension
from recension import Effort, LossPatternSpec, NgramSpec, evaluate_loss_pattern, load_prior
from recension.errors import InputError, ModelError, UsageError
from recension.methods.losses import anomaly, differences
from recension.ports import Ask
from tests.recipes.conftest import make_rows, read, tree, write_jsonl

ONE = Effort(workers=1)
PART = ("scores",)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    """Two n-gram models of one tokenizer: of the sentences as they are, and of their words in another order."""
    folder = tmp_path_factory.mktemp("ngrams")
    rows = make_rows(150, seed=1)
    real = write_jsonl(folder / "real.jsonl", rows)
    rng = random.Random(0)
    mixed = [{"text": " ".join(rng.sample(row["text"].split(), len(row["text"].split())))} for row in rows]
    synthetic = write_jsonl(folder / "synthetic.jsonl", mixed)
    recension.train_ngram(real, folder / "r", NgramSpec(order=3, vocabulary=300))
    tokenizer = str(folder / "r" / "model" / "tokenizer.json")
    recension.train_ngram(synthetic, folder / "s", NgramSpec(order=3, tokenizer=tokenizer))
    recension.train_ngram(real, folder / "other", NgramSpec(order=3, vocabulary=280))
    return {name: f"ngram:{folder / name}" for name in ("r", "s", "other")}


@pytest.fixture
def spec(models) -> LossPatternSpec:
    return LossPatternSpec(real=models["r"], synthetic=models["s"], worst=5)


@pytest.fixture
def source(tmp_path) -> Path:
    rows: list = make_rows(200, seed=2)
    rows[3] = b"{broken"
    return write_jsonl(tmp_path / "in.jsonl", rows)


def test_rows_are_what_plain_scores_give(models, spec, source, tmp_path):
    report = evaluate_loss_pattern(source, tmp_path / "out", spec, ONE)
    rows = read(tmp_path / "out", "scores")
    assert report.documents == len(rows) == 199 and report.dropped == {"not-json": 1}
    texts = [json.loads(line)["text"] for i, line in enumerate(source.read_bytes().splitlines()) if i != 3]
    real, synthetic = (load_prior(models[name]).score(texts, Ask()) for name in ("r", "s"))
    total = 0.0
    for row, first, second in zip(rows, real, synthetic, strict=True):
        values = differences(first.logprobs, second.logprobs)
        assert row["tokens"] == len(values)
        assert row["real"] == pytest.approx(-first.logprobs.mean(), rel=1e-5)
        assert row["synthetic"] - row["real"] == pytest.approx(values.mean(), rel=1e-5)
        assert (row["first_anomaly"], row["highest_k"]) == anomaly(values, 1.0, 0.05)
        total += values.sum()
    assert report.difference.value == pytest.approx(total / report.tokens)
    assert report.difference.low > 0  # words in another order make a worse model
    found = [row["first_anomaly"] for row in rows if row["first_anomaly"] >= 0]
    assert sum(report.first_anomalies) == len(found) == report.anomalies[1.0]
    assert list(report.anomalies.values()) == sorted(report.anomalies.values(), reverse=True)


def test_the_worst_passages_are_kept_with_their_tokens(spec, source, tmp_path):
    report = evaluate_loss_pattern(source, tmp_path / "out", spec, ONE)
    rows = read(tmp_path / "out", "scores")
    worst = sorted((row["worst_mean"] for row in rows), reverse=True)[:5]
    assert [passage.mean for passage in report.worst] == worst and worst[-1] > 0.5
    texts = {row["id"]: row["text"] for row in make_rows(200, seed=2)}
    for passage in report.worst:
        shown = "".join(token.before + token.text for token in passage.tokens)
        assert shown and shown in texts[passage.id]
        inside = [token.synthetic - token.real for token in passage.tokens if token.inside]
        assert np.mean(inside) == pytest.approx(passage.mean, rel=1e-4)
    none = LossPatternSpec(real=spec.real, synthetic=spec.synthetic, above=100.0)
    assert evaluate_loss_pattern(source, tmp_path / "none", none, ONE).worst == ()


def test_a_limit_a_stop_and_more_workers_change_nothing(spec, tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", make_rows(900, seed=3))
    evaluate_loss_pattern(source, tmp_path / "whole", spec, ONE)
    evaluate_loss_pattern(source, tmp_path / "out", spec, Effort(workers=1, limit=300))
    evaluate_loss_pattern(source, tmp_path / "out", spec, ONE)
    receipts = sorted((tmp_path / "out" / "receipts").glob("0*.json"))
    assert len(receipts) > 3
    receipts[1].unlink()
    evaluate_loss_pattern(source, tmp_path / "out", spec, Effort(workers=2))
    assert tree(tmp_path / "out", PART) == tree(tmp_path / "whole", PART)
    for name in ("report.json", "report.html"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    proof = recension.verify(tmp_path / "out")
    assert proof.sound, proof.problems


def test_points_of_many_documents_are_a_bounded_draw(spec, tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": row["text"][:60]} for row in make_rows(1800, seed=4)])
    report = evaluate_loss_pattern(source, tmp_path / "out", spec, ONE)
    assert (report.documents, len(report.points)) == (1800, 1500)
    assert "1,500 of 1,800 documents" in (tmp_path / "out" / "report.html").read_text()


def test_a_first_token_without_a_probability_is_left_out(source, tmp_path):
    spec = LossPatternSpec(real="fake:headless", synthetic="fake:headless")
    report = evaluate_loss_pattern(source, tmp_path / "out", spec, ONE)
    assert report.difference == (0.0, 0.0, 0.0) and report.worst == ()


def test_one_tokenizer_and_two_models_are_needed(models, source, tmp_path):
    other = LossPatternSpec(real=models["r"], synthetic=models["other"])
    with pytest.raises(ModelError, match="have other tokens: a loss pattern needs one tokenizer"):
        evaluate_loss_pattern(source, tmp_path / "out", other, ONE)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="name two models"):
        evaluate_loss_pattern(source, tmp_path / "out", LossPatternSpec(real=models["r"]), ONE)
    empty = write_jsonl(tmp_path / "none.jsonl", [{"body": "x"}])
    spec = LossPatternSpec(real=models["r"], synthetic=models["s"])
    with pytest.raises(InputError, match="is --text-key right"):
        evaluate_loss_pattern(empty, tmp_path / "none", spec, ONE)
    for wrong in ({"k": -1.0}, {"window": 0.0}, {"worst": 1000}):
        with pytest.raises(UsageError):
            LossPatternSpec(**wrong)
