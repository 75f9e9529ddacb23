"""How a prior is to be run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PriorOptions:
    """Settings shared by all priors; each takes what concerns it. `None` and "auto" leave the choice to the adapter.

    `runtime` is auto, torch or openvino (hf: models); `device` is auto, cpu, cuda, cuda:1, ...; `dtype` auto,
    float32, bfloat16 or float16; `threads` are per process;
    `batch_tokens` is the size of one forward pass; `context` shortens the stretch that the model reads at once. Without
    `bos` a model of transformers reads no beginning-of-text token, and the first token of a text gets no score.

    For models behind servers: `prior_tokenizer` names a tokenizer other than that of the model's name, `requests` are on
    their way at once, and `api_key_variable` is the variable of the environment that holds the key.
    """

    device: str = "auto"
    dtype: str = "auto"
    threads: int = 1
    batch_tokens: int | None = None
    context: int | None = None
    bos: bool = True
    runtime: str = "auto"
    prior_tokenizer: str | None = None
    requests: int = 4
    api_key_variable: str = "OPENAI_API_KEY"
