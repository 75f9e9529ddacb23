"""What can be set about writing with a model. `WriterSettings` and the verbs' own are in the key, `Calls` is not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from recension.document import JSON, Kind
from recension.errors import UsageError
from recension.methods.writing.cleaning import Rules
from recension.recipes.settings import RowSettings, check_effort, check_types, flat, setting, settings

VARIANTS = ("base", "strict", "relaxed")
FORMATS = ("parquet", "jsonl", "jsonl.gz", "jsonl.zst")
KINDS = ("human", "edited", "rewritten", "generated", "unknown")
MIXES = ("none", "append", "interleave")
AUDIENCES = ("general", "children", "high-school", "college", "researchers")


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """Which model writes, and how it draws."""

    writer: str = setting("", "Who writes: openai:MODEL@URL, vllm:NAME or hf:NAME.", metavar="WRITER", group="Writer")
    temperature: float = setting(0.8, "Its temperature.", metavar="T", group="Writer")
    top_p: float = setting(0.95, "It draws from the tokens that hold this share.", metavar="P", group="Writer")
    answer_tokens: int = setting(2048, "Tokens an answer may have.", metavar="N", group="Writer")
    structured: Literal["auto", "off"] = setting(
        "auto", "Hold answers to a JSON schema where the server can; off: never.", ("auto", "off"), group="Writer"
    )
    device: str = setting("auto", "Where an hf: writer runs.", ("auto", "cpu", "cuda"), group="Writer")
    dtype: str = setting(
        "auto", "Its number format.", ("auto", "float32", "bfloat16", "float16"), group="Writer"
    )  # fmt: skip
    seed: int = setting(0, "Another seed asks for other answers.", metavar="N", group="Writer")

    def __post_init__(self) -> None:
        check_types(self)
        if self.temperature < 0:
            raise UsageError("--temperature is 0 or more")
        if not 0 < self.top_p <= 1:
            raise UsageError("--top-p is above 0 and at most 1")
        if self.answer_tokens < 1:
            raise UsageError("--answer-tokens is 1 or more")


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Which texts are taken, and how long ones are cut."""

    rows: RowSettings = settings(RowSettings)
    origin: Kind | None = setting(None, "What the input is, where its rows do not say.", KINDS, group="Input")
    max_depth: int = setting(
        1, "Texts that already went through more models than this are set aside.", metavar="N", group="Input"
    )
    part_characters: int = setting(
        6000, "Longer texts are cut at paragraphs into parts of at most so many characters.", metavar="N", group="Input"
    )
    least_words: int = setting(20, "Texts of fewer words are set aside.", metavar="N", group="Input")

    def __post_init__(self) -> None:
        check_types(self)
        if self.max_depth < 0 or self.least_words < 0:
            raise UsageError("--max-depth and --least-words are 0 or more")
        if self.part_characters < 200:
            raise UsageError("--part-characters is 200 or more")


@dataclass(frozen=True, slots=True)
class CleaningSettings:
    """What an answer must be like to be kept. Changed after the fact by `reparse`."""

    least_coverage: float | None = setting(
        None, "Share of the source's keywords it must hold [default: by variant or style].", metavar="SHARE",
        group="Acceptance",
    )  # fmt: skip
    shortest: float | None = setting(
        None, "Its least length, in lengths of the source [default: by variant or style].", metavar="RATIO",
        group="Acceptance",
    )  # fmt: skip
    longest: float | None = setting(
        None, "Its greatest length, in lengths of the source [default: by variant or style].", metavar="RATIO",
        group="Acceptance",
    )  # fmt: skip
    same_language: bool = setting(True, "It must be in the language of the source.", group="Acceptance")

    def __post_init__(self) -> None:
        check_types(self)
        if self.least_coverage is not None and not 0 <= self.least_coverage <= 1:
            raise UsageError("--least-coverage is a share between 0 and 1")
        if (self.shortest or 0) < 0 or (self.longest is not None and self.longest <= 0):
            raise UsageError("--shortest is 0 or more, and --longest more than 0")
        if self.shortest is not None and self.longest is not None and self.shortest > self.longest:
            raise UsageError("--shortest is not above --longest: no text could be kept")


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """Who rates an answer, and what it must reach. `accept` and what follows are changed after the fact by `reparse`."""

    judge: str | None = setting(
        None, "Who rates: a writer, or none [default: the writer].", metavar="WRITER", group="Acceptance"
    )
    accept: int = setting(3, "The least score, 1 to 5.", metavar="SCORE", group="Acceptance")
    factuality: bool = setting(
        True, "Set answers aside that state what the source does not support.", group="Acceptance"
    )
    max_unsupported: int = setting(
        2, "Claims, numbers and names without support that an answer may have.", metavar="N", group="Acceptance"
    )

    def __post_init__(self) -> None:
        check_types(self)
        if not 1 <= self.accept <= 5:
            raise UsageError("--accept is a score from 1 to 5")
        if self.max_unsupported < 0:
            raise UsageError("--max-unsupported is 0 or more")


@dataclass(frozen=True, slots=True)
class OutputSettings:
    format: Literal["parquet", "jsonl", "jsonl.gz", "jsonl.zst"] = setting(
        "parquet", "How documents are written.", FORMATS, group="Output"
    )
    shard_bytes: int | None = setting(
        None, "Bytes of input in a shard [default: by the size of the input].", metavar="BYTES", group="Output"
    )

    def __post_init__(self) -> None:
        check_types(self)
        if self.shard_bytes is not None and self.shard_bytes < 1024:
            raise UsageError("--shard-bytes is 1024 or more")


@dataclass(frozen=True, slots=True)
class ReformulateSpec:
    """MAGA: each text for several genres and audiences."""

    writing: WriterSettings = settings(WriterSettings)
    pairs: int = setting(5, "Genre-audience pairs of each text.", metavar="K", group="Reformulation")
    variant: Literal["base", "strict", "relaxed"] = setting(
        "base", "How far an answer may go from its source.", VARIANTS, group="Reformulation"
    )
    judging: JudgeSettings = settings(JudgeSettings)
    cleaning: CleaningSettings = settings(CleaningSettings)
    source: SourceSettings = settings(SourceSettings)
    output: OutputSettings = settings(OutputSettings)

    def __post_init__(self) -> None:
        check_types(self)
        if not 1 <= self.pairs <= 20:
            raise UsageError("--pairs is 1 to 20")


@dataclass(frozen=True, slots=True)
class RephraseSpec:
    """Texts in other styles: WRAP, Nemotron-CC, FinePhrase, or your own."""

    writing: WriterSettings = settings(WriterSettings)
    style: tuple[str, ...] = setting(
        ("medium",), "A style; name several for several answers to each text.", metavar="STYLE", group="Rephrasing"
    )
    styles: str | None = setting(
        None, "A folder of templates NAME.j2 with styles of your own.", metavar="FOLDER", group="Rephrasing"
    )
    mix_source: Literal["none", "append", "interleave"] = setting(
        "none", "Keep the source: before its rewriting in one text (append), or as a row of its own (interleave).",
        MIXES, group="Rephrasing",
    )  # fmt: skip
    cleaning: CleaningSettings = settings(CleaningSettings)
    source: SourceSettings = settings(SourceSettings)
    output: OutputSettings = settings(OutputSettings)

    def __post_init__(self) -> None:
        check_types(self)
        if not self.style:
            raise UsageError("--style names at least one style")
        if len(set(self.style)) < len(self.style):
            raise UsageError("--style names one style twice")


@dataclass(frozen=True, slots=True)
class ComposeSpec:
    """New texts that samples of the web only inspire (Cosmopedia)."""

    writing: WriterSettings = settings(WriterSettings)
    style: tuple[str, ...] = setting(
        ("textbook-academic",), "A style; each seed draws one of those named.", metavar="STYLE", group="Composing"
    )
    styles: str | None = setting(
        None, "A folder of templates NAME.j2 with styles of your own.", metavar="FOLDER", group="Composing"
    )
    audience: tuple[str, ...] = setting(
        ("general",), f"Of {', '.join(AUDIENCES)}, or in your words; each seed draws one.", metavar="AUDIENCE",
        group="Composing",
    )  # fmt: skip
    topic_key: str | None = setting(
        None,
        "A column with the topic of the seed, which half of the texts are told.",
        metavar="NAME",
        group="Composing",
    )
    seed_characters: int = setting(1000, "Characters of a sample that are shown.", metavar="N", group="Composing")
    rows: RowSettings = settings(RowSettings)
    output: OutputSettings = settings(OutputSettings)

    def __post_init__(self) -> None:
        check_types(self)
        if not self.style or not self.audience:
            raise UsageError("--style and --audience name at least one each")
        if self.seed_characters < 50:
            raise UsageError("--seed-characters is 50 or more")


@dataclass(frozen=True, slots=True)
class Calls:
    """How a server is asked, and what may be spent. None of this changes an answer, so a stopped run goes on."""

    concurrency: int = setting(
        256, "Most requests at once; how many it is, is found by trying.", metavar="N", group="Calls"
    )
    timeout: float = setting(300.0, "Seconds that one answer may take.", metavar="S", group="Calls")
    attempts: int = setting(
        12, "How often a request that fails is sent while others succeed.", metavar="N", group="Calls"
    )
    patience: float = setting(300.0, "Seconds to wait for a server that answers nobody.", metavar="S", group="Calls")
    api_key_variable: str = setting(
        "OPENAI_API_KEY", "The environment variable with the key of the server.", metavar="NAME", group="Calls"
    )
    judge_key_variable: str | None = setting(
        None, "The same for the server of --judge [default: that of the writer].", metavar="NAME", group="Calls"
    )
    max_requests: int | None = setting(None, "Stop at so many answers in all.", metavar="N", group="Budget")
    max_tokens: int | None = setting(
        None, "Stop at so many tokens, read and written, in all.", metavar="N", group="Budget"
    )
    max_cost: float | None = setting(
        None, "Stop at so much money in all, by the prices.", metavar="MONEY", group="Budget"
    )
    price_in: float = setting(0.0, "Price of a million tokens read.", metavar="MONEY", group="Budget")
    price_out: float = setting(0.0, "Price of a million tokens written.", metavar="MONEY", group="Budget")
    judge_price_in: float | None = setting(
        None, "Price of a million tokens that the judge reads [default: --price-in].", metavar="MONEY", group="Budget"
    )
    judge_price_out: float | None = setting(
        None, "Price of a million tokens that the judge writes [default: --price-out].", metavar="MONEY", group="Budget"
    )
    limit: int | None = setting(
        None, "Stop after the first N input rows; a later call with a larger N goes on.", metavar="N", group="Effort"
    )
    max_dropped: float | None = setting(
        None,
        "Fail when more than this share of what was asked for had to be set aside.",
        metavar="SHARE",
        group="Effort",
    )

    def __post_init__(self) -> None:
        check_effort(self)
        for name in ("concurrency", "attempts", "max_requests", "max_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} is 1 or more")
        for name in ("timeout", "patience"):
            if getattr(self, name) <= 0:
                raise UsageError(f"--{name} is more than 0")
        if min(price or 0.0 for price in self.prices) < 0:
            raise UsageError("--price-in, --price-out and those of the judge are 0 or more")
        if self.max_cost is not None and not any(self.prices):
            raise UsageError("--max-cost needs --price-in and --price-out, the money for a million tokens")

    @property
    def prices(self) -> tuple[float, float, float | None, float | None]:
        """As a budget wants them."""
        return self.price_in, self.price_out, self.judge_price_in, self.judge_price_out


def rules_of(name: str, chosen: CleaningSettings, instructions: str) -> Rules:
    """The rules of a variant or style with what the user set instead; `instructions` must not come back in an answer."""
    preset = Rules.of(name)
    set_here: dict[str, Any] = {
        "least_coverage": chosen.least_coverage,
        "shortest": chosen.shortest,
        "longest": chosen.longest,
        "same_language": chosen.same_language and preset.same_language,
        "instructions": instructions,
    }
    return replace(preset, **{name: value for name, value in set_here.items() if value is not None})


@dataclass(frozen=True, slots=True)
class ReparseSpec:
    """Other rules for answers that are there already. What is not set stays as the run had it."""

    accept: int | None = setting(None, "The least score, 1 to 5.", metavar="SCORE", group="Acceptance")
    max_unsupported: int | None = setting(
        None, "Claims, numbers and names without support that an answer may have.", metavar="N", group="Acceptance"
    )
    least_coverage: float | None = setting(
        None, "Share of the source's keywords it must hold.", metavar="SHARE", group="Acceptance"
    )
    shortest: float | None = setting(
        None, "Its least length, in lengths of the source.", metavar="RATIO", group="Acceptance"
    )
    longest: float | None = setting(
        None, "Its greatest length, in lengths of the source.", metavar="RATIO", group="Acceptance"
    )
    factuality: Literal["on", "off"] | None = setting(
        None, "Whether unsupported statements count.", ("on", "off"), group="Acceptance"
    )
    same_language: Literal["on", "off"] | None = setting(
        None, "Whether it must be in the language of the source.", ("on", "off"), group="Acceptance"
    )

    def __post_init__(self) -> None:
        check_types(self)

    def changes(self) -> dict[str, JSON]:
        """What is set, as the run's own settings name it."""
        told = {name: value for name, value in flat(self).items() if value is not None}
        return {name: value == "on" if value in ("on", "off") else value for name, value in told.items()}
