"""Any causal language model of transformers as a prior: packed, windowed, and frugal with its head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from recension.document import JSON
from recension.errors import ModelError
from recension.models.checkpoint import Checkpoint, load_checkpoint
from recension.models.lane import Pack
from recension.models.options import PriorOptions
from recension.models.rows import Rows, joined, split
from recension.models.surfaces import Encoded, encode
from recension.models.windows import Window, packs, windows
from recension.ports import Ask, TokenScores


class _Piece(NamedTuple):
    """A window of one text, as it goes into a pack."""

    text: int
    window: Window


class TransformersPrior:
    """Scores texts with a causal model. Build one with `load_transformers`."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._parts = checkpoint

    @property
    def spec(self) -> Mapping[str, JSON]:
        return self._parts.spec

    @property
    def exact(self) -> bool:
        return False

    @property
    def surfaces(self) -> Sequence[str | None]:
        return self._parts.surfaces.characters

    def score(self, texts: Sequence[str], ask: Ask) -> list[TokenScores]:
        parts = self._parts
        encoded = encode(parts.tokenizer, texts, parts.surfaces)
        pieces = [
            _Piece(i, window)
            for i, text in enumerate(encoded)
            for window in windows(len(text.ids), parts.context, parts.bos is not None)
        ]
        bos = int(parts.bos is not None)
        lengths = [piece.window.stop - piece.window.start + bos for piece in pieces]
        scored: list[Rows | None] = [None] * len(pieces)
        plan = packs(lengths, parts.batch_tokens, mixed=parts.body.layout == "packed")
        batches = (self._pack([pieces[i] for i in members], encoded) for members in plan)
        lane = parts.lane
        answers = (self._score_pack(b, ask) for b in batches) if lane is None else lane.score(batches, ask)
        for members, rows in zip(plan, answers, strict=True):
            counts = [pieces[i].window.stop - pieces[i].window.first for i in members]
            for i, part in zip(members, split(rows, counts), strict=True):
                scored[i] = part
        found: list[list[tuple[Window, Rows]]] = [[] for _ in texts]
        for piece, rows_of_piece in zip(pieces, scored, strict=True):
            if rows_of_piece is not None:
                found[piece.text].append((piece.window, rows_of_piece))
        return [joined(text, windowed, parts.surfaces, ask.k) for text, windowed in zip(encoded, found, strict=True)]

    def _pack(self, pieces: Sequence[_Piece], encoded: Sequence[Encoded]) -> Pack:
        parts = self._parts
        lead = [] if parts.bos is None else [parts.bos]
        sequences = [
            np.concatenate([np.array(lead, dtype=np.int32), encoded[p.text].ids[p.window.start : p.window.stop]])
            for p in pieces
        ]
        places, targets = [], []
        begin = 0
        for piece, sequence in zip(pieces, sequences, strict=True):
            # The row before a token predicts it.
            first = len(lead) + piece.window.first - piece.window.start
            places.append(np.arange(begin + first - 1, begin + len(sequence) - 1))
            targets.append(sequence[first:])
            begin += len(sequence)
        wanted = np.concatenate(targets)
        return Pack(sequences, np.concatenate(places), wanted, ~np.isin(wanted, parts.surfaces.rare))

    def _score_pack(self, pack: Pack, ask: Ask) -> Rows:
        import torch

        parts = self._parts
        device = parts.body.device
        with torch.inference_mode():
            hidden = parts.body.rows(pack.sequences)
            taken = hidden.index_select(0, torch.as_tensor(pack.places, device=device))
            aims = torch.as_tensor(pack.targets.astype(np.int64), device=device)
            return parts.scorer.score(taken, aims, torch.as_tensor(pack.allowed, device=device), ask)


def load_transformers(name: str, options: PriorOptions) -> TransformersPrior:
    """Load `NAME_OR_PATH[@REVISION]` and check that it can be used for scoring."""
    prior = TransformersPrior(load_checkpoint(name, options))
    _preflight(prior, name)
    return prior


def _preflight(prior: TransformersPrior, name: str) -> None:
    """Score one short text and look whether the answer can be true."""
    text = "The weather was fine, and the two of them walked down to the sea."
    [scores] = prior.score([text], Ask(above=0.0, k=8))
    if len(scores.ids) < 2 or not (scores.spans[:, 0] >= 0).any():
        raise ModelError(f"hf:{name}: the tokenizer does not place its tokens in a plain English sentence")
    known = scores.logprobs[~np.isnan(scores.logprobs)]
    unscored = len(scores.ids) - len(known)
    if unscored > 1 or not np.isfinite(known).all() or not np.isfinite(scores.rival_mass).all():
        raise ModelError(f"hf:{name}: the model gives probabilities that are no numbers; are its weights intact?")
