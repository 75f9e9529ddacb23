"""Causal attention in blocks of rows, for training on a CPU.

torch's own kernel for the backward pass there leaves the matrix units of a processor idle. Written as products and a
softmax over blocks, half of the upper triangle is never computed, and torch.compile joins what lies between the products.
It is used where a model was compiled, in bfloat16, without a mask; anywhere else it would be the slower one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

NAME = "recension_blocks"
BLOCK = 128
KNOWN = ("LlamaForCausalLM", "GPT2LMHeadModel")  # whose attention is plain: no window, no soft cap, no sinks


def use(model: Any) -> None:
    """Tell a model to attend in blocks; only models that are told so are affected."""
    from transformers import AttentionInterface

    if type(model).__name__ in KNOWN:
        AttentionInterface.register(NAME, blocks)
        model.set_attn_implementation(NAME)


def blocks(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **extra: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention from (rows, heads, tokens, size) to (rows, tokens, heads, size), as transformers asks for it."""
    import torch

    if attention_mask is not None:
        raise ValueError("attention in blocks takes no mask")
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scale = extra.get("scaling")
    query = query * (query.shape[-1] ** -0.5 if scale is None else scale)
    length = query.shape[2]
    places = torch.arange(length, device=query.device)
    found = []
    for start in range(0, length, BLOCK):
        stop = min(start + BLOCK, length)
        scores = query[:, :, start:stop] @ key[:, :, :stop].transpose(2, 3)
        scores = scores.masked_fill(places[None, :stop] > places[start:stop, None], float("-inf"))
        chances = torch.softmax(scores, -1, dtype=torch.float32).to(value.dtype)
        found.append(chances @ value[:, :, :stop])
    return torch.cat(found, 2).transpose(1, 2), None
