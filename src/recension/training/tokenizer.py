"""Tokenizers for training: a byte-level BPE fitted to the corpus, or the one of a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recension.errors import MissingExtraError, ModelError

MARK = "<|endoftext|>"
_ENDLESS = re.compile(r"(\S{256})")


@dataclass(frozen=True, slots=True)
class Framing:
    """What stands around documents. `lead` begins every window: nothing comes before it."""

    lead: int
    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True)
class Tokenizing:
    """A tokenizer as training uses it: texts to ids as ordinary text, and the ids that frame a document."""

    tokenizer: Any
    marking: Any  # the same, but for which `<|im_start|>` in a text is that mark
    vocabulary: int
    framing: Framing
    loaded: Any

    @property
    def template(self) -> bool:
        """Whether it brings a chat template."""
        return bool(self.loaded.chat_template)

    @property
    def marks(self) -> tuple[str, ...]:
        """What is no text when a template wrote it, named by the tokenizer or not."""
        added = [str(token.content) for token in self.marking.get_added_tokens_decoder().values() if token.special]
        return tuple(dict.fromkeys([*self.loaded.all_special_tokens, *added]))

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        return _ids(self.tokenizer, texts)

    def encode_parts(self, texts: Sequence[str], marks: bool) -> list[NDArray[np.int32]]:
        """The parts of one text, tokenised apart. With `marks` a template wrote it.

        Some tokenizers put a space before whatever they read (Llama 2): of all parts but the first it is taken away, by
        reading them behind a line end.
        """
        tokenizer = self.marking if marks else self.tokenizer
        found = _ids(tokenizer, texts)
        [line, alone, behind] = _ids(tokenizer, ["\n", "a", "\na"])
        if list(behind) == [*line, *alone] or list(behind[: len(line)]) != list(line):
            return found
        after = [ids[len(line) :] for ids in _ids(tokenizer, ["\n" + text for text in texts[1:]])]
        return [*found[:1], *after]

    def render(self, messages: Sequence[Any], asked: bool) -> str | None:
        """Messages by the chat template, `asked` with the prompt for an answer; None where it refuses them."""
        from jinja2.exceptions import TemplateError

        try:
            written = self.loaded.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=asked)
        except (TemplateError, TypeError, ValueError):
            return None
        return str(written)


def _ids(tokenizer: Any, texts: Sequence[str]) -> list[NDArray[np.int32]]:
    found = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return [np.asarray(encoding.ids, dtype=np.int32) for encoding in found]


def fit_tokenizer(texts: Iterable[str], vocabulary: int, folder: Path) -> None:
    """A byte-level BPE with one special token, which ends documents and begins windows; saved as transformers reads it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("train", "training") from error
    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[MARK],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # An unbroken run of a million letters would cost the trainer hours and teach it nothing.
    tokenizer.train_from_iterator((_ENDLESS.sub(r"\1\n", text) for text in texts), trainer)
    wrapper: Any = transformers.PreTrainedTokenizerFast
    fast = wrapper(tokenizer_object=tokenizer, bos_token=MARK, eos_token=MARK, clean_up_tokenization_spaces=False)
    fast.save_pretrained(folder)


def tokenizing(loaded: Any) -> Tokenizing:
    """A fast tokenizer of transformers, with its marks for the beginning and the end of a document."""
    from tokenizers import Tokenizer

    tokenizer, marking = (Tokenizer.from_str(loaded.backend_tokenizer.to_str()) for _ in range(2))
    for each in (tokenizer, marking):
        each.no_truncation()
        each.no_padding()
    tokenizer.encode_special_tokens = True  # "</s>" in a document is four characters, not the end of it
    begin, end = loaded.bos_token_id, loaded.eos_token_id
    if begin is None and end is None:
        raise ModelError("the tokenizer has no token that begins or ends a text, so documents would run on")
    before = () if begin is None or (end is not None and begin == end) else (begin,)
    after = () if end is None else (end,)
    size = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    return Tokenizing(tokenizer, marking, size, Framing(end if begin is None else begin, before, after), loaded)
