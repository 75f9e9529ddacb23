"""What the fake server answers: plausible text and JSON as a pure function of the request, the same on every machine.

Text is the fenced source of the last message with its sentences moved about and some words exchanged; now and then a copy, a
boilerplate opening or a stump, so that rules which clean and judge have something to find. JSON fits the schema asked for.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

_FENCE = re.compile(
    r"^[ \t]*(?:<(/?)([A-Za-z][\w.:-]*)[^<>\n]*>|(`{3,}|~{3,}|={3,}|-{3,})[^\n]*?)[ \t]*$", re.MULTILINE
)
_END = re.compile(r"[.!?]\s|\n")
_EXCHANGES = {
    **{"because": "since", "but": "yet", "also": "too", "many": "numerous", "big": "large", "small": "little"},
    **{"use": "employ", "used": "employed", "show": "reveal", "shows": "reveals", "often": "frequently"},
    **{"begin": "start", "began": "started", "help": "aid", "get": "obtain", "make": "produce", "made": "produced"},
    **{"must": "has to", "about": "around", "before": "ahead of", "quickly": "fast", "important": "weighty"},
    **{"found": "discovered", "different": "distinct", "very": "quite", "however": "still", "such": "like"},
    **{"between": "amid", "while": "as", "some": "certain", "people": "persons", "need": "require", "first": "initial"},
}
_LINKS = ("In other words,", "Put simply,", "As it happens,", "To be exact,", "Seen from here,", "What is more,")
_OPENINGS = ("Sure! Here is the rewritten text:", "Certainly! Below is a version for the audience you named:")
_GENRES = (
    *(
        "field guide",
        "letter to the editor",
        "lecture notes",
        "news report",
        "dialogue",
        "travel journal",
        "case study",
    ),
    *(
        "podcast script",
        "frequently asked questions",
        "bedtime story",
        "technical memo",
        "speech",
        "encyclopedia entry",
    ),
)
_MANNERS = ("plain", "playful", "sober", "step-by-step", "sceptical", "warm", "terse", "vivid")
_AUDIENCES = (
    *(
        "nurses in training",
        "retired engineers",
        "primary school pupils",
        "museum visitors",
        "small farmers",
        "lawyers",
    ),
    *(
        "amateur astronomers",
        "parents of toddlers",
        "city planners",
        "first-year students",
        "sailors",
        "local historians",
    ),
)


def written(body: Mapping[str, Any]) -> str:
    """The answer to a request: JSON where a schema came with it or stands in a message, else text after the source."""
    texts = [_content(message) for message in body.get("messages", ())]
    last = texts[-1] if texts else ""
    random = _random(texts, body)
    wanted = (body.get("response_format") or {}).get("json_schema")
    if wanted is not None:
        return json.dumps(fitting(wanted.get("schema", {}), random, source_of(last)), ensure_ascii=False)
    described = _schema_in(texts)
    if described is not None:
        found = json.dumps(fitting(described, random, source_of(last)), ensure_ascii=False, indent=1)
        return f"Here is the JSON:\n```json\n{found}\n```\n" if random.random() < 0.5 else found
    return retold(source_of(last), random)


def _random(texts: Sequence[str], body: Mapping[str, Any]) -> Random:
    told = "\0".join((*texts, str(body.get("seed")), str(body.get("temperature")), str(body.get("model"))))
    return Random(int.from_bytes(hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=8).digest()))


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content or () if isinstance(part, Mapping))


def source_of(message: str) -> str:
    """The longest stretch between two fences (tags, backticks, rules), or the longest paragraph."""
    opened: dict[str, int] = {}
    start, end = 0, 0
    for fence in _FENCE.finditer(message):
        closes, name = fence[1] == "/", fence[2] or fence[3]
        if name in opened and (closes or fence[3]):
            begun = opened.pop(name)
            if fence.start() - begun > end - start:
                start, end = begun, fence.start()
        elif not closes:
            opened[name] = fence.end()
    return message[start:end].strip() or max(message.split("\n\n"), key=len).strip()


def retold(source: str, random: Random) -> str:
    """The source in another order and partly in other words."""
    sentences = _sentences(source) or ["There is nothing to tell."]
    kind = random.random()
    if kind < 0.03:
        return source or sentences[0]
    if kind < 0.06:
        return " ".join(sentences[:1])[:60]
    turned = int(random.random() * len(sentences))
    kept = [s for s in sentences if random.random() < 0.9] or sentences
    moved = [_exchanged(s, random) for s in kept[turned:] + kept[:turned]]
    size = 3 + int(random.random() * 3)
    told = "\n\n".join(" ".join(moved[i : i + size]) for i in range(0, len(moved), size))
    if kind < 0.1:
        return f"{_OPENINGS[int(random.random() * len(_OPENINGS))]}\n\n{told}"
    return told


def _sentences(text: str) -> list[str]:
    found, start = [], 0
    for end in _END.finditer(text):
        found.append(text[start : end.end()].strip())
        start = end.end()
    return [sentence for sentence in (*found, text[start:].strip()) if sentence]


def _exchanged(sentence: str, random: Random) -> str:
    """Clauses turned round, words exchanged, and a link before it."""
    end = sentence[-1] if sentence[-1] in ".!?" else ""
    body = sentence.rstrip(".!?")
    if random.random() < 0.9:
        body = " ".join([_EXCHANGES.get(word, word) for word in body.split(" ")])
    clauses = body.split(", ")
    if len(clauses) > 1:
        turn = 1 + int(random.random() * (len(clauses) - 1))
        clauses = clauses[turn:] + clauses[:turn]
    told = ", ".join(clauses)
    if random.random() < 0.4:
        return f"{_LINKS[int(random.random() * len(_LINKS))]} {told}{end}"
    return f"{told[:1].upper()}{told[1:]}{end}"


def _schema_in(texts: Sequence[str]) -> Mapping[str, Any] | None:
    for text in reversed(texts):
        place = text.find('"properties"')
        while place > 0:
            place = text.rfind("{", 0, place)
            try:
                found, _ = json.JSONDecoder().raw_decode(text, place) if place >= 0 else (None, 0)
            except json.JSONDecodeError:
                continue
            return found if isinstance(found, dict) and "properties" in found else None
    return None


def fitting(schema: Mapping[str, Any], random: Random, source: str = "") -> Any:
    """A value that fits a JSON schema (types, enums, bounds, arrays, references; patterns are not looked at)."""
    return _Fit(schema, random, source).value(schema, "")


class _Fit:
    def __init__(self, root: Mapping[str, Any], random: Random, source: str) -> None:
        self._root, self._random = root, random
        self._words = source.split() or ["nothing", "to", "tell"]

    def value(self, schema: Any, name: str, depth: int = 0) -> Any:
        schema = self._settled(schema)
        kind = schema.get("type", "object" if "properties" in schema else "string")
        kind = kind[0] if isinstance(kind, list) else kind
        if "enum" in schema:
            return self._one(schema["enum"])
        if kind == "object":
            needed = schema.get("required", ())
            fields = schema.get("properties", {})
            return {key: self.value(s, key, depth + 1) for key, s in fields.items() if depth < 8 or key in needed}
        if kind == "array":
            return self._array(schema, name, depth)
        return self._plain(kind, schema, name)

    def _settled(self, schema: Any) -> Mapping[str, Any]:
        """References followed, the first of several choices taken."""
        for _ in range(16):
            if not isinstance(schema, Mapping):
                break
            chosen = next((schema[way] for way in ("anyOf", "oneOf", "allOf") if schema.get(way)), None)
            if "$ref" in schema:
                found: Any = self._root
                for part in str(schema["$ref"]).lstrip("#/").split("/"):
                    found = found[part]
                schema = found
            elif chosen is not None:
                schema = chosen[0]
            else:
                return {**schema, "enum": [schema["const"]]} if "const" in schema else schema
        return {}

    def _plain(self, kind: str, schema: Mapping[str, Any], name: str) -> Any:
        if kind in ("integer", "number"):
            return self._number(schema, kind == "integer")
        if kind == "boolean":
            return self._random.random() < 0.7
        return None if kind == "null" else self._string(schema, name)

    def _one(self, values: Sequence[Any]) -> Any:
        return values[int(self._random.random() * len(values))]

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        least = int(schema.get("minItems", 1 if depth < 6 else 0))
        most = int(schema.get("maxItems", max(least, 3)))
        size = least + int(self._random.random() * (most - least + 1))
        found: list[Any] = []
        for _ in range(size * 8):
            if len(found) == size:
                break
            value = self.value(schema.get("items", {}), name, depth + 1)
            if not schema.get("uniqueItems") or value not in found:
                found.append(value)
        return found

    def _number(self, schema: Mapping[str, Any], whole: bool) -> int | float:
        """More often near the upper end, as judges give their marks."""
        low = float(schema.get("minimum", schema.get("exclusiveMinimum", 0)))
        high = float(schema.get("maximum", schema.get("exclusiveMaximum", low + 10)))
        low += whole and "exclusiveMinimum" in schema
        high -= whole and "exclusiveMaximum" in schema
        share = max(self._random.random(), self._random.random())
        if whole:
            return min(int(low) + int(share * (high - low + 1)), int(high))
        return round(low + share * (high - low), 3)

    def _string(self, schema: Mapping[str, Any], name: str) -> str:
        low = name.lower()
        if "genre" in low:
            found = f"{self._one(_MANNERS)} {self._one(_GENRES)}"
        elif "audience" in low:
            found = f"{self._one(_AUDIENCES)} who like it {self._one(_MANNERS)}"
        else:
            start = int(self._random.random() * len(self._words))
            found = " ".join(self._words[start : start + 12])
        least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
        while len(found) < least:
            found = f"{found} {self._one(self._words)}"
        return found[:most]
