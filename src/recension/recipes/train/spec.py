"""What can be set about training, for all three verbs and for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recension.errors import UsageError
from recension.recipes.settings import RowSettings, check_effort, check_types, setting, settings


@dataclass(frozen=True, slots=True)
class LearningSettings:
    """How long, how fast and on what a model learns: the same for every verb that trains."""

    epochs: float | None = setting(None, "Read the data so many times over [default: 1].", metavar="X", group="Length")
    tokens: int | None = setting(None, "Or: train on so many tokens.", metavar="N", group="Length")
    steps: int | None = setting(None, "Or: take so many steps.", metavar="N", group="Length")
    batch: int | None = setting(
        None, "Rows of one step, on all devices together [default: the preset's, else 32].", metavar="N",
        group="Learning",
    )  # fmt: skip
    context: int | None = setting(
        None, "Tokens of a row [default: the preset's, or the model's, at most 1024].", metavar="N", group="Learning"
    )
    learning_rate: float | None = setting(
        None, "The highest learning rate [default: the preset's; continue 1e-4; sft 2e-5, with --lora 2e-4].",
        metavar="RATE", group="Learning",
    )  # fmt: skip
    schedule: Literal["wsd", "cosine", "linear", "constant"] = setting(
        "wsd", "wsd: warm-up, constant, linear decay. Every decay ends with the run.",
        ("wsd", "cosine", "linear", "constant"), group="Learning",
    )  # fmt: skip
    warmup: float = setting(0.02, "The share of the steps that the rate rises.", metavar="SHARE", group="Learning")
    decay: float = setting(
        0.2, "For wsd: the share of the steps that the rate falls.", metavar="SHARE", group="Learning"
    )
    floor: float = setting(
        0.0, "Where the decay ends, as a share of the highest rate.", metavar="SHARE", group="Learning"
    )
    weight_decay: float = setting(0.1, "AdamW's, on matrices.", metavar="X", group="Learning")
    beta2: float = setting(0.95, "AdamW's second beta.", metavar="X", group="Learning")
    clip: float = setting(1.0, "Clip the norm of the gradient; 0: do not.", metavar="X", group="Learning")
    seed: int = setting(0, "Another seed: other first weights, another order.", metavar="N", group="Learning")

    valid: tuple[str, ...] = setting(
        (), "Held-out text to measure on (give it several times).", metavar="IN", group="Measuring"
    )
    valid_every: int | None = setting(
        None,
        "Measure every N steps [default: 20 times in all, or as often as a tenth of the time allows].",
        metavar="N",
        group="Measuring",
    )
    valid_tokens: int = setting(131_072, "Measure on its first N tokens.", metavar="N", group="Measuring")

    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto", "Where to train.", ("auto", "cpu", "cuda"), group="Machine"
    )
    dtype: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", "What is multiplied; auto: bfloat16 where the hardware has it. Weights are kept in float32.",
        ("auto", "float32", "bfloat16"), group="Machine",
    )  # fmt: skip
    threads: int = setting(0, "Threads on a CPU. 0 = one for each core.", metavar="N", group="Machine")
    micro: int | None = setting(
        None, "Rows at once on one device; bounds the memory [default: by the size of the model].", metavar="N",
        group="Machine",
    )  # fmt: skip
    compile: Literal["auto", "on", "off"] = setting(
        "auto", "torch.compile; auto: on a GPU, and on a CPU with a C++ compiler where the run is long.",
        ("auto", "on", "off"), group="Machine",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_types(self)
        given = [name for name in ("epochs", "tokens", "steps") if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(f"--{given[0]} and --{given[1]} both say how long to train: give one")
        for name in ("epochs", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"--{name.replace('_', '-')} is above 0, not {value:g}")
        for name in ("tokens", "steps", "batch", "micro", "valid_every", "valid_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} is 1 or more")
        if self.context is not None and self.context < 8:
            raise UsageError(f"--context is 8 or more, not {self.context}")
        for name in ("warmup", "decay", "floor"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"--{name} is a share between 0 and 1, not {getattr(self, name):g}")
        for name in ("clip", "weight_decay", "threads"):
            if getattr(self, name) < 0:
                raise UsageError(f"--{name.replace('_', '-')} is 0 or more")
        if not 0 <= self.beta2 < 1:
            raise UsageError(f"--beta2 lies between 0 and 1, not {self.beta2:g}")


_MIX = setting(
    (), "Instead of IN: PATH=WEIGHT for each source, mixed by weight, exactly in tokens (give it several times); or a "
    "recipe of `mix`.",
    metavar="PATH=WEIGHT", group="Data",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PretrainSpec:
    """Everything that can change a model trained from scratch."""

    preset: str = setting(
        "tiny", "The shape of the model, and what is to differ: small,layers=6,hidden=320.", metavar="NAME",
        group="Model",
    )  # fmt: skip
    vocabulary: int | None = setting(
        None, "Fit a byte-level BPE of N tokens to the data [default: the preset's].", metavar="N", group="Model"
    )
    tokenizer: str | None = setting(
        None, "Or: use this tokenizer, a folder or a name on the hub.", metavar="NAME", group="Model"
    )
    mix: tuple[str, ...] = _MIX
    rows: RowSettings = settings(RowSettings)
    learning: LearningSettings = settings(LearningSettings)

    def __post_init__(self) -> None:
        check_types(self)
        if self.vocabulary is not None and self.tokenizer is not None:
            raise UsageError("--vocabulary fits a tokenizer and --tokenizer names one: give one of the two")
        if self.vocabulary is not None and not 257 <= self.vocabulary <= 1 << 24:
            raise UsageError(
                f"--vocabulary lies between 257 (every byte, and one mark) and 16777216, not {self.vocabulary}"
            )


@dataclass(frozen=True, slots=True)
class ContinueSpec:
    """Everything that can change a model trained on from another one."""

    model: str = setting("", "The model to go on from: hf:NAME or hf:PATH.", metavar="hf:NAME", group="Model")
    mix: tuple[str, ...] = _MIX
    rows: RowSettings = settings(RowSettings)
    learning: LearningSettings = settings(LearningSettings)

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True, slots=True)
class SftSpec:
    """Everything that can change a fine-tuned model."""

    model: str = setting("", "The model to fine-tune: hf:NAME or hf:PATH.", metavar="hf:NAME", group="Model")
    lora: bool = setting(False, "Train low-rank adapters instead of all weights.", group="Model")
    lora_rank: int = setting(16, "Their rank.", metavar="N", group="Model")
    lora_alpha: int = setting(32, "Their scale is this over the rank.", metavar="N", group="Model")
    template: Literal["auto", "model", "plain"] = setting(
        "auto", "How an exchange is written: by the model's chat template, or plainly as in `edit`; auto: the model's if "
        "it has one.", ("auto", "model", "plain"), group="Data",
    )  # fmt: skip
    pack: bool = setting(True, "Several samples in a row; they do not see each other.", group="Data")
    rows: RowSettings = settings(RowSettings)
    learning: LearningSettings = settings(LearningSettings)

    def __post_init__(self) -> None:
        check_types(self)
        if self.lora_rank < 1 or self.lora_alpha < 1:
            raise UsageError("--lora-rank and --lora-alpha are 1 or more")


@dataclass(frozen=True, slots=True)
class TrainEffort:
    """How a training is carried out. None of this changes a weight."""

    workers: int = setting(0, "Processes that tokenise. 0 = one for each core.", metavar="N", group="Effort")
    checkpoint_minutes: float = setting(
        10.0, "Write a checkpoint this often; Ctrl-C writes one too.", metavar="MIN", group="Effort"
    )
    checkpoint_steps: int | None = setting(None, "And every N steps.", metavar="N", group="Effort")
    keep_checkpoints: int = setting(
        0, "Checkpoints to keep when all is done (2 are kept on the way).", metavar="N", group="Effort"
    )
    diverge: float = setting(
        1.0,
        "Stop when the smoothed loss has risen this far above its lowest; 0: do not.",
        metavar="NATS",
        group="Effort",
    )
    stop_after: int | None = setting(
        None, "Stop this call after N steps; the next call goes on.", metavar="N", group="Effort"
    )
    max_dropped: float | None = setting(
        None, "Fail when more than this share of the rows had to be set aside.", metavar="SHARE", group="Effort"
    )

    def __post_init__(self) -> None:
        check_effort(self)
        if self.keep_checkpoints < 0:
            raise UsageError("--keep-checkpoints is 0 or more")
        if self.diverge < 0:
            raise UsageError("--diverge is 0 (never) or more")
        if not self.checkpoint_minutes > 0:
            raise UsageError(f"--checkpoint-minutes is above 0, not {self.checkpoint_minutes:g}")
        for name in ("checkpoint_steps", "stop_after"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} is 1 or more")
