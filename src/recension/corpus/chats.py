"""The messages of a chat, and what they hold beside a role and a text: written to one column, and taken back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from recension.corpus.jsonvalues import Raw, columns_of, is_null, json_object, text_of
from recension.corpus.rows import Fault, Message

EXTRA = "messages_extra"
Turn = dict[str, Raw]

_turns = msgspec.json.Decoder(list[dict[str, msgspec.Raw] | None])


def turns_of(raw: Raw) -> Sequence[Turn | None] | Fault:
    """The messages of a row, each with its values as their own bytes."""
    try:
        return [None if turn is None else dict(turn) for turn in _turns.decode(raw)]
    except msgspec.ValidationError:
        return Fault("wrong-type", "'messages' is not a list of objects")
    except msgspec.DecodeError:
        return Fault("lone-surrogate", "'messages' holds half of a surrogate pair, which is no character")


def messages_of(turns: Sequence[Turn | None]) -> list[Message | None] | Fault:
    messages: list[Message | None] = []
    for index, turn in enumerate(turns):
        if turn is None:
            messages.append(None)
            continue
        rest = dict(turn)
        role = text_of(rest.pop("role", b"null"), f"the role of messages[{index}]")
        if isinstance(role, Fault):
            return role
        message = _message(role, rest, index)
        if isinstance(message, Fault):
            return message
        messages.append(message)
    return messages


def extras_column(messages: Sequence[Message | None], others: Iterable[str]) -> dict[str, bytes]:
    """The column for what the messages hold beside a role and a text, where they hold more.

    A row that brings a column of such a name gets ours in any case: so it is always the longest.
    """
    taken = _longest(others)
    extras = [b"null" if message is None else message.extra for message in messages]
    if taken is None and all(extra in (b"{}", b"null") for extra in extras):
        return {}
    name = EXTRA if taken is None else f"{taken}_"
    return {name: b"[" + b",".join(extras) + b"]"}


def whole_turns(turns: Sequence[Turn | None], metadata: bytes) -> Sequence[Turn | None]:
    """Messages that we wrote, with what the metadata of their row holds of them put back."""
    columns = columns_of(metadata)
    name = None if isinstance(columns, Fault) else _longest(columns)
    if isinstance(columns, Fault) or name is None:
        return turns
    extras = turns_of(columns[name])
    if isinstance(extras, Fault) or len(extras) != len(turns):
        return turns
    whole: list[Turn | None] = []
    for turn, extra in zip(turns, extras, strict=True):
        if turn is None or extra is None:
            whole.append(turn)
            continue
        # Ours hold nothing but a role and a text or null; a content that is no text is only among the extras.
        if not turn.keys() <= {"role", "content"} or "role" in extra:
            return turns
        if "content" in extra and not is_null(turn.get("content", b"null")):
            return turns
        whole.append({**turn, **extra})
    return whole


def holds_extras(metadata: bytes) -> bool:
    """Whether an object would be taken for metadata with messages of ours in it."""
    columns = columns_of(metadata)
    return isinstance(columns, dict) and _longest(columns) is not None


def _longest(names: Iterable[str]) -> str | None:
    """The longest of the names that a column of extras may have: every one is taken where the source has it."""
    return max((name for name in names if name.rstrip("_") == EXTRA), key=len, default=None)


def _message(role: str, rest: dict[str, Raw], index: int) -> Message | Fault:
    raw = rest.pop("content", b"null")
    if is_null(raw):
        return Message(role, None, "", json_object(rest))
    if bytes(memoryview(raw)[:1]) == b'"':
        content = text_of(raw, f"the content of messages[{index}]")
        return content if isinstance(content, Fault) else Message(role, content, content, json_object(rest))
    try:
        context = context_of(msgspec.json.decode(raw))
    except msgspec.DecodeError:
        return Fault("lone-surrogate", f"messages[{index}] holds half of a surrogate pair, which is no character")
    return Message(role, None, context, json_object({"content": raw, **rest}))


def context_of(content: Any) -> str:
    """The text parts of a content that is a list of parts."""
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return "\n".join(text for text in texts if isinstance(text, str))
