"""Attention over sequences that lie end to end in one row, none of which sees another.

Registered with transformers under a name of its own; only models that are told to use it are affected. On a CPU each
sequence gets its own call, so no pair of tokens is computed that does not count; on CUDA one kernel does them all.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

NAME = "recension_packed"


@dataclass(frozen=True, slots=True, eq=False)
class Borders:
    """Where the sequences of a pack begin and end."""

    cumulative: tuple[int, ...]
    tensor: torch.Tensor
    longest: int


_BORDERS: ContextVar[Borders] = ContextVar("borders")


@contextmanager
def packed(lengths: Sequence[int], device: torch.device) -> Iterator[None]:
    """Within this context the row holds sequences of these lengths."""
    import torch

    cumulative = [0]
    for length in lengths:
        cumulative.append(cumulative[-1] + length)
    tensor = torch.tensor(cumulative, dtype=torch.int32, device=device)
    token = _BORDERS.set(Borders(tuple(cumulative), tensor, max(lengths)))
    try:
        yield
    finally:
        _BORDERS.reset(token)


def register() -> None:
    """Make the name known to transformers."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, packed_attention)


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **extra: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention from (1, heads, tokens, size) to (1, tokens, heads, size), as transformers asks for it."""
    import torch

    borders = _BORDERS.get()
    scale = extra.get("scaling")
    if scale is None:
        scale = query.shape[-1] ** -0.5
    window = extra.get("sliding_window") or 0
    softcap = extra.get("softcap") or 0.0
    if query.device.type == "cuda" and query.dtype in (torch.float16, torch.bfloat16):
        out = _one_kernel(query, key, value, borders, (scale, window, softcap))
        if out is not None:
            return out, None
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    tokens, heads = query.shape[2], query.shape[1]
    out = torch.empty((1, tokens, heads, value.shape[-1]), dtype=query.dtype, device=query.device)
    for start, stop in zip(borders.cumulative, borders.cumulative[1:], strict=False):
        part = (query[:, :, start:stop], key[:, :, start:stop], value[:, :, start:stop])
        out[:, start:stop] = _one_sequence(*part, (scale, window, softcap)).transpose(1, 2)
    return out, None


def _one_sequence(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, how: tuple[float, int, float]
) -> torch.Tensor:
    import torch

    scale, window, softcap = how
    length = query.shape[2]
    mask = None
    if softcap or 0 < window < length:
        distance = torch.arange(length, device=query.device)
        distance = distance[:, None] - distance[None, :]
        mask = (distance >= 0) & (distance < (window or length))
    if softcap:
        scores = torch.tanh((query @ key.transpose(2, 3)) * (scale / softcap)) * softcap
        scores = scores.masked_fill_(~mask, float("-inf")) if mask is not None else scores
        return torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype) @ value
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=mask is None, scale=scale
    )


def _one_kernel(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, borders: Borders, how: tuple[float, int, float]
) -> torch.Tensor | None:
    """flash-attn where it is installed, else torch's own kernel for packed sequences, else None."""
    scale, window, softcap = how
    q, k, v = (t[0].transpose(0, 1).contiguous() for t in (query, key, value))
    cut = (borders.tensor, borders.tensor, borders.longest, borders.longest)
    behind = window - 1 if window else -1
    if find_spec("flash_attn") is not None:
        from flash_attn import flash_attn_varlen_func  # type: ignore[import-not-found,unused-ignore]

        settings = {"causal": True, "softmax_scale": scale, "window_size": (behind, 0 if window else -1)}
        out: torch.Tensor = flash_attn_varlen_func(q, k, v, *cut, softcap=softcap, **settings)
        return out[None]
    if softcap or find_spec("torch.nn.attention.varlen") is None or value.shape[-1] != query.shape[-1]:
        return None
    from torch.nn.attention import varlen

    kernel: Any = varlen.varlen_attn
    if not {"window_size", "enable_gqa"} <= set(inspect.signature(kernel).parameters):
        return None
    grouped = query.shape[1] != key.shape[1]
    found: torch.Tensor = kernel(q, k, v, *cut, scale=scale, window_size=(behind, 0), enable_gqa=grouped)
    return found[None]
