"""The part of a model below its head, run over several sequences at once without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from recension.models.packed_attention import packed

if TYPE_CHECKING:
    import torch

Layout = Literal["packed", "equal-lengths"]


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """`network` maps ids to rows. `packed` lays sequences end to end in one row; models whose attention cannot do
    that read batches of sequences of one length. Where `whole`, the rows are logits.
    """

    network: Any
    layout: Layout
    whole: bool
    device: torch.device

    def rows(self, sequences: Sequence[NDArray[np.int32]]) -> torch.Tensor:
        """The rows of all sequences, end to end, in the order given."""
        import torch

        if self.layout == "packed":
            lengths = [len(s) for s in sequences]
            ids = torch.as_tensor(np.concatenate(sequences).astype(np.int64), device=self.device)
            places = torch.as_tensor(np.concatenate([np.arange(n) for n in lengths]), device=self.device)
            with packed(lengths, self.device):
                return self.pack(ids, places)
        found: list[torch.Tensor] = [torch.empty(0)] * len(sequences)
        order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
        for _, equal in groupby(order, key=lambda i: len(sequences[i])):
            members = list(equal)
            ids = torch.as_tensor(np.stack([sequences[i] for i in members]).astype(np.int64), device=self.device)
            for i, rows in zip(members, self._run(ids), strict=True):
                found[i] = rows
        return torch.cat(found)

    def pack(self, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """The rows of a pack that is on the device already, within its borders; `packed` layout only."""
        return self._run(ids[None].long(), position_ids=places[None].long())[0]

    def _run(self, ids: torch.Tensor, **more: torch.Tensor) -> torch.Tensor:
        answer = self.network(input_ids=ids, use_cache=False, **more)
        rows: torch.Tensor = answer.logits if self.whole else answer.last_hidden_state
        return rows
