"""Values with errors: against the formulas, and against what drawing again gives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recension.methods.estimates import RULES, Item, difference, estimate


def items(seed: int, n: int = 300, weighted: bool = True) -> list[Item]:
    rng = np.random.default_rng(seed)
    weights = rng.integers(5, 60, n) if weighted else np.ones(n)
    return [Item(float(w * rng.gamma(4, 0.2)), float(w)) for w in weights]


def test_a_mean_has_the_error_that_the_harness_prints():
    from lm_eval.api.metrics import mean_stderr

    values = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0]
    found = estimate("mean", [Item(value) for value in values])
    assert found.value == pytest.approx(4 / 7)
    assert found.stderr == pytest.approx(mean_stderr(values))
    assert found.stderr == pytest.approx(np.std(values, ddof=1) / math.sqrt(7))


@pytest.mark.parametrize("rule", RULES)
def test_the_error_is_that_of_drawing_documents_again(rule):
    documents = items(1)
    rng = np.random.default_rng(2)
    draws = [
        estimate(rule, [documents[i] for i in rng.integers(0, len(documents), len(documents))]).value
        for _ in range(1500)
    ]
    assert estimate(rule, documents).stderr == pytest.approx(np.std(draws), rel=0.1)


@pytest.mark.parametrize("rule", RULES)
def test_the_error_of_a_difference_is_that_of_drawing_pairs_again(rule):
    ours, theirs = items(3), items(3)
    ours = [Item(a.value * 0.9 + 0.3 * b.value / 9, a.weight) for a, b in zip(ours, items(4), strict=True)]
    rng = np.random.default_rng(5)
    draws = []
    for _ in range(1500):
        drawn = rng.integers(0, len(ours), len(ours))
        draws.append(difference(rule, [ours[i] for i in drawn], [theirs[i] for i in drawn]).value)
    found = difference(rule, ours, theirs)
    assert found.value == pytest.approx(estimate(rule, ours).value - estimate(rule, theirs).value)
    assert found.stderr == pytest.approx(np.std(draws), rel=0.1)
    alone = math.hypot(estimate(rule, ours).stderr, estimate(rule, theirs).stderr)
    assert found.stderr < alone / 2


def test_bits_and_perplexities_are_what_they_are_called():
    documents = [Item(12.0, 10), Item(3.0, 20)]
    assert estimate("bits", documents).value == pytest.approx(15 / 30 / math.log(2))
    assert estimate("exp", documents).value == pytest.approx(math.exp(15 / 30))
    assert estimate("exp", documents).low > 0


def test_an_interval_is_honest_where_all_are_right_or_wrong():
    none, every = estimate("mean", [Item(0.0)] * 20), estimate("mean", [Item(1.0)] * 20)
    assert (none.stderr, none.low) == (0, 0)
    assert none.high == pytest.approx(0.161, abs=1e-3)
    assert (every.low, every.high) == (pytest.approx(0.839, abs=1e-3), 1)


def test_one_document_has_no_error():
    assert estimate("bits", [Item(3.0, 4.0)])[1:] == (None, 1, None, None)
    assert difference("exp", [Item(3.0)], [Item(2.0)]).stderr is None


def test_other_documents_are_not_compared():
    with pytest.raises(ValueError, match="same documents"):
        difference("mean", [Item(1.0)], [Item(1.0)] * 2)
