"""`simulate`, run for real on little."""

from __future__ import annotations

import json

import pytest

from recension import verify
from recension.errors import UsageError
from recension.recipes.simulate import regression as recipe
from recension.recipes.simulate.regression import simulate_regression
from recension.recipes.simulate.spec import RegressionSpec, SimulateEffort
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
