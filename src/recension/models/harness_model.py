"""Models for lm-evaluation-harness: a checkpoint through its own HFLM, everything else through our priors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from recension.document import JSON
from recension.errors import MissingExtraError, ModelError
from recension.models import hub
from recension.models.checkpoint import context_of, device_of, dtype_of
from recension.models.harness_quiet import undisturbed
from recension.models.load import load_prior
from recension.models.options import PriorOptions
from recension.models.prior_lm import prior_lm, split

Bos = Literal["always", "tokenizer", "never"]
SHOWN = 60


@dataclass(frozen=True, slots=True)
class HarnessOptions:
    """How a model is run. `bos`: whether the beginning-of-text token stands before every text of an hf: model."""

    prior: PriorOptions = PriorOptions()
    batch_size: int = 8
    bos: Bos = "always"


class HarnessModel(NamedTuple):
    """What can change an answer, and the model itself once it is asked for."""

    spec: dict[str, JSON]
    load: Callable[[], Any]


def harness_model(name: str, options: HarnessOptions) -> HarnessModel:
    """A model that is not loaded yet: a finished run is read back without it."""
    try:
        import lm_eval  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("eval", "evaluate tasks") from error
    scheme, _, rest = name.partition(":")
    if scheme != "hf":
        prior = load_prior(name, options.prior)
        return HarnessModel(dict(prior.spec), lambda: prior_lm(prior, name))
    if not rest:
        raise ModelError(f"model '{name}' names no model; write hf:NAME_OR_PATH")
    place, revision = hub.split_name(rest)
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtraError("hf", f"model {name}") from error
    device = device_of(options.prior.device)
    with hub.quiet():
        config = hub.check_there(place, revision)
    spec: dict[str, JSON] = {
        "kind": "hf",
        **hub.identity(place, revision, config),
        "device": device.type,
        "accelerator": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "dtype": str(dtype_of(options.prior.dtype, options.prior.device)).removeprefix("torch."),
        "context": options.prior.context,
        "threads": options.prior.threads,
        "batch_size": options.batch_size,
        "bos": options.bos,
        "torch": str(torch.__version__),
        "transformers": str(transformers.__version__),
    }
    return HarnessModel(spec, lambda: _load(place, revision, options))


def _load(place: str, revision: str | None, options: HarnessOptions) -> Any:
    """HFLM around a model that we loaded ourselves, with our checks and without code from its repository."""
    try:
        from lm_eval.models.huggingface import HFLM
    except ImportError as error:
        raise MissingExtraError("eval", f"model hf:{place} in evaluate tasks") from error
    import torch

    torch.set_num_threads(options.prior.threads)
    device = device_of(options.prior.device)
    with undisturbed(0):
        tokenizer = _tokenizer(place, revision, options.bos)
        model = hub.load_model(place, revision, dtype_of(options.prior.dtype, options.prior.device)).to(device).eval()
        inner = HFLM(
            pretrained=model,
            tokenizer=tokenizer,
            backend="causal",
            max_length=context_of(model.config, options.prior.context),
            batch_size=options.batch_size,
            add_bos_token={"always": True, "tokenizer": None, "never": False}[options.bos],
            trust_remote_code=False,
        )
    return _guarded(inner, f"hf:{place}")


def _tokenizer(place: str, revision: str | None, bos: Bos) -> Any:
    from tokenizers.processors import TemplateProcessing

    tokenizer = hub.load_fast(place, revision)
    if tokenizer.bos_token_id is None and tokenizer.eos_token_id is None:
        raise ModelError(f"hf:{place}: the tokenizer names no token that could stand at the beginning of a text")
    # "</s>" in a document is four characters, not the end of it.
    tokenizer.split_special_tokens = True
    if bos == "always":
        # Many tokenizers of base models add nothing by themselves, whatever they are asked.
        first = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token]
        special = [] if tokenizer.bos_token_id is None else [(tokenizer.bos_token, tokenizer.bos_token_id)]
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=[*first, "$A"], special_tokens=special)
    return tokenizer


def _guarded(inner: Any, name: str) -> Any:
    """HFLM without its bars, and with one line where it would fail an assertion or cut a text without a word."""
    from lm_eval.api.model import LM

    class GuardedLM(LM):  # type: ignore[misc, unused-ignore]
        truncated = 0

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            # Of a context that is nothing but white space HFLM would make an empty one, and fail.
            bare = [replace(request, arguments=split(*request.args)) for request in requests]
            long = [self._too_long(*request.args) for request in bare]
            fitting = [request for request, ids in zip(bare, long, strict=True) if ids is None]
            answers = iter(inner.loglikelihood(fitting, disable_tqdm=True) if fitting else [])
            found = [next(answers) if ids is None else _in_pieces(inner, *ids) for ids in long]
            _check_numbers([total for total, _ in found], name)
            return found

        def _too_long(self, before: str, rest: str) -> tuple[list[int], int] | None:
            """The tokens of a continuation that no window holds, and where it begins among them."""
            # As HFLM does it: what the whole has more than the context is the continuation.
            whole = inner.tok_encode(before + rest) if before else [inner.prefix_token_id, *_bare(inner, rest)]
            first = len(inner.tok_encode(before)) if before else 1
            if first >= len(whole):
                raise ModelError(f"{name}: {rest[:SHOWN]!r} has no token of its own after what stands before it")
            self.truncated += len(whole) > inner.max_length + 1
            return (whole, first) if len(whole) - first > inner.max_length else None

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            # The harness puts the token before the text by itself; a second one would be scored as if it were text.
            kept, inner.add_bos_token = inner.add_bos_token, False
            try:
                found = [float(total) for total in inner.loglikelihood_rolling(requests, disable_tqdm=True)]
            finally:
                inner.add_bos_token = kept
            _check_numbers(found, name)
            return found

        def generate_until(self, requests: list[Any]) -> list[str]:
            if inner.tokenizer.eos_token_id is None:
                raise ModelError(f"{name}: the tokenizer names no end-of-text token, so no answer would ever end")
            for request in requests:
                context, settings = request.args
                longest = inner.max_length - int(settings.get("max_gen_toks") or inner.max_gen_toks)
                if longest < 1:
                    raise ModelError(
                        f"{name} reads {inner.max_length} tokens, and an answer may have "
                        f"{settings.get('max_gen_toks')}: set max_tokens lower in --task-config"
                    )
                self.truncated += len(inner.tok_encode(context)) > longest
            return list(inner.generate_until(requests, disable_tqdm=True))

    return GuardedLM()


def _check_numbers(totals: Sequence[float], name: str) -> None:
    if any(math.isnan(total) for total in totals):
        raise ModelError(f"{name}: the model gives probabilities that are no numbers; are its weights intact?")


def _in_pieces(inner: Any, ids: list[int], first: int) -> tuple[float, bool]:
    """A long continuation, half a window at a time, each piece after as much as the model can read before it."""
    step = max(1, inner.max_length // 2)
    pieces = [(None, ids[:start], ids[start : start + step]) for start in range(first, len(ids), step)]
    answers = inner._loglikelihood_tokens(pieces, disable_tqdm=True)
    return float(sum(total for total, _ in answers)), all(greedy for _, greedy in answers)


def _bare(inner: Any, text: str) -> list[int]:
    ids: list[int] = inner.tok_encode(text, add_special_tokens=False)
    return ids
