"""Text drawn from a transformer follows its law, and goes on beyond its context."""

from __future__ import annotations

import numpy as np
import pytest

from recension.models import causal_sampling, hub
from recension.models.load import PriorOptions, load_prior
from recension.ports import Ask

pytest.importorskip("torch")


def test_first_tokens_follow_the_law_of_the_model(tmp_path):
    import tiny

    place = tiny.llama(tmp_path / "model")
    texts = causal_sampling.write(place, [1] * 1_280, 1)
    tokenizer = hub.load_fast(str(place), None)
    commonest = max(set(texts), key=texts.count)
    [score] = load_prior(f"hf:{place}", PriorOptions()).score([commonest], Ask())
    seen = texts.count(commonest) / len(texts)
    assert len(score.ids) == 1 and seen == pytest.approx(float(np.exp(score.logprobs[0])), abs=0.04)
    long = causal_sampling.write(place, [5, 140], 1)
    assert len(tokenizer(long[1])["input_ids"]) > 100
    assert long == causal_sampling.write(place, [5, 140], 1)
