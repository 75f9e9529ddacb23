"""The judge's verdict read, and the factuality gate: what a rewrite says that its source does not support.

A judge is a model, and names things that stand nowhere. So what it names counts only if it really stands in the candidate, and
not in the source. Beside it numbers and names are looked up without a model (`figures.py` and `names.py` say what that
misses). A claim that the judge does not name, or names in its own words instead of the candidate's, is not seen at all.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from recension.document import JSON
from recension.methods.writing.figures import invented_numbers, numbers, stands_in, supported_by
from recension.methods.writing.names import holds_name, invented_names

What = Literal["claim", "number", "name"]
KEYS: Mapping[What, str] = {
    "claim": "unsupported_claims",
    "number": "unsupported_numbers",
    "name": "unsupported_names",
}
LEAST, MOST = 1, 5
_LISTED = 50  # of each kind
_LONGEST = 500  # characters of one
_NOTHING = frozenset(("", "none", "n/a", "na", "null", "nothing", "no", "-", "none found", "[]"))
_SCORE = re.compile(r"\s*(?:score\s*[:=]?\s*)?([0-9](?:\.0+)?)\s*(?:/\s*5|out of 5)?\s*\.?\s*", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_GAP = re.compile(r"\s*(?:\.\.\.|…|\[\.\.\.\])\s*")


class Unsupported(NamedTuple):
    kind: What
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said of a rewrite. `unsupported` is what it named, not yet looked up."""

    score: int
    analysis: str = ""
    unsupported: tuple[Unsupported, ...] = ()


def verdict_schema() -> dict[str, JSON]:
    """The JSON schema of a verdict. The analysis comes first, so that the score follows from it."""
    properties: dict[str, JSON] = {"analysis": {"type": "string"}}
    for key in KEYS.values():
        properties[key] = {"type": "array", "items": {"type": "string"}}
    properties["score"] = {"type": "integer", "minimum": LEAST, "maximum": MOST}
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def read_verdict(found: Mapping[str, JSON]) -> Verdict | None:
    """A verdict out of an answer; None if it holds no score from 1 to 5."""
    given = {key.strip().lower().replace(" ", "_"): value for key, value in found.items()}
    score = _score(given.get("score", given.get("rating")))
    if score is None:
        return None
    analysis = given.get("analysis", given.get("reason", ""))
    named = [
        Unsupported(kind, text) for kind, key in KEYS.items() for text in _listed(given.get(key, given.get(f"{kind}s")))
    ]
    return Verdict(score, analysis.strip() if isinstance(analysis, str) else "", tuple(named))


def unsupported(source: str, candidate: str, verdict: Verdict | None = None) -> tuple[Unsupported, ...]:
    """What the candidate says without support in the source, each thing once: the judge's findings first, then ours.

    Without a verdict only numbers and names are looked at. A text in a genre that tells stories has invented people in it,
    and a worked calculation has new numbers: how many findings are too many is for the caller to say.
    """
    found: dict[str, Unsupported] = {}
    if verdict is not None:
        said, known, supported = _words(candidate), _words(source), supported_by(source)
        for one in verdict.unsupported:
            if not _stands(one.text, said) or _stands(one.text, known):
                continue
            # A number or a name may stand in the source in another form.
            meant = numbers(one.text) if one.kind == "number" else []
            held = bool(meant) and all(stands_in(number, supported) for number in meant)
            if not held and not (one.kind == "name" and holds_name(source, one.text)):
                found.setdefault(_words(one.text), one)
    ours = [Unsupported("number", number.text) for number in invented_numbers(source, candidate)]
    ours += [Unsupported("name", name) for name in invented_names(source, candidate)]
    named = " ".join(found)
    for one in ours:
        if (words := _words(one.text)) not in named:
            found.setdefault(words, one)
    return tuple(found.values())


def _stands(text: str, words: str) -> bool:
    """Whether a quotation stands in a text, word for word; where it leaves out the middle, each of its ends has to."""
    parts = [part for part in map(_words, _GAP.split(text)) if part.strip()]
    return bool(parts) and all(part in words for part in parts)


def _words(text: str) -> str:
    """The words of a text with a space on either side: case, punctuation and line ends make no difference."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return f" {' '.join(_WORD.findall(folded))} "


def _score(value: JSON) -> int | None:
    if isinstance(value, str):
        matched = _SCORE.fullmatch(value[:40])
        value = float(matched[1]) if matched else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if LEAST <= value <= MOST and value == int(value) else None


def _listed(value: JSON) -> list[str]:
    """The things of a list, of a string with one thing in each line, or of objects with a text in them."""
    if isinstance(value, str):
        items: list[JSON] = [*re.split(r"\n|;", value)]
    else:
        items = value if isinstance(value, list) else []
    found = []
    for item in items[:_LISTED]:
        one = next((text for text in item.values() if isinstance(text, str)), "") if isinstance(item, dict) else item
        text = str(one).strip(' \t-*•"“”') if isinstance(one, str | int | float) and not isinstance(one, bool) else ""
        if text.lower().strip(".") not in _NOTHING and len(text) <= _LONGEST:
            found.append(text)
    return found
