"""Whether a faster way through a model gives what the model gives: shown on a few short sequences, when it is loaded.

In float32 two right ways agree in many digits, so a fixed tolerance tells. In narrow formats they do not: every layer
rounds, and how far two right ways end up from each other depends on depth, width and weights. So there both are held
against the same weights in float32, and a way passes if it is hardly further from the truth than the model itself is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recension.models.bodies import Body

if TYPE_CHECKING:
    import torch

Sequences = Sequence[NDArray[np.int32]]
EXACT = (5e-4, 8e-3)  # float32: mean and largest difference, in nats
AS_FAR, ROOM = 1.5, 0.005  # narrow formats: times the model's own mean error, and a little
ROW_AS_FAR = 3.0  # of one row, which is a mean over fewer numbers
UNPROVEN = (0.05, 0.6)  # where the model cannot be run in float32


class Probes:
    """What the `whole` model says of the probes, and how far from it a part may be.

    `errors` holds the mean distance from the truth of each way that was held against it, by its name.
    """

    def __init__(self, model: Any, whole: Body) -> None:
        import torch

        self.sequences = sequences(int(model.config.get_text_config().vocab_size))
        self.said = table(whole.rows(self.sequences))
        self.errors: dict[str, float] = {}
        self._exact = next(model.parameters()).dtype == torch.float32
        self._truth: torch.Tensor | None = self.said
        self._own: torch.Tensor | None = None
        if not self._exact and bool(torch.isfinite(self.said).all()):
            self._truth = _in_float32(model, whole, self.sequences)
            if self._truth is not None:
                self._own = _by_row(self.said, self._truth)
                self.errors["model"] = float(self._own.mean())

    def pass_rows(self, name: str, rows: torch.Tensor) -> bool:
        """Whether these logits of the probes are as good as the model's."""
        found = table(rows)
        truth = self.said if self._truth is None else self._truth
        errors = _by_row(found, truth)
        mean = float(errors.mean())
        self.errors[name] = mean
        if self._own is None:
            limits = EXACT if self._exact else UNPROVEN
            return mean <= limits[0] and float((found - truth).abs().max()) <= limits[1]
        own = float(self._own.mean())
        # A fault may be in a few rows only: those at the border of two sequences, say.
        worst = errors - ROW_AS_FAR * self._own.clamp(min=own)
        return mean <= AS_FAR * own + ROOM and bool(worst.max() <= ROW_AS_FAR * ROOM)


def table(rows: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.log_softmax(rows.float(), dim=-1)


def sequences(vocabulary: int) -> list[NDArray[np.int32]]:
    """A few sequences of different lengths whose tokens are spread over the vocabulary."""
    spread = (np.arange(1, 64, dtype=np.int64) * 7919) % vocabulary
    return [spread[a:b].astype(np.int32) for a, b in ((0, 17), (17, 22), (22, 45), (45, 57))]


def _by_row(found: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return (found - truth).abs().mean(dim=1)


def _in_float32(model: Any, whole: Body, probes: Sequences) -> torch.Tensor | None:
    """The model's answer computed in float32 from its weights; None where it insists on its own format."""
    import torch

    with _widened(model):
        try:
            rows = whole.rows(probes)
        except (RuntimeError, TypeError, ValueError):
            return None
    truth = table(rows)
    return truth if rows.dtype == torch.float32 and bool(torch.isfinite(truth).all()) else None


@contextmanager
def _widened(model: Any) -> Iterator[None]:
    """Within, every layer computes in float32, its weights widened while it runs: the whole never lies there twice."""
    held: dict[int, list[tuple[Any, Any]]] = {}

    def widen(module: Any, _: Any) -> None:
        own = [p for p in module.parameters(recurse=False) if p.is_floating_point()]
        held[id(module)] = [(p, p.data) for p in own]
        for parameter in own:
            parameter.data = parameter.data.float()

    def narrow(module: Any, _: Any, __: Any) -> None:
        for parameter, data in held.pop(id(module), ()):
            parameter.data = data

    owners = [m for m in model.modules() if next(m.parameters(recurse=False), None) is not None]
    hooks = [m.register_forward_pre_hook(widen) for m in owners]
    hooks += [m.register_forward_hook(narrow, always_call=True) for m in owners]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for pairs in held.values():
            for parameter, data in pairs:
                parameter.data = data
