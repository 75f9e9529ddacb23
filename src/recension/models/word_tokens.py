"""Tokens of a text as the sum over its words, for tokenizers that take each word apart on its own.

Byte-level BPE after GPT-2 never joins a sign with white space behind it. So a word with the white space before it has the same
tokens wherever it stands, and words come back: a table of their lengths counts a text in a part of the time that taking it
apart needs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

KEPT = 1 << 23  # bytes that the words take up, about
ENTRY = 100  # of them for a word beside its characters
SPACE = "\u0120"  # the sign by which byte-level tokenizers write a space
_WHITE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # as Unicode has it; Python has more
_WORD = re.compile(f"[{_WHITE}]*[^{_WHITE}]+|[{_WHITE}]+")
_SPACED = re.compile(f" [^{_WHITE}]")


class WordTokens:
    """Counts as the tokenizer does, text by text."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._spaced = frozenset(i for piece, i in tokenizer.get_vocab().items() if piece.startswith(SPACE))
        self._known: dict[str, int] = {}
        self._size = 0

    @classmethod
    def of(cls, serial: str, tokenizer: Any) -> WordTokens | None:
        """None for a tokenizer of another kind."""
        return cls(tokenizer) if _by_words(json.loads(serial)) else None

    def count(self, text: str) -> int:
        words = _WORD.findall(text)
        known = self._known  # another thread may begin a new table
        new = set(words).difference(known)
        if new:
            if self._size > KEPT:
                self._known = known = {}
                self._size, new = 0, set(words)
            self._learn(known, new)
        return sum(map(known.__getitem__, words))

    def _learn(self, known: dict[str, int], new: set[str]) -> None:
        self._size += sum(map(len, new)) + ENTRY * len(new)
        # Words behind one space are taken apart as one text: a token that begins with a space begins a word.
        spaced = [word for word in new if _SPACED.match(word)]
        ids = self._taken_apart("".join(spaced))
        begins = [place for place, token in enumerate(ids) if token in self._spaced]
        known.update(zip(spaced, map(int.__sub__, [*begins[1:], len(ids)], begins), strict=True))
        known.update((word, len(self._taken_apart(word))) for word in new.difference(spaced))

    def _taken_apart(self, text: str) -> list[int]:
        """In this thread: a batch goes through others, whose waking costs more than a few words do."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def _by_words(told: Mapping[str, Any]) -> bool:
    """Whether a tokenizer is byte-level BPE that nothing comes before, but for splitting off digits."""
    before = told.get("pre_tokenizer") or {}
    steps = list(_steps(before))
    return (
        told.get("normalizer") is None
        and (told.get("model") or {}).get("type") == "BPE"
        and not told["model"].get("dropout")
        and bool(steps)
        and all(step.get("type") == "Digits" for step in steps[:-1])
        and steps[-1].get("type") == "ByteLevel"
        and not steps[-1].get("add_prefix_space")
        and steps[-1].get("use_regex", True)
        and all(token.get("special") for token in told.get("added_tokens") or ())
    )


def _steps(before: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return before["pretokenizers"] if before.get("type") == "Sequence" else [before]
