"""The order of the data is a function of seed, step and device, and mixtures are exact."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recension.errors import UsageError
from recension.training.order import Order, parse_weight, shuffled, turns

MAGA_MIX = ["0.1629", "0.6459", "0.1165", "0.0166", "0.0580"]


@given(st.integers(1, 3000), st.integers(0, 2**40))
def test_a_shuffle_holds_every_place_once(size, key):
    places = shuffled(np.arange(size), size, np.full(size, key))
    assert sorted(places) == list(range(size))


def test_shuffles_differ_by_key_and_look_random():
    first, second = (shuffled(np.arange(4096), 4096, np.full(4096, key)) for key in (1, 2))
    assert (first == second).mean() < 0.01
    assert (first == np.arange(4096)).mean() < 0.01
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.08
    halves = (first[:2048] < 2048).sum()  # about half of the first half comes from the first half
    assert 900 < halves < 1150


@pytest.mark.parametrize("weights", [["0.75", "0.25"], ["1/3", "1/3", "1/3"], MAGA_MIX, ["50", "195", "50", "1"]])
def test_a_mixture_is_within_one_row_of_its_shares_at_every_point(weights):
    shares = [Fraction(w) for w in weights]
    order = turns(shares)
    total = sum(shares)
    for source, share in enumerate(shares):
        planned = np.arange(1, len(order) + 1) * float(share / total)
        assert np.abs(np.cumsum(order == source) - planned).max() < 1
        assert (order == source).sum() == len(order) * share / total  # and exact at the end of a period


def test_weights_without_a_short_period_are_rounded():
    order = turns([Fraction("0.123456789"), Fraction("0.876543211")])
    assert abs((order == 0).mean() - 0.123456789) < 1e-5


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_devices_share_one_global_batch(ranks):
    order = Order(7, 16, (103, 29), (Fraction(3), Fraction(1)))
    for step in (0, 1, 40, 1000):
        whole = order.rows(step)
        parts = [order.rows(step, rank, ranks) for rank in range(ranks)]
        for name in ("source", "place", "epoch"):
            np.testing.assert_array_equal(np.concatenate([getattr(p, name) for p in parts]), getattr(whole, name))


def test_every_row_is_read_once_in_an_epoch():
    order = Order(3, 10, (70,), (Fraction(1),))
    for epoch in range(3):
        rows = order.span(70 * epoch, 70 * (epoch + 1))
        assert sorted(rows.place) == list(range(70))
        assert set(rows.epoch) == {epoch}
    first, second = order.span(0, 70).place, order.span(70, 140).place
    assert (first != second).any()


def test_what_was_read_is_counted():
    order = Order(3, 10, (70, 11), (Fraction(2), Fraction(1)))
    rows = order.span(0, 370)
    assert order.read(37) == [int((rows.source == 0).sum()), int((rows.source == 1).sum())]


def test_another_seed_is_another_order():
    orders = [Order(seed, 32, (1000,), (Fraction(1),)).rows(0).place for seed in (0, 1)]
    assert (orders[0] != orders[1]).any()


@pytest.mark.parametrize("words", ["much", "0", "-1", "1/0"])
def test_weights_that_are_none(words):
    with pytest.raises(UsageError, match=r"weight"):
        parse_weight(words)
