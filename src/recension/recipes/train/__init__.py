"""`train pretrain`, `train continue` and `train sft`: neural models on a corpus.

spec.py       what can be set
sources.py    the data: one corpus, several in a mixture, or a recipe
mixture.py    a recipe planned in tokens of the model
job.py        what the settings come to
exchange.py   question and answer to tokens, and which of them are learnt
tokenise.py   the vocabulary, and the token shards
session.py    one call of the loop: model, checkpoints, held-out text
outcome.py    curve and accounts to report, pages and model card
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recension.engines.local import LocalEngine, available_cores
from recension.errors import InputError, UsageError
from recension.models import hub
from recension.recipes.mix.counting import clear_rows
from recension.recipes.pages import as_inputs, look_over
from recension.recipes.train import outcome
from recension.recipes.train.job import Job, Verb, job_of, manifest
from recension.recipes.train.mixture import chooser, planned
from recension.recipes.train.session import Facts, Session, open_data
from recension.recipes.train.spec import ContinueSpec, LearningSettings, PretrainSpec, SftSpec, TrainEffort
from recension.recipes.train.tokenise import (
    TokeniseTask,
    sample_pass,
    sample_texts,
    words_of,
)
from recension.report import TrainReport
from recension.run import folder
from recension.run.execute import Bounds, execute, seal
from recension.run.folder import output_path
from recension.run.manifest import Run, open_run, read_manifest, shard_key
from recension.run.passes import run_pass
from recension.run.progress import Observer, Progress, Silent
from recension.run.receipts import Receipt, Seal, read_seal, receipt_path, receipts
from recension.run.shards import ShardPlan
from recension.run.verify import file_sha256
from recension.training.checkpoints import Curve, keep, kept
from recension.training.devices import Devices, check_batch, open_devices
from recension.training.tokenizer import fit_tokenizer
from recension.training.tokens import token_schema

__all__ = [
    "ContinueSpec",
    "LearningSettings",
    "PretrainSpec",
    "SftSpec",
    "TrainEffort",
    "train_continue",
    "train_pretrain",
    "train_sft",
]

SHARD_BYTES = 8 << 20
REPORT = "report.json"
Inputs = str | Path | Sequence[str | Path]


def train_pretrain(
    inputs: Inputs,
    out: str | Path,
    spec: PretrainSpec | None = None,
    effort: TrainEffort | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> TrainReport | None:
    """Train a model from scratch into `out/model`; `hf:OUT` names it from then on.

    A second call goes on from the newest checkpoint, to the same weights. None: the call was told to stop earlier.
    """
    return _train("pretrain", (as_inputs(inputs), output_path(out)), spec or PretrainSpec(), (effort, observer, fresh))


def train_continue(
    inputs: Inputs,
    out: str | Path,
    spec: ContinueSpec,
    effort: TrainEffort | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> TrainReport | None:
    """Train a causal model of transformers on, on further text."""
    return _train("continue", (as_inputs(inputs), output_path(out)), spec, (effort, observer, fresh))


def train_sft(
    inputs: Inputs,
    out: str | Path,
    spec: SftSpec,
    effort: TrainEffort | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> TrainReport | None:
    """Fine-tune a model on instruction or chat rows: the answers are learnt, all else is read."""
    return _train("sft", (as_inputs(inputs), output_path(out)), spec, (effort, observer, fresh))


def _train(
    verb: Verb,
    places: tuple[list[str], Path],
    spec: PretrainSpec | ContinueSpec | SftSpec,
    how: tuple[TrainEffort | None, Observer | None, bool],
) -> TrainReport | None:
    inputs, out = places
    effort, observer, fresh = how[0] or TrainEffort(), how[1] or Silent(), how[2]
    job = job_of(verb, inputs, out, spec)
    with open_devices(spec.learning.device) as devices:
        check_batch(job.numbers.batch, devices.ranks)
        if not devices.first:
            return _follow(job, out, effort, devices)
        for corpus in job.sources.data.corpora:
            look_over(corpus, observer)
        with open_run(out, manifest(job, inputs), fresh, _needed(job)) as run:
            sealed = read_seal(run.out)
            finished = sealed is not None and sealed.key == run.key and (run.out / REPORT).is_file()
            devices.shared(finished)
            if sealed is not None and finished:
                keep(run.out / "checkpoints", _sealed(sealed, run.out))  # a kill may have come before this
                return outcome.read(run.out / REPORT)
            _tokenise(run, job, effort, observer)
            job = replace(job, sources=planned(job.sources, run.manifest))
            devices.wait()  # the others begin when the data is there
            return _learn(run, job, effort, (observer, devices))


def _needed(job: Job) -> list[Path]:
    return [Path(base.place) for base in (job.base, job.tokenizer) if base is not None and Path(base.place).is_dir()]


def _follow(job: Job, out: Path, effort: TrainEffort, devices: Devices) -> TrainReport | None:
    """What every process but the first does: it waits for the data, and takes its part in the loop."""
    if devices.shared(None):  # the first finds that all is done
        return None
    devices.wait()
    job = replace(job, sources=planned(job.sources, read_manifest(out)))
    data = open_data(job, _shards(job, out))
    key = shard_key(read_manifest(out))
    Session(job, out, key, effort, Silent(), devices, data, lambda curve, facts: None).run()
    return None


def _tokenise(run: Run, job: Job, effort: TrainEffort, observer: Observer) -> None:
    """Vocabulary and token shards: what is there already is not done again."""
    engine = LocalEngine(max(1, min(effort.workers or available_cores(), -(-job.sources.data.size // SHARD_BYTES))))
    _tokenizer(run, job, engine, observer)
    recipe = job.sources.recipe
    chosen = None if recipe is None else chooser(run, recipe, engine, observer)
    vocabulary = words_of(run.out / "model").vocabulary
    schema = token_schema(vocabulary, answers=job.template is not None)
    task = TokeniseTask(
        plan=ShardPlan.of(run, "parquet", {"tokens": schema}),
        readings=job.sources.readings,
        member_of=job.sources.data.member_of,
        tokenizer=run.out / "model",
        template=job.template,
        longest=job.numbers.context if job.template is not None else None,
        chooser=chosen,
    )
    _check_shards(run.out, observer)
    bounds = Bounds(SHARD_BYTES, None, effort.max_dropped, job.sources.data.expected)
    execute(run, task, job.sources.data, engine, bounds, observer)
    job.sources.data.check_unchanged()
    found = list(receipts(run.out))
    if not any(receipt.stats["tokens"] for receipt in found):
        raise _nothing(job, sorted({reason for receipt in found for reason in receipt.dropped}))


def _check_shards(out: Path, observer: Observer) -> None:
    """A token shard that is not as it was written is made again: nothing is trained on damaged data."""
    for receipt in receipts(out):
        places = [(out / entry.part / entry.name, entry.sha256) for entry in receipt.files if entry.part == "tokens"]
        if any(not path.is_file() or file_sha256(path) != digest for path, digest in places):
            observer.note(f"tokens/{receipt.index:05d}.arrow is missing or damaged, and is made again")
            receipt_path(out, receipt.index).unlink()


def _nothing(job: Job, reasons: Sequence[str] = ()) -> InputError:
    """No row could be used: most often the name of a column is wrong."""
    columns = ", ".join(job.sources.data.columns_seen()) or "none"
    why = f" ({', '.join(reasons)})" if reasons else ""
    hint = "" if columns == "none" else f"; the columns are {columns}: is --text-key right?"
    return InputError(f"no row of the input could be used{why}{hint}")


def _tokenizer(run: Run, job: Job, engine: LocalEngine, observer: Observer) -> None:
    """The tokenizer in `model/`: fitted to a sample of the data, or that of a model. Part of the key of every shard."""
    target = run.out / "model" / "tokenizer.json"
    decided: Any = run.manifest.decided.get("tokenizer")
    if decided is not None and target.is_file() and file_sha256(target) == decided:
        return
    made = run.out / folder.SCRATCH / "tokenizer"
    shutil.rmtree(made, ignore_errors=True)
    given = job.tokenizer or job.base
    if given is not None:
        with hub.quiet():
            hub.load_fast(given.place, given.revision).save_pretrained(made)
    else:
        assert job.shape is not None
        work = sample_pass(job.sources)
        done = 0

        def told(_: int) -> None:
            nonlocal done
            done += 1
            observer.update(Progress("sample", shards=done))

        def pieces(skip: Callable[[int], bool]) -> Any:
            return job.sources.data.pieces(SHARD_BYTES, None, skip)

        texts = sample_texts(run_pass(run, work, engine, pieces, told))
        if not texts:
            raise _nothing(job)
        observer.note(f"fitting a vocabulary of {job.shape.vocabulary:,} tokens to {len(texts):,} documents")
        fit_tokenizer(texts, job.shape.vocabulary, made)
    folder.publish(made, target.parent)
    _clear(run.out / "passes" / "vocabulary")  # a sample of the text has served; a run is no place for a copy of it
    digest = file_sha256(target)
    if decided is None:
        run.decide("tokenizer", digest)
    elif decided != digest:
        raise UsageError(f"{target} was lost and comes out differently now: start over with --fresh")


def _shards(job: Job, out: Path) -> list[list[Path]]:
    """The token shards of each source."""
    found: list[list[Path]] = [[] for _ in job.sources.names]
    for receipt in receipts(out):
        for entry in receipt.files:
            if entry.part == "tokens":
                found[_source(receipt)].append(out / "tokens" / entry.name)
    return found


def _source(receipt: Receipt) -> int:
    return int(receipt.stats["source"])


def _learn(run: Run, job: Job, effort: TrainEffort, with_: tuple[Observer, Devices]) -> TrainReport | None:
    observer, devices = with_
    data = open_data(job, _shards(job, run.out))

    def render(curve: Curve, facts: Facts) -> None:
        outcome.write_page(run.out, outcome.report(run, job, data, (curve, facts), devices.ranks))

    finished = Session(job, run.out, run.key, effort, observer, devices, data, render).run()
    if finished is None:
        return None
    summary = outcome.report(run, job, data, finished, devices.ranks)
    left = kept(run.out / "checkpoints", effort.keep_checkpoints)
    present = _present([run.out / "model", *left], run.out)
    seal(run, job.sources.data.digests, outcome.pages(run, summary, finished[0]), None, present)
    clear_rows(run.out)
    keep(run.out / "checkpoints", left)  # the others go when nothing can need them any more
    return summary


def _clear(place: Path) -> None:
    with folder.writing(place):
        shutil.rmtree(place, ignore_errors=True)


def _sealed(seal: Seal, out: Path) -> list[Path]:
    """The checkpoints that a seal names."""
    return list({out / name.rpartition("/")[0] for name in seal.files if name.startswith("checkpoints/")})


def _present(folders: Sequence[Path], out: Path) -> dict[str, str]:
    """The hashes of the model and of the checkpoints that stay."""
    files = [path for place in folders for path in sorted(place.rglob("*")) if path.is_file()]
    return {str(path.relative_to(out)): file_sha256(path) for path in files}
