"""The byte-level tokenizer of an n-gram model: fitted or given, and applied to texts of any length."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from recension.errors import ModelError
from recension.models.surfaces import Encoded, Surfaces, encode

_BATCH = 1 << 21
_PIECE = 1 << 18
_ENDLESS = re.compile(r"(\S{256})")
_SEAM = re.compile(r"(?<=[a-z])(?= [a-z])")


def fit_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """A byte-level BPE vocabulary of at most that many tokens; it has no special ones and can write every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # An unbroken run of a million letters would cost the trainer hours and teach it nothing.
    tokenizer.train_from_iterator((_ENDLESS.sub(r"\1\n", text) for text in texts), trainer)
    return _plain(tokenizer)


def open_tokenizer(path: Path) -> Any:
    try:
        raw = path.read_text("utf-8")
        layout = json.loads(raw)
    except OSError as error:
        raise ModelError(f"cannot read the tokenizer {path}: {error.strerror}") from None
    except ValueError:
        raise ModelError(f"{path} is not JSON: give the path of a tokenizer.json") from None
    model = layout.get("model") if isinstance(layout, dict) else None
    if not isinstance(model, dict) or "vocab" not in model:
        raise ModelError(f"{path} holds no tokenizer: give the path of a tokenizer.json")
    return _plain(Tokenizer.from_str(raw))


def _plain(tokenizer: Any) -> Any:
    """The tokenizer as one that reads all of a text, and reads `</s>` and its like as the characters they are."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts in groups of about 2 million characters, so that only so many are held at once."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def tokenise(tokenizer: Any, surfaces: Surfaces, texts: Sequence[str]) -> Iterator[Encoded]:
    """Tokens and their places, special tokens left out. Very long texts go in pieces, which changes no token."""
    divisible = any(len(text) > 2 * _PIECE for text in texts) and _divisible(tokenizer)
    borders = [_seams(text) if divisible else [0, len(text)] for text in texts]
    special = np.zeros(len(surfaces.characters), dtype=bool)
    special[list(surfaces.special)] = True
    whole = iter(encode(tokenizer, [t for t, b in zip(texts, borders, strict=True) if len(b) == 2], surfaces))
    for text, border in zip(texts, borders, strict=True):
        if len(border) == 2:
            found = next(whole)
        else:
            found = _joined((a, encode(tokenizer, [text[a:b]], surfaces)[0]) for a, b in pairwise(border))
        out = special[found.ids]
        yield Encoded(found.ids[~out], found.spans[~out]) if out.any() else found


def _joined(pieces: Iterable[tuple[int, Encoded]]) -> Encoded:
    ids = []
    spans = []
    for start, piece in pieces:
        ids.append(piece.ids)
        spans.append(np.where(piece.spans >= 0, piece.spans + start, -1).astype(np.int32))
    return Encoded(np.concatenate(ids), np.concatenate(spans))


def _divisible(tokenizer: Any) -> bool:
    """Whether no token of this tokenizer can hold both a letter and the space behind it."""
    layout = json.loads(tokenizer.to_str())
    before = layout["pre_tokenizer"] or {}
    return bool(
        layout["normalizer"] is None
        and all(token["special"] for token in layout["added_tokens"])
        and before.get("type") == "ByteLevel"
        and before["use_regex"]
        and not before["add_prefix_space"]
    )


def _seams(text: str) -> list[int]:
    found = [0]
    while len(text) - found[-1] > 2 * _PIECE and (seam := _SEAM.search(text, found[-1] + _PIECE)):
        found.append(seam.start())
    return [*found, len(text)]
