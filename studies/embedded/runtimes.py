"""The body of the embedded prior through the runtimes that could run it, on one core: which is fastest, which is exact?

    pip install onnxruntime onnx        # beside the development environment
    python studies/embedded/runtimes.py [--rounds 7]

One thread, one pinned core, tokens for each second of it, the best of rounds that alternate (other work on the machine can only
slow a round down). The result goes to `runtimes.json` beside this script.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from recension.models.compiled import EMBEDDED
from recension.models.graphs import Machine, body
from recension.models.llama import Floats, layer_name, plain_shape, read_weights

SHAPE = plain_shape(EMBEDDED)
assert SHAPE is not None
WEIGHTS = read_weights(EMBEDDED, SHAPE)
LENGTHS = (128, 256, 512, 1024)
Body = Callable[[Any], Floats]


def onnxruntime_body() -> Body:
    """With its fused operators: grouped attention with rotary places, skip norms, gelu as silu."""
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    assert SHAPE is not None
    nodes, tensors = [], []
    custom: dict[str, Any] = {"domain": "com.microsoft"}
    norm: dict[str, Any] = {**custom, "epsilon": SHAPE.epsilon}

    def normed(left: str, right: str, gain: str, out: list[str]) -> None:
        nodes.append(helper.make_node("SkipSimplifiedLayerNormalization", [left, right, gain], out, **norm))

    def product(rows: str, name: str, value: Any, out: str) -> None:
        nodes.append(helper.make_node("MatMul", [rows, held(name, value)], [out]))

    def held(name: str, value: Any) -> str:
        tensors.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(layer: int, part: str) -> Floats:
        return WEIGHTS[layer_name(layer, part)]

    turns = SHAPE.theta ** (-np.arange(0, SHAPE.size, 2) / SHAPE.size)
    angles = np.arange(SHAPE.context)[:, None] * turns[None]
    tables = [held("cos", np.cos(angles).astype(np.float32)), held("sin", np.sin(angles).astype(np.float32))]
    table = held("table", WEIGHTS["model.embed_tokens.weight"])
    nodes.append(helper.make_node("Gather", [table, "ids"], ["x"]))
    nodes.append(helper.make_node("Sub", ["x", "x"], ["none"]))
    left, right = "x", "none"
    for i in range(SHAPE.layers):
        gain = held(f"n{i}", weight(i, "input_layernorm"))
        nodes.append(
            helper.make_node(
                "SkipSimplifiedLayerNormalization", [left, right, gain], [f"a{i}", "", "", f"r{i}"], **norm
            )
        )
        wide = np.concatenate([weight(i, f"self_attn.{p}_proj") for p in "qkv"]).T
        product(f"a{i}", f"qkv{i}", wide, f"h{i}")
        nodes.append(
            helper.make_node(
                "GroupQueryAttention", [f"h{i}", "", "", "", "", "ends", "total", *tables], [f"s{i}", f"pk{i}", f"pv{i}"],
                num_heads=SHAPE.heads, kv_num_heads=SHAPE.kv, do_rotary=1, **custom,
            )
        )  # fmt: skip
        product(f"s{i}", f"o{i}", weight(i, "self_attn.o_proj").T, f"t{i}")
        gain = held(f"m{i}", weight(i, "post_attention_layernorm"))
        nodes.append(
            helper.make_node(
                "SkipSimplifiedLayerNormalization", [f"t{i}", f"r{i}", gain], [f"b{i}", "", "", f"q{i}"], **norm
            )
        )
        for part in ("gate", "up"):
            nodes.append(
                helper.make_node(
                    "MatMul", [f"b{i}", held(f"{part}{i}", weight(i, f"mlp.{part}_proj").T)], [f"{part}o{i}"]
                )
            )
        nodes.append(helper.make_node("QuickGelu", [f"gateo{i}"], [f"g{i}"], alpha=1.0, **custom))
        nodes.append(helper.make_node("Mul", [f"g{i}", f"upo{i}"], [f"u{i}"]))
        product(f"u{i}", f"d{i}", weight(i, "mlp.down_proj").T, f"e{i}")
        left, right = f"e{i}", f"q{i}"
    last = held("last", WEIGHTS["model.norm.weight"])
    nodes.append(helper.make_node("SkipSimplifiedLayerNormalization", [left, right, last], ["hidden"], **norm))
    inputs = [
        helper.make_tensor_value_info(n, t, s)
        for n, t, s in (
            ("ids", TensorProto.INT64, ["B", "S"]),
            ("ends", TensorProto.INT32, ["B"]),
            ("total", TensorProto.INT32, [1]),
        )
    ]
    out = [helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["B", "S", SHAPE.hidden])]
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(helper.make_graph(nodes, "body", inputs, out, tensors), opset_imports=sets, ir_version=9)
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])

    def run(ids: Any) -> Floats:
        count, length = ids.shape
        ends, total = np.full(count, length - 1, dtype=np.int32), np.array([length], dtype=np.int32)
        found: Floats = session.run(None, {"ids": ids.astype(np.int64), "ends": ends, "total": total})[0]
        return found

    return run


def torch_body() -> Body:
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    network = AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float32).eval().get_decoder()

    def run(ids: Any) -> Floats:
        with torch.inference_mode():
            hidden = network(input_ids=torch.from_numpy(ids.astype(np.int64)), use_cache=False).last_hidden_state
            found: Floats = hidden.numpy()
            return found

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    assert SHAPE is not None
    bodies: dict[str, Body] = {
        f"transformers, torch {version('torch')}": torch_body(),
        f"onnxruntime {version('onnxruntime')}": onnxruntime_body(),
        f"openvino {version('openvino')}": body(SHAPE, WEIGHTS, Machine("float32")),
        f"openvino {version('openvino')} bfloat16": body(SHAPE, WEIGHTS, Machine("bfloat16")),
    }
    draw = np.random.default_rng(0)
    rows: dict[str, dict[str, Any]] = {name: {} for name in bodies}
    for length in LENGTHS:
        ids = draw.integers(1, SHAPE.vocabulary, (1, length)).astype(np.int32)
        truth = next(iter(bodies.values()))(ids).copy()
        best = dict.fromkeys(bodies, float("inf"))
        for name, run in bodies.items():
            rows[name].setdefault("largest difference", 0.0)
            far = float(np.abs(run(ids) - truth).max() / np.abs(truth).max())
            rows[name]["largest difference"] = max(rows[name]["largest difference"], round(far, 6))
        for _ in range(given.rounds):
            for name, run in bodies.items():
                began = time.process_time()
                run(ids)
                best[name] = min(best[name], time.process_time() - began)
        for name in bodies:
            rows[name][f"tokens/s at {length}"] = round(length / best[name])
    (Path(__file__).parent / "runtimes.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
