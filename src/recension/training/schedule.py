"""The learning rate of every step: warm-up, and a decay that is always finished."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["wsd", "cosine", "linear", "constant"]
KINDS: tuple[Kind, ...] = ("wsd", "cosine", "linear", "constant")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Over `steps` steps: linear warm-up to `peak`, then by kind down to `peak * floor`.

    The step behind the last would have that rate: no step is wasted on a rate of 0, and a run of one step learns.
    wsd: constant, then linear over the last `decay` share of all steps. cosine, linear: down from the warm-up on.
    """

    kind: Kind
    steps: int
    peak: float
    warmup: int
    decay: float = 0.2
    floor: float = 0.0

    def rate(self, step: int) -> float:
        """The rate of step 0, 1, ..., steps - 1."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        if self.kind == "constant":
            return self.peak
        begin = self.warmup
        if self.kind == "wsd":
            begin = max(self.warmup, self.steps - max(1, round(self.decay * self.steps)))
        if step < begin:
            return self.peak
        done = (step - begin + 1) / (self.steps - begin + 1)
        left = 0.5 * (1 + math.cos(math.pi * done)) if self.kind == "cosine" else 1 - done
        return self.peak * (self.floor + (1 - self.floor) * left)
