"""Shapes of known models with random weights, a tokenizer, and documents: nothing is downloaded."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

LENGTH, TOP_K, SEED, FLAGGED = 2048, 8, 0, 0.10
DISTINCT = 400
BEGIN = "<|begin_of_text|>"


@dataclass(frozen=True)
class Shape:
    layers: int
    hidden: int
    ffn: int
    heads: int
    kv: int
    vocabulary: int
    tied: bool

    @property
    def size(self) -> int:
        return self.hidden // self.heads

    @property
    def body(self) -> int:
        """Weights of the layers."""
        attention = self.hidden * self.size * (2 * self.heads + 2 * self.kv)
        return self.layers * (attention + 3 * self.hidden * self.ffn)

    def operations(self, lengths: list[int]) -> float:
        """Of one pass over sequences of these lengths; causal attention counts only pairs that are allowed."""
        tokens = sum(lengths)
        pairs = sum(n * (n + 1) / 2 for n in lengths)
        return (
            tokens * 2 * (self.body + self.hidden * self.vocabulary) + 4 * pairs * self.heads * self.size * self.layers
        )


SHAPES = {
    "tiny": Shape(2, 64, 160, 4, 2, 9_000, False),
    "135M": Shape(30, 576, 1536, 9, 3, 49_152, True),
    "1B": Shape(16, 2048, 8192, 32, 8, 128_256, True),
    "8B": Shape(32, 4096, 14336, 32, 8, 128_256, False),
}


def stream(draw: random.Random, count: int) -> str:
    """Made-up prose with a long tail of words, some of them with capitals and punctuation."""
    syllables = [a + b for a in (*"bcdfghklmnprstvw", "st", "tr", "ch") for b in (*"aeiou", "ai", "ou", "er", "an")]
    lexicon = ["".join(draw.choices(syllables, k=draw.choice((1, 1, 2, 2, 3, 4)))) for _ in range(30_000)]
    weights = [1 / (i + 3) for i in range(len(lexicon))]
    words = draw.choices(lexicon, weights, k=count)
    ends = draw.choices(("", "", "", "", "", "", ",", ".", ".\n\n"), k=count)
    return " ".join(w.capitalize() + e if e.startswith(".") else w + e for w, e in zip(words, ends, strict=True))


def make_tokenizer(vocabulary: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=min(vocabulary, 32_000),
        special_tokens=[BEGIN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([stream(random.Random(1), 200_000)], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=BEGIN, pad_token=BEGIN)


def make_texts(tokenizer: Any, lengths: list[int], seed: int) -> list[str]:
    """Texts of at most these numbers of tokens, each cut where a word begins; the same ones again after some hundreds."""
    if len(lengths) > DISTINCT:
        distinct = make_texts(tokenizer, lengths[:DISTINCT], seed)
        return [distinct[i % DISTINCT] for i in range(len(lengths))]
    text = stream(random.Random(seed), int(sum(lengths) / 1.2) + 4_000)
    coded = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    starts = [start for start, _ in coded.offsets]
    texts, at = [], 0
    for length in lengths:
        stop = at + length
        while stop < len(starts) and text[starts[stop]] != " ":
            stop -= 1
        if stop >= len(starts):
            raise SystemExit(f"the generated stream is too short: {len(starts)} tokens for {sum(lengths)}")
        texts.append(text[starts[at] : starts[stop]])
        at = stop
    return texts


def mixed_lengths(count: int) -> list[int]:
    """As on the web: many short documents, some at the limit."""
    draw = random.Random(4)
    return [min(LENGTH - 1, max(32, int(draw.lognormvariate(6.2, 1.0)))) for _ in range(count)]


def make_model(shape: Shape, device: str, dtype: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.ffn,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv,
        max_position_embeddings=4096,
        tie_word_embeddings=shape.tied,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
        **ends,
    )
    torch.manual_seed(SEED)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).eval()


def prior_of(model: Any, tokenizer: Any, **options: Any) -> Any:
    """The prior as `hf:` builds it; on a CPU with the steps of a GPU, so that they can be tried there."""
    from recension.models.checkpoint import lane_for, own_checkpoint
    from recension.models.dense import dense_network, kernels_for
    from recension.models.options import PriorOptions
    from recension.models.transformers_prior import TransformersPrior

    parts = own_checkpoint(model, tokenizer, PriorOptions(**options), name=f"random weights {id(model)}")
    if parts.lane is None and parts.body.device.type == "cpu" and parts.body.layout == "packed":
        network = dense_network(parts.body.network, parts.context, kernels_for(parts.body.device))
        body = parts.body if network is None else replace(parts.body, network=network)
        parts = replace(parts, body=body, lane=lane_for(body, parts.scorer))
    return TransformersPrior(parts)
