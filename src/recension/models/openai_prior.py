"""Models behind servers with OpenAI's completions API, as priors: `openai:MODEL@URL`."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from recension.document import JSON
from recension.errors import MissingExtraError, ModelError
from recension.models import hub
from recension.models.completions import WAYS, CompletionServer
from recension.models.endpoint import Endpoint, Patience
from recension.models.options import PriorOptions
from recension.models.served import LONGEST_CONTEXT, MOST_CANDIDATES, Served, ServedPrior
from recension.models.served_probe import check_agreement, check_words, probe_of
from recension.models.surfaces import Surfaces

BATCH_TOKENS = 8192
FEW = 5  # candidates that every server of this kind gives
_NAME = re.compile(r"(?P<model>.+?)@(?P<url>https?://\S+)", re.IGNORECASE)
_WRITTEN = "write openai:MODEL@URL, as in openai:Qwen/Qwen3-0.6B@http://localhost:8000/v1"


def load_openai(rest: str, options: PriorOptions, patience: Patience | None = None) -> ServedPrior:
    """`MODEL@URL`: find the tokenizer, and prove on a short text that the server's scores can be used."""
    model, url = split_served(rest)
    name = f"openai:{model}"
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("openai", f"prior {name}") from error
    if options.requests < 1:
        raise ModelError(f"{name}: at least one request is needed at a time, not {options.requests}")
    endpoint = Endpoint(name, url, key_of(name, options.api_key_variable), patience)
    listed = _listed(endpoint, model)
    context = _context(name, listed.max_model_len, options.context)
    tokenizer, surfaces, begins = _tokenizer(name, model, options.prior_tokenizer)
    bos = begins if options.bos else None
    budget = options.batch_tokens or BATCH_TOKENS
    server = _server(endpoint, model, surfaces, probe_of(tokenizer, bos, context), options.requests)
    spec: dict[str, JSON] = {
        "kind": "openai",
        "model": model,
        "url": url,
        "served": None
        if Path(listed.root or "").is_absolute()
        else listed.root,  # a place on somebody's disk says nothing
        "server": server.fingerprint or _version(endpoint),
        "way": server.way,
        "candidates": server.most,
        "device": "server",
        "tokenizer": hashlib.sha256(tokenizer.to_str().encode("utf-8", "surrogatepass")).hexdigest(),
        "bos": bos,
        "context": context,
        "batch_tokens": budget,
    }
    served = Served(server, tokenizer, surfaces, bos, context, budget, spec)
    check_words(served, exact=server.way == "echo")
    check_agreement(served)
    return ServedPrior(served)


def split_served(rest: str) -> tuple[str, str]:
    """`MODEL@URL` taken apart, or MODEL at OPENAI_BASE_URL. A URL with a secret is refused: it is written into files."""
    usual = os.environ.get("OPENAI_BASE_URL", "")
    match = _NAME.fullmatch(rest if "@http" in rest.lower() or not usual else f"{rest}@{usual}")
    if match is None:
        raise ModelError(f"openai:{rest}: {_WRITTEN} (or set OPENAI_BASE_URL)")
    model, parts = match["model"], urlsplit(match["url"])
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ModelError(
            f"openai:{model}: a URL goes into the files of a run, so it must hold no name, password or query; "
            "put the key into the variable OPENAI_API_KEY"
        )
    try:
        known = parts.hostname is not None and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known:
        raise ModelError(f"openai:{model}: the URL names no server; {_WRITTEN}")
    path = parts.path.rstrip("/").removesuffix("/completions")
    return model, f"{parts.scheme}://{parts.netloc}{path or '/v1'}"


def key_of(name: str, variable: str) -> str | None:
    """The key in a variable of the environment; never shown."""
    key = os.environ.get(variable, "").strip()
    if any(not 32 < ord(c) < 127 for c in key):
        raise ModelError(f"{name}: the variable {variable} holds no key: there are spaces or odd characters in it")
    return key or None


class _Listed(NamedTuple):
    """What a server says of a model it has."""

    root: str | None = None
    max_model_len: int | None = None


def _listed(endpoint: Endpoint, model: str) -> _Listed:
    reply = endpoint.get("/models")
    try:
        entries: Any = msgspec.json.decode(reply.body)["data"] if reply.ok else []
        known = {entry["id"]: entry for entry in entries}
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        known = {}
    if model in known:
        root, longest = known[model].get("root"), known[model].get("max_model_len")
        return _Listed(root if isinstance(root, str) else None, longest if isinstance(longest, int) else None)
    if known:
        raise ModelError(f"{endpoint.name}: the server has no such model; it has {', '.join(sorted(known))[:200]}")
    return _Listed()


def _context(name: str, longest: int | None, wanted: int | None) -> int:
    """One token less than the server takes: it will write one."""
    if longest is None and wanted is None:
        raise ModelError(f"{name}: the server does not say how many tokens it reads at once: give --context")
    if longest is not None and wanted is not None and wanted > longest - 1:
        raise ModelError(
            f"{name}: a context of {wanted} tokens was asked for, but the server reads at most {longest - 1} "
            "beside the one it writes"
        )
    return wanted or min((longest or LONGEST_CONTEXT) - 1, LONGEST_CONTEXT)


def _tokenizer(name: str, model: str, named: str | None) -> hub.Tokens:
    place, revision = hub.split_name(named or model)
    try:
        with hub.quiet():
            return hub.tokens_of(hub.load_fast(place, revision))
    except ModelError as error:
        raise ModelError(
            f"{name}: edits need the model's tokenizer here ({str(error).removeprefix('hf:')}); name it with "
            "--prior-tokenizer NAME_OR_PATH"
        ) from error


def _version(endpoint: Endpoint) -> str | None:
    """The version of the program that serves, where it tells."""
    root = Endpoint(endpoint.name, endpoint.url.removesuffix("/v1"), None, Patience(attempts=1, timeout=10.0))
    try:
        reply = root.get("/version")
        return str(msgspec.json.decode(reply.body)["version"])[:80] if reply.ok else None
    except (ModelError, msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        return None


def _server(
    endpoint: Endpoint, model: str, surfaces: Surfaces, probe: Sequence[int], parallel: int
) -> CompletionServer:
    """The way in which this server gives log-probabilities, and how many candidates it gives."""
    reasons = []
    for way in WAYS:
        server = CompletionServer(endpoint, model, surfaces, way, parallel, FEW)
        reply = server.ask([probe], FEW)
        if not reply.ok:
            reasons.append(f"{way} is refused, {server.reason(reply)}")
        elif server.ignores(reply):
            reasons.append(f"{way} is ignored")
        else:
            server.read(reply, [probe], FEW)
            server.most = _most(server, probe[:4])
            return server
    raise ModelError(
        f"{endpoint.name}: the server gives no log-probabilities of a prompt of token ids ({'; '.join(reasons)}); vLLM does"
    )


def _most(server: CompletionServer, probe: Sequence[int]) -> int:
    """How many candidates a server gives: tried from above, and what it says itself when it refuses too many."""
    tries = [MOST_CANDIDATES, 512, 256, 128, 64, 32, 20, 10, FEW]
    while tries:
        count = tries.pop(0)
        reply = server.ask([probe], count)
        if reply.ok:
            [answer] = server.read(reply, [probe], count)
            # The token that stands there comes on top of the best ones, where it is none of them.
            rows: list[list[int]] = [row[row >= 0].tolist() for row in answer.rivals[1:]]
            came = [len(row) - (row[-1:] == [token]) for row, token in zip(rows, probe[1:], strict=True)]
            return max(min(count, max(came)), 1)
        if count == MOST_CANDIDATES:
            named = [int(number) for number in re.findall(r"\d+", server.reason(reply)) if 0 < int(number) < count]
            tries[:0] = [max(named)] if named else []
    raise ModelError(f"{server.name}: the server gives fewer than {FEW} candidates, too few to choose from")
