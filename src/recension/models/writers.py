"""From the one string that names a writer to the writer."""

from __future__ import annotations

from dataclasses import dataclass, field

from recension.errors import ModelError
from recension.models.openai_writer import OpenAIWriter, Traffic, Watch
from recension.ports import Writer

KINDS = "openai:MODEL@URL, vllm:NAME_OR_PATH or hf:NAME_OR_PATH"

_OWN: dict[str, Writer] = {}


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """How a writer is run: `traffic` and the key for servers, the others for models in this process."""

    traffic: Traffic = field(default_factory=Traffic)
    api_key_variable: str = "OPENAI_API_KEY"
    device: str = "auto"
    dtype: str = "auto"


def lend_writer(name: str, writer: Writer) -> str:
    """Let `own:NAME` stand for a writer of the caller's in this process; returns that name."""
    _OWN[name] = writer
    return f"own:{name}"


def load_writer(name: str, options: WriterOptions, watch: Watch) -> Writer:
    """Load `openai:MODEL@URL`, `vllm:NAME_OR_PATH`, `hf:NAME_OR_PATH[@REVISION]` or `own:NAME`."""
    scheme, _, rest = name.partition(":")
    if not rest:
        raise ModelError(f"writer '{name}' names no model; write {KINDS}")
    if scheme == "openai":
        from recension.models.openai_prior import key_of, split_served

        model, url = split_served(rest)
        return OpenAIWriter(model, url, key_of(f"openai:{model}", options.api_key_variable), options.traffic, watch)
    if scheme == "own":
        if rest not in _OWN:
            raise ModelError(f"writer '{name}': no writer was lent under this name in this process (lend_writer)")
        return _OWN[rest]
    if scheme == "hf":
        from recension.models.hf_writer import load_hf_writer

        return load_hf_writer(rest, options.device, options.dtype)
    if scheme == "vllm":
        from recension.models.vllm_writer import load_vllm_writer

        return load_vllm_writer(rest, options.dtype)
    raise ModelError(f"writer '{name}': unknown kind '{scheme}'; write {KINDS}")
