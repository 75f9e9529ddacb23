"""Genre-audience pairs: asked for as flat JSON, read from whatever came, near-duplicates refused (MAGA, stage 1)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from recension.document import JSON

LONGEST = 2000  # characters of a genre or an audience; they are asked for in two or three sentences
_FEW_WORDS = 5
_LONGEST_NAME = 60
_NAME_ENDS = re.compile(r":|\n|\s[–—-]\s|[.;!?](?=\s|$)")
_LABEL = re.compile(r"^[\s*_#>\"'“(-]*(?:genre|audience|readers?)\s*\d*\s*[*_]*[:.)-]\s*", re.IGNORECASE)
_MARKS = re.compile(r"[*_#`\"“”]+")
_KEY = re.compile(r"^[\W_]*(genre|audience)s?[\W_]*(\d*)[\W_]*$", re.IGNORECASE)

# Two descriptions are alike from this similarity on: the greater of the word-set Jaccard index and the Dice
# coefficient of character trigrams. The first sees words in another order, the second words in another form. What
# people call the same lies above ("Travel blog for families" / "travel blogs for a family" 0.69, "Primary school
# children" / "Elementary school children" 0.73, a description said again in other words 0.72), what differs in the word
# that matters below ("Detective story" / "Detective comic" 0.60, "College students" / "Graduate students" 0.55, two
# descriptions built alike of engineers and of teachers 0.65). Synonyms ("News report" / "Press article") are not seen.
ALIKE = 0.66


@dataclass(frozen=True, slots=True)
class Pair:
    """For whom a text is to be written, and as what."""

    genre: str
    audience: str

    @property
    def genre_name(self) -> str:
        return _name(self.genre)

    @property
    def audience_name(self) -> str:
        return _name(self.audience)


def pairs_schema(k: int) -> dict[str, JSON]:
    """The JSON schema of an answer with `k` pairs: flat, since small models lose their way in nested objects."""
    names = [f"{what}_{i}" for i in range(1, k + 1) for what in ("audience", "genre")]
    properties: dict[str, JSON] = {name: {"type": "string"} for name in names}
    return {"type": "object", "properties": properties, "required": [*names], "additionalProperties": False}


def read_pairs(found: Mapping[str, JSON], k: int) -> list[Pair]:
    """At most `k` pairs out of an answer, in order.

    Beside the flat form lists of genres and audiences are read, and objects with a genre and an audience in them, one or
    more levels down. What has no text, or half a pair, is left out.
    """
    genres: dict[int, str] = {}
    audiences: dict[int, str] = {}
    nested: list[Pair] = []
    for key, value in found.items():
        matched = _KEY.match(key)
        if matched is None:
            nested += _nested(value, k)
            continue
        side = genres if matched[1].lower() == "genre" else audiences
        first = int(matched[2][:4]) if matched[2] else 0
        values = value if isinstance(value, list) and not matched[2] else [value]
        for number, one in enumerate(values, first):
            if text := _text(one):
                side.setdefault(number, text)
    flat = [Pair(genres[number], audiences[number]) for number in sorted(genres.keys() & audiences.keys())]
    return [*flat, *nested][:k]


def fresh_pairs(pairs: Iterable[Pair], held: Sequence[Pair] = ()) -> tuple[list[Pair], list[Pair]]:
    """Pairs that are new beside those held and beside each other, and the others: (kept, refused).

    The same genre for another audience is a new pair, and so is another genre for the same audience; a pair is refused
    where both are alike, by name or as described.
    """
    known = [_Features.of(pair) for pair in held]
    kept: list[Pair] = []
    refused: list[Pair] = []
    for pair in pairs:
        features = _Features.of(pair)
        if any(features.like(other) for other in known):
            refused.append(pair)
        else:
            kept.append(pair)
            known.append(features)
    return kept, refused


def similarity(one: str, other: str) -> float:
    """Of two descriptions, between 0 and 1."""
    return _alike(_Shape.of(one), _Shape.of(other))


@dataclass(frozen=True, slots=True)
class _Shape:
    """A description by its words and its character trigrams."""

    words: frozenset[str]
    trigrams: frozenset[str]

    @staticmethod
    def of(text: str) -> _Shape:
        folded = unicodedata.normalize("NFKC", text).casefold()
        words = re.findall(r"\w+", folded)
        joined = f" {' '.join(words)} "
        return _Shape(frozenset(words), frozenset(joined[i : i + 3] for i in range(len(joined) - 2)))


@dataclass(frozen=True, slots=True)
class _Features:
    genre: _Shape
    audience: _Shape
    genre_name: _Shape
    audience_name: _Shape

    @staticmethod
    def of(pair: Pair) -> _Features:
        shapes = map(_Shape.of, (pair.genre, pair.audience, pair.genre_name, pair.audience_name))
        return _Features(*shapes)

    def like(self, other: _Features) -> bool:
        genre = max(_alike(self.genre, other.genre), _alike(self.genre_name, other.genre_name))
        audience = max(_alike(self.audience, other.audience), _alike(self.audience_name, other.audience_name))
        return min(genre, audience) >= ALIKE


def _alike(one: _Shape, other: _Shape) -> float:
    either = len(one.words | other.words)
    jaccard = len(one.words & other.words) / either if either else 1.0
    both = len(one.trigrams) + len(other.trigrams)
    dice = 2 * len(one.trigrams & other.trigrams) / both if both else 1.0
    return max(jaccard, dice)


def _name(text: str) -> str:
    bare = _MARKS.sub("", _LABEL.sub("", text)).strip()
    end = _NAME_ENDS.search(bare, 1) if bare else None
    named = bare[: end.start()] if end and end.start() <= _LONGEST_NAME else " ".join(bare.split()[:_FEW_WORDS])
    return " ".join(named.split()).strip(" ,.;-").casefold()[:_LONGEST_NAME]


def _nested(value: JSON, k: int) -> list[Pair]:
    """Pairs within a value that is no genre and no audience itself."""
    if isinstance(value, dict):
        return read_pairs(value, k)
    if isinstance(value, list):
        return [pair for one in value[: 4 * k] if isinstance(one, dict) for pair in read_pairs(one, k)]
    return []


def _text(value: JSON) -> str:
    """A description out of a string, a list of sentences, or an object such as {"name": ..., "description": ...}."""
    if isinstance(value, str):
        text = value.strip()
    elif isinstance(value, list):
        text = " ".join(one.strip() for one in value if isinstance(one, str))
    elif isinstance(value, dict):
        text = ": ".join(one.strip() for one in value.values() if isinstance(one, str) and one.strip())
    else:
        text = ""
    return text if len(text) <= LONGEST and any(letter.isalnum() for letter in text) else ""
