"""The products and steps of one layer and of the head alone, in their own shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from made import FLAGGED, LENGTH, SHAPES, TOP_K, Shape
from timing import timed


def rates(device: str, name: str) -> dict[str, Any]:
    """The products and steps of one layer and of the head alone, in their own shapes: milliseconds and TFLOP/s."""
    import torch

    from recension.models.cuda_head import TwoPhaseHead
    from recension.models.dense import kernels_for
    from recension.models.heads import Head
    from recension.models.packed_attention import Borders, attend

    shape = SHAPES[name]
    count = 16_384 if device == "cuda" else 64
    kernels = kernels_for(torch.device(device))
    wide = (shape.heads + 2 * shape.kv) * shape.size
    found: dict[str, Any] = {}

    def note(what: str, work: Callable[[], Any], operations: float = 0.0, moved: float = 0.0, repeats: int = 8) -> None:
        try:
            seconds = timed(device, work, repeats)
        except Exception as error:  # noqa: BLE001 - one variant may not exist in this torch
            found[what] = f"{type(error).__name__}: {str(error)[:200]}"
        else:
            found[what] = {"ms": round(seconds * 1e3, 3)}
            found[what] |= {"tflops": round(operations / seconds / 1e12, 1)} if operations else {}
            found[what] |= {"gb_per_second": round(moved / seconds / 1e9)} if moved else {}
        print(f"{name} {what}: {found[what]}", flush=True)

    def drawn(*sizes: int) -> Any:
        return torch.randn(*sizes, device=device, dtype=torch.bfloat16) / 16

    x, normed, gate_up = drawn(count, shape.hidden), drawn(count, shape.hidden), drawn(count, 2 * shape.ffn)
    qkv = drawn(count, wide)
    weights = {"qkv": drawn(wide, shape.hidden), "gate_up": drawn(2 * shape.ffn, shape.hidden)}
    for what, out in (("qkv", qkv), ("gate_up", gate_up)):
        flops = 2.0 * count * weights[what].numel()
        note(f"product {what}", lambda w=weights[what], out=out: torch.mm(normed, w.t(), out=out), flops)
    down = drawn(shape.hidden, shape.ffn)
    act = gate_up[:, : shape.ffn]
    flops = 2.0 * count * down.numel()
    note("product down, added in place, strided", lambda: x.addmm_(act, down.t(), beta=0.5), flops)
    packed = act.contiguous()
    note("product down, added in place", lambda: x.addmm_(packed, down.t(), beta=0.5), flops)
    note("product down", lambda: torch.mm(packed, down.t(), out=normed), flops)
    weight = drawn(shape.hidden)
    note("rms_norm", lambda: kernels.rms_norm(x, weight, 1e-5, normed), moved=4.0 * x.numel())
    angles = torch.rand(4096, shape.size // 2, device=device), torch.rand(4096, shape.size // 2, device=device)
    places = torch.arange(count, device=device, dtype=torch.int32) % LENGTH
    heads = (shape.heads, shape.kv)
    note(
        "rotate",
        lambda: kernels.rotate_(qkv, places, angles, heads, None, 1e-5),
        moved=4.0 * count * sum(heads) * shape.size,
    )
    note("swiglu", lambda: kernels.swiglu_(gate_up), moved=6.0 * count * shape.ffn)
    length = min(LENGTH, count)
    cut = list(range(0, count + 1, length))
    borders = Borders(tuple(cut), torch.tensor(cut, dtype=torch.int32, device=device), length)
    split = drawn(count, wide).view(count, -1, shape.size)
    q, k, v = split[:, : heads[0]], split[:, heads[0] : sum(heads)], split[:, sum(heads) :]
    flops = 4.0 * (count // length) * length * (length + 1) / 2 * shape.heads * shape.size
    note("attention", lambda: attend(q, k, v, borders, (shape.size**-0.5, 0, 0.0)), flops)
    if device == "cuda":
        from torch.nn.attention import SDPBackend, sdpa_kernel

        batch = [t.reshape(count // length, length, -1, shape.size).transpose(1, 2) for t in (q, k, v)]
        batch[1:] = [t.repeat_interleave(shape.heads // shape.kv, dim=1) for t in batch[1:]]

        def cudnn() -> Any:
            with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
                return torch.nn.functional.scaled_dot_product_attention(*batch, is_causal=True)

        note("attention, cuDNN on equal lengths", cudnn, flops)
    table = drawn(shape.vocabulary, shape.hidden)
    rows, targets = (
        drawn(count, shape.hidden),
        torch.randint(0, shape.vocabulary, (count,), device=device, dtype=torch.int32),
    )
    flops = 2.0 * count * table.numel()
    banned = torch.tensor([0], device=device)
    for way in ("chunked", "fused"):
        head = TwoPhaseHead(Head(table, None, 1.0, 0.0, shape.vocabulary), banned, kernels, way)  # type: ignore[arg-type]
        if head.way == way:
            note(f"head, {way}", lambda head=head: head.sums(rows, targets), flops, repeats=4)
    some = rows[:: round(1 / FLAGGED)].contiguous()
    totals = torch.zeros(len(some), device=device)
    note(f"rivals of {len(some)} rows", lambda: head.rivals(some, totals, TOP_K), repeats=4)
    found.update(narrow_rates(device, shape, count))
    return found


def narrow_rates(device: str, shape: Shape, count: int) -> dict[str, Any]:
    """What float8 products would give."""
    import torch

    if device != "cuda" or torch.cuda.get_device_capability() < (8, 9):
        return {}
    found: dict[str, Any] = {}
    for what, across, inner in (("gate_up", 2 * shape.ffn, shape.hidden), ("down", shape.hidden, shape.ffn)):
        a = torch.randn(count, inner, device=device).to(torch.float8_e4m3fn)
        b = torch.randn(across, inner, device=device).to(torch.float8_e4m3fn).t()
        one = torch.ones((), device=device)
        by_row = torch.ones(count, 1, device=device), torch.ones(1, across, device=device)
        for scaling, (left, right) in {"one scale": (one, one), "a scale for each row": by_row}.items():
            for fast in (True, False):

                def work(left: Any = left, right: Any = right, a: Any = a, b: Any = b, fast: bool = fast) -> Any:
                    return torch._scaled_mm(
                        a, b, scale_a=left, scale_b=right, out_dtype=torch.bfloat16, use_fast_accum=fast
                    )

                key = f"float8 {what}, {scaling}, {'fast' if fast else 'precise'} sums"
                try:
                    seconds = timed(device, work, 6)
                    found[key] = {
                        "ms": round(seconds * 1e3, 3),
                        "tflops": round(2 * count * across * inner / seconds / 1e12),
                    }
                except Exception as error:  # noqa: BLE001
                    found[key] = f"{type(error).__name__}: {str(error)[:200]}"
                print(key, found[key], flush=True)
    return found
