"""A plain Llama as a prior through compiled graphs: the embedded model, and small local ones. No torch is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recension.document import JSON
from recension.errors import ModelError
from recension.models import graphs, hub
from recension.models.compiled_head import Head, Stretch, rules_out
from recension.models.llama import LARGEST, Floats, LlamaShape, plain_shape, read_tokenizer, read_weights
from recension.models.options import PriorOptions
from recension.models.rows import Rows, joined, split
from recension.models.surfaces import Encoded, Surfaces, as_text, encode, surfaces_of
from recension.models.windows import OVERLAP, Window, windows
from recension.ports import Ask, TokenScores

EMBEDDED = Path(__file__).parent / "embedded"
BATCH = 1024
STEP = 32  # lengths are rounded up to a multiple: a graph is prepared anew for every size it meets


class _Piece(NamedTuple):
    """A window of one text."""

    text: int
    window: Window
    length: int  # of its ids, the BOS included


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What a compiled prior is made of."""

    tokenizer: Any
    surfaces: Surfaces
    body: Callable[[graphs.Ints], Floats]
    head: Head
    bos: int | None
    context: int
    batch_tokens: int
    spec: dict[str, JSON]


class CompiledPrior:
    """Scores texts with compiled graphs. Build one with `load_embedded` or `load_compiled`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @property
    def spec(self) -> Mapping[str, JSON]:
        return self._parts.spec

    @property
    def exact(self) -> bool:
        return False

    @property
    def surfaces(self) -> Sequence[str | None]:
        return self._parts.surfaces.characters

    def score(self, texts: Sequence[str], ask: Ask) -> list[TokenScores]:
        parts = self._parts
        encoded = encode(parts.tokenizer, texts, parts.surfaces)
        bos = int(parts.bos is not None)
        pieces = [
            _Piece(i, window, window.stop - window.start + bos)
            for i, text in enumerate(encoded)
            for window in windows(len(text.ids), parts.context, bool(bos))
        ]
        plan = batches([p.length for p in pieces], parts.batch_tokens)
        order = [i for batch in plan for i in batch]
        counts = [pieces[i].window.stop - pieces[i].window.first for i in order]
        if rules_out(ask) and pieces:
            parts.head.learn(np.concatenate([text.ids for text in encoded]))
        rows = parts.head.score(self._stretches(pieces, plan, encoded, ask.every), sum(counts), ask)
        found: list[list[tuple[Window, Rows]]] = [[] for _ in texts]
        for i, part in sorted(zip(order, split(rows, counts), strict=True), key=lambda pair: pair[0]):
            found[pieces[i].text].append((pieces[i].window, part))
        scores = [joined(text, windowed, parts.surfaces, ask.k) for text, windowed in zip(encoded, found, strict=True)]
        return [_incomplete(s) if rules_out(ask) and i % ask.every else s for i, s in enumerate(scores)]

    def _stretches(
        self, pieces: Sequence[_Piece], plan: Sequence[Sequence[int]], encoded: Sequence[Encoded], every: int
    ) -> Iterator[Stretch]:
        """The hidden rows before the tokens that are scored, one batch after the other."""
        parts = self._parts
        special = list(parts.surfaces.special)
        lead = [] if parts.bos is None else [parts.bos]
        for batch in plan:
            chosen = [pieces[i] for i in batch]
            longest = rounded(max(p.length for p in chosen), parts.context)
            ids = np.zeros((len(chosen), longest), dtype=np.int32)
            for row, piece in zip(ids, chosen, strict=True):
                row[: len(lead)] = lead
                row[len(lead) : piece.length] = encoded[piece.text].ids[piece.window.start : piece.window.stop]
            hidden = parts.body(ids)
            for row, piece, seen in zip(ids, chosen, hidden, strict=True):
                # The row before a token predicts it.
                first = len(lead) + piece.window.first - piece.window.start
                targets = row[first : piece.length]
                allowed = np.isin(targets, special, invert=True)
                yield Stretch(seen[first - 1 : piece.length - 1].copy(), targets, allowed, piece.text % every == 0)


def _incomplete(scores: TokenScores) -> TokenScores:
    """With the log-probabilities of flagged tokens alone: those of some others are known, and would be a biased sample."""
    logprobs = np.full_like(scores.logprobs, np.nan)
    logprobs[scores.flagged] = scores.logprobs[scores.flagged]
    return replace(scores, logprobs=logprobs, complete=False)


def rounded(length: int, context: int) -> int:
    return min(-(-length // STEP) * STEP, max(context, length))


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Windows of about one length together, at most `budget` tokens; how many is a power of two.

    The plan depends on the lengths alone, so the same texts always make the same batches.
    """
    by_size: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        by_size.setdefault(-(-length // STEP) * STEP, []).append(i)
    plan: list[list[int]] = []
    for size, members in sorted(by_size.items(), reverse=True):
        most = 1 << (max(budget // size, 1).bit_length() - 1)
        begin = 0
        while begin < len(members):
            count = min(most, 1 << ((len(members) - begin).bit_length() - 1))
            plan.append(members[begin : begin + count])
            begin += count
    return plan


def load_embedded(options: PriorOptions) -> CompiledPrior:
    """The model in the package."""
    prior = load_compiled(EMBEDDED, options, {"kind": "embedded"})
    if prior is None:
        raise ModelError("the embedded prior is not in this installation: install recension again")
    return prior


def load_local(name: str, options: PriorOptions) -> CompiledPrior | None:
    """A model of a local folder (or of a run of `train`), if it can and should be run here; None: let torch do it.

    With the runtime `openvino` the answer is never None: what cannot be run is refused with the reason.
    """
    given = Path(name).expanduser()
    folder = given / "model" if (given / "model" / "config.json").is_file() else given
    asked = options.runtime == "openvino"
    shape = plain_shape(folder) if folder.is_dir() else None
    if asked:
        if shape is None:
            raise ModelError(f"hf:{name}: --runtime openvino takes a local folder with a plain Llama in safetensors")
    elif (
        shape is None
        or shape.parameters > LARGEST
        or options.dtype in ("float16", "float8")
        or not _on_cpu(options.device)
    ):
        return None
    found = load_compiled(folder, options, {"kind": "hf", "name": "local files", "revision": None})
    if found is None and asked:
        raise ModelError(f"hf:{name}: --runtime openvino takes a byte-level tokenizer.json (GPT-2, Llama 3, Qwen)")
    return found


def _on_cpu(device: str) -> bool:
    """Whether a model is meant for the CPU. torch is asked only where it is there anyway."""
    if device != "auto":
        return device == "cpu"
    if find_spec("torch") is None:
        return True
    import torch

    return not torch.cuda.is_available()


def load_compiled(folder: Path, options: PriorOptions, names: dict[str, JSON]) -> CompiledPrior | None:
    """The model of a folder, if it is of the kind that is run here. `names` goes into its spec."""
    shape = plain_shape(folder)
    read = None if shape is None else read_tokenizer(folder)
    if shape is None or read is None:
        return None
    tokenizer, special, begin = read
    machine = graphs.Machine(number_format(options.dtype), options.threads)
    context = _context(shape, options.context)
    surfaces = surfaces_of(as_text(tokenizer), special)
    weights = read_weights(folder, shape)
    known = len(surfaces.characters)
    banned = sorted({i for i in surfaces.special if i < shape.vocabulary} | set(range(known, shape.vocabulary)))
    if known > shape.vocabulary:
        raise ModelError(f"{folder}: the tokenizer has {known} ids and the model {shape.vocabulary}")
    bos = begin if options.bos else None
    budget = options.batch_tokens or BATCH
    spec: dict[str, JSON] = {
        **names,
        "files": hub.fingerprints(folder),
        "device": "cpu",
        "layout": "padded",
        "runtime": f"openvino {version('openvino')}",
        "dtype": machine.dtype,
        "bos": bos,
        "context": context,
        "overlap": OVERLAP,
        "batch_tokens": budget,
        "threads": options.threads,
    }
    head = Head(weights["lm_head.weight"], np.array(banned, dtype=np.int32), machine)
    body = graphs.body(shape, weights, machine)
    return CompiledPrior(Parts(tokenizer, surfaces, body, head, bos, context, budget, spec))


def number_format(name: str) -> str:
    found = "float32" if name == "auto" else name
    if found not in ("float32", "bfloat16"):
        raise ModelError(f"dtype '{name}' is not one that this runtime has: use float32 or bfloat16")
    return found


def _context(shape: LlamaShape, wanted: int | None) -> int:
    if wanted is not None and wanted > shape.context:
        raise ModelError(f"a context of {wanted} tokens was asked for, but the model reads at most {shape.context}")
    return wanted or min(shape.context, 4096)
