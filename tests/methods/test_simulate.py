"""Regressions over generations against their theory; costs of curves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recension.methods.simulate import theory
from recension.methods.simulate.costs import cost
from recension.methods.simulate.regression import POLICIES, Design, added, expected, simulate, sums


def controlled(errors, design):
    """Means and standard errors, with what is exactly known as control: the first fit, and replacing and accumulating."""
    exact = {"replace": theory.replaced(design.generations), "accumulate": theory.accumulated(design.generations)}
    means, spreads = np.ones(errors.shape[1:]), np.zeros(errors.shape[1:])
    for n in range(1, design.generations):
        known = [(errors[:, 0, 0], 1.0), *((errors[:, POLICIES.index(p), n], exact[p][n]) for p in exact)]
        controls = np.stack([values - mean for values, mean in known], axis=1)
        centred = controls - controls.mean(axis=0)
        for i in range(len(POLICIES)):
            values = errors[:, i, n]
            slope = np.linalg.lstsq(centred, values - values.mean(), rcond=None)[0]
            left = values - controls @ slope
            means[i, n], spreads[i, n] = left.mean(), left.std() / math.sqrt(len(left))
    return means, spreads


@pytest.mark.parametrize(
    ("samples", "features", "count"), [(100, 1, 28_000), (100, 10, 6_000), (60, 30, 4_000)], ids=["0.01", "0.1", "0.5"]
)
def test_theory_is_right_to_two_percent(samples, features, count):
    """Wherever the Monte-Carlo error is below half a percent, which is nearly everywhere."""
    design = Design(3, samples, features, share=0.125, decay=0.8)
    size = design.chunk()
    found = np.concatenate([simulate(design, min(size, count - a), 1, a) for a in range(0, count, size)])
    means, spreads = controlled(found, design)
    told, seen = expected(design), 0
    for i, name in enumerate(POLICIES):
        if told[name].here is None:
            continue
        sharp = spreads[i] < 0.005 * means[i]
        seen += int(sharp[1:].sum())
        assert means[i][sharp] == pytest.approx(np.array(told[name].here)[sharp], rel=0.02), name
    assert seen >= 8  # of 14
    raw = sums(found)
    assert (np.abs(raw.mean[0] / theory.replaced(3) - 1) < 4 * raw.standard_error[0] / theory.replaced(3)).all()


def test_the_covariance_of_the_features_changes_nothing():
    plain, bent = (simulate(Design(4, 40, 6, 0.3, 0.9, correlation=r), 20, 3, 0) for r in (0.0, 0.9))
    assert plain == pytest.approx(bent, rel=1e-9)


def test_limits():
    assert theory.accumulated(5000)[-1] == pytest.approx(math.pi**2 / 6, rel=1e-3)
    assert theory.accumulated_fixed(400, 0)[-1] == pytest.approx(math.pi**2 / 2 - 2, rel=5e-3)
    assert theory.chained([0.125] * 19, 0)[-1] == pytest.approx(1 + 19 * (2 * 0.125 - 0.125**2))
    q, h = 0.125, 0.1
    settled = (1 + 2 * q * (1 - q) * (1 - h)) / (1 - q**2 - q * (1 - q) * h)
    assert theory.anchored(q, 60, h)[-1] == pytest.approx(settled)
    assert theory.same_set(0.2, 60, 0)[-1] == pytest.approx(1.4 / 0.96)  # (1 + 2q) / (1 - q^2)
    assert theory.same_set(0.2, 60, 1e-6)[-1] == pytest.approx(1.4 / 0.96, rel=1e-3)
    assert theory.same_set(1.0, 7, 0.3) == pytest.approx(theory.replaced(7))
    values, weights = theory.wachter(0.1, 0.3)  # fewer rows than features: most directions have no part in them
    assert (weights.sum(), weights @ values) == pytest.approx((1, 0.1), rel=1e-3)


def test_the_figures_of_the_paper_s_bounds():
    assert theory.theorem_1([0.125, 0.125]) == pytest.approx([1, 1.125, 1.25])
    assert theory.theorem_2(0.125, 0.941, 100, 10) == pytest.approx(21.1, abs=0.05)
    assert theory.theorem_2(0.125, 1.0, 100, 10) == math.inf


def test_sums_of_parts_are_the_sums_of_the_whole():
    errors = simulate(Design(3, 20, 2, 0.5, 0.9), 12, 0, 0)
    whole, parts = sums(errors), added(sums(errors[:5]), sums(errors[5:]))
    assert parts.drawn == 12 and parts.mean == pytest.approx(whole.mean)
    assert parts.standard_error == pytest.approx(errors.std(axis=0, ddof=1) / math.sqrt(12))


def test_costs_are_named_by_their_shape():
    noise = (
        np.array([[0, 0.0, 0.01, -0.01, 0.0, 0.01], [0, 0.01, 0.0, 0.0, 0.01, -0.01], [0, -0.01, 0, 0.01, 0, 0]]) / 100
    )
    steps = np.arange(6)
    shapes = {"none shown": 0 * steps, "settles": np.minimum(steps, 1), "slows": 1 - 0.5**steps, "grows": steps}
    for state, shape in shapes.items():
        found = cost((2.0 * (1 + 0.01 * shape + noise)).tolist())
        assert found.state == state
        assert found.total.value == pytest.approx(0.01 * shape[-1], abs=2e-4)
