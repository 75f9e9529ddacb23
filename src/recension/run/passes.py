"""Passes: pieces to mergeable partial states, each receipted; one bounded merge to an artefact with a hash.

What has to look at the whole corpus before anything is written (a sample, a fit, a choice) is a pass, never a corpus in
memory. A killed pass goes on where it was; a finished one is read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from recension.identity import fingerprint, sha256
from recension.ports import Engine
from recension.run import folder
from recension.run.manifest import Run


class Work(Protocol):
    """Something with a number: a piece of a corpus."""

    @property
    def index(self) -> int: ...


class PassReceipt(msgspec.Struct, frozen=True):
    """Stands beside each state (`00000.state`) and beside the artefact (`result`)."""

    key: str
    sha256: str
    states: int = 1


@dataclass(frozen=True, slots=True)
class Pass:
    """`task` makes the state of one piece, `merge` joins two states; both see bytes and nothing else of the run.

    `settings` is whatever can change the result beside the manifest.
    """

    name: str
    settings: Any
    task: Callable[[Any], bytes]
    merge: Callable[[bytes, bytes], bytes]

    def key(self, run_key: str) -> str:
        return fingerprint([run_key, self.name, self.settings])


@dataclass(frozen=True, slots=True)
class _State:
    """Runs in the worker: computes a state and puts it on disk, so that states never travel."""

    out: Path
    holder: str
    place: Path
    key: str
    task: Callable[[Any], bytes]

    def __call__(self, piece: Work) -> int:
        with folder.worker(self.out, self.holder):
            _store(self.place / f"{piece.index:05d}.state", self.task(piece), self.key)
        return piece.index


class Pieces(Protocol):
    """Draws the pieces; those for which `skip` holds come without their content."""

    def __call__(self, skip: Callable[[int], bool]) -> Iterable[Any]: ...


def run_pass(
    run: Run, work: Pass, engine: Engine, pieces: Pieces, told: Callable[[int], None] = lambda _: None
) -> bytes:
    """The artefact of a pass, computed or read back. `told` hears the index of each finished piece."""
    place = run.out / "passes" / work.name
    key = work.key(run.manifest.key)
    finished = _load(place / "result", key)
    if finished is not None:
        _clear_states(place)  # a kill may have come between the artefact and this
        return finished
    total = 0

    def missing() -> Iterable[Any]:
        nonlocal total
        for piece in pieces(lambda index: _load(place / f"{index:05d}.state", key) is not None):
            total += 1
            if not piece.skipped:
                yield piece

    for index in engine.map(_State(run.out, run.holder, place, key, work.task), missing()):
        told(index)
    artefact: bytes | None = None
    for index in range(total):
        state = _load(place / f"{index:05d}.state", key)
        assert state is not None  # it was there or has just been made, and the folder is locked
        artefact = state if artefact is None else work.merge(artefact, state)
    result = artefact if artefact is not None else b""
    _store(place / "result", result, key, states=total)
    _clear_states(place)
    return result


def _clear_states(place: Path) -> None:
    """States have served once the artefact is there. Receipts go first: a receipt without its state would be a loss."""
    for pattern in ("*.state.json", "*.state"):
        for path in place.glob(pattern):
            path.unlink()


def _receipt(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _store(path: Path, content: bytes, key: str, states: int = 1) -> None:
    folder.write_atomic(path, content)
    folder.write_atomic(_receipt(path), msgspec.json.encode(PassReceipt(key, sha256(content), states)))


def _load(path: Path, key: str) -> bytes | None:
    try:
        receipt = msgspec.json.decode(_receipt(path).read_bytes(), type=PassReceipt)
        content = path.read_bytes()
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return content if receipt.key == key and receipt.sha256 == sha256(content) else None
