"""The products of a decoder in float8: weights narrowed once by output row, rows narrowed before each product.

A number of float8 has three digits after the leading one, so scores move: this is only done when it is asked for. Sums are
in float32, results in the format of the rows. The head is not narrowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recension.errors import ModelError
from recension.models.dense import Products, joined_bias

if TYPE_CHECKING:
    import torch

CAPABILITY = (8, 9)  # Ada and Hopper


def check_narrow(device: torch.device) -> None:
    import torch

    if device.type != "cuda" or torch.cuda.get_device_capability(device) < CAPABILITY:
        raise ModelError(
            "dtype float8 needs an NVIDIA GPU that multiplies it (compute capability 8.9 or above: Ada, Hopper and later); "
            "use --dtype bfloat16"
        )


@dataclass(frozen=True, slots=True, eq=False)
class NarrowWeight:
    """Float8 entries, and for each row the number that brings it back."""

    values: torch.Tensor
    scales: torch.Tensor

    def __len__(self) -> int:
        return len(self.values)


class NarrowProducts(Products):
    """What `DenseNetwork` multiplies with, in float8."""

    def __init__(self, kernels: Any) -> None:
        self._kernels = kernels

    def joined(self, linears: list[Any]) -> tuple[Any, torch.Tensor | None]:
        import torch

        parts = [self._narrow(linear.weight.detach()) for linear in linears]
        values = torch.cat([part.view(torch.uint8) for part, _ in parts]).view(torch.float8_e4m3fn)
        return NarrowWeight(values, torch.cat([scales for _, scales in parts])), joined_bias(linears)

    def product(self, rows: torch.Tensor, weight: Any, bias: torch.Tensor | None, out: torch.Tensor) -> torch.Tensor:
        import torch

        values, scales = self._narrow(rows)
        torch._scaled_mm(
            values,
            weight.values.t(),
            scale_a=scales[:, None],
            scale_b=weight.scales[None],
            out_dtype=out.dtype,
            out=out,
        )
        return out if bias is None else out.add_(bias)

    def add(self, x: torch.Tensor, rows: torch.Tensor, weight: Any, bias: torch.Tensor | None) -> None:
        import torch

        x += self.product(rows, weight, bias, torch.empty_like(x))

    def _narrow(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        values = torch.empty(rows.shape, dtype=torch.float8_e4m3fn, device=rows.device)
        scales = torch.empty(len(rows), dtype=torch.float32, device=rows.device)
        self._kernels.narrow(rows, values, scales)
        return values, scales
