"""How the fake server fails, and when: a pure function of its seed, the request and the number of the attempt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from recension.errors import UsageError

# No full answer comes, and the same request may be answered the next time.
TRANSIENT = (
    *(
        "429",
        "429-retry-after",
        "500",
        "503",
        "hang",
        "cut",
        "half-json",
        "wrong-schema",
        "wrong-type",
        "reset",
        "deaf",
    ),
    *("slow", "duplicate", "bulky"),  # these three do give the full answer, in a way that hurts
)
# What the request gets however often it is sent, unless said otherwise.
LASTING = ("empty", "truncated", "refused", "rejected", "huge")
KINDS = (*TRANSIENT, *LASTING)
ANSWERED = frozenset(("slow", "duplicate", "bulky", "empty", "truncated", "refused", "huge"))
RARE = ("hang", "deaf", "slow")  # they cost time; a share given for all of them together leaves these out


@dataclass(frozen=True)
class Faults:
    """Shares of requests by kind of fault, a script for single requests, and how long a request can be unlucky.

    `shares` holds the probability of each kind, for every attempt anew; kinds of `lasting` are drawn once for each request and
    stand instead of its answer. `script` names the fault (or "" for none) of the request of a number, counted from 0 as they
    come in. After `worst` attempts a request meets no transient fault any more.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    script: Mapping[int, str] = field(default_factory=dict)
    lasting: frozenset[str] = frozenset(LASTING)
    worst: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = ({*self.shares, *self.script.values()} - {"", *KINDS}) | (self.lasting - {*KINDS})
        if unknown:
            raise UsageError(f"the fake server knows no fault '{sorted(unknown)[0]}'; it knows {', '.join(KINDS)}")

    def choose(self, number: int, request: bytes, attempt: int) -> str:
        """The fault of an attempt, "" for none."""
        if number in self.script:
            return self.script[number]
        if not self.shares:
            return ""
        lasting = {kind: share for kind, share in self.shares.items() if kind in self.lasting}
        stands = _drawn(lasting, self._draw(request, 0))
        if attempt < self.worst:
            passing = {kind: share for kind, share in self.shares.items() if kind not in self.lasting}
            found = _drawn(passing, self._draw(request, attempt + 1))
            if found and not (stands and found in ANSWERED):  # what gives an answer gives the one that stands
                return found
        return stands

    def _draw(self, request: bytes, attempt: int) -> float:
        return uniform(self.seed, request, attempt)


def uniform(seed: int, request: bytes, attempt: int) -> float:
    salt = seed.to_bytes(8, signed=True) + attempt.to_bytes(8, signed=True)
    return int.from_bytes(hashlib.blake2b(request, digest_size=8, salt=salt).digest()) / 2**64


def _drawn(shares: Mapping[str, float], draw: float) -> str:
    for kind, share in shares.items():
        if draw < share:
            return kind
        draw -= share
    return ""


def read_shares(words: str) -> dict[str, float]:
    """`0.3` (all transient kinds that cost no time, together) or `429=0.1,cut=0.05`."""
    if not words:
        return {}
    try:
        if "=" not in words:
            quick = [kind for kind in TRANSIENT if kind not in RARE]
            return {kind: float(words) / len(quick) for kind in quick}
        return {kind: float(share) for kind, _, share in (part.partition("=") for part in words.split(","))}
    except ValueError as error:
        raise UsageError(f"faults '{words}': write one share, such as 0.3, or 429=0.1,cut=0.05") from error
