"""The passages with the smallest hashes: a sample that is the same for any number of workers and any order of the rows.

What is drawn is a *passage*: a short document, or a stretch of a longer one. Short stretches, since words come in clusters: a
sample of few whole documents has fewer subjects than one of many stretches, and would be taken for narrower. Passages that
stand in a corpus several times count as often, since text that repeats itself is what an audit looks for. The smallest ranks
are taken until they hold the wanted number of words; such samples merge exactly, because whatever is in the sample of a whole
is in the sample of its part.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from recension.methods.audit.panel import SIGNS

LONGEST = 600  # characters of a passage, or half as many more
_BREAK = re.compile(r"\s")
_SIGN = re.compile(f"[{SIGNS}]")


class Passage(msgspec.Struct, frozen=True, array_like=True):
    """`rank` decides whether it is drawn; `times` is how often it stands in the corpus."""

    rank: int
    digest: int
    text: str
    document: str
    cluster: str
    stratum: str
    words: int
    times: int = 1


class Span(NamedTuple):
    start: int
    end: int


def stretches(text: str, longest: int = LONGEST) -> Iterator[Span]:
    """Stretches of about that many characters, cut at white space."""
    start = 0
    while len(text) - start > longest * 3 // 2:
        match = _BREAK.search(text, start + longest, start + longest * 3 // 2)
        end = match.start() if match else start + longest
        yield Span(start, end)
        start = end
    if start < len(text):
        yield Span(start, len(text))


def words_in(text: str) -> int:
    """How many words, about: what white space parts, and every character of Chinese or Japanese, which it does not."""
    rest, signs = (text, 0) if text.isascii() else _SIGN.subn(" ", text)
    return len(rest.split()) + signs


def rank(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def drawn(candidates: Iterable[Passage], words: int) -> list[Passage]:
    """The smallest ranks that hold so many words, equal passages as one."""
    found: dict[tuple[int, int], Passage] = {}
    for passage in candidates:
        key = (passage.rank, passage.digest)
        known = found.get(key)
        if known is None:
            found[key] = passage
        else:
            # Which of two equal passages lends its name must not depend on the order in which they came.
            first = min(known, passage, key=lambda p: (p.document, p.cluster, p.stratum))
            found[key] = msgspec.structs.replace(first, times=known.times + passage.times)
    kept: list[Passage] = []
    total = 0
    for key in sorted(found):
        if total >= words and (not kept or found[key].rank != kept[-1].rank):
            break
        kept.append(found[key])
        total += found[key].words * found[key].times
    return kept
