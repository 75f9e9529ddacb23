"""What `tests/servers/` saw of real servers: the page docs/servers.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tellers.words import table

LONGEST = 72
FOUND = Path(__file__).parents[2] / "tests" / "servers" / "found.json"

HEAD = """\
# Servers

`make check-server` installs servers that nobody here wrote, gives each a tiny Llama that is made on the spot (its answers are
nonsense), asks it over plain HTTP what it can do, and puts our own client for `--writer openai:MODEL@URL` to it: answers, stop
words, limits, prompts that are too long, many requests at once, schemas where the server knows them. It prints what it sees;
`python tests/servers/lane.py --record` also writes it to `tests/servers/found.json`, from which `docs/generate.py` writes this
page.
"""

BY_HAND = """\
Cells with a star were entered by hand: no record of a run stands behind them. The lane did not yet write down whether the
contract held when the other cells were recorded, but only printed it. The next `--record` replaces them.
"""

TAIL = """\
A cell with a number is the status of a reply and the beginning of the server's words. Log-probabilities of a prompt are what
an `openai:` [prior](priors.md#openai) needs; a writer does without.

What follows from it:

- A server that does not know JSON schemas says so in its own way, or not at all. Recension tries it once at the beginning of
  a run, puts the schema into words in any case, and reads answers tolerantly.
- "Ignored" is the worst answer: where seeds are ignored, the same run in an empty folder may give other texts. What is in the
  journal stays as it is.
- A penalty on repetitions that nobody asked for moves long texts away from their sources. Turn it off where the server
  lets you.
- Where a prompt beyond the context is answered all the same, nothing tells you that the model lost its footing. Keep
  `--part-characters` well below what it reads.
- None of them honours an `Idempotency-Key`. What is under way when a client is killed can be paid for twice, and only that.
- Where a special token in a message is read as the token, a document that holds one can end its own turn. Writers in this
  process (`hf:`, `vllm:`) read the words of a document as text, always.
- Held to a schema, a model as small as the one here may write white space without an end; `--answer-tokens` bounds what
  that costs.
"""


def page() -> str:
    found = json.loads(FOUND.read_text(encoding="utf-8"))
    names = list(dict.fromkeys(name for told in found.values() for name in told["seen"]))
    head = ("", *(f"{name} {told['version']}" for name, told in found.items()))
    rows = [
        (name, *(_cell(told["seen"].get(name, "")) + _star(told, name) for told in found.values())) for name in names
    ]
    held = (("holds" if told["contract"] else "broken") + _star(told, "contract") for told in found.values())
    rows.append(("**our client's contract**", *held))
    by_hand = f"{BY_HAND}\n" if any(told.get("by_hand") for told in found.values()) else ""
    return f"{HEAD}\n{table(head, rows)}\n\n{by_hand}{TAIL}"


def _star(told: Mapping[str, Any], name: str) -> str:
    """What no run recorded is marked; a recording by the lane names nothing `by_hand`."""
    return " \\*" if name in told.get("by_hand", ()) else ""


def _cell(words: str) -> str:
    """Short, and nothing in it that ends a cell or starts a tag."""
    short = words if len(words) <= LONGEST else words[: words.rfind(" ", 0, LONGEST)] + " ..."
    return short.replace("|", "\\|").replace("<", "&lt;").replace("_", "\\_") if "`" not in short else short
