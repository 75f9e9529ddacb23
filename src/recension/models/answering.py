"""What all writers do alike: what a request sets, and where an answer ends."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from recension.ports import Completion, Request

LONGEST = 2048  # tokens of an answer where the request sets no bound


def number_of(request: Request, name: str) -> float:
    """A number that the request sets; 1 where it does not, which leaves the model as it is."""
    value = request.sampling.get(name)
    return float(value) if isinstance(value, int | float) else 1.0


def most_of(request: Request, room: int) -> int:
    """Tokens that the answer may have, where there is room for so many."""
    wanted = request.sampling.get("max_tokens")
    return min(room, wanted if isinstance(wanted, int) else LONGEST)


def stops_of(request: Request) -> list[str]:
    """The words that end an answer."""
    stops = request.sampling.get("stop") or []
    words = [stops] if isinstance(stops, str) else stops if isinstance(stops, list | tuple) else []
    return [str(word) for word in words if word]


def before_stop(text: str, request: Request) -> str | None:
    """The text before the first word that stops it; None where there is none."""
    first = min((place for word in stops_of(request) if (place := text.find(word)) >= 0), default=None)
    return None if first is None else text[:first]


def seed_of(request: Request, ids: Sequence[int]) -> int:
    """64 bits for a request: a function of its seed and of what the model reads."""
    told = f"{request.sampling.get('seed')}:{list(ids)}".encode()
    return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest())


def rejected(request: Request, words: str, why: str) -> Completion:
    return Completion(request.key, "", "rejected", {"error": words, "why": why})


def too_long(request: Request, tokens: int, context: int) -> Completion:
    return rejected(request, f"the prompt has {tokens} tokens, and the model reads {context}", "too-long")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
