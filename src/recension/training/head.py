"""The loss from hidden rows, without the table of all logits: a few rows at a time, gradients made on the way."""

from __future__ import annotations

from typing import Any

CPU_CHUNK = 2 << 20  # rows times vocabulary of one chunk: what stays in the cache between its steps
CUDA_CHUNK = 128 << 20


def chunk_rows(vocabulary: int, cuda: bool) -> int:
    room = (CUDA_CHUNK if cuda else CPU_CHUNK) // vocabulary
    return max(64, 1 << max(room.bit_length() - 1, 0))


def fused_loss(hidden: Any, weight: Any, bias: Any, targets: Any, scale: float) -> Any:
    """`scale` times the summed cross-entropy of rows against targets; a target below 0 does not count.

    The logits of a chunk become its gradient in place, so the backward pass multiplies nothing again.
    """
    return _function().apply(hidden, weight, bias, targets, scale)


_made: list[Any] = []


def _function() -> Any:
    """The autograd function, made on first use: torch is not imported before."""
    if _made:
        return _made[0]
    import torch

    class FusedLoss(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, hidden: Any, weight: Any, bias: Any, targets: Any, scale: float) -> Any:
            count, vocabulary = hidden.shape[0], weight.shape[0]
            table = weight.to(hidden.dtype)
            step = chunk_rows(vocabulary, hidden.is_cuda)
            total = torch.zeros((), dtype=torch.float32, device=hidden.device)
            grad_hidden = torch.empty_like(hidden)
            grad_weight = torch.zeros_like(weight, dtype=torch.float32) if weight.requires_grad else None
            grad_bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None else None
            # On a CPU one product for the gradient of the weight is worth a table in the small format.
            kept = hidden.new_empty((count, vocabulary)) if grad_weight is not None and not hidden.is_cuda else None
            for start in range(0, count, step):
                rows, aims = hidden[start : start + step], targets[start : start + step, None]
                counts = (aims >= 0).float()
                aims = aims.clamp(min=0)
                logits = torch.mm(rows, table.t()).float()
                if bias is not None:
                    logits += bias.float()
                norms = logits.logsumexp(1, keepdim=True)
                total += ((norms - logits.gather(1, aims)) * counts).sum()
                logits.sub_(norms).exp_().scatter_add_(1, aims, -torch.ones_like(norms)).mul_(counts * scale)
                small = logits.to(hidden.dtype) if kept is None else kept[start : start + step].copy_(logits)
                torch.mm(small, table, out=grad_hidden[start : start + step])
                if grad_weight is not None and kept is None:
                    grad_weight += torch.mm(small.t(), rows)
                if grad_bias is not None:
                    grad_bias += logits.sum(0)
            if kept is not None and grad_weight is not None:
                grad_weight = torch.mm(kept.t(), hidden).float()
            ctx.save_for_backward(
                grad_hidden,
                None if grad_weight is None else grad_weight.to(weight.dtype),
                None if grad_bias is None else grad_bias.to(bias.dtype),
            )
            return total * scale

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            found = [None if part is None else part.mul_(grad) for part in ctx.saved_tensors]
            return (*found, None, None)

    _made.append(FusedLoss)
    return FusedLoss
