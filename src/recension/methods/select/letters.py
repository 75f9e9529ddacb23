"""What Python says of characters, as tables: their small letters, and what `re` takes them for."""

from __future__ import annotations

import re
import sys
from functools import cache

import numpy as np
from numpy.typing import NDArray

TABLED = 0x1F000  # no character from here on has a small letter
ODD = -1  # in a table of small letters: it becomes several, or its neighbours decide
STRETCH = 1 << 8  # characters that are looked at together
SPACE, LETTER, MARK = 0, 1, 2


@cache
def small_letters() -> NDArray[np.int32]:
    """By code point, the code point of the small letter."""
    every = np.arange(TABLED, dtype=np.int32)
    odd = [ord("Σ")]  # small at the end of a word it is another letter
    for start in range(0, TABLED, STRETCH):
        if len(_lowered(every[start : start + STRETCH])) != STRETCH:
            odd += [point for point in range(start, start + STRETCH) if len(chr(point).lower()) != 1]
    every[odd] = 0
    table = np.frombuffer(_lowered(every).encode("utf-32-le", "surrogatepass"), np.int32).copy()
    table[odd] = ODD
    return table


def _lowered(points: NDArray[np.int32]) -> str:
    return points.tobytes().decode("utf-32-le", "surrogatepass").lower()


@cache
def kinds() -> NDArray[np.uint8]:
    """By code point, whether `re` takes it for white space or for a part of a word."""
    every = np.arange(sys.maxunicode + 1, dtype=np.int32).tobytes().decode("utf-32-le", "surrogatepass")
    table = np.full(len(every), MARK, np.uint8)
    for pattern, kind in ((r"\w+", LETTER), (r"\s+", SPACE)):
        for found in re.finditer(pattern, every):
            table[found.start() : found.end()] = kind
    return table
