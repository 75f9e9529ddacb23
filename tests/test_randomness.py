from __future__ import annotations

import numpy as np

from recension.randomness import document_key, uniforms


def test_a_draw_is_a_function_of_its_place():
    key = document_key(0, "a", "hash")
    some = uniforms(key, np.array([5, 900, 3]))
    assert some.tolist() == uniforms(key, np.arange(1000))[[5, 900, 3]].tolist()


def test_every_part_of_the_key_counts():
    keys = {
        document_key(0, "a", "h"), document_key(1, "a", "h"), document_key(0, None, "h"), document_key(0, "", "h"),
        document_key(0, "b", "h"), document_key(0, "a", "i"), document_key(0, "a", "h", 2), document_key(0, "a", "h", 1, 2),
        document_key(0, "ah", ""),
    }  # fmt: skip
    assert len(keys) == 9


def test_draws_are_uniform_and_independent():
    draws = np.stack(
        [uniforms(document_key(0, str(i), "x"), np.arange(2000), lane) for i in range(20) for lane in (0, 1)]
    )
    assert 0 <= draws.min() and draws.max() < 1
    counts = np.histogram(draws, bins=50, range=(0, 1))[0]
    expected = draws.size / 50
    assert ((counts - expected) ** 2 / expected).sum() < 100  # chi-square, 49 degrees of freedom: p about 2e-5
    off_diagonal = np.corrcoef(draws)[~np.eye(len(draws), dtype=bool)]
    assert np.abs(off_diagonal).max() < 0.1
    assert abs(np.corrcoef(draws[:, :-1].ravel(), draws[:, 1:].ravel())[0, 1]) < 0.02


def test_the_numbers_never_change():
    """A new version that drew others would break every promise of reproduction."""
    key = document_key(7, "id", "content", 2, 3)
    assert key == 15982758165788225451
    assert uniforms(key, np.array([0, 1, 10**9]), 1).tolist() == [
        0.36434546691751946,
        0.4121679995941183,
        0.7020876518462589,
    ]
