"""Tokens of texts, counted with the tokenizer in the package: one measure for every writer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def count_tokens(texts: Sequence[str]) -> list[int]:
    """How many tokens of the embedded prior each text has."""
    return [len(found.ids) for found in _tokenizer().encode_batch_fast(list(texts))] if texts else []


@lru_cache(maxsize=1)
def _tokenizer() -> Tokenizer:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(Path(__file__).parent / "embedded" / "tokenizer.json"))
