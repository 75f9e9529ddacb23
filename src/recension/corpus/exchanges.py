"""What a prior reads of a row, which stretches of it may change, and how the row is built again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recension.corpus.rows import INSTRUCTION_KEYS, Exchange, Fault, Message, Reading, Record, Shape
from recension.document import KINDS, Document, Field, Origin
from recension.identity import derived_id

MOST_GENERATIONS = 1 << 30


@dataclass(frozen=True, slots=True)
class Shaped:
    """The text of a row, its fields, and the contents it was made of."""

    text: str
    fields: tuple[Field, ...]
    exchange: Exchange


def choose_shape(has: Callable[[str], bool], present: Callable[[str], bool], reading: Reading) -> Shape | Fault:
    """The shape of one row: the first of those sought whose columns hold something.

    An instruction that is null counts as empty, so its column is a matter of `has`.
    """
    for shape in reading.sought:
        if shape == "text" and present(reading.text_key):
            return shape
        if shape == "chat" and present("messages"):
            return shape
        if shape == "instruction" and present("output") and has("instruction"):
            return shape
    wanted = {
        "text": f"'{reading.text_key}'",
        "chat": "'messages'",
        "instruction": "'instruction' and 'output'",
    }
    sought = " or ".join(wanted[shape] for shape in reading.sought)
    return Fault("missing-text", f"the row has no {sought}, or it is null")


def expected(shape: Shape | Fault, shapes: tuple[Shape, ...]) -> Shape | Fault:
    """The same, unless the output has no columns for it."""
    if isinstance(shape, Fault) or shape in shapes:
        return shape
    detail = f"a row of shape '{shape}' where only '{shapes[0]}' was seen: --shape mixed makes columns for every shape"
    return Fault("unexpected-shape", detail)


def shape_text(text: str) -> Shaped:
    return Shaped(text, (Field("text", 0, len(text)),), Exchange("text"))


def shape_chat(messages: Sequence[Message | None]) -> Shaped:
    """A plain rendering of the exchange; the answers that are strings may change."""
    parts: list[str] = []
    fields: list[Field] = []
    length = 0
    for index, message in enumerate(messages):
        if message is None or not message.context:
            continue
        lead = f"{message.role}: " if not parts else f"\n\n{message.role}: "
        start = length + len(lead)
        length = start + len(message.context)
        parts += (lead, message.context)
        if message.role == "assistant" and message.content:
            fields.append(Field(f"messages[{index}].content", start, length))
    return Shaped("".join(parts), tuple(fields), Exchange("chat", messages=tuple(messages)))


def shape_instruction(instruction: str | None, given: str | None, output: str) -> Shaped:
    before = "".join(part + "\n\n" for part in (instruction, given) if part)
    text = before + output
    fields = (Field("output", len(before), len(text)),)
    return Shaped(text, fields, Exchange("instruction", instruction=(instruction, given, output)))


def sound(shaped: Shaped | Fault) -> Shaped | Fault:
    """The same, unless the text was read well and still cannot be used."""
    if isinstance(shaped, Fault):
        return shaped
    exchange, text = shaped.exchange, shaped.text
    if "\0" in text or any(message and "\0" in message.role for message in exchange.messages):
        return Fault("nul", f"the text holds a NUL character (character {max(text.find(chr(0)), 0)})")
    if exchange.shape == "instruction" and not exchange.instruction[2]:
        return Fault("empty-text", "the output is empty")
    if not text:
        return Fault("empty-text", "no message has a text" if exchange.shape == "chat" else "the text is empty")
    return shaped


def document_of(shaped: Shaped, given: str | None, place: tuple[str, int], origin: Origin | Reading) -> Document:
    """The document of a row: under the id it brought or a derived one, with its origin or the declared kind."""
    name = given if given is not None else derived_id(shaped.text.encode("utf-8"), *place)
    if isinstance(origin, Reading):
        origin = Origin(origin.origin or "unknown", name, name, "", "", 0)
    return Document(name, shaped.text, origin, {}, given is not None, shaped.fields)


def origin_of(value: Any) -> Origin | None:
    """An origin in our own form, or None: then the column is one like any other."""
    if not isinstance(value, Mapping):
        return None
    texts = [text for key in ("kind", "root", "parent", "method", "run") if isinstance(text := value.get(key), str)]
    generation = value.get("generation")
    strange = set(value) - {"kind", "root", "parent", "method", "run", "generation", "edition"}
    if strange or type(generation) is not int or not 0 <= generation < MOST_GENERATIONS or len(texts) < 5:
        return None
    kind = next((kind for kind in KINDS if kind == texts[0]), None)
    return Origin(kind, texts[1], texts[2], texts[3], texts[4], generation) if kind else None


def with_odd_origin(document: Document, value: Mapping[str, Any]) -> Document:
    """The document with what can be understood of an origin that has our columns and not our values."""
    generation = value.get("generation")
    known = type(generation) is int and 0 <= generation < MOST_GENERATIONS
    texts = {key: value.get(key) for key in ("root", "parent", "method", "run")}
    root, parent, method, run = (text if isinstance(text, str) else "" for text in texts.values())
    origin = Origin(
        next((kind for kind in KINDS if kind == value.get("kind")), "unknown"),
        root or document.id,
        parent or document.id,
        method,
        run,
        generation if isinstance(generation, int) and known else 0,
    )
    return replace(document, origin=origin)


def rebuild(record: Record, new_texts: Mapping[str, str], document: Document) -> dict[str, Any]:
    """The text columns of a row with new contents: by field path, or for plain rows the text of the document."""
    exchange = record.carried.exchange
    unknown = set(new_texts) - {field.path for field in record.document.fields}
    if unknown:
        raise ValueError(f"{record.document.id} has no field {sorted(unknown)[0]}")
    if exchange.shape == "text":
        return {"text": new_texts.get("text", document.text)}
    if exchange.shape == "chat":
        return {
            "messages": [
                message
                and {"role": message.role, "content": new_texts.get(f"messages[{index}].content", message.content)}
                for index, message in enumerate(exchange.messages)
            ]
        }
    instruction, given, output = exchange.instruction
    return dict(zip(INSTRUCTION_KEYS, (instruction, given, new_texts.get("output", output)), strict=True))
