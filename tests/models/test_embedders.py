"""Embedders keep the promise of the port: unit vectors, the same for a text wherever it stands, near for near texts."""

from __future__ import annotations

import numpy as np
import pytest

from recension.errors import ModelError
from recension.models.embedders import load_embedder
from recension.ports import Embedder

TEXTS = ["The cat sat on the mat.", "A kitten was lying on a rug.", "Gauge bosons of quantum field theory", ""]


@pytest.mark.parametrize("name", ["static", "fake"])
def test_embedders_give_unit_vectors_that_do_not_depend_on_the_batch(name):
    model = load_embedder(name)
    assert isinstance(model, Embedder)
    rows = model.embed(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(model.embed(TEXTS[1:2]), rows[1:2])
    assert rows[0] @ rows[1] > rows[0] @ rows[2]


def test_an_unknown_embedder_is_told():
    with pytest.raises(ModelError, match="st:NAME"):
        load_embedder("word2vec")
