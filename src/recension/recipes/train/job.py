"""What a training comes to before it runs: sources, shape or base model, and every number that was left open."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from recension import __version__
from recension.corpus import Corpus, open_corpus
from recension.document import JSON
from recension.engines.local import available_cores
from recension.errors import MissingExtraError, UsageError
from recension.models import hub
from recension.recipes.mix.job import described
from recension.recipes.pages import encodable, identity_of, reading_of
from recension.recipes.settings import flat
from recension.recipes.train.sources import Sources, open_sources
from recension.recipes.train.spec import ContinueSpec, LearningSettings, PretrainSpec, SftSpec
from recension.run.manifest import Manifest
from recension.training.devices import machine, number_format, one_device, processes
from recension.training.shapes import Shape, shape_of

RECIPE_VERSION = 1
Verb = Literal["pretrain", "continue", "sft"]
TrainSpec = PretrainSpec | ContinueSpec | SftSpec
CPU_TOKENS, CUDA_TOKENS = 8192, 32_768  # of a micro-batch, for small models
LONGEST_CONTEXT = 1024  # of a model that reads more, unless told otherwise
WORTH_COMPILING = 2e14  # FLOP; less is done before a CPU has compiled


@dataclass(frozen=True, slots=True)
class Base:
    """The model that is trained on."""

    name: str
    place: str
    revision: str | None
    identity: dict[str, JSON]
    limit: int
    template: bool


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the settings come to."""

    batch: int
    context: int
    rate: float
    micro: int
    threads: int
    device: str
    dtype: str
    compile: bool


@dataclass(frozen=True)
class Job:
    verb: Verb
    spec: TrainSpec
    sources: Sources
    valid: Corpus | None
    numbers: Numbers
    shape: Shape | None = None
    base: Base | None = None
    tokenizer: Base | None = None

    @property
    def learning(self) -> LearningSettings:
        return self.spec.learning

    @property
    def template(self) -> str | None:
        """How exchanges are written; None where texts are trained on as they are."""
        if not isinstance(self.spec, SftSpec):
            return None
        if self.spec.template == "auto":
            return "model" if self.base is not None and self.base.template else "plain"
        return self.spec.template


def job_of(verb: Verb, inputs: Sequence[str], out: Path, spec: TrainSpec) -> Job:
    """Open the data, look at the model, fill the gaps."""
    _need_torch()
    reading = reading_of(spec.rows)
    sources = open_sources(inputs, () if isinstance(spec, SftSpec) else spec.mix, reading, out)
    if isinstance(spec, SftSpec) and sources.recipe is not None:
        raise UsageError("a recipe is for pretrain and continue: `recension mix` it, and fine-tune on the folder")
    valid = open_corpus(spec.learning.valid, reading, exclude=out) if spec.learning.valid else None
    if isinstance(spec, PretrainSpec):
        shape = shape_of(spec.preset)
        context = spec.learning.context or shape.context
        shape = replace(shape, context=context, vocabulary=spec.vocabulary or shape.vocabulary)
        tokenizer = _base(spec.tokenizer, "--tokenizer", weights=False) if spec.tokenizer else None
        rate, batch = shape.rate, shape.batch
        size = shape.parameters(shape.vocabulary)
        numbers = _numbers(spec.learning, (batch, context, rate), size, sources)
        return Job(verb, spec, sources, valid, numbers, shape=shape, tokenizer=tokenizer)
    if not spec.model:
        raise UsageError("--model is missing: the model to begin with, hf:NAME or hf:PATH")
    base = _base(spec.model, "--model")
    context = spec.learning.context or min(base.limit, LONGEST_CONTEXT)
    if context > base.limit:
        raise UsageError(f"--context {context}: {spec.model} reads at most {base.limit} tokens")
    rate = 1e-4 if isinstance(spec, ContinueSpec) else 2e-4 if spec.lora else 2e-5
    if isinstance(spec, SftSpec) and spec.template == "model" and not base.template:
        raise UsageError(f"--template model: {spec.model} brings no chat template; use --template plain")
    numbers = _numbers(spec.learning, (32, context, rate), _size_of(base), sources)
    if isinstance(spec, SftSpec):
        if spec.learning.compile == "on":
            raise UsageError(
                "--compile on is for pretrain and continue: rows of samples have a new length at every step"
            )
        numbers = replace(numbers, compile=False)
    return Job(verb, spec, sources, valid, numbers, base=base)


def _need_torch() -> None:
    try:
        import safetensors  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("train", "training") from error


def _base(name: str, flag: str, weights: bool = True) -> Base:
    scheme, _, rest = name.partition(":")
    if scheme in ("ngram", "fake", "openai", "vllm", "embedded"):
        raise UsageError(f"{flag} {name}: only models of transformers can be trained; write hf:NAME or hf:PATH")
    place, revision = hub.split_name(rest if scheme == "hf" and rest else name)
    with hub.quiet():
        config = hub.check_there(place, revision) if weights else None
        if config is not None:
            hub.check_causal(place, config)
        loaded = hub.load_fast(place, revision)
    limits = [getattr(config, key, None) for key in ("max_position_embeddings", "n_positions", "max_seq_len")]
    limit = next((int(found) for found in limits if found), 1 << 20)
    identity = hub.identity(place, revision, config)
    return Base(name, place, revision, identity, limit, bool(loaded.chat_template))


def _size_of(base: Base) -> int:
    """The bytes of local weights over four; for a model on the hub a guess on the large side."""
    files = [*Path(base.place).glob("*.safetensors")] if Path(base.place).is_dir() else []
    return sum(path.stat().st_size for path in files) // 4 or 1_000_000_000


def _numbers(learning: LearningSettings, usual: tuple[int, int, float], size: int, sources: Sources) -> Numbers:
    device = one_device(learning.device)
    dtype = str(number_format(learning.dtype, device)).removeprefix("torch.")
    batch, context, rate = learning.batch or usual[0], usual[1], learning.learning_rate or usual[2]
    room = CPU_TOKENS if device.type == "cpu" else CUDA_TOKENS
    while room > context and size * room > 2e8 * (CPU_TOKENS if device.type == "cpu" else CUDA_TOKENS):
        room //= 2
    micro = learning.micro or max(1, min(batch, room // context))
    read = learning.tokens or (learning.steps or 0) * batch * context
    read = read or round((learning.epochs or 1.0) * sources.data.expected / 4)  # about four bytes a token
    threads = learning.threads or max(1, available_cores() // processes())
    return Numbers(
        batch, context, rate, micro, threads, device.type, dtype, _compiled(learning, device, size * read * 6.0)
    )


def _compiled(learning: LearningSettings, device: Any, work: float) -> bool:
    """Decided by the settings and the machine alone, so that a resumed run decides alike."""
    if learning.compile != "auto":
        return learning.compile == "on"
    if device.type == "cuda":
        return True
    return work >= WORTH_COMPILING and any(shutil.which(name) for name in ("g++", "clang++", "c++"))


def manifest(job: Job, inputs: Sequence[str]) -> Manifest:
    spec = flat(job.spec)
    for name in ("model", "tokenizer", "preset", "vocabulary", "mix", "valid", "device", "threads", "compile"):
        spec.pop(name, None)  # what they come to stands below
    if not spec.get("lora", True):
        spec |= {"lora_rank": None, "lora_alpha": None}  # they have no say
    numbers = job.numbers
    spec |= {"batch": numbers.batch, "context": numbers.context, "learning_rate": numbers.rate, "micro": numbers.micro}
    spec |= {"dtype": numbers.dtype, "template": job.template}
    if job.learning.epochs is None and job.learning.tokens is None and job.learning.steps is None:
        spec["epochs"] = 1.0
    identity: dict[str, JSON] = {
        "spec": spec,
        "shape": job.shape.to_json() if job.shape else None,
        "model": job.base.identity if job.base else None,
        "tokenizer": job.tokenizer.identity if job.tokenizer else None,
        "weights": [str(weight) for weight in job.sources.weights],
        **({"mixture": described(job.sources.recipe)} if job.sources.recipe is not None else {}),
        "inputs": [identity_of(file) for file in job.sources.data.files],
        "valid": [identity_of(file) for file in job.valid.files] if job.valid else [],
        "machine": {
            **machine(numbers.device),
            "threads": numbers.threads if numbers.device == "cpu" else None,
            "compile": numbers.compile,
        },
    }
    facts: dict[str, JSON] = {
        "recension": __version__,
        "given": encodable(inputs),
        "urls": {file.label: file.where for file in job.sources.data.files},
        "skipped": encodable([name for corpus in job.sources.data.corpora for name in corpus.skipped]),
        "config": flat(job.spec),
    }
    return Manifest(f"train-{job.verb}", RECIPE_VERSION, identity, facts)
