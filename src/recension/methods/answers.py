"""When a written answer is the right one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

Match = Literal["text", "number", "none"]
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-+]?\.\d+")


def plain_words(text: str) -> str:
    """Compatibility forms joined, lower case, no punctuation, no English articles, single spaces (as SQuAD does it)."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    bare = "".join(c for c in folded if not unicodedata.category(c).startswith("P"))
    return " ".join(_ARTICLES.sub(" ", bare).split())


def last_number(text: str) -> Decimal | None:
    """The last number of a text, without the commas between thousands."""
    found = _NUMBER.findall(text)
    return Decimal(found[-1].replace(",", "")) if found else None


def matches(written: str, accepted: Sequence[str], how: Match = "text") -> bool:
    """Whether an answer is one of the accepted ones.

    `text` compares plain words; of an accepted answer that has none (a lone sign, say) the text as it stands. `number`
    compares the last numbers by value; an accepted answer without a number never matches. `none` compares what is left
    without white space around it.
    """
    if how == "number":
        given = last_number(written)
        return given is not None and any(given == last_number(one) for one in accepted)
    if how == "none":
        return written.strip() in {one.strip() for one in accepted}
    words = plain_words(written)
    return any(plain_words(one) == words if plain_words(one) else one.strip() == written.strip() for one in accepted)
