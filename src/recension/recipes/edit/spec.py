"""What can be set about an `edit`, and what the settings come to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from recension.document import JSON, KINDS, Kind
from recension.errors import UsageError
from recension.methods.protect import compile_protection
from recension.methods.toedit import Sampling
from recension.recipes.priors import DEFAULT_PRIOR
from recension.recipes.settings import UNSCORED, PriorSettings, RowSettings, check_types, flat, setting, settings

PAPER: Mapping[str, Any] = {
    "threshold": 0.99,
    "sampler": "top-k",
    "top_k": 8,
    "temperature": 1.5,
    "exclude_original": False,
}
DEFAULT_THRESHOLD = 0.99
DEFAULT_TOP_K = {"top-k": 8, "top-p": 8, "rejection": 64}
MOST_CANDIDATES = 1_024


@dataclass(frozen=True, slots=True)
class EditSpec:
    """Everything that can change what `edit` writes."""

    prior: str = setting(
        "", "The model that scores the tokens: ngram:PATH, hf:NAME, vllm:NAME, openai:MODEL@URL [default: embedded].",
        metavar="P",
        group="Prior",
    )  # fmt: skip
    priors: tuple[str, ...] = setting(
        (), "One prior for each generation (give it several times); see --policy.", metavar="P", group="Prior"
    )
    model: PriorSettings = settings(PriorSettings)

    threshold: float | None = setting(
        None,
        "Resample tokens of at least this probability [default: 0.99, off with --below].",
        metavar="P",
        group="Editing",
    )
    below: float | None = setting(
        None, "Resample tokens of at most this probability (the paper's ablation).", metavar="P", group="Editing"
    )
    sampler: Literal["top-k", "top-p", "rejection"] = setting(
        "top-k", "How the new token is drawn.", ("top-k", "top-p", "rejection"), group="Editing"
    )
    top_k: int | None = setting(None, "Candidates [default: 8; rejection: 64].", metavar="K", group="Editing")
    top_p: float = setting(0.9, "For top-p: the mass of the candidates.", metavar="P", group="Editing")
    temperature: float | None = setting(
        None, "Flattens the candidates' probabilities [default: 1].", metavar="T", group="Editing"
    )
    exclude_original: bool = setting(False, "Never draw the token that stands there already.", group="Editing")
    preset: Literal["paper"] | None = setting(
        None, "The published recipe: 0.99, top-k 8, temperature 1.5, original kept.", ("paper",), group="Editing"
    )
    change_share: float | None = setting(
        None, "Find the threshold, then the temperature, that change this share of the tokens.", metavar="SHARE",
        group="Editing",
    )  # fmt: skip
    protect: tuple[str, ...] = setting(
        (), "Never edit: numbers, urls, code, quotes (comma-separated), or a regular expression.", metavar="WHAT",
        group="Editing",
    )  # fmt: skip
    generations: int = setting(1, "Edit so many times over; see --policy.", metavar="N", group="Editing")
    editions: int = setting(
        1, "Draw N independent editions of the original from one scoring.", metavar="N", group="Editing"
    )
    policy: Literal["anchor", "chain"] | None = setting(
        None, "What a generation edits: the original (anchor) or its predecessor (chain) "
        "[default: anchor with --priors, else chain].", ("anchor", "chain"), group="Editing",
    )  # fmt: skip
    seed: int = setting(0, "Another seed draws other tokens.", metavar="N", group="Editing")

    rows: RowSettings = settings(RowSettings)
    origin: Kind | None = setting(None, "What the input is, where its rows do not say.", KINDS, group="Input")

    format: Literal["parquet", "jsonl", "jsonl.gz", "jsonl.zst"] = setting(
        "parquet", "How documents are written.", ("parquet", "jsonl", "jsonl.gz", "jsonl.zst"), group="Output"
    )
    shard_bytes: int = setting(
        0,
        "Input bytes in a shard, the unit of restart. 0 = from the size of the input.",
        metavar="BYTES",
        group="Output",
    )

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A spec without gaps: `sampling` before any calibration, one prior for each generation."""

    spec: EditSpec
    sampling: Sampling
    priors: tuple[str, ...]
    policy: Literal["anchor", "chain"]

    def identity(self) -> dict[str, JSON]:
        """What goes into the key: settings that mean the same are the same."""
        spec: dict[str, Any] = flat(self.spec)
        for name in (
            "prior",
            "priors",
            "device",
            "dtype",
            "threads",
            "batch_tokens",
            "context",
            "runtime",
            *UNSCORED,
            "preset",
            "policy",
        ):
            del spec[name]  # what they come to is in the models' own specs and in the settings
        spec |= {"threshold": self.sampling.above, "top_k": self.sampling.top_k}
        spec |= {"temperature": self.sampling.temperature, "exclude_original": self.sampling.exclude_original}
        spec["protect"] = sorted(set(self.spec.protect))
        spec["generations"] = len(self.priors)
        # What has no say is left out, so that it cannot make two runs of one.
        spec["top_p" if self.sampling.sampler != "top-p" else "top_k"] = None
        spec["policy"] = self.policy if len(self.priors) > 1 else None
        spec["origin"] = self.spec.origin or "unknown"
        return spec


def resolve(spec: EditSpec) -> Resolved:
    """Fill the gaps, and refuse what cannot work, in the words of the flags."""
    spec = _apply_preset(spec)
    _check_numbers(spec)
    if spec.prior and spec.priors:
        raise UsageError("give --prior for one model or --priors for one of each generation, not both")
    if spec.priors and spec.generations not in (1, len(spec.priors)):
        raise UsageError(
            f"--generations {spec.generations} and {len(spec.priors)} --priors: one prior for each generation"
        )
    priors = spec.priors or (spec.prior or DEFAULT_PRIOR,) * spec.generations
    if spec.editions > 1 and len(priors) > 1:
        raise UsageError("--editions are independent drafts of one generation: use either it or --generations/--priors")
    if spec.change_share is not None and spec.below is not None:
        raise UsageError("--change-share moves the upper threshold; it does not go with --below")
    if spec.change_share is not None and len(set(priors)) > 1:
        raise UsageError("--change-share is solved for one prior; with several --priors set --threshold yourself")
    compile_protection(spec.protect)
    above = spec.threshold if spec.threshold is not None else (None if spec.below is not None else DEFAULT_THRESHOLD)
    sampling = Sampling(
        above=above,
        below=spec.below,
        sampler=spec.sampler,
        top_k=spec.top_k or DEFAULT_TOP_K[spec.sampler],
        top_p=spec.top_p,
        temperature=spec.temperature or 1.0,
        exclude_original=spec.exclude_original,
    )
    policy = spec.policy or ("anchor" if spec.priors else "chain")
    return Resolved(spec, sampling, priors, policy)


def _apply_preset(spec: EditSpec) -> EditSpec:
    if spec.preset is None:
        return spec
    blank = EditSpec()
    for name, value in PAPER.items():
        if getattr(spec, name) not in (getattr(blank, name), value):
            raise UsageError(f"--preset paper fixes --{name.replace('_', '-')} at {value}: leave one of the two out")
    if spec.below is not None or spec.change_share is not None:
        raise UsageError("--preset paper is the published recipe: it goes neither with --below nor with --change-share")
    return replace(spec, **PAPER)


def _check_numbers(spec: EditSpec) -> None:
    for name in ("threshold", "below"):
        value = getattr(spec, name)
        if value is not None and not 0 <= value <= 1:
            raise UsageError(f"--{name} is a probability between 0 and 1, not {value:g}")
    if not 0 < spec.top_p <= 1:
        raise UsageError(f"--top-p is a probability between 0 and 1, not {spec.top_p:g}")
    if spec.change_share is not None and not 0 < spec.change_share < 1:
        raise UsageError(f"--change-share is a share between 0 and 1 (0.05 is 5 %), not {spec.change_share:g}")
    if spec.temperature is not None and not (spec.temperature > 0 and math.isfinite(spec.temperature)):
        raise UsageError(f"--temperature is above 0, not {spec.temperature:g}")
    for name in ("generations", "editions", "top_k"):
        value = getattr(spec, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')} is 1 or more")
    if spec.top_k is not None and spec.top_k > MOST_CANDIDATES:
        raise UsageError(f"--top-k is at most {MOST_CANDIDATES}: every flagged token keeps that many in memory")
    if spec.shard_bytes < 0:
        raise UsageError("--shard-bytes is 0 (automatic) or more")
