"""Any causal model of transformers as a writer: `hf:NAME_OR_PATH[@REVISION]`, for small models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from recension.document import JSON
from recension.errors import MissingExtraError, ModelError
from recension.models import hub
from recension.models.answering import before_stop, most_of, now, number_of, rejected, seed_of, stops_of, too_long
from recension.models.checkpoint import context_of, device_of, dtype_of
from recension.models.templates import Chat, Refusal, chat_of
from recension.ports import Completion, Request
from recension.randomness import uniforms

if TYPE_CHECKING:
    import torch

MOST_ROWS = 64
CPU_TOKENS = 16384  # of prompts and answers in one batch
CUDA_TOKENS = 131072
PATIENCE = 0.01  # seconds in which further requests may join a batch


class Asked(NamedTuple):
    """A request as the model gets it."""

    request: Request
    ids: list[int]
    most: int  # tokens of the answer
    answered: asyncio.Future[Completion]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model and what is known of it."""

    name: str
    model: Any
    chat: Chat
    ends: tuple[int, ...]
    context: int
    alike: bool  # only prompts of one length may share a batch
    spec: dict[str, JSON]


class TransformersWriter:
    """Gathers the requests that wait, and writes their answers in batches, in a thread of its own.

    Every token is drawn with numbers that belong to the request (its seed and its words), so the answer does not depend on
    which others share the batch, as far as float arithmetic allows.
    """

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._waiting: list[Asked] = []
        self._work: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "writer")

    @property
    def spec(self) -> Mapping[str, JSON]:
        return self._loaded.spec

    async def write(self, request: Request) -> Completion:
        ids = self._loaded.chat.ids(request.messages)
        if isinstance(ids, Refusal):
            return rejected(request, ids.why, "template")
        room = self._loaded.context - len(ids)
        if room < 1:
            return too_long(request, len(ids), self._loaded.context)
        loop = asyncio.get_running_loop()
        asked = Asked(request, ids, most_of(request, room), loop.create_future())
        self._waiting.append(asked)
        if self._work is None or self._work.done():
            self._work = loop.create_task(self._write_waiting())
        return await asked.answered

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown)

    async def _write_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(PATIENCE)
        while self._waiting:
            batch, self._waiting = self._next()
            writing = loop.run_in_executor(self._thread, write_batch, self._loaded, batch)
            await asyncio.wait([writing])
            error = writing.exception()
            for number, asked in enumerate(batch):
                if asked.answered.done():
                    continue  # whoever asked does not wait any more
                if error is None:
                    asked.answered.set_result(writing.result()[number])
                else:
                    asked.answered.set_exception(error)

    def _next(self) -> tuple[list[Asked], list[Asked]]:
        """The longest prompts that fit into one batch, and the others: like ones together, and the worst case first."""
        waiting = sorted((a for a in self._waiting if not a.answered.done()), key=lambda asked: -len(asked.ids))
        budget = CUDA_TOKENS if self._loaded.spec["device"] == "cuda" else CPU_TOKENS
        taken, most = 0, 0
        for asked in waiting[:MOST_ROWS]:
            most = max(most, asked.most)
            if taken and (taken + 1) * (len(waiting[0].ids) + most) > budget:
                break
            if self._loaded.alike and len(asked.ids) != len(waiting[0].ids):
                break
            taken += 1
        return waiting[:taken], waiting[taken:]


def load_hf_writer(name: str, device: str = "auto", dtype: str = "auto") -> TransformersWriter:
    """Load `NAME_OR_PATH[@REVISION]`."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtraError("hf", f"writer hf:{name}") from error
    place, revision = hub.split_name(name)
    where = device_of(device)
    with hub.quiet():
        config = hub.check_there(place, revision)
        hub.check_causal(place, config)
        tokenizer = hub.load_fast(place, revision)
        model = hub.load_model(place, revision, dtype_of(dtype, device)).to(where).eval()
    spec: dict[str, JSON] = {
        "kind": "hf",
        **hub.identity(place, revision, model.config),
        "architecture": type(model).__name__,
        "device": where.type,
        "accelerator": torch.cuda.get_device_name(where) if where.type == "cuda" else None,
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "context": context_of(model.config, None),
        "torch": str(torch.__version__),
        "transformers": str(transformers.__version__),
    }
    ends = model.generation_config.eos_token_id
    known = [tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])]
    # What a checkpoint prefers (penalties, its own temperature) would change answers behind the request's back.
    model.generation_config = transformers.GenerationConfig()  # type: ignore[no-untyped-call]
    return TransformersWriter(
        Loaded(
            f"hf:{Path(place).name if Path(place).is_dir() else name}",
            model,
            chat_of(tokenizer),
            tuple(sorted({end for end in known if end is not None})),
            context_of(model.config, None),
            bool(getattr(model, "_is_stateful", False)),
            spec,
        )
    )


def write_batch(loaded: Loaded, batch: Sequence[Asked]) -> list[Completion]:
    """Answers to a batch; where it does not fit into memory, to its halves."""
    import torch

    began = time.monotonic()
    try:
        rows = _generate(loaded, batch)
    except torch.OutOfMemoryError as error:
        if len(batch) == 1:
            raise ModelError(
                f"{loaded.name}: no memory for {len(batch[0].ids)} tokens and an answer of {batch[0].most}"
            ) from error
        torch.cuda.empty_cache()
        half = len(batch) // 2
        return [*write_batch(loaded, batch[:half]), *write_batch(loaded, batch[half:])]
    clock = round(time.monotonic() - began, 4), now()
    return [_completion(loaded, asked, ids, clock) for asked, ids in zip(batch, rows, strict=True)]


def _generate(loaded: Loaded, batch: Sequence[Asked]) -> list[list[int]]:
    """The new tokens of every row, as far as it goes."""
    import torch

    device = loaded.model.device
    width = max(len(asked.ids) for asked in batch)
    fill = loaded.ends[0] if loaded.ends else 0
    ids = torch.tensor([[fill] * (width - len(a.ids)) + a.ids for a in batch], device=device)
    mask = torch.tensor([[0] * (width - len(a.ids)) + [1] * len(a.ids) for a in batch], device=device)
    draws = _Draws(batch, width, len(loaded.chat.tokenizer), device)
    ends = _Ends(batch, width, _tail_of(loaded), device)
    with torch.inference_mode():
        written = loaded.model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=max(asked.most for asked in batch),
            do_sample=False,
            eos_token_id=list(loaded.ends) or None,
            pad_token_id=fill,
            logits_processor=[draws],
            stopping_criteria=[ends],
        )
    found = []
    for row, asked in zip(written[:, width:].tolist(), batch, strict=True):
        own = row[: asked.most]
        end = next((i for i, token in enumerate(own) if token in loaded.ends), len(own) - 1)
        found.append(own[: end + 1])
    return found


class _Draws:
    """Chooses the next token of every row; to `generate` it looks as if no other were possible."""

    def __init__(self, batch: Sequence[Asked], width: int, known: int, device: torch.device) -> None:
        import torch

        self._width, self._known = width, known
        heats = [number_of(asked.request, "temperature") for asked in batch]
        self._greedy = torch.tensor([heat <= 0 for heat in heats], device=device)[:, None]
        self._heats = torch.tensor([max(heat, 1e-4) for heat in heats], dtype=torch.float64, device=device)[:, None]
        masses = [number_of(asked.request, "top_p") for asked in batch]
        self._masses = torch.tensor(masses, dtype=torch.float64, device=device)[:, None]
        self._keys = [seed_of(asked.request, asked.ids) for asked in batch]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        step = np.array([input_ids.shape[1] - self._width])
        points = torch.from_numpy(np.stack([uniforms(key, step) for key in self._keys])).to(scores.device)
        logits = scores.double()
        logits[:, self._known :] = -torch.inf  # ids that mean nothing
        chances, places = (logits / self._heats).softmax(-1).sort(dim=-1, descending=True, stable=True)
        below = chances.cumsum(-1)
        chances = chances.masked_fill(below - chances >= self._masses, 0.0)
        below = chances.cumsum(-1)
        rank = torch.searchsorted(below, points * below[:, -1:], right=True).clamp_(max=chances.shape[1] - 1)
        rank = rank.minimum((chances > 0).sum(-1, keepdim=True) - 1).masked_fill(self._greedy, 0)
        return torch.full_like(scores, -torch.inf).scatter_(1, places.gather(1, rank), 0.0)


class _Ends:
    """Which rows are done: by their own length, or by a word that stops them."""

    def __init__(
        self, batch: Sequence[Asked], width: int, tail: Callable[[Any, int], str], device: torch.device
    ) -> None:
        import torch

        self._width, self._tail = width, tail
        self._most = torch.tensor([asked.most for asked in batch], device=device)
        self._stops = [stops_of(asked.request) for asked in batch]
        self._done = torch.zeros(len(batch), dtype=torch.bool, device=device)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        written = input_ids.shape[1] - self._width
        for row, stops in enumerate(self._stops):
            if stops and not self._done[row]:
                last = self._tail(input_ids[row, self._width :], max(map(len, stops)))
                self._done[row] = any(stop in last for stop in stops)
        return self._done | (self._most <= written)


def _tail_of(loaded: Loaded) -> Callable[[Any, int], str]:
    """The end of what is written: as many tokens as a word of that length can have, and some."""
    tokenizer = loaded.chat.tokenizer
    return lambda ids, length: str(tokenizer.decode(ids[-(length * 4 + 8) :], skip_special_tokens=True))


def _completion(loaded: Loaded, asked: Asked, ids: list[int], clock: tuple[float, str]) -> Completion:
    ended = bool(ids) and ids[-1] in loaded.ends
    decode = loaded.chat.tokenizer.decode
    text = str(decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
    before = before_stop(text, asked.request)
    finish = "stop" if ended or before is not None else "length"
    text = text if before is None else before
    usage = {"prompt_tokens": len(asked.ids), "completion_tokens": len(ids)}
    raw: dict[str, JSON] = {
        "model": loaded.name,
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": dict(usage),
    }
    return Completion(asked.request.key, text, finish, raw, usage, loaded.name, *clock)
