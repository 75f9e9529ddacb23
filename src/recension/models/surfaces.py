"""From the tokens of a fast tokenizer to the characters they stand for, and to exact places in a text.

A token may be edited only where its characters are known for certain. Two families of tokenizers say enough for that:
byte-level BPE (GPT-2, Llama 3, Qwen, Pythia) and SentencePiece-style ones with the ▁ mark (Llama 2, Mistral, Gemma).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.errors import ModelError

Scheme = Literal["byte-level", "metaspace"]
MARK = "\u2581"
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_WORKING = "byte-level BPE (GPT-2, Llama 3, Qwen) and SentencePiece-style tokenizers (Llama 2, Mistral, Gemma) work"


@dataclass(frozen=True, eq=False)
class Surfaces:
    """What the ids of a tokenizer stand for.

    `characters` holds None for special tokens, parts of characters and whatever contains NUL. `pieces` holds the bytes
    of each id, parts of characters included (byte-level tokenizers only). `special` holds the ids that are not text.
    """

    scheme: Scheme
    characters: tuple[str | None, ...]
    pieces: tuple[bytes, ...] | None
    special: frozenset[int]

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Which ids stand for characters."""
        return np.array([c is not None for c in self.characters], dtype=bool)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """How many bytes each id stands for."""
        return np.array([len(piece) for piece in self.pieces or ()], dtype=np.int64)

    @cached_property
    def rare(self) -> NDArray[np.int64]:
        """The special ids, in order."""
        return np.array(sorted(self.special), dtype=np.int64)


class Encoded(NamedTuple):
    """A tokenised text: ids and the character span of each, (-1, -1) where the token cannot be placed exactly."""

    ids: NDArray[np.int32]
    spans: NDArray[np.int32]


def surfaces_of(tokenizer: Any, special_ids: Collection[int] = ()) -> Surfaces:
    """Read a `tokenizers.Tokenizer`; `special_ids` are special beside those that its own file calls special."""
    layout = json.loads(tokenizer.to_str())
    scheme = _scheme(layout)
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    added = {int(token["id"]): token for token in layout.get("added_tokens") or ()}
    special = frozenset(special_ids) | {i for i, token in added.items() if token["special"]}
    size = max(vocabulary.values(), default=-1) + 1
    special |= set(range(size)) - set(vocabulary.values())
    characters: list[str | None] = [None] * size
    pieces = [b""] * size
    fallback = bool(layout["model"].get("byte_fallback"))
    byte_of = _byte_alphabet()
    for token, i in vocabulary.items():
        if i in added:
            # Added tokens are kept as they are written, outside the alphabet of the model.
            raw = added[i]["content"].encode("utf-8", "surrogatepass")
        elif scheme == "byte-level":
            raw = bytes(byte_of[c] for c in token) if all(c in byte_of for c in token) else b""
        elif fallback and (match := _BYTE_TOKEN.fullmatch(token)):
            raw = bytes([int(match[1], 16)])
        else:
            raw = token.replace(MARK, " ").encode("utf-8", "surrogatepass")
        pieces[i] = raw
        if i not in special:
            characters[i] = _readable(raw)
    return Surfaces(scheme, tuple(characters), tuple(pieces) if scheme == "byte-level" else None, special)


def as_text(tokenizer: Any) -> Any:
    """A tokenizer set so that it takes a document as what it is: whole, and "</s>" in it as four characters."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def token_spans(
    text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]], surfaces: Surfaces
) -> NDArray[np.int32]:
    """The (T, 2) places where `text[start:end]` is exactly the surface of the token; (-1, -1) elsewhere."""
    if (spans := _spans_by_bytes(text, ids, np.array(ids, dtype=np.int32), surfaces)) is not None:
        return spans
    return _spans_by_offsets(text, ids, offsets, surfaces)


def encode(tokenizer: Any, texts: Sequence[str], surfaces: Surfaces) -> list[Encoded]:
    """Tokenise texts as ordinary text, without special tokens, and place every token."""
    if surfaces.pieces is None:
        return [
            _by_offsets(text, encoding, surfaces)
            for text, encoding in zip(texts, tokenizer.encode_batch(texts, add_special_tokens=False), strict=True)
        ]
    found = []
    for text, encoding in zip(texts, tokenizer.encode_batch_fast(texts, add_special_tokens=False), strict=True):
        ids: list[int] = encoding.ids
        array = np.array(ids, dtype=np.int32)
        spans = _spans_by_bytes(text, ids, array, surfaces)
        if spans is None:
            # The tokenizer changed the text (NFC, say): ask for its offsets.
            found.append(_by_offsets(text, tokenizer.encode(text, add_special_tokens=False), surfaces))
        else:
            found.append(Encoded(array, spans))
    return found


def _by_offsets(text: str, encoding: Any, surfaces: Surfaces) -> Encoded:
    ids: list[int] = encoding.ids
    return Encoded(np.asarray(ids, dtype=np.int32), _spans_by_offsets(text, ids, encoding.offsets, surfaces))


def _readable(raw: bytes) -> str | None:
    if not raw or 0 in raw:
        return None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _scheme(layout: dict[str, Any]) -> Scheme:
    model = layout["model"]
    kind = model.get("type") or ("BPE" if "merges" in model else "unknown")
    if kind in ("BPE", "Unigram") and not (model.get("end_of_word_suffix") or model.get("continuing_subword_prefix")):
        parts = [p for name in ("decoder", "pre_tokenizer", "normalizer") for p in _parts(layout.get(name))]
        if any(p.get("type") == "ByteLevel" for p in parts):
            return "byte-level"
        if any(p.get("type") == "Metaspace" or _replaces_mark(p) for p in parts):
            return "metaspace"
        kind += " without a mark for spaces"
    raise ModelError(f"a {kind} tokenizer does not say exactly which characters its tokens stand for; {_WORKING}")


def _parts(node: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    if node is None:
        return
    yield node
    for name in ("decoders", "pretokenizers", "normalizers"):
        for child in node.get(name) or ():
            yield from _parts(child)


def _replaces_mark(part: dict[str, Any]) -> bool:
    if part.get("type") != "Replace":
        return False
    pair = {part["pattern"].get("String"), part["content"]}
    return pair == {MARK, " "}


def _byte_alphabet() -> dict[str, int]:
    """The printable character that byte-level tokenizers write for each byte (the GPT-2 convention)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {chr(b): b for b in plain}
    rest = [b for b in range(256) if chr(b) not in alphabet]
    alphabet.update({chr(256 + n): b for n, b in enumerate(rest)})
    return alphabet


def _spans_by_bytes(
    text: str, ids: Sequence[int], array: NDArray[np.int32], surfaces: Surfaces
) -> NDArray[np.int32] | None:
    """Spans from the lengths of the tokens' bytes; None where the tokens do not spell the text byte for byte."""
    pieces = surfaces.pieces
    if pieces is None:
        return None
    raw = text.encode("utf-8")
    if b"".join(map(pieces.__getitem__, ids)) != raw:
        return None
    borders = np.zeros(len(array) + 1, dtype=np.int64)
    np.cumsum(surfaces.sizes[array], out=borders[1:])
    sound = surfaces.known[array]
    if len(raw) != len(text):
        opens = np.ones(len(raw) + 1, dtype=bool)
        opens[:-1] = (np.frombuffer(raw, dtype=np.uint8) & 0xC0) != 0x80
        sound &= opens[borders[:-1]] & opens[borders[1:]]
        before = np.zeros(len(raw) + 1, dtype=np.int64)
        np.cumsum(opens[:-1], out=before[1:])
        borders = before[borders]
    spans = np.empty((len(array), 2), dtype=np.int32)
    spans[:, 0], spans[:, 1] = borders[:-1], borders[1:]
    spans[~sound] = -1
    return spans


def _spans_by_offsets(
    text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]], surfaces: Surfaces
) -> NDArray[np.int32]:
    """Spans from the tokenizer's own offsets, each checked against the text; never overlapping."""
    characters = surfaces.characters
    spans = np.full((len(ids), 2), -1, dtype=np.int32)
    places = []
    rows = []
    reached = 0
    for row, (i, (start, end)) in enumerate(zip(ids, offsets, strict=True)):
        surface = characters[i]
        if surface is not None and start >= reached and end > start:
            if text[start:end] == surface:
                places.append((start, end))
                rows.append(row)
                reached = end
                continue
            # Some tokenizers leave the leading space of a token out of its offsets.
            if start > reached and text[start - 1 : end] == surface:
                places.append((start - 1, end))
                rows.append(row)
                reached = end
    if places:
        spans[rows] = places
    return spans
