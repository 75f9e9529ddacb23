"""The loss from hidden rows, without the table of all logits: a few rows at a time, gradients made on the way."""

from __future__ import annotations

from typing import Any, NamedTuple

CPU_CHUNK = 2 << 20  # rows times vocabulary of one chunk: what stays in the cache between its steps
CUDA_CHUNK = 128 << 20


def chunk_rows(vocabulary: int, cuda: bool) -> int:
    room = (CUDA_CHUNK if cuda else CPU_CHUNK) // vocabulary
    return max(64, 1 << max(room.bit_length() - 1, 0))


class Head(NamedTuple):
    """The last layer; `gradient` is `loss_and_gradient`, or its compiled form."""

    weight: Any
    bias: Any
    gradient: Any


def fused_loss(hidden: Any, head: Head, targets: Any, scale: float) -> Any:
    """`scale` times the summed cross-entropy of rows against targets; a target below 0 does not count.

    The logits of a chunk become its gradient at once, so the backward pass multiplies nothing again.
    """
    return _function().apply(hidden, head.weight, head.bias, targets, scale, head.gradient)


def loss_and_gradient(logits: Any, targets: Any, scale: float) -> tuple[Any, Any]:
    """The summed loss of some rows of logits, and `scale` times its gradient in their own number format."""
    import torch

    counts, aims = (targets >= 0).float(), targets.clamp(min=0)
    table = logits.float()
    norms = table.logsumexp(1, keepdim=True)
    loss = ((norms - table.gather(1, aims)) * counts).sum()
    hit = torch.arange(table.shape[1], device=table.device)[None] == aims
    return loss, (((table - norms).exp() - hit.float()) * (counts * scale)).to(logits.dtype)


_made: list[Any] = []


def _function() -> Any:
    """The autograd function, made on first use: torch is not imported before."""
    if _made:
        return _made[0]
    import torch

    class FusedLoss(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, hidden: Any, weight: Any, bias: Any, targets: Any, *how: Any) -> Any:
            scale, gradient = how
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
                rows = hidden[start : start + step]
                logits = torch.mm(rows, table.t())
                if bias is not None:
                    logits += bias.to(logits.dtype)
                loss, small = gradient(logits, targets[start : start + step, None], scale)
                total += loss
                torch.mm(small, table, out=grad_hidden[start : start + step])
                if kept is not None:
                    kept[start : start + step] = small
                elif grad_weight is not None:
                    grad_weight += torch.mm(small.t(), rows)
                if grad_bias is not None:
                    grad_bias += small.float().sum(0)
            if kept is not None:
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
            return (*found, None, None, None)

    _made.append(FusedLoss)
    return FusedLoss
