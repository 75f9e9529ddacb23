"""Settings are dataclass fields: the same names are CLI flags, configuration keys and keyword arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from recension.errors import UsageError


def setting(default: Any, help: str, choices: Sequence[str] = (), metavar: str = "", group: str = "Settings") -> Any:
    """A field with what the command line says about it."""
    metadata = {"help": help, "choices": tuple(choices), "metavar": metavar, "group": group}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Effort:
    """How a run is carried out. None of this changes a byte of its output, so a stopped run goes on under another."""

    workers: int = setting(
        0, "Processes. 0 = one for each core (one in all for a model on a GPU).", metavar="N", group="Effort"
    )
    limit: int | None = setting(
        None, "Stop after the first N input rows; a later call with a larger N goes on.", metavar="N", group="Effort"
    )
    max_dropped: float | None = setting(
        None, "Fail when more than this share of the rows had to be set aside.", metavar="SHARE", group="Effort"
    )

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise UsageError("--workers is 0 (automatic) or more")
        if self.limit is not None and self.limit < 1:
            raise UsageError("--limit is 1 or more")
        if self.max_dropped is not None and not 0 <= self.max_dropped <= 1:
            raise UsageError("--max-dropped is a share between 0 and 1")


def field_names(settings: type[Any]) -> tuple[str, ...]:
    return tuple(f.name for f in fields(settings))
