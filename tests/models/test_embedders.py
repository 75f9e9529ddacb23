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


def test_a_model_of_sentence_transformers_is_named_by_its_files(tmp_path):
    """A BERT of a few thousand weights, made here; needs the extra `embed`."""
    library = pytest.importorskip("sentence_transformers")
    modules = pytest.importorskip("sentence_transformers.models")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "red", "blue", "bird", "stone"]
    split = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    split.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=split, unk_token="[UNK]", pad_token="[PAD]")
    tokenizer.save_pretrained(tmp_path / "bert")
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32,
    )  # fmt: skip
    BertModel(config).save_pretrained(tmp_path / "bert")
    body = modules.Transformer(str(tmp_path / "bert"))
    whole = library.SentenceTransformer(modules=[body, modules.Pooling(16)])
    whole.save(str(tmp_path / "model"))
    model = load_embedder(f"st:{tmp_path / 'model'}")
    rows = model.embed(["red bird", "red bird", "blue stone"])
    assert rows.shape == (3, 16) and np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.allclose(rows[0], rows[1], atol=1e-6) and not np.allclose(rows[0], rows[2], atol=1e-3)
    assert "model.safetensors" in model.spec["files"][""]
    (tmp_path / "model" / "config.json").write_text((tmp_path / "model" / "config.json").read_text() + "\n")
    assert load_embedder(f"st:{tmp_path / 'model'}").spec != model.spec
