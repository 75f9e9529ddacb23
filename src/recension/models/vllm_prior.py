"""vLLM in this process, as a prior: `vllm:NAME_OR_PATH[@REVISION]`."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from recension.document import JSON
from recension.errors import MissingExtraError, ModelError
from recension.models import hub
from recension.models.checkpoint import context_of
from recension.models.options import PriorOptions
from recension.models.served import MOST_CANDIDATES, Answer, Served, ServedPrior, answer_of, best_of
from recension.models.served_probe import check_agreement

BATCH_TOKENS = 32768
# Logits over the whole vocabulary exist for this many positions at once, and vLLM does not plan for them.
POSITIONS = 2048


class VllmEngine:
    """vLLM's engine, told to score and to write as little as it can."""

    def __init__(self, name: str, engine: Any, most: int) -> None:
        self.name = name
        self.most = most
        self.parallel = 1  # it fills its batches itself
        self._engine = engine
        self._turn = threading.Lock()  # several threads prepare and cut down, one at a time asks

    def answer(self, sequences: Sequence[Sequence[int]], count: int) -> list[Answer]:
        from vllm import SamplingParams

        wanted = SamplingParams(
            max_tokens=1, temperature=0.0, prompt_logprobs=count, detokenize=False, flat_logprobs=True
        )
        prompts = [{"prompt_token_ids": list(ids)} for ids in sequences]
        with self._turn:
            outputs = self._engine.generate(prompts, wanted, use_tqdm=False)
        return [self._read(found.prompt_logprobs, ids, count) for found, ids in zip(outputs, sequences, strict=True)]

    def _read(self, flat: Any, ids: Sequence[int], count: int) -> Answer:
        if flat is None or len(flat.start_indices) != len(ids):
            raise ModelError(f"{self.name}: vLLM gives no log-probability for each of {len(ids)} tokens")
        own, places = [], []
        for token, start, end in zip(ids[1:], flat.start_indices[1:], flat.end_indices[1:], strict=True):
            named, values = flat.token_ids[start:end], flat.logprobs[start:end]
            if token not in named:
                raise ModelError(f"{self.name}: the log-probabilities of vLLM are not those of the tokens given to it")
            own.append(values[named.index(token)])
            places.append(best_of(named, values, count))
        return answer_of(self.name, own, places, [None] * len(ids))


def load_vllm(rest: str, options: PriorOptions) -> ServedPrior:
    """Start vLLM with a model, and prove on a short text that its scores can be used."""
    name = f"vllm:{rest}"
    if options.device not in ("auto", "cpu", "cuda"):
        raise ModelError(f"{name}: vLLM takes the devices it is built for; choose one with CUDA_VISIBLE_DEVICES")
    with unheard():
        try:
            import vllm
            from vllm.platforms import current_platform
        except ImportError as error:
            raise MissingExtraError("vllm", f"prior {name}") from error
        device = str(current_platform.device_type)
        if options.device not in ("auto", device):
            raise ModelError(f"{name}: this vLLM runs on {device}, not on {options.device}")
        place, revision = hub.split_name(rest)
        with hub.quiet():
            config = hub.check_there(place, revision)
            tokenizer, surfaces, begins = hub.tokens_of(hub.load_fast(place, revision))
        context = _context(config, options.context)
        vocabulary = int(config.get_text_config().vocab_size)
        dtype = dtype_name(options.dtype, device)
        try:
            engine = vllm.LLM(
                model=place,
                revision=revision,
                skip_tokenizer_init=True,
                trust_remote_code=False,
                dtype=dtype,
                seed=0,
                max_model_len=context + 1,
                max_logprobs=min(MOST_CANDIDATES, vocabulary),
                max_num_batched_tokens=max(POSITIONS, context + 1),
                enable_prefix_caching=False,
                enforce_eager=True,  # graphs are for writing
                disable_log_stats=True,
            )
        except (OSError, RuntimeError, ValueError, NotImplementedError) as error:
            raise ModelError(f"{name}: vLLM cannot start with it ({hub.brief(error)})") from error
    bos = begins if options.bos else None
    budget = options.batch_tokens or BATCH_TOKENS
    spec: dict[str, JSON] = {
        "kind": "vllm",
        **hub.identity(place, revision, config),
        "device": device,
        "accelerator": str(current_platform.get_device_name()) if device == "cuda" else None,
        "dtype": dtype,
        "bos": bos,
        "context": context,
        "batch_tokens": budget,
        "vllm": str(vllm.__version__),
    }
    server = VllmEngine(name, engine, min(MOST_CANDIDATES, vocabulary))
    served = Served(server, tokenizer, surfaces, bos, context, budget, spec)
    check_agreement(served)
    return ServedPrior(served)


def _context(config: Any, wanted: int | None) -> int:
    """vLLM always writes a token, so it reads one less than the model does."""
    context = context_of(config, wanted)
    try:
        context_of(config, context + 1)
    except ModelError:
        return context - 1
    return context


def dtype_name(wanted: str, device: str) -> str:
    known = ("float32", "bfloat16", "float16")
    if wanted == "auto":
        return "bfloat16" if device == "cuda" else "float32"
    if wanted not in known:
        raise ModelError(f"dtype '{wanted}' is unknown; use auto, {', '.join(known)}")
    return wanted


@contextmanager
def unheard() -> Iterator[None]:
    """vLLM and its processes read this variable when they start, and otherwise write to where our results go."""
    before = os.environ.get("VLLM_LOGGING_LEVEL")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("VLLM_LOGGING_LEVEL", None)
