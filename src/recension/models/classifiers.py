"""What rates a text by itself: a linear head on an embedder, or a sequence classifier of transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recension.document import JSON
from recension.errors import MissingExtraError, ModelError
from recension.identity import sha256
from recension.models.embedders import load_embedder
from recension.ports import Embedder

Floats = NDArray[np.float64]

WEIGHTS, CARD = "head.safetensors", "head.json"
AT_ONCE, TOKENS = 16, 512


class Classifier(Protocol):
    """Texts to scores."""

    @property
    def spec(self) -> Mapping[str, JSON]: ...

    def rate(self, texts: Sequence[str]) -> Floats: ...


def load_classifier(name: str, device: str = "auto") -> Classifier:
    """`hf:NAME_OR_PATH[@REVISION]`, or a folder that `select train-head` wrote; loaded once in each process."""
    if name.startswith("hf:") and name[3:]:
        return _sequence_classifier(name[3:], device)
    folder = Path(name)
    place = folder / "model" if (folder / "model" / CARD).is_file() else folder
    try:
        state = (place / WEIGHTS).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(
            f"--head {folder}: no head is there; write a folder of `recension select train-head`, or hf:NAME"
        ) from None
    return _head(place, (state.st_mtime_ns, state.st_size))


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A linear head on frozen embeddings."""

    embedder: Embedder
    weights: Floats
    digest: str

    @property
    def spec(self) -> Mapping[str, JSON]:
        return {"kind": "head", "sha256": self.digest, "embedder": dict(self.embedder.spec)}

    def rate(self, texts: Sequence[str]) -> Floats:
        found: Floats = self.embedder.embed(texts).astype(np.float64) @ self.weights[:-1] + self.weights[-1]
        return found


@lru_cache(maxsize=2)
def _head(place: Path, _state: tuple[int, int]) -> Head:
    """A head of exactly these files."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        card = json.loads((place / CARD).read_text("utf-8"))
        raw = (place / WEIGHTS).read_bytes()
        weights = load(raw)["weights"].astype(np.float64)
        embedder = load_embedder(card["embedder"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(f"--head {place}: damaged ({' '.join(str(error).split())[:120]}); train it again") from None
    if card["embedder_spec"] != dict(embedder.spec):
        raise ModelError(f"--head {place}: it was trained on another version of the embedder {card['embedder']}")
    return Head(embedder, weights, sha256(raw))


def head_files(weights: Floats, card: Mapping[str, Any]) -> dict[str, bytes]:
    """A head as it stands in a folder."""
    from safetensors.numpy import save

    return {WEIGHTS: save({"weights": weights}), CARD: json.dumps(card, indent=1, sort_keys=True).encode() + b"\n"}


@dataclass(frozen=True, slots=True, eq=False)
class SequenceClassifier:
    """A model with one output is a regression; of one with several the expected class is taken, counted from 0."""

    model: Any
    tokenizer: Any
    identity: Mapping[str, JSON]
    device: str

    @property
    def spec(self) -> Mapping[str, JSON]:
        return {"kind": "sequence-classifier", **self.identity, "device": self.device, "tokens": TOKENS}

    def rate(self, texts: Sequence[str]) -> Floats:
        import torch

        found: list[Floats] = []
        for start in range(0, len(texts), AT_ONCE):
            batch = self.tokenizer(
                list(texts[start : start + AT_ONCE]),
                return_tensors="pt",
                padding=True,
                truncation=True,
                max_length=min(TOKENS, self.tokenizer.model_max_length),
            ).to(self.device)
            with torch.inference_mode():
                logits = self.model(**batch).logits.float()
            if logits.shape[-1] > 1:
                logits = (logits.softmax(dim=-1) * torch.arange(logits.shape[-1], device=logits.device)).sum(dim=-1)
            found.append(logits.reshape(-1).double().cpu().numpy())
        return np.concatenate(found) if found else np.zeros(0)


@lru_cache(maxsize=1)
def _sequence_classifier(name: str, device: str) -> SequenceClassifier:
    try:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
    except ImportError:
        raise MissingExtraError("hf", f"the classifier 'hf:{name}'") from None
    from recension.models import hub

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    place, revision = hub.split_name(name)
    with hub.quiet():
        config = hub.check_there(place, revision)
        try:
            model: Any = AutoModelForSequenceClassification.from_pretrained(
                place, revision=revision, trust_remote_code=False
            )
            tokenizer: Any = AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"hf:{place}: no sequence classifier can be loaded ({hub.brief(error)})") from None
    return SequenceClassifier(model.eval().to(device), tokenizer, hub.identity(place, revision, config), device)
