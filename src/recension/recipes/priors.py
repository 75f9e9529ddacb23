"""Priors by name, loaded once in each process."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

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
    )


@lru_cache(maxsize=8)
def load(name: str, options: PriorOptions) -> Loaded:
    prior = load_prior(name, options)
    return Loaded(prior, surfaces(prior.surfaces))


def forget() -> None:
    """Give the memory back, for a parent whose workers load their own."""
    load.cache_clear()
