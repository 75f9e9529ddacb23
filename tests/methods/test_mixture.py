"""How much of each source, and where it is cut off: against what a sorted list says."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from recension.errors import UnreachableError, UsageError
from recension.methods.mixture import Wanted, allocate, histogram, inside, landing, stop, up_to


def weighed(name: str, weight: str, most: int = 1, stated: bool = False) -> Wanted:
    return Wanted(name, weight=Fraction(weight), most=Fraction(most), stated=stated)


def test_shares_are_whole_numbers_that_add_up():
    thirds = [weighed(name, "1/3", 9) for name in "abc"]
    assert allocate(thirds, [100, 100, 100], 100) == [34, 33, 33]
    mixed = [Wanted("a", tokens=30), Wanted("b", repeat=Fraction(5, 2)), weighed("c", "1"), weighed("d", "0")]
    assert allocate(mixed, [50, 20, 100, 7], 150) == [30, 50, 70, 0]


def test_without_a_total_a_mixture_is_as_large_as_nothing_read_twice_allows():
    assert allocate([weighed("a", "0.75"), weighed("b", "0.25")], [300, 50], None) == [150, 50]
    assert allocate([weighed("a", "0.75"), weighed("b", "0.25", 2, stated=True)], [300, 50], None) == [300, 100]


@pytest.mark.parametrize(
    ("wanted", "pools", "total", "error", "said"),
    [
        (
            [weighed("a", "1", 2)],
            [100],
            201,
            UnreachableError,
            "too small: 201 tokens.*holds 100.*2.01 passes.*1 too few",
        ),
        ([Wanted("a", tokens=10)], [0], None, UnreachableError, "holds no tokens"),
        ([weighed("a", "0")], [9], 5, UsageError, "sum to 0"),
        ([Wanted("a", tokens=10), weighed("b", "1", 9)], [10, 10], 5, UsageError, "less than the 10"),
        ([Wanted("a", tokens=10)], [10], 12, UsageError, "the sources come to 10"),
    ],
)
def test_what_cannot_be_is_said(wanted, pools, total, error, said):
    with pytest.raises(error, match=said):
        allocate(wanted, pools, total)


@pytest.mark.parametrize("spread", [1, 1 << 20, 1 << 62])
def test_a_beginning_ends_where_the_sorted_list_says(spread):
    """Also where many documents share a bucket, or a key."""
    rng = np.random.default_rng(0)
    keys = rng.integers(0, spread, 500, dtype=np.uint64)
    numbers = rng.permutation(500).astype(np.int64)
    tokens = rng.integers(0, 30, 500).astype(np.int64)
    order = np.lexsort((numbers, keys))
    sums = np.cumsum(tokens[order])
    counts = histogram(keys, tokens)
    for target in [0, 1, 29, int(sums[200]), int(sums[200]) + 1, int(sums[-1]) - 1, int(sums[-1]), int(sums[-1]) + 9]:
        place = landing(counts, target)
        here = inside(keys, place.bucket)
        found = stop(keys[here], numbers[here], tokens[here], place, target)
        taken = up_to(keys, numbers, found.last)
        assert int(tokens[taken].sum()) == found.tokens <= target
        reached = sums[sums <= target]
        assert found.tokens == (int(reached[-1]) if len(reached) else 0)
        if found.following is not None:
            mine = (keys == np.uint64(found.following.key)) & (numbers == found.following.number)
            assert found.tokens + int(tokens[mine].sum()) > target
            assert not (taken & mine).any()
