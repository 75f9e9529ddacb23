"""Tokens counted: how many a text has, and where so many of them end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recension.document import JSON
from recension.errors import MissingExtraError, ModelError
from recension.identity import sha256
from recension.models.surfaces import as_text
from recension.models.word_tokens import WordTokens

EMBEDDED = Path(__file__).parent / "embedded" / "tokenizer.json"
_WORD = re.compile(r"\S+")
_PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))  # GPT-2's files, new and old
NEAR = 48  # characters around a border in which one is looked for that keeps the count


@dataclass(frozen=True)
class TokenCounter:
    """What counts tokens. It travels between processes as the text of its tokenizer."""

    name: str
    kind: Literal["bytes", "words", "tokenizer"]
    tokenizer: str = ""

    @property
    def spec(self) -> dict[str, JSON]:
        """For the key of a run: what it counts with, whatever it is called."""
        return {"kind": self.kind, "sha256": sha256(self.tokenizer.encode()) if self.tokenizer else None}

    def count(self, texts: Sequence[str]) -> NDArray[np.int64]:
        if self.kind == "bytes":
            return np.array([len(text.encode()) for text in texts], np.int64)
        if self.kind == "words":
            return np.array([len(text.split()) for text in texts], np.int64)
        if (words := _words(self.tokenizer)) is not None:
            return np.array([words.count(text) for text in texts], np.int64)
        found = _loaded(self.tokenizer).encode_batch_fast(list(texts), add_special_tokens=False)
        return np.array([len(encoding) for encoding in found], np.int64)

    def total(self, texts: Sequence[str]) -> int:
        if self.kind == "tokenizer" and (words := _words(self.tokenizer)) is not None:
            return sum(map(words.count, texts))
        return int(self.count(texts).sum())

    def beginning(self, text: str, tokens: int) -> str:
        """The longest beginning of a text that has so many tokens, or the one that comes nearest to it from below."""
        best, most = "", 0
        for end in self._ends(text, tokens):
            counted = self.total([text[:end]])
            if counted == tokens:
                return text[:end]
            if most < counted < tokens:
                best, most = text[:end], counted
        return best

    def _ends(self, text: str, tokens: int) -> Iterator[int]:
        """Where to look, the likeliest first: a beginning alone may be taken apart otherwise than within its text."""
        if self.kind == "bytes":
            yield len(text.encode()[:tokens].decode("utf-8", "ignore"))
            return
        if self.kind == "words":
            words = list(_WORD.finditer(text))
            yield words[min(tokens, len(words)) - 1].end() if tokens else 0
            return
        offsets = _loaded(self.tokenizer).encode(text, add_special_tokens=False).offsets
        middle = offsets[min(tokens, len(offsets)) - 1][1] if tokens and offsets else 0
        yield middle
        for step in range(1, NEAR):
            yield from (end for end in (middle - step, middle + step) if 0 < end <= len(text))


@lru_cache(maxsize=2)
def _loaded(serial: str) -> Any:
    from tokenizers import Tokenizer

    return as_text(Tokenizer.from_str(serial))


@lru_cache(maxsize=2)
def _words(serial: str) -> WordTokens | None:
    return WordTokens.of(serial, _loaded(serial))


def token_counter(name: str) -> TokenCounter:
    """By name: `embedded`, `bytes`, `words`, a folder or file with a tokenizer, or a name on the hub."""
    if name == "bytes":
        return TokenCounter(name, "bytes")
    if name == "words":
        return TokenCounter(name, "words")
    if name == "embedded":
        return _embedded()
    return TokenCounter(name, "tokenizer", _serial(name.removeprefix("hf:")))


@cache
def _embedded() -> TokenCounter:
    return TokenCounter("embedded", "tokenizer", EMBEDDED.read_text(encoding="utf-8"))


def _serial(name: str) -> str:
    place = Path(name).expanduser()
    for path in (place, place / "tokenizer.json", place / "model" / "tokenizer.json"):
        if path.is_file() and path.suffix == ".json":
            return _checked(path.read_text(encoding="utf-8", errors="replace"), name)
    if place.is_dir():
        for vocabulary, merges in _PAIRS:
            if (place / vocabulary).is_file() and (place / merges).is_file():
                return _from_pair(place / vocabulary, place / merges)
        raise ModelError(
            f"tokenizer {name}: the folder holds no tokenizer.json, nor the vocab.json and merges.txt of GPT-2"
        )
    if place.is_file():
        raise ModelError(f"tokenizer {name}: the file is no tokenizer.json")
    if place.suffix == ".json" or place.is_absolute() or name.startswith("."):
        raise ModelError(f"tokenizer {name}: there is no such file or folder")
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("openai", f"the tokenizer '{name}', which is no folder here,") from error
    from recension.models import hub

    place_, revision = hub.split_name(name)
    with hub.quiet():
        return str(hub.load_fast(place_, revision).backend_tokenizer.to_str())


def _checked(raw: str, name: str) -> str:
    """The library raises errors without a name of their own: what can be seen is looked at first."""
    try:
        made = json.loads(raw)
    except ValueError as error:
        raise ModelError(f"tokenizer {name}: the file is no JSON ({error})") from error
    if not isinstance(made, dict) or not isinstance(made.get("model"), dict) or "vocab" not in made["model"]:
        raise ModelError(f"tokenizer {name}: the file is no tokenizer of the tokenizers library")
    return raw


def _from_pair(vocabulary: Path, merges: Path) -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    made = Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return str(made.to_str())
