"""Randomness that belongs to the document, not to the process.

A draw is a pure function of (seed, given id or nothing, content, generation, edition) and of a position in the text.
There is no stream to advance, so workers, batches, file order and restarts cannot change what is drawn.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def document_key(seed: int, given_id: str | None, content: str, generation: int = 1, edition: int = 1) -> int:
    """A 64-bit key for one reading of one document. `content` is its content hash."""
    digest = hashlib.blake2b(digest_size=8, person=b"recension")
    for part in (str(seed), "" if given_id is None else "=" + given_id, content, str(generation), str(edition)):
        raw = part.encode("utf-8")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return int.from_bytes(digest.digest(), "little")


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # The finaliser of SplitMix64: every input bit reaches every output bit.
    values = (values ^ (values >> np.uint64(30))) * _MIX_1
    values = (values ^ (values >> np.uint64(27))) * _MIX_2
    return values ^ (values >> np.uint64(31))


def uniforms(key: int, positions: NDArray[np.int64], lane: int = 0) -> NDArray[np.float64]:
    """One number in [0, 1) for each position; `lane` gives further independent ones at the same position."""
    with np.errstate(over="ignore"):
        counter = (positions.astype(np.uint64) * np.uint64(1 << 20) + np.uint64(lane)) * _GOLDEN
        bits = _mix(_mix(counter ^ np.uint64(key)) + np.uint64(key))
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def scattered(*parts: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One 64-bit number for each row of the parts, which are arrays of one length: a hash of them, in their order."""
    with np.errstate(over="ignore"):
        found = np.zeros(len(parts[0]), np.uint64)
        for part in parts:
            found = _mix((found ^ part) * _GOLDEN + _GOLDEN)
    return found


def draws(seed: int, contents: NDArray[np.uint64], names: NDArray[np.uint64], lane: int = 0) -> NDArray[np.float64]:
    """One number in [0, 1) for each of many documents: a function of the seed, the content and the given id (0 for none).

    What `document_key` is to one document; contents and ids come as 64-bit hashes.
    """
    with np.errstate(over="ignore"):
        start = _mix(np.array([seed & 0xFFFFFFFFFFFFFFFF, lane], dtype=np.uint64) + _GOLDEN)
        bits = _mix(_mix(_mix(contents + start[0]) ^ (names * _GOLDEN)) + start[1])
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
