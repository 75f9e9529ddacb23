"""A long text cut where it breathes: between paragraphs, else sentences, else words; no character is lost."""

from __future__ import annotations

import re
import unicodedata

# Each finds the end of a piece of text together with the white space behind it.
_PARAGRAPH = re.compile(r"\n[ \t\r]*\n\s*")
_LINE = re.compile(r"\n\s*")
_SENTENCE = re.compile(r"[.!?…]['\"’”)\]]*\s+(?![a-z])|[。！？]['\"’”」』）]*\s*")
_SPACE = re.compile(r"\s+")
_LEAST = 4  # the last part holds at least this fraction of `most`


def parts(text: str, most: int) -> list[tuple[int, int]]:
    """Spans of at most `most` characters, one after the other, that make up the whole text.

    Parts are about as long as each other: none but the last holds less than half of `most`, and the last not less than a
    quarter, unless the text is one part. An empty text is one empty part.
    """
    if most < 1:
        raise ValueError("a part holds at least one character")
    spans = []
    start = 0
    while len(text) - start > most:
        left = len(text) - start
        ideal = start + left // -(-left // most)
        # Further than this the rest would be a scrap.
        high = max(start + 1, min(start + most, len(text) - most // _LEAST))
        cut = _border(text, (max(start + 1, start + most // 2), high), ideal)
        spans.append((start, cut))
        start = cut
    return [*spans, (start, len(text))]


def _border(text: str, window: tuple[int, int], ideal: int) -> int:
    """The best place to cut within a window: of the strongest kind of border there is, the one nearest to the ideal."""
    low, high = window
    for pattern in (_PARAGRAPH, _LINE, _SENTENCE, _SPACE):
        # One character more is looked at, so that a border that ends at the window's end is seen.
        ends = [match.end() for match in pattern.finditer(text, max(0, low - 2), high) if low <= match.end() <= high]
        ends = [end for end in ends if text[end - 1 : end + 1] != "\r\n"]
        if ends:
            return min(ends, key=lambda end: abs(end - ideal))
    return _between_signs(text, low, min(max(ideal, low), high))


def _between_signs(text: str, low: int, at: int) -> int:
    """A place at or before `at` that does not part a letter from its marks, or the halves of a line end or an emoji."""
    for place in range(at, max(low, at - 32), -1):
        after, before = text[place : place + 1], text[place - 1]
        joined = after and (
            unicodedata.combining(after) or after in "\u200d\ufe0f" or "\U0001f3fb" <= after <= "\U0001f3ff"
        )
        if not joined and before != "\u200d" and (before, after) != ("\r", "\n"):
            return place
    return at
