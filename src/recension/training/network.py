"""Models to train: built from a shape, or loaded; made fast; and their loss."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recension.errors import MissingExtraError, ModelError
from recension.training import attention
from recension.training.batches import IGNORED
from recension.training.head import Head, fused_loss, loss_and_gradient
from recension.training.shapes import Shape

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one micro-batch. `positions` and `segments` are there where several samples share a row."""

    ids: Any
    targets: Any
    positions: Any = None
    segments: Any = None


def build(shape: Shape, vocabulary: int, end: int, seed: int) -> Any:
    """A new model with random weights: a function of shape, vocabulary and seed."""
    with _seeded(seed):
        model = causal_model(shape, vocabulary, end)
    _shrink_outputs(model, shape)
    return model


def causal_model(shape: Shape, vocabulary: int, end: int) -> Any:
    """The network of a shape, as transformers knows it; `end` is the token that ends and begins documents."""
    torch, transformers = libraries()
    common: dict[str, Any] = {"vocab_size": vocabulary, "bos_token_id": end, "eos_token_id": end, "pad_token_id": None}
    common |= {"tie_word_embeddings": shape.tied, "initializer_range": 0.02}
    if shape.kind == "gpt2":
        config: Any = transformers.GPT2Config(
            n_embd=shape.hidden, n_inner=shape.ffn, n_head=shape.heads, n_layer=shape.layers,
            n_positions=shape.context, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **common,
        )  # fmt: skip
    else:
        config = transformers.LlamaConfig(
            hidden_size=shape.hidden, intermediate_size=shape.ffn, num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv, num_hidden_layers=shape.layers, max_position_embeddings=shape.context,
            rms_norm_eps=1e-5, **common,
        )  # fmt: skip
    return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def _shrink_outputs(model: Any, shape: Shape) -> None:
    """What a layer adds to the stream begins smaller the more layers there are (GPT-2)."""
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight", "c_proj.weight")):
                weight.mul_((2 * shape.layers) ** -0.5)


def resized(model: Any, vocabulary: int, seed: int) -> None:
    """Room for the ids of the tokenizer, where it knows more than the model."""
    if model.get_input_embeddings().weight.shape[0] < vocabulary:
        with _seeded(seed):
            model.resize_token_embeddings(vocabulary, mean_resizing=False)


def with_lora(model: Any, rank: int, alpha: int, seed: int) -> Any:
    """Low-rank adapters on every linear layer but the head; all else is frozen."""
    try:
        import peft
    except ImportError as error:
        raise MissingExtraError("train", "--lora") from error
    settings = peft.LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with _seeded(seed), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of peft about names in transformers
        return peft.get_peft_model(model, settings)


def faster_norms(model: Any) -> None:
    """Llama's norms as one operation each. The names of the weights stay."""
    import torch
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    class Norm(torch.nn.Module):
        def __init__(self, norm: Any) -> None:
            super().__init__()
            self.weight, self.epsilon = norm.weight, norm.variance_epsilon

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            size = (rows.shape[-1],)
            return torch.nn.functional.rms_norm(rows, size, self.weight.to(rows.dtype), self.epsilon)

    for name, module in list(model.named_modules()):
        if type(module) is LlamaRMSNorm:
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, Norm(module))


def learner(model: Any, plain: bool) -> Any:
    """A module whose output is the loss of a batch. `plain`: head apart and fused, else through the model's own logits."""
    import torch

    class Learner(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            # Compiled forms, where there are some. The network stands in a list, so that it is no submodule.
            self.body: list[Any] = []
            self.gradient: Any = loss_and_gradient

        def forward(self, batch: Batch, scale: float) -> torch.Tensor:
            extra: dict[str, Any] = {"use_cache": False}
            if batch.positions is not None:
                extra |= {"position_ids": batch.positions, "attention_mask": _own_segment(batch.segments)}
            targets = batch.targets.reshape(-1)
            if plain:
                network = self.body[0] if self.body and torch.is_grad_enabled() else _network(model)
                hidden = network(input_ids=batch.ids, **extra).last_hidden_state
                head = model.get_output_embeddings()
                if torch.is_autocast_enabled(hidden.device.type):
                    hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
                with torch.autocast(hidden.device.type, enabled=False):
                    last = Head(head.weight, head.bias, self.gradient if torch.is_grad_enabled() else loss_and_gradient)
                    return fused_loss(hidden.flatten(0, 1), last, targets, scale)  # type: ignore[no-any-return]
            logits = model(input_ids=batch.ids, **extra).logits.flatten(0, 1).float()
            return torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum") * scale

    return Learner()


def _network(model: Any) -> Any:
    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    return inner.get_decoder() if hasattr(inner, "get_decoder") else inner.base_model


def _own_segment(segments: torch.Tensor) -> torch.Tensor:
    """(rows, 1, length, length): what is before a token in its own sample. Padding sees itself, so that it is a number."""
    import torch

    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    return ((segments[:, :, None] == segments[:, None, :]) & causal)[:, None]


def head_is_plain(model: Any) -> bool:
    """Whether hidden rows times the head's weight are the logits (no scaling, no soft cap)."""
    import torch

    head = model.get_output_embeddings()
    if type(head) is not torch.nn.Linear:
        return False
    device = head.weight.device
    ids = torch.arange(1, 9, device=device)[None] % head.weight.shape[0]
    with torch.no_grad():
        rows = _network(model)(input_ids=ids, use_cache=False)
        whole = model(input_ids=ids, use_cache=False).logits.float()
        ours = torch.nn.functional.linear(rows.last_hidden_state, head.weight, head.bias).float()
    return ours.shape == whole.shape and bool((ours - whole).abs().max() <= 1e-3 * whole.abs().max().clamp(min=1.0))


def check_causal(model: Any) -> None:
    """Prove on a probe that the model does not see what comes: else it would learn to copy."""
    import torch

    weight = model.get_input_embeddings().weight
    ids = (torch.arange(3, 15, device=weight.device)[None] * 7919) % weight.shape[0]
    other = ids.clone()
    other[:, -1] = (other[:, -1] + 17) % weight.shape[0]
    with torch.no_grad():
        first, second = (model(input_ids=i, use_cache=False).logits.float() for i in (ids, other))
    moved = (first - second).abs().amax(dim=(0, 2))
    if float(moved[:-1].max()) > 1e-5 * float(first.abs().max().clamp(min=1e-3)):
        raise ModelError("the model looks ahead (it is no causal language model), so it cannot be trained as one")


def check_apart(model: Any) -> None:
    """Prove on a probe that samples packed into one row do not see each other."""
    import torch

    device = model.get_input_embeddings().weight.device
    size = model.get_input_embeddings().weight.shape[0]
    ids = (torch.arange(3, 27, device=device)[None] * 7919) % size
    other = ids.clone()
    other[:, :12] = (other[:, :12] + 17) % size
    positions = torch.arange(12, device=device).repeat(2)[None]
    segments = torch.arange(2, device=device).repeat_interleave(12)[None]
    extra = {"position_ids": positions, "attention_mask": _own_segment(segments), "use_cache": False}
    with torch.no_grad():
        try:
            first, second = (model(input_ids=i, **extra).logits[:, 12:].float() for i in (ids, other))
            alone = model(input_ids=ids[:, 12:], use_cache=False).logits.float()
        except (TypeError, ValueError, RuntimeError, IndexError) as error:
            raise ModelError(f"this model cannot take packed samples ({error}): use --no-pack") from error
    bound = 1e-3 * float(alone.abs().max().clamp(min=1.0))
    if float((first - second).abs().max()) > bound or float((first - alone).abs().max()) > bound:
        raise ModelError("samples packed into one row would see each other in this model: use --no-pack")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random numbers for this block only; whoever draws outside it draws what they would have drawn."""
    import torch

    with torch.random.fork_rng(devices=[]):  # models are made on the CPU
        torch.manual_seed(seed)
        yield


PREFIX = "model."  # of the model's own names in those of a learner


def trained(learner: Any) -> dict[str, str]:
    """The weights that are trained, by name, with the name under which a checkpoint keeps each: tied ones once."""
    first: dict[int, str] = {}
    found = {}
    for name, weight in learner.named_parameters(remove_duplicate=False):
        if weight.requires_grad:
            found[name] = first.setdefault(id(weight), name)
    return found


def save(model: Any, state: dict[str, Any], folder: Path) -> None:
    """As `transformers` loads it: config.json and safetensors. `state` holds all weights under the learner's names."""
    own = {name.removeprefix(PREFIX): weight for name, weight in state.items()}
    if hasattr(model, "peft_config"):
        own = _merged(model, own)
        model = model.get_base_model()
    own = {name: weight.contiguous() for name, weight in own.items()}
    model.save_pretrained(folder, state_dict=own, safe_serialization=True, save_peft_format=False)


def _merged(model: Any, state: dict[str, Any]) -> dict[str, Any]:
    """The weights with their adapters added, under the names of the model below."""
    import torch

    [settings] = model.peft_config.values()
    factor = settings.lora_alpha / settings.r
    stem = "base_model.model."
    found = {}
    for name, weight in state.items():
        if ".lora_" in name:
            continue
        merged = weight
        before = name.removesuffix(".base_layer.weight")
        if f"{before}.lora_A.default.weight" in state and before != name:
            first, second = (state[f"{before}.lora_{x}.default.weight"].float() for x in "AB")
            added = factor * (second @ first)
            turned = bool(getattr(model.get_submodule(before), "fan_in_fan_out", False))
            merged = (weight.float() + (added.t() if turned else added)).to(weight.dtype)
        found[name.replace(".base_layer.", ".").removeprefix(stem)] = torch.as_tensor(merged)
    return found


def save_adapter(model: Any, state: dict[str, Any], folder: Path) -> None:
    """The adapters alone, as peft loads them."""
    from peft import get_peft_model_state_dict

    own = {name.removeprefix(PREFIX): weight for name, weight in state.items()}
    adapters = get_peft_model_state_dict(model, state_dict=own)
    model.save_pretrained(folder, state_dict=adapters, safe_serialization=True)


def compiled(learner: Any, dtype: Any) -> None:
    """The body through torch.compile. The names of the weights stay, and the loss is as it was."""
    import torch

    if dtype == torch.bfloat16 and next(learner.parameters()).device.type == "cpu":
        attention.use(learner.model)
    # One graph for each shape: what a graph is must not depend on what ran before, or a resumed run would differ.
    learner.body = [torch.compile(_network(learner.model), dynamic=False)]
    learner.gradient = torch.compile(loss_and_gradient, dynamic=False)


def float32() -> Any:
    import torch

    return torch.float32


def libraries() -> tuple[Any, Any]:
    """torch and transformers, or what to install."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtraError("train", "training") from error
    return torch, transformers
