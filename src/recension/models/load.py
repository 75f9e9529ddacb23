"""From the one string that names a prior to the prior."""

from __future__ import annotations

from pathlib import Path

from recension.errors import ModelError
from recension.models.options import PriorOptions
from recension.ports import Prior

__all__ = ["KINDS", "PriorOptions", "lend_prior", "load_prior"]

KINDS = "embedded, hf:NAME_OR_PATH, vllm:NAME_OR_PATH, openai:MODEL@URL or ngram:PATH"


_OWN: dict[str, Prior] = {}


def lend_prior(name: str, prior: Prior) -> str:
    """Let `own:NAME` stand for a prior of the caller's in this process; returns that name."""
    _OWN[name] = prior
    return f"own:{name}"


def load_prior(name: str, options: PriorOptions | None = None) -> Prior:
    """Load `embedded`, `hf:NAME_OR_PATH[@REVISION]`, `vllm:NAME_OR_PATH[@REVISION]`, `openai:MODEL@URL`, `ngram:PATH`
    or `fake:KIND` (for tests).
    """
    options = options or PriorOptions()
    scheme, _, rest = name.partition(":")
    if name == "embedded":
        from recension.models.compiled import load_embedded

        return load_embedded(options)
    if not rest:
        raise ModelError(f"prior '{name}' names no model; write {KINDS}")
    if scheme == "hf":
        return _hf(rest, options)
    if scheme in ("openai", "vllm"):
        return _served(scheme, rest, options)
    if scheme == "ngram":
        from recension.models.ngram import NgramPrior

        within = Path(rest) / "model"  # the run folder of `train ngram` may be named
        return NgramPrior.load(within if within.is_dir() else rest)
    if scheme == "own":
        if rest not in _OWN:
            raise ModelError(f"prior '{name}': no prior was lent under this name in this process (lend_prior)")
        return _OWN[rest]
    if scheme == "fake":
        from recension.models.fake import fake_prior

        return fake_prior(rest)
    raise ModelError(f"prior '{name}': unknown kind '{scheme}'; write {KINDS}")


def _hf(name: str, options: PriorOptions) -> Prior:
    """Through compiled graphs where they are the faster way and give the same: small plain Llamas on a CPU."""
    if options.runtime != "torch":
        from recension.models.compiled import load_local

        found = load_local(name, options)
        if found is not None:
            return found
    from recension.models.transformers_prior import load_transformers

    return load_transformers(name, options)


def _served(scheme: str, name: str, options: PriorOptions) -> Prior:
    if scheme == "openai":
        from recension.models.openai_prior import load_openai

        return load_openai(name, options)
    from recension.models.vllm_prior import load_vllm

    return load_vllm(name, options)
