"""Clocks and the chip's own rates."""

from __future__ import annotations

import gc
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any


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
    import torch

    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


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
