"""The scorer for GPUs, step by step on a CPU: the same code, with torch's kernels, in float32."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tiny import CORPUS, FAMILIES, LINES

from recension.models.checkpoint import own_checkpoint
from recension.models.cuda_head import TwoPhaseHead
from recension.models.dense import dense_network
from recension.models.heads import Head
from recension.models.lane import Lane
from recension.models.options import PriorOptions
from recension.models.transformers_prior import TransformersPrior
from recension.ports import Ask

TEXTS = [LINES[0], "x", "", *CORPUS[-2:], "He wrote </s> and <|endoftext|>.", "".join(LINES[3:12]), " ".join(LINES)]
ASKS = [Ask(above=0.5, k=4), Ask(above=0.3, below=1e-3, k=3), Ask(above=0.2, k=2, mass=0.9, cap=16), Ask(k=5)]


def network(kind: str, **settings: Any) -> Any:
    import torch
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(3)
    sizes = {"hidden_size": 48, "intermediate_size": 112, "num_hidden_layers": 3, "num_attention_heads": 6}
    sizes |= {"num_key_value_heads": 2, "vocab_size": 301, "max_position_embeddings": 64, "head_dim": 8}
    model = AutoModel.from_config(AutoConfig.for_model(kind, **{**sizes, **settings})).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.uniform_(0.5, 1.5) if "norm" in name else weight.normal_(0, 0.15)
    return model


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("llama", {}),
        ("llama", {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 6}),
        ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}}),
        ("mistral", {"sliding_window": 5}),
        ("qwen2", {}),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
    ],
)
def test_a_dense_decoder_run_by_ourselves_is_the_same(kind, settings):
    import torch

    from recension.models import plain_kernels
    from recension.models.packed_attention import packed

    model = network(kind, **settings)
    sequences = [torch.randint(0, 301, (n,)) for n in (17, 1, 40, 9)]
    with torch.inference_mode():
        expected = torch.cat([model(input_ids=s[None], use_cache=False).last_hidden_state[0] for s in sequences])
        ours = dense_network(model, 64, plain_kernels)
        assert ours is not None
        places = torch.cat([torch.arange(len(s)) for s in sequences])
        with packed([len(s) for s in sequences], torch.device("cpu")):
            found = ours(input_ids=torch.cat(sequences)[None], position_ids=places[None]).last_hidden_state[0]
        again = torch.cat([model(input_ids=s[None], use_cache=False).last_hidden_state[0] for s in sequences])
    assert float(expected.abs().max()) > 0.5
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    # The network itself still works: its layers look at their parts of the joined matrices.
    torch.testing.assert_close(again, expected, rtol=1e-5, atol=1e-5)


def test_a_decoder_of_another_build_is_left_alone():
    from recension.models import plain_kernels

    assert dense_network(network("gpt2"), 64, plain_kernels) is None
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    assert dense_network(network("llama", rope_parameters=rope), 64, plain_kernels) is None
    assert dense_network(network("llama", hidden_act="gelu"), 64, plain_kernels) is None


@pytest.mark.parametrize("family", ["qwen", "gemma2"])
def test_the_lane_gives_what_the_plain_way_gives(family, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from recension.models import plain_kernels

    folder = FAMILIES[family](tmp_path)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    parts = own_checkpoint(model, tokenizer, PriorOptions(context=24, batch_tokens=96))
    assert parts.lane is None
    plain = TransformersPrior(parts)
    network = dense_network(parts.body.network, 24, plain_kernels)
    assert (network is not None) == (family == "qwen")  # Gemma goes through the network of transformers
    body = parts.body if network is None else replace(parts.body, network=network)
    head = TwoPhaseHead(parts.scorer.head, parts.scorer.banned, plain_kernels, chunk=1 << 12)  # several chunks
    through = TransformersPrior(replace(parts, lane=Lane(body, head)))
    for ask in ASKS:
        for found, expected in zip(through.score(TEXTS, ask), plain.score(TEXTS, ask), strict=True):
            np.testing.assert_array_equal(found.ids, expected.ids)
            np.testing.assert_allclose(found.logprobs, expected.logprobs, atol=2e-5)
            np.testing.assert_array_equal(found.flagged, expected.flagged)
            np.testing.assert_array_equal(found.rivals, expected.rivals)
            np.testing.assert_allclose(found.rival_logprobs, expected.rival_logprobs, atol=2e-5)
            np.testing.assert_allclose(found.rival_mass, expected.rival_mass, atol=2e-5)
    flagged = [s.flagged for s in plain.score(TEXTS, ASKS[0])]
    assert sum(map(len, flagged)) > 5


def test_threads_may_share_a_lane(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from recension.models import plain_kernels

    folder = FAMILIES["qwen"](tmp_path)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    parts = own_checkpoint(model, tokenizer, PriorOptions(context=24, batch_tokens=48))
    network = dense_network(parts.body.network, 24, plain_kernels)
    lane = Lane(
        replace(parts.body, network=network), TwoPhaseHead(parts.scorer.head, parts.scorer.banned, plain_kernels)
    )
    prior = TransformersPrior(replace(parts, lane=lane))
    jobs = [[text] * 3 for text in TEXTS]
    expected = [prior.score(job, ASKS[0]) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        for found, alone in zip(pool.map(lambda job: prior.score(job, ASKS[0]), jobs), expected, strict=True):
            for a, b in zip(found, alone, strict=True):
                np.testing.assert_array_equal(a.logprobs, b.logprobs)
                np.testing.assert_array_equal(a.rivals, b.rivals)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("how", [(1.0, 0.0), (0.5, 3.0)])
def test_the_two_phases_of_the_head(biased, how):
    import torch

    from recension.models import plain_kernels

    torch.manual_seed(1)
    rows, weight = torch.randn(70, 24), torch.randn(333, 24)
    head = Head(weight, torch.randn(333) if biased else None, *how, vocabulary=333)
    banned = torch.tensor([0, 7, 332])
    targets = torch.randint(0, 333, (70,))
    ours = TwoPhaseHead(head, banned, plain_kernels, chunk=1 << 14)
    sums = ours.sums(rows, targets.int())
    truth = torch.log_softmax(head.logits(rows.clone()), dim=-1)
    torch.testing.assert_close(sums.logprobs, truth.gather(1, targets[:, None])[:, 0], rtol=1e-5, atol=1e-5)
    best, ids = ours.rivals(rows, sums.totals, 6)
    expected = torch.topk(truth.index_fill(1, banned, float("-inf")), 6, dim=1)
    torch.testing.assert_close(best, expected.values, rtol=1e-5, atol=1e-5)
    assert torch.equal(ids.long(), expected.indices)
    assert not np.isin(ids.numpy(), banned.numpy()).any()
