"""JSON objects out of what a model answered, however it wrapped or bent them.

Valid JSON is read as JSON. Beyond it: words and code fences around it, thoughts before it, trailing and missing commas,
raw line ends and bare quotes within strings, single and curly quotes around them, keys without quotes, comments, Python's
words for true, false and null. Nothing is evaluated, nesting is bounded and so is the work: every character is looked
at a few times at most, whatever the answer.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from recension.document import JSON

LONGEST = 4_000_000  # characters of an answer; what is longer is no answer to any question of ours
DEEPEST = 64
LISTED = "items"  # the key that a bare list of objects is put under
_LOOKS = 12  # how often a character may be looked at, on average
_LONGEST_KEY = 200
_CLOSERS = {'"': '"', "'": "'", "“": '”“"', "”": '”"', "‘": "’‘'", "„": '“”"', "«": "»"}
_ENDS = {opener: re.compile(f"[\\\\{re.escape(closers)}]") for opener, closers in _CLOSERS.items()}
_SPACE = re.compile(r"[\s\ufeff]*")
_OPENING = re.compile(r"[{\[]")
_NAME = re.compile(r"[A-Za-z_][\w-]{0,99}")
_KEY_NEXT = re.compile(
    r"(?:[\"'“][^\"'“”\n]{1,100}[\"'”]|[A-Za-z_][\w-]{0,99})\s{0,20}(?::|\Z)|[\"'“][^\"'“”\n]{0,100}\Z"
)
_NUMBER = re.compile(r"[-+]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][-+]?\d{1,9})?(?![\w.])")
_WORDS: dict[str, JSON] = {
    "true": True, "false": False, "null": None, "none": None, "nan": None, "undefined": None, "infinity": None,
}  # fmt: skip
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "/": "/", "\\": "\\", '"': '"', "'": "'", "\n": "\n"}
_HALF = re.compile("[\ud800-\udfff]")
_UNIT = re.compile(r"u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?")
_THOUGHT = re.compile(r"\s*<(think|thinking|thought|reasoning)>", re.IGNORECASE)
_THOUGHT_ENDS = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)


class Found(NamedTuple):
    """An object; not `complete` where the answer broke off inside it and its end was made up."""

    value: dict[str, JSON]
    complete: bool


def find_object(text: str, wanted: Collection[str] = ()) -> dict[str, JSON] | None:
    """The object that a text holds: of several the one with most of the `wanted` keys, then the last, or the longest."""
    found = read_object(text, wanted)
    return found.value if found else None


def read_object(text: str, wanted: Collection[str] = (), close: bool = False) -> Found | None:
    """As `find_object`; with `close` also an object that the end of the text cuts, closed, if there is no whole one.

    A list of objects that stands alone is an object with the one key `items`. What lies within an object that is cut never
    passes for the answer.
    """
    if len(text) > LONGEST:
        return None
    scan = _Scan(without_thoughts(text), wanted)
    with contextlib.suppress(_OutOfFuelError):
        scan.run()
    if scan.best is not None:
        return Found(scan.best, True)
    return Found(scan.cut, False) if close and scan.cut else None


def without_thoughts(text: str) -> str:
    """The text after the thoughts that a reasoning model put before its answer; nothing if it never stopped thinking.

    Only thoughts at the beginning are taken away: tags further on belong to the answer. Some chat templates put the
    opening tag into the prompt, so that only the closing one is in the answer.
    """
    opening = _THOUGHT.match(text)
    closing = _THOUGHT_ENDS.search(text)
    if closing is None:
        return "" if opening else text
    before = text[: closing.start()]
    if opening or ("<think" not in before.lower() and "{" not in before):
        return text[closing.end() :]
    return text


class _BrokenError(Exception):
    """What begins here is no object."""


class _TooDeepError(Exception):
    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


class _EndedError(Exception):
    """The text ended inside the object."""


class _OutOfFuelError(Exception):
    pass


@dataclass(slots=True)
class _Scan:
    """One look through a text for objects."""

    text: str
    wanted: Collection[str]
    best: dict[str, JSON] | None = None
    cut: dict[str, JSON] | None = None
    _rank: tuple[int, int] = (-1, -1)
    _fuel: int = 0
    _strict: bool = False
    _stack: list[dict[str, JSON] | list[JSON]] = field(default_factory=list)
    _keys: list[str | None] = field(default_factory=list)

    def run(self) -> None:
        self._fuel = _LOOKS * len(self.text) + 1000
        at = 0
        while opening := _OPENING.search(self.text, at):
            start = opening.start()
            self._spend(start - at)
            try:
                end = self._first(start)
            except _TooDeepError as deep:
                at = deep.at + 1
                continue
            if end is None:
                at = start + 1
                continue
            if end < 0:
                self.cut = _as_object(self._stack[0])
                return
            at = end
            value = _as_object(self._stack[0])
            # A bracket in prose ("[1]") is a list too; only one that holds objects is an answer.
            if value is not None:
                count = sum(name in value for name in self.wanted)
                rank = (count, start if self.wanted else at - start)
                if rank >= self._rank:
                    self.best, self._rank = value, rank

    def _first(self, start: int) -> int | None:
        """Read from an opening bracket, as JSON or else tolerantly: the end, -1 if the text ends before it, None."""
        end: int | None = None
        for self._strict in (True, False):
            try:
                return self._container(start)
            except _BrokenError:
                end = None
            except _EndedError:
                end = -1
        return end

    def _spend(self, looks: int) -> None:
        self._fuel -= looks + 1
        if self._fuel < 0:
            raise _OutOfFuelError

    def _container(self, start: int) -> int:
        """Read from an opening bracket to the end of its container; the value is `_stack[0]`."""
        self._stack, self._keys = [], []
        at = self._open(start)
        while True:
            at = self._skip(at)
            top = self._stack[-1]
            if self.text[at] == ("}" if isinstance(top, dict) else "]"):
                if len(self._stack) == 1:
                    return at + 1
                self._stack.pop()
                self._keys.pop()
                at = self._after(at + 1)
                continue
            if isinstance(top, dict):
                at = self._key(at)
            if self.text[at] in "{[":
                at = self._open(at)
            else:
                value, at = self._scalar(at)
                self._put(value)
                at = self._after(at)

    def _open(self, at: int) -> int:
        if len(self._stack) >= DEEPEST:
            raise _TooDeepError(at)
        inner: dict[str, JSON] | list[JSON] = {} if self.text[at] == "{" else []
        if self._stack:
            self._put(inner)
        self._stack.append(inner)
        self._keys.append(None)
        return at + 1

    def _put(self, value: JSON) -> None:
        top = self._stack[-1]
        if isinstance(top, list):
            top.append(value)
        else:
            key = self._keys[-1]
            if key is not None:
                top[key] = value

    def _after(self, at: int) -> int:
        """Past the comma after a value. A comma may be missing before the end and before a new line with a key."""
        begin, at = at, self._skip(at)
        sign = self.text[at]
        if sign == ",":
            return at + 1
        inside = isinstance(self._stack[-1], dict)
        new_line = "\n" in self.text[begin:at]
        if sign == ("}" if inside else "]") or (new_line and (not inside or self._is_key(at))):
            return at
        raise _BrokenError

    def _skip(self, at: int) -> int:
        """The next sign that is neither white space nor in a comment; there has to be one."""
        while True:
            end = _SPACE.match(self.text, at).end()  # type: ignore[union-attr]
            self._spend(end - at)
            opener = self.text[end : end + 2]
            if opener not in ("//", "/*"):
                if end >= len(self.text):
                    raise _EndedError
                return end
            closer = "\n" if opener == "//" else "*/"
            close = self.text.find(closer, end + 2)
            at = len(self.text) if close < 0 else close + len(closer)
            self._spend(at - end)

    def _is_key(self, at: int) -> bool:
        self._spend(0)
        return _KEY_NEXT.match(self.text, at) is not None

    def _key(self, at: int) -> int:
        if self.text[at] in _CLOSERS:
            key, at = self._string(at, key=True)
        elif bare := _NAME.match(self.text, at):
            key, at = bare[0], bare.end()
        else:
            raise _BrokenError
        at = self._skip(at)
        if self.text[at] != ":":
            raise _BrokenError
        self._keys[-1] = key
        return self._skip(at + 1)

    def _scalar(self, at: int) -> tuple[JSON, int]:
        if self.text[at] in _CLOSERS:
            return self._string(at)
        if number := _NUMBER.match(self.text, at):
            if number.end() == len(self.text):
                raise _EndedError  # it may go on
            return _number(number[0]), number.end()
        word = _NAME.match(self.text, at)
        if word and word[0].lower() in _WORDS:
            return _WORDS[word[0].lower()], word.end()
        if word and word.end() == len(self.text):
            raise _EndedError
        raise _BrokenError

    def _string(self, at: int, key: bool = False) -> tuple[str, int]:
        """A string and the place after it. A quote ends it only where what follows can follow a string."""
        ends = _ENDS[self.text[at]]
        parts: list[str] = []
        begin = at = at + 1
        while stop := ends.search(self.text, at):
            place = stop.start()
            self._spend(place - at)
            if key and place - begin > _LONGEST_KEY:
                raise _BrokenError
            parts.append(self.text[at:place])
            if stop[0] == "\\":
                sign, at = self._escape(place)
                parts.append(sign)
            elif self._closes(place + 1, key):
                return _whole("".join(parts)), place + 1
            else:
                parts.append(stop[0])
                at = place + 1
        if key:
            raise _BrokenError if len(self.text) - begin > _LONGEST_KEY else _EndedError
        self._spend(len(self.text) - at)
        parts.append(self.text[at:])
        self._put(_whole("".join(parts)))
        raise _EndedError

    def _escape(self, at: int) -> tuple[str, int]:
        sign = self.text[at + 1 : at + 2]
        if sign == "u" and (unit := _UNIT.match(self.text, at + 1)):
            high = int(unit[1], 16)
            if unit[2] is None:
                return chr(high), unit.end()
            if 0xD800 <= high <= 0xDBFF:
                return chr(0x10000 + ((high - 0xD800) << 10) + int(unit[2], 16) - 0xDC00), unit.end()
            return chr(high), at + 6
        # An escape that JSON does not know is kept as it stands: models write LaTeX into strings.
        return _ESCAPES.get(sign, "\\" + sign), at + 1 + len(sign)

    def _closes(self, at: int, key: bool) -> bool:
        """Whether a quote before `at` ends its string."""
        begin = at
        at = _SPACE.match(self.text, at).end()  # type: ignore[union-attr]
        self._spend(at - begin)
        sign = self.text[at : at + 1]
        if self._strict or key or not sign:
            return self._strict or sign in (":", "")
        inside = isinstance(self._stack[-1], dict)
        if sign == ",":
            if not inside:
                return True
            begin = at + 1
            at = _SPACE.match(self.text, begin).end()  # type: ignore[union-attr]
            self._spend(at - begin)
            return self.text[at : at + 1] in ("", "}", "/") or self._is_key(at)
        if sign in "}]":
            return sign == ("}" if inside else "]")
        comment = self.text[at : at + 2] in ("//", "/*")
        return comment or ("\n" in self.text[begin:at] and inside and self._is_key(at))


def _as_object(value: dict[str, JSON] | list[JSON]) -> dict[str, JSON] | None:
    if isinstance(value, dict):
        return value
    return {LISTED: value} if any(isinstance(item, dict) for item in value) else None


def _number(text: str) -> JSON:
    if re.fullmatch(r"[-+]?\d{1,18}", text):
        return int(text)
    value = float(text)
    return value if math.isfinite(value) else None


def _whole(text: str) -> str:
    """Half a surrogate pair is no character, and nothing that is written to disk may hold one."""
    return _HALF.sub("\ufffd", text)
