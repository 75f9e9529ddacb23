"""One device, or several through accelerate: who does what part, and how a model is spread over them.

Several processes are begun by `accelerate launch`. The weights, gradients and optimiser states are sharded by torch's
`fully_shard` (FSDP 2), layer by layer. accelerate would do the same on GPUs and refuses on a CPU, where we prove it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from recension.errors import MissingExtraError, ModelError, UsageError

if TYPE_CHECKING:
    import torch


PATIENCE = 24  # hours


@dataclass(frozen=True, slots=True)
class Devices:
    """This process among all of them. `first` does what is to be done once."""

    device: Any
    rank: int = 0
    ranks: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        if self.ranks > 1:
            import torch.distributed

            torch.distributed.barrier()

    def added(self, value: Any) -> Any:
        """The sum over all devices."""
        if self.ranks > 1:
            import torch.distributed

            torch.distributed.all_reduce(value)
        return value

    def shared(self, value: Any) -> Any:
        """What the first says, everywhere."""
        if self.ranks == 1:
            return value
        import torch.distributed

        box = [value]
        torch.distributed.broadcast_object_list(box, src=0)
        return box[0]


def world() -> tuple[int, int]:
    """Rank and number of processes, as the launcher says."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def processes() -> int:
    """How many of them share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


@contextmanager
def open_devices(name: str) -> Iterator[Devices]:
    """The device of this process; with several processes, the group they form."""
    import torch

    rank, ranks = world()
    if ranks == 1:
        yield Devices(one_device(name))
        return
    try:
        from accelerate import Accelerator, InitProcessGroupKwargs
    except ImportError as error:
        raise MissingExtraError("train", "training on several devices") from error
    # The others wait while the first prepares the data, and that may take hours.
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=PATIENCE))
    accelerator = Accelerator(cpu=name == "cpu" or not torch.cuda.is_available(), kwargs_handlers=[patience])
    yield Devices(accelerator.device, rank, ranks)
    # Not after an error: the others may be waiting for this process, and only its end sets them free.
    accelerator.end_training()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def one_device(name: str) -> torch.device:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("--device cuda asks for CUDA, but this torch sees no such device: use --device cpu")
    return torch.device(name)


def machine(device: str) -> dict[str, str | None]:
    """What of a machine and its libraries can change a weight."""
    import torch
    import transformers

    return {
        "device": device,
        "accelerator": torch.cuda.get_device_name() if device == "cuda" else None,
        "torch": str(torch.__version__),
        "transformers": str(transformers.__version__),
    }


def number_format(name: str, device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it, else float32."""
    import torch

    if name == "auto":
        return torch.bfloat16 if _has_bfloat16(device) else torch.float32
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def _has_bfloat16(device: torch.device) -> bool:
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    cpu: Any = torch.cpu
    return any(getattr(cpu, ask, lambda: False)() for ask in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))


@contextmanager
def repeatable(device: Any) -> Iterator[None]:
    """On a GPU: kernels that sum in the same order every time, where there are such. A CPU has no others."""
    import torch

    if device.type != "cuda":
        yield
        return
    before, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    how: Any = torch.utils.deterministic
    filled = how.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    how.fill_uninitialized_memory = False  # nothing is read before it is written
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
        how.fill_uninitialized_memory = filled


def spread(learner: Any, devices: Devices, dtype: torch.dtype) -> Any:
    """The learner sharded over all devices, layer by layer; itself on one device."""
    if devices.ranks == 1:
        return learner
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    policy = MixedPrecisionPolicy()
    if dtype == torch.bfloat16 and devices.device.type == "cuda":
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    kinds = set(getattr(learner.model, "_no_split_modules", None) or ())
    for module in learner.modules():
        if type(module).__name__ in kinds:
            fully_shard(module, mp_policy=policy)
    fully_shard(learner, mp_policy=policy)
    return learner


def check_batch(batch: int, ranks: int) -> None:
    if batch % ranks:
        raise UsageError(f"--batch {batch} rows cannot be split over {ranks} devices: choose a multiple of {ranks}")


def whole_state(learner: Any, optimiser: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights and optimiser states in full on the CPU of the first device, by the names of the weights."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, get_optimizer_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights = dict(get_model_state_dict(learner, options=options))
    known: Any = get_optimizer_state_dict(learner, optimiser, options=options)
    moments = {
        f"{kind}/{name}": value for name, state in known.get("state", {}).items() for kind, value in state.items()
    }
    return weights, moments


def restore_state(parts: tuple[Any, Any], weights: dict[str, Any], moments: dict[str, Any], devices: Devices) -> None:
    """The inverse, on every device; only the first needs to hold the tensors."""
    from torch.distributed.checkpoint.state_dict import (
        StateDictOptions,
        get_optimizer_state_dict,
        set_model_state_dict,
        set_optimizer_state_dict,
    )

    learner, optimiser = parts
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=devices.ranks > 1, strict=False)
    set_model_state_dict(learner, weights, options=options)
    fresh: Any = get_optimizer_state_dict(learner, optimiser, options=StateDictOptions(full_state_dict=True))
    state: dict[str, dict[str, Any]] = {}
    for words, value in moments.items():
        kind, _, name = words.partition("/")
        state.setdefault(name, {})[kind] = value
    whole = {"state": state, "param_groups": fresh["param_groups"]} if devices.first else {}
    set_optimizer_state_dict(learner, optimiser, whole, options=options)
