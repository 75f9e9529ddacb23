"""Numbers of a text as values, so that "1,200", "1200", "twelve hundred" and "1.2 thousand" are one.

A number in a rewrite is supported if its value stands in the source, in whatever form. What this cannot see: whether the number
is said of the same thing; numbers that were computed from others (a sum, an age, a percentage of two counts); numbers in
words of languages other than English; Roman numerals; small numbers in words ("two brothers"), which a text needs to count
its own parts. Where a form can be read in two ways ("1.234", "5M"), either reading supports it.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import NamedTuple

_SMALL_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "eleventh": 11, "twelfth": 12, "twentieth": 20, "nineteenth": 19, "eighteenth": 18,
    "seventeenth": 17, "sixteenth": 16, "fifteenth": 15, "fourteenth": 14, "thirteenth": 13,
}  # fmt: skip
_UNITS = {
    **{word: value for value, word in enumerate(_SMALL_WORDS.split())},
    **{word: 10 * value for value, word in enumerate(_TENS_WORDS.split(), 2)},
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SUFFIXES = {"k": 1000, "m": 10**6, "mn": 10**6, "b": 10**9, "bn": 10**9, "t": 10**12}
# What these words support beside themselves; they are never asked of a source.
_IMPLIED: dict[str, tuple[str, ...]] = {
    "half": ("0.5", "50"), "halves": ("0.5", "50"), "quarter": ("0.25", "25", "4"), "quarters": ("0.75", "75", "4"),
    "third": ("3", "33"), "thirds": ("3", "66", "67"), "dozen": ("12",), "dozens": ("12",), "decade": ("10",),
    "century": ("100",), "centuries": ("100",), "millennium": ("1000",), "double": ("2",), "twice": ("2",),
    "doubled": ("2",), "triple": ("3",), "tripled": ("3",), "couple": ("2",), "pair": ("2",), "noon": ("12",),
    "midnight": ("12", "0", "24"), "week": ("7",), "year": ("12", "365"), "day": ("24",), "hour": ("60",),
}  # fmt: skip
_MONTHS = "january february march april may june july august september october november december"

_LONGEST = 60  # signs of one number
_DIGITS = re.compile(r"\d(?:[\d.,:/\u2009\u00a0\u202f–-]{0,58}\d)?|\d")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:[\s\u2009\u00a0\u202f]\d{3})+(?:[.,]\d+)?")
_GROUPED_OTHERWISE = re.compile(r"\d{1,3}(?:\.\d{3})+(?:,\d+)?")
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)?")
_SPOKEN = "|".join((*_SCALES, *sorted(_UNITS, key=len, reverse=True), *_ORDINALS))
_WORDS = re.compile(rf"\b(?=[befhmnostz])(?:(?:{_SPOKEN})\b(?:[\s-]{{1,2}}(?:and\s)?)?){{1,9}}", re.IGNORECASE)
_SUFFIX = re.compile(r"\s?(hundred|thousand|million|billion|trillion|bn|mn|[kmbt])\b", re.IGNORECASE)
_DECADE = re.compile(r"([12]\d\d0)s")
_LINK = re.compile(r"(?:https?://|www\.)\S{1,2000}")
_RANGE_END = re.compile(r"\b(\d{2})(\d{2})\s?[-–/]\s?(\d{2})\b")
_TIME = re.compile(r"\b(\d{1,2})(?::\d\d|(?:[:.]\d\d)?\s?[ap]\.?m\b|\so.clock)", re.IGNORECASE)
_LINE_NUMBER = re.compile(
    r"^[ \t>#*_|(\[]{0,12}\d{1,3}(?:\.\d{1,3}){0,3}(?:[.):\]*_]{1,4}(?=\s)|\s?\||(?=\t))", re.MULTILINE
)
_LABELLED = re.compile(
    r"\b(?:step|part|chapter|lesson|section|question|exercise|problem|example|figure|fig|table|rule|tip|day|week|unit|module|"
    r"no|nr|number|level|act|scene|stanza|verse|panel|slide|page|q|a|phase|stage|point|item|episode|round|task|case|option|"
    r"method|principle|reason|myth|fact|scenario|speaker|character|host|guest)[\s.#:]{0,3}\d{1,2}\b",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"\b\d{1,2}[\s-](?:\w+[\s-]){0,2}?(?:tips?|ways?|reasons?|steps?|things?|facts?|questions?|lessons?|rules?|ideas?|points?|"
    r"examples?|insights?|takeaways?|secrets?|myths?|mistakes?|exercises?|activities|answers?|minute read|min read)\b",
    re.IGNORECASE,
)


class Number(NamedTuple):
    """A number as it stands in a text, and the values that it can mean: none for a date, a version, a range."""

    text: str
    values: frozenset[Decimal]


@dataclass(frozen=True, slots=True)
class Supported:
    """The values that a source supports, also in order."""

    values: frozenset[Decimal]
    ordered: tuple[Decimal, ...]

    def near(self, value: Decimal) -> tuple[Decimal, ...]:
        """Those within a twentieth of a value."""
        margin = abs(value) / 20
        return self.ordered[bisect_left(self.ordered, value - margin) : bisect_right(self.ordered, value + margin)]


def numbers(text: str) -> list[Number]:
    """All numbers of a text in digits, and those in English words from eleven on."""
    plain = _LINK.sub(" ", unicodedata.normalize("NFKC", text))
    found = [number for match in _DIGITS.finditer(plain) if (number := _in_digits(plain, match))]
    return [*found, *(number for match in _WORDS.finditer(plain) if (number := _in_words(match[0])))]


@lru_cache(maxsize=16)
def supported_by(text: str) -> Supported:
    """The values that a source supports: of its numbers and their parts, of small words, months, ranges and times."""
    plain = unicodedata.normalize("NFKC", text)
    lower = plain.lower()
    values = {value for number in numbers(plain) for value in number.values}
    values |= {part for match in _DIGITS.finditer(plain) for part in _parts(match[0])}
    for word in _WORD.findall(lower):
        if word in _UNITS or word in _ORDINALS:
            values.add(Decimal(_UNITS.get(word, _ORDINALS.get(word, 0))))
        for implied in _IMPLIED.get(word, ()):
            values.add(Decimal(implied))
    values |= {Decimal(i) for i, month in enumerate(_MONTHS.split(), 1) if month in lower}
    values |= {Decimal(match[1] + match[3]) for match in _RANGE_END.finditer(plain)}
    for match in _TIME.finditer(plain):
        hour = int(match[1])
        values.add(Decimal(hour + 12 if hour <= 12 else hour - 12))
    return Supported(frozenset(values), tuple(sorted(values)))


def stands_in(number: Number, source: Supported) -> bool:
    """Whether one reading of the number is among the values, all its parts are, or it is one of them, rounded."""
    if not number.values.isdisjoint(source.values) or any(_rounded(one, source) for one in number.values):
        return True
    if decade := _DECADE.fullmatch(number.text):
        first = int(decade[1])
        return any(first <= value < first + (10 if first % 100 else 100) for value in source.values)
    parts = _parts(number.text)
    return len(parts) > 1 and all(part in source.values for part in parts)


def invented_numbers(source: str, candidate: str) -> list[Number]:
    """Numbers of the candidate that the source does not support; numbers of list items, steps and headings left out."""
    supported = supported_by(source)
    bare = candidate
    for pattern in (_LINE_NUMBER, _LABELLED, _COUNTED):
        bare = pattern.sub(" ", bare)
    return [number for number in numbers(bare) if not stands_in(number, supported)]


def _in_digits(text: str, match: re.Match[str]) -> Number | None:
    before, after = text[max(0, match.start() - 2) : match.start()], text[match.end() : match.end() + 12]
    # A name holds digits too: H2O, x86, GPT-4, COVID-19. Scripts without capitals put words right before numbers.
    if before[-1:].isascii() and (before[-1:].isalpha() or (before[-1:] == "-" and before[:1].isupper())):
        return None
    if after[:1].isascii() and after[:1].isupper() and not _SUFFIX.match(after):
        return None  # 3D, 5G
    values = set(_readings(match[0]))
    if suffix := _SUFFIX.match(after):
        scale = _SCALES.get(suffix[1].lower()) or _SUFFIXES[suffix[1].lower()]
        scaled = {value * scale for value in values}
        values = scaled if len(suffix[1]) > 2 else values | scaled
    if after[:1] == "s" and len(match[0]) == 2:  # the '90s
        values |= {value + century for value in values for century in (1700, 1800, 1900, 2000)}
    # A source that says 1844 supports the 1840s, and one that says the 1840s no single year but the first.
    decade = after[:1] == "s" and not after[1:2].isalnum() and _DECADE.fullmatch(f"{match[0]}s")
    return Number(f"{match[0]}s" if decade else match[0], frozenset(values))


def _readings(text: str) -> list[Decimal]:
    """What one number in digits can mean. A date, a version or a range has no value as a whole."""
    forms = []
    if _GROUPED.fullmatch(text):
        forms.append(re.sub(r"[,\s\u2009\u00a0\u202f]", "", text))
    if _GROUPED_OTHERWISE.fullmatch(text):
        forms.append(text.replace(".", "").replace(",", "."))
    if re.fullmatch(r"\d+[.,]\d+|\d+", text):
        forms.append(text.replace(",", "."))
    return [value for form in forms if (value := _decimal(form)) is not None]


def _parts(text: str) -> list[Decimal]:
    """The whole numbers within a number: 2020, 3 and 5 of 2020-03-05."""
    return [value for part in re.findall(r"\d+", text) if (value := _decimal(part)) is not None]


def _in_words(text: str) -> Number | None:
    total, current, count = 0, 0, 0
    words = re.findall(r"[a-z]+", text.lower())
    for word in words:
        if word in _UNITS or word in _ORDINALS:
            value = _UNITS.get(word, _ORDINALS.get(word, 0))
            # "nineteen eighty-four" is 1984, "two three" are two numbers of no interest.
            if current and value >= 10 and current < 100 and count:
                current = current * 100 + value
            else:
                current += value
            count += 1
        elif word == "hundred":
            current = (current or 1) * 100
        elif word in _SCALES:
            total, current, count = total + (current or 1) * _SCALES[word], 0, 0
    value = total + current
    # A scale without a number before it ("hundreds", "a million thanks") is a way of speaking.
    spoken = words[0] in _SCALES or value <= 10 or words[-1] in _ORDINALS
    return None if spoken else Number(text.strip(" -\n\t"), frozenset({Decimal(value)}))


def _rounded(value: Decimal, source: Supported) -> bool:
    """Whether one of the values, rounded as the number is, is that number. Years are not rounded."""
    if value <= 0 or 1000 <= value <= 2100:
        return False
    digits = len(value.normalize().as_tuple().digits)
    return any(Decimal(f"{other:.{digits - 1}e}") == value for other in source.near(value))


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text) if len(text) <= _LONGEST else None
    except InvalidOperation:
        return None
