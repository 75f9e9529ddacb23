"""From rows to token shards: the vocabulary fitted where there is none, then every document once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from recension.corpus import BadRow, Layout, Piece, Reading, Record, check_unchanged, read_piece
from recension.identity import content_hash
from recension.models import hub
from recension.recipes.train.exchange import Sample, Unusable, sample_of
from recension.recipes.train.mixture import Chooser
from recension.recipes.train.sources import Sources
from recension.run.passes import Pass
from recension.run.progress import Pulse
from recension.run.receipts import Receipt
from recension.run.shards import ShardPlan, ShardWriter
from recension.training.tokenizer import Tokenizing, tokenizing
from recension.training.tokens import token_batch

SAMPLE_BYTES = 48 << 20  # of text that a vocabulary is fitted to
BATCH_CHARACTERS = 1 << 20


@lru_cache(maxsize=2)
def words_of(folder: Path) -> Tokenizing:
    """The tokenizer of a folder, once in each process."""
    with hub.quiet():
        return tokenizing(hub.load_fast(str(folder), None))


# --- the sample for a vocabulary ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SampleTask:
    """The documents of a piece whose hash is below a bound: about `share` of all, whatever the pieces."""

    readings: tuple[tuple[Reading, Layout], ...]
    member_of: Mapping[str, int]
    share: float

    def __call__(self, piece: Piece) -> bytes:
        bound = int(self.share * 2**64)
        reading, layout = self.readings[self.member_of[piece.files[0].label]]
        chosen = [
            row.document.text
            for row in read_piece(piece, reading, layout)
            if isinstance(row, Record) and int(content_hash(row.document.text)[:16], 16) < bound
        ]
        return b"".join(msgspec.json.encode(text) + b"\n" for text in chosen)


def merge_samples(left: bytes, right: bytes) -> bytes:
    return left + right


def sample_texts(state: bytes) -> list[str]:
    return [msgspec.json.decode(line, type=str) for line in state.splitlines()]


def sample_pass(sources: Sources) -> Pass:
    share = min(1.0, SAMPLE_BYTES / max(sources.data.expected, 1))
    return Pass("vocabulary", share, SampleTask(sources.readings, sources.data.member_of, share), merge_samples)


# --- the shards -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TokeniseTask:
    """Reads a piece, tokenises it, writes its shard. With `template` rows are samples, of which the answers are learnt."""

    plan: ShardPlan
    readings: tuple[tuple[Reading, Layout], ...]
    member_of: Mapping[str, int]
    tokenizer: Path
    template: str | None = None
    longest: int | None = None
    chooser: Chooser | None = None

    def __call__(self, piece: Piece) -> Receipt:
        check_unchanged(piece.files)
        words = words_of(self.tokenizer)
        source = self.member_of[piece.files[0].label]
        reading, layout = self.readings[source]
        pulse = Pulse(self.plan.out, piece.index)
        tokens = learnt = size = 0
        with ShardWriter(self.plan, piece.index) as shard:
            first = 0
            for batch in _batches(read_piece(piece, reading, layout)):
                for bad in (row for row in batch if isinstance(row, BadRow)):
                    shard.row(1)
                    shard.drop(bad)
                records, keep = self._chosen(batch, (piece.index, source, first), shard)
                first += len(batch)
                samples = [
                    sample if not most else Sample(sample.tokens[:most], sample.learn[:most])
                    for sample, most in zip(self._samples(records, words, shard), keep, strict=self.template is None)
                ]
                if samples:
                    shard.log("tokens", token_batch(
                        self.plan.schemas["tokens"], [s.tokens for s in samples], [s.learn for s in samples]
                    ))  # fmt: skip
                added = sum(len(s.tokens) for s in samples)
                tokens, learnt = tokens + added, learnt + sum(int(np.sum(s.learn)) for s in samples)
                size += sum(len(r.document.text.encode()) for r in records)
                pulse.add(len(samples), added, len(batch) - len(samples), 0.0)
            check_unchanged(piece.files)
            stats = {"tokens": tokens, "learnt": learnt, "bytes": size, "source": source}
            receipt = shard.commit(stats, tuple(file.label for file in piece.files))
        pulse.end()
        return receipt

    def _chosen(
        self, batch: list[Record | BadRow], place: tuple[int, int, int], shard: ShardWriter
    ) -> tuple[list[Record], list[int]]:
        """The records that are read, and how many tokens of each (0: all). A recipe leaves some out."""
        if self.chooser is None:
            records = [row for row in batch if isinstance(row, Record)]
            return records, [0] * len(records)
        choice = self.chooser.of(*place, len(batch))
        kept: list[Record] = []
        keep: list[int] = []
        for i, row in enumerate(batch):
            if not isinstance(row, Record):
                continue
            if choice.chosen[i]:
                kept.append(row)
                keep.append(int(choice.keep[i]))
            else:
                shard.row(1)
                shard.drop(self.chooser.left_out(row, bool(choice.held_out[i])))
        return kept, keep

    def _samples(self, records: list[Record], words: Tokenizing, shard: ShardWriter) -> list[Sample]:
        if self.template is None:
            frame = words.framing
            found = [
                np.concatenate([np.array(frame.before, np.int32), ids, np.array(frame.after, np.int32)])
                for ids in words.encode([record.document.text for record in records])
            ]
            for _ in records:
                shard.row(1)
            shard.used += len(records)
            return [Sample(ids, np.ones(len(ids), np.uint8)) for ids in found]
        kept = []
        for record in records:
            shard.row(1)
            sample = sample_of(record, words, self.template, self.longest or 0)
            if isinstance(sample, Unusable):
                shard.drop(sample.bad)
            else:
                shard.used += 1
                kept.append(sample)
        return kept


def _batches(rows: Iterator[Record | BadRow]) -> Iterator[list[Record | BadRow]]:
    """Rows in groups of about a million characters."""
    group: list[Any] = []
    size = 0
    for row in rows:
        group.append(row)
        size += len(row.document.text) if isinstance(row, Record) else 0
        if size >= BATCH_CHARACTERS or len(group) >= 8192:
            yield group
            group, size = [], 0
    if group:
        yield group
