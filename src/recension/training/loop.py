"""The loop: batches in, weights changed, figures and checkpoints out."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from recension.errors import DivergedError
from recension.training.batches import Arrays, Feed
from recension.training.checkpoints import Curve
from recension.training.devices import Devices
from recension.training.network import Batch
from recension.training.schedule import Schedule

SMOOTH = 0.98


@dataclass(frozen=True, slots=True)
class Pace:
    """When to do what. None of it changes a weight, so a stopped run goes on under another pace."""

    checkpoint_minutes: float = 10.0
    checkpoint_steps: int | None = None
    stop_after: int | None = None  # steps of this call


@dataclass(frozen=True, slots=True)
class Course:
    """What every step does. All of it can change the weights."""

    schedule: Schedule
    clip: float
    dtype: Any
    diverge: float
    valid_every: int


@dataclass(frozen=True, slots=True)
class Parts:
    """What the loop turns: a learner spread over its devices, its optimiser, its data."""

    learner: Any
    optimiser: Any
    feed: Feed
    devices: Devices
    forward: Any = None  # the learner or its compiled form


class Host(Protocol):
    """Whoever runs the loop: is told, saves, and measures held-out text."""

    def stepped(self, step: int, curve: Curve, seconds: float) -> None: ...

    def save(self, step: int, curve: Curve) -> None: ...

    def measure(self, evaluate: Callable[[Arrays], tuple[float, int]]) -> tuple[float, float] | None: ...


@dataclass
class _Watch:
    """Smoothed loss, to tell a run that goes wrong from one that is noisy."""

    margin: float
    smooth: float = 0.0
    seen: int = 0
    best: float = math.inf
    _trail: list[float] = field(default_factory=list)

    def check(self, step: int, loss: float, norm: float) -> None:
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise DivergedError(step, "the loss or its gradient is not a number")
        self.smooth = SMOOTH * self.smooth + (1 - SMOOTH) * loss
        self.seen += 1
        level = self.smooth / (1 - SMOOTH**self.seen)
        if self.seen >= 20:
            self.best = min(self.best, level)
            if self.margin and level > self.best + self.margin:
                raise DivergedError(step, f"the loss has risen from {self.best:.3f} to {level:.3f}")


def run(parts: Parts, course: Course, pace: Pace, curve: Curve, host: Host) -> bool:
    """Go on from the step that the curve has reached. True when all steps are done."""
    step, total = len(curve.loss), course.schedule.steps
    watch = _Watch(course.diverge)
    for number, (loss, norm) in enumerate(zip(curve.loss, curve.norm, strict=True)):
        watch.check(number, loss, norm)
    saved, begun, last = time.monotonic(), step, step
    with _held() as stop:
        while step < total:
            began = time.monotonic()
            loss, norm = _step(parts, course, step)
            watch.check(step, loss, norm)
            _apply(parts, course, step)
            tokens = parts.feed.read(step)
            curve.loss.append(loss)
            curve.norm.append(norm)
            curve.rate.append(course.schedule.rate(step))
            curve.tokens.append(tokens)
            step += 1
            seconds = max(time.monotonic() - began, 1e-9)
            if course.valid_every and (step % course.valid_every == 0 or step == total):
                valid = host.measure(lambda arrays: evaluate(parts, course, arrays))
                if valid is not None:
                    curve.valid.append((step, *valid))
            host.stepped(step, curve, seconds)
            ending = stop() or (pace.stop_after is not None and step - begun >= pace.stop_after)
            due = time.monotonic() - saved >= 60 * pace.checkpoint_minutes
            due |= bool(pace.checkpoint_steps) and step % (pace.checkpoint_steps or 1) == 0
            # One clock decides for all devices: all of them must take part in saving.
            ending, due = parts.devices.shared((ending, due))
            if (due or ending or step == total) and step > last:
                host.save(step, curve)
                saved, last = time.monotonic(), step
            if ending and step < total:
                if stop():
                    raise KeyboardInterrupt
                return False
    return True


def _step(parts: Parts, course: Course, step: int) -> tuple[float, float]:
    """Gradients of one batch: the mean loss over its targets, and the norm of the gradient before clipping."""
    import torch

    devices, forward = parts.devices, parts.forward or parts.learner
    scale = 1.0 / max(parts.feed.learnt(step), 1)
    batches = parts.feed.rows(step, devices.rank, devices.ranks)
    total = torch.zeros((), device=devices.device)
    for arrays in batches:
        with _autocast(devices, course.dtype):
            # FSDP takes the mean over devices, and we mean the sum.
            loss = forward(tensors(arrays, devices.device), scale * devices.ranks)
        loss.backward()
        total += loss.detach()
    norm = torch.nn.utils.clip_grad_norm_(parts.learner.parameters(), course.clip or math.inf)
    norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return float(devices.added(total)) / devices.ranks, float(norm)


def _apply(parts: Parts, course: Course, step: int) -> None:
    for group in parts.optimiser.param_groups:
        group["lr"] = course.schedule.rate(step)
    parts.optimiser.step()
    parts.optimiser.zero_grad(set_to_none=True)


def evaluate(parts: Parts, course: Course, arrays: Arrays) -> tuple[float, int]:
    """The summed loss of rows without learning from them, and the number of their targets."""
    import torch

    with torch.no_grad(), _autocast(parts.devices, course.dtype):
        loss = (parts.forward or parts.learner)(tensors(arrays, parts.devices.device), 1.0)
    return float(loss), int((arrays.targets >= 0).sum())


def tensors(arrays: Arrays, device: Any) -> Batch:
    import torch

    parts = [None if part is None else torch.from_numpy(part) for part in arrays]
    if device.type == "cuda":
        parts = [None if p is None else p.pin_memory().to(device, non_blocking=True) for p in parts]
    return Batch(*parts)


def _autocast(devices: Devices, dtype: Any) -> AbstractContextManager[Any]:
    import torch

    return torch.autocast(devices.device.type, dtype=dtype, enabled=dtype != torch.float32)


@contextmanager
def _held() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM wait for the end of the step, so that it can be saved; a second one does not wait."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def hold(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, hold) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
