"""Which texts are given to a writer, and in which parts."""

from __future__ import annotations

from typing import NamedTuple

from recension.document import Document
from recension.methods.writing.parting import parts
from recension.recipes.writing.spec import SourceSettings


class Part(NamedTuple):
    """A stretch of a source. `number` counts from 1."""

    text: str
    number: int
    of: int


def unfit(document: Document, chosen: SourceSettings) -> tuple[str, str] | None:
    """Why a text is not given to a writer, as a reason and its detail."""
    depth = document.origin.depth if document.origin else 0
    if depth > chosen.max_depth:
        return "too-deep", f"it went through {depth} models already; see --max-depth"
    words = len(document.text.split())
    if words == 0:
        return "empty-text", "there is no text in it"
    if words < chosen.least_words:
        return "short-source", f"{words} words; see --least-words"
    return None


def parts_of(text: str, most: int) -> list[Part]:
    """A text in parts of at most `most` characters, without the white space around them."""
    cut = [text[start:end].strip() for start, end in parts(text, most)]
    whole = [part for part in cut if part]
    return [Part(part, number, len(whole)) for number, part in enumerate(whole, start=1)]
