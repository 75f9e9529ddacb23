"""Names for content: hashes that mean the same on every machine."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec


def canonical_json(value: Any) -> bytes:
    """The one JSON spelling of a value: sorted keys, no white space. Dataclasses count as objects."""
    return msgspec.json.encode(value, order="sorted")


def sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def fingerprint(value: Any) -> str:
    """sha256 of the canonical JSON of a value."""
    return sha256(canonical_json(value))


def content_hash(text: str) -> str:
    """The identity of a text: sha256 of its UTF-8 bytes."""
    return sha256(text.encode("utf-8"))


def derived_id(content: bytes, path: str, row: int) -> str:
    """A stable id for a row that brought none: what it says, made unique by where it stands.

    `path` is relative to the input as the user gave it, so that moving the whole input changes nothing.
    """
    place = hashlib.sha256(f"{path}\0{row}".encode("utf-8", "surrogateescape")).hexdigest()
    return f"{sha256(content)[:16]}-{place[:12]}"
