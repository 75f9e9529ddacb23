"""Packs on their way through a GPU: while it computes one, the host prepares the next and reads the last.

A pack takes three steps. Launched, it goes to the GPU with one copy and asks for the log-probability of each token. When
these are back, the host sees which positions are flagged and asks for their rivals. When those are back, the scores are
complete. Every step is taken while a later pack computes, so the GPU never waits for the host, and no step in the loops
over layers and chunks waits for the GPU. Several threads may send packs: they share one order of kernels.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.models.bodies import Body
from recension.models.cuda_head import TwoPhaseHead
from recension.models.dense import DenseNetwork
from recension.models.packed_attention import within
from recension.models.rows import Rows, cut_to_mass, flags
from recension.ports import Ask

if TYPE_CHECKING:
    import torch


class Pack(NamedTuple):
    """Sequences read together. `places` are the rows (end to end) whose successor `targets` is scored; where not
    `allowed`, no rivals are fetched."""

    sequences: list[NDArray[np.int32]]
    places: NDArray[np.int64]
    targets: NDArray[np.int32]
    allowed: NDArray[np.bool_]


@dataclass(slots=True, eq=False)
class _Launched:
    pack: Pack
    rows: torch.Tensor
    totals: torch.Tensor
    logprobs: _Coming


@dataclass(slots=True, eq=False)
class _Asked:
    logprobs: NDArray[np.float32]
    flagged: NDArray[np.int64]
    best: _Coming | None
    ids: _Coming | None


class Lane:
    """One GPU's order of packs. Also runs without one, step by step, which the tests use."""

    def __init__(self, body: Body, head: TwoPhaseHead) -> None:
        self._body = body
        self._head = head
        self._turn = threading.Lock()

    @property
    def kernels(self) -> str:
        """Whose kernels run: for the key, because it changes the last digits."""
        return f"{'own' if isinstance(self._body.network, DenseNetwork) else 'native'}, {self._head.way} head"

    def score(self, packs: Iterable[Pack], ask: Ask) -> Iterator[Rows]:
        """The scores of each pack, in order."""
        launched: _Launched | None = None
        asked: _Asked | None = None
        for pack in packs:
            following = self._launch(pack)
            ready, asked = asked, None if launched is None else self._ask(launched, ask)
            launched = following
            if ready is not None:
                yield _read(ready, ask, self._head.head.vocabulary)
        if asked is not None:
            yield _read(asked, ask, self._head.head.vocabulary)
        if launched is not None:
            yield _read(self._ask(launched, ask), ask, self._head.head.vocabulary)

    def _launch(self, pack: Pack) -> _Launched:
        import torch

        lengths = [len(s) for s in pack.sequences]
        borders = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        steps = np.arange(borders[-1]) - np.repeat(borders[:-1], lengths)
        parts = [np.concatenate(pack.sequences), steps, pack.places, pack.targets, borders]
        with self._turn, torch.inference_mode():
            ids, steps_there, places, targets, cut = _send(parts, self._body.device)
            with within([int(b) for b in borders], cut):
                hidden = self._body.pack(ids, steps_there)
            rows = hidden.index_select(0, places)
            del hidden
            sums = self._head.sums(rows, targets)
            return _Launched(pack, rows, sums.totals, _Coming(sums.logprobs))

    def _ask(self, launched: _Launched, ask: Ask) -> _Asked:
        import torch

        logprobs = launched.logprobs.read()
        flagged = np.flatnonzero(flags(logprobs, ask) & launched.pack.allowed)
        if not len(flagged):
            return _Asked(logprobs, flagged, None, None)
        with self._turn, torch.inference_mode():
            [at] = _send([flagged], self._body.device)
            rows, totals = launched.rows.index_select(0, at), launched.totals.index_select(0, at)
            best, ids = self._head.rivals(rows, totals, _width(ask, self._head.head.vocabulary))
            return _Asked(logprobs, flagged, _Coming(best), _Coming(ids))


def _width(ask: Ask, vocabulary: int) -> int:
    return min(ask.k if ask.mass is None else max(ask.k, ask.cap), vocabulary)


def _read(asked: _Asked, ask: Ask, vocabulary: int) -> Rows:
    if asked.best is None or asked.ids is None:
        width = min(ask.k, vocabulary)
        none = np.zeros((0, width), dtype=np.int32), np.zeros((0, width), dtype=np.float32)
        return Rows(asked.logprobs, asked.flagged, *none)
    best, ids = asked.best.read(), asked.ids.read()
    ids[np.isneginf(best)] = -1
    if best.shape[1] > ask.k and ask.mass is not None:
        width = cut_to_mass(best, ids, ask.k, ask.mass)
        best, ids = best[:, :width], ids[:, :width]
    return Rows(asked.logprobs, asked.flagged, ids, best)


# --- between host and GPU ---------------------------------------------------------------------------------------------


def _send(parts: list[NDArray[Any]], device: torch.device) -> list[torch.Tensor]:
    """Arrays of small whole numbers to the device in one copy, that nobody waits for."""
    import torch

    sizes = [len(part) for part in parts]
    whole = torch.empty(sum(sizes), dtype=torch.int32, pin_memory=device.type == "cuda")
    np.concatenate(parts, out=whole.numpy(), casting="unsafe")
    return list(torch.split(whole.to(device, non_blocking=True), sizes))


class _Coming:
    """A tensor on its way to the host."""

    def __init__(self, there: torch.Tensor) -> None:
        import torch

        self._event: Any = None
        if there.device.type != "cuda":
            self._here = there
            return
        self._here = torch.empty(there.shape, dtype=there.dtype, pin_memory=True)
        self._here.copy_(there, non_blocking=True)
        event: Any = torch.cuda.Event
        self._event = event(blocking=True)
        self._event.record()

    def read(self) -> NDArray[Any]:
        """Wait for it; other threads go on meanwhile."""
        if self._event is not None:
            self._event.synchronize()
        return self._here.numpy().copy()
