"""The scorer for GPUs: how near `recension edit` comes to the chip's own rate, from text to written shard.

    python benchmarks/edit_gpu.py                       # every part; leaves results/edit_gpu.json
    python benchmarks/edit_gpu.py --only smoke          # under two minutes: checks, rates, where the time goes
    python benchmarks/edit_gpu.py --device cpu --shapes tiny --seconds 60 --out /tmp/tried

Models have the shape of known ones and random weights, built on the device; documents are generated, about 2,048 tokens
each, or of mixed lengths. The job is `recension.edit` as it is: read, tokenise, score, draw, write, receipt. The share is
the model's floating-point operations (two for each weight and token, head and attention included) over the time of the job,
against an 8192 x 8192 x 8192 product of bfloat16 measured in the same run. The naive loop is what one writes first:
batches of eight, padding, all logits in float32, log_softmax, topk. Every part writes its result (or traceback) as it ends.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "edit_gpu.json"
LENGTH, TOP_K, SEED, FLAGGED = 2048, 8, 0, 0.10
DISTINCT = 400
SECTIONS = ("machine", "checks", "rates", "profile", "job", "naive")
BEGIN = "<|begin_of_text|>"


@dataclass(frozen=True)
class Shape:
    layers: int
    hidden: int
    ffn: int
    heads: int
    kv: int
    vocabulary: int
    tied: bool

    @property
    def size(self) -> int:
        return self.hidden // self.heads

    @property
    def body(self) -> int:
        """Weights of the layers."""
        attention = self.hidden * self.size * (2 * self.heads + 2 * self.kv)
        return self.layers * (attention + 3 * self.hidden * self.ffn)

    def operations(self, lengths: list[int]) -> float:
        """Of one pass over sequences of these lengths; causal attention counts only pairs that are allowed."""
        tokens = sum(lengths)
        pairs = sum(n * (n + 1) / 2 for n in lengths)
        return (
            tokens * 2 * (self.body + self.hidden * self.vocabulary) + 4 * pairs * self.heads * self.size * self.layers
        )


SHAPES = {
    "tiny": Shape(2, 64, 160, 4, 2, 9_000, False),
    "135M": Shape(30, 576, 1536, 9, 3, 49_152, True),
    "1B": Shape(16, 2048, 8192, 32, 8, 128_256, True),
    "8B": Shape(32, 4096, 14336, 32, 8, 128_256, False),
}


class Report:
    """Results on disk after every part."""

    def __init__(self, out: Path, seconds: float) -> None:
        self.out, self.began, self.seconds = out, time.perf_counter(), seconds
        self.found: dict[str, Any] = {}
        out.mkdir(parents=True, exist_ok=True)

    @property
    def left(self) -> float:
        return self.seconds - (time.perf_counter() - self.began)

    def part(self, name: str, work: Callable[[], Any], least: float = 3.0) -> Any:
        """Run a part if there is time for it; a failure is kept and the rest goes on."""
        if self.left < least:
            print(f"-- {name}: skipped, {self.left:.0f} s are left", flush=True)
            self.found.setdefault("skipped", []).append(name)
            return None
        began = time.perf_counter()
        try:
            value = work()
            self.found[name] = value
        except Exception as error:  # noqa: BLE001 - one part's failure must not cost the others
            value = None
            self.found.setdefault("failed", {})[name] = traceback.format_exc()
            print(f"-- {name} FAILED: {type(error).__name__}: {str(error)[:300]}", flush=True)
            traceback.print_exc()
        print(f"-- {name}: {time.perf_counter() - began:.1f} s, {self.left:.0f} s left", flush=True)
        self.save()
        return value

    def save(self) -> None:
        (self.out / "edit_gpu.json").write_text(json.dumps(self.found, indent=2, default=str) + "\n", encoding="utf-8")


# --- texts, tokenizer, models -------------------------------------------------------------------------------------------


def stream(draw: random.Random, count: int) -> str:
    """Made-up prose with a long tail of words, some of them with capitals and punctuation."""
    syllables = [a + b for a in (*"bcdfghklmnprstvw", "st", "tr", "ch") for b in (*"aeiou", "ai", "ou", "er", "an")]
    lexicon = ["".join(draw.choices(syllables, k=draw.choice((1, 1, 2, 2, 3, 4)))) for _ in range(30_000)]
    weights = [1 / (i + 3) for i in range(len(lexicon))]
    words = draw.choices(lexicon, weights, k=count)
    ends = draw.choices(("", "", "", "", "", "", ",", ".", ".\n\n"), k=count)
    return " ".join(w.capitalize() + e if e.startswith(".") else w + e for w, e in zip(words, ends, strict=True))


def make_tokenizer(vocabulary: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=min(vocabulary, 32_000),
        special_tokens=[BEGIN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([stream(random.Random(1), 200_000)], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=BEGIN, pad_token=BEGIN)


def make_texts(tokenizer: Any, lengths: list[int], seed: int) -> list[str]:
    """Texts of at most these numbers of tokens, each cut where a word begins; the same ones again after some hundreds."""
    if len(lengths) > DISTINCT:
        distinct = make_texts(tokenizer, lengths[:DISTINCT], seed)
        return [distinct[i % DISTINCT] for i in range(len(lengths))]
    text = stream(random.Random(seed), int(sum(lengths) / 1.2) + 4_000)
    coded = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    starts = [start for start, _ in coded.offsets]
    texts, at = [], 0
    for length in lengths:
        stop = at + length
        while stop < len(starts) and text[starts[stop]] != " ":
            stop -= 1
        if stop >= len(starts):
            raise SystemExit(f"the generated stream is too short: {len(starts)} tokens for {sum(lengths)}")
        texts.append(text[starts[at] : starts[stop]])
        at = stop
    return texts


def mixed_lengths(count: int) -> list[int]:
    """As on the web: many short documents, some at the limit."""
    draw = random.Random(4)
    return [min(LENGTH - 1, max(32, int(draw.lognormvariate(6.2, 1.0)))) for _ in range(count)]


def make_model(shape: Shape, device: str, dtype: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.ffn,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv,
        max_position_embeddings=4096,
        tie_word_embeddings=shape.tied,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
        **ends,
    )
    torch.manual_seed(SEED)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).eval()


def prior_of(model: Any, tokenizer: Any, **options: Any) -> Any:
    """The prior as `hf:` builds it; on a CPU with the steps of a GPU, so that they can be tried there."""
    from recension.models.checkpoint import lane_for, own_checkpoint
    from recension.models.dense import dense_network, kernels_for
    from recension.models.options import PriorOptions
    from recension.models.transformers_prior import TransformersPrior

    parts = own_checkpoint(model, tokenizer, PriorOptions(**options), name=f"random weights {id(model)}")
    if parts.lane is None:
        network = dense_network(parts.body.network, parts.context, kernels_for(parts.body.device))
        body = parts.body if network is None else replace(parts.body, network=network)
        parts = replace(parts, body=body, lane=lane_for(body, parts.scorer))
    return TransformersPrior(parts)


# --- timing ---------------------------------------------------------------------------------------------------------------


def waited(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def timed(device: str, work: Callable[[], Any], repeats: int = 10, warm: int = 2) -> float:
    """Median seconds of one call, by events on the GPU."""
    import torch

    for _ in range(warm):
        work()
    waited(device)
    found = []
    for _ in range(repeats):
        if device == "cuda":
            before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            before.record()
            work()
            after.record()
            after.synchronize()
            found.append(before.elapsed_time(after) / 1e3)
        else:
            began = time.perf_counter()
            work()
            found.append(time.perf_counter() - began)
    return statistics.median(found)


def peak_gb(device: str) -> float | None:
    import torch

    return round(torch.cuda.max_memory_allocated() / 1e9, 2) if device == "cuda" else None


def fresh_memory(device: str) -> None:
    import gc

    import torch

    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


# --- parts ----------------------------------------------------------------------------------------------------------------


def machine(device: str) -> dict[str, Any]:
    import torch
    import transformers

    size = 8192 if device == "cuda" else 512
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    out = torch.empty_like(a)
    seconds = timed(device, lambda: torch.mm(a, b, out=out), repeats=30, warm=5)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < (1.5 if device == "cuda" else 0.2):
        for _ in range(20):
            torch.mm(a, b, out=out)
        waited(device)
        count += 20
    sustained = count * 2 * size**3 / (time.perf_counter() - began)
    length = (2 << 30) if device == "cuda" else (1 << 22)
    source, target = (
        torch.ones(length, dtype=torch.uint8, device=device),
        torch.empty(length, dtype=torch.uint8, device=device),
    )
    copy = timed(device, lambda: target.copy_(source))
    found = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "matmul_tflops": round(2 * size**3 / seconds / 1e12, 1),
        "matmul_tflops_over_a_second_and_a_half": round(sustained / 1e12, 1),
        "copy_gb_per_second": round(2 * length / copy / 1e9),
    }
    if device == "cuda":
        there = torch.empty(1 << 28, dtype=torch.uint8, device=device)
        here = torch.empty(1 << 28, dtype=torch.uint8, pin_memory=True)
        found["to_host_gb_per_second"] = round(
            (1 << 28) / timed(device, lambda: here.copy_(there, non_blocking=True)) / 1e9, 1
        )
        found["capability"] = ".".join(map(str, torch.cuda.get_device_capability()))
        found["memory_gb"] = round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1)
    print(json.dumps(found), flush=True)
    return found


def check_kernels(device: str) -> dict[str, Any]:
    """Our kernels against torch's in float32: the largest error relative to the largest entry."""
    import torch

    from recension.models import plain_kernels as plain
    from recension.models.dense import kernels_for

    ours = kernels_for(torch.device(device))
    torch.manual_seed(2)
    found: dict[str, Any] = {"kernels": ours.__name__.rpartition(".")[2]}

    def error(a: Any, b: Any) -> float:
        difference = (a.float() - b.float()).abs().max() / b.float().abs().max()
        return float(f"{difference.item():.2g}")

    for name in ("float32", "bfloat16"):
        dtype = getattr(torch, name)

        def drawn(*sizes: int, dtype: Any = dtype) -> Any:
            return torch.randn(*sizes, device=device).to(dtype)

        x, weight = drawn(300, 576), drawn(576)
        wide = plain.rms_norm(x.float(), weight.float(), 1e-5, torch.empty(300, 576, device=device))
        found[f"rms_norm {name}"] = error(ours.rms_norm(x, weight, 1e-5, torch.empty_like(x)), wide)
        places = torch.randint(0, 50, (300,), device=device, dtype=torch.int32)
        for heads, half in (((9, 3), 32), ((32, 8), 64), ((6, 2), 40)):
            cos, sin = torch.rand(2, 50, half, device=device)
            qkv = drawn(300, (sum(heads) + heads[1]) * 2 * half)
            for norms in (None, torch.rand(2, 2 * half, device=device)):
                truth, mine = qkv.float(), qkv.clone()
                plain.rotate_(truth, places, (cos, sin), heads, norms, 1e-6)
                ours.rotate_(mine, places, (cos, sin), heads, norms, 1e-6)
                found[f"rotate {heads} {2 * half} {norms is not None} {name}"] = error(mine, truth)
        wide = drawn(300, 2 * 1536)
        found[f"swiglu {name}"] = error(ours.swiglu_(wide.clone()), plain.swiglu_(wide.float()))
        for how in ((1.0, 0.0), (0.5, 20.0)):
            rows, weight = drawn(1000, 576), drawn(9001, 576) / 24
            targets = torch.randint(0, 9001, (1000,), device=device, dtype=torch.int32)
            truth, mine = (tuple(torch.full((1000,), math.nan, device=device) for _ in range(2)) for _ in range(2))
            table = rows.float() @ weight.float().t()
            plain.sum_up(table.clone(), None, targets, how, truth)
            ours.sum_up(table, None, targets, how, mine)
            found[f"sum_up {how} {name}"] = [error(a, b) for a, b in zip(mine, truth, strict=True)]
            if hasattr(ours, "head_sums"):
                chosen = torch.full((1000,), math.nan, device=device)
                sums = ours.head_sums(rows, weight, None, targets, how, chosen)
                found[f"head_sums {how} {name}"] = [error(sums, truth[0]), error(chosen, truth[1])]
    print(json.dumps(found), flush=True)
    return found


def check_attention(device: str) -> dict[str, Any]:
    import torch

    from recension.models.packed_attention import Borders, attend

    found: dict[str, Any] = {}
    lengths = [700, 1, 300, 1047]
    cut = [0, *np.cumsum(lengths).tolist()]
    borders = Borders(tuple(cut), torch.tensor(cut, dtype=torch.int32, device=device), max(lengths))
    for heads, kv, size, window in ((32, 8, 128, 0), (9, 3, 64, 0), (8, 8, 128, 0), (8, 2, 128, 100), (8, 2, 80, 0)):
        whole = torch.randn(cut[-1], heads + 2 * kv, size, device=device, dtype=torch.bfloat16)
        parts = whole[:, :heads], whole[:, heads : heads + kv], whole[:, heads + kv :]
        how = (size**-0.5, window, 0.0)
        truth = attend(*(p.float() for p in parts), borders, how)
        mine = attend(*parts, borders, how).float()
        found[f"{heads}/{kv} heads of {size}, window {window}"] = float(f"{(mine - truth).abs().max().item():.2g}")
    try:
        import inspect

        from torch.nn.attention import varlen

        found["varlen_attn"] = str(inspect.signature(varlen.varlen_attn))
    except ImportError as error:
        found["varlen_attn"] = str(error)
    found["aten"] = str(torch.ops.aten._flash_attention_forward.default._schema)
    print(json.dumps(found), flush=True)
    return found


def plainly(model: Any, sequences: list[list[int]], device: str) -> list[Any]:
    """Log-probabilities (T, V) of each sequence, read alone by transformers."""
    import torch

    with torch.inference_mode():
        tables = [model(input_ids=torch.tensor([ids], device=device)).logits[0] for ids in sequences]
        return [torch.log_softmax(t.float(), dim=-1) for t in tables]


def chosen_of(table: Any, ids: list[int]) -> Any:
    """The log-probabilities of these tokens, each in the row before it."""
    import torch

    return table[:-1].gather(1, torch.tensor(ids, device=table.device)[:, None])[:, 0].cpu().numpy()


def check_models(device: str, tokenizer: Any) -> dict[str, Any]:
    """Small decoders of several families: our scores in float32 and bfloat16 against transformers in float32."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from recension.ports import Ask

    texts = make_texts(tokenizer, [500, 3, 120, 900, 33], 7)
    coded = [tokenizer.backend_tokenizer.encode(t, add_special_tokens=False).ids for t in texts]
    vocabulary = max(len(tokenizer), 9_001)
    small = {"hidden_size": 256, "intermediate_size": 640, "num_hidden_layers": 4, "num_attention_heads": 8}
    small |= {"num_key_value_heads": 2, "vocab_size": vocabulary, "max_position_embeddings": 1024, "head_dim": 32}
    kinds = {"llama": {}, "mistral": {"sliding_window": 64}, "qwen2": {}, "qwen3": {}, "gemma2": {}}
    found: dict[str, Any] = {}
    for kind, settings in kinds.items():
        ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
        config = AutoConfig.for_model(kind, **{**small, **settings, **ends})
        torch.manual_seed(5)
        with torch.device(device):
            model = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.float32).eval()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "lm_head" in name or "embed" in name:
                    weight.normal_(0, 0.25)
                elif weight.dim() > 1:
                    weight.normal_(0, 0.06)
        state = {k: v.clone() for k, v in model.state_dict().items()}
        truth = plainly(model, [[0, *ids] for ids in coded], device)
        every = np.concatenate([chosen_of(t, ids) for t, ids in zip(truth, coded, strict=True)])
        above = float(np.exp(np.quantile(every, 0.9)))
        line: dict[str, Any] = {}
        for dtype in ("float32", "bfloat16"):
            with torch.device(device):
                again = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=getattr(torch, dtype)).eval()
            again.load_state_dict(state)
            native = plainly(again, [[0, *ids] for ids in coded], device)
            prior = prior_of(again, tokenizer, context=1024, batch_tokens=1500)
            scores = prior.score(texts, Ask(above=above, k=TOP_K))
            ours = np.concatenate([s.logprobs for s in scores])
            theirs = np.concatenate([chosen_of(t, ids) for t, ids in zip(native, coded, strict=True)])
            flagged = np.concatenate([np.isin(np.arange(len(s.ids)), s.flagged) for s in scores])
            expected = np.exp(every.astype(np.float64)) >= above
            alike = total = 0
            for score, table in zip(scores, truth, strict=True):
                allowed = table[: len(score.ids), : len(tokenizer)].clone()
                allowed[:, tokenizer.all_special_ids] = -math.inf
                best = torch.topk(allowed, TOP_K, dim=1).indices.cpu().numpy()[score.flagged]
                alike += int((best == score.rivals).sum())
                total += best.size
            line[dtype] = {
                "kernels": prior.spec.get("kernels"),
                "mean": float(f"{np.abs(ours - every).mean():.2g}"),
                "largest": float(f"{np.abs(ours - every).max():.2g}"),
                "transformers_mean": float(f"{np.abs(theirs - every).mean():.2g}"),
                "transformers_largest": float(f"{np.abs(theirs - every).max():.2g}"),
                "flags_alike": round(float((flagged == expected).mean()), 5),
                "rivals_alike": round(alike / max(total, 1), 5),
                "flagged": int(flagged.sum()),
            }
        found[kind] = line
        print(kind, json.dumps(line), flush=True)
    return found


def rates(device: str, name: str) -> dict[str, Any]:
    """The products and steps of one layer and of the head alone, in their own shapes: milliseconds and TFLOP/s."""
    import torch

    from recension.models.cuda_head import TwoPhaseHead
    from recension.models.dense import kernels_for
    from recension.models.heads import Head
    from recension.models.packed_attention import Borders, attend

    shape = SHAPES[name]
    count = 16_384 if device == "cuda" else 64
    kernels = kernels_for(torch.device(device))
    wide = (shape.heads + 2 * shape.kv) * shape.size
    found: dict[str, Any] = {}

    def note(what: str, work: Callable[[], Any], operations: float = 0.0, moved: float = 0.0, repeats: int = 8) -> None:
        try:
            seconds = timed(device, work, repeats)
        except Exception as error:  # noqa: BLE001 - one variant may not exist in this torch
            found[what] = f"{type(error).__name__}: {str(error)[:200]}"
        else:
            found[what] = {"ms": round(seconds * 1e3, 3)}
            found[what] |= {"tflops": round(operations / seconds / 1e12, 1)} if operations else {}
            found[what] |= {"gb_per_second": round(moved / seconds / 1e9)} if moved else {}
        print(f"{name} {what}: {found[what]}", flush=True)

    def drawn(*sizes: int) -> Any:
        return torch.randn(*sizes, device=device, dtype=torch.bfloat16) / 16

    x, normed, gate_up = drawn(count, shape.hidden), drawn(count, shape.hidden), drawn(count, 2 * shape.ffn)
    qkv = drawn(count, wide)
    weights = {"qkv": drawn(wide, shape.hidden), "gate_up": drawn(2 * shape.ffn, shape.hidden)}
    for what, out in (("qkv", qkv), ("gate_up", gate_up)):
        flops = 2.0 * count * weights[what].numel()
        note(f"product {what}", lambda w=weights[what], out=out: torch.mm(normed, w.t(), out=out), flops)
    down = drawn(shape.hidden, shape.ffn)
    act = gate_up[:, : shape.ffn]
    flops = 2.0 * count * down.numel()
    note("product down, added in place, strided", lambda: x.addmm_(act, down.t(), beta=0.5), flops)
    packed = act.contiguous()
    note("product down, added in place", lambda: x.addmm_(packed, down.t(), beta=0.5), flops)
    note("product down", lambda: torch.mm(packed, down.t(), out=normed), flops)
    weight = drawn(shape.hidden)
    note("rms_norm", lambda: kernels.rms_norm(x, weight, 1e-5, normed), moved=4.0 * x.numel())
    angles = torch.rand(4096, shape.size // 2, device=device), torch.rand(4096, shape.size // 2, device=device)
    places = torch.arange(count, device=device, dtype=torch.int32) % LENGTH
    heads = (shape.heads, shape.kv)
    note(
        "rotate",
        lambda: kernels.rotate_(qkv, places, angles, heads, None, 1e-5),
        moved=4.0 * count * sum(heads) * shape.size,
    )
    note("swiglu", lambda: kernels.swiglu_(gate_up), moved=6.0 * count * shape.ffn)
    length = min(LENGTH, count)
    cut = list(range(0, count + 1, length))
    borders = Borders(tuple(cut), torch.tensor(cut, dtype=torch.int32, device=device), length)
    split = drawn(count, wide).view(count, -1, shape.size)
    q, k, v = split[:, : heads[0]], split[:, heads[0] : sum(heads)], split[:, sum(heads) :]
    flops = 4.0 * (count // length) * length * (length + 1) / 2 * shape.heads * shape.size
    note("attention", lambda: attend(q, k, v, borders, (shape.size**-0.5, 0, 0.0)), flops)
    if device == "cuda":
        from torch.nn.attention import SDPBackend, sdpa_kernel

        batch = [t.reshape(count // length, length, -1, shape.size).transpose(1, 2) for t in (q, k, v)]
        batch[1:] = [t.repeat_interleave(shape.heads // shape.kv, dim=1) for t in batch[1:]]

        def cudnn() -> Any:
            with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
                return torch.nn.functional.scaled_dot_product_attention(*batch, is_causal=True)

        note("attention, cuDNN on equal lengths", cudnn, flops)
    table = drawn(shape.vocabulary, shape.hidden)
    rows, targets = (
        drawn(count, shape.hidden),
        torch.randint(0, shape.vocabulary, (count,), device=device, dtype=torch.int32),
    )
    flops = 2.0 * count * table.numel()
    banned = torch.tensor([0], device=device)
    for way in ("chunked", "fused"):
        head = TwoPhaseHead(Head(table, None, 1.0, 0.0, shape.vocabulary), banned, kernels, way)  # type: ignore[arg-type]
        if head.way == way:
            note(f"head, {way}", lambda head=head: head.sums(rows, targets), flops, repeats=4)
    some = rows[:: round(1 / FLAGGED)].contiguous()
    totals = torch.zeros(len(some), device=device)
    note(f"rivals of {len(some)} rows", lambda: head.rivals(some, totals, TOP_K), repeats=4)
    found.update(narrow_rates(device, shape, count))
    return found


def narrow_rates(device: str, shape: Shape, count: int) -> dict[str, Any]:
    """What float8 products would give."""
    import torch

    if device != "cuda" or torch.cuda.get_device_capability() < (8, 9):
        return {}
    found: dict[str, Any] = {}
    for what, across, inner in (("gate_up", 2 * shape.ffn, shape.hidden), ("down", shape.hidden, shape.ffn)):
        a = torch.randn(count, inner, device=device).to(torch.float8_e4m3fn)
        b = torch.randn(across, inner, device=device).to(torch.float8_e4m3fn).t()
        one = torch.ones((), device=device)
        by_row = torch.ones(count, 1, device=device), torch.ones(1, across, device=device)
        for scaling, (left, right) in {"one scale": (one, one), "a scale for each row": by_row}.items():
            for fast in (True, False):

                def work(left: Any = left, right: Any = right, a: Any = a, b: Any = b, fast: bool = fast) -> Any:
                    return torch._scaled_mm(
                        a, b, scale_a=left, scale_b=right, out_dtype=torch.bfloat16, use_fast_accum=fast
                    )

                key = f"float8 {what}, {scaling}, {'fast' if fast else 'precise'} sums"
                try:
                    seconds = timed(device, work, 6)
                    found[key] = {
                        "ms": round(seconds * 1e3, 3),
                        "tflops": round(2 * count * across * inner / seconds / 1e12),
                    }
                except Exception as error:  # noqa: BLE001
                    found[key] = f"{type(error).__name__}: {str(error)[:200]}"
                print(key, found[key], flush=True)
    return found


def profile(device: str, prior: Any, shape: Shape, texts: list[str], peak: float) -> dict[str, Any]:
    """One packed pass in its parts, then the kernels that take most of the time."""
    import torch

    from recension.models.packed_attention import packed
    from recension.models.surfaces import encode
    from recension.ports import Ask

    parts = prior._parts
    began = time.perf_counter()
    encoded = encode(parts.tokenizer, texts, parts.surfaces)
    tokenising = time.perf_counter() - began
    tokens = sum(len(e.ids) for e in encoded)
    lengths, sequences = [], []
    for text in encoded:
        if sum(lengths) + len(text.ids) + 1 > parts.batch_tokens:
            break
        sequences.append(np.concatenate([[parts.bos], text.ids]))
        lengths.append(len(text.ids) + 1)
    count = sum(lengths)
    where = torch.device(device)
    ids = torch.as_tensor(np.concatenate(sequences), device=where)
    places = torch.as_tensor(np.concatenate([np.arange(n) for n in lengths]), device=where).int()
    targets = ids.roll(-1).int()
    head = parts.lane._head
    found: dict[str, Any] = {
        "kernels": parts.lane.kernels,
        "tokens_of_the_pack": count,
        "batch_tokens": parts.batch_tokens,
    }
    found["tokenise_tokens_per_second"] = round(tokens / tokenising)
    with torch.inference_mode(), packed(lengths, where):
        rows = parts.body.pack(ids, places)
        seconds = {
            "body": timed(device, lambda: parts.body.pack(ids, places), 5),
            "head": timed(device, lambda: head.sums(rows, targets), 5),
        }
        some = rows[:: round(1 / FLAGGED)].contiguous()
        totals = torch.zeros(len(some), device=where)
        seconds["rivals"] = timed(device, lambda: head.rivals(some, totals, TOP_K), 5)
        waited(device)
        began = time.perf_counter()
        parts.body.pack(ids, places)
        found["seconds_to_launch_the_body"] = round(time.perf_counter() - began, 4)
        waited(device)
    operations = shape.operations(lengths)
    total = sum(seconds.values())
    found["ms"] = {k: round(v * 1e3, 2) for k, v in seconds.items()}
    found["body_tflops"] = round((operations - 2 * count * shape.hidden * shape.vocabulary) / seconds["body"] / 1e12, 1)
    found["head_tflops"] = round(2 * count * shape.hidden * shape.vocabulary / seconds["head"] / 1e12, 1)
    found["share_of_matmul_rate"] = round(operations / total / 1e12 / peak, 3)
    found["tokens_per_second"] = round(count / total)
    ask = Ask(above=threshold_of(prior, texts[:8]), k=TOP_K)
    prior.score(texts, ask)
    waited(device)
    began = time.perf_counter()
    prior.score(texts, ask)
    seconds_scored = time.perf_counter() - began
    found["score_tokens_per_second"] = round(tokens / seconds_scored)
    found["score_share_of_matmul_rate"] = round(
        shape.operations([len(e.ids) + 1 for e in encoded]) / seconds_scored / 1e12 / peak, 3
    )
    if device == "cuda":
        from torch.profiler import ProfilerActivity
        from torch.profiler import profile as watching

        with watching(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as watched:
            prior.score(texts[: max(8, len(texts) // 4)], ask)
            waited(device)
        averages = watched.key_averages()
        kernels = sorted(averages, key=lambda e: -e.self_device_time_total)[:25]
        found["longest"] = [[e.key[:100], e.count, round(e.self_device_time_total / 1e3, 2)] for e in kernels]
        print(averages.table(sort_by="self_cuda_time_total", row_limit=25, max_name_column_width=70), flush=True)
    print(json.dumps({k: v for k, v in found.items() if k != "longest"}), flush=True)
    return found


def threshold_of(prior: Any, texts: list[str]) -> float:
    from recension.ports import Ask

    scores = prior.score(texts, Ask())
    return float(np.exp(np.quantile(np.concatenate([s.logprobs for s in scores]).astype(np.float64), 1 - FLAGGED)))


def write_documents(path: Path, texts: list[str]) -> None:
    with path.open("w", encoding="utf-8") as lines:
        for i, text in enumerate(texts):
            lines.write(json.dumps({"id": f"d{i:06d}", "text": text}) + "\n")


def job(device: str, prior: Any, shape: Shape, texts: list[str], peak: float) -> dict[str, Any]:
    """`recension.edit` from the first byte read to the last written."""
    from recension.models.load import lend_prior
    from recension.recipes.edit import EditSpec, edit

    threshold = threshold_of(prior, texts[:16])
    lengths = [len(e) + 1 for e in prior._parts.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    name = lend_prior(f"{id(prior)}-{len(texts)}", prior)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        write_documents(work / "warm.jsonl", texts[:8])
        write_documents(work / "documents.jsonl", texts)
        spec = EditSpec(prior=name, threshold=threshold, top_k=TOP_K, seed=SEED)
        edit([work / "warm.jsonl"], work / "warm", spec)
        fresh_memory(device)
        began = time.perf_counter()
        report = edit([work / "documents.jsonl"], work / "out", spec)
        seconds = time.perf_counter() - began
        shards = len(list((work / "out" / "data").iterdir()))
    [generation] = report.generations
    found = {
        "documents": len(texts),
        "tokens": report.tokens,
        "shards": shards,
        "flagged": generation.flagged,
        "changed": generation.changed,
        "seconds": round(seconds, 2),
        "tokens_per_second": round(report.tokens / seconds),
        "share_of_matmul_rate": round(shape.operations(lengths) / seconds / 1e12 / peak, 3),
        "peak_memory_gb": peak_gb(device),
        "batch_tokens": prior._parts.batch_tokens,
    }
    print(json.dumps(found), flush=True)
    return found


def naive(device: str, model: Any, tokenizer: Any, texts: list[str], budget: float) -> dict[str, Any]:
    """Padded batches of eight, all logits in float32, log_softmax, topk; then the same draws, and a file."""
    import torch

    from recension.document import Field
    from recension.identity import content_hash
    from recension.methods.toedit import Sampling, edit_text, surfaces
    from recension.models.surfaces import surfaces_of
    from recension.ports import TokenScores
    from recension.randomness import document_key

    size = 8
    usable = surfaces_of(tokenizer.backend_tokenizer).characters
    vocabulary, sampling = surfaces(usable), Sampling(above=0.5, top_k=TOP_K)
    fresh_memory(device)
    tokens = done = 0
    written: list[str] = []
    began, chosen = math.nan, np.zeros((1, 1))
    for start in range(-size, len(texts), size):
        batch = texts[:size] if start < 0 else texts[start : start + size]
        if start == 0:  # the batch before warms up, and says where the threshold lies
            waited(device)
            some = chosen[0, : tokens // size].astype(np.float64)
            sampling = Sampling(above=float(np.exp(np.quantile(some, 1 - FLAGGED))), top_k=TOP_K)
            began, tokens = time.perf_counter(), 0
            written = []
        coded = tokenizer(
            [BEGIN + t for t in batch],
            padding=True,
            padding_side="right",
            return_tensors="pt",
            return_offsets_mapping=True,
        )
        ids, mask = coded["input_ids"].to(device), coded["attention_mask"].to(device)
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask).logits
            logprobs = torch.log_softmax(logits.float(), dim=-1)
            del logits
            chosen = logprobs[:, :-1].gather(2, ids[:, 1:, None])[:, :, 0].cpu().numpy()
            logprobs[:, :, len(usable) :] = -math.inf
            best = torch.topk(logprobs, TOP_K, dim=-1)
            values, rivals = best.values.cpu().numpy(), best.indices.cpu().numpy()
            del logprobs, best
        for i, text in enumerate(batch):
            length = int(coded["attention_mask"][i].sum()) - 1
            mine = coded["input_ids"][i, 1 : length + 1].numpy().astype(np.int32)
            spans = coded["offset_mapping"][i, 1 : length + 1].numpy().astype(np.int32) - len(BEGIN)
            flagged = np.flatnonzero(np.exp(chosen[i, :length].astype(np.float64)) >= sampling.above)
            scores = TokenScores(
                mine, spans, chosen[i, :length], flagged.astype(np.int32), rivals[i, flagged].astype(np.int32),
                values[i, flagged], np.exp(values[i, flagged]).sum(axis=1),
            )  # fmt: skip
            key = document_key(SEED, f"d{done:06d}", content_hash(text))
            nothing = np.zeros((0, 2), dtype=np.int64)
            edited = edit_text(text, (Field("text", 0, len(text)),), scores, vocabulary, (sampling, nothing, key))
            written.append(json.dumps({"id": f"d{done:06d}", "text": edited.text}))
            tokens, done = tokens + length, done + 1
        if start >= 0 and time.perf_counter() - began > budget:
            break
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write("\n".join(written))
    seconds = time.perf_counter() - began
    found = {
        "documents": len(written),
        "tokens": tokens,
        "seconds": round(seconds, 2),
        "tokens_per_second": round(tokens / seconds),
        "peak_memory_gb": peak_gb(device),
    }
    print(json.dumps(found), flush=True)
    return found


# --- the whole ------------------------------------------------------------------------------------------------------------


def shape_parts(report: Report, name: str, options: argparse.Namespace, peak: float, tokenizer: Any) -> None:
    """Everything about one shape: built once, naive first, because our build joins weights of the network."""
    device, shape, wanted = options.device, SHAPES[name], options.wanted
    dtype = "bfloat16" if device == "cuda" else "float32"
    fresh_memory(device)
    model = report.part(f"{name} build", lambda: make_model(shape, device, dtype), 10)
    report.found.pop(f"{name} build", None)
    if model is None:
        return
    count = options.documents or max(16, int(options.job_seconds * 0.6 * peak * 1e12 / shape.operations([LENGTH])))
    count = min(count, options.most_documents)
    texts = make_texts(tokenizer, [LENGTH - 1] * count, 11)
    short = make_texts(tokenizer, mixed_lengths(count * 2), 12)
    if "naive" in wanted:
        report.part(f"{name} naive", lambda: naive(device, model, tokenizer, texts, options.naive_seconds), 10)
        report.part(f"{name} naive mixed", lambda: naive(device, model, tokenizer, short, options.naive_seconds), 10)
    fresh_memory(device)
    built = report.part(f"{name} prior", lambda: prior_of(model, tokenizer), 5)
    report.found[f"{name} prior"] = None if built is None else {k: v for k, v in built.spec.items() if k != "files"}
    if built is None:
        return
    if "profile" in wanted:
        few = texts[: min(len(texts), 48 if shape.body > 3e9 else 128)]
        report.part(f"{name} profile", lambda: profile(device, built, shape, few, peak), 8)
    if "job" in wanted:
        for kind, documents in (("job", texts), ("job mixed", short)):
            report.part(f"{name} {kind}", lambda documents=documents: job(device, built, shape, documents, peak), 15)
        for kind in ("", " mixed"):
            ours, theirs = report.found.get(f"{name} job{kind}"), report.found.get(f"{name} naive{kind}")
            if ours and theirs:
                report.found[f"{name} ratio{kind}"] = round(ours["tokens_per_second"] / theirs["tokens_per_second"], 2)
                print(f"{name} ratio{kind}: {report.found[f'{name} ratio{kind}']}", flush=True)
        report.save()


def forget_priors(device: str) -> None:
    from recension.models import load
    from recension.recipes.priors import forget

    forget()
    load._OWN.clear()
    fresh_memory(device)


def main() -> int:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--shapes", nargs="*", choices=tuple(SHAPES), help="[default: 8B 1B 135M; smoke: 8B 1B]")
    parser.add_argument("--only", nargs="*", choices=(*SECTIONS, "smoke"), help="parts to run [default: all]")
    parser.add_argument("--seconds", type=float, default=540.0, help="no part begins after this")
    parser.add_argument("--job-seconds", type=float, default=25.0, help="about how long the job of a shape takes")
    parser.add_argument("--naive-seconds", type=float, default=8.0)
    parser.add_argument("--documents", type=int, default=0, help="0: from --job-seconds")
    parser.add_argument("--most-documents", type=int, default=8_000)
    parser.add_argument("--out", type=Path, default=None, help="a folder for results [default: benchmarks/results]")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("this torch sees no CUDA device: nothing was measured (--device cpu --shapes tiny tries the script)")
        return 1
    wanted = set(options.only or SECTIONS)
    smoke = "smoke" in wanted
    if smoke:
        wanted = {"machine", "checks", "rates", "profile", "job", "naive"}
        options.job_seconds = min(options.job_seconds, 4.0)
        options.naive_seconds = min(options.naive_seconds, 2.0)
    shapes = options.shapes or ["8B", "1B", "135M"]
    report = Report(options.out or RESULTS.parent, options.seconds)
    device = options.device
    options.wanted = wanted
    small = make_tokenizer(9_000)
    measured = report.part("machine", lambda: machine(device), 0)
    peak = measured["matmul_tflops"] if measured else 800.0
    if "checks" in wanted:
        report.part("kernels", lambda: check_kernels(device))
        report.part("attention", lambda: check_attention(device))
        report.part("models", lambda: check_models(device, small))
    if "rates" in wanted:
        for name in shapes if not smoke else shapes[:1]:
            report.part(f"{name} rates", lambda name=name: rates(device, name))
            fresh_memory(device)
    large = make_tokenizer(32_000) if shapes != ["tiny"] else small
    tokenizers = {shape.vocabulary: small if shape.vocabulary < 32_000 else large for shape in SHAPES.values()}
    for name in shapes:
        if wanted & {"profile", "job", "naive"}:
            shape_parts(report, name, options, peak, tokenizers[SHAPES[name].vocabulary])
            forget_priors(device)
    report.found["seconds"] = round(options.seconds - report.left, 1)
    report.save()
    return 0 if not report.found.get("failed") else 1


if __name__ == "__main__":
    sys.exit(main())
