"""Model shapes by name: what is built, how many parameters it has, and what it is usually trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, Literal

from recension.errors import UsageError


@dataclass(frozen=True, slots=True)
class Shape:
    """The network, without a vocabulary; `batch` and `rate` are what it is trained with unless told otherwise.

    `batch` counts sequences of `context` tokens. A llama has a gated feed-forward layer, a gpt2 has a plain one.
    """

    kind: Literal["llama", "gpt2"]
    hidden: int
    ffn: int
    heads: int
    kv: int
    layers: int
    context: int
    tied: bool
    batch: int
    rate: float
    vocabulary: int

    def body_parameters(self) -> int:
        """What is multiplied below the head: attention, feed-forward and norms, no embeddings."""
        per_head = self.hidden // self.heads
        if self.kind == "gpt2":
            return self.layers * (4 * self.hidden**2 + 2 * self.hidden * self.ffn + 9 * self.hidden + self.ffn) + (
                2 * self.hidden
            )
        attention = 2 * self.hidden**2 + 2 * self.hidden * self.kv * per_head
        return self.layers * (attention + 3 * self.hidden * self.ffn + 2 * self.hidden) + self.hidden

    def parameters(self, vocabulary: int) -> int:
        embeddings = vocabulary * self.hidden * (1 if self.tied else 2)
        places = self.context * self.hidden if self.kind == "gpt2" else 0
        return self.body_parameters() + embeddings + places

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _llama(hidden: int, ffn: int, heads: tuple[int, int], layers: int, usual: tuple[int, float]) -> Shape:
    """A row of the MAGA table: sequences of 8,192 tokens, embeddings and head apart."""
    return Shape("llama", hidden, ffn, *heads, layers, 8192, False, *usual, 32_768)


# The MAGA table prints a hidden size of 1,204 for 134M (1,024 gives 134.2 M), and feed-forward widths for 7B and 13B that
# give 4.56 and 9.26 billion; `7b` and `13b` have the widths that fit their names, `-printed` those of the table.
SHAPES: Mapping[str, Shape] = {
    "tiny": Shape("llama", 128, 384, 4, 4, 3, 256, True, 32, 4e-3, 4096),
    "mini": Shape("llama", 256, 768, 4, 4, 5, 512, True, 32, 3e-3, 8192),
    "small": Shape("llama", 384, 1024, 6, 6, 8, 512, True, 32, 2e-3, 8192),
    "134m": _llama(1024, 4096, (8, 8), 8, (128, 3e-3)),
    "377m": _llama(1536, 6144, (12, 12), 10, (320, 1.5e-3)),
    "1.7b": _llama(2560, 10_240, (20, 20), 16, (512, 5e-4)),
    "7b": _llama(4096, 14_336, (32, 8), 32, (1024, 4e-4)),
    "13b": _llama(4096, 18_432, (32, 8), 48, (1024, 4e-4)),
    "7b-printed": _llama(4096, 8192, (32, 8), 32, (1024, 4e-4)),
    "13b-printed": _llama(4096, 12_288, (32, 8), 48, (1024, 4e-4)),
    "gpt2-124m": Shape("gpt2", 768, 3072, 12, 12, 12, 1024, True, 480, 6e-4, 50_304),
    "olmo-237m": Shape("llama", 2048, 8192, 16, 16, 2, 2048, True, 256, 4e-4, 50_304),
    "olmo-1b": Shape("llama", 2048, 8192, 16, 16, 16, 2048, True, 1024, 4e-4, 50_304),
}
_NUMBERS = ("hidden", "ffn", "heads", "kv", "layers", "context", "batch", "vocabulary")


def shape_of(words: str) -> Shape:
    """`small`, or `small,layers=6,hidden=320`: a name, and whatever is to differ from it."""
    name, *changes = [word.strip() for word in words.lower().split(",")]
    if name not in SHAPES:
        near = get_close_matches(name, SHAPES, 1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise UsageError(f"--preset '{name}' is unknown{hint}; known are {', '.join(SHAPES)}")
    shape = SHAPES[name]
    for change in changes:
        key, _, value = change.partition("=")
        known = [item.name for item in fields(Shape) if item.name != "kind"]
        if key not in known or not value:
            raise UsageError(f"--preset: '{change}' changes nothing; write one of {', '.join(known)} = a value")
        try:
            new: Any = {"true": True, "false": False}[value] if key == "tied" else float(value)
            changed: dict[str, Any] = {key: int(value) if key in _NUMBERS else new}
            shape = replace(shape, **changed)
        except (ValueError, KeyError):
            raise UsageError(f"--preset: {key} takes a number (tied: true or false), not '{value}'") from None
        if key == "heads" and not any(c.startswith("kv=") for c in changes):
            shape = replace(shape, kv=shape.heads)
    _check(shape)
    return shape


def _check(shape: Shape) -> None:
    numbers = [getattr(shape, name) for name in _NUMBERS]
    if min(numbers) < 1 or shape.rate <= 0:
        raise UsageError("--preset: every size is 1 or more, the rate above 0")
    if shape.vocabulary < 257:
        raise UsageError("--preset: a vocabulary holds at least 257 tokens (every byte, and one mark)")
    if shape.hidden % shape.heads or (shape.hidden // shape.heads) % 2:
        raise UsageError(f"--preset: a hidden size of {shape.hidden} does not split into {shape.heads} even heads")
    if shape.heads % shape.kv:
        raise UsageError(f"--preset: {shape.heads} heads do not share {shape.kv} key-value heads evenly")
    if shape.kind == "gpt2" and shape.kv != shape.heads:
        raise UsageError("--preset: a gpt2 has as many key-value heads as heads")
