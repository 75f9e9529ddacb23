"""Compiled graphs: the same as torch, and the early rejection the same as without it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny import CORPUS, LINES, llama_bytes

from recension.errors import ModelError
from recension.models.compiled import EMBEDDED, CompiledPrior, batches, load_embedded
from recension.models.compiled_head import Head, Stretch
from recension.models.graphs import Machine
from recension.models.llama import plain_shape
from recension.models.load import load_prior
from recension.models.options import PriorOptions
from recension.ports import Ask, Prior

SAMPLE = Path(__file__).parents[2] / "samples" / "unseen.jsonl"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return llama_bytes(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Human text of all lengths, one longer than a window."""
    rows = [json.loads(line)["text"] for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    return [rows[0], rows[30], rows[60], *rows[-12:], ""]


@pytest.fixture(scope="module")
def embedded() -> Prior:
    return load_embedded(PriorOptions())


def decisions(scores) -> list[tuple[int, int, tuple[int, ...]]]:
    return [
        (text, int(place), tuple(rivals.tolist()))
        for text, found in enumerate(scores)
        for place, rivals in zip(found.flagged, found.rivals, strict=True)
    ]


def test_it_says_what_torch_says(folder):
    lines = [*LINES, *CORPUS, " ".join(LINES * 3)]
    ask = Ask(above=0.4, below=0.001, k=5)
    ours = load_prior(f"hf:{folder}")
    theirs = load_prior(f"hf:{folder}", PriorOptions(runtime="torch"))
    assert type(ours) is CompiledPrior
    assert type(theirs) is not CompiledPrior
    left, right = ours.score(lines, ask), theirs.score(lines, ask)
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)
    assert decisions(left) == decisions(right)


def test_the_embedded_model_is_the_one_that_transformers_loads(embedded, texts):
    theirs = load_prior(f"hf:{EMBEDDED}", PriorOptions(runtime="torch"))
    ask = Ask(above=0.9)
    left, right = embedded.score(texts, ask), theirs.score(texts, ask)
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=5e-4)
    assert decisions(left) == decisions(right)
    assert sum(len(s.flagged) for s in left) > 100


@pytest.mark.parametrize("ask", [Ask(above=0.99), Ask(above=0.8, k=4, mass=0.95)])
def test_rejecting_early_changes_no_decision(embedded, texts, ask):
    whole = embedded.score(texts, ask)
    early = embedded.score(texts, Ask(ask.above, None, ask.k, ask.mass, every=8))
    assert decisions(whole) == decisions(early)
    assert [s.complete for s in early] == [i % 8 == 0 for i in range(len(texts))]
    for a, b in zip(whole, early, strict=True):
        np.testing.assert_array_equal(a.rival_logprobs, b.rival_logprobs)
        known = ~np.isnan(b.logprobs)
        np.testing.assert_allclose(a.logprobs[known], b.logprobs[known], atol=1e-6)
        assert b.complete or set(np.flatnonzero(known)) == set(b.flagged.tolist())


def test_rejection_spares_the_head_most_of_its_work(embedded, texts):
    """The claim behind it, counted: few rows go on to the whole vocabulary."""
    seen: list[int] = []

    class Counting(Head):
        def chances(self, rows, targets):
            seen.append(len(rows))
            return super().chances(rows, targets)

    parts = embedded._parts
    head = Counting(parts.head._weight, parts.head._banned, parts.head._machine)
    counted = CompiledPrior(type(parts)(**{n: getattr(parts, n) for n in type(parts).__slots__} | {"head": head}))
    scores = counted.score(texts, Ask(above=0.99, every=10_000))
    tokens, first = sum(len(s.ids) for s in scores), len(scores[0].ids)
    assert sum(seen) - first < 0.35 * (tokens - first)


def test_odds_are_a_lower_bound_for_any_frequent_set():
    """Random heads, and every token taken in turn as the one that stands there."""
    draw = np.random.default_rng(3)
    weight = draw.normal(size=(300, 16)).astype(np.float32)
    head = Head(weight, np.array([0], dtype=np.int32), Machine())
    rows = draw.normal(size=(500, 16)).astype(np.float32) * 2
    likely = (rows @ weight.T).argmax(axis=1)
    targets = np.where(np.arange(500) % 2, likely, draw.integers(0, 300, 500)).astype(np.int32)
    head.learn(draw.integers(0, 300, 1000).astype(np.int32))
    p = np.exp(head.chances(rows, targets).astype(np.float64))
    assert (head.odds(rows, targets) <= (1 / p - 1) * (1 + 1e-4) + 1e-6).all()
    allowed = np.ones(500, dtype=bool)
    fast = head.score([Stretch(rows, targets, allowed, whole=False)], 500, Ask(above=0.5, every=2))
    slow = head.score([Stretch(rows, targets, allowed)], 500, Ask(above=0.5))
    assert fast.flagged.tolist() == slow.flagged.tolist() == np.flatnonzero(p >= 0.5).tolist()
    assert len(slow.flagged) > 100


def test_bfloat16_decides_almost_alike(embedded, texts):
    half = load_prior("embedded", PriorOptions(dtype="bfloat16"))
    left, right = embedded.score(texts, Ask(above=0.9)), half.score(texts, Ask(above=0.9))
    a, b = ({(t, p) for t, p, _ in decisions(s)} for s in (left, right))
    assert len(a ^ b) < 0.03 * len(a)
    full, low = (np.concatenate([s.logprobs for s in scores]).mean() for scores in (left, right))
    assert low == pytest.approx(full, rel=0.005)


def test_batches_hold_every_window_once_and_keep_their_size():
    lengths = [1, 900, 33, 32, 31, 64, 5000, *[40] * 50]
    plan = batches(lengths, 512)
    assert sorted(i for batch in plan for i in batch) == list(range(len(lengths)))
    for batch in plan:
        longest = -(-max(lengths[i] for i in batch) // 32) * 32
        assert len(batch) * longest <= 512 or len(batch) == 1


# --- what is not run this way ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "mistral"},
        {"attention_bias": True},
        {"hidden_act": "gelu"},
        {"rope_parameters": {"rope_type": "llama3", "factor": 8.0}},
        {"rope_scaling": {"rope_type": "linear", "factor": 2.0}},
        {"quantization_config": {"bits": 4}},
    ],
)
def test_a_model_of_another_kind_is_left_to_torch(folder, tmp_path, change):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    config = json.loads((other / "config.json").read_text())
    assert plain_shape(other) is not None
    (other / "config.json").write_text(json.dumps(config | change))
    assert plain_shape(other) is None
    with pytest.raises(ModelError, match="plain Llama"):
        load_prior(f"hf:{other}", PriorOptions(runtime="openvino"))


def test_damaged_weights_are_refused_in_one_line(folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    path = other / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="intact"):
        load_prior(f"hf:{other}", PriorOptions(runtime="openvino"))


def test_settings_it_cannot_follow_are_refused():
    with pytest.raises(ModelError, match="float32 or bfloat16"):
        load_prior("embedded", PriorOptions(dtype="float16"))
    with pytest.raises(ModelError, match="at most 1024"):
        load_prior("embedded", PriorOptions(context=2048))
