"""Names of several words in a rewrite that its source lacks.

Found are runs of capitalised words within a sentence ("Marie Curie", "University of Vienna"). What this cannot see: names of
one word, which look like any word that opens a sentence; scripts without capitals, and German, which capitalises every noun;
names in headings and in lines of mostly capitalised words; whether a name that the source holds is put to a wrong use. It
rather misses an invented name than calls an honest one invented: half of the words of a name have to be strange to the source.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Set
from functools import lru_cache

from recension.methods.audit.languages import language

_PARTICLE_WORDS = "of de la le du del von van der den di da dos el al bin"
_PARTICLES = frozenset(_PARTICLE_WORDS.split())
_TOKEN = re.compile(r"[^\W\d_][\w'’]{0,60}(?:-\w{1,60}){0,3}")
_LONGEST = 8  # words of one name
_SENTENCE_START = re.compile(r"(?:^|[.!?:;…\n\"“”‘'(\[*_>|•–—-])\s*$")
_NO_NAME_WORDS = (
    "i the a an this that these those he she it we you they my your his her its our their in on at by for from with "
    "to of as and or but so if when while after before because although once there here what who how why where "
    "which yes no not dear mr mrs ms miss dr prof professor sir lady president king queen saint st captain doctor "
    "chapter part step question answer monday tuesday wednesday thursday friday saturday sunday january february "
    "march april may june july august september october november december north south east west northern southern "
    "eastern western english french german spanish latin chinese american british european asian african new old "
    "great happy good let now then today just even still also many most some all each every both one two three four "
    "five six seven eight nine ten first second third next last finally"
)
_TITLE_WORDS = (
    "governor senator minister prime inspector detective sergeant private corporal colonel major mayor judge justice lord "
    "bishop pope prince princess chairman chairwoman secretary chief director officer congressman uncle aunt brother sister"
)
# What a thing is, said with its name: alone these make no name that the source would have to hold.
_KIND_WORDS = (
    "party program programme project award awards prize street avenue road river lake mount county city town village state "
    "university college school institute museum library hospital church council company group government parliament league cup "
    "club team association society agency department ministry office act treaty war battle day week festival"
)
_KINDS = frozenset(_KIND_WORDS.split())
_NO_NAMES = frozenset((*_NO_NAME_WORDS.split(), *_TITLE_WORDS.split()))
_SKIPPED = _NO_NAMES | _PARTICLES
_WORD = re.compile(r"[^\W\d_]+")
_INSIDE = re.compile(r"(?<=[\w,]\s)[^\W\d_][\w'’]{0,60}(?:-\w{1,60}){0,3}")


def names(text: str) -> list[str]:
    """Names of at least two words, as they stand in the text."""
    if language(text[:2000]) == "German":
        return []
    inside = {word for word in _INSIDE.findall(text) if word[0].isupper()}
    return [name for line in text.splitlines() if not _is_heading(line) for name in _in_line(line, inside)]


@lru_cache(maxsize=16)
def words_of(text: str) -> frozenset[str]:
    """The words of a text, folded so that a plural, a possessive or an accent makes no difference."""
    return frozenset(map(_folded, _WORD.findall(_plain(text))))


def initials_of(text: str) -> frozenset[str]:
    """Its abbreviations in capitals, which support the names that they are short for."""
    return frozenset(word.replace(".", "").lower() for word in re.findall(r"\b(?:[A-Z]\.?){2,6}(?!\w)", text))


def invented_names(source: str, candidate: str) -> list[str]:
    """Names of the candidate that the source does not support."""
    known, short = words_of(source), initials_of(source)
    said = {word for word in _WORD.findall(_plain(candidate)) if word.islower()}
    found = []
    for name in names(candidate):
        parts = [word for word in _WORD.findall(_plain(name)) if word.lower() not in _SKIPPED and len(word) > 1]
        # A word that the candidate also writes small ("the program" beside "Apollo Program") is no name by itself.
        strange = [word for word in parts if _folded(word) not in known and word.lower() not in said]
        spelt_out = any(not word.isupper() for word in parts)  # "GB of RAM" is no name
        telling = [word for word in strange if word.lower() not in _KINDS]
        if (
            spelt_out
            and telling
            and len(parts) > 1
            and 2 * len(strange) >= len(parts)
            and _initials(name).isdisjoint(short)
        ):
            found.append(name)
    return found


def holds_name(source: str, name: str) -> bool:
    """Whether every word of a name stands in the source."""
    known = words_of(source)
    parts = [word for word in _WORD.findall(_plain(name)) if word.lower() not in _PARTICLES]
    return all(_folded(word) in known for word in parts)


def _in_line(line: str, inside: Set[str]) -> Iterator[str]:
    for place, run in _runs(line):
        words = run
        # The first word of a sentence is capitalised whatever it is. It counts if the text writes it so elsewhere too.
        if _SENTENCE_START.search(line[max(0, place - 12) : place]) and words[0] not in inside:
            words = words[1:]
        while words and words[0].lower() in _SKIPPED:
            words = words[1:]
        while words and not words[-1][0].isupper():
            words = words[:-1]
        if sum(word[0].isupper() for word in words) > 1:
            yield " ".join(words).rstrip("'’")


def _runs(line: str) -> Iterator[tuple[int, list[str]]]:
    """Capitalised words that only a space and a particle part, each run with its place."""
    run: list[str] = []
    place = end = -1
    for match in _TOKEN.finditer(line):
        word = match[0]
        goes_on = run and line[end : match.start()] in (" ", "\u00a0") and len(run) < _LONGEST
        joins = word in _PARTICLES or (word == "the" and run and run[-1] in _PARTICLES)
        if goes_on and (word[0].isupper() or joins):
            run.append(word)
            end = match.end()
            continue
        if run:
            yield place, run
        run = [word] if word[0].isupper() else []
        place, end = match.start(), match.end()
    if run:
        yield place, run


def _is_heading(line: str) -> bool:
    bare = line.strip()
    if bare.startswith("#") or (bare.startswith("**") and bare.endswith(("**", "**:"))):
        return True
    words = [word for word in _WORD.findall(bare) if len(word) > 3]
    return (
        len(words) > 1
        and sum(word[0].isupper() for word in words) >= 0.7 * len(words)
        and not bare.endswith((".", "!", "?"))
    )


def _initials(name: str) -> frozenset[str]:
    words = _WORD.findall(_plain(name))
    large = "".join(word[0] for word in words if word[0].isupper())
    return frozenset({large.lower(), "".join(word[0] for word in words).lower()})


def _plain(text: str) -> str:
    """Without accents."""
    if text.isascii():
        return text
    return "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))


def _folded(word: str) -> str:
    """A word by its stem, roughly: "Democratic" is supported by "Democrats", "States" by "state"."""
    lower = word.casefold()
    return lower[:6] if len(lower) > 6 else lower[:-1] if lower.endswith("s") and len(lower) > 3 else lower
