"""What can be set about an audit or a profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recension.errors import UsageError
from recension.recipes.settings import PriorSettings, RowSettings, check_effort, check_types, setting, settings

DEFAULT_SCORERS: tuple[str, ...] = ("embedded",)
MOST_OTHERS = 3


@dataclass(frozen=True, slots=True)
class AuditSpec:
    """Everything that can change the verdict."""

    scorer: tuple[str, ...] = setting(
        DEFAULT_SCORERS, "A model that says how probable the text is: embedded, hf:NAME, ngram:PATH, or none. "
        "Repeat it: one alone does not count in the verdict.", metavar="MODEL", group="Measure",
    )  # fmt: skip
    budget: int = setting(200_000, "Words of each side that are compared.", metavar="WORDS", group="Measure")
    unit: int = setting(
        0, "Words of a passage. 0 = the smaller of the two medians, from 30 to 200.", metavar="WORDS", group="Measure"
    )
    draws: int = setting(400, "Permutations, and half-samples.", metavar="N", group="Measure")
    margin: float = setting(
        0.25, "What counts as equal: so much of the way to the first generation of collapse.", metavar="SHARE",
        group="Measure",
    )  # fmt: skip
    scored_words: int = setting(10_000, "Words of each side that every scorer reads.", metavar="WORDS", group="Measure")
    embedder: str = setting(
        "static", "What embeds passages for coverage and map: static (shipped), st:NAME (sentence-transformers), none.",
        metavar="MODEL", group="Measure",
    )  # fmt: skip
    map: Literal["auto", "opentsne", "exact", "pca"] = setting(
        "auto", "How the map of meanings is drawn: t-SNE by openTSNE, exact t-SNE of fewer points, principal components; "
        "auto: openTSNE where it is installed, else exact.", ("auto", "opentsne", "exact", "pca"), group="Measure",
    )  # fmt: skip
    seed: int = setting(0, "Another seed draws other samples of the draws and the chain.", metavar="N", group="Measure")

    pair_key: str | None = setting(
        None, "Rows of both sides with one value of this column are pairs, and are compared as such.", metavar="COLUMN",
        group="Design",
    )  # fmt: skip
    group_key: str | None = setting(
        None, "The column that names the source of a row (author, site): drawn and left out as a whole.",
        metavar="COLUMN", group="Design",
    )  # fmt: skip
    stratum_key: str | None = setting(
        None, "Compare equal amounts within each value of this column (domain, language).", metavar="COLUMN",
        group="Design",
    )  # fmt: skip

    also: tuple[str, ...] = setting(
        (), "A further corpus for the map, as PATH or NAME=PATH; up to three.", metavar="PATH", group="Input"
    )
    test_set: tuple[str, ...] = setting(
        (), "Questions of an evaluation (JSON lines) that the candidate must not hold, as PATH or NAME=PATH.",
        metavar="PATH", group="Input",
    )  # fmt: skip
    limit: int | None = setting(None, "Read the first N rows of each corpus.", metavar="N", group="Input")
    rows: RowSettings = settings(RowSettings)
    model: PriorSettings = settings(PriorSettings)

    def __post_init__(self) -> None:
        check_types(self)
        _check(self.budget, self.draws, self.unit, self.limit)
        if not 0 < self.margin < 1:
            raise UsageError("--margin is a share between 0 and 1")
        if self.scored_words < 1_000:
            raise UsageError("--scored-words is 1000 or more")
        if len(self.also) > MOST_OTHERS:
            raise UsageError(f"--also names up to {MOST_OTHERS} corpora, not {len(self.also)}")
        _check_embedder(self.embedder)


@dataclass(frozen=True, slots=True)
class ProfileSpec:
    """Everything that can change a profile."""

    scorer: tuple[str, ...] = setting(
        DEFAULT_SCORERS, "A model that says how probable the text is: embedded, hf:NAME, ngram:PATH, or none. "
        "May be repeated.",
        metavar="MODEL", group="Measure",
    )  # fmt: skip
    budget: int = setting(200_000, "Words of the sample.", metavar="WORDS", group="Measure")
    unit: int = setting(200, "Words of a passage.", metavar="WORDS", group="Measure")
    draws: int = setting(200, "Half-samples for the intervals.", metavar="N", group="Measure")
    scored_words: int = setting(10_000, "Words that every scorer reads.", metavar="WORDS", group="Measure")
    embedder: str = setting(
        "static", "What embeds documents for their density: static (shipped), st:NAME (sentence-transformers), none.",
        metavar="MODEL", group="Measure",
    )  # fmt: skip
    seed: int = setting(0, "Another seed draws other half-samples.", metavar="N", group="Measure")
    group_key: str | None = setting(
        None, "The column that names the source of a row (author, site): drawn as a whole.", metavar="COLUMN",
        group="Design",
    )  # fmt: skip
    test_set: tuple[str, ...] = setting(
        (), "Questions of an evaluation (JSON lines) that the corpus should not hold, as PATH or NAME=PATH.",
        metavar="PATH", group="Input",
    )  # fmt: skip
    limit: int | None = setting(None, "Read the first N rows.", metavar="N", group="Input")
    rows: RowSettings = settings(RowSettings)
    model: PriorSettings = settings(PriorSettings)

    def __post_init__(self) -> None:
        check_types(self)
        _check(self.budget, self.draws, self.unit or 1, self.limit)
        if self.scored_words < 1_000:
            raise UsageError("--scored-words is 1000 or more")
        _check_embedder(self.embedder)


@dataclass(frozen=True, slots=True)
class AuditEffort:
    """How an audit or a profile is carried out. None of it changes a figure."""

    workers: int = setting(
        0, "Processes. 0 = one for each core, and one where there is little to do.", metavar="N", group="Effort"
    )
    max_dropped: float | None = setting(
        None, "Fail when more than this share of the rows had to be set aside.", metavar="SHARE", group="Effort"
    )

    def __post_init__(self) -> None:
        check_effort(self)


def named_scorers(given: tuple[str, ...]) -> tuple[str, ...]:
    """The scorers of a setting; `none` stands for none."""
    return tuple(name for name in given if name != "none")


def _check(budget: int, draws: int, unit: int, limit: int | None) -> None:
    if not 2_000 <= budget <= 20_000_000:
        raise UsageError("--budget lies between 2000 and 20000000 words")
    if not 50 <= draws <= 20_000:
        raise UsageError("--draws lies between 50 and 20000")
    if unit and not 10 <= unit <= 2_000:
        raise UsageError("--unit lies between 10 and 2000 words")
    if limit is not None and limit < 1:
        raise UsageError("--limit is 1 or more")


def _check_embedder(name: str) -> None:
    if name not in ("static", "none") and not (name.startswith("st:") and name[3:]):
        raise UsageError(f"--embedder is static, none or st:NAME, not '{name}'")
