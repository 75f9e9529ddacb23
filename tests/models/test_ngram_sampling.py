"""Drawn text follows the law of the model it is drawn from."""

from __future__ import annotations

import numpy as np

from recension.models import ngram, ngram_sampling

TEXTS = ["the cat sat on the mat and the dog sat on the log", "a cat and a dog met the man on the mat"] * 3


def test_words_are_drawn_from_the_model_s_own_law(tmp_path):
    ngram.train(TEXTS, ngram.NgramSettings(order=3, vocabulary=270), tmp_path / "model")
    prior = ngram.NgramPrior.load(tmp_path / "model")
    lengths = [3] * 30_000
    drawn = np.array(ngram_sampling.draw(ngram_sampling.mixture(prior.tables), lengths, np.random.default_rng(1)))
    for known in (0, 1, 2):  # after nothing, and after the commonest beginnings of one and of two tokens
        here = drawn
        for place in range(known):
            here = here[here[:, place] == np.bincount(here[:, place]).argmax()]
        law = prior.distribution(here[0, :known].tolist())
        seen = np.bincount(here[:, known], minlength=len(law)) / len(here)
        noise = np.sqrt(law * (1 - law) / len(here))
        assert (np.abs(seen - law) < 5 * noise + 1e-4).all()


def test_lengths_are_kept_and_seeds_repeat(tmp_path):
    ngram.train(TEXTS, ngram.NgramSettings(order=2, vocabulary=270), tmp_path / "model")
    prior = ngram.NgramPrior.load(tmp_path / "model")
    model = ngram_sampling.mixture(prior.tables)
    drawn = ngram_sampling.draw(model, [4, 0, 9], np.random.default_rng(0))
    assert [len(ids) for ids in drawn] == [4, 0, 9]
    texts = [ngram_sampling.write(prior, [12, 5], np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]
