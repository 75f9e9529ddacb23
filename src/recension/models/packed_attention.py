"""Attention over sequences that lie end to end in one row, none of which sees another.

Registered with transformers under a name of its own; only models that are told to use it are affected. On a CPU each
sequence gets its own call, so no pair of tokens is computed that does not count; on CUDA one kernel does them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import accumulate, pairwise
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

    cumulative = list(accumulate(lengths, initial=0))
    with within(cumulative, torch.tensor(cumulative, dtype=torch.int32, device=device)):
        yield


@contextmanager
def within(cumulative: Sequence[int], tensor: torch.Tensor) -> Iterator[None]:
    """The same for borders that are on the device already."""
    longest = max(b - a for a, b in pairwise(cumulative))
    token = _BORDERS.set(Borders(tuple(cumulative), tensor, longest))
    try:
        yield
    finally:
        _BORDERS.reset(token)


def register() -> None:
    """Make the name known to transformers."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, packed_attention)


def borders() -> Borders:
    """Those of the context that we are in."""
    return _BORDERS.get()


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **extra: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention from (1, heads, tokens, size) to (1, tokens, heads, size), as transformers asks for it."""
    scale = extra.get("scaling")
    if scale is None:
        scale = query.shape[-1] ** -0.5
    how = (scale, extra.get("sliding_window") or 0, extra.get("softcap") or 0.0)
    query, key, value = (t[0].transpose(0, 1) for t in (query, key, value))
    return attend(query, key, value, _BORDERS.get(), how)[None], None


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, within: Borders, how: tuple[float, int, float]
) -> torch.Tensor:
    """Causal attention on (tokens, heads, size); `how` is scale, sliding window (0: none) and soft cap (0: none)."""
    import torch

    if query.device.type == "cuda" and query.dtype in (torch.float16, torch.bfloat16):
        out = _one_kernel(query, key, value, within, how)
        if out is not None:
            return out
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    out = query.new_empty((*query.shape[:2], value.shape[-1]))
    for start, stop in zip(within.cumulative, within.cumulative[1:], strict=False):
        q, k, v = (t[start:stop].transpose(0, 1)[None] for t in (query, key, value))
        out[start:stop] = _one_sequence(q, k, v, how)[0].transpose(0, 1)
    return out


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
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, within: Borders, how: tuple[float, int, float]
) -> torch.Tensor | None:
    """flash-attn where it is installed, else torch's own copy of it, else None."""
    import torch

    scale, window, softcap = how
    size = query.shape[-1]
    cut = (within.tensor, within.tensor, within.longest, within.longest)
    behind = window - 1 if window else -1
    if _flash_attn_there():
        from flash_attn import flash_attn_varlen_func  # type: ignore[import-not-found,unused-ignore]

        settings = {"causal": True, "softmax_scale": scale, "window_size": (behind, 0 if window else -1)}
        out: torch.Tensor = flash_attn_varlen_func(query, key, value, *cut, softcap=softcap, **settings)
        return out
    # The operation below torch.nn.attention.varlen: it takes fewer key heads than query heads in every version, which
    # that function may refuse, and costs less on the way to the chip.
    operation: Any = getattr(torch.ops.aten, "_flash_attention_forward", None)
    if operation is None or softcap or size % 8 or size > 256 or value.shape[-1] != size:
        return None
    windows = {"window_size_left": behind, "window_size_right": 0} if window else {}
    # Causal where there is no window: with one, the window to the right says it.
    found = operation(query, key, value, *cut, 0.0, not window, False, scale=scale, **windows)
    attended: torch.Tensor = found[0]
    return attended


@cache
def _flash_attn_there() -> bool:
    return find_spec("flash_attn") is not None
