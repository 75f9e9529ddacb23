"""What can be set about an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recension.errors import UsageError
from recension.recipes.settings import (
    ARGUMENT,
    PriorSettings,
    RowSettings,
    check_effort,
    check_types,
    setting,
    settings,
)


@dataclass(frozen=True, slots=True)
class PerplexitySpec:
    """Everything that can change a figure."""

    prior: str = setting(
        "", "The model: hf:NAME, hf:RUN of a training run, ngram:PATH, vllm:NAME or openai:MODEL@URL.", group=ARGUMENT
    )
    against: str | None = setting(
        None, "A second model on the same text: gives the paired difference, MODEL less this one.", metavar="MODEL",
        group="Measure",
    )  # fmt: skip
    mode: Literal["standard", "paper"] = setting(
        "standard", "paper: no BOS, the first 1,024 tokens, mean of batch losses, as the ToEdit authors measure.",
        ("standard", "paper"), group="Measure",
    )  # fmt: skip
    paper_batch: int = setting(8, "For --mode paper: documents of a batch.", metavar="N", group="Measure")
    answers_only: bool = setting(
        False, "Count only the answers of chats and instructions; the rest is still read.", group="Measure"
    )
    bootstrap: int = setting(1000, "Resamples of the documents for the intervals.", metavar="N", group="Measure")
    seed: int = setting(0, "Another seed draws other resamples.", metavar="N", group="Measure")

    domains: str | None = setting(
        None, "A YAML or TOML file that names domains, or a ready one: paloma, pile.", metavar="FILE", group="Input"
    )
    domain_key: str | None = setting(
        None, "Rows of the arguments belong to the domain that this column names; meta.set is set in meta.",
        metavar="COLUMN", group="Input",
    )  # fmt: skip
    limit: int | None = setting(
        None, "Score the first N rows of each domain (of each file or folder, with --domain-key).", metavar="N",
        group="Input",
    )  # fmt: skip
    rows: RowSettings = settings(RowSettings)
    model: PriorSettings = settings(PriorSettings)

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("paper_batch", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} is 1 or more")
        if not 100 <= self.bootstrap <= 100_000:
            raise UsageError("--bootstrap lies between 100 and 100000 resamples")

    @property
    def models(self) -> tuple[str, ...]:
        return (self.prior,) if self.against is None else (self.prior, self.against)


@dataclass(frozen=True, slots=True)
class EvaluateEffort:
    """How an evaluation is carried out. None of it changes a figure."""

    workers: int = setting(
        0, "Processes. 0 = one for each core (one in all for a model on a GPU).", metavar="N", group="Effort"
    )
    max_dropped: float | None = setting(
        None, "Fail when more than this share of the rows had to be set aside.", metavar="SHARE", group="Effort"
    )

    def __post_init__(self) -> None:
        check_effort(self)


@dataclass(frozen=True, slots=True)
class LossPatternSpec:
    """Everything that can change what `evaluate loss-pattern` finds."""

    real: str = setting("", "The model that was trained on real text.", group=ARGUMENT)
    synthetic: str = setting("", "The model that was trained on synthetic text; the same tokenizer.", group=ARGUMENT)
    k: float = setting(
        1.0, "An anomaly is a window whose mean difference is above |mean| + K standard deviations.", metavar="K",
        group="Measure",
    )  # fmt: skip
    window: float = setting(0.05, "The window, as a share of a document's tokens.", metavar="SHARE", group="Measure")
    worst: int = setting(20, "Passages to show.", metavar="N", group="Measure")
    above: float = setting(
        0.5, "Show passages whose mean difference is above this, in nats.", metavar="NATS", group="Measure"
    )
    seed: int = setting(0, "Another seed draws other resamples and points.", metavar="N", group="Measure")

    rows: RowSettings = settings(RowSettings)
    model: PriorSettings = settings(PriorSettings)

    def __post_init__(self) -> None:
        check_types(self)
        if self.k < 0:
            raise UsageError("--k is 0 or more")
        if not 0 < self.window <= 1:
            raise UsageError("--window is a share above 0 and at most 1")
        if not 0 <= self.worst <= 200:
            raise UsageError("--worst lies between 0 and 200 passages")
