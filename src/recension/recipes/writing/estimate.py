"""What a run would ask and cost: calls and tokens of a sample, carried over to the corpus with an interval."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean, pstdev
from typing import NamedTuple

from recension.corpus import expected_size
from recension.document import Document
from recension.models.token_counts import token_counter
from recension.recipes.writing.desk import Text
from recension.recipes.writing.job import Job, records
from recension.recipes.writing.prompts import Value
from recension.recipes.writing.session import budget_of
from recension.recipes.writing.sources import Part, parts_of, unfit
from recension.recipes.writing.spec import Calls, ComposeSpec, ReformulateSpec
from recension.run.journal import ANSWERS, Spent, SqliteJournal

SAMPLE = 300  # documents
ENOUGH = 20  # answers that say more than an assumption does
WITHIN = 1.96
GUESSED = (0.5, 1.6)  # an answer that was never measured is taken to be off by so much
A_PAIR, A_VERDICT = 110, 160  # tokens


class Range(NamedTuple):
    low: float
    usual: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is to be expected of a whole run. `measured` answers are there already; of too few, lengths are `assumed`."""

    files: int
    documents: int
    sampled: int
    calls: Range
    read_tokens: Range
    written_tokens: Range
    cost: Range | None
    seconds: Range | None
    measured: int
    assumed: bool


class _Asked(NamedTuple):
    """What one document would ask: calls, tokens that are read and written, and what of them are the judge's."""

    calls: float
    read: float
    written: float
    judge_read: float = 0
    judge_written: float = 0


class _Measured(NamedTuple):
    """What the answers that are there came to: the mean of each, and how far it may be off."""

    answers: int = 0
    read: tuple[float, float] = (0.0, 0.0)
    written: tuple[float, float] = (0.0, 0.0)
    seconds: tuple[float, float] = (0.0, 0.0)
    spent: Spent = Spent()


def estimate(job: Job, out: Path, calls: Calls) -> Estimate:
    """From the first documents of the input, and the answers that are in the journal of `out` already."""
    sample = list(islice(records(job), SAMPLE))
    size = sum(row.place.length or len(row.document.text.encode()) for row in sample)
    asked = [_asked(job, row.document) for row in sample]
    measured = _measured(out)
    grown = max(expected_size(job.corpus) / size, 1.0) if size and len(sample) == SAMPLE else 1.0
    total = round(len(sample) * grown)
    total = min(total, calls.limit) if calls.limit else total
    number, read, written = (_wider(_carried([one[i] for one in asked], total), _bounds(job)) for i in range(3))
    assumed = measured.answers < ENOUGH
    if assumed:
        written = _wider(written, GUESSED)
    else:
        read, written = (_scaled(number, mean) for mean in (measured.read, measured.written))
    expected = [int(sum(one[i] for one in asked)) for i in range(1, 5)]
    known = Spent(0, *expected) if assumed else measured.spent
    cost = Range(*(_price(calls, known, r, w) for r, w in zip(read, written, strict=True)))
    seconds = Range(*(s / calls.concurrency for s in _scaled(number, measured.seconds))) if not assumed else None
    return Estimate(
        files=len(job.corpus.files),
        documents=total,
        sampled=len(sample),
        calls=number,
        read_tokens=read,
        written_tokens=written,
        cost=cost if any(calls.prices) else None,
        seconds=seconds,
        measured=measured.answers,
        assumed=assumed,
    )


def _price(calls: Calls, known: Spent, read: float, written: float) -> float:
    """Of so many tokens, of which the judge has the share that it has of those that are known."""
    judged = known.judge_prompt / max(known.prompt_tokens, 1), known.judge_written / max(known.written_tokens, 1)
    return budget_of(calls).price(Spent(0, int(read), int(written), int(read * judged[0]), int(written * judged[1])))


def _asked(job: Job, document: Document) -> _Asked:
    spec = job.spec
    if isinstance(spec, ComposeSpec):
        prompt = next(iter(job.prompts.values()))
        values: dict[str, Value] = {
            "source": Text(document.text[: spec.seed_characters]),
            "audience": "general",
            "topic": Text(""),
        }
        return _Asked(1, _length(prompt.messages(values)), 700)
    if unfit(document, spec.source) is not None:
        return _Asked(0, 0, 0)
    asked = _Asked(0, 0, 0)
    for part in parts_of(document.text, spec.source.part_characters):
        more = _of_part(job, part)
        asked = _Asked(*(a + b for a, b in zip(asked, more, strict=True)))
    return asked


def _bounds(job: Job) -> tuple[float, float]:
    """How far the number of calls may be off: no text reaches the judge, or pairs are asked for once more and repaired."""
    if not isinstance(job.spec, ReformulateSpec):
        return 1.0, 1.0
    most = 1 + job.spec.pairs * (2 if job.judge else 1)
    return (1 + job.spec.pairs) / most, (most + 2) / most


def _of_part(job: Job, part: Part) -> _Asked:
    spec, source = job.spec, token_counter("embedded").total([part.text])
    if not isinstance(spec, ReformulateSpec):
        lengths = [_length(prompt.messages({"source": Text(part.text)})) for prompt in job.prompts.values()]
        return _Asked(len(lengths), sum(lengths), source * len(lengths))
    pairs = _length(job.prompts["pairs"].messages({"source": Text(part.text), "count": spec.pairs}))
    some = {"source": Text(part.text), "genre": Text("words " * 50), "audience": Text("words " * 50)}
    rewrite = _length(job.prompts[spec.variant].messages(some))
    asked = _Asked(1 + spec.pairs, pairs + spec.pairs * rewrite, (A_PAIR + source) * spec.pairs)
    if not job.judge:
        return asked
    judged = spec.pairs * _length(
        job.prompts["judge"].messages({"source": Text(part.text), "candidate": Text(part.text)})
    )
    verdicts = spec.pairs * A_VERDICT
    return _Asked(asked.calls + spec.pairs, asked.read + judged, asked.written + verdicts, judged, verdicts)


def _length(messages: Sequence[Mapping[str, str]]) -> int:
    return token_counter("embedded").total([message["content"] for message in messages])


def _carried(values: Sequence[float], total: int) -> Range:
    """The sum over `total` documents, with its interval at 95 % from the spread in the sample."""
    if not values:
        return Range(0, 0, 0)
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1))
    left = max(total - len(values), 0)
    about = WITHIN * spread / math.sqrt(len(values)) * left if left else 0.0
    return Range(max(mean * total - about, 0.0), mean * total, mean * total + about)


def _wider(found: Range, bounds: tuple[float, float]) -> Range:
    return Range(found.low * bounds[0], found.usual, found.high * bounds[1])


def _scaled(number: Range, each: tuple[float, float]) -> Range:
    mean, about = each
    return Range(number.low * max(mean - about, 0.0), number.usual * mean, number.high * (mean + about))


def _measured(out: Path) -> _Measured:
    path = out / "journal" / ANSWERS
    if not path.is_file():
        return _Measured()
    journal = SqliteJournal(path, lent=True)
    try:
        count, read, written = journal.lengths()
        seconds, until = list[float](), time.monotonic() + 2.0
        for answer in journal:
            seconds.append(answer.seconds)
            if time.monotonic() > until:
                break
        took = (fmean(seconds), pstdev(seconds)) if seconds else (0.0, 0.0)
        found = ((*read, count), (*written, count), (*took, len(seconds)))
        means = [(mean, WITHIN * spread / math.sqrt(max(n, 1))) for mean, spread, n in found]
        return _Measured(count, means[0], means[1], means[2], journal.spent())
    finally:
        journal.close()
