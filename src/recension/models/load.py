"""From the one string that names a prior to the prior."""

from __future__ import annotations

from pathlib import Path

from recension.errors import ModelError
from recension.models.options import PriorOptions
from recension.ports import Prior

__all__ = ["PriorOptions", "load_prior"]

_LATER = {
    "embedded": "the embedded prior",
}
_KINDS = "write hf:NAME_OR_PATH, vllm:NAME_OR_PATH, openai:MODEL@URL or ngram:PATH"


def load_prior(name: str, options: PriorOptions | None = None) -> Prior:
    """Load `hf:NAME_OR_PATH[@REVISION]`, `vllm:NAME_OR_PATH[@REVISION]`, `openai:MODEL@URL`, `ngram:PATH` or `fake:KIND`
    (for tests).
    """
    options = options or PriorOptions()
    scheme, _, rest = name.partition(":")
    if scheme in _LATER:
        raise ModelError(f"prior '{name}': {_LATER[scheme]} is not in this version; use hf:NAME_OR_PATH or ngram:PATH")
    if not rest:
        raise ModelError(f"prior '{name}' names no model; {_KINDS}")
    if scheme == "hf":
        from recension.models.transformers_prior import load_transformers

        return load_transformers(rest, options)
    if scheme == "openai":
        from recension.models.openai_prior import load_openai

        return load_openai(rest, options)
    if scheme == "vllm":
        from recension.models.vllm_prior import load_vllm

        return load_vllm(rest, options)
    if scheme == "ngram":
        from recension.models.ngram import NgramPrior

        within = Path(rest) / "model"  # the run folder of `train ngram` may be named
        return NgramPrior.load(within if within.is_dir() else rest)
    if scheme == "fake":
        from recension.models.fake import fake_prior

        return fake_prior(rest)
    raise ModelError(f"prior '{name}': unknown kind '{scheme}'; {_KINDS}")
