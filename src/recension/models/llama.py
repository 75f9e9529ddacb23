"""A local checkpoint of the plain Llama kind, read without torch: its shape, its weights, its tokenizer.

What is read here is run by `compiled.py`. A checkpoint that differs from the plain kind in any way that changes a number
(other position encodings, biases, another activation) is not read at all: `transformers` runs those.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from tokenizers import Tokenizer

from recension.errors import ModelError

Floats = NDArray[np.float32]
LARGEST = 500_000_000  # parameters; float32 weights are held twice while a graph is compiled
_EMBEDDING, _HEAD, _NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"
_PLAIN = {
    "hidden_act": ("silu",),
    "attention_bias": (None, False),
    "mlp_bias": (None, False),
    "rope_scaling": (None,),
    "sliding_window": (None,),
    "quantization_config": (None,),
    "partial_rotary_factor": (None, 1.0),
}


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """The sizes of a plain Llama."""

    hidden: int
    ffn: int
    heads: int
    kv: int
    size: int  # of one head
    layers: int
    context: int
    vocabulary: int
    epsilon: float
    theta: float
    tied: bool

    @property
    def body_parameters(self) -> int:
        attention = self.hidden * self.size * (2 * self.heads + 2 * self.kv)
        return self.layers * (attention + 3 * self.hidden * self.ffn)

    @property
    def parameters(self) -> int:
        return self.body_parameters + self.vocabulary * self.hidden * (1 if self.tied else 2)


def plain_shape(folder: Path) -> LlamaShape | None:
    """The shape of the model in a folder; None where it is not of the plain kind or not stored as safetensors."""
    path = folder / "config.json"
    if not path.is_file() or not _weight_files(folder):
        return None
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        plain = all(config.get(key, allowed[-1]) in allowed for key, allowed in _PLAIN.items())
        if config.get("model_type") != "llama" or not plain:
            return None
        rope = config.get("rope_parameters") or {}
        if rope.get("rope_type", "default") != "default" or "partial_rotary_factor" in rope:
            return None
        heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
        return LlamaShape(
            hidden=hidden,
            ffn=int(config["intermediate_size"]),
            heads=heads,
            kv=int(config.get("num_key_value_heads") or heads),
            size=int(config.get("head_dim") or hidden // heads),
            layers=int(config["num_hidden_layers"]),
            context=int(config["max_position_embeddings"]),
            vocabulary=int(config["vocab_size"]),
            epsilon=float(config["rms_norm_eps"]),
            theta=float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0),
            tied=bool(config.get("tie_word_embeddings", False)),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # transformers says what is wrong with it


def _weight_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("model*.safetensors"))


def read_weights(folder: Path, shape: LlamaShape) -> dict[str, Floats]:
    """All weights in float32 by their names in the checkpoint; the head's under `lm_head.weight`, tied or not."""
    found: dict[str, Floats] = {}
    for path in _weight_files(folder):
        try:
            stored: Any = safetensors
            for name, entry in stored.deserialize(path.read_bytes()):
                found[name] = _float32(entry)
        except (safetensors.SafetensorError, KeyError, ValueError) as error:
            raise ModelError(f"{path}: these weights cannot be read ({error}); are they intact?") from error
    if shape.tied or (_HEAD not in found and _EMBEDDING in found):
        found[_HEAD] = found.get(_EMBEDDING, np.zeros((0, 0), dtype=np.float32))
    wanted = _wanted(shape)
    for name, size in wanted.items():
        if name not in found:
            raise ModelError(f"{folder}: the checkpoint lacks {name}")
        if found[name].shape != size:
            raise ModelError(f"{folder}: {name} has the shape {found[name].shape}, and config.json says {size}")
    return {name: found[name] for name in wanted}


def layer_name(layer: int, part: str) -> str:
    return f"model.layers.{layer}.{part}.weight"


def _wanted(shape: LlamaShape) -> dict[str, tuple[int, ...]]:
    table = (shape.vocabulary, shape.hidden)
    wanted: dict[str, tuple[int, ...]] = {_EMBEDDING: table, _HEAD: table, _NORM: (shape.hidden,)}
    query, key = shape.heads * shape.size, shape.kv * shape.size
    parts = {
        "self_attn.q_proj": (query, shape.hidden),
        "self_attn.k_proj": (key, shape.hidden),
        "self_attn.v_proj": (key, shape.hidden),
        "self_attn.o_proj": (shape.hidden, query),
        "mlp.gate_proj": (shape.ffn, shape.hidden),
        "mlp.up_proj": (shape.ffn, shape.hidden),
        "mlp.down_proj": (shape.hidden, shape.ffn),
        "input_layernorm": (shape.hidden,),
        "post_attention_layernorm": (shape.hidden,),
    }
    return wanted | {layer_name(i, part): size for i in range(shape.layers) for part, size in parts.items()}


def _float32(entry: dict[str, Any]) -> Floats:
    kind, raw = entry["dtype"], entry["data"]
    if kind == "BF16":  # the upper half of a float32
        return (np.frombuffer(raw, dtype=np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])
    known = {"F16": np.float16, "F32": np.float32, "F64": np.float64}
    return np.frombuffer(raw, dtype=known[kind]).astype(np.float32).reshape(entry["shape"])


def read_tokenizer(folder: Path) -> tuple[Any, set[int], int | None] | None:
    """The tokenizer of a folder, its special ids and its BOS, without transformers.

    None for tokenizers that transformers changes while it loads them (all but byte-level ones).
    """
    path = folder / "tokenizer.json"
    if not path.is_file() or '"ByteLevel"' not in path.read_text(encoding="utf-8"):
        return None
    tokenizer: Any = Tokenizer.from_file(str(path))
    named: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            named |= json.loads((folder / name).read_text(encoding="utf-8"))
    marks = {key: _content(value) for key, value in named.items() if key.endswith("_token")}
    more = [named.get(key) or () for key in ("additional_special_tokens", "extra_special_tokens")]
    texts = [*marks.values(), *(_content(value) for values in more for value in values)]
    special = {i for text in texts if text is not None and (i := tokenizer.token_to_id(text)) is not None}
    begin = marks.get("bos_token")
    return tokenizer, special, None if begin is None else tokenizer.token_to_id(begin)


def _content(value: Any) -> str | None:
    """A token is written as a string, or as an object with its settings."""
    found = value.get("content") if isinstance(value, dict) else value
    return found if isinstance(found, str) else None
