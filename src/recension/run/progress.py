"""How far a run is: workers leave small files in the scratch folder, whoever draws the progress adds them up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from recension.run import folder

INTERVAL = 0.5


@dataclass(frozen=True, slots=True)
class Progress:
    """Running totals. `fraction` is the share of the input (or of the limit) that is done, where it is known."""

    stage: str
    documents: int = 0
    tokens: int = 0
    dropped: int = 0
    shards: int = 0
    fraction: float | None = None
    resumed: int = 0  # documents that an earlier call had finished
    figures: Mapping[str, float] = field(default_factory=dict)  # what a verb measures as it goes: loss, accuracy


class Observer(Protocol):
    """Told what happens; draws it or does not."""

    def update(self, progress: Progress) -> None: ...

    def note(self, line: str) -> None: ...


class Silent:
    def update(self, progress: Progress) -> None:
        pass

    def note(self, line: str) -> None:
        pass


class _Pulse(msgspec.Struct):
    documents: int = 0
    tokens: int = 0
    dropped: int = 0
    share: float = 0.0


def _pulse_path(out: Path, index: int) -> Path:
    return out / folder.SCRATCH / f"{index:05d}.pulse"


class Pulse:
    """What one shard has done so far. Lossy on purpose: it is a display, the receipt is the truth."""

    def __init__(self, out: Path, index: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = _pulse_path(out, index)
        self._clock = clock
        self._next = clock() + INTERVAL
        self._state = _Pulse()

    def add(self, documents: int, tokens: int, dropped: int = 0, share: float = 0.0) -> None:
        state = self._state
        state.documents += documents
        state.tokens += tokens
        state.dropped += dropped
        state.share += share
        if self._clock() >= self._next:
            self._next = self._clock() + INTERVAL
            beside = self._path.with_suffix(".pulse.new")
            try:
                beside.write_bytes(msgspec.json.encode(state))
                beside.replace(self._path)
            except OSError:
                return  # a full disk shows itself where it matters: in the shard

    def end(self) -> None:
        self._path.unlink(missing_ok=True)


def read_pulses(out: Path) -> dict[int, tuple[int, int, int, float]]:
    """Documents, tokens, dropped and share done for every shard that is under way."""
    found: dict[int, tuple[int, int, int, float]] = {}
    for path in (out / folder.SCRATCH).glob("*.pulse"):
        try:
            state = msgspec.json.decode(path.read_bytes(), type=_Pulse)
        except (OSError, msgspec.DecodeError):
            continue  # being replaced or ended this moment
        found[int(path.stem)] = (state.documents, state.tokens, state.dropped, state.share)
    return found
