"""Embedders by name: the static one that is shipped, and sentence-transformers for those who have it.

The static model (Model2Vec's potion-base-4m in int8, MIT, `static/`) has one vector for each token; a text is the mean of
its tokens, of length 1. It needs numpy and a tokenizer, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recension.document import JSON
from recension.errors import MissingExtraError, ModelError
from recension.identity import sha256
from recension.models import hub
from recension.ports import Embedder

Rows = NDArray[np.float32]
BATCH = 512
TOKENS = 512  # of a text: its beginning, as Model2Vec takes it


def load_embedder(name: str) -> Embedder:
    """`static`, `st:NAME_OR_PATH` or `fake` (for tests)."""
    if name == "static":
        return static_embedder()
    if name == "fake":
        from recension.models.fake import FakeEmbedder

        return FakeEmbedder()
    scheme, _, rest = name.partition(":")
    if scheme == "st" and rest:
        return _sentence_transformers(rest)
    raise ModelError(f"embedder '{name}': write static, or st:NAME for a model of sentence-transformers")


@dataclass(frozen=True, slots=True, eq=False)
class StaticEmbedder:
    """A vector for each token, and their mean for a text. A text without a known token points nowhere in particular."""

    table: Rows
    tokenizer: Any
    digest: str

    @property
    def spec(self) -> Mapping[str, JSON]:
        return {"kind": "static", "name": "potion-base-4m-int8", "sha256": self.digest}

    def embed(self, texts: Sequence[str]) -> Rows:
        found = np.zeros((len(texts), self.table.shape[1]), dtype=np.float32)
        for start in range(0, len(texts), BATCH):
            encoded = self.tokenizer.encode_batch_fast(list(texts[start : start + BATCH]), add_special_tokens=False)
            for row, one in enumerate(encoded, start):
                ids = one.ids[:TOKENS]
                if ids:
                    found[row] = self.table[ids].mean(axis=0)
        found[np.linalg.norm(found, axis=1) == 0] = 1.0
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return found


@lru_cache(maxsize=1)
def static_embedder() -> StaticEmbedder:
    """The model in the package."""
    from tokenizers import Tokenizer

    place = files("recension.models") / "static"
    raw = (place / "model.safetensors").read_bytes()
    tensors = _tensors(raw)
    table = tensors["embeddings"].astype(np.float32)
    layout = (place / "tokenizer.json").read_text("utf-8")
    tokenizer = Tokenizer.from_str(layout)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return StaticEmbedder(table, tokenizer, sha256(raw))


def _tensors(raw: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file of plain types: a header in JSON, then their bytes."""
    kinds = {"I8": np.int8, "F32": np.float32, "F16": np.float16}
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            values = np.frombuffer(raw[8 + size + start : 8 + size + end], dtype=kinds[entry["dtype"]])
            found[name] = values.reshape(entry["shape"])
    return found


class _Encoder(Protocol):
    def encode(self, texts: list[str], **settings: Any) -> Any: ...


@dataclass(frozen=True, slots=True, eq=False)
class SentenceEmbedder:
    """A model of sentence-transformers."""

    model: _Encoder
    name: str
    content: Mapping[str, JSON]  # the hashes of its files, or its revision

    @property
    def spec(self) -> Mapping[str, JSON]:
        return {"kind": "sentence-transformers", "name": self.name, **self.content}

    def embed(self, texts: Sequence[str]) -> Rows:
        found = self.model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(found, dtype=np.float32)


def _sentence_transformers(name: str) -> SentenceEmbedder:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise MissingExtraError("embed", f"the embedder 'st:{name}'") from None
    folder = Path(name).expanduser()
    place, _, revision = name.rpartition("@")
    if folder.is_dir() or not place:
        place, revision = str(folder) if folder.is_dir() else name, ""
    try:
        model = SentenceTransformer(place, revision=revision or None, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"st:{name} cannot be loaded ({' '.join(str(error).split())[:200]})") from None
    return SentenceEmbedder(model, name, _content(folder, model))


def _content(folder: Path, model: Any) -> dict[str, JSON]:
    """What the model is, whatever it is called: another one under the same name is another run."""
    if not folder.is_dir():
        config = getattr(getattr(model[0], "auto_model", None), "config", None)
        return {"revision": getattr(config, "_commit_hash", None)}
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    return {"files": {place.name if place != folder else "": hub.fingerprints(place) for place in places}}
