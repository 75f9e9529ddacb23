"""Linear layers on a CPU through oneDNN with weights laid out once.

torch sends float32 products to MKL, which on some processors runs at half their width; oneDNN compiles for the one at
hand. On a processor with full AVX-512 units the layers take less than half the time, with the same precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PRECISION = 1e-4  # relative to the largest entry; a bfloat16 product would miss it


def usable(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this torch offers the operation for this kind of number. The answer never depends on a measurement."""
    import torch

    offered = hasattr(torch.ops.mkldnn, "_linear_pointwise") and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    available: Any = torch.backends.mkldnn.is_available
    return device.type == "cpu" and dtype == torch.float32 and offered and bool(available())


def lay_out(weight: torch.Tensor) -> Any:
    """The (out, in) weight in oneDNN's own order, or None where products with it come out wrong."""
    import torch

    laid: Any = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), None)
    rows = torch.linspace(-1.0, 1.0, 3 * weight.shape[1]).view(3, -1)
    expected = rows @ weight.detach().t()
    error = (linear(rows, laid, None) - expected).abs().max()
    return laid if bool(error <= PRECISION * expected.abs().max().clamp(min=1e-30)) else None


def fitting(rows: int) -> int:
    """The next of a few sizes: oneDNN compiles and keeps a megabyte of code for every new number of rows."""
    return max(16, 1 << (rows - 1).bit_length()) if rows <= 256 else -(-rows // 256) * 256


def linear(rows: torch.Tensor, laid: Any, bias: torch.Tensor | None) -> torch.Tensor:
    import torch

    flat = rows.reshape(-1, rows.shape[-1])
    count = flat.shape[0]
    if count == 0:
        return rows.new_empty((*rows.shape[:-1], laid.shape[0]))
    flat = torch.nn.functional.pad(flat, (0, 0, 0, fitting(count) - count))
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(flat, laid, bias, "none", [], "")
    return product[:count].view(*rows.shape[:-1], product.shape[-1])


def replace_linears(network: Any) -> bool:
    """Send the linear layers of a network through oneDNN and drop their plain weights. False: some could not be."""
    import torch
    from transformers.pytorch_utils import Conv1D

    for layer in list(network.modules()):
        if type(layer) not in (torch.nn.Linear, Conv1D):
            continue
        laid = lay_out(layer.weight.t() if isinstance(layer, Conv1D) else layer.weight)
        if laid is None:
            return False
        layer.forward = _Forward(laid, layer.bias)
        layer.weight = torch.nn.Parameter(layer.weight.new_empty(0), requires_grad=False)
    return True


class _Forward:
    """A layer's forward function that holds its weights."""

    def __init__(self, laid: Any, bias: torch.Tensor | None) -> None:
        self._laid = laid
        self._bias = bias

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return linear(rows, self._laid, self._bias)
