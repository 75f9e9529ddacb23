"""The model that the servers get: a tiny Llama with a chat template, whose answers are nonsense and always the same."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
import tiny
from probes import CONTEXT

MARK = "<|end_of_text|>"
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def served_model(folder: Path) -> Path:
    from transformers import AutoConfig, AutoTokenizer

    tiny.llama(folder)
    config = AutoConfig.from_pretrained(folder)
    config.max_position_embeddings = CONTEXT
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.model_max_length = CONTEXT
    # The end of a text is the end of an answer; without it some servers do not start.
    config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    served_model(Path(sys.argv[1]))
