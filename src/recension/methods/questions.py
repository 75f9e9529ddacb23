"""Questions of five kinds: what is asked of a model, and what its answer is worth.

`choices`: a query and its possible continuations. `contexts`: possible contexts and one continuation. `cloze`: a context
and the continuation that is right. `text`: a text whose probability counts. `answer`: a prompt and the answers accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from recension.methods.answers import Match, matches
from recension.methods.estimates import Item
from recension.randomness import document_key, uniforms

Kind = Literal["choices", "contexts", "cloze", "text", "answer"]
KINDS: tuple[Kind, ...] = ("choices", "contexts", "cloze", "text", "answer")
BETWEEN_EXAMPLES = "\n\n"


class Measure(NamedTuple):
    """How a metric is made of its documents, and whether more of it is better."""

    rule: str
    higher: bool


_ACCURACY = Measure("mean", True)
MEASURES: Mapping[Kind, Mapping[str, Measure]] = {
    "choices": {"acc": _ACCURACY, "acc_norm": _ACCURACY, "acc_bytes": _ACCURACY},
    "contexts": {"acc": _ACCURACY},
    "cloze": {"acc": _ACCURACY, "perplexity": Measure("exp", False)},
    "text": {
        "word_perplexity": Measure("exp", False),
        "byte_perplexity": Measure("exp", False),
        "bits_per_byte": Measure("bits", False),
    },
    "answer": {"exact_match": _ACCURACY},
}


@dataclass(frozen=True, slots=True)
class Question:
    """`gold` are numbers of choices or contexts; `accepted` the right answers where one is to be written."""

    prompts: tuple[str, ...]
    continuations: tuple[str, ...] = ()
    gold: tuple[int, ...] = ()
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asking:
    """How all questions of a task are asked. `separator` goes between prompt and continuation (see `joined`)."""

    kind: Kind
    separator: str = " "
    match: Match = "text"
    stop: tuple[str, ...] = ("\n",)
    max_tokens: int = 64


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one question. `chosen` is the number of the choice that the model finds most probable."""

    items: Mapping[str, Item]
    loglikelihoods: tuple[float, ...] = ()
    greedy: tuple[bool, ...] = ()
    chosen: int | None = None
    written: str | None = None


def joined(before: str, after: str, separator: str) -> str:
    """The continuation as it follows the prompt: with the separator, unless white space stands there already."""
    if not before or before[-1].isspace() or after[:1].isspace():
        return after
    return separator + after


def requests(asking: Asking, question: Question, lead: str = "") -> list[tuple[Any, ...]]:
    """What lm-evaluation-harness is to ask: pairs of context and continuation, one text, or a prompt to go on from."""
    if asking.kind == "text":
        return [(question.continuations[0],)]
    prompts = [lead + prompt for prompt in question.prompts]
    if asking.kind == "answer":
        settings = {"until": list(asking.stop), "max_gen_toks": asking.max_tokens, "do_sample": False}
        return [(prompts[0], settings)]
    return [
        (prompt, joined(prompt, continuation, asking.separator))
        for prompt in prompts
        for continuation in question.continuations
    ]


def answered(asking: Asking, question: Question, results: Sequence[Any]) -> Answered:
    """The worth of what the model said: pairs of log-likelihood and greediness, a log-likelihood, or a text."""
    if asking.kind == "answer":
        written = str(results[0])
        right = matches(written, question.accepted, asking.match)
        return Answered({"exact_match": Item(float(right))}, written=written)
    if asking.kind == "text":
        text, total = question.continuations[0], float(results[0])
        size = len(text.encode("utf-8"))
        items = {
            "word_perplexity": Item(-total, len(re.split(r"\s+", text))),
            "byte_perplexity": Item(-total, size),
            "bits_per_byte": Item(-total, size),
        }
        return Answered(items, (total,))
    totals = np.array([float(total) for total, _ in results])
    greedy = tuple(bool(said) for _, said in results)
    if asking.kind == "cloze":
        items = {"acc": Item(float(greedy[0])), "perplexity": Item(-float(totals[0]))}
        return Answered(items, tuple(totals.tolist()), greedy)
    chosen = int(np.argmax(totals))
    items = {"acc": Item(float(chosen in question.gold))}
    if asking.kind == "choices":
        characters = np.array([len(choice) for choice in question.continuations])
        size_in_bytes = np.array([len(choice.encode("utf-8")) for choice in question.continuations])
        items["acc_norm"] = Item(float(int(np.argmax(totals / characters)) in question.gold))
        items["acc_bytes"] = Item(float(int(np.argmax(totals / size_in_bytes)) in question.gold))
    return Answered(items, tuple(totals.tolist()), greedy, chosen)


def chance(asking: Asking, question: Question) -> float | None:
    """How often a guess is right, where there is something to guess from."""
    options = {"choices": question.continuations, "contexts": question.prompts}.get(asking.kind)
    return None if options is None else len(question.gold) / len(options)


def example(asking: Asking, question: Question) -> str:
    """A question with its right answer, as it stands before another one."""
    if asking.kind == "contexts":
        prompt, right = question.prompts[question.gold[0]], question.continuations[0]
    elif asking.kind == "answer":
        prompt, right = question.prompts[0], question.accepted[0]
    else:
        prompt, right = question.prompts[0], question.continuations[question.gold[0] if question.gold else 0]
    return prompt + joined(prompt, right, asking.separator)


def examples_for(question: Question, pool: Sequence[Question], count: int, seed: int, name: str) -> list[Question]:
    """`count` questions of the pool, none of them the one that is asked, nor a copy of it.

    They belong to the question: neither its place in the file nor a limit changes what is drawn.
    """
    key = document_key(seed, name, "\0".join((*question.prompts, *question.continuations)))
    order = np.argsort(uniforms(key, np.arange(len(pool), dtype=np.int64)), kind="stable")
    found: list[Question] = []
    for index in order.tolist():
        if len(found) == count:
            break
        if pool[index] != question:
            found.append(pool[index])
    return found


def lead(asking: Asking, examples: Sequence[Question]) -> str:
    return "".join(example(asking, one) + BETWEEN_EXAMPLES for one in examples)
