"""The decoders of the Llama family run by ourselves: large products, and one small kernel for each step between them.

transformers runs the same network in some forty kernels a layer, most of which only carry rows to memory and back. Here
a layer takes ten. The weights stay those of the network: queries, keys and values lie in one matrix, gates and ups in
another, and the network's own layers look at their parts of it. Whether the result is the same is for the caller to
prove on probes (`checkpoint.py` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from recension.models import packed_attention

if TYPE_CHECKING:
    import torch

FAMILY = frozenset({"llama", "mistral", "qwen2", "qwen3"})
STATIC_ROPE = frozenset({"default", "linear", "llama3", "yarn"})  # the others look at the length of the text
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")


def kernels_for(device: torch.device) -> Any:
    """Triton's on a GPU that has it, else torch's."""
    if device.type == "cuda" and find_spec("triton") is not None:
        from recension.models import triton_kernels

        return triton_kernels
    from recension.models import plain_kernels

    return plain_kernels


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """What a decoder layer multiplies with. `norms` are those of query and key heads, one row for each, or None."""

    before: torch.Tensor
    qkv: torch.Tensor
    qkv_bias: torch.Tensor | None
    norms: torch.Tensor | None
    out: torch.Tensor
    out_bias: torch.Tensor | None
    between: torch.Tensor
    gate_up: torch.Tensor
    gate_up_bias: torch.Tensor | None
    down: torch.Tensor
    down_bias: torch.Tensor | None
    how: tuple[float, int, float]


class DenseNetwork:
    """Called as the network of transformers is, within `packed_attention.packed`, for one row of sequences.

    The wide intermediate tables are made once, for the largest pack so far: memory grows with the pack and not with the
    number of layers or packs.
    """

    def __init__(self, network: Any, context: int, kernels: Any) -> None:
        import torch

        self._kernels = kernels
        self._embedding = network.embed_tokens.weight
        self._last = network.norm.weight
        attention = network.layers[0].self_attn
        self._eps = float(network.norm.variance_epsilon)
        self._heads = (_rows(attention.q_proj) // attention.head_dim, _rows(attention.k_proj) // attention.head_dim)
        self._size = int(attention.head_dim)
        places = torch.arange(context, device=self._embedding.device)[None]
        # Asked for with a float32 row, so that the angles come in float32.
        cos, sin = network.rotary_emb(torch.empty(0, device=places.device), places)
        half = self._size // 2
        self._angles = (cos[0, :, :half].float().contiguous(), sin[0, :, :half].float().contiguous())
        self._layers = [_layer(layer) for layer in network.layers]
        self._space: dict[str, torch.Tensor] = {}

    def __call__(self, input_ids: torch.Tensor, position_ids: torch.Tensor, use_cache: bool = False) -> SimpleNamespace:
        import torch

        x = torch.nn.functional.embedding(input_ids[0], self._embedding)
        for layer in self._layers:
            self._run(layer, x, position_ids[0])
        last = self._kernels.rms_norm(x, self._last, self._eps, torch.empty_like(x))
        return SimpleNamespace(last_hidden_state=last[None])

    def _run(self, layer: Layer, x: torch.Tensor, places: torch.Tensor) -> None:
        kernels, size, (queries, keys) = self._kernels, self._size, self._heads
        normed = self._room("normed", x, x.shape[1])
        kernels.rms_norm(x, layer.before, self._eps, normed)
        qkv = _product(normed, layer.qkv, layer.qkv_bias, self._room("qkv", x, len(layer.qkv)))
        kernels.rotate_(qkv, places, self._angles, self._heads, layer.norms, self._eps)
        heads = qkv.view(len(x), -1, size)
        parts = heads[:, :queries], heads[:, queries : queries + keys], heads[:, queries + keys :]
        attended = packed_attention.attend(*parts, packed_attention.borders(), layer.how)
        _add_product(x, attended.reshape(len(x), -1), layer.out, layer.out_bias)
        kernels.rms_norm(x, layer.between, self._eps, normed)
        wide = _product(normed, layer.gate_up, layer.gate_up_bias, self._room("wide", x, len(layer.gate_up)))
        _add_product(x, kernels.swiglu_(wide), layer.down, layer.down_bias)

    def _room(self, name: str, like: torch.Tensor, width: int) -> torch.Tensor:
        import torch

        have = self._space.get(name)
        if have is None or len(have) < len(like):
            self._space.pop(name, None)
            have = None  # given back before the larger one is taken
            have = torch.empty((len(like), width), dtype=like.dtype, device=like.device)
            self._space[name] = have
        return have[: len(like)]


def dense_network(network: Any, context: int, kernels: Any) -> DenseNetwork | None:
    """The same network run by ourselves; None where its build is not the family's."""
    return DenseNetwork(network, context, kernels) if _known(network) else None


def _product(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, out: torch.Tensor) -> torch.Tensor:
    import torch

    if bias is None:
        return torch.mm(rows, weight.t(), out=out)
    return torch.addmm(bias, rows, weight.t(), out=out)


def _add_product(x: torch.Tensor, rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
    x.addmm_(rows, weight.t())
    if bias is not None:
        x += bias


# --- the build of a network -------------------------------------------------------------------------------------------


def _known(network: Any) -> bool:
    import torch

    config = network.config
    if getattr(config, "model_type", "") not in FAMILY or _children(network) != {
        "embed_tokens", "layers", "norm", "rotary_emb",
    }:  # fmt: skip
        return False
    plain = type(network.embed_tokens) is torch.nn.Embedding and _normed(network.norm)
    turned = getattr(network.rotary_emb, "rope_type", None)
    return plain and isinstance(turned, str) and turned in STATIC_ROPE and all(map(_known_layer, network.layers))


def _known_layer(layer: Any) -> bool:
    import torch

    if _children(layer) != {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}:
        return False
    attention, mlp = layer.self_attn, layer.mlp
    within = _children(attention)
    if within not in ({*PROJECTIONS}, {*PROJECTIONS, "q_norm", "k_norm"}):
        return False
    if _children(mlp) != {"gate_proj", "up_proj", "down_proj", "act_fn"}:
        return False
    linears = [getattr(attention, name) for name in PROJECTIONS] + [mlp.gate_proj, mlp.up_proj, mlp.down_proj]
    norms = [layer.input_layernorm, layer.post_attention_layernorm]
    norms += [attention.q_norm, attention.k_norm] if "q_norm" in within else []
    return (
        all(type(linear) is torch.nn.Linear for linear in linears)
        and all(map(_normed, norms))
        and all(norm.weight.shape == (attention.head_dim,) for norm in norms[2:])
        and type(mlp.act_fn).__name__ in ("SiLU", "SiLUActivation")
        and attention.head_dim % 2 == 0
    )


def _children(module: Any) -> set[str]:
    return {name for name, _ in module.named_children()}


def _normed(module: Any) -> bool:
    return (
        type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon") and module.weight.dim() == 1
    )


def _layer(layer: Any) -> Layer:
    import torch

    attention, mlp = layer.self_attn, layer.mlp
    qkv, qkv_bias = _joined([attention.q_proj, attention.k_proj, attention.v_proj])
    gate_up, gate_up_bias = _joined([mlp.gate_proj, mlp.up_proj])
    norms = None
    if hasattr(attention, "q_norm"):
        norms = torch.stack([attention.q_norm.weight, attention.k_norm.weight]).float()
    # Some models keep the window of a layer, others only that of all.
    window = getattr(attention, "sliding_window", getattr(attention.config, "sliding_window", None))
    return Layer(
        before=layer.input_layernorm.weight,
        qkv=qkv,
        qkv_bias=qkv_bias,
        norms=norms,
        out=attention.o_proj.weight,
        out_bias=attention.o_proj.bias,
        between=layer.post_attention_layernorm.weight,
        gate_up=gate_up,
        gate_up_bias=gate_up_bias,
        down=mlp.down_proj.weight,
        down_bias=mlp.down_proj.bias,
        how=(float(attention.scaling), int(window or 0), 0.0),
    )


def _rows(linear: Any) -> int:
    return int(linear.weight.shape[0])


def _joined(linears: list[Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """One matrix of several; the layers now look at their parts of it, so that no weight lies in memory twice."""
    import torch

    whole = torch.cat([linear.weight.detach() for linear in linears])
    biases = [linear.bias for linear in linears]
    bias = None
    if any(b is not None for b in biases):
        zeros = [whole.new_zeros(_rows(linear)) for linear in linears]
        bias = torch.cat([z if b is None else b.detach() for z, b in zip(zeros, biases, strict=True)])
    start = 0
    for linear in linears:
        stop = start + _rows(linear)
        linear.weight = torch.nn.Parameter(whole[start:stop], requires_grad=False)
        start = stop
    return whole, bias
