"""What an edit did, as sums: texts add up to shards, shards to a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

PROBABILITY_BINS = 50
POSITION_BINS = 20


def _bins(count: int) -> Any:
    return field(default_factory=lambda: np.zeros(count, dtype=np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """`flagged` tokens are the ones the thresholds pick, `changed` those that became others.

    `truncated` positions wanted more candidates than a top-p may fetch. The log-probabilities are sums over `scored`
    tokens, those of the texts that were scored completely, and so is the histogram; `logprob_after` puts the drawn
    tokens in the place of the old ones, with the same text before them.
    """

    tokens: int = 0
    flagged: int = 0
    changed: int = 0
    protected: int = 0
    not_editable: int = 0
    truncated: int = 0
    scored: int = 0
    logprob_before: float = 0.0
    logprob_after: float = 0.0
    probabilities: NDArray[np.int64] = _bins(PROBABILITY_BINS)
    positions: NDArray[np.int64] = _bins(POSITION_BINS)

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def to_json(self) -> dict[str, Any]:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()}


def counts_from_json(value: Mapping[str, Any]) -> Counts:
    values: dict[str, Any] = {k: np.array(v, dtype=np.int64) if isinstance(v, list) else v for k, v in value.items()}
    return Counts(**values)
