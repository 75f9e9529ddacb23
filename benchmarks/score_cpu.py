"""Scoring on one core: the padded loop that people write, our torch path, and compiled graphs, on the same documents.

    python benchmarks/score_cpu.py [--model NAME=FOLDER]... [--shapes embedded,135m] [--documents 48] [--rounds 3]
                                   [--vllm PYTHON]

Each side gets texts and gives the log-probability of every token and the eight best candidates where p >= 0.99 (0.9 where
the weights are random); one thread, one pinned core, seconds of that core, rounds that alternate, medians. The loop pads
batches of eight, makes all logits, log_softmax and topk of all positions. The documents are the samples of this repository,
cut to what one window holds, so that every side sees the same text; a side whose decisions differ from the loop's is
reported with the share. The core's peak is that of a product of 1024 x 1024 matrices in OpenVINO, measured between the rounds.
`--model 15m=FOLDER` adds a model of your own (a local Llama); `135m` has the shape of SmolLM2 and random weights. With
`--vllm` the Python of an environment that has vLLM's CPU build, it takes part with prompt_logprobs=8.
The result goes to results/score_cpu.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from recension import Ask, PriorOptions, load_prior
from recension.models.compiled import EMBEDDED
from recension.models.graphs import Machine
from recension.models.llama import plain_shape, read_tokenizer

HERE = Path(__file__).parent
RESULT = HERE / "results" / "score_cpu.json"
K, BATCH, MOST = 8, 8, 1000
Decisions = dict[tuple[int, int], tuple[int, ...]]

VLLM = """
import json, sys, time
from vllm import LLM, SamplingParams

if __name__ == "__main__":  # its engine is another process
    folder, ids = sys.argv[1], json.load(open(sys.argv[2]))
    model = LLM(folder, dtype="bfloat16", max_model_len=1024, enforce_eager=True, enable_prefix_caching=False, max_logprobs=8)
    params = SamplingParams(max_tokens=1, prompt_logprobs=8, detokenize=False)
    prompts = [{"prompt_token_ids": row} for row in ids]
    model.generate(prompts[:2], params, use_tqdm=False)
    began = time.perf_counter()
    found = model.generate(prompts, params, use_tqdm=False)
    seconds = time.perf_counter() - began
    assert all(len(f.prompt_logprobs) == len(row) for f, row in zip(found, ids))
    print("RESULT", json.dumps({"wall": seconds}))
"""


def documents(folder: Path, count: int) -> list[str]:
    """Texts of many lengths, each at most MOST tokens of the model at hand."""
    rows = [json.loads(line)["text"] for line in (HERE.parent / "samples" / "unseen.jsonl").open(encoding="utf-8")]
    chosen = [rows[i * len(rows) // count] for i in range(count)]
    random.Random(0).shuffle(chosen)  # corpora are shuffled; these rows stand by domain, and so by length
    tokenizer: Any = read_tokenizer(folder)[0]  # type: ignore[index]
    texts = []
    for text in chosen:
        offsets = tokenizer.encode(text, add_special_tokens=False).offsets
        texts.append(text[: offsets[MOST - 1][1]] if len(offsets) > MOST else text)
    return texts


def random_135m(folder: Path) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=2048, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.get_input_embeddings().weight.normal_(0, 2.2 / 576**0.5)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((EMBEDDED / name).read_bytes())
    return folder


# --- the sides --------------------------------------------------------------------------------------------------------


def padded_loop(folder: Path, dtype: str, above: float) -> Callable[[list[str]], Decisions]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    tokenizer.pad_token = tokenizer.eos_token

    def score(texts: list[str]) -> Decisions:
        found: Decisions = {}
        for start in range(0, len(texts), BATCH):
            ids = [
                [tokenizer.bos_token_id, *tokenizer(t, add_special_tokens=False)["input_ids"]]
                for t in texts[start : start + BATCH]
            ]
            padded = tokenizer.pad({"input_ids": ids}, padding=True, padding_side="right", return_tensors="pt")
            with torch.inference_mode():
                logprobs = torch.log_softmax(model(**padded).logits.float(), dim=-1)
                chosen = logprobs[:, :-1].gather(2, padded["input_ids"][:, 1:, None])[:, :, 0].double().exp().numpy()
                logprobs[:, :, 0] = float("-inf")
                best = torch.topk(logprobs, K, dim=-1).indices.numpy()
            for i, row in enumerate(ids):
                for place in np.flatnonzero(chosen[i, : len(row) - 1] >= above).tolist():
                    found[start + i, place] = tuple(best[i, place].tolist())
        return found

    return score


def through_prior(name: str, options: PriorOptions, above: float, every: int = 1) -> Callable[[list[str]], Decisions]:
    prior = load_prior(name, options)

    def score(texts: list[str]) -> Decisions:
        scores = prior.score(texts, Ask(above=above, k=K, every=every))
        return {
            (i, int(place)): tuple(rivals.tolist())
            for i, found in enumerate(scores)
            for place, rivals in zip(found.flagged, found.rivals, strict=True)
        }

    return score


def peaks() -> dict[str, Callable[[], float]]:
    """GFLOP/s of a large product, by number format."""
    import openvino

    size = 1024
    left = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    op = openvino.opset13

    def made(dtype: str) -> Callable[[], float]:
        rows = op.parameter([-1, size], np.float32)
        call = Machine(dtype).compile([op.matmul(rows, op.constant(left), False, True)], [rows])

        def once() -> float:
            call(left)
            began = time.process_time()
            for _ in range(6):
                call(left)
            return 6 * 2 * size**3 / (time.process_time() - began) / 1e9

        return once

    return {dtype: made(dtype) for dtype in ("float32", "bfloat16")}


# --- the run ----------------------------------------------------------------------------------------------------------


def flops(folder: Path, lengths: list[int]) -> float:
    """Of the body with causal attention, and of the whole head at every token."""
    shape = plain_shape(folder)
    assert shape is not None
    width = shape.heads * shape.size
    each = 2 * shape.body_parameters + 2 * shape.vocabulary * shape.hidden
    return float(sum(n * each + 2 * shape.layers * width * n * n for n in lengths))


def measure(name: str, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    above = 0.9 if name == "135m" else 0.99
    texts = documents(folder, given.documents if name != "135m" else max(given.documents // 4, 8))
    tokenizer: Any = read_tokenizer(folder)[0]  # type: ignore[index]
    lengths = [len(e.ids) for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    tokens, needed = sum(lengths), flops(folder, lengths)
    hf = f"hf:{folder}"
    sides = {
        "padded loop": padded_loop(folder, "float32", above),
        "hf: torch": through_prior(hf, PriorOptions(runtime="torch"), above),
        "compiled": through_prior(hf, PriorOptions(), above),
        "compiled, edits only": through_prior(hf, PriorOptions(), above, every=16),
        "compiled bfloat16": through_prior(hf, PriorOptions(dtype="bfloat16"), above),
        "compiled bfloat16, edits only": through_prior(hf, PriorOptions(dtype="bfloat16"), above, every=16),
    }
    if name == "embedded":
        sides["padded loop bfloat16"] = padded_loop(folder, "bfloat16", above)
    decided = {side: score(texts) for side, score in sides.items()}  # and all is warm
    truth = decided["padded loop"]
    measured = peaks()
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    peak: dict[str, list[float]] = {dtype: [] for dtype in measured}
    for round_ in range(given.rounds):
        for side, score in sides.items():
            for dtype, once in measured.items():
                peak[dtype].append(once())
            began = time.process_time()
            score(texts)
            seconds[side].append(time.process_time() - began)
            print(f"{name} round {round_ + 1} {side}: {tokens / seconds[side][-1]:,.0f} tokens/s", flush=True)
    best = {dtype: statistics.median(values) for dtype, values in peak.items()}
    table: dict[str, Any] = {}
    for side, times in seconds.items():
        dtype = "bfloat16" if "bfloat16" in side else "float32"
        ratios = [a / b for a, b in zip(seconds["padded loop"], times, strict=True)]
        ours = decided[side]
        table[side] = {
            "tokens_per_second": round(tokens / statistics.median(times)),
            "times_the_loop": round(statistics.median(ratios), 2),
            "ratios": [round(r, 2) for r in ratios],
            "share_of_peak": round(needed / statistics.median(times) / 1e9 / best[dtype], 3),
            "flags_that_differ": round(len(ours.keys() ^ truth.keys()) / max(len(truth), 1), 4),
            "candidates_that_differ": round(
                sum(set(ours[p]) != set(truth[p]) for p in ours.keys() & truth.keys()) / max(len(truth), 1), 4
            ),
        }
    result = {
        "documents": len(texts), "tokens": tokens, "flagged": round(len(truth) / tokens, 4), "above": above,
        "peak_gflops": {d: round(v, 1) for d, v in best.items()}, "sides": table,
    }  # fmt: skip
    if given.vllm:
        encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
        wall = vllm(given.vllm, folder, [[0, *e.ids] for e in encoded])
        if wall:
            result["vllm"] = {"tokens_per_second": round(tokens / wall), "seconds": round(wall, 1)}
    return result


def vllm(python: str, folder: Path, ids: list[list[int]]) -> float:
    """Seconds on the same core, in a process of its own; 0 where it fails."""
    with tempfile.TemporaryDirectory() as work:
        script, data = Path(work) / "score.py", Path(work) / "ids.json"
        script.write_text(VLLM)
        data.write_text(json.dumps(ids))
        # The process is pinned already; vLLM's own pinning fails where it may see one core only.
        quiet = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
        call = [python, str(script), str(folder), str(data)]
        run = subprocess.run(call, env=os.environ | quiet, capture_output=True, text=True, check=False)
        for line in run.stdout.splitlines():
            if line.startswith("RESULT "):
                return float(json.loads(line.removeprefix("RESULT "))["wall"])
        print(run.stdout[-6000:], run.stderr[-3000:], sep="\n")
        return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--shapes", default="embedded,135m")
    parser.add_argument("--documents", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vllm", metavar="PYTHON")
    parser.add_argument("--result", type=Path, default=RESULT)
    given = parser.parse_args()
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    os.environ["RAYON_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as work:
        folders = {name: Path(path) for name, _, path in (m.partition("=") for m in given.model)}
        shapes = [s for s in given.shapes.split(",") if s]
        folders |= {"embedded": EMBEDDED} if "embedded" in shapes else {}
        folders |= {"135m": random_135m(Path(work) / "135m")} if "135m" in shapes else {}
        found = json.loads(given.result.read_text()) if given.result.exists() else {"models": {}}
        for name, folder in folders.items():
            found["models"][name] = measure(name, folder, given)
            found["machine"] = {
                "processor": platform.processor() or platform.machine(),
                "python": sys.version.split()[0],
            }
            given.result.write_text(json.dumps(found, indent=1) + "\n")
            print(json.dumps(found["models"][name], indent=1))


if __name__ == "__main__":
    main()
