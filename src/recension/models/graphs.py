"""A plain Llama as OpenVINO graphs: the body, and three ways to ask its head.

The graphs are written straight from the weights. OpenVINO compiles them for the processor at hand, in float32 or bfloat16;
it was the fastest of the runtimes that we measured (docs/scoring.md), needs no torch, and starts within a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recension.models.llama import Floats, LlamaShape, layer_name

Ints = NDArray[np.int32]
_HINTS = {"float32": "f32", "bfloat16": "bf16"}


@dataclass(frozen=True, slots=True)
class Machine:
    """How graphs are compiled."""

    dtype: str = "float32"
    threads: int = 1

    def compile(self, results: list[Any], inputs: list[Any]) -> Call:
        import openvino

        settings = {
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": _HINTS[self.dtype],
            "ENABLE_CPU_PINNING": False,  # the engine pins its processes
        }
        model = openvino.Model([openvino.opset13.result(r) for r in results], inputs)
        return Call(openvino.Core().compile_model(model, "CPU", settings).create_infer_request())

    @property
    def exact_head(self) -> Machine:
        return Machine("float32", self.threads)


class Call:
    """A compiled graph. What a call returns is its own memory: it is valid until the next call."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._count = len(request.results)

    def __call__(self, *inputs: NDArray[Any]) -> list[NDArray[Any]]:
        self._request.infer(list(inputs), share_inputs=True, share_outputs=True)
        return [self._request.get_output_tensor(i).data for i in range(self._count)]


def body(shape: LlamaShape, weights: dict[str, Floats], machine: Machine) -> Callable[[Ints], Floats]:
    """(rows, length) ids to (rows, length, hidden). A row may be padded behind its end: nothing looks ahead."""
    op = _operations()
    ids, mask = op.parameter([-1, -1], np.int32), op.parameter([1, 1, -1, -1], np.float32)
    places = _places(shape, ids)
    x = op.gather(op.constant(weights["model.embed_tokens.weight"]), ids, op.constant(np.int32(0)))
    for layer in range(shape.layers):

        def linear(rows: Any, part: str, layer: int = layer) -> Any:
            return op.matmul(rows, op.constant(weights[layer_name(layer, part)]), False, True)

        rows = _norm(x, weights[layer_name(layer, "input_layernorm")], shape.epsilon)
        query, key, value = (
            _heads(linear(rows, f"self_attn.{part}_proj"), count, shape.size)
            for part, count in (("q", shape.heads), ("k", shape.kv), ("v", shape.kv))
        )
        query, key = _turned(query, places, shape.size), _turned(key, places, shape.size)
        seen = _attention(query, _shared(key, shape), _shared(value, shape), mask)
        flat = np.array([0, 0, shape.heads * shape.size], dtype=np.int64)
        seen = op.reshape(op.transpose(seen, np.array([0, 2, 1, 3])), flat, True)
        x = op.add(x, linear(seen, "self_attn.o_proj"))
        rows = _norm(x, weights[layer_name(layer, "post_attention_layernorm")], shape.epsilon)
        gated = op.multiply(op.swish(linear(rows, "mlp.gate_proj")), linear(rows, "mlp.up_proj"))
        x = op.add(x, linear(gated, "mlp.down_proj"))
    call = machine.compile([_norm(x, weights["model.norm.weight"], shape.epsilon)], [ids, mask])
    return lambda chosen: call(chosen, _mask(chosen.shape[1]))[0]


def likelihood(head: Floats, machine: Machine) -> Call:
    """(rows, hidden) and (rows, 1) targets to (rows, 1) log-probabilities, over the whole vocabulary."""
    op = _operations()
    rows, targets = op.parameter([-1, head.shape[1]], np.float32), op.parameter([-1, 1], np.int32)
    logits = op.matmul(rows, op.constant(head), False, True)
    most, total = _log_sum(logits)
    own = op.subtract(
        op.gather_elements(logits, targets, 1), most
    )  # small numbers, so that bfloat16 keeps their digits
    return machine.compile([op.subtract(own, total)], [rows, targets])


def odds(head: Floats, few: Ints, machine: Machine) -> Call:
    """(rows, hidden) and (rows, 1) targets to (rows, 1): the sum of exp(l_j - l_target) over the ids in `few`.

    The target itself does not count. The sum over the whole vocabulary, of which this is a part, is 1 / p - 1.
    """
    op = _operations()
    rows, targets = op.parameter([-1, head.shape[1]], np.float32), op.parameter([-1, 1], np.int32)
    inside = np.zeros((len(head), 1), dtype=np.float32)
    inside[few] = 1.0
    ids = op.squeeze(targets, np.array([1]))
    first = op.constant(np.int32(0))
    own = op.reduce_sum(op.multiply(rows, op.gather(op.constant(head), ids, first)), np.array([1]), keep_dims=True)
    others = op.exp(op.subtract(op.matmul(rows, op.constant(head[few]), False, True), own))
    total = op.reduce_sum(others, np.array([1]), keep_dims=True)
    return machine.compile([op.subtract(total, op.gather(op.constant(inside), ids, first))], [rows, targets])


def rivals(head: Floats, banned: Ints, k: int, machine: Machine) -> Call:
    """(rows, hidden) and (rows, 1) targets to their log-probabilities and the k best others, best first.

    Banned ids are never among the best; they keep their share of the probability.
    """
    op = _operations()
    rows, targets = op.parameter([-1, head.shape[1]], np.float32), op.parameter([-1, 1], np.int32)
    logits = op.matmul(rows, op.constant(head), False, True)
    most, total = _log_sum(logits)
    total = op.add(most, total)
    shut = np.zeros((1, len(head)), dtype=np.float32)
    shut[0, banned] = -np.inf
    best = op.topk(op.add(logits, op.constant(shut)), op.constant(np.int32(k)), 1, "max", "value", "i32")
    own = op.subtract(op.gather_elements(logits, targets, 1), total)
    return machine.compile([own, op.subtract(best.output(0), total), best.output(1)], [rows, targets])


def _operations() -> Any:
    import openvino

    return openvino.opset13


def _log_sum(logits: Any) -> tuple[Any, Any]:
    """The largest logit of each row, and the logarithm of the sum of all exponentials beside it."""
    op = _operations()
    last = np.array([1])
    most = op.reduce_max(logits, last, keep_dims=True)
    return most, op.log(op.reduce_sum(op.exp(op.subtract(logits, most)), last, keep_dims=True))


def _norm(x: Any, weight: Floats, epsilon: float) -> Any:
    op = _operations()
    mean = op.reduce_mean(op.power(x, np.float32(2)), np.array([-1]), keep_dims=True)
    scaled = op.multiply(x, op.divide(np.float32(1), op.sqrt(op.add(mean, np.float32(epsilon)))))
    return op.multiply(scaled, op.constant(weight))


def _heads(rows: Any, count: int, size: int) -> Any:
    op = _operations()
    apart = op.reshape(rows, np.array([0, 0, count, size], dtype=np.int64), True)
    return op.transpose(apart, np.array([0, 2, 1, 3]))


def _places(shape: LlamaShape, ids: Any) -> tuple[Any, Any]:
    """The cosines and sines of the rotary encoding for the length at hand."""
    op = _operations()
    turns = shape.theta ** (-np.arange(0, shape.size, 2, dtype=np.float64) / shape.size)
    angles = np.arange(shape.context)[:, None] * np.concatenate([turns, turns])[None]
    tables = [op.constant(f(angles).astype(np.float32)[None, None]) for f in (np.cos, np.sin)]
    cosines, sines = (_cut(table, 0, _length(ids, 1), 2) for table in tables)
    return cosines, sines


def _turned(heads: Any, places: tuple[Any, Any], size: int) -> Any:
    """Written in the way that OpenVINO knows as a rotary encoding, and does in one step."""
    op = _operations()
    minus = op.constant(np.full((1, 1, 1, 1), -1, dtype=np.float32))
    right = op.multiply(_cut(heads, size // 2, np.iinfo(np.int32).max, 3), minus)
    crossed = op.concat([right, _cut(heads, 0, size // 2, 3)], -1)
    return op.add(op.multiply(heads, places[0]), op.multiply(crossed, places[1]))


def _attention(query: Any, key: Any, value: Any, mask: Any) -> Any:
    """In two halves: the first does not look at the second, which saves a quarter of the work."""
    op = _operations()
    length = _length(query, 2)
    middle = op.divide(length, op.constant(np.int64(2)))
    found = []
    for start, stop in ((op.constant(np.array([0])), middle), (middle, length)):
        part = [_cut(query, start, stop, 2), _cut(key, 0, stop, 2), _cut(value, 0, stop, 2)]
        seen = _cut(_cut(mask, start, stop, 2), 0, stop, 3)
        found.append(op.scaled_dot_product_attention(*part, seen))
    return op.concat(found, 2)


def _shared(heads: Any, shape: LlamaShape) -> Any:
    """Key-value heads repeated for the query heads that share them."""
    groups = shape.heads // shape.kv
    if groups == 1:
        return heads
    op = _operations()
    wide = op.tile(op.unsqueeze(heads, np.array([2])), np.array([1, 1, groups, 1, 1]))
    rest = [op.constant(np.array([shape.heads])), _length(heads, 2), op.constant(np.array([shape.size]))]
    return op.reshape(wide, op.concat([_length(heads, 0), *rest], 0), False)


def _length(rows: Any, axis: int) -> Any:
    op = _operations()
    return op.gather(op.shape_of(rows), np.array([axis]), op.constant(np.int32(0)))


def _cut(rows: Any, start: Any, stop: Any, axis: int) -> Any:
    op = _operations()
    ends = [op.constant(np.array([end])) if isinstance(end, int) else end for end in (start, stop)]
    return op.slice(rows, *ends, np.array([1]), np.array([axis]))


@lru_cache(maxsize=8)
def _mask(length: int) -> Floats:
    """What is added to the attention of a token to others: nothing to those before it, and -inf to those behind."""
    return np.where(np.tri(length, dtype=bool), 0, -np.inf).astype(np.float32)[None, None]
