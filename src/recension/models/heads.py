"""From hidden rows to log-probabilities, a few rows at a time: the full distribution of a batch never exists."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recension.models import onednn
from recension.models.rows import Rows, cut_to_mass, widen
from recension.ports import Ask

if TYPE_CHECKING:
    import torch

# Rows times vocabulary of one chunk. On a CPU a chunk should stay in the shared cache between its steps.
CPU_CHUNK = 6 << 20
CUDA_CHUNK = 64 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The last layer, with its weight plain or `laid` out for oneDNN.

    Without either the rows already are logits (models whose head is not a plain one).
    """

    weight: torch.Tensor | None
    bias: torch.Tensor | None
    scale: float
    softcap: float
    vocabulary: int
    laid: Any = None

    def through_onednn(self) -> Head:
        """The same head, faster on a CPU; itself where that cannot be."""
        laid = None if self.weight is None else onednn.lay_out(self.weight)
        return self if laid is None else replace(self, laid=laid, weight=None)

    def logits(self, rows: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """The logits of some rows: in `out`, in a table of their own, or the rows themselves."""
        import torch

        if self.laid is not None:
            found = onednn.linear(rows, self.laid, self.bias)
        elif self.weight is None:
            return rows
        else:
            found = torch.mm(rows, self.weight.t(), out=out)
            if self.bias is not None:
                found += self.bias
        if self.scale != 1.0:
            found *= self.scale
        if self.softcap:
            found = found.div_(self.softcap).tanh_().mul_(self.softcap)
        return found


class Scorer:
    """Scores hidden rows in chunks, so small that a chunk stays in the cache from its product to its sums.

    `banned` ids (special ones, and those that the tokenizer does not know) are never rivals; they keep their share of
    the probability.
    """

    def __init__(self, head: Head, banned: torch.Tensor) -> None:
        self.head = head
        self.banned = banned
        self._table: torch.Tensor | None = None

    def score(self, hidden: torch.Tensor, targets: torch.Tensor, allowed: torch.Tensor, ask: Ask) -> Rows:
        """Score `targets[i]` as the continuation of `hidden[i]`, and fetch rivals where `allowed` and asked for."""
        import torch

        count = targets.shape[0]
        room = (CUDA_CHUNK if hidden.device.type == "cuda" else CPU_CHUNK) // self.head.vocabulary
        step = 1 << max(room.bit_length() - 1, 4)
        logprobs = torch.empty(count, dtype=torch.float32, device=hidden.device)
        flagged, rivals, rival_logprobs = [], [], []
        for start in range(0, count, step):
            stop = min(start + step, count)
            table = self._log_softmax(hidden[start:stop], step)
            scores = table.gather(1, targets[start:stop, None])[:, 0].clamp_(max=0.0)
            logprobs[start:stop] = scores
            asked = (_asked(scores, ask) & allowed[start:stop]).nonzero()[:, 0]
            if asked.numel() == 0:
                continue
            best, ids = _rivals(table.index_select(0, asked).index_fill_(1, self.banned, float("-inf")), ask)
            flagged.append((asked + start).cpu().numpy())
            rivals.append(ids)
            rival_logprobs.append(best)
        width = max((r.shape[1] for r in rivals), default=min(ask.k, self.head.vocabulary))
        return Rows(
            logprobs.cpu().numpy(),
            np.concatenate([np.zeros(0, dtype=np.int64), *flagged]),
            np.concatenate([np.zeros((0, width), dtype=np.int32), *(widen(r, width, -1) for r in rivals)]),
            np.concatenate(
                [np.zeros((0, width), dtype=np.float32), *(widen(r, width, -np.inf) for r in rival_logprobs)]
            ),
        )

    def _log_softmax(self, rows: torch.Tensor, step: int) -> torch.Tensor:
        import torch

        if self._table is None and self.head.weight is not None:
            # Kept, so that no chunk asks the system for fresh pages.
            self._table = torch.empty((step, self.head.vocabulary), dtype=rows.dtype, device=rows.device)
        logits = self.head.logits(rows, None if self._table is None else self._table[: rows.shape[0]])
        if logits.device.type != "cpu" or logits.dtype != torch.float32 or logits is rows:
            return torch.log_softmax(logits, 1, dtype=torch.float32)
        # In place: the CPU kernel reads a row to its end before it writes it.
        torch.ops.aten._log_softmax.out(logits, 1, False, out=logits)
        return logits


def _asked(logprobs: torch.Tensor, ask: Ask) -> torch.Tensor:
    import torch

    chances = logprobs.double().exp_()
    asked = torch.zeros_like(logprobs, dtype=torch.bool)
    if ask.above is not None:
        asked |= chances >= ask.above
    if ask.below is not None:
        asked |= chances <= ask.below
    return asked


def _rivals(table: torch.Tensor, ask: Ask) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The k best of each row; more, up to the cap, in rows where the k best hold less than the mass asked for."""
    import torch

    size = table.shape[1]
    best, ids = _best(table, min(ask.k, size))
    if ask.mass is None or ask.cap <= ask.k:
        return best, ids
    short = np.flatnonzero(np.exp(best.astype(np.float64)).sum(axis=1) < ask.mass)
    if short.size == 0:
        return best, ids
    rows = torch.as_tensor(short, device=table.device)
    more, more_ids = _best(table.index_select(0, rows), min(ask.cap, size))
    width = cut_to_mass(more, more_ids, ask.k, ask.mass)
    best, ids = widen(best, width, -np.inf), widen(ids, width, -1)
    best[short], ids[short] = more[:, :width], more_ids[:, :width]
    return best, ids


def _best(table: torch.Tensor, k: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    import torch

    found = torch.topk(table, k, dim=1)
    best = found.values.cpu().numpy()
    ids = found.indices.to(torch.int32).cpu().numpy()
    ids[np.isneginf(best)] = -1
    return best, ids
