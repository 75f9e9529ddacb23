"""The head on a GPU, in two phases: sums for every row, then the rivals of those rows that are asked for.

No table of all rows times the vocabulary exists in either. Sums come from one product a chunk into a float32 table that is
kept, and one pass over it; or, `fused`, from a kernel that keeps the logits on the chip. Nothing here waits for the GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from recension.models.heads import Head
from recension.models.plain_kernels import finish

if TYPE_CHECKING:
    import torch

CHUNK_BYTES = 1 << 29  # of the table of logits
Way = Literal["chunked", "fused"]


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """By row: the log-probability of the target, and the log-sum-exp of its logits."""

    logprobs: torch.Tensor
    totals: torch.Tensor


class TwoPhaseHead:
    """Scores rows with the `kernels` of `dense.kernels_for`. `banned` ids are never rivals; they keep their share."""

    def __init__(
        self, head: Head, banned: torch.Tensor, kernels: Any, way: Way = "chunked", chunk: int = CHUNK_BYTES
    ) -> None:
        assert head.weight is not None
        self.head = head
        self._weight = head.weight.detach()
        self._banned = banned
        self._kernels = kernels
        self._fused = way == "fused" and hasattr(kernels, "head_sums")
        self._wide = _wide_products(self._weight)
        # A power of two, so that the products come in few shapes.
        self._step = 1 << max((chunk // (4 * head.vocabulary)).bit_length() - 1, 4)
        self._table: torch.Tensor | None = None

    @property
    def way(self) -> Way:
        return "fused" if self._fused else "chunked"

    def sums(self, rows: torch.Tensor, targets: torch.Tensor) -> Sums:
        import torch

        how = (self.head.scale, self.head.softcap)
        chosen = torch.empty(len(rows), dtype=torch.float32, device=rows.device)
        if self._fused:
            bias = self.head.bias
            totals = self._kernels.head_sums(rows, self._weight, bias, targets, how, chosen)
        else:
            totals = torch.empty_like(chosen)
            for start in range(0, len(rows), self._step):
                part = slice(start, start + self._step)
                table = self._logits(rows[part])
                out = (totals[part], chosen[part])
                self._kernels.sum_up(table, self.head.bias, targets[part], how, out)
        return Sums((chosen - totals).clamp_(max=0.0), totals)

    def rivals(self, rows: torch.Tensor, totals: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The `count` most probable allowed tokens of each row, and their log-probabilities."""
        import torch

        how = (self.head.scale, self.head.softcap)
        best = torch.empty((len(rows), count), dtype=torch.float32, device=rows.device)
        ids = torch.empty((len(rows), count), dtype=torch.int32, device=rows.device)
        for start in range(0, len(rows), self._step):
            part = slice(start, start + self._step)
            table = finish(self._logits(rows[part]), self.head.bias, how)
            table.index_fill_(1, self._banned, float("-inf"))
            found = torch.topk(table, count, dim=1)
            best[part] = found.values - totals[part, None]
            ids[part] = found.indices
        return best, ids

    def _logits(self, rows: torch.Tensor) -> torch.Tensor:
        """Raw float32 logits, in the table that is kept."""
        import torch

        if self._table is None:
            self._table = torch.empty((self._step, len(self._weight)), dtype=torch.float32, device=rows.device)
        out = self._table[: len(rows)]
        if rows.dtype == torch.float32:
            return torch.mm(rows, self._weight.t(), out=out)
        if self._wide:
            return torch.mm(rows, self._weight.t(), out_dtype=torch.float32, out=out)
        return out.copy_(torch.mm(rows, self._weight.t()))


def _wide_products(weight: torch.Tensor) -> bool:
    """Whether this torch gives float32 products of narrow matrices: else logits are rounded to three digits."""
    import torch

    if weight.dtype == torch.float32 or not weight.is_cuda:
        return False
    rows = torch.ones((16, weight.shape[1]), dtype=weight.dtype, device=weight.device)
    out = torch.empty((16, 16), dtype=torch.float32, device=weight.device)
    try:
        torch.mm(rows, weight[:16].t(), out_dtype=torch.float32, out=out)
    except (RuntimeError, TypeError):
        return False
    return True
