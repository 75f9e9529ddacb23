"""The small steps between the large products of a decoder, each one pass over memory, in Triton.

Imported only where Triton is there. `plain_kernels` says what each function does, in torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import triton
import triton.language as tl

if TYPE_CHECKING:
    import torch

BLOCK = 1024
HEADS_AT_ONCE = 8
HEAD_TILE = {"M": 128, "N": 256, "K": 64, "GROUP": 16, "num_warps": 8, "num_stages": 3}
SMALL_HEAD_TILE = {"M": 64, "N": 64, "K": 32, "GROUP": 8, "num_warps": 4, "num_stages": 2}  # float32 takes more room


@triton.jit
def _rms_norm(x, weight, out, x_stride, out_stride, size, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < size
    values = tl.load(x + row * x_stride + at, mask=inside, other=0.0).to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(values * values, axis=0) / size + eps)
    factors = tl.load(weight + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * out_stride + at, (values * scale * factors).to(out.dtype.element_ty), mask=inside)


@triton.jit
def _rotate(
    qkv, places, cos, sin, norms, stride, queries, heads, eps,
    HALF: tl.constexpr, WIDTH: tl.constexpr, HEADS: tl.constexpr, NORMED: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    half = tl.arange(0, WIDTH)
    inside = (head < heads)[:, None] & (half < HALF)[None, :]
    left_at = qkv + token * stride + head[:, None] * (2 * HALF) + half[None, :]
    right_at = left_at + HALF
    left = tl.load(left_at, mask=inside, other=0.0).to(tl.float32)
    right = tl.load(right_at, mask=inside, other=0.0).to(tl.float32)
    if NORMED:
        mean = (tl.sum(left * left, axis=1) + tl.sum(right * right, axis=1)) / (2 * HALF)
        scale = (1.0 / tl.sqrt(mean + eps))[:, None]
        own = norms + (head >= queries).to(tl.int32)[:, None] * (2 * HALF) + half[None, :]
        left = left * scale * tl.load(own, mask=inside, other=0.0)
        right = right * scale * tl.load(own + HALF, mask=inside, other=0.0)
    row = tl.load(places + token).to(tl.int64) * HALF
    c = tl.load(cos + row + half, mask=half < HALF, other=0.0)[None, :]
    s = tl.load(sin + row + half, mask=half < HALF, other=0.0)[None, :]
    tl.store(left_at, (left * c - right * s).to(qkv.dtype.element_ty), mask=inside)
    tl.store(right_at, (right * c + left * s).to(qkv.dtype.element_ty), mask=inside)


@triton.jit
def _swiglu(x, stride, size, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    gate = tl.load(x + row * stride + at, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(x + row * stride + size + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(x + row * stride + at, (gate * tl.sigmoid(gate) * up).to(x.dtype.element_ty), mask=inside)


@triton.jit
def _capped(logits, scale, softcap, CAPPED: tl.constexpr):
    logits = logits * scale
    if CAPPED:
        logits = (2.0 * tl.sigmoid(2.0 * logits / softcap) - 1.0) * softcap
    return logits


@triton.jit
def _sum_up(
    logits, bias, targets, sums, chosen, stride, size, scale, softcap,
    BIASED: tl.constexpr, CAPPED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    target = tl.load(targets + row)
    most = tl.full((BLOCK,), -1e30, tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    hit = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, size, BLOCK):
        column = start + at
        inside = column < size
        values = tl.load(logits + row * stride + column, mask=inside, other=0.0).to(tl.float32)
        if BIASED:
            values += tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)
        values = tl.where(inside, _capped(values, scale, softcap, CAPPED), float("-inf"))
        larger = tl.maximum(most, values)
        total = total * tl.exp(most - larger) + tl.exp(values - larger)
        most = larger
        hit += tl.where(column == target, values, 0.0)
    best = tl.max(most, axis=0)
    tl.store(sums + row, best + tl.log(tl.sum(total * tl.exp(most - best), axis=0)))
    tl.store(chosen + row, tl.sum(hit, axis=0))


@triton.jit
def _head(
    rows, weight, bias, targets, parts, chosen, row_stride, weight_stride, count, size, width, scale, softcap,
    BIASED: tl.constexpr, CAPPED: tl.constexpr, PRECISE: tl.constexpr, EVEN: tl.constexpr,
    M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    # Neighbours in time share rows and columns, so that both stay in the cache.
    number = tl.program_id(0)
    tiles_down, tiles_across = tl.cdiv(count, M), tl.cdiv(size, N)
    in_group = GROUP * tiles_across
    first = (number // in_group) * GROUP
    high = tl.minimum(tiles_down - first, GROUP)
    down = first + (number % in_group) % high
    across = (number % in_group) // high
    row = down * M + tl.arange(0, M)
    column = across * N + tl.arange(0, N)
    inner = tl.arange(0, K)
    rows_at = rows + (row % count).to(tl.int64)[:, None] * row_stride + inner[None, :]
    weight_at = weight + (column % size).to(tl.int64)[None, :] * weight_stride + inner[:, None]
    logits = tl.zeros((M, N), tl.float32)
    for start in range(0, width, K):
        if EVEN:
            a, b = tl.load(rows_at), tl.load(weight_at)
        else:
            a = tl.load(rows_at, mask=(start + inner < width)[None, :], other=0.0)
            b = tl.load(weight_at, mask=(start + inner < width)[:, None], other=0.0)
        logits = tl.dot(a, b, logits, input_precision="ieee" if PRECISE else "tf32")
        rows_at += K
        weight_at += K
    if BIASED:
        logits += tl.load(bias + column, mask=column < size, other=0.0).to(tl.float32)[None, :]
    logits = _capped(logits, scale, softcap, CAPPED)
    logits = tl.where((column < size)[None, :], logits, float("-inf"))
    most = tl.max(logits, axis=1)
    total = tl.sum(tl.exp(logits - most[:, None]), axis=1)
    exists = row < count
    tl.store(parts + across.to(tl.int64) * count + row, most + tl.log(total), mask=exists)
    target = tl.load(targets + row, mask=exists, other=-1)
    found = tl.sum(tl.where(column[None, :] == target[:, None], logits, 0.0), axis=1)
    tl.store(chosen + row, found, mask=exists & (target // N == across))


# --- what others call -----------------------------------------------------------------------------------------------


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float, out: torch.Tensor) -> torch.Tensor:
    count, size = x.shape
    block = triton.next_power_of_2(size)
    warps = min(max(block // 512, 1), 16)
    _rms_norm[(count,)](x, weight, out, x.stride(0), out.stride(0), size, eps, BLOCK=block, num_warps=warps)
    return out


def rotate_(
    qkv: torch.Tensor, places: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor], heads: tuple[int, int],
    norms: torch.Tensor | None, eps: float,
) -> None:  # fmt: skip
    cos, sin = angles
    half, total = cos.shape[1], sum(heads)
    grid = (qkv.shape[0], triton.cdiv(total, HEADS_AT_ONCE))
    fixed = {"HALF": half, "WIDTH": triton.next_power_of_2(half), "HEADS": HEADS_AT_ONCE, "NORMED": norms is not None}
    given = cos if norms is None else norms
    _rotate[grid](qkv, places, cos, sin, given, qkv.stride(0), heads[0], total, eps, **fixed, num_warps=2)


def swiglu_(x: torch.Tensor) -> torch.Tensor:
    size = x.shape[1] // 2
    _swiglu[(x.shape[0], triton.cdiv(size, BLOCK))](x, x.stride(0), size, BLOCK=BLOCK, num_warps=4)
    return x[:, :size]


def sum_up(
    logits: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor, how: tuple[float, float],
    out: tuple[torch.Tensor, torch.Tensor],
) -> None:  # fmt: skip
    scale, softcap = how
    count, size = logits.shape
    fixed = {"BIASED": bias is not None, "CAPPED": bool(softcap), "BLOCK": min(4096, triton.next_power_of_2(size))}
    given = logits if bias is None else bias
    _sum_up[(count,)](
        logits, given, targets, *out, logits.stride(0), size, scale, softcap or 1.0, **fixed, num_warps=8
    )  # fmt: skip


def head_sums(
    rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor,
    how: tuple[float, float], chosen: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """The logits never leave the chip: log-sum-exp by row, and in `chosen` the target's logit."""
    import torch

    scale, softcap = how
    (count, width), size = rows.shape, weight.shape[0]
    precise = rows.dtype == torch.float32
    tile: dict[str, Any] = SMALL_HEAD_TILE if precise else HEAD_TILE
    across = triton.cdiv(size, tile["N"])
    parts = torch.empty((across, count), dtype=torch.float32, device=rows.device)
    fixed = {"BIASED": bias is not None, "CAPPED": bool(softcap), "PRECISE": precise, "EVEN": width % tile["K"] == 0}
    _head[(triton.cdiv(count, tile["M"]) * across,)](
        rows, weight, weight if bias is None else bias, targets, parts, chosen,
        rows.stride(0), weight.stride(0), count, size, width, scale, softcap or 1.0, **fixed, **tile,
    )  # fmt: skip
    return torch.logsumexp(parts, dim=0)
