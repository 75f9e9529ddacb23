"""Messages to the tokens that a model in this process reads: through its chat template, or end to end where it has none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from recension.models.surfaces import as_text

_PLACE = re.compile("\ue000(\\d+)\ue001")


class Refusal(NamedTuple):
    """Why messages cannot be put to this model."""

    why: str


@dataclass(frozen=True, slots=True)
class Chat:
    """`tokenizer` as transformers wraps it; `plain` is its copy that reads marks such as `<|im_end|>` as text."""

    tokenizer: Any
    plain: Any
    marks: tuple[str, ...]

    def ids(self, messages: Sequence[Mapping[str, str]]) -> list[int] | Refusal:
        """What stands in a message is text: no words of a document can end a turn or begin another."""
        contents = [message["content"] for message in messages]
        if self.tokenizer.chat_template is None:
            bos = self.tokenizer.bos_token_id
            return [*([] if bos is None else [bos]), *self._text("\n\n".join(contents) + "\n\n")]
        harmless = not any(mark in content for content in contents for mark in self.marks)
        shown = contents if harmless else [f"\ue000{i}\ue001" for i in range(len(contents))]
        rendered = self._render([{**m, "content": words} for m, words in zip(messages, shown, strict=True)])
        if isinstance(rendered, Refusal):
            return rendered
        if harmless:
            return self._marked(rendered)
        parts = _PLACE.split(rendered)
        if sorted(map(int, parts[1::2])) != list(range(len(contents))):
            return Refusal("a message holds marks of the model, and its chat template does not show every message once")
        found: list[int] = []
        for number, part in enumerate(parts):
            found += self._text(contents[int(part)]) if number % 2 else self._marked(part)
        return found

    def _render(self, messages: list[dict[str, str]]) -> str | Refusal:
        from jinja2.exceptions import TemplateError

        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        except TemplateError as error:
            if len(messages) > 1 and messages[0]["role"] == "system":  # some templates know no such role
                first = f"{messages[0]['content']}\n\n{messages[1]['content']}"
                return self._render([{**messages[1], "content": first}, *messages[2:]])
            return Refusal(f"the chat template refuses the messages ({str(error)[:160]})")

    def _text(self, text: str) -> list[int]:
        return list(self.plain.encode(text, add_special_tokens=False).ids)

    def _marked(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))


def chat_of(tokenizer: Any) -> Chat:
    """From the fast tokenizer of a model."""
    from tokenizers import Tokenizer

    marks = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    return Chat(tokenizer, as_text(Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())), tuple(marks))
