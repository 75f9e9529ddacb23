"""Checkpoints: written beside, forced to the disk, renamed; read back only where every byte is as it was."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

WEIGHTS, MOMENTS, STATE = "model.safetensors", "optimizer.safetensors", "state.json"


class Curve(msgspec.Struct):
    """What a run has measured so far: one entry a step, and one for each look at held-out text."""

    loss: list[float] = []
    rate: list[float] = []
    norm: list[float] = []
    tokens: list[int] = []
    valid: list[tuple[int, float, float]] = []  # step, nats per token, bits per byte


class State(msgspec.Struct, frozen=True):
    """`step` steps are done. The hashes are of the other files."""

    step: int
    key: str
    curve: Curve
    sha256: dict[str, str]


@dataclass(frozen=True, slots=True)
class Loaded:
    state: State
    weights: Mapping[str, Any]
    moments: Mapping[str, Any]
    folder: Path


def write(place: Path, scratch: Path, state: State, tensors: Mapping[str, Any], extras: Callable[[Path], None]) -> Path:
    """One checkpoint; `tensors` are the contents of its safetensors files, `extras` writes what goes beside them."""
    from safetensors.torch import save_file

    made = scratch / f"checkpoint-{os.getpid()}"
    for folder in found(place):
        if int(folder.name) > state.step:
            _remove(folder)  # passed over as damaged: it must not stand for the newest again
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    extras(made)
    with file_errors():
        for name, content in tensors.items():
            save_file(dict(content), made / name, metadata={"format": "pt"})
    sums = {name: _sha256(made / name) for name in sorted(tensors)}
    state = State(state.step, state.key, state.curve, sums)
    (made / STATE).write_bytes(msgspec.json.encode(state))
    for path in made.iterdir():
        _sync(path)
    _sync(made)
    target = place / f"{state.step:08d}"
    shutil.rmtree(target, ignore_errors=True)
    place.mkdir(exist_ok=True)
    made.replace(target)
    _sync(place)
    return target


def found(place: Path) -> list[Path]:
    """The checkpoints of a run, the oldest first."""
    return sorted(p.parent for p in place.glob(f"[0-9]*/{STATE}"))


def kept(place: Path, count: int) -> list[Path]:
    """The newest ones."""
    return found(place)[-count:] if count else []


def keep(place: Path, folders: Sequence[Path]) -> None:
    """Remove all others, and what a kill left of some."""
    for folder in place.glob("[0-9]*"):
        if folder not in folders:
            _remove(folder)
    with suppress(OSError):
        place.rmdir()  # where nothing is left in it


def _remove(folder: Path) -> None:
    (folder / STATE).unlink(missing_ok=True)  # first what makes it one: half of a checkpoint is none
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def file_errors() -> Iterator[None]:
    """What safetensors says of a file system, as the system says it."""
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise OSError(str(error)) from error


def latest(place: Path, key: str, names: Sequence[str], told: Callable[[str], None]) -> Loaded | None:
    """The newest checkpoint of this run that is whole."""
    from safetensors.torch import load_file

    for folder in reversed(found(place)):
        try:
            state = msgspec.json.decode((folder / STATE).read_bytes(), type=State)
        except (OSError, msgspec.DecodeError):
            told(f"{folder} is damaged and is passed over")
            continue
        if state.key != key:
            continue
        lengths = {len(part) for part in (state.curve.loss, state.curve.rate, state.curve.norm, state.curve.tokens)}
        if lengths != {state.step}:
            told(f"{folder} is damaged and is passed over")
            continue
        if any(not (folder / n).is_file() or _sha256(folder / n) != state.sha256.get(n) for n in names):
            told(f"{folder} is damaged and is passed over")
            continue
        weights, moments = (load_file(folder / name) for name in names)
        return Loaded(state, weights, moments, folder)
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
