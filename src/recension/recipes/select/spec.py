"""What can be set about a selection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from recension.document import KINDS, Kind
from recension.errors import UsageError
from recension.recipes.settings import PriorSettings, RowSettings, check_effort, check_types, setting, settings

METHODS = ("dsir", "perplexity", "edu", "density", "dedup")
# Settings that mean something for one method alone: elsewhere they are refused, not ignored.
ONLY: Mapping[str, tuple[str, ...]] = {
    "target": ("dsir",),
    "hash": ("dsir",),
    "length_normalise": ("dsir",),
    "temperature": ("dsir", "density"),
    "prior": ("perplexity",),
    "low": ("perplexity",),
    "high": ("perplexity",),
    "head": ("edu",),
    "min_score": ("edu",),
    "keep": ("dsir", "perplexity", "edu", "density"),
    "keep_tokens": ("dsir", "perplexity", "edu", "density"),
    "tokenizer": ("dsir", "perplexity", "edu", "density"),
}
DSIR_WORDS = 100  # the shortest document that DSIR draws, as published


@dataclass(frozen=True, slots=True)
class SelectSpec:
    """Everything that can change what `select` writes."""

    method: Literal["dsir", "perplexity", "edu", "density", "dedup"] = setting(
        "dsir", "How documents are chosen.", METHODS, group="Choice"
    )
    keep: float | None = setting(None, "Keep this share of the documents.", metavar="SHARE", group="Choice")
    keep_tokens: int | None = setting(
        None, "Keep the first documents that hold at most N words together, or tokens of --tokenizer.", metavar="N",
        group="Choice",
    )  # fmt: skip
    tokenizer: str | None = setting(
        None, "What counts tokens for --keep-tokens, as in mix: embedded, bytes, a tokenizer.json, a name on the hub.",
        metavar="NAME_OR_PATH", group="Choice",
    )  # fmt: skip
    min_words: int | None = setting(
        None, "Shorter documents are never kept [default: 100 for dsir, else 0].", metavar="N", group="Choice"
    )
    seed: int = setting(0, "Another seed draws other documents.", metavar="N", group="Choice")

    target: tuple[str, ...] = setting(
        (), "dsir: a corpus that the choice is to be like; may be repeated.", metavar="PATH", group="DSIR and density"
    )
    hash: Literal["fast", "sha256"] = setting(
        "fast", "dsir: how n-grams are put into buckets; sha256 is that of the data-selection package.",
        ("fast", "sha256"), group="DSIR and density",
    )  # fmt: skip
    temperature: float = setting(
        1.0, "dsir, density: divides the log-weights; more is closer to chance.", metavar="T", group="DSIR and density"
    )
    length_normalise: bool = setting(
        False, "dsir: weigh every document as if it had the mean length.", group="DSIR and density"
    )
    embedder: str = setting(
        "static", "What embeds texts for density and for coverage: static (shipped) or st:NAME.", metavar="MODEL",
        group="DSIR and density",
    )  # fmt: skip

    prior: str = setting(
        "", "perplexity: the model that reads, as for edit [default: embedded].", metavar="P", group="Perplexity"
    )
    low: float | None = setting(
        None, "perplexity: keep from this share of the documents, the most probable first [default: 0.25].",
        metavar="SHARE", group="Perplexity",
    )  # fmt: skip
    high: float | None = setting(
        None, "perplexity: and up to this one [default: 0.75].", metavar="SHARE", group="Perplexity"
    )
    model: PriorSettings = settings(PriorSettings)

    head: str = setting(
        "", "edu: a folder of train-head, or hf:NAME of a sequence classifier.", metavar="HEAD", group="Education"
    )
    min_score: float | None = setting(
        None, "edu: keep every document of at least this score.", metavar="SCORE", group="Education"
    )

    domain_key: str = setting(
        "domain", "The column that names the domain of a row, for the report; without it the file does.",
        metavar="COLUMN", group="Report",
    )  # fmt: skip
    tail_words: int = setting(
        20_000, "Words of the samples before and after, for the measures of contraction; 0 leaves these out.",
        metavar="WORDS", group="Report",
    )  # fmt: skip

    rows: RowSettings = settings(RowSettings)
    origin: Kind | None = setting(None, "What the input is, where its rows do not say.", KINDS, group="Input")
    limit: int | None = setting(None, "Read the first N rows.", metavar="N", group="Input")
    format: Literal["parquet", "jsonl", "jsonl.gz", "jsonl.zst"] = setting(
        "parquet", "How documents are written.", ("parquet", "jsonl", "jsonl.gz", "jsonl.zst"), group="Output"
    )
    shard_bytes: int = setting(
        0, "Input bytes in a shard, the unit of restart. 0 = from the size of the input.", metavar="BYTES",
        group="Output",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_types(self)
        _check_ranges(self)
        for name, methods in ONLY.items():
            if self.method not in methods and getattr(self, name) != type(self).__dataclass_fields__[name].default:
                raise UsageError(
                    f"--{name.replace('_', '-')} says nothing to --method {self.method}: it is for {', '.join(methods)}"
                )
        _check_amount(self)

    @property
    def shortest(self) -> int:
        """The fewest words of a document that may be kept."""
        if self.min_words is not None:
            return self.min_words
        return DSIR_WORDS if self.method == "dsir" else 0

    @property
    def band(self) -> tuple[float, float]:
        """The shares of the documents, by perplexity, between which they are kept."""
        if self.keep is not None:
            return 0.5 - self.keep / 2, 0.5 + self.keep / 2
        return (0.25 if self.low is None else self.low), (0.75 if self.high is None else self.high)


def _check_ranges(spec: SelectSpec) -> None:
    for name in ("keep", "low", "high"):
        value = getattr(spec, name)
        if value is not None and not 0 <= value <= 1:
            raise UsageError(f"--{name} is a share between 0 and 1")
    if spec.keep == 0:
        raise UsageError("--keep is a share above 0")
    for name, least in (("keep_tokens", 1), ("min_words", 0), ("limit", 1), ("shard_bytes", 0)):
        value = getattr(spec, name)
        if value is not None and value < least:
            raise UsageError(f"--{name.replace('_', '-')} is {least} or more")
    if not spec.temperature > 0:
        raise UsageError("--temperature is above 0")
    if spec.tail_words and spec.tail_words < 1_000:
        raise UsageError("--tail-words is 1000 or more, or 0")
    if spec.embedder != "static" and not (spec.embedder.startswith("st:") and spec.embedder[3:]):
        raise UsageError(f"--embedder is static or st:NAME, not '{spec.embedder}'")


def _check_amount(spec: SelectSpec) -> None:
    band = spec.low is not None or spec.high is not None
    given = [
        name
        for name, there in (
            ("--keep", spec.keep is not None),
            ("--keep-tokens", spec.keep_tokens is not None),
            ("--low and --high", band),
            ("--min-score", spec.min_score is not None),
        )
        if there
    ]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other: say how much to keep in one way")
    if not given and spec.method in ("dsir", "edu", "density"):
        also = " or --min-score" if spec.method == "edu" else ""
        raise UsageError(f"--method {spec.method} needs --keep SHARE or --keep-tokens N{also}")
    if spec.method == "dsir" and not spec.target:
        raise UsageError("--method dsir needs --target PATH: a corpus that the choice is to be like")
    if spec.method == "edu" and not spec.head:
        raise UsageError(
            "--method edu needs --head: a folder of `recension select train-head`, or hf:HuggingFaceFW/"
            "fineweb-edu-classifier"
        )
    if spec.tokenizer is not None and spec.keep_tokens is None:
        raise UsageError("--tokenizer says what --keep-tokens counts: give both")
    if spec.band[0] >= spec.band[1]:
        raise UsageError(f"--low {spec.band[0]:g} lies at or above --high {spec.band[1]:g}: nothing would be kept")


@dataclass(frozen=True, slots=True)
class SelectEffort:
    """How a selection is carried out. None of it changes a byte of what is written."""

    workers: int = setting(
        0, "Processes. 0 = one for each core (one in all for a model on a GPU or a server).", metavar="N",
        group="Effort",
    )  # fmt: skip
    max_dropped: float | None = setting(
        None, "Fail when more than this share of the rows could not be read.", metavar="SHARE", group="Effort"
    )

    def __post_init__(self) -> None:
        check_effort(self)


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """Everything that can change a fitted head."""

    label_key: str = setting("score", "The column that holds the score of a row.", metavar="COLUMN", group="Head")
    embedder: str = setting("static", "What embeds texts: static (shipped) or st:NAME.", metavar="MODEL", group="Head")
    cut: float = setting(3.0, "The score from which a document counts as good, for the report.", group="Head")
    seed: int = setting(0, "Another seed holds other rows out.", metavar="N", group="Head")
    limit: int | None = setting(None, "Read the first N rows.", metavar="N", group="Head")
    rows: RowSettings = settings(RowSettings)

    def __post_init__(self) -> None:
        check_types(self)
        if self.limit is not None and self.limit < 1:
            raise UsageError("--limit is 1 or more")
        if self.embedder != "static" and not (self.embedder.startswith("st:") and self.embedder[3:]):
            raise UsageError(f"--embedder is static or st:NAME, not '{self.embedder}'")
