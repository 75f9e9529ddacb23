"""`simulate`, run for real on little."""

from __future__ import annotations

import json
import math

import msgspec
import numpy as np
import pytest

from recension import verify
from recension.errors import InputError, UsageError
from recension.ports import Ask
from recension.recipes.audit.spec import AuditEffort
from recension.recipes.simulate import regression as recipe
from recension.recipes.simulate.learners import TinyLearner
from recension.recipes.simulate.pool import Pool
from recension.recipes.simulate.regression import simulate_regression
from recension.recipes.simulate.spec import RegressionSpec, SimulateEffort, SimulateTextSpec
from recension.recipes.simulate.text import simulate_text
from recension.report.simulate import judged

SMALL = {"generations": 6, "samples": 40, "features": 4, "share": 0.3, "seeds": 600}


def test_regressions_are_a_run(tmp_path):
    report = simulate_regression(tmp_path / "out", RegressionSpec(**SMALL), SimulateEffort(workers=1))
    written = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert verify(tmp_path / "out").sound
    assert written["error"]["replace"] == list(report.policy("replace").error)
    assert written["error"]["replace"][-1] == pytest.approx(6, rel=0.15)
    assert report.policy("chain").error[-1] > 2 > report.policy("anchor").error[-1]
    disjoint = [c for c in written["claims"] if c["policy"] == "chain_disjoint" and c["claim"] == "theorem_1"]
    assert disjoint[0]["fails_from"] is not None
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<figure") == 8 and "Theorem 1 fails from generation" in page


def test_pieces_and_restarts_change_nothing(tmp_path):
    spec = RegressionSpec(**SMALL)
    whole = simulate_regression(tmp_path / "whole", spec, SimulateEffort(workers=1))
    assert 600 > 2 * recipe.AT_ONCE * 4  # several pieces
    again = simulate_regression(tmp_path / "whole", spec, SimulateEffort(workers=1))
    assert again == whole
    result = tmp_path / "whole" / "passes" / recipe.PASS / "result"
    before = result.read_bytes()
    result.unlink()  # lost: it is made again, to the byte
    simulate_regression(tmp_path / "whole", spec, SimulateEffort(workers=1))
    assert result.read_bytes() == before


def test_what_cannot_be_simulated_is_said():
    with pytest.raises(UsageError, match="--samples"):
        RegressionSpec(samples=12, features=10)
    with pytest.raises(UsageError, match="--share"):
        RegressionSpec(share=0.0)


def test_claims_are_judged_by_the_spread():
    assert judged([1.0, 2.0, 3.0], [0.1, 0.1, 0.1], [1.2, 1.2, 1.2], bound=False) == ["holds", "fails", "fails"]
    assert judged([1.0, 2.0, 2.9], [0.1, 0.1, 0.1], [2.0, 2.0, 2.0], bound=True) == ["holds", "unclear", "fails"]
    assert judged([5.0], [math.inf], [1.0], bound=False) == ["unclear"]  # one regression tells nothing


WORDS = [
    "river",
    "stone",
    "house",
    "light",
    "garden",
    "winter",
    "letter",
    "answer",
    "morning",
    "silver",
    "small",
    "old",
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Forty documents in twenty lineages: each text, and a rewrite that says it came from it."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(20):
        chosen = random.choice(WORDS, 160, p=random.dirichlet(np.ones(len(WORDS))))
        text = " ".join(f"the {word} of the {other}." for word, other in zip(chosen, chosen[::-1], strict=True))
        rows.append({"id": f"d{number}", "text": text})
        origin = {
            "kind": "rewritten",
            "root": f"d{number}",
            "parent": f"d{number}",
            "method": "x",
            "run": "",
            "generation": 1,
        }
        rows.append({"id": f"r{number}", "text": f"again {text}", "origin": origin})
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


FEW = {"generations": 3, "seeds": 2, "budget": 2_000, "vocabulary": 300, "share": ("0.1",), "holdout": 0.3}


def test_policies_on_text_are_a_run(corpus, tmp_path):
    spec = SimulateTextSpec(**FEW)
    report = simulate_text([corpus], tmp_path / "out", spec, AuditEffort(workers=1))
    written = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert verify(tmp_path / "out").sound
    assert set(written["arms"]) == {"replace", "accumulate", "accumulate_fixed", "chain_0.1", "anchor_0.1"}
    arms = {arm.key: arm for arm in report.arms}
    assert len({arm.bits[0] for arm in arms.values()}) == 1  # all begin with the same model
    assert arms["replace"].cost.value > arms["accumulate"].cost.value > 0
    assert arms["chain_0.1"].changed[0].value == pytest.approx(0.1, rel=0.2)
    assert "this corpus takes" in written["answer"]
    assert (tmp_path / "out" / "report.html").read_text().count("<figure") >= 5
    # What was lost is made again to the byte, and what is there is not made twice.
    last = tmp_path / "out" / "passes" / "generation-03" / "result"
    before = last.read_bytes()
    last.unlink()
    assert simulate_text([corpus], tmp_path / "out", spec, AuditEffort(workers=1)) == report
    assert last.read_bytes() == before


def test_lineages_are_held_out_as_a_whole(corpus, tmp_path):
    spec = SimulateTextSpec(**{**FEW, "policy": ("anchor",), "generations": 2})
    simulate_text([corpus], tmp_path / "out", spec, AuditEffort(workers=1))
    pool = msgspec.msgpack.decode((tmp_path / "out" / "passes" / "pool" / "result").read_bytes(), type=Pool)
    starts = [{text.removeprefix("again ")[:60] for _, text in side} for side in pool]
    assert starts[0] and starts[1] and not starts[0] & starts[1]


def test_what_a_corpus_cannot_give_is_said(corpus, tmp_path):
    with pytest.raises(UsageError, match=r"--share 0\.9 cannot be reached"):
        simulate_text(
            [corpus], tmp_path / "much", SimulateTextSpec(**{**FEW, "share": ("0.9",)}), AuditEffort(workers=1)
        )
    with pytest.raises(InputError, match="tokens to learn from"):
        simulate_text([corpus], tmp_path / "few", SimulateTextSpec(**{**FEW, "limit": 2}), AuditEffort(workers=1))
    with pytest.raises(InputError, match=r"no-key.* is --group-key right"):
        simulate_text(
            [corpus], tmp_path / "key", SimulateTextSpec(**{**FEW, "group_key": "no"}), AuditEffort(workers=1)
        )
    with pytest.raises(UsageError, match="--policy is one of"):
        SimulateTextSpec(policy=("edit",))


def test_a_small_transformer_learns_and_writes_by_its_own_law(tmp_path):
    pytest.importorskip("torch")
    texts = [f"the {a} of the {b}." for a in WORDS for b in WORDS]
    learner = TinyLearner("tiny,layers=1,hidden=32,heads=2,ffn=64,context=64", 300, 6_000)
    files = learner.tokenizer(texts, tmp_path / "fitted")
    model = learner.fit(texts, files, tmp_path / "fit", 1)
    drawn = model.write([1] * 640, 1)
    whole = [text for text in sorted(set(drawn), key=drawn.count)[-12:] if "\ufffd" not in text]
    law = sum(float(np.exp(score.logprobs[0])) for score in model.prior.score(whole, Ask()))
    assert law > 0.1
    assert sum(map(drawn.count, whole)) / len(drawn) == pytest.approx(law, abs=0.08)
    [short, long] = model.write([3, 80], 1)  # the second goes on beyond the context
    assert 0 < len(short) < len(long)
    assert [short, long] == model.write([3, 80], 1)
