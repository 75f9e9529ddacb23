"""The scorer for GPUs: how near `recension edit` comes to the chip's own rate, from text to written shard.

    python benchmarks/edit_gpu                       # every part, about five minutes; leaves results/edit_gpu.json
    python benchmarks/edit_gpu --only machine checks # is it right on this machine?
    python benchmarks/edit_gpu --device cpu --shapes tiny --seconds 60 --out /tmp/tried

Models have the shape of known ones and random weights, built on the device; documents are generated, about 2,048 tokens
each, or of mixed lengths. The job is `recension.edit` as it is: read, tokenise, score, draw, write, receipt. The share is
the model's floating-point operations (two for each weight and token, head and attention included) over the time of the job,
against an 8192 x 8192 x 8192 product of bfloat16 measured in the same run. The naive loop is what one writes first:
batches of eight, padding, all logits in float32, log_softmax, topk. Job and loop alternate. Every part writes its result
(or traceback) as it ends.

made.py     models, tokenizer and documents       checks.py   correctness against float32
timing.py   clocks, the chip's own rates          rates.py    one layer, one head
work.py     a pass in its parts, jobs, the naive loop
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from checks import check_attention, check_kernels, check_models
from made import LENGTH, SHAPES, make_model, make_texts, make_tokenizer, mixed_lengths, prior_of
from rates import rates
from timing import fresh_memory, machine
from work import job, naive, profile

RESULTS = Path(__file__).resolve().parent.parent / "results"
SECTIONS = ("machine", "checks", "rates", "profile", "job", "naive")


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


def shape_parts(report: Report, name: str, options: argparse.Namespace, peak: float, tokenizer: Any) -> None:
    """Everything about one shape."""
    device, shape, wanted = options.device, SHAPES[name], options.wanted
    dtype = "bfloat16" if device == "cuda" else "float32"
    fresh_memory(device)
    model = report.part(f"{name} build", lambda: make_model(shape, device, dtype), 10)
    report.found.pop(f"{name} build", None)
    if model is None:
        return
    count = options.documents or max(16, int(options.job_seconds * 0.6 * peak * 1e12 / shape.operations([LENGTH])))
    count = min(count, options.most_documents)
    kinds = {
        "equal": make_texts(tokenizer, [LENGTH - 1] * count, 11),
        "mixed": make_texts(tokenizer, mixed_lengths(count * 2), 12),
    }
    built = report.part(f"{name} prior", lambda: prior_of(model, tokenizer), 5)
    if built is None:
        return
    told = {k: v for k, v in built.spec.items() if k != "files"}
    report.found[f"{name} prior"] = {**told, "distance_from_float32": built._parts.errors}
    print(name, json.dumps(report.found[f"{name} prior"], default=str), flush=True)
    if "profile" in wanted:
        few = kinds["equal"][: min(count, 48 if shape.body > 3e9 else 128)]
        report.part(f"{name} profile", lambda: profile(device, built, shape, few, peak), 8)
    native, ours = "sdpa", model.config._attn_implementation
    for kind, texts in kinds.items():
        jobs, loops = [], []
        for turn in range(1, options.rounds + 1):
            if "job" in wanted:
                done = report.part(f"{name} {kind} {turn}", lambda t=texts: job(device, built, shape, t, peak), 15)
                jobs += [done] if done else []
            if "naive" in wanted:
                model.set_attn_implementation(native)
                done = report.part(
                    f"{name} {kind} {turn} naive",
                    lambda t=texts: naive(device, model, tokenizer, t, options.naive_seconds),
                    10,
                )
                model.set_attn_implementation(ours)
                loops += [done] if done else []
        summed = report.found.setdefault("summary", {}).setdefault(name, {})
        summed[kind] = middle(jobs, loops)
        print(f"{name} {kind}: {json.dumps(summed[kind])}", flush=True)
        report.save()


def middle(jobs: list[dict[str, Any]], loops: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of the rounds."""

    def of(runs: list[dict[str, Any]], key: str) -> float | None:
        return statistics.median(run[key] for run in runs) if runs else None

    ratios = [round(a["tokens_per_second"] / b["tokens_per_second"], 2) for a, b in zip(jobs, loops, strict=False)]
    return {
        "tokens_per_second": of(jobs, "tokens_per_second"),
        "share_of_matmul_rate": of(jobs, "share_of_matmul_rate"),
        "peak_memory_gb": of(jobs, "peak_memory_gb") if jobs and jobs[0]["peak_memory_gb"] else None,
        "naive_tokens_per_second": of(loops, "tokens_per_second"),
        "naive_peak_memory_gb": of(loops, "peak_memory_gb") if loops and loops[0]["peak_memory_gb"] else None,
        "ratios": ratios,
        "median_ratio": statistics.median(ratios) if ratios else None,
    }


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
    parser.add_argument("--shapes", nargs="*", choices=tuple(SHAPES), help="[default: 8B 1B 135M]")
    parser.add_argument("--only", nargs="*", choices=SECTIONS, help="parts to run [default: all]")
    parser.add_argument("--seconds", type=float, default=540.0, help="no part begins after this")
    parser.add_argument("--job-seconds", type=float, default=10.0, help="about how long the job of a shape takes")
    parser.add_argument("--naive-seconds", type=float, default=2.5)
    parser.add_argument("--rounds", type=int, default=2, help="of job and loop in turn")
    parser.add_argument("--documents", type=int, default=0, help="0: from --job-seconds")
    parser.add_argument("--most-documents", type=int, default=1_600)
    parser.add_argument("--out", type=Path, default=RESULTS, help="a folder for results [default: benchmarks/results]")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("this torch sees no CUDA device: nothing was measured (--device cpu --shapes tiny tries the script)")
        return 1
    options.wanted = wanted = set(options.only or SECTIONS)
    shapes = options.shapes or ["8B", "1B", "135M"]
    report, device = Report(options.out, options.seconds), options.device
    small = make_tokenizer(9_000)
    measured = report.part("machine", lambda: machine(device), 0)
    peak = measured["matmul_tflops"] if measured else 800.0
    if "checks" in wanted:
        report.part("kernels", lambda: check_kernels(device))
        report.part("attention", lambda: check_attention(device))
        report.part("models", lambda: check_models(device, small))
    if "rates" in wanted:
        report.part(f"{shapes[0]} rates", lambda: rates(device, shapes[0]))
        fresh_memory(device)
    if wanted & {"profile", "job", "naive"}:
        large = make_tokenizer(32_000) if shapes != ["tiny"] else small
        for name in shapes:
            shape_parts(report, name, options, peak, small if SHAPES[name].vocabulary < 32_000 else large)
            forget_priors(device)
    report.found["seconds"] = round(options.seconds - report.left, 1)
    report.save()
    return 0 if not report.found.get("failed") else 1


if __name__ == "__main__":
    sys.exit(main())
