"""What can be set about a simulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recension.errors import UsageError
from recension.recipes.settings import RowSettings, check_effort, check_types, setting, settings

POLICIES = ("replace", "accumulate", "accumulate_fixed", "chain", "anchor")


@dataclass(frozen=True, slots=True)
class RegressionSpec:
    """Everything that can change what is simulated."""

    generations: int = setting(20, "Models, each fitted to answers of the one before.", metavar="G", group="Design")
    samples: int = setting(100, "Samples that a model is fitted to.", metavar="T", group="Design")
    features: int = setting(10, "Features of a sample.", metavar="D", group="Design")
    share: float = setting(
        0.125, "The share of the answers that a generation writes anew.", metavar="SHARE", group="Design"
    )
    decay: float = setting(
        0.941, "In the chain that shrinks, what the share is multiplied by in each generation.", metavar="X",
        group="Design",
    )  # fmt: skip
    correlation: float = setting(
        0.0, "Of neighbouring features. It changes no result, which can be seen so.", metavar="R", group="Design"
    )
    seeds: int = setting(4_000, "Regressions to draw.", metavar="S", group="Design")
    seed: int = setting(0, "Another seed draws others.", metavar="N", group="Design")

    def __post_init__(self) -> None:
        check_types(self)
        if not 1 <= self.generations <= 1_000:
            raise UsageError(f"--generations lies between 1 and 1000, not {self.generations}")
        if self.features < 1:
            raise UsageError("--features is 1 or more")
        if not self.features + 4 <= self.samples <= 100_000:
            raise UsageError(
                f"--samples lies between --features + 4 ({self.features + 4}), below which the error has no variance, "
                f"and 100000, not {self.samples}"
            )
        if not 0 < self.share <= 1 or not 0 < self.decay <= 1:
            raise UsageError("--share and --decay are above 0 and at most 1")
        if not -1 < self.correlation < 1:
            raise UsageError(f"--correlation lies between -1 and 1, not {self.correlation:g}")
        if not 1 <= self.seeds <= 10_000_000:
            raise UsageError(f"--seeds lies between 1 and 10000000, not {self.seeds}")
        if self.seed < 0:
            raise UsageError("--seed is 0 or more")


@dataclass(frozen=True, slots=True)
class SimulateTextSpec:
    """Everything that can change what comes of a corpus."""

    policy: tuple[str, ...] = setting(
        POLICIES, "What the next generation learns from: replace, accumulate, accumulate_fixed, chain or anchor. Repeat it "
        "[default: all].", metavar="POLICY", group="Design",
    )  # fmt: skip
    generations: int = setting(6, "Models, each trained on what the one before left.", metavar="G", group="Design")
    share: tuple[str, ...] = setting(
        ("0.05", "0.15"), "The share of the tokens that chain and anchor change in a generation; repeat it for several "
        "[default: 0.05 and 0.15].", metavar="SHARE", group="Design",
    )  # fmt: skip
    decay: float = setting(1.0, "Multiply the share by this in each generation.", metavar="X", group="Design")
    threshold: float | None = setting(
        None, "Resample tokens of at least this probability, instead of --share.", metavar="P", group="Design"
    )
    seeds: int = setting(3, "Repetitions, each with text and draws of its own.", metavar="S", group="Design")
    seed: int = setting(0, "Another seed: other samples, other draws.", metavar="N", group="Design")

    model: Literal["ngram", "tiny"] = setting(
        "ngram", "What is trained: an n-gram model, or a small transformer (slow).", ("ngram", "tiny"), group="Model"
    )
    order: int = setting(3, "Of ngram: the longest n-gram.", metavar="N", group="Model")
    preset: str = setting("tiny", "Of tiny: the shape, as in train pretrain.", metavar="NAME", group="Model")
    epochs: float = setting(8.0, "Of tiny: each training reads so many budgets of tokens.", metavar="X", group="Model")
    vocabulary: int = setting(4_096, "Tokens of the byte-level BPE that is fitted first.", metavar="N", group="Model")

    budget: int = setting(
        100_000, "Tokens that the first model of a seed learns from, at most.", metavar="TOKENS", group="Data"
    )
    holdout: float = setting(0.1, "The share of the lineages that is held out.", metavar="SHARE", group="Data")
    group_key: str | None = setting(
        None, "The column that names what is held out as a whole [default: a text and all made of it].",
        metavar="COLUMN", group="Data",
    )  # fmt: skip
    limit: int | None = setting(None, "Read the first N rows.", metavar="N", group="Data")
    rows: RowSettings = settings(RowSettings)

    def __post_init__(self) -> None:
        check_types(self)
        object.__setattr__(self, "policy", tuple(dict.fromkeys(name.replace("-", "_") for name in self.policy)))
        strange = [name for name in self.policy if name not in POLICIES]
        if strange or not self.policy:
            raise UsageError(f"--policy is one of {', '.join(POLICIES)}, not '{', '.join(strange)}'")
        if not self.shares or any(not 0 < share < 1 for share in self.shares):
            raise UsageError("--share lies between 0 and 1 (0.05 is 5 %)")
        if not 2 <= self.generations <= 100:
            raise UsageError(f"--generations lies between 2 and 100, not {self.generations}")
        if not 1 <= self.seeds <= 1_000:
            raise UsageError(f"--seeds lies between 1 and 1000, not {self.seeds}")
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise UsageError(f"--threshold is a probability between 0 and 1, not {self.threshold:g}")
        if not 0 < self.decay <= 1 or not 0 < self.holdout < 1 or not self.epochs > 0:
            raise UsageError("--decay is above 0 and at most 1, --holdout between 0 and 1, --epochs above 0")
        if not 1_000 <= self.budget <= 100_000_000:
            raise UsageError(f"--budget lies between 1000 and 100000000 tokens, not {self.budget}")
        if not 2 <= self.order <= 16 or not 257 <= self.vocabulary <= 1 << 20:
            raise UsageError("--order lies between 2 and 16, --vocabulary between 257 and 1048576")
        if self.seed < 0 or (self.limit is not None and self.limit < 1):
            raise UsageError("--seed is 0 or more, --limit 1 or more")

    @property
    def shares(self) -> tuple[float, ...]:
        try:
            return tuple(sorted({float(share) for share in self.share}))
        except ValueError:
            raise UsageError(f"--share is a number such as 0.05, not '{', '.join(self.share)}'") from None


@dataclass(frozen=True, slots=True)
class SimulateEffort:
    """How a simulation is carried out. None of it changes a figure."""

    workers: int = setting(0, "Processes. 0 = one for each core.", metavar="N", group="Effort")

    def __post_init__(self) -> None:
        check_effort(self)
