"""From an exchange to a sample: what is read, what is learnt, written plainly or by the model's own template."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.corpus import BadRow, Record, set_aside
from recension.training.tokenizer import Tokenizing


class Sample(NamedTuple):
    """Tokens of one document, and for each whether it is learnt."""

    tokens: NDArray[np.int32]
    learn: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Unusable:
    """A record that is set aside after all."""

    bad: BadRow


class _Part(NamedTuple):
    text: str
    learn: bool


class _Fault(NamedTuple):
    reason: str
    detail: str


def sample_of(record: Record, words: Tokenizing, template: str, longest: int) -> Sample | Unusable:
    """The exchange of a record as tokens. Question and answer are tokenised apart: so they stand when the model is asked."""
    parts = _from_template(record, words) if template == "model" else _plainly(record)
    if isinstance(parts, _Fault):
        return Unusable(set_aside(record, parts.reason, parts.detail))
    if not any(part.learn for part in parts):
        detail = "no answer to learn: no text of an assistant, or no 'output'"
        return Unusable(set_aside(record, "no-answer", detail))
    ids, learn = [], []
    encoded = words.encode_parts([part.text for part in parts], template == "model")
    for part, found in zip(parts, encoded, strict=True):
        end = words.framing.after if template == "plain" and part.learn else ()
        ids += [found, np.array(end, np.int32)]
        learn.append(np.full(len(found) + len(end), part.learn, np.uint8))
    tokens, flags = np.concatenate(ids), np.concatenate(learn)
    if template == "model" and len(tokens) and tokens[0] == words.framing.lead:
        tokens, flags = tokens[1:], flags[1:]  # the row brings its own
    if len(tokens) > longest:
        detail = f"{len(tokens):,} tokens are more than the {longest:,} of a row: raise --context to keep it"
        return Unusable(set_aside(record, "too-long", detail))
    return Sample(tokens, flags)


def _plainly(record: Record) -> list[_Part] | _Fault:
    """As `edit` reads it; what stands behind the last answer teaches nothing and is left out."""
    document = record.document
    if record.carried.exchange.shape == "text":
        return _Fault("no-exchange", "a plain text has no question and no answer: use `train continue` for it")
    parts, reached = [], 0
    for field in document.fields:
        parts.append(_Part(document.text[reached : field.start], False))
        parts.append(_Part(document.text[field.start : field.end], True))
        reached = field.end
    return [part for part in parts if part.text]


def _from_template(record: Record, words: Tokenizing) -> list[_Part] | _Fault:
    """By the model's template: an answer is what it adds behind the prompt for one."""
    turns = list(_turns(record))
    if not turns:
        return _plainly(record) if record.carried.exchange.shape == "text" else []
    said = [turn[key] for turn in turns for key in ("role", "content")]
    special = next((mark for text in said for mark in words.marks if mark in text), None)
    if special is not None:
        return _Fault("special-token", f"a message holds {special!r}, which would steer the model")
    answers = [number for number, turn in enumerate(turns) if turn["role"] == "assistant"]
    # A template may write earlier answers anew (without their thoughts, say): then the last one is learnt alone.
    for chosen in (answers, answers[-1:]):
        parts = _turn_by_turn(turns, chosen, words)
        if parts is not None:
            return parts
    return _Fault("template", "the model's chat template cannot write this exchange")


def _turn_by_turn(turns: list[dict[str, Any]], answers: list[int], words: Tokenizing) -> list[_Part] | None:
    """Each answer is what the template adds behind the prompt for it; None where it does more than add."""
    parts: list[_Part] = []
    written = ""
    for number in answers:
        prompt = words.render(turns[:number], True)
        whole = words.render(turns[: number + 1], False)
        if prompt is None or whole is None or not prompt.startswith(written) or not whole.startswith(prompt):
            return None
        parts += [_Part(prompt[len(written) :], False), _Part(whole[len(prompt) :], True)]
        written = whole
    return [part for part in parts if part.text]


def _turns(record: Record) -> Iterator[dict[str, Any]]:
    exchange = record.carried.exchange
    if exchange.shape == "instruction":
        instruction, given, output = exchange.instruction
        yield {"role": "user", "content": "\n\n".join(part for part in (instruction, given) if part)}
        yield {"role": "assistant", "content": output}
    for message in exchange.messages:
        if message is not None and message.context:
            yield {"role": message.role, "content": message.context}
