"""What a faster way through a model must show before it is taken."""

from __future__ import annotations

from typing import Any

import pytest


def deep(dtype: str) -> Any:
    """So deep that right ways in bfloat16 differ by much."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(2)
    sizes = {"hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 24, "num_attention_heads": 4}
    config = AutoConfig.for_model("llama", **sizes, num_key_value_heads=2, vocab_size=997)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.uniform_(0.5, 1.5) if "norm" in name else weight.normal_(0, 0.16)
        model.get_output_embeddings().weight.normal_(0, 0.5)
    return model.to(getattr(torch, dtype))


def taken(dtype: str) -> tuple[Any, Any, Any]:
    """A model, its probes, and its body and head run by ourselves."""
    import torch

    from recension.models import plain_kernels
    from recension.models.bodies import Body
    from recension.models.dense import dense_network
    from recension.models.probes import Probes

    model = deep(dtype)
    whole = Body(model, "equal-lengths", True, torch.device("cpu"))
    probes = Probes(model, whole)
    ours = Body(dense_network(model.model, 64, plain_kernels), "packed", False, whole.device)
    return model, probes, ours


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_right_way_passes_and_wrong_ones_do_not(dtype):
    import torch

    from recension.models.packed_attention import packed

    with torch.no_grad():
        model, probes, ours = taken(dtype)
        head = model.get_output_embeddings().weight
        assert probes.pass_rows("own", ours.rows(probes.sequences) @ head.t())
        if dtype == "bfloat16":
            # The point of it: a tolerance of float32 would refuse both.
            assert probes.errors["model"] > 0.02
            assert probes.errors["own"] > 0.02
        lengths = [len(s) for s in probes.sequences]
        ids = torch.cat([torch.as_tensor(s) for s in probes.sequences])
        places = torch.cat([torch.arange(n) for n in lengths])
        with packed([sum(lengths)], ours.device):  # all in one: each sees those before it
            assert not probes.pass_rows("leaking", ours.pack(ids, places) @ head.t())
        with packed(lengths, ours.device):
            late = places.clone()
            late[-lengths[-1] :] += torch.arange(lengths[-1])
            assert not probes.pass_rows("one sequence turned wrongly", ours.pack(ids, late) @ head.t())


def test_the_look_in_float32_leaves_the_weights_as_they_were():
    import torch

    from recension.models.bodies import Body
    from recension.models.probes import Probes

    model = deep("bfloat16")
    before = {name: (weight.data_ptr(), weight.clone()) for name, weight in model.state_dict().items()}
    with torch.no_grad():
        Probes(model, Body(model, "equal-lengths", True, torch.device("cpu")))
    for name, weight in model.state_dict().items():
        assert weight.data_ptr() == before[name][0]
        assert torch.equal(weight, before[name][1])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
