"""An n-gram model on disk: plain arrays, the tokenizer, and a card that holds the hash of each."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from recension.document import JSON
from recension.errors import ModelError, OutputError
from recension.identity import canonical_json, sha256
from recension.models.ngram_tables import Level, Tables
from recension.models.ngram_tokens import open_tokenizer

FORMAT = "recension-ngram"
VERSION = 1
SPOOL = "ngram-spool"

_CARD = "ngram.json"
_TOKENIZER = "tokenizer.json"
_PART = _CARD + ".part"
_ARRAYS = ("words", "p", "ranked", "first", "gamma")
_OURS = re.compile(rf"{SPOOL}|{re.escape(_TOKENIZER)}|{re.escape(_PART)}|({'|'.join(_ARRAYS)})_\d+\.npy")
_HASHED = 8 << 20


class Stored(NamedTuple):
    tables: Tables
    tokenizer: Any
    sha256: str


class _Entry(msgspec.Struct, frozen=True):
    bytes: int
    sha256: str


class _Card(msgspec.Struct, frozen=True):
    format: str
    version: int
    order: int
    vocabulary: int
    files: dict[str, _Entry]


def claim(folder: Path) -> None:
    """An empty folder to write to; what an unfinished fit left in it is cleared away."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        left = sorted(folder.iterdir())
        if any(not _OURS.fullmatch(path.name) for path in left):
            raise OutputError(f"{folder} is not empty: give a new folder for the model, or remove it first")
        for path in left:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        (folder / SPOOL).mkdir()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What the disk refuses inside is an `OutputError` that names the folder."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise OutputError(f"cannot write the model to {folder}: {why}; make room or give another folder") from error


def write(tables: Tables, tokenizer: Any, about: dict[str, JSON], folder: Path) -> str:
    """Write everything, the card last, so that an unfinished folder is never taken for a model. Returns its sha256."""
    (folder / _TOKENIZER).write_text(tokenizer.to_str(), "utf-8")
    names = [_TOKENIZER]
    for n, level in enumerate(tables.levels, 1):
        for field in _fields(n, tables.order):
            name = f"{field}_{n}.npy"
            np.save(folder / name, getattr(level, field), allow_pickle=False)
            names.append(name)
    files: dict[str, JSON] = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": _digest(folder / name)} for name in names
    }
    card: dict[str, JSON] = {
        **about,
        "format": FORMAT,
        "version": VERSION,
        "order": tables.order,
        "vocabulary": tables.vocabulary,
        "files": files,
    }
    raw = canonical_json(card)
    shutil.rmtree(folder / SPOOL)
    (folder / _PART).write_bytes(raw)
    (folder / _PART).rename(folder / _CARD)
    return sha256(raw)


def read(folder: Path, verify: bool) -> Stored:
    """Open what `write` wrote; large arrays stay on disk until they are needed.

    Sizes are always checked, hashes for files below 8 MB, or for every file with `verify`.
    """
    card, digest = _read_card(folder)
    for name, entry in sorted(card.files.items()):
        _check(folder / name, entry, verify)
    tables = Tables(card.vocabulary, tuple(_level(folder, n, card.order) for n in range(1, card.order + 1)))
    return Stored(tables, open_tokenizer(folder / _TOKENIZER), digest)


def _fields(n: int, order: int) -> list[str]:
    """The arrays that order `n` has: the first has no words of its own, the last has no children."""
    left_out = {"words"} if n == 1 else {"first", "gamma"} if n == order else set()
    return [field for field in _ARRAYS if field not in left_out]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_card(folder: Path) -> tuple[_Card, str]:
    try:
        raw = (folder / _CARD).read_bytes()
    except OSError as error:
        raise ModelError(
            f"no n-gram model in {folder} ({_CARD}: {error.strerror}): fit one with `recension train ngram CORPUS -o "
            f"{folder}`"
        ) from None
    try:
        card = msgspec.json.decode(raw, type=_Card)
    except msgspec.DecodeError as error:
        raise _broken(folder / _CARD, f"it is not a card of ours ({error})") from None
    if card.format != FORMAT or card.version != VERSION:
        raise ModelError(
            f"{folder} holds {card.format} version {card.version}, and this version of Recension reads {FORMAT} "
            f"version {VERSION}: fit the model again"
        )
    needed = {_TOKENIZER, *(f"{f}_{n}.npy" for n in range(1, card.order + 1) for f in _fields(n, card.order))}
    if card.order < 2 or set(card.files) != needed:
        raise _broken(folder / _CARD, "it does not list the files of a model")
    return card, sha256(raw)


def _check(path: Path, entry: _Entry, verify: bool) -> None:
    try:
        size = path.stat().st_size
        if size != entry.bytes:
            raise _broken(path, f"it has {size:,} bytes instead of {entry.bytes:,}")
        if (verify or size < _HASHED) and _digest(path) != entry.sha256:
            raise _broken(path, "its sha256 is not the one that ngram.json names")
    except OSError as error:
        raise _broken(path, error.strerror or "it cannot be read") from None


def _broken(path: Path, why: str) -> ModelError:
    return ModelError(f"the n-gram model is damaged at {path}: {why}; fit it again or copy it again")


def _level(folder: Path, n: int, order: int) -> Level:
    fields = _fields(n, order)
    arrays = {field: _array(folder / f"{field}_{n}.npy") for field in fields}
    empty = np.empty(0, dtype=np.uint32)
    return Level(**{field: arrays.get(field, empty) for field in _ARRAYS})


def _array(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise _broken(path, str(error)) from None
