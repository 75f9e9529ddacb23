"""What most studies share: a model trained on some text, measured on held-out text and on questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from recension.recipes.edit import EditSpec, edit
from recension.recipes.evaluate.perplexity import evaluate_ppl
from recension.recipes.evaluate.spec import EvaluateEffort, PerplexitySpec
from recension.recipes.evaluate.tasks import TasksSpec, evaluate_tasks
from recension.recipes.settings import PriorSettings
from recension.recipes.study.bench import Bench, Scale, Step, parameters
from recension.recipes.study.drawing import Draw
from recension.recipes.train import train_continue, train_pretrain, train_sft
from recension.recipes.train.spec import ContinueSpec, LearningSettings, PretrainSpec, SftSpec, TrainEffort
from recension.recipes.train_ngram import NgramSpec, train_ngram
from recension.training.shapes import shape_of

COUNTING = 1e5  # operations that an n-gram model takes for a byte, as a core counts them
BYTES_OF_A_TOKEN = 3.5  # of small vocabularies; of large ones it is more
# Files of questions whose columns do not say what they are.
QUESTIONS: Mapping[str, Mapping[str, Any]] = {
    "pubmedqa": {"query": "QUESTION", "labels": ["yes", "no", "maybe"], "gold": "final_decision", "after": "\nAnswer:"},
    "chemprot": {
        "query": "text",
        "labels": ["INHIBITOR", "SUBSTRATE", "INDIRECT-UPREGULATOR", "INDIRECT-DOWNREGULATOR", "ACTIVATOR", "ANTAGONIST",
                   "PRODUCT-OF", "AGONIST", "DOWNREGULATOR", "UPREGULATOR", "AGONIST-ACTIVATOR", "SUBSTRATE_PRODUCT-OF"],
        "gold": "label",
        "after": "\nRelation:",
    },
}  # fmt: skip
TWIN = 1_000  # between the seed of a control and that of its twin

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Learner(Scale):
    """A model trained from scratch: its shape, what it reads, and how it is measured."""

    preset: str = "tiny"
    tokens: int = 100_000  # of one reading of the data
    epochs: int = 1
    batch: int | None = None
    rate: float | None = None
    vocabulary: int | None = None  # fitted to all sources alike; None: the tokenizer `tokenizer`
    tokenizer: str = ""
    compile: Literal["auto", "on", "off"] = "off"
    threads: int = 1  # so that a figure does not depend on how many cores there are
    base: str = ""  # the model that is trained on; "": one that the study trains itself
    prior_work: float = 2.5e7  # of the prior, for a token
    ngram: int = 0  # bytes that an n-gram model is fitted to beside it; 0: none
    questions: int | None = None  # of each task; None: all
    held_out: int = 30_000  # bytes drawn of each domain to measure on; 0: all
    read: int = 40_000  # tokens of held-out text and of questions, roughly, for the cost

    @property
    def bytes(self) -> int:
        return round(self.tokens * BYTES_OF_A_TOKEN)


Mix = Callable[[], Mapping[str | Path, float]]


@dataclass(frozen=True, slots=True)
class Arm:
    """A setting at one seed. `mix` says what is read, and is asked only when it is time."""

    name: str
    seed: int
    mix: Mix
    twin: bool = False
    times: int = 1  # the budget of tokens

    @property
    def step(self) -> str:
        return f"{self.name}{'-twin' if self.twin else ''}-{self.seed}"


def held_out(bench: Bench[Any]) -> list[str]:
    """The domains that models are measured on: the same text for every seed."""
    return bench.domains(Draw(bench.scale.held_out, 0))


def learning(bench: Bench[Any], arm: Arm, valid: Sequence[str] = ()) -> LearningSettings:
    """How long and how a model learns. A twin differs from its control in this seed alone."""
    scale: Learner = bench.scale
    device: Device = bench.spec.device
    shape = shape_of(scale.preset)
    each = max(1, scale.tokens // ((scale.batch or shape.batch) * shape.context))
    return LearningSettings(
        tokens=scale.tokens * scale.epochs * arm.times, batch=scale.batch, learning_rate=scale.rate,
        seed=arm.seed + (TWIN if arm.twin else 0), valid=tuple(valid), valid_every=each if valid else None,
        valid_tokens=32_768, device=device, threads=scale.threads, compile=scale.compile,
    )  # fmt: skip


def vocabulary(bench: Bench[Any], mix: Mix) -> Iterator[Step]:
    """One vocabulary for every model of the study, fitted to all its sources alike: perplexities can be compared."""
    scale: Learner = bench.scale
    if scale.vocabulary is None:
        return

    def fit(out: Path) -> object:
        spec = PretrainSpec(
            preset=scale.preset, vocabulary=scale.vocabulary, mix=_weights(mix()),
            learning=LearningSettings(steps=1, batch=1, threads=1, compile="off", device="cpu"),
        )  # fmt: skip
        return train_pretrain((), out, spec, TrainEffort(workers=bench.effort.workers))

    yield Step("vocabulary", "train pretrain", fit)


def _weights(mix: Mapping[str | Path, float]) -> tuple[str, ...]:
    return tuple(f"{path}={weight:g}" for path, weight in mix.items() if weight)


def trained(bench: Bench[Any], arm: Arm, watched: bool = False) -> Step:
    """A model trained from scratch on a mixture; `watched`: measured on held-out text after every epoch."""
    scale: Learner = bench.scale

    def train(out: Path) -> object:
        # A tokenizer and the size of a vocabulary exclude each other.
        tokenizer = bench.model("vocabulary") if scale.vocabulary else scale.tokenizer or None
        spec = PretrainSpec(
            preset=scale.preset, tokenizer=tokenizer, mix=_weights(arm.mix()),
            learning=learning(bench, arm, [_path(name) for name in held_out(bench)] if watched else ()),
        )  # fmt: skip
        return train_pretrain((), out, spec, TrainEffort(workers=bench.effort.workers))

    work = 6.0 * parameters(scale.preset) * scale.tokens * scale.epochs * arm.times
    return Step(arm.step, "train pretrain", train, work)


def continued(bench: Bench[Any], arm: Arm, base: str) -> Step:
    """The model of a step, trained on, on further text."""
    scale: Learner = bench.scale

    def train(out: Path) -> object:
        start = scale.base or bench.model(base)
        spec = ContinueSpec(model=start, mix=_weights(arm.mix()), learning=learning(bench, arm))
        return train_continue((), out, spec, TrainEffort(workers=bench.effort.workers))

    return Step(arm.step, "train continue", train, 6.0 * parameters(scale.preset) * scale.tokens * scale.epochs)


def tuned(bench: Bench[Any], arm: Arm, base: str) -> Step:
    """The model of a step, fine-tuned on exchanges."""
    scale: Learner = bench.scale

    def train(out: Path) -> object:
        spec = SftSpec(model=scale.base or bench.model(base), learning=learning(bench, arm))
        return train_sft([str(path) for path in arm.mix()], out, spec, TrainEffort(workers=bench.effort.workers))

    return Step(arm.step, "train sft", train, 6.0 * parameters(scale.preset) * scale.tokens * scale.epochs)


def edited(bench: Bench[Any], step: str, seed: int, text: Callable[[], Path], **how: Any) -> Step:
    """Text edited by the prior of the study."""

    def change(out: Path) -> object:
        spec = EditSpec(prior=bench.prior, seed=seed, model=PriorSettings(device=bench.spec.device), **how)
        return edit([text()], out, spec, bench.run_effort)

    scored = bench.scale.tokens * how.get("generations", 1)
    return Step(step, "edit", change, bench.scale.prior_work * scored)


def fitted(
    bench: Bench[Any], name: str, texts: Callable[[], Sequence[str | Path]], held: Callable[[], list[str]] | None = None
) -> Iterator[Step]:
    """An n-gram model of some text, and what it makes of held-out text: for a core, where a network learns little."""
    work = bench.scale.ngram * COUNTING

    def fit(out: Path) -> object:
        return train_ngram([str(path) for path in texts()], out, NgramSpec(order=3))

    def measure(out: Path) -> object:
        spec = PerplexitySpec(prior=f"ngram:{bench.place(name)}", bootstrap=200)
        domains = held() if held is not None else held_out(bench)
        return evaluate_ppl(domains, out, spec, EvaluateEffort(workers=bench.effort.workers))

    yield Step(name, "train ngram", fit, work)
    yield Step(f"{name}-ppl", "evaluate ppl", measure, work / 10)


def read(bench: Bench[Any], step: str, text: Callable[[], list[str]] | None = None, answers: bool = False) -> Step:
    """The model of a step on held-out text; of exchanges on their answers."""

    def measure(out: Path) -> object:
        spec = PerplexitySpec(
            prior=bench.model(step), bootstrap=200, answers_only=answers, model=PriorSettings(device=bench.spec.device)
        )
        domains = text() if text is not None else held_out(bench)
        return evaluate_ppl(domains, out, spec, EvaluateEffort(workers=bench.effort.workers))

    return Step(f"{step}-ppl", "evaluate ppl", measure, 2.0 * parameters(bench.scale.preset) * bench.scale.read)


def asked(bench: Bench[Any], step: str, role: str = "tasks") -> Step:
    """A trained model on questions."""

    def ask(out: Path) -> object:
        named = bench.named(role)
        said = {
            name: {"file": str(Path(named[name]).resolve()), **QUESTIONS[name]} for name in named if name in QUESTIONS
        }
        config = bench.noted(f"{role}.yaml", {"tasks": said}) if said else None
        files = tuple(path for name, path in named.items() if name not in QUESTIONS)
        spec = TasksSpec(
            file=files, task_config=config, limit=bench.scale.questions, prior=PriorSettings(device=bench.spec.device)
        )
        return evaluate_tasks(bench.model(step), out, spec)

    return Step(f"{step}-tasks", "evaluate tasks", ask, 2.0 * parameters(bench.scale.preset) * bench.scale.read)


def bits(bench: Bench[Any], step: str) -> float:
    """Bits per byte of held-out text, the plain mean over its domains."""
    return float(bench.report(f"{step}-ppl")["macro"]["bits_per_byte"]["value"])


def perplexities(bench: Bench[Any], step: str) -> dict[str, float]:
    """Perplexity by domain."""
    return {name: float(one["perplexity"]["value"]) for name, one in bench.report(f"{step}-ppl")["domains"].items()}


def accuracies(bench: Bench[Any], step: str) -> dict[str, float]:
    """The share of right answers by task, in percent."""
    tasks = bench.report(f"{step}-tasks")["tasks"]
    return {
        name.partition(".")[0]: 100.0 * float(found["acc"]["value"]) for name, found in tasks.items() if "acc" in found
    }


def _path(name: str) -> str:
    return name.partition("=")[2]
