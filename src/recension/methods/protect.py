"""Stretches of a text that no edit may touch."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recension.errors import UsageError

# Bounded repetitions, so that no document can make matching slow.
PATTERNS: dict[str, str] = {
    "numbers": r"[+-]?\d+(?:[.,:/\u2009\u00a0 ]?\d+)*(?:[eE][+-]?\d+)?\s?[%‰°]?",
    "urls": r"(?:https?|ftp|file|mailto):[^\s<>\"']+|www\.[^\s<>\"']+|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}",
    "code": r"```[\s\S]*?(?:```|\Z)|~~~[\s\S]*?(?:~~~|\Z)|`[^`\n]+`",
    "quotes": r"\"[^\"\n]{1,2000}\"|“[^”]{1,2000}”|«[^»]{1,2000}»|„[^“”]{1,2000}[“”]",
}


def compile_protection(protect: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    """Patterns for a list of names (numbers, urls, code, quotes) and regular expressions."""
    patterns = []
    for item in protect:
        try:
            patterns.append(re.compile(PATTERNS.get(item, item)))
        except re.error as error:
            names = ", ".join(PATTERNS)
            raise UsageError(
                f"--protect {item!r} is neither one of {names} nor a regular expression: {error}"
            ) from None
    return tuple(patterns)


def protected_intervals(text: str, patterns: Sequence[re.Pattern[str]]) -> NDArray[np.int64]:
    """Sorted, disjoint [start, end) intervals of the text that the patterns cover."""
    found = sorted(match.span() for pattern in patterns for match in pattern.finditer(text))
    merged: list[list[int]] = []
    for start, end in found:
        if end == start:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return np.array(merged, dtype=np.int64).reshape(-1, 2)
