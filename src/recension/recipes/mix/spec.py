"""What can be set about a mixture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from recension.document import KINDS, Kind
from recension.errors import UsageError
from recension.recipes.mix.presets import check_parts, preset_named
from recension.recipes.settings import ARGUMENT, RowSettings, check_effort, check_types, setting, settings


@dataclass(frozen=True, slots=True)
class MixSource:
    """One source of a mixture: how much of it (a weight, so many tokens, or so many passes), and what it is.

    `place` is where a recipe says so, for messages.
    """

    name: str
    path: tuple[str, ...]
    weight: float | None = None
    tokens: int | None = None
    repeat: float | None = None
    cap: int | None = None
    max_repeat: float | None = None
    kind: Kind | None = None
    role: str | None = None
    lineage: str | None = None
    text_key: str | None = None
    id_key: str | None = None
    shape: Literal["auto", "text", "chat", "instruction", "mixed"] | None = None
    place: str = ""

    def __post_init__(self) -> None:
        given: Any = self.path
        if isinstance(given, str):
            object.__setattr__(self, "path", (given,))
        check_types(self)
        at = f"{self.place}: " if self.place else ""
        if not self.path:
            raise UsageError(f"{at}source '{self.name}' has no path")
        amounts = [name for name in ("weight", "tokens", "repeat") if getattr(self, name) is not None]
        if len(amounts) > 1:
            raise UsageError(f"{at}source '{self.name}' has {amounts[0]} and {amounts[1]}: give one of the two")
        for name in ("weight", "tokens", "repeat"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise UsageError(f"{at}{name} of source '{self.name}' is 0 or more, not {value:g}")
        for name in ("cap", "max_repeat"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{at}{name} of source '{self.name}' is above 0, not {value:g}")
        if self.kind is not None and self.kind not in KINDS:
            raise UsageError(f"{at}kind of source '{self.name}' is one of {', '.join(KINDS)}, not '{self.kind}'")

    @property
    def part(self) -> str:
        """The part that it plays in a preset."""
        return self.role or self.name


@dataclass(frozen=True, slots=True)
class MixSpec:
    """Everything that can change a mixture."""

    sources: tuple[MixSource, ...] = setting((), "The sources, by name.", group=ARGUMENT)
    preset: str | None = setting(
        None, "A mixture of the papers, such as alpha-50, entire-maga or wrap.", metavar="NAME", group="Mixture"
    )
    tokens: int | None = setting(
        None, "Tokens of the whole, but for what is held out [default: what the sources come to].", metavar="TOKENS",
        group="Mixture",
    )  # fmt: skip
    tokenizer: str = setting(
        "embedded", "What counts tokens: embedded, a folder or name of transformers, bytes, or words.", metavar="NAME",
        group="Mixture",
    )  # fmt: skip
    max_repeat: float = setting(
        4.0, "Refuse to read a source with a weight or tokens more often than this.", metavar="X", group="Mixture"
    )
    whole: bool = setting(
        False, "Keep the last document of each source whole, instead of cutting it to the exact count.", group="Mixture"
    )
    seed: int = setting(0, "Another seed: other documents, another order.", metavar="N", group="Mixture")
    holdout: float | None = setting(
        None, "Hold documents out: a share of the lineages (below 1), or so many tokens.", metavar="X", group="Held out"
    )
    holdout_sources: tuple[str, ...] = setting(
        (), "Write held-out documents of this source only (give it several times).", metavar="NAME", group="Held out"
    )
    rows: RowSettings = settings(RowSettings)
    format: Literal["parquet", "jsonl", "jsonl.gz", "jsonl.zst"] = setting(
        "parquet", "How documents are written.", ("parquet", "jsonl", "jsonl.gz", "jsonl.zst"), group="Output"
    )
    shard_bytes: int | None = setting(
        None, "Text in one shard of the output [default: by the size of the mixture].", metavar="BYTES", group="Output"
    )

    def __post_init__(self) -> None:
        check_types(self)
        if self.holdout is not None:
            object.__setattr__(self, "holdout", float(self.holdout))  # one key, however it was written
        names = [source.name for source in self.sources]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"two sources are called '{twice}'")
        for name in ("tokens", "shard_bytes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is 1 or more, not {value}")
        if not self.max_repeat > 0:
            raise UsageError(f"max_repeat is above 0, not {self.max_repeat:g}")
        if self.holdout is not None and (not self.holdout > 0 or self.holdout == 1):
            raise UsageError(f"holdout is a share below 1 or a number of tokens above 1, not {self.holdout:g}")
        if self.holdout_sources and self.holdout is None:
            raise UsageError("holdout_sources without holdout: say how much is held out")
        for name in self.holdout_sources:
            if self.sources and name not in names:
                raise UsageError(f"holdout_sources names '{name}', which is no source: they are {', '.join(names)}")
        if self.preset is not None and self.sources:
            self._check_preset()
        elif self.sources:
            self._check_amounts()

    def _check_preset(self) -> None:
        assert self.preset is not None
        preset_named(self.preset)
        for source in self.sources:
            stated = next((n for n in ("weight", "tokens", "repeat", "cap") if getattr(source, n) is not None), None)
            if stated:
                at = f"{source.place}: " if source.place else ""
                raise UsageError(
                    f"{at}source '{source.name}' has a {stated}, and preset {self.preset} says that already"
                )
        check_parts(self.preset, self.roles, {source.name: source.place for source in self.sources})

    def _check_amounts(self) -> None:
        weighted = [source for source in self.sources if source.weight is not None]
        if weighted and not any(source.weight for source in weighted):
            at = f"{weighted[0].place}: " if weighted[0].place else ""
            raise UsageError(f"{at}the weights sum to 0: give one source a weight above 0")
        if self.tokens is not None and not weighted:
            open_ = [source for source in self.sources if source.tokens is None and source.repeat is None]
            if open_:
                at = f"{open_[0].place}: " if open_[0].place else ""
                raise UsageError(
                    f"{at}source '{open_[0].name}' has no weight: with tokens for the whole, say what its share is"
                )

    @property
    def roles(self) -> dict[str, str]:
        return {source.name: source.part for source in self.sources}


@dataclass(frozen=True, slots=True)
class MixEffort:
    """How a mixture is carried out. None of this changes a byte of it."""

    workers: int = setting(0, "Processes. 0 = one for each core.", metavar="N", group="Effort")
    max_dropped: float | None = setting(
        None, "Fail when more than this share of the rows cannot be read.", metavar="SHARE", group="Effort"
    )

    def __post_init__(self) -> None:
        check_effort(self)
