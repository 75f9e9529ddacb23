"""The small steps between the large products of a decoder, in torch: where there is no Triton, and as the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float, out: torch.Tensor) -> torch.Tensor:
    """Each row over its root mean square, times the weights."""
    import torch

    wide = x.float()
    return out.copy_(wide * torch.rsqrt(wide.square().mean(1, keepdim=True) + eps) * weight.float())


def rotate_(
    qkv: torch.Tensor,
    places: torch.Tensor,
    angles: tuple[torch.Tensor, torch.Tensor],
    heads: tuple[int, int],
    norms: torch.Tensor | None,
    eps: float,
) -> None:
    """Turn queries and keys in place by the angles of their `places`; before that, norm them where they have `norms`.

    A row holds the query heads, the key heads, and what is left alone; `angles` are cosines and sines by place.
    """
    import torch

    half = angles[0].shape[1]
    part = qkv[:, : sum(heads) * 2 * half].view(len(qkv), sum(heads), 2, half)
    wide = part.float()
    if norms is not None:
        wide = wide * torch.rsqrt(wide.square().mean((2, 3), keepdim=True) + eps)
        own = norms.view(2, 1, 2, half)
        wide[:, : heads[0]] *= own[0]
        wide[:, heads[0] :] *= own[1]
    cos, sin = (angle[places.long()][:, None] for angle in angles)
    left, right = wide[:, :, 0], wide[:, :, 1]
    part.copy_(torch.stack((left * cos - right * sin, right * cos + left * sin), dim=2))


def swiglu_(x: torch.Tensor) -> torch.Tensor:
    """SiLU of the left half times the right half, put into the left half."""
    import torch

    gate, up = x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]
    return gate.copy_(torch.nn.functional.silu(gate.float()) * up.float())


def sum_up(
    logits: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    how: tuple[float, float],
    out: tuple[torch.Tensor, torch.Tensor],
) -> None:
    """Of each row of raw logits the log-sum-exp, and the finished logit of its target, into `out`."""
    import torch

    table = finish(logits.float(), bias, how)
    sums, chosen = out
    torch.logsumexp(table, dim=1, out=sums)
    chosen.copy_(table.gather(1, targets.long()[:, None])[:, 0])


def finish(logits: torch.Tensor, bias: torch.Tensor | None, how: tuple[float, float]) -> torch.Tensor:
    """Raw float32 logits with bias, scale and cap, in place where they can be."""
    scale, softcap = how
    if bias is not None:
        logits = logits + bias
    if scale != 1.0:
        logits = logits * scale
    return (logits / softcap).tanh() * softcap if softcap else logits
