"""Load a transformers checkpoint, take it apart, and prove by a probe that the parts do what the whole does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from recension.document import JSON
from recension.errors import MissingExtraError, ModelError
from recension.models import hub, onednn, packed_attention
from recension.models.bodies import Body, Layout
from recension.models.cuda_head import TwoPhaseHead
from recension.models.dense import dense_network, kernels_for
from recension.models.heads import Head, Scorer
from recension.models.lane import Lane
from recension.models.options import PriorOptions
from recension.models.probes import Probes, table
from recension.models.surfaces import Surfaces
from recension.models.windows import OVERLAP

if TYPE_CHECKING:
    import torch

LONGEST_CONTEXT = 4096
CPU_BATCH = 2048
CUDA_BATCH = 16384
NARROW = 4096  # below this width a GPU takes twice the batch, or its kernels are too short
Matmul = Literal["onednn", "native"]


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A loaded model, taken apart. `bos` begins every window; `context` and `batch_tokens` count it."""

    tokenizer: Any
    surfaces: Surfaces
    body: Body
    scorer: Scorer
    lane: Lane | None  # on a GPU, where sequences can be packed
    bos: int | None
    context: int
    batch_tokens: int
    spec: dict[str, JSON]
    errors: dict[str, float]  # by way: how far its log-probabilities of the probes are from the truth, in nats


def load_checkpoint(name: str, options: PriorOptions) -> Checkpoint:
    """Everything that a prior needs of the model `NAME_OR_PATH[@REVISION]`."""
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("hf", f"prior hf:{name}") from error
    if options.threads < 1:
        raise ModelError(f"a prior runs on at least one thread, not {options.threads}")
    torch.set_num_threads(options.threads)
    place, revision = hub.split_name(name)
    device, dtype = device_of(options.device), dtype_of(options.dtype, options.device)
    with hub.quiet():
        hub.check_there(place, revision)
        tokens = hub.tokens_of(hub.load_fast(place, revision))
        model = hub.load_model(place, revision, dtype).to(device).eval()
        named = _Named(f"hf:{name}", hub.identity(place, revision, model.config))
        matmul: Matmul = "onednn" if onednn.usable(device, dtype) else "native"
        taken = _take_apart(model, device, named.name, matmul, context_of(model.config, options.context))
        if taken is None:
            matmul = "native"
            model = hub.load_model(place, revision, dtype).eval()
            taken = _take_apart(model, device, named.name, matmul, context_of(model.config, options.context))
    return _checkpoint(model, taken, tokens, named, options, matmul)


def own_checkpoint(model: Any, tokenizer: Any, options: PriorOptions, name: str = "a model in memory") -> Checkpoint:
    """The same of a causal model of transformers that is in memory already, on its device, with its fast tokenizer."""
    device = next(model.parameters()).device
    taken = _take_apart(model.eval(), device, name, "native", context_of(model.config, options.context))
    return _checkpoint(model, taken, hub.tokens_of(tokenizer), _Named(name, {"name": name}), options, "native")


class _Named(NamedTuple):
    """A model in messages and in keys."""

    name: str
    identity: dict[str, JSON]


class _Taken(NamedTuple):
    """A model taken apart, and how far each way that was tried is from the truth."""

    body: Body
    head: Head
    errors: dict[str, float]


def _checkpoint(
    model: Any, taken: _Taken | None, tokens: hub.Tokens, named: _Named, options: PriorOptions, matmul: Matmul
) -> Checkpoint:
    import torch
    import transformers

    if taken is None:
        raise ModelError(f"{named.name}: its parts do not give what the whole model gives")
    body, head, errors = taken
    device = body.device
    surfaces, bos = tokens.surfaces, tokens.bos if options.bos else None
    known = len(surfaces.characters)
    banned = sorted({i for i in surfaces.special if i < head.vocabulary} | set(range(known, head.vocabulary)))
    scorer = Scorer(head, torch.tensor(banned, dtype=torch.int64, device=device))
    lane = lane_for(body, scorer) if device.type == "cuda" else None
    width = int(getattr(model.config.get_text_config(), "hidden_size", NARROW))
    cuda_batch = CUDA_BATCH if width >= NARROW else 2 * CUDA_BATCH
    budget = options.batch_tokens or (cuda_batch if device.type == "cuda" else CPU_BATCH)
    context = context_of(model.config, options.context)
    spec: dict[str, JSON] = {
        "kind": "hf",
        **named.identity,
        "architecture": type(model).__name__,
        "device": device.type,
        "accelerator": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "layout": body.layout,
        "matmul": matmul,
        **({} if lane is None else {"kernels": lane.kernels}),
        "bos": bos,
        "context": context,
        "overlap": OVERLAP,
        "batch_tokens": budget,
        "threads": options.threads,
        "torch": str(torch.__version__),
        "transformers": str(transformers.__version__),
    }
    return Checkpoint(tokens.tokenizer, surfaces, body, scorer, lane, bos, context, budget, spec, errors)


def lane_for(body: Body, scorer: Scorer) -> Lane | None:
    """The pipelined way for a body that packs and a head that is a plain product."""
    if body.layout != "packed" or scorer.head.weight is None:
        return None
    return Lane(body, TwoPhaseHead(scorer.head, scorer.banned, kernels_for(body.device)))


def device_of(name: str) -> torch.device:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"device '{name}' is unknown; use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device '{name}' asks for CUDA, but this torch sees no such device; use --device cpu")
    return device


def dtype_of(name: str, device: str) -> torch.dtype:
    import torch

    if name == "auto":
        return torch.bfloat16 if device_of(device).type == "cuda" else torch.float32
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in known:
        raise ModelError(f"dtype '{name}' is unknown; use auto, {', '.join(known)}")
    return known[name]


def context_of(config: Any, wanted: int | None) -> int:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    limits = [getattr(text, key, None) for key in ("max_position_embeddings", "n_positions", "max_seq_len")]
    longest = next((int(limit) for limit in limits if limit), LONGEST_CONTEXT)
    if wanted is not None and wanted > longest:
        raise ModelError(f"a context of {wanted} tokens was asked for, but the model reads at most {longest}")
    return wanted or min(longest, LONGEST_CONTEXT)


# --- taking a model apart -------------------------------------------------------------------------------------------


def _take_apart(model: Any, device: torch.device, name: str, matmul: Matmul, context: int) -> _Taken | None:
    """The fastest layout and the plainest head that give what the whole model gives; None if oneDNN's do not."""
    import torch

    # Not in inference mode: the weights are widened for a moment, and no weight may become a tensor of that mode.
    with torch.no_grad():
        whole = Body(model, "equal-lengths", True, device)
        probes = Probes(model, whole)
        if not bool(torch.isfinite(probes.said).all()):
            raise ModelError(f"{name}: the model gives probabilities that are no numbers; are its weights intact?")
        _check_causal(whole, probes, name)
        network, head = _plain_head(model, whole, probes)
        if head is None:
            return _Taken(whole, Head(None, None, 1.0, 0.0, probes.said.shape[1]), probes.errors)
        layout: Layout = "packed" if _packs(model, network, head, probes) else "equal-lengths"
        body = Body(network, layout, False, device)
        if matmul == "native":
            if device.type == "cuda" and layout == "packed":
                body = _by_ourselves(body, head, context, probes)
            return _Taken(body, head, probes.errors)
        head = head.through_onednn()
        try:
            if onednn.replace_linears(network) and _same("oneDNN", body, head, probes):
                return _Taken(body, head, probes.errors)
        except (AttributeError, RuntimeError, TypeError):
            pass  # a layer whose weight is used without the layer
    return None


def _by_ourselves(body: Body, head: Head, context: int, probes: Probes) -> Body:
    """The body with a network that we run, where its build is known and the result the same."""
    network = dense_network(body.network, context, kernels_for(body.device))
    if network is None:
        return body
    ours = replace(body, network=network)
    return ours if _same("own", ours, head, probes) else body


def _same(name: str, body: Body, head: Head, probes: Probes) -> bool:
    return probes.pass_rows(name, head.logits(body.rows(probes.sequences)))


def _check_causal(whole: Body, probes: Probes, name: str) -> None:
    changed = [probe.copy() for probe in probes.sequences]
    changed[0][-1] = changed[0][0]
    again = table(whole.rows(changed))
    last = len(changed[0]) - 1
    moved = (again[: last + 1] - probes.said[: last + 1]).abs().amax(dim=1)
    if bool(moved[:last].max() > 1e-3 * moved[last]):
        raise ModelError(f"{name}: the model looks ahead (not a causal language model), so it cannot score a text")


def _plain_head(model: Any, whole: Body, probes: Probes) -> tuple[Any, Head | None]:
    import torch

    linear = model.get_output_embeddings()
    network = model.get_decoder() if hasattr(model, "get_decoder") else model.base_model
    if linear is None or network is None or network is model or not isinstance(linear, torch.nn.Linear):
        return None, None
    hidden = Body(network, "equal-lengths", False, whole.device).rows(probes.sequences)
    if hidden.shape[-1] != linear.weight.shape[1]:
        return None, None
    text = model.config.get_text_config()
    softcap = getattr(text, "final_logit_softcapping", None) or 0.0
    scaling = getattr(text, "logits_scaling", None)
    scale = getattr(text, "logit_scale", None) or (1.0 / scaling if scaling else 1.0)
    for settings in ((1.0, 0.0), (scale, softcap), (scale, 0.0)):
        head = Head(linear.weight, linear.bias, *settings, vocabulary=linear.weight.shape[0])
        if probes.pass_rows("head", head.logits(hidden)):
            return network, head
    return None, None


def _packs(model: Any, network: Any, head: Head, probes: Probes) -> bool:
    """Switch the model to packed attention if it can be, and say whether it was."""
    kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
    if not getattr(model, "_supports_flash_attn", False) or not set(kinds) <= {"full_attention", "sliding_attention"}:
        return False
    packed_attention.register()
    native = model.config._attn_implementation
    model.set_attn_implementation(packed_attention.NAME)
    try:
        if _same("packed", Body(network, "packed", False, probes.said.device), head, probes):
            return True
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        pass  # its attention cannot be told to
    model.set_attn_implementation(native)
    return False
