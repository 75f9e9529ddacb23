"""How much one text has of another: runs of words, keywords, and repetition within itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from recension.methods.audit.panel import SIGNS

RUN = 5  # words of a shingle: two people seldom write five words in a row alike by chance
_KEPT = 32  # texts whose features are kept: a source is compared with all that is made of it, one after the other
_PLENTY = 60  # keywords of a source that are looked for
_STEM = 6  # first letters of a word, so that its forms count as one
# Korean endings stand behind words of other scripts without a space, so Hangul is a word of its own.
_HANGUL = "\uac00-\ud7af"
_TOKEN = re.compile(rf"[{SIGNS}]|[{_HANGUL}]+|[^\W_{SIGNS}{_HANGUL}]+")
_NO_MARKS = str.maketrans({chr(code): " " for code in range(128) if not chr(code).isalnum()})  # the same, of ASCII
_LONGEST_WORD = 40
_WORDS = 1 << 15  # words whose stems are kept
# Words of five letters and more that say nothing of a subject, by their first six letters.
_EMPTY_WORDS = """
about above across after again against almost along already also although always among amount another around based
became because become before began begin behind being below better between beyond bring called cannot certain clear
come common could course different during each early either enough especially every example first following found
further general given going great however important include including indeed instead itself large later least likely
little make makes making maybe might month more most much never number often other others people perhaps place point
possible quite rather really right same second several shall should simply since small something sometimes still such
taken than that their them then there therefore these they thing things think this those though three through today
together toward under until usually various very want well were what when where whether which while whole will with
within without world would year years your yourself themselves
"""
_EMPTY = frozenset(word[:_STEM] for word in _EMPTY_WORDS.split())


@lru_cache(maxsize=8)  # a text and its source are taken apart again and again in one look
def tokens(text: str) -> tuple[str, ...]:
    """Words in lower case; of scripts without spaces every character."""
    if text.isascii():
        return tuple(text.lower().translate(_NO_MARKS).split())
    return tuple(_TOKEN.findall(text.casefold()))


@lru_cache(maxsize=_KEPT)
def shingles(text: str) -> frozenset[int]:
    """The runs of words of a text, as hashes within this process; a shorter text is one run."""
    words = tokens(text)
    return frozenset(map(hash, runs(words, RUN))) if len(words) > RUN else frozenset((hash(words),) if words else ())


def runs(words: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    """Every so many words in a row."""
    return zip(*(words[start:] for start in range(length)), strict=False)


def contained(inner: frozenset[int], outer: frozenset[int]) -> float:
    """The share of the one's shingles that the other has too."""
    return len(inner & outer) / len(inner) if inner else 0.0


@lru_cache(maxsize=_KEPT)
def keywords(text: str) -> tuple[str, ...]:
    """What a text is about: the stems of its longer words and its numbers, most frequent first, then in order.

    Without a table of frequencies rarity is guessed: words of five letters and more that are not on a list of empty ones.
    """
    counts = Counter(map(_TELLING.__getitem__, tokens(text)))
    counts.pop("", None)
    return tuple(sorted(counts, key=counts.__getitem__, reverse=True)[:_PLENTY])


def coverage(source: str, text: str) -> float:
    """The share of the source's keywords that stand in a text; 1 where the source has none."""
    wanted = keywords(source)
    held = set(map(_STEMS.__getitem__, tokens(text)))
    return len(held.intersection(wanted)) / len(wanted) if wanted else 1.0


@lru_cache(maxsize=_KEPT)
def repeated(text: str, tail: int = 400) -> float:
    """The share of runs of six words that stood in the text before; of the whole or of its last words, what is more.

    A model that loops does so to the end, so the end tells it however long the beginning is.
    """
    words = tokens(text)
    return max(_again(words), _again(words[-tail:]) if len(words) > tail else 0.0)


def _again(words: tuple[str, ...]) -> float:
    count = len(words) - 5
    return 1 - len(set(runs(words, 6))) / count if count >= 40 else 0.0


def _says_something(word: str) -> bool:
    if word.isdigit():
        return True
    # Scripts other than Latin say more with fewer signs.
    long_enough = len(word) >= (
        5 if word[0] < "\u0370" else 3 if word[0] < "\u1100" else 2 if word[0] >= "\uac00" else 1
    )
    return long_enough and len(word) <= _LONGEST_WORD and word[:_STEM] not in _EMPTY


def _stem(word: str) -> str:
    return word[: _STEM if word[0] < "\u1100" else 2]


class _Known(dict[str, str]):
    """What is made of a word, kept: most words come again and again."""

    def __init__(self, make: Callable[[str], str]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, word: str) -> str:
        if len(self) >= _WORDS:
            self.clear()
        found = self[word] = self._make(word)
        return found


_STEMS = _Known(_stem)
_TELLING = _Known(lambda word: _stem(word) if _says_something(word) else "")
