"""What can be set about a simulation."""

from __future__ import annotations

from dataclasses import dataclass

from recension.errors import UsageError
from recension.recipes.settings import check_types, setting


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
class SimulateEffort:
    """How a simulation is carried out. None of it changes a figure."""

    workers: int = setting(0, "Processes. 0 = one for each core.", metavar="N", group="Effort")

    def __post_init__(self) -> None:
        check_types(self)
        if self.workers < 0:
            raise UsageError("--workers is 0 (automatic) or more")
