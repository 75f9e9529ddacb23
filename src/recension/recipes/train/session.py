"""One call of a training on its token shards: the model made or loaded, the loop run, checkpoints and weights written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from recension.corpus import Record, read_piece
from recension.errors import DivergedError, UsageError
from recension.identity import fingerprint
from recension.models import hub
from recension.recipes.train.exchange import Unusable, sample_of
from recension.recipes.train.job import Job
from recension.recipes.train.mixture import held_out
from recension.recipes.train.spec import SftSpec, TrainEffort
from recension.recipes.train.tokenise import words_of
from recension.run import folder
from recension.run.progress import Observer, Progress
from recension.training import checkpoints, devices, flops, loop, network
from recension.training.batches import IGNORED, Arrays, Feed, Packs, Windows, pack, window_count
from recension.training.checkpoints import Curve, State
from recension.training.devices import Devices
from recension.training.optimiser import Adam, adamw
from recension.training.order import Order
from recension.training.schedule import Schedule
from recension.training.tokens import TokenStore, open_tokens

KEPT = 2
RECENT = 31  # steps that the live share of the peak is of
MEASURED = 20  # times in a run
ADAPTER = "adapter.safetensors"


class Data(NamedTuple):
    """What there is to train on."""

    stores: tuple[TokenStore, ...]
    feed: Feed
    epoch: int  # steps that read everything once
    steps: int
    rows: tuple[int, ...]  # of an epoch of each source


@dataclass(frozen=True)
class HeldOut:
    """Text to measure on: rows, and the bytes they stand for (0 where only answers count)."""

    rows: tuple[Arrays, ...]
    size: int


class Facts(NamedTuple):
    """What a report says of a training beside its curve."""

    parameters: int
    trained: int
    flops_per_token: float
    peak: float
    peak_source: str
    tokens_per_second: float  # the median over the steps of this call


def open_data(job: Job, shards: Sequence[Sequence[Path]]) -> Data:
    """The shards of each source as a feed, and how many steps the settings come to."""
    numbers, learning = job.numbers, job.learning
    weights = job.sources.weights
    words = words_of(job_tokenizer(shards))
    rows: tuple[int, ...]
    stores: tuple[TokenStore, ...]
    if isinstance(job.spec, SftSpec):
        store = open_tokens(shards[0], with_documents=True)
        assert store.document_ends is not None
        packs = pack(np.diff(store.document_ends, prepend=0), numbers.context, job.spec.pack)
        order = Order(learning.seed, numbers.batch, (len(packs),), weights)
        feed: Feed = Packs(store, order, packs, numbers.micro, words.framing.lead, job.spec.pack)
        rows, stores = (len(packs),), (store,)
        each = store.tokens / len(packs)
    else:
        stores = tuple(open_tokens(paths) for paths in shards)
        each_ = zip(job.sources.names, stores, weights, strict=True)
        empty = [name for name, store, weight in each_ if weight and not store.tokens]
        if empty:
            raise UsageError(f"--mix: {empty[0]} holds no text that could be used")
        rows = tuple(window_count(store, numbers.context) for store in stores)
        order = Order(learning.seed, numbers.batch, rows, weights)
        feed = Windows(stores, order, numbers.context, numbers.micro, words.framing.lead)
        each = numbers.context
    epoch = max(1, math.ceil(sum(rows) / numbers.batch))
    if learning.steps is not None:
        steps = learning.steps
    elif learning.tokens is not None:
        steps = math.ceil(learning.tokens / (each * numbers.batch))
    else:
        whole = sum(rows) if job.sources.total is None else job.sources.total / numbers.context
        steps = math.ceil((learning.epochs or 1.0) * whole / numbers.batch)
    return Data(stores, feed, epoch, max(1, steps), rows)


def job_tokenizer(shards: Sequence[Sequence[Path]]) -> Path:
    """The tokenizer stands beside the shards it made."""
    return next(path for paths in shards for path in paths).parent.parent / "model"


@dataclass
class Session:
    """Runs the loop and is its host."""

    job: Job
    out: Path
    key: str
    effort: TrainEffort
    observer: Observer
    devices: Devices
    data: Data
    render: Callable[[Curve, Facts], None]  # writes the page of the run, as it stands
    _parts: Any = None
    _model: Any = None
    _held: HeldOut | None = None
    _flops: float = 0.0
    _peak: tuple[float, str] = (0.0, "")
    _rates: list[float] = field(default_factory=list)
    _tokens: int = 0

    # --- before -----------------------------------------------------------------------------------------------------

    def run(self) -> tuple[Curve, Facts] | None:
        """The curve and the facts when all steps are done; None when the call was to stop earlier."""
        import_torch = network.libraries()[0]
        import_torch.set_num_threads(self.job.numbers.threads)
        curve = self._prepare()
        course = self._course()
        pace = loop.Pace(self.effort.checkpoint_minutes, self.effort.checkpoint_steps, self.effort.stop_after)
        try:
            with devices.repeatable(self.devices.device):
                done = loop.run(self._parts, course, pace, curve, self)
        except DivergedError as error:
            raise DivergedError(error.step, error.why, self._remedy()) from None
        if not done:
            return None
        facts = self.facts()
        weights, _ = devices.whole_state(self._parts.learner, self._parts.optimiser)
        if self.devices.first:
            self._publish(weights)
        return curve, facts

    def _prepare(self) -> Curve:
        """Model, learner, optimiser, and the state of the newest checkpoint."""
        job, numbers = self.job, self.job.numbers
        self._model = model = self._made()
        model.to(self.devices.device)
        model.eval()  # no dropout, whatever it is called: a resumed run must not depend on a stream of random numbers
        network.check_causal(model)
        if isinstance(job.spec, SftSpec) and job.spec.pack:
            network.check_apart(model)
        self._flops = flops.flops_per_token(model, numbers.context)
        plain = network.head_is_plain(model)
        network.faster_norms(model)
        dtype = devices.number_format(numbers.dtype, self.devices.device)
        self._peak = flops.peak_rate(self.devices.device, dtype)
        learner = devices.spread(network.learner(model, plain), self.devices, dtype)
        adam = Adam(numbers.rate, job.learning.weight_decay, beta2=job.learning.beta2)
        optimiser = adamw(learner, adam)
        curve = self._restore(learner, optimiser)
        if numbers.compile and plain and self.devices.ranks == 1:
            network.compiled(learner, dtype)
        self._parts = loop.Parts(learner, optimiser, self.data.feed, self.devices)
        self._held = self._held_out() if job.valid is not None or job.sources.held_out else None
        self._tell(model, len(curve.loss))
        return curve

    def _made(self) -> Any:
        job = self.job
        vocabulary = words_of(self.out / "model").vocabulary
        if job.shape is not None:
            end = words_of(self.out / "model").framing.lead
            return network.build(job.shape, vocabulary, end, job.learning.seed)
        assert job.base is not None
        with hub.quiet():
            model = hub.load_model(job.base.place, job.base.revision, network.float32())
        network.resized(model, vocabulary, job.learning.seed)
        if isinstance(job.spec, SftSpec) and job.spec.lora:
            model = network.with_lora(model, job.spec.lora_rank, job.spec.lora_alpha, job.learning.seed)
        return model

    def _course(self) -> loop.Course:
        learning, numbers, steps = self.job.learning, self.job.numbers, self.data.steps
        warmup = min(round(learning.warmup * steps), steps - 1)
        schedule = Schedule(learning.schedule, steps, numbers.rate, warmup, learning.decay, learning.floor)
        every = learning.valid_every or max(1, steps // MEASURED, self._fair())
        dtype = devices.number_format(numbers.dtype, self.devices.device)
        return loop.Course(schedule, learning.clip, dtype, self.effort.diverge, every if self._held else 0)

    def _fair(self) -> int:
        """Steps between two looks at held-out text that cost a tenth of the time (a look is a third of learning)."""
        if self._held is None:
            return 1
        looked_at = sum(int(arrays.ids.size) for arrays in self._held.rows)
        return round(10 / 3 * looked_at / (self.job.numbers.batch * self.job.numbers.context))

    def _tell(self, model: Any, done: int) -> None:
        count = sum(p.numel() for p in model.parameters())
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        part = "" if trained == count else f", {trained:,} of them trained"
        line = f"{count:,} parameters{part}; {self.data.steps:,} steps of {self.job.numbers.batch:,} rows"
        if done:
            line += f"; going on after step {done:,}"
        self.observer.note(line)

    # --- checkpoints ------------------------------------------------------------------------------------------------

    @property
    def _place(self) -> Path:
        return self.out / "checkpoints"

    @property
    def _names(self) -> tuple[str, str]:
        lora = isinstance(self.job.spec, SftSpec) and self.job.spec.lora
        return (ADAPTER if lora else checkpoints.WEIGHTS), checkpoints.MOMENTS

    @property
    def _key(self) -> str:
        """Of the weights: the run, and how long it is."""
        return fingerprint([self.key, self.data.steps])

    def _restore(self, learner: Any, optimiser: Any) -> Curve:
        found = (
            checkpoints.latest(self._place, self._key, self._names, self.observer.note) if self.devices.first else None
        )
        curve = self.devices.shared(None if found is None else found.state.curve)
        if curve is None:
            return Curve([], [], [], [], [])
        weights, moments = {}, {}
        if found is not None:
            kept = {network.PREFIX + name: value for name, value in found.weights.items()}
            weights = {name: kept[alias] for name, alias in network.trained(learner).items()}
            moments = dict(found.moments)
        devices.restore_state((learner, optimiser), weights, moments, self.devices)
        return curve  # type: ignore[no-any-return]

    def save(self, step: int, curve: Curve) -> None:
        learner, optimiser = self._parts.learner, self._parts.optimiser
        weights, moments = devices.whole_state(learner, optimiser)
        if not self.devices.first:
            return
        named = {
            name.removeprefix(network.PREFIX): weights[name].contiguous()
            for name, alias in network.trained(learner).items()
            if name == alias
        }
        names = self._names
        with folder.writing(self._place):
            state = State(step, self._key, curve, {})
            tensors = {names[0]: named, names[1]: moments}
            checkpoints.write(self._place, self.out / folder.SCRATCH, state, tensors, self._beside)
            checkpoints.keep(self._place, checkpoints.kept(self._place, max(KEPT, self.effort.keep_checkpoints)))
        self.render(curve, self.facts())

    def _beside(self, made: Path) -> None:
        """What makes a checkpoint a folder that transformers loads."""
        if self._names[0] == checkpoints.WEIGHTS:
            self._model.config.save_pretrained(made)
            words_of(self.out / "model").loaded.save_pretrained(made)

    def _publish(self, weights: dict[str, Any]) -> None:
        """The finished model, beside its tokenizer."""
        made = self.out / folder.SCRATCH / "weights"
        with folder.writing(self.out / "model"), hub.quiet(), checkpoints.file_errors():
            network.save(self._model, weights, made)
            if self._names[0] == ADAPTER:
                network.save_adapter(self._model, weights, made / "adapter")
        folder.publish(made, self.out / "model")

    def _remedy(self) -> str:
        good = checkpoints.found(self._place)
        where = f"; the last good checkpoint is {good[-1]}" if good else "; there was no checkpoint yet"
        return f"{where}. Try a lower --learning-rate (it was {self.job.numbers.rate:g}) or a longer --warmup, under another -o"

    # --- on the way -------------------------------------------------------------------------------------------------

    def facts(self) -> Facts:
        model = self._model
        count = sum(p.numel() for p in model.parameters())
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        return Facts(count, trained, self._flops, *self._peak, median(self._rates) if self._rates else 0.0)

    def stepped(self, step: int, curve: Curve, seconds: float) -> None:
        self._rates.append(curve.tokens[-1] / seconds)
        share = median(self._rates[-RECENT:]) * self._flops / (self._peak[0] * self.devices.ranks)
        recent = curve.loss[-10:]
        figures = {"step": float(step), "loss": sum(recent) / len(recent)}
        if curve.valid:
            figures["held-out"] = curve.valid[-1][1]
        figures["MFU %"] = 100 * share
        self._tokens = (self._tokens or sum(curve.tokens[:-1])) + curve.tokens[-1]
        fraction = step / self.data.steps
        if self.devices.first:
            self.observer.update(Progress("train", 0, self._tokens, 0, 0, fraction, figures=figures))

    def measure(self, evaluate: Callable[[Arrays], tuple[float, int]]) -> tuple[float, float] | None:
        if self._held is None:
            return None
        nats, count = 0.0, 0
        for arrays in self._held.rows:
            found = evaluate(arrays)
            nats, count = nats + found[0], count + found[1]
        bits = nats / math.log(2) / self._held.size if self._held.size else 0.0
        return nats / max(count, 1), bits

    def _held_out(self) -> HeldOut:
        """The first documents of the held-out text, cut into rows as the training's are."""
        job, words = self.job, words_of(self.out / "model")
        context, micro, lead = job.numbers.context, job.numbers.micro, words.framing.lead
        found: list[Any] = []
        learn: list[Any] = []
        size = count = 0
        for row in _valid_rows(job):
            if count >= job.learning.valid_tokens:
                break
            if job.template is None:
                [ids] = words.encode([row.document.text])
                found.append(np.concatenate([words.framing.before, ids, words.framing.after]).astype(np.int64))
                size += len(row.document.text.encode())
            else:
                sample = sample_of(row, words, job.template, context)
                if isinstance(sample, Unusable):
                    continue
                found.append(sample.tokens.astype(np.int64))
                learn.append(sample.learn)
            count += len(found[-1])
        if not found:
            given = f"--valid {job.learning.valid[0]}" if job.valid is not None else "the holdout of the recipe"
            raise UsageError(f"{given}: no row of it could be used")
        if job.template is not None:
            return HeldOut(tuple(_answers(found, learn, lead)), 0)
        return HeldOut(tuple(_windows(np.concatenate(found), context, micro, lead)), size)


def _valid_rows(job: Job) -> Iterator[Record]:
    """The text to measure on: what was given, or else what the recipe holds out."""
    if job.valid is None:
        assert job.sources.recipe is not None
        yield from held_out(job.sources.recipe, job.sources.held_out)
        return
    for piece in job.valid.pieces(1 << 20):
        for row in read_piece(piece, job.valid.reading, job.valid.layout):
            if isinstance(row, Record):
                yield row


def _windows(stream: Any, context: int, micro: int, lead: int) -> list[Arrays]:
    whole = -(-len(stream) // context) * context
    targets = np.full(whole, IGNORED, dtype=np.int64)
    targets[: len(stream)] = stream
    rows = targets.reshape(-1, context)
    ids = np.full_like(rows, lead)
    ids[:, 1:] = np.where(rows[:, :-1] >= 0, rows[:, :-1], lead)
    return [Arrays(ids[a : a + micro], rows[a : a + micro]) for a in range(0, len(ids), micro)]


def _answers(found: Sequence[Any], learn: Sequence[Any], lead: int) -> list[Arrays]:
    rows = []
    for tokens, flags in zip(found, learn, strict=True):
        ids = np.concatenate([[lead], tokens[:-1]])[None]
        rows.append(Arrays(ids, np.where(flags > 0, tokens, IGNORED)[None]))
    return rows
