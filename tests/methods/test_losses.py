"""MAGA's window rule, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recension.methods.losses import (
    anomaly,
    by_place,
    differences,
    window_length,
    window_means,
    worst_passage,
)


def test_a_difference_is_the_loss_under_synthetic_less_that_under_real():
    real, synthetic = np.array([-1.0, -2.0], dtype=np.float32), np.array([-1.5, -0.5], dtype=np.float32)
    assert differences(real, synthetic).tolist() == [0.5, -1.5]


def test_a_window_is_a_share_of_the_text_and_never_empty():
    assert [window_length(tokens, 0.05) for tokens in (1, 19, 39, 40, 1000)] == [1, 1, 1, 2, 50]
    assert window_means(np.array([1.0, 2.0, 3.0, 6.0]), 2).tolist() == [1.5, 2.5, 4.5]
    assert window_means(np.array([1.0, 2.0]), 2).tolist() == [1.5]


def test_the_first_window_beyond_the_bar_counts():
    # 40 tokens, windows of 2. Mean 10 / 40 = 0.25, variance 2 * 25 / 40 - 0.0625, deviation 1.0897: with k = 1 the bar
    # is 1.34, which the window that begins at 9 passes first (mean 2.5), and the one of 10 and 11 as well (mean 5).
    values = np.zeros(40)
    values[[10, 11]] = 5.0
    spread = math.sqrt(2 * 25 / 40 - 0.25**2)
    assert anomaly(values, 1.0, 0.05).first == 9 / 40
    assert anomaly(values, 3.0, 0.05).first == 10 / 40
    assert anomaly(values, 4.4, 0.05).first == -1
    assert anomaly(values, 1.0, 0.05).highest == pytest.approx((5 - 0.25) / spread, rel=1e-6)


def test_a_level_difference_has_no_anomaly_and_a_negative_mean_raises_the_bar():
    assert anomaly(np.full(100, 0.7), 0.0, 0.05).first == -1
    values = np.full(40, -1.0)
    values[20] = 1.5
    assert anomaly(values, 0.0, 0.025).first == 20 / 40  # 1.5 is above |-0.9375|
    values[20] = 0.9
    assert anomaly(values, 0.0, 0.025).first == -1


def test_no_text_has_an_anomaly_beyond_what_its_windows_can_reach():
    """A share s of the tokens lies at most sqrt((1 - s) / s) deviations above the mean."""
    values = np.zeros(200)
    values[:10] = 1.0
    assert anomaly(values, 1.0, 0.05).highest == pytest.approx(math.sqrt(19), rel=1e-6)
    rng = np.random.default_rng(0)
    assert all(anomaly(rng.standard_cauchy(200) + 5, 1.0, 0.05).highest <= math.sqrt(19) + 1e-9 for _ in range(50))


def test_highest_says_for_every_k_whether_there_is_one():
    rng = np.random.default_rng(1)
    for _ in range(50):
        values = rng.normal(0.2, 1, rng.integers(1, 300))
        found = anomaly(values, 1.0, 0.05)
        for k in (0.0, 0.5, found.highest - 1e-6, found.highest + 1e-6):
            assert (anomaly(values, k, 0.05).first >= 0) == (found.highest > k)


def test_the_worst_passage_is_the_window_with_the_largest_mean_or_all_of_a_short_text():
    assert worst_passage(np.array([0.0, 1.0, 3.0, 0.0]), 2) == (1, 3, 2.0)
    assert worst_passage(np.array([0.0, 1.0]), 24) == (0, 2, 0.5)


def test_places_are_shares_of_the_text():
    sums, counts = by_place(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 4)
    assert counts.tolist() == [2, 1, 1, 1] and sums.tolist() == [3.0, 3.0, 4.0, 5.0]
    assert by_place(np.array([7.0]), 4)[0].tolist() == [7.0, 0.0, 0.0, 0.0]
