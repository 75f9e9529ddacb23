"""Which language a passage is in, by its most common words: a rough count for a profile, not a classifier."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from recension.methods.audit.panel import surfaces

_COMMON = """
English: the of and to in is that it was for with as his on be at by had not are
German: der die und das ist nicht ein zu den mit sich auf dem des auch als war wie für im
French: le la les et des est une du que pas dans pour qui sur ce il au par plus avec
Spanish: el los las que del una por con para es se no su al como más pero sus lo fue
Italian: il che di è non una per con del della sono gli si dei nel come più anche alla ha
Portuguese: o os que do da em um uma para com não no na por mais dos como foi ao ele
Dutch: de het een van en dat niet zijn met voor op aan er ook als bij maar om nog werd
Polish: i w nie na się z do to że jest o jak po co ale za od tak przez był
Russian: и в не на что с он как это по но его к из у за был от так то
"""
COMMON: Mapping[str, frozenset[str]] = {
    name: frozenset(words.split()) for name, _, words in (line.partition(":") for line in _COMMON.split("\n")) if name
}
_WHOSE = {
    word: [name for name, common in COMMON.items() if word in common] for word in frozenset().union(*COMMON.values())
}
SCRIPTS = (
    ("Chinese or Japanese", "\u3040", "\u9fff"),
    ("Korean", "\uac00", "\ud7af"),
    ("Arabic", "\u0600", "\u06ff"),
    ("Hindi and relatives", "\u0900", "\u097f"),
    ("Greek", "\u0370", "\u03ff"),
    ("Hebrew", "\u0590", "\u05ff"),
)
_SIGNS = tuple((name, re.compile(f"[{low}-{high}]")) for name, low, high in SCRIPTS)
_ASCII = [chr(code) for code in range(128)]
_WORDLY = re.compile(r"\w")
# Surfaces of a text of ASCII in two steps that run over it once each: its words, and what stands between them.
_NO_MARKS = str.maketrans({sign: " " for sign in _ASCII if not _WORDLY.match(sign)})
_NO_WORDS = str.maketrans({sign: " " for sign in _ASCII if _WORDLY.match(sign)})
LEAST = 0.05  # of the words have to be common ones


def language(text: str) -> str:
    if not text.isascii():
        held = [(name, sum(letter.isalpha() for letter in signs.findall(text))) for name, signs in _SIGNS]
        if any(count for _, count in held):
            letters = sum(letter.isalpha() for letter in text)
            for name, count in held:
                if count > letters / 3:
                    return name
    if text.isascii():
        words = text.lower().translate(_NO_MARKS).split()
        total = len(words) + len(text.translate(_NO_WORDS).split())
    else:
        words = [surface.strip().lower() for surface in surfaces(text)]
        total = len(words)
    hits = dict.fromkeys(COMMON, 0)
    for word in filter(_WHOSE.__contains__, words):
        for name in _WHOSE[word]:
            hits[name] += 1
    best = max(hits, key=hits.__getitem__)
    return best if hits[best] >= LEAST * max(1, total) else "other or none"


def languages(texts: Iterable[str]) -> dict[str, int]:
    """Passages by language, most frequent first."""
    return dict(Counter(language(text) for text in texts).most_common())
