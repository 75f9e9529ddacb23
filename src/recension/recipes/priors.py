"""Priors by name, loaded once in each process."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from recension.errors import UsageError
from recension.methods.toedit import Surfaces, surfaces
from recension.models.load import PriorOptions, load_prior
from recension.ports import Prior
from recension.recipes.settings import PriorSettings

DEFAULT_PRIOR = "embedded"


class Loaded(NamedTuple):
    prior: Prior
    vocabulary: Surfaces


def options_of(settings: PriorSettings) -> PriorOptions:
    return PriorOptions(
        device=settings.device,
        dtype=settings.dtype,
        threads=settings.threads,
        batch_tokens=settings.batch_tokens,
        context=settings.context,
        runtime=settings.runtime,
        prior_tokenizer=settings.prior_tokenizer,
        requests=settings.requests,
        api_key_variable=settings.api_key_variable,
    )


def alone(prior: Prior) -> bool:
    """Whether one process is enough: the model holds a GPU, or fills its batches by itself."""
    return prior.spec.get("device") == "cuda" or prior.spec.get("kind") in ("openai", "vllm")


def check_candidates(name: str, prior: Prior, k: int) -> None:
    """Refuse before anything is written what a server will not give."""
    most = prior.spec.get("candidates")
    if isinstance(most, int) and k > most:
        raise UsageError(
            f"{name} gives at most {most} candidates, so --top-k {k} cannot work: ask for fewer, or, for vLLM, start the "
            f"server with --max-logprobs {k + 2}"
        )


@lru_cache(maxsize=8)
def load(name: str, options: PriorOptions) -> Loaded:
    prior = load_prior(name, options)
    return Loaded(prior, surfaces(prior.surfaces))


def folders(names: Iterable[str]) -> list[Path]:
    """The folders that priors are loaded from: a run may not throw them away."""
    return [Path(name.partition(":")[2]) for name in names if ":" in name]


def forget() -> None:
    """Give the memory back, for a parent whose workers load their own."""
    load.cache_clear()
