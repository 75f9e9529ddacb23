"""ToEdit (arXiv 2412.14689): resample the tokens that a prior is sure of, given the original prefix.

    x'_i = x_i               where p(x_i | x_<i) < threshold
    x'_i ~ sampler(p_i)      elsewhere

An edit splices the surface of the drawn token over the characters of the old one and decodes nothing, so every other
byte of the text stays as it is. All functions here are pure; randomness comes in as a key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.document import Field
from recension.methods.tally import POSITION_BINS, PROBABILITY_BINS, Counts
from recension.ports import Ask, TokenScores
from recension.randomness import uniforms

Sampler = Literal["top-k", "top-p", "rejection"]
REJECTION_TRIES = 2_000  # the chance that 64 candidates all fail that often is below 1e-13


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which tokens are resampled, and how.

    `top_k` candidates are fetched. top-k draws among them from the tempered, renormalised probabilities; top-p among the
    smallest head of them that holds `top_p`; rejection proposes uniformly among them and accepts with
    exp((r - r_max) / temperature), r being the log-probability (RSO, Algorithm 1; taking r so is our reading).
    """

    above: float | None = 0.99
    below: float | None = None
    sampler: Sampler = "top-k"
    top_k: int = 8
    top_p: float = 0.9
    temperature: float = 1.0
    exclude_original: bool = False

    def ask(self, every: int = 1) -> Ask:
        mass = self.top_p if self.sampler == "top-p" else None
        return Ask(above=self.above, below=self.below, k=self.top_k, mass=mass, every=every)


class Edit(NamedTuple):
    """One changed token. `start` and `end` are offsets in the field's text before this generation's edits."""

    path: str
    start: int
    end: int
    old: str
    new: str
    p_old: float
    p_new: float
    position: int


class Proposal(NamedTuple):
    """For every flagged position the candidates and the probability of drawing each (rows sum to 1, or are all 0)."""

    tokens: NDArray[np.int32]
    draw: NDArray[np.float64]
    logprobs: NDArray[np.float32]
    keeps: NDArray[np.float64]  # the probability that the original is drawn
    truncated: NDArray[np.bool_]  # top-p wanted more mass than was fetched


class Edited(NamedTuple):
    text: str
    fields: tuple[Field, ...]
    edits: tuple[Edit, ...]
    counts: Counts


def propose(scores: TokenScores, drawable: NDArray[np.bool_], sampling: Sampling) -> Proposal:
    """The distribution each flagged token is drawn from. `drawable[id]` says which tokens have a surface."""
    tokens, logprobs = scores.rivals, scores.rival_logprobs
    if sampling.sampler != "top-p":
        tokens, logprobs = tokens[:, : sampling.top_k], logprobs[:, : sampling.top_k]
    allowed = tokens >= 0
    truncated = np.zeros(len(tokens), dtype=bool)
    if sampling.sampler == "top-p" and tokens.size:
        probability = np.exp(logprobs.astype(np.float64))
        before = np.cumsum(probability, axis=1) - probability
        allowed &= before < sampling.top_p
        # Float32 probabilities may miss the wanted mass by rounding alone; that is not a truncation.
        truncated = np.where(tokens >= 0, probability, 0.0).sum(axis=1) < sampling.top_p - 1e-6
    allowed &= drawable[np.maximum(tokens, 0)]
    original = tokens == scores.ids[scores.flagged][:, None]
    if sampling.exclude_original:
        allowed &= ~original
    tempered = np.where(allowed, logprobs.astype(np.float64) / sampling.temperature, -np.inf)
    best = tempered.max(axis=1, initial=-np.inf, keepdims=True)
    weights = np.exp(tempered - np.where(np.isfinite(best), best, 0.0))
    total = weights.sum(axis=1, keepdims=True)
    draw = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return Proposal(tokens, draw, logprobs, (draw * original).sum(axis=1), truncated)


def draw_tokens(proposal: Proposal, positions: NDArray[np.int64], sampling: Sampling, key: int) -> NDArray[np.int64]:
    """The column drawn at each flagged position; -1 where there is no candidate."""
    possible = proposal.draw.sum(axis=1) > 0
    columns = np.full(len(positions), -1, dtype=np.int64)
    if not possible.any():
        return columns
    if sampling.sampler == "rejection":
        columns[possible] = _reject(proposal.tokens[possible], proposal.draw[possible], positions[possible], key)
        return columns
    # In the order of token ids, not of ranks: two candidates that are equal up to rounding may change ranks between
    # machines or batch sizes, and must not change draws with it.
    order = np.argsort(proposal.tokens[possible], axis=1, kind="stable")
    cumulative = np.cumsum(np.take_along_axis(proposal.draw[possible], order, axis=1), axis=1)
    u = uniforms(key, positions[possible])[:, None] * cumulative[:, -1:]
    columns[possible] = np.take_along_axis(order, np.argmax(cumulative > u, axis=1)[:, None], axis=1)[:, 0]
    return columns


def _reject(
    tokens: NDArray[np.int32], draw: NDArray[np.float64], positions: NDArray[np.int64], key: int
) -> NDArray[np.int64]:
    """RSO's Algorithm 1 for one sample: `draw / draw.max` is exp((r_c - r_max) / beta)."""
    allowed = draw > 0
    count = allowed.sum(axis=1)
    order = np.lexsort((tokens, ~allowed), axis=1)  # allowed columns first, in the order of token ids
    accept = draw / draw.max(axis=1, keepdims=True)
    chosen: NDArray[np.int64] = np.argmax(draw, axis=1)  # taken only if every try fails
    waiting = np.arange(len(draw))
    for attempt in range(REJECTION_TRIES):
        pick = (uniforms(key, positions[waiting], 2 * attempt) * count[waiting]).astype(np.int64)
        column = order[waiting, pick]
        taken = uniforms(key, positions[waiting], 2 * attempt + 1) < accept[waiting, column]
        chosen[waiting[taken]] = column[taken]
        waiting = waiting[~taken]
        if not len(waiting):
            break
    return chosen


def _field_of_tokens(spans: NDArray[np.int32], fields: Sequence[Field]) -> NDArray[np.int64]:
    """The index of the field each token ends in, -1 for context. A token without a span stands where its left
    neighbour ended."""
    reached = np.maximum.accumulate(spans[:, 1]) if len(spans) else spans[:, 1]
    ends = np.maximum(reached, 0).astype(np.int64)
    starts = np.array([field.start for field in fields], dtype=np.int64)
    stops = np.array([field.end for field in fields], dtype=np.int64)
    index = np.searchsorted(starts, np.maximum(ends - 1, 0), side="right") - 1
    inside = (index >= 0) & (ends <= stops[np.maximum(index, 0)])
    found: NDArray[np.int64] = np.where(inside, index, -1)
    return found


def overlaps(spans: NDArray[np.int32], intervals: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which spans touch one of the sorted, disjoint intervals."""
    if not len(intervals):
        return np.zeros(len(spans), dtype=bool)
    following = np.searchsorted(intervals[:, 1], spans[:, 0], side="right")
    starts = np.append(intervals[:, 0], np.iinfo(np.int64).max)
    touched: NDArray[np.bool_] = starts[following] < spans[:, 1]
    return touched


class Standing(NamedTuple):
    """Where each flagged token stands: who may be edited, and why the others may not."""

    own: NDArray[np.bool_]  # (T,) tokens in a field, the only ones that count
    flagged: NDArray[np.bool_]  # (F,) flagged tokens in a field
    protected: NDArray[np.bool_]
    editable: NDArray[np.bool_]
    field: NDArray[np.int64]


def standing(scores: TokenScores, fields: Sequence[Field], protect: NDArray[np.int64]) -> Standing:
    field = _field_of_tokens(scores.spans, fields) if fields else np.full(len(scores.ids), -1)
    own = field >= 0
    spans = scores.spans[scores.flagged]
    at = field[scores.flagged]
    starts = np.array([f.start for f in fields], dtype=np.int64)
    flagged = own[scores.flagged]
    sound = flagged & (spans[:, 0] >= 0)
    if len(fields):
        sound &= spans[:, 0] >= starts[np.maximum(at, 0)]
    protected = sound & overlaps(spans, protect)
    return Standing(own, flagged, protected, sound & ~protected, at)


def edit_text(
    text: str,
    fields: tuple[Field, ...],
    scores: TokenScores,
    surfaces: Surfaces,
    choice: tuple[Sampling, NDArray[np.int64], int],
) -> Edited:
    """One generation of one text. `choice` is the sampling, the protected intervals of the text and the key."""
    sampling, protect, key = choice
    where = standing(scores, fields, protect)
    proposal = propose(scores, surfaces.drawable, sampling)
    columns = draw_tokens(proposal, scores.flagged.astype(np.int64), sampling, key)
    can = where.editable & (columns >= 0)
    rows = np.flatnonzero(can)
    rows = rows[proposal.tokens[rows, columns[rows]] != scores.ids[scores.flagged[rows]]]
    edits = _edits_at(rows, columns[rows], (text, fields, scores, surfaces), (proposal, where))
    # Two tokens with the same characters (a byte-level alias) are no change.
    kept = [i for i, edit in enumerate(edits) if edit.old != edit.new]
    rows, edits = rows[kept], [edits[i] for i in kept]
    changed_positions = scores.flagged[rows]
    gained = proposal.logprobs[rows, columns[rows]].astype(np.float64) - scores.logprobs[changed_positions]
    counts = _count(scores, where, can, changed_positions, len(text))
    counts = replace(
        counts,
        truncated=int((proposal.truncated & can).sum()),
        logprob_after=counts.logprob_before + (float(gained.sum()) if scores.complete else 0.0),
    )
    new_text, new_fields = splice(text, fields, edits)
    return Edited(new_text, new_fields, tuple(edits), counts)


class Surfaces(NamedTuple):
    """A vocabulary ready for splicing."""

    texts: Sequence[str | None]
    drawable: NDArray[np.bool_]


def surfaces(texts: Sequence[str | None]) -> Surfaces:
    return Surfaces(texts, np.array([bool(t) and "\0" not in (t or "") for t in texts], dtype=bool))


def _edits_at(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    source: tuple[str, tuple[Field, ...], TokenScores, Surfaces],
    drawn: tuple[Proposal, Standing],
) -> list[Edit]:
    """The edits of the flagged tokens `rows`, each to the candidate in its column. By columns: they may be many."""
    text, fields, scores, vocabulary = source
    proposal, where = drawn
    positions = scores.flagged[rows]
    at = where.field[rows]
    begins = np.array([f.start for f in fields], dtype=np.int64)[at].tolist()
    paths = [fields[i].path for i in at.tolist()]
    starts, ends = scores.spans[positions].T.tolist()
    texts = vocabulary.texts  # propose() draws only tokens that have a surface
    new = [texts[i] or "" for i in proposal.tokens[rows, columns].tolist()]
    p_old = np.exp(scores.logprobs[positions]).tolist()
    p_new = np.exp(proposal.logprobs[rows, columns]).tolist()
    old = [text[a:b] for a, b in zip(starts, ends, strict=True)]
    from_start = [a - begin for a, begin in zip(starts, begins, strict=True)]
    to_end = [b - begin for b, begin in zip(ends, begins, strict=True)]
    columns_of = (paths, from_start, to_end, old, new, p_old, p_new, positions.tolist())
    return list(map(Edit._make, zip(*columns_of, strict=True)))


def _count(
    scores: TokenScores, where: Standing, can: NDArray[np.bool_], changed: NDArray[np.int32], length: int
) -> Counts:
    logprobs = scores.logprobs[where.own & scores.complete].astype(np.float64)
    logprobs = logprobs[~np.isnan(logprobs)]
    bins = np.minimum((np.exp(logprobs) * PROBABILITY_BINS).astype(np.int64), PROBABILITY_BINS - 1)
    place = scores.spans[changed, 0].astype(np.float64) / max(length, 1)
    places = np.minimum((place * POSITION_BINS).astype(np.int64), POSITION_BINS - 1)
    return Counts(
        tokens=int(where.own.sum()),
        flagged=int(where.flagged.sum()),
        changed=len(changed),
        protected=int(where.protected.sum()),
        not_editable=int((where.flagged & ~where.protected & ~can).sum()),
        scored=len(logprobs),
        logprob_before=float(logprobs.sum()),
        probabilities=np.bincount(bins, minlength=PROBABILITY_BINS),
        positions=np.bincount(places, minlength=POSITION_BINS),
    )


def splice(text: str, fields: Sequence[Field], edits: Iterable[Edit]) -> tuple[str, tuple[Field, ...]]:
    """Apply edits (offsets relative to their fields) to a whole text; fields move along."""
    by_path: dict[str, list[Edit]] = {}
    for edit in edits:
        by_path.setdefault(edit.path, []).append(edit)
    pieces: list[str] = []
    moved: list[Field] = []
    done = shift = 0
    for field in fields:
        pieces.append(text[done : field.start])
        body = apply(text[field.start : field.end], by_path.get(field.path, ()))
        start = field.start + shift
        pieces.append(body)
        moved.append(Field(field.path, start, start + len(body)))
        shift += len(body) - (field.end - field.start)
        done = field.end
    pieces.append(text[done:])
    return "".join(pieces), tuple(moved)


def apply(text: str, edits: Iterable[Edit]) -> str:
    """The text after one generation's edits of it, given in rising order."""
    pieces: list[str] = []
    done = 0
    for edit in edits:
        pieces += (text[done : edit.start], edit.new)
        done = edit.end
    pieces.append(text[done:])
    return "".join(pieces)


def undo(text: str, edits: Iterable[Edit]) -> str:
    """The text before one generation's edits of it: the exact inverse of `apply`.

    Raises ValueError where the text does not hold what the log says was put there.
    """
    pieces: list[str] = []
    done = shift = 0
    for edit in edits:
        start = edit.start + shift
        end = start + len(edit.new)
        if start < done or text[start:end] != edit.new:
            raise ValueError(f"character {start}: the text does not hold the edit {edit.new!r}")
        pieces += (text[done:start], edit.old)
        done = end
        shift += len(edit.new) - len(edit.old)
    pieces.append(text[done:])
    return "".join(pieces)
