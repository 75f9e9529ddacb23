"""vLLM in this process, as a writer: `vllm:NAME_OR_PATH[@REVISION]`. It makes its own batches, and can be held to a schema."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recension.document import JSON
from recension.errors import MissingExtraError, ModelError
from recension.models import hub
from recension.models.answering import most_of, now, number_of, rejected, seed_of, stops_of, too_long
from recension.models.checkpoint import context_of
from recension.models.templates import Chat, Refusal, chat_of
from recension.models.vllm_prior import dtype_name, unheard
from recension.ports import Completion, Request

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM


class VllmWriter:
    """Requests go to vLLM's engine as they come. Build one with `load_vllm_writer`.

    The engine belongs to the event loop of the first request. Its draws follow the seed of a request; that an answer does not
    depend on the others of its batch holds as far as the arithmetic of vLLM allows.
    """

    def __init__(self, name: str, arguments: Any, chat: Chat, spec: dict[str, JSON]) -> None:
        self.name = name
        self._arguments = arguments
        self._chat = chat
        self._spec = spec
        self._engine: AsyncLLM | None = None
        self._asked = 0

    @property
    def spec(self) -> Mapping[str, JSON]:
        return self._spec

    async def write(self, request: Request) -> Completion:
        ids = self._chat.ids(request.messages)
        if isinstance(ids, Refusal):
            return rejected(request, ids.why, "template")
        context = int(str(self._spec["context"]))
        if len(ids) >= context:
            return too_long(request, len(ids), context)
        engine = self._engine or self._start()
        began = time.monotonic()
        self._asked += 1
        final = None
        async for output in engine.generate(
            {"prompt_token_ids": ids}, self._sampling(request, context - len(ids), ids), str(self._asked)
        ):
            final = output
        if final is None or not final.finished:
            raise ModelError(f"{self.name}: vLLM broke off an answer; is the machine short of memory?")
        [written] = final.outputs
        finish = "length" if written.finish_reason == "length" else "stop"
        usage = {"prompt_tokens": len(ids), "completion_tokens": len(written.token_ids)}
        raw: dict[str, JSON] = {
            "model": self.name,
            "choices": [
                {
                    "message": {"role": "assistant", "content": written.text},
                    "finish_reason": written.finish_reason,
                    "stop_reason": written.stop_reason,
                }
            ],
            "usage": dict(usage),
        }
        took = round(time.monotonic() - began, 4)
        return Completion(request.key, written.text, finish, raw, usage, self.name, took, now())

    async def close(self) -> None:
        if self._engine is not None:
            self._engine.shutdown()
            self._engine = None

    def _start(self) -> AsyncLLM:
        """Within the loop that the engine is to live in."""
        from vllm.v1.engine.async_llm import AsyncLLM

        with unheard():
            try:
                self._engine = AsyncLLM.from_engine_args(self._arguments)
            except (OSError, RuntimeError, ValueError, NotImplementedError) as error:
                raise ModelError(f"{self.name}: vLLM cannot start with it ({hub.brief(error)})") from error
        return self._engine

    def _sampling(self, request: Request, room: int, ids: list[int]) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        structured = None
        if request.schema is not None:  # small models like to go on with white space for ever
            structured = StructuredOutputsParams(json=dict(request.schema), disable_any_whitespace=True)
        return SamplingParams(
            temperature=number_of(request, "temperature"),
            top_p=number_of(request, "top_p"),
            max_tokens=most_of(request, room),
            seed=seed_of(request, ids) >> 1,  # it takes 63 bits
            stop=stops_of(request),
            structured_outputs=structured,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )


def load_vllm_writer(rest: str, dtype: str = "auto") -> VllmWriter:
    """Look at a model and prepare vLLM for it; it starts with the first request."""
    name = f"vllm:{rest}"
    with unheard():
        try:
            import vllm
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.platforms import current_platform
        except ImportError as error:
            raise MissingExtraError("vllm", f"writer {name}") from error
        place, revision = hub.split_name(rest)
        with hub.quiet():
            config = hub.check_there(place, revision)
            hub.check_causal(place, config)
            chat = chat_of(hub.load_fast(place, revision))
    device = str(current_platform.device_type)
    context = context_of(config, None)
    arguments = AsyncEngineArgs(
        model=place,
        revision=revision,
        trust_remote_code=False,
        dtype=dtype_name(dtype, device),
        seed=0,
        max_model_len=context,
        generation_config="vllm",  # not what the checkpoint prefers: it would change answers behind the request's back
        disable_log_stats=True,
    )
    spec: dict[str, JSON] = {
        "kind": "vllm",
        **hub.identity(place, revision, config),
        "device": device,
        "accelerator": str(current_platform.get_device_name()) if device == "cuda" else None,
        "dtype": dtype_name(dtype, device),
        "context": context,
        "vllm": str(vllm.__version__),
    }
    return VllmWriter(f"vllm:{Path(place).name if Path(place).is_dir() else rest}", arguments, chat, spec)
