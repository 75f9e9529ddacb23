"""What a call of a writing verb is: its corpus, its verb, its manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from recension import __version__
from recension.corpus import Corpus, Record, column_value, open_corpus, read_piece
from recension.document import JSON, Kind
from recension.errors import ManifestMismatchError, UsageError
from recension.methods.writing.cleaning import Rules
from recension.models.token_counts import token_counter
from recension.models.writers import KINDS as WRITERS
from recension.recipes.edit import shard_size
from recension.recipes.pages import encodable, identity_of, reading_of
from recension.recipes.settings import flat
from recension.recipes.writing.composition import Compose
from recension.recipes.writing.desk import Desk
from recension.recipes.writing.prompts import Prompt, load_prompt, prompts_in, shipped
from recension.recipes.writing.reformulation import Reformulate
from recension.recipes.writing.rephrasing import Rephrase
from recension.recipes.writing.session import Session
from recension.recipes.writing.spec import Calls, ComposeSpec, ReformulateSpec, RephraseSpec, WriterSettings, rules_of
from recension.recipes.writing.task import Verb
from recension.run.manifest import Manifest, Run

Spec = ReformulateSpec | RephraseSpec | ComposeSpec
SPECS: dict[str, type[Spec]] = {"reformulate": ReformulateSpec, "rephrase": RephraseSpec, "compose": ComposeSpec}
RECIPE_VERSION = 1
UNKEYED = ("device",)  # where an hf: model runs
WEIGHTS = ("name", "revision", "files")  # of what is known of a model: which it is, not how it is run
LOOKED_AT = 100  # rows, for a column that --topic-key names
JUDGED = ("pairs", "more_pairs", "judge", "repair")


@dataclass(frozen=True)
class Job:
    """A verb with its settings, joined with the corpus it is for."""

    verb: str
    spec: Spec
    inputs: tuple[str, ...]
    corpus: Corpus
    prompts: Mapping[str, Prompt]

    @property
    def writing(self) -> WriterSettings:
        return self.spec.writing

    @property
    def judge(self) -> str | None:
        """Who rates, where anybody does."""
        if not isinstance(self.spec, ReformulateSpec):
            return None
        chosen = self.spec.judging.judge or self.writing.writer
        return None if chosen == "none" else chosen

    @property
    def kind(self) -> Kind:
        return "generated" if self.verb == "compose" else "rewritten"

    @property
    def shard_bytes(self) -> int:
        return self.spec.output.shard_bytes or shard_size(self.corpus.size)

    def window(self, concurrency: int) -> int:
        """Rows under way in a shard: enough to keep a server busy, few enough to hold."""
        each = self.spec.pairs if isinstance(self.spec, ReformulateSpec) else len(self.spec.style)
        return max(16, 2 * concurrency // (1 if self.verb == "compose" else each))


def prepare(inputs: Sequence[str], out: Path, spec: Spec, calls: Calls | None = None) -> Job:
    """Check what can be checked before anything is opened for writing."""
    if not spec.writing.writer:
        raise UsageError(f"--writer is missing: write {WRITERS}")
    rows = spec.rows if isinstance(spec, ComposeSpec) else spec.source.rows
    origin = None if isinstance(spec, ComposeSpec) else spec.source.origin
    verb = next(name for name, kind in SPECS.items() if isinstance(spec, kind))
    prompts = prompts_of(verb, spec)
    job = Job(verb, spec, tuple(inputs), open_corpus(inputs, reading_of(rows, origin), exclude=out), prompts)
    if job.judge is None and calls is not None and any(price is not None for price in calls.prices[2:]):
        raise UsageError("--judge-price-in and --judge-price-out: there is no judge here whose tokens they would price")
    if isinstance(spec, ComposeSpec) and spec.topic_key is not None:
        _check_topics(job, spec.topic_key)
    return job


def _check_topics(job: Job, name: str) -> None:
    """A column that was named wrongly would be seen only in texts that are paid for."""
    first = list(islice(records(job), LOOKED_AT))
    if first and all(column_value(record, name) is None for record in first):
        raise UsageError(f"--topic-key {name}: none of the first {len(first)} rows has anything in such a column")


def prompts_of(verb: str, spec: Spec) -> dict[str, Prompt]:
    """The templates a verb uses, by name."""
    if isinstance(spec, ReformulateSpec):
        return {name: load_prompt(f"reformulate/{name}") for name in (*JUDGED, spec.variant)}
    own = prompts_in(Path(spec.styles)) if spec.styles else {}
    known = shipped(verb)
    found: dict[str, Prompt] = {}
    for name in spec.style:
        if name in own:
            found[name] = own[name]
        elif name in known:
            found[name] = load_prompt(f"{verb}/{name}")
        else:
            raise UsageError(f"--style {name}: there is no such style; there are {', '.join(sorted({*own, *known}))}")
    return found


def manifest_of(job: Job, earlier: str | None = None) -> Manifest:
    """Everything that can change what is written; `earlier` is the key of the run whose journal answers."""
    settings = {name: value for name, value in flat(job.spec).items() if name not in UNKEYED}
    prompts: dict[str, JSON] = {name: prompt.digest for name, prompt in sorted(job.prompts.items())}
    identity: dict[str, JSON] = {
        "spec": {**settings, "shard_bytes": job.shard_bytes},
        "inputs": [identity_of(file) for file in job.corpus.files],
        "layout": job.corpus.layout.to_json(),
        "prompts": prompts,
        **({"journal": earlier} if earlier else {}),
    }
    facts: dict[str, JSON] = {
        "recension": __version__,
        "given": encodable(job.inputs),
        "urls": {file.label: file.where for file in job.corpus.files},
        "skipped": encodable(job.corpus.skipped),
        "config": flat(job.spec),
    }
    return Manifest(job.verb, RECIPE_VERSION, identity, facts)


def verb_of(job: Job, session: Session) -> Verb:
    """The verb with the desks at which it asks."""
    spec, desk = job.spec, _desk(job, session, job.writing.writer, job.writing.temperature)
    counter = token_counter("embedded")  # one measure for every writer
    if isinstance(spec, ReformulateSpec):
        judge = replace(_desk(job, session, job.judge, 0.0), judging=True) if job.judge else None
        return Reformulate(
            spec, desk, judge, rules_of(spec.variant, spec.cleaning, job.prompts[spec.variant].text), counter
        )
    if isinstance(spec, RephraseSpec):
        by_style = {name: rules_of(name, spec.cleaning, prompt.text) for name, prompt in job.prompts.items()}
        return Rephrase(spec, desk, job.prompts, by_style, counter)
    return Compose(spec, desk, job.prompts, Rules.of("compose"), counter)


def _desk(job: Job, session: Session, name: str, temperature: float) -> Desk:
    chosen = job.writing
    sampling: dict[str, JSON] = {
        "temperature": temperature,
        "top_p": chosen.top_p if temperature else 1.0,
        "max_tokens": chosen.answer_tokens,
    }
    return Desk(
        answers=session.answers,
        writer=session.models.writers.get(name),
        spec=session.models.specs[name],
        sampling=sampling,
        structured=chosen.structured == "auto",
        seed=chosen.seed,
    )


def records(job: Job) -> Iterator[Record]:
    """The rows of the input from its beginning."""
    for piece in job.corpus.pieces(job.shard_bytes, None):
        for row in read_piece(piece, job.corpus.reading, job.corpus.layout):
            if isinstance(row, Record):
                yield row


def warm_up() -> None:
    """Load what loads when it is first used, before a server waits for it: the tokenizer, and what Arrow brings along.

    Where pandas is installed, Arrow imports it for its first array, which takes half a second.
    """
    token_counter("embedded").total(["a"])
    pa.array(["a"])


def specs_decided(run: Run, specs: Mapping[str, Mapping[str, JSON]]) -> None:
    """Keep what is known of each model beside the answers, for a later `reparse` that asks nobody.

    A folder or name may hold another model by now: its texts do not belong into a run that says who wrote all of them.
    """
    known: Any = run.manifest.decided.get("models")
    if known is None:
        told: Any = {name: dict(spec) for name, spec in specs.items()}
        run.decide("models", told)
        return
    for name, spec in specs.items():
        if any(known[name].get(part) != spec.get(part) for part in WEIGHTS):
            raise ManifestMismatchError(
                f"{name} is another model than when {run.out} was begun: put the old one back, choose another -o, or start "
                "over with --fresh"
            )
