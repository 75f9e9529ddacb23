"""Load a transformers checkpoint, take it apart, and prove by a probe that the parts do what the whole does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recension.document import JSON
from recension.errors import MissingExtraError, ModelError
from recension.models import onednn, packed_attention
from recension.models.bodies import Body, Layout
from recension.models.heads import Head, Scorer
from recension.models.options import PriorOptions
from recension.models.surfaces import Surfaces, surfaces_of

if TYPE_CHECKING:
    import torch

LONGEST_CONTEXT = 4096
CPU_BATCH = 2048
CUDA_BATCH = 16384
Matmul = Literal["onednn", "native"]
_WEIGHTS = (".safetensors", ".bin", ".json", ".model")


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A loaded model, taken apart. `bos` begins every window; `context` and `batch_tokens` count it."""

    tokenizer: Any
    surfaces: Surfaces
    body: Body
    scorer: Scorer
    bos: int | None
    context: int
    batch_tokens: int
    spec: dict[str, JSON]


def load_checkpoint(name: str, options: PriorOptions) -> Checkpoint:
    """Everything that a prior needs of the model `NAME_OR_PATH[@REVISION]`."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtraError("hf", f"prior hf:{name}") from error
    if options.threads < 1:
        raise ModelError(f"a prior runs on at least one thread, not {options.threads}")
    torch.set_num_threads(options.threads)
    place, revision = _split_name(name)
    device, dtype = _device(options.device), _dtype(options.dtype, options.device)
    with _quiet():
        _check_there(place, revision)
        tokenizer, surfaces, begins = _load_tokenizer(place, revision)
        bos = begins if options.bos else None
        model = _load_model(place, revision, dtype).to(device).eval()
        context = _context(model.config, options.context)
        matmul: Matmul = "onednn" if onednn.usable(device, dtype) else "native"
        taken = _take_apart(model, device, f"hf:{name}", matmul)
        if taken is None:
            matmul = "native"
            taken = _take_apart(_load_model(place, revision, dtype).eval(), device, f"hf:{name}", matmul)
    if taken is None:
        raise ModelError(f"hf:{name}: its parts do not give what the whole model gives")
    body, head = taken
    known = len(surfaces.characters)
    banned = sorted({i for i in surfaces.special if i < head.vocabulary} | set(range(known, head.vocabulary)))
    budget = options.batch_tokens or (CUDA_BATCH if device.type == "cuda" else CPU_BATCH)
    local = Path(place).is_dir()
    spec: dict[str, JSON] = {
        "kind": "hf",
        "name": "local files" if local else place,
        "revision": None if local else getattr(model.config, "_commit_hash", None) or revision,
        "files": _fingerprints(Path(place)) if local else None,
        "architecture": type(model).__name__,
        "device": device.type,
        "accelerator": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "dtype": str(dtype).removeprefix("torch."),
        "layout": body.layout,
        "matmul": matmul,
        "bos": bos,
        "context": context,
        "batch_tokens": budget,
        "threads": options.threads,
        "torch": str(torch.__version__),
        "transformers": str(transformers.__version__),
    }
    scorer = Scorer(head, torch.tensor(banned, dtype=torch.int64, device=device))
    return Checkpoint(tokenizer, surfaces, body, scorer, bos, context, budget, spec)


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers tells of its loading on the terminal, where our own progress stands."""
    from huggingface_hub.utils import logging as hub_notices
    from transformers.utils import logging as notices

    logging: Any = notices
    hub: Any = hub_notices
    verbosity, bars, hub_verbosity = logging.get_verbosity(), logging.is_progress_bar_enabled(), hub.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub.set_verbosity_error()  # it tells of every retry; our one line comes after them
    try:
        yield
    finally:
        hub.set_verbosity(hub_verbosity)
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _split_name(name: str) -> tuple[str, str | None]:
    if Path(name).expanduser().is_dir():
        return str(Path(name).expanduser()), None
    place, _, revision = name.rpartition("@")
    return (place, revision) if place else (name, None)


def _device(name: str) -> torch.device:
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


def _dtype(name: str, device: str) -> torch.dtype:
    import torch

    if name == "auto":
        return torch.bfloat16 if _device(device).type == "cuda" else torch.float32
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in known:
        raise ModelError(f"dtype '{name}' is unknown; use auto, {', '.join(known)}")
    return known[name]


def _check_there(place: str, revision: str | None) -> None:
    """Ask for the smallest file first: without a network every file costs half a minute of attempts."""
    from transformers import AutoConfig

    try:
        AutoConfig.from_pretrained(place, revision=revision, trust_remote_code=False)
    except OSError as error:
        raise ModelError(f"hf:{place}: not found ({_brief(error)}); {_advice(place)}") from error
    except (ValueError, KeyError) as error:
        raise ModelError(f"hf:{place}: no model that transformers knows ({_brief(error)})") from error


def _load_tokenizer(place: str, revision: str | None) -> tuple[Any, Surfaces, int | None]:
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"hf:{place}: no tokenizer can be loaded ({_brief(error)}); {_advice(place)}") from error
    if not getattr(loaded, "is_fast", False):
        raise ModelError(f"hf:{place}: the model has no fast tokenizer (tokenizer.json), which exact spans need")
    # A copy, so that nothing set here is seen by others who use the same tokenizer.
    tokenizer = Tokenizer.from_str(loaded.backend_tokenizer.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # "</s>" in a document is four characters, not the end of it.
    tokenizer.encode_special_tokens = True
    return tokenizer, surfaces_of(tokenizer, loaded.all_special_ids), loaded.bos_token_id


def _load_model(place: str, revision: str | None, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM

    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            place, revision=revision, dtype=dtype, trust_remote_code=False, output_loading_info=True
        )
    except OSError as error:
        raise ModelError(f"hf:{place}: not found ({_brief(error)}); {_advice(place)}") from error
    except (ValueError, KeyError) as error:
        raise ModelError(f"hf:{place}: no causal language model that transformers knows ({_brief(error)})") from error
    except ImportError as error:
        raise ModelError(f"hf:{place}: the model needs a package that is not installed ({_brief(error)})") from error
    model, notes = loaded
    if missing := sorted(notes.get("missing_keys") or ()):
        raise ModelError(
            f"hf:{place}: the checkpoint lacks weights of {type(model).__name__} ({missing[0]}"
            f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}); it was made for something else"
        )
    return model


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:160].rstrip(". ")


def _advice(place: str) -> str:
    if place.startswith((".", "/", "~")) or place.count("/") > 1:
        return "check that the folder exists and holds config.json, tokenizer.json and weights"
    return "check the name and the network, or give the path of a local folder"


def _context(config: Any, wanted: int | None) -> int:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    limits = [getattr(text, key, None) for key in ("max_position_embeddings", "n_positions", "max_seq_len")]
    longest = next((int(limit) for limit in limits if limit), LONGEST_CONTEXT)
    if wanted is not None and wanted > longest:
        raise ModelError(f"a context of {wanted} tokens was asked for, but the model reads at most {longest}")
    return wanted or min(longest, LONGEST_CONTEXT)


def _fingerprints(folder: Path) -> dict[str, JSON]:
    found: dict[str, JSON] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in _WEIGHTS and path.is_file():
            with path.open("rb") as handle:
                found[path.name] = hashlib.file_digest(handle, "sha256").hexdigest()
    return found


# --- taking a model apart -------------------------------------------------------------------------------------------


def _take_apart(model: Any, device: torch.device, name: str, matmul: Matmul) -> tuple[Body, Head] | None:
    """The fastest layout and the plainest head that give what the whole model gives; None if oneDNN's do not."""
    import torch

    probes = _probes(int(model.config.get_text_config().vocab_size))
    with torch.inference_mode():
        whole = Body(model, "equal-lengths", True, device)
        truth = torch.log_softmax(whole.rows(probes).float(), dim=-1)
        if not bool(torch.isfinite(truth).all()):
            raise ModelError(f"{name}: the model gives probabilities that are no numbers; are its weights intact?")
        _check_causal(whole, probes, truth, name)
        tolerance = 2e-3 if next(model.parameters()).dtype == torch.float32 else 0.1
        network, head = _plain_head(model, whole, probes, truth, tolerance)
        if head is None:
            return whole, Head(None, None, 1.0, 0.0, truth.shape[1])
        layout: Layout = "packed" if _packs(model, network, head, probes, truth, tolerance) else "equal-lengths"
        body = Body(network, layout, False, device)
        if matmul == "native":
            return body, head
        head = head.through_onednn()
        try:
            if onednn.replace_linears(network) and not _differs(body, head, probes, truth, tolerance):
                return body, head
        except (AttributeError, RuntimeError, TypeError):
            pass  # a layer whose weight is used without the layer
    return None


def _differs(body: Body, head: Head, probes: list[Any], truth: torch.Tensor, tolerance: float) -> bool:
    import torch

    return _far(torch.log_softmax(head.logits(body.rows(probes)).float(), dim=-1), truth, tolerance)


def _probes(vocabulary: int) -> list[np.ndarray[Any, np.dtype[np.int32]]]:
    """A few sequences of different lengths whose tokens are spread over the vocabulary."""
    spread = (np.arange(1, 64, dtype=np.int64) * 7919) % vocabulary
    return [spread[a:b].astype(np.int32) for a, b in ((0, 17), (17, 22), (22, 45), (45, 57))]


def _far(left: torch.Tensor, right: torch.Tensor, tolerance: float) -> bool:
    difference = (left - right).abs()
    return not bool(difference.mean() <= tolerance / 4) or not bool(difference.max() <= tolerance * 4)


def _check_causal(whole: Body, probes: list[Any], truth: torch.Tensor, name: str) -> None:
    import torch

    changed = [probe.copy() for probe in probes]
    changed[0][-1] = changed[0][0]
    again = torch.log_softmax(whole.rows(changed).float(), dim=-1)
    last = len(probes[0]) - 1
    moved = (again[: last + 1] - truth[: last + 1]).abs().amax(dim=1)
    if bool(moved[:last].max() > 1e-3 * moved[last]):
        raise ModelError(f"{name}: the model looks ahead (not a causal language model), so it cannot score a text")


def _plain_head(
    model: Any, whole: Body, probes: list[Any], truth: torch.Tensor, tolerance: float
) -> tuple[Any, Head | None]:
    import torch

    linear = model.get_output_embeddings()
    network = model.get_decoder() if hasattr(model, "get_decoder") else model.base_model
    if linear is None or network is None or network is model or not isinstance(linear, torch.nn.Linear):
        return None, None
    hidden = Body(network, "equal-lengths", False, whole.device).rows(probes)
    if hidden.shape[-1] != linear.weight.shape[1]:
        return None, None
    text = model.config.get_text_config()
    softcap = getattr(text, "final_logit_softcapping", None) or 0.0
    scaling = getattr(text, "logits_scaling", None)
    scale = getattr(text, "logit_scale", None) or (1.0 / scaling if scaling else 1.0)
    for settings in ((1.0, 0.0), (scale, softcap), (scale, 0.0)):
        head = Head(linear.weight, linear.bias, *settings, vocabulary=linear.weight.shape[0])
        if not _far(torch.log_softmax(head.logits(hidden).float(), dim=-1), truth, tolerance):
            return network, head
    return None, None


def _packs(model: Any, network: Any, head: Head, probes: list[Any], truth: torch.Tensor, tolerance: float) -> bool:
    """Switch the model to packed attention if it can be, and say whether it was."""
    kinds = getattr(model.config.get_text_config(), "layer_types", None) or ()
    if not getattr(model, "_supports_flash_attn", False) or not set(kinds) <= {"full_attention", "sliding_attention"}:
        return False
    packed_attention.register()
    native = model.config._attn_implementation
    model.set_attn_implementation(packed_attention.NAME)
    try:
        if not _differs(Body(network, "packed", False, truth.device), head, probes, truth, tolerance):
            return True
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        pass  # its attention cannot be told to
    model.set_attn_implementation(native)
    return False
