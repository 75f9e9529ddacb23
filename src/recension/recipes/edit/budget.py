"""What an edit is expected to change: the sample, the calibration of `--change-share`, and a first look before a run."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import msgspec

from recension.corpus import Corpus, Layout, Piece, Reading, Record, read_piece
from recension.document import Document, Field
from recension.errors import UnreachableError
from recension.identity import content_hash, sha256
from recension.methods.budget import FLOOR, Scored, Solution, count_tokens, expected_share, solve
from recension.methods.protect import compile_protection, protected_intervals
from recension.methods.toedit import Sampling
from recension.recipes.priors import Loaded
from recension.run.passes import Pass

SAMPLE_DOCUMENTS = 512
SAMPLE_CHARACTERS = 200_000
LONGEST = 32_768  # characters of one document in a sample
GLANCE_CHARACTERS = 24_000
RARE = 0.001  # an expected changed share below this is said before the run


class Sampled(msgspec.Struct, frozen=True, order=True):
    """A document of a sample; the smallest hashes are chosen, so the sample is a function of the content alone."""

    hash: str
    text: str
    fields: tuple[tuple[str, int, int], ...]


def sampled(document: Document) -> Sampled:
    text = document.text[:LONGEST]
    fields = tuple((f.path, f.start, min(f.end, len(text))) for f in document.fields if f.start < len(text))
    return Sampled(content_hash(document.text), text, fields)


@dataclass(frozen=True)
class SampleTask:
    """The documents of a piece with the smallest content hashes."""

    reading: Reading
    layout: Layout

    def __call__(self, piece: Piece) -> bytes:
        rows = read_piece(piece, self.reading, self.layout)
        return _smallest(sampled(row.document) for row in rows if isinstance(row, Record))


def _smallest(candidates: Iterable[Sampled]) -> bytes:
    chosen: dict[str, Sampled] = {}
    heap: list[tuple[int, str]] = []  # the largest hash on top
    for candidate in candidates:
        if candidate.hash in chosen:
            continue
        rank = -int(candidate.hash[:16], 16)
        if len(heap) < SAMPLE_DOCUMENTS:
            heapq.heappush(heap, (rank, candidate.hash))
        elif rank > heap[0][0]:
            del chosen[heapq.heapreplace(heap, (rank, candidate.hash))[1]]
        else:
            continue
        chosen[candidate.hash] = candidate
    return msgspec.json.encode(sorted(chosen.values()))


def merge_samples(left: bytes, right: bytes) -> bytes:
    return _smallest([*_decode(left), *_decode(right)])


def _decode(state: bytes) -> list[Sampled]:
    return msgspec.json.decode(state, type=list[Sampled]) if state else []


def sample_pass(reading: Reading, layout: Layout) -> Pass:
    return Pass("sample", [SAMPLE_DOCUMENTS, LONGEST], SampleTask(reading, layout), merge_samples)


def score_sample(sample: Sequence[Sampled], loaded: Loaded, sampling: Sampling, protect: Sequence[str]) -> list[Scored]:
    """Score documents of the sample, in the order of their hashes, up to the wanted length."""
    chosen: list[Sampled] = []
    size = 0
    for item in sample:
        if chosen and size >= SAMPLE_CHARACTERS:
            break
        chosen.append(item)
        size += len(item.text)
    patterns = compile_protection(protect)
    scores = loaded.prior.score([item.text for item in chosen], sampling.ask())
    return [
        Scored(tuple(Field(*f) for f in item.fields), score, protected_intervals(item.text, patterns))
        for item, score in zip(chosen, scores, strict=True)
    ]


def calibrate(state: bytes, loaded: Loaded, sampling: Sampling, protect: Sequence[str], share: float) -> dict[str, Any]:
    """Solve for the share on the sample of a pass. The answer goes into the key."""
    sample = _decode(state)
    scored = score_sample(sample, loaded, replace(sampling, above=FLOOR), protect)
    if not count_tokens(scored):
        raise UnreachableError("--change-share: the input holds no text that may be edited, so at most 0 can change")
    solution = solve(scored, loaded.vocabulary, sampling, share)
    return {**asdict(solution), "share": share, "pass": "sample", "sha256": sha256(state)}


def calibrated(sampling: Sampling, decided: Any) -> Sampling:
    solution = Solution(**{k: v for k, v in decided.items() if k not in ("share", "pass", "sha256")})
    return replace(sampling, above=solution.threshold, temperature=solution.temperature)


@dataclass(frozen=True, slots=True)
class Glance:
    """What the first documents tell before a run: how much would change, and how fast it goes."""

    documents: int
    characters: int
    tokens: int
    expected: float
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0


def first_documents(corpus: Corpus) -> list[Sampled]:
    """The first documents of the input, a few pages of them."""
    found: list[Sampled] = []
    size = 0
    for piece in corpus.pieces(GLANCE_CHARACTERS, limit=None):
        for row in read_piece(piece, corpus.reading, corpus.layout):
            if isinstance(row, Record):
                found.append(sampled(row.document))
                size += len(found[-1].text)
            if size >= GLANCE_CHARACTERS:
                return found
    return found


def glance(
    documents: Sequence[Sampled],
    loaded: Loaded,
    sampling: Sampling,
    protect: Sequence[str],
    clock: Callable[[], float] = time.perf_counter,
) -> Glance:
    loaded.prior.score(["The first call warms the model up."], sampling.ask())
    began = clock()
    scored = score_sample(documents, loaded, sampling, protect)
    seconds = clock() - began
    return Glance(
        len(documents),
        sum(len(d.text) for d in documents),
        count_tokens(scored),
        expected_share(scored, loaded.vocabulary, sampling),
        seconds,
    )


def rarity(seen: Glance, sampling: Sampling) -> str | None:
    """One line for a setting that would hardly change anything, with the remedy."""
    if not seen.tokens or seen.expected >= RARE:
        return None
    if sampling.sampler == "top-p":
        why, more = "top-p leaves a token whose probability exceeds it as it is", ", or use --sampler top-k"
    elif sampling.exclude_original:
        why, more = "the prior is hardly ever so sure", ""
    else:
        why, more = "a token the prior is sure of is usually drawn again", ", or --exclude-original"
    return f"this setting is expected to change only {seen.expected:.3%} of the tokens ({why}): add --change-share 0.05{more}"
