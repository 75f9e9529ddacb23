"""What pages are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple


class Measured(NamedTuple):
    """A mean over seeds with its 95 % interval; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def half(self) -> float:
        return (self.high - self.low) / 2

    def to_json(self) -> dict[str, float | None]:
        return {name: part if math.isfinite(part) else None for name, part in self._asdict().items()}


@dataclass(frozen=True, slots=True)
class GenerationReport:
    """One editing step over the whole corpus.

    `flagged` tokens are the ones the thresholds picked, `changed` those that became others. The log-probabilities are
    means per token, natural; None where nothing was scored. `probabilities` counts tokens in equal bins of p in [0, 1],
    `positions` counts changed tokens in equal bins of their relative place in the document.
    """

    generation: int
    prior: str
    tokens: int
    flagged: int
    changed: int
    protected: int
    not_editable: int
    truncated: int
    logprob_before: float | None
    logprob_after: float | None
    probabilities: tuple[int, ...]
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EditReport:
    """What an `edit` did. `documents` were written, `tokens` are those of the inputs, read once each."""

    title: str
    run: str
    prior: str
    settings: Mapping[str, str]
    documents: int
    tokens: int
    dropped: Mapping[str, int]
    generations: tuple[GenerationReport, ...]
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        raw = asdict(self)
        raw["settings"], raw["dropped"], raw["notes"] = dict(self.settings), dict(self.dropped), list(self.notes)
        raw["generations"] = [
            {**g, "probabilities": list(g["probabilities"]), "positions": list(g["positions"])}
            for g in raw["generations"]
        ]
        return raw


def edit_report_from_json(raw: Mapping[str, Any]) -> EditReport:
    """The report of a `report.json`."""
    generations = tuple(
        GenerationReport(**{**g, "probabilities": tuple(g["probabilities"]), "positions": tuple(g["positions"])})
        for g in raw["generations"]
    )
    return EditReport(**{**raw, "generations": generations, "notes": tuple(raw["notes"])})


class Mark(NamedTuple):
    """A changed token: `text[start : start + len(new)] == new`, in characters (code points)."""

    start: int
    old: str
    new: str
    p_old: float
    p_new: float


@dataclass(frozen=True, slots=True)
class ViewedText:
    """One field of a document as it stands after one generation, with that generation's edits, in order."""

    generation: int
    path: str
    text: str
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class ViewedDocument:
    """A document to look at: one `ViewedText` for each generation and field."""

    id: str
    place: str
    edition: int
    generations: tuple[ViewedText, ...]
