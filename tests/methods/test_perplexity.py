"""What tokens stand for, and intervals that hold what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recension.methods.bootstrap import Resampler, interval
from recension.methods.perplexity import byte_shares, loss, places, within


def spans(*pairs):
    return np.array(pairs, dtype=np.int32).reshape(-1, 2)


def test_tokens_without_a_span_share_the_gap_between_their_neighbours():
    # "a", the three byte tokens of 中, "b" and one token that the tokenizer changed, at the end.
    found = spans((0, 1), (-1, -1), (-1, -1), (-1, -1), (2, 3), (-1, -1))
    assert places(found, 4).tolist() == [[0, 1], [1, 2], [1, 2], [1, 2], [2, 3], [3, 4]]
    assert byte_shares("a中bé", found).tolist() == [1, 1, 1, 1, 1, 2]


def test_shares_of_a_text_without_gaps_add_up_to_its_bytes():
    text = "Größe 中文 🙂!"
    found = spans(*((i, i + 1) for i in range(len(text))))
    assert byte_shares(text, found).sum() == len(text.encode())


def test_characters_that_no_token_holds_are_in_no_figure():
    text = "one ☃ two"
    counted = loss(text, spans((0, 3), (5, 9)), np.log([0.5, 0.25]).astype(np.float32), np.ones(2, dtype=bool))
    assert counted.bytes == 3 + 4
    assert counted.nats == pytest.approx(3 * math.log(2))


def test_a_token_without_a_probability_takes_its_bytes_along():
    logprobs = np.array([np.nan, -1.0], dtype=np.float32)
    assert loss("éa", spans((0, 1), (1, 2)), logprobs, np.ones(2, dtype=bool)) == (1.0, 1, 1.0)


def test_a_token_counts_when_it_lies_wholly_in_a_stretch():
    found = spans((0, 2), (2, 4), (-1, -1), (5, 6), (6, 8))
    assert within(found, 8, [(2, 6)]).tolist() == [False, True, True, True, False]
    assert within(found, 8, [(3, 8)]).tolist() == [False, False, True, True, True]


def test_resamples_do_not_depend_on_how_documents_arrive():
    rows = np.random.default_rng(1).uniform(size=(2500, 2))
    whole, pieces = Resampler("x", 2, 200, 7), Resampler("x", 2, 200, 7)
    whole.add(rows)
    for start in range(0, 2500, 333):
        pieces.add(rows[start : start + 333])
    np.testing.assert_allclose(whole.resampled(), pieces.resampled(), rtol=1e-12)
    other = Resampler("y", 2, 200, 7)
    other.add(rows)
    assert not np.allclose(other.resampled(), whole.resampled())


def test_a_document_stands_in_a_resample_as_a_poisson_variable_says():
    resampler = Resampler("counts", 1, 4000, 0)
    resampler.add(np.ones((100, 1)))
    counts = resampler.resampled()[:, 0]
    assert counts.mean() == pytest.approx(100, abs=1)
    assert counts.var() == pytest.approx(100, rel=0.1)


def covers(draws: int, documents: int) -> float:
    """How often the interval of a ratio holds the truth, which is 2, over 200 samples."""
    rng = np.random.default_rng(5)
    held = 0
    for sample in range(200):
        sizes = rng.lognormal(0, 0.7, documents)
        nats = sizes * (2 + rng.normal(0, 0.5, documents))
        resampler = Resampler(str(sample), 2, draws, 0)
        resampler.add(np.stack([nats, sizes], axis=1))
        sums = resampler.resampled()
        low, high = interval(sums[:, 0] / sums[:, 1])
        held += low <= 2 <= high
    return held / 200


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    assert 0.90 <= covers(400, 100) <= 0.99


def test_a_paired_difference_is_surer_than_two_figures():
    rng = np.random.default_rng(3)
    sizes = rng.lognormal(0, 0.5, 200)
    first = sizes * (2 + rng.normal(0, 0.5, 200))
    second = first + 0.02 * sizes
    resampler = Resampler("pair", 3, 1000, 0)
    resampler.add(np.stack([first, second, sizes], axis=1))
    sums = resampler.resampled()
    low, high = interval((sums[:, 1] - sums[:, 0]) / sums[:, 2])
    assert low == pytest.approx(0.02) and high == pytest.approx(0.02)
    apart = interval(sums[:, 0] / sums[:, 2])
    assert apart[1] - apart[0] > 0.05


def test_resamples_in_which_nothing_stood_have_no_say():
    assert interval(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)
    assert all(math.isnan(end) for end in interval(np.array([np.nan])))
