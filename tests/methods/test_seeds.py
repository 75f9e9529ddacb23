"""Effects over seeds."""

import math

import pytest

from recension.methods.seeds import apart, detectable, judge, spread, student


@pytest.mark.parametrize(
    ("probability", "freedom", "value"),
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.975, 3, 3.182),
        (0.8, 2, 1.061),
        (0.975, 10, 2.228),
        (0.975, 999, 1.962),
    ],
)
def test_quantiles_are_those_of_the_tables(probability, freedom, value):
    assert student(probability, freedom) == pytest.approx(value, abs=6e-4)


def test_a_spread_is_students():
    found = spread([1.0, 2.0, 3.0])
    assert found.value == 2.0
    assert found.high - found.value == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)
    assert math.isnan(spread([1.0]).low)


def test_what_is_smaller_than_could_be_seen_is_not_resolved():
    smallest = detectable([0.1, -0.1, 0.1])
    assert smallest == pytest.approx((4.3027 + 1.0607) * 0.1 / math.sqrt(3), rel=1e-3)
    assert judge([1.0, 1.1, 0.9], smallest, rises=True) == "agrees"
    assert judge([1.0, 1.1, 0.9], smallest, rises=False) == "contradicts"
    assert judge([0.1, 0.1, 0.1], smallest, rises=True) == "not resolvable"
    assert judge([5.0, 1.0, -2.0], smallest, rises=True) == "not resolvable"
    assert judge([1.0, 1.1], detectable([0.1, 0.1]), rises=True) == "not resolvable"
    assert apart([3.0, 5.0], [1.0, 1.0]) == [2.0, 4.0]
