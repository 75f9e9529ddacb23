"""Tokens per second and MFU of `train pretrain` against the two loops that people use: one written after nanoGPT, and
the Trainer of transformers. Same network, same first weights, same rows, same optimiser; each side in a process of its
own, one after the other, several times round; medians over the steps after a warm-up.

python benchmarks/train.py                                       # on this machine; leaves results/train.json
python benchmarks/train.py --device cuda --preset gpt2-124m --batch 64 --micro 16 --steps 40   # leaves train-cuda.json

Needs nothing of this repository but the package, no network, and no data: tokens are drawn at random, which changes no
speed. On a GPU the peak is that of the data sheet where it is known.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
RATE, DECAY, BETAS, CLIP = 1e-3, 0.1, (0.9, 0.95), 1.0
SIDES = {
    "recension": "this package, as `train pretrain` runs a long job (compiled)",
    "recension, eager": "this package, not compiled",
    "nanoGPT loop, compiled": "autocast, logits of all tokens, cross-entropy, fused AdamW, torch.compile",
    "nanoGPT loop": "the same, not compiled",
    "Trainer": "transformers' Trainer with bf16 and the fused AdamW",
    "Trainer, compiled": "the same with torch_compile",
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--batch", type=int, default=16, help="rows of a step")
    parser.add_argument("--micro", type=int, default=16, help="rows at once")
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--warmup", type=int, default=4, help="steps that are not counted")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--sides", nargs="*", default=list(SIDES))
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    return parser.parse_args()


STARTED = [0.0]  # processor time at the end of the warm-up


def mark(options: argparse.Namespace, done: int) -> None:
    """Called at the end of every step: the processor time of the rest is what neighbours on the machine do not change."""
    if done == options.warmup:
        STARTED[0] = time.process_time()


# --- what all sides share ---------------------------------------------------------------------------------------------


def network(options: argparse.Namespace):
    from recension.training import network as networks
    from recension.training.shapes import shape_of

    shape = shape_of(options.preset)
    return networks.build(shape, shape.vocabulary, 0, seed=1), shape


def stream(options: argparse.Namespace, shape) -> np.ndarray:
    count = options.batch * shape.context * options.steps + 1
    return np.random.default_rng(0).integers(1, shape.vocabulary, count).astype(np.uint16)


def number_format(options: argparse.Namespace):
    import torch

    from recension.training.devices import number_format as chosen

    return chosen(options.dtype, torch.device(options.device))


def settle(options: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(options.threads or len(os.sched_getaffinity(0)))
    if options.device == "cuda":
        torch.set_float32_matmul_precision("high")


def synchronise(options: argparse.Namespace) -> None:
    if options.device == "cuda":
        import torch

        torch.cuda.synchronize()


# --- the sides --------------------------------------------------------------------------------------------------------


def ours(options: argparse.Namespace, compiled: bool) -> tuple[list[float], list[float]]:
    import pyarrow as pa
    import torch

    from recension.training import loop
    from recension.training import network as networks
    from recension.training.batches import Windows, window_count
    from recension.training.checkpoints import Curve
    from recension.training.devices import Devices
    from recension.training.optimiser import Adam, adamw
    from recension.training.order import Order
    from recension.training.schedule import Schedule
    from recension.training.tokens import open_tokens, token_batch, token_schema

    model, shape = network(options)
    path = Path(options.work) / "tokens.arrow"
    schema = token_schema(shape.vocabulary)
    with pa.ipc.new_file(str(path), schema) as file:
        file.write_batch(token_batch(schema, [stream(options, shape)[1:]]))
    store = open_tokens([path])
    device = torch.device(options.device)
    model.to(device)
    networks.faster_norms(model)
    learner = networks.learner(model, True)
    if compiled:
        networks.compiled(learner, number_format(options))
    order = Order(0, options.batch, (window_count(store, shape.context),), (Fraction(1),))
    feed = Windows((store,), order, shape.context, options.micro, 0)
    parts = loop.Parts(learner, adamw(learner, Adam(RATE, DECAY, *BETAS)), feed, Devices(device))
    course = loop.Course(Schedule("constant", options.steps, RATE, 0), CLIP, number_format(options), 0.0, 0)
    times: list[float] = []

    class Clock:
        last = time.perf_counter()

        def stepped(self, step, curve, seconds) -> None:
            synchronise(options)
            now = time.perf_counter()
            times.append(now - self.last)
            self.last = now
            mark(options, len(times))

        def save(self, step, curve) -> None:
            pass

        def measure(self, evaluate):
            return None

    curve = Curve([], [], [], [], [])
    loop.run(parts, course, loop.Pace(), curve, Clock())
    return times, curve.loss


def nanogpt(options: argparse.Namespace, compiled: bool) -> tuple[list[float], list[float]]:
    import torch

    model, shape = network(options)
    model.to(options.device)
    data, context = stream(options, shape), shape.context
    groups = [
        {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": DECAY},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, fused=True)
    forward = torch.compile(model) if compiled else model
    dtype = number_format(options)
    times, losses = [], []
    for step in range(options.steps):
        began = time.perf_counter()
        total = 0.0
        for first in range(0, options.batch, options.micro):
            begin = (step * options.batch + first) * context
            rows = data[begin : begin + options.micro * context + 1].astype(np.int64)
            x = torch.from_numpy(rows[:-1]).view(-1, context)
            y = torch.from_numpy(rows[1:]).view(-1, context)
            if options.device == "cuda":
                x, y = x.pin_memory().to("cuda", non_blocking=True), y.pin_memory().to("cuda", non_blocking=True)
            with torch.autocast(options.device, dtype=dtype, enabled=dtype != torch.float32):
                logits = forward(input_ids=x, use_cache=False).logits
                loss = torch.nn.functional.cross_entropy(logits.view(-1, logits.size(-1)), y.reshape(-1))
                loss = loss * options.micro / options.batch
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        synchronise(options)
        times.append(time.perf_counter() - began)
        losses.append(total)
        mark(options, len(times))
    return times, losses


def trainer(options: argparse.Namespace, compiled: bool) -> tuple[list[float], list[float]]:
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    model, shape = network(options)
    rows = stream(options, shape)[:-1].astype(np.int64).reshape(-1, shape.context)

    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return len(rows)

        def __getitem__(self, index):
            ids = torch.from_numpy(rows[index])
            return {"input_ids": ids, "labels": ids}

    times: list[float] = []

    class Clock(TrainerCallback):
        began = 0.0

        def on_step_begin(self, *_, **__):
            self.began = time.perf_counter()

        def on_step_end(self, *_, **__):
            synchronise(options)
            times.append(time.perf_counter() - self.began)
            mark(options, len(times))

    settings = TrainingArguments(
        output_dir=options.work, max_steps=options.steps, per_device_train_batch_size=options.micro,
        gradient_accumulation_steps=options.batch // options.micro, learning_rate=RATE, weight_decay=DECAY,
        adam_beta1=BETAS[0], adam_beta2=BETAS[1], max_grad_norm=CLIP, lr_scheduler_type="constant",
        optim="adamw_torch_fused", bf16=number_format(options) == torch.bfloat16, use_cpu=options.device == "cpu",
        torch_compile=compiled, report_to=[], save_strategy="no", logging_steps=1, disable_tqdm=True,
    )  # fmt: skip
    work = Trainer(model, settings, train_dataset=Rows(), callbacks=[Clock()])
    work.train()
    return times, [entry["loss"] for entry in work.state.log_history if "loss" in entry]


def run_side(options: argparse.Namespace) -> None:
    settle(options)
    compiled = options.side in ("recension", "nanoGPT loop, compiled", "Trainer, compiled")
    do = ours if options.side.startswith("recension") else nanogpt if options.side.startswith("nano") else trainer
    times, losses = do(options, compiled)
    cpu = (time.process_time() - STARTED[0]) / (options.steps - options.warmup)
    if options.device == "cuda":
        import torch

        memory = torch.cuda.max_memory_allocated()
    else:
        import resource

        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sys.stdout.write("\n" + json.dumps({"times": times, "losses": losses, "memory": memory, "cpu": cpu}) + "\n")


# --- the comparison ---------------------------------------------------------------------------------------------------


def main() -> None:
    options = arguments()
    if options.side:
        run_side(options)
        return
    import torch

    from recension.training.flops import flops_per_token, peak_rate

    settle(options)
    model, shape = network(options)
    dtype = number_format(options)
    tokens = options.batch * shape.context
    flops = flops_per_token(model, shape.context)
    del model
    sides: dict[str, dict] = {side: {"seconds": [], "cpu": [], "loss": None, "memory_mb": 0} for side in options.sides}
    peaks = []
    for turn in range(options.rounds):
        peaks.append(peak_rate(torch.device(options.device), dtype))
        for side in options.sides:
            with tempfile.TemporaryDirectory() as work:
                command = [sys.executable, __file__, *sys.argv[1:], "--side", side, "--work", work]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{side} failed:\n{done.stdout}\n{done.stderr}")
            found = json.loads(done.stdout.strip().splitlines()[-1])
            seconds = statistics.median(found["times"][options.warmup :])
            sides[side]["seconds"].append(round(seconds, 4))
            sides[side]["cpu"].append(found["cpu"])
            sides[side]["loss"] = round(found["losses"][-1], 3)
            sides[side]["memory_mb"] = max(sides[side]["memory_mb"], round(found["memory"] / 1e6))
            print(
                f"round {turn + 1}, {side}: {tokens / seconds:,.0f} tokens/s, loss {found['losses'][-1]:.3f}",
                flush=True,
            )
    peak = max(peaks)
    for side in sides.values():
        seconds = statistics.median(side["seconds"])
        side["tokens_per_second"] = round(tokens / seconds)
        side["cpu_seconds"] = round(min(side.pop("cpu")), 3)
        side["mfu"] = round(flops * tokens / seconds / peak[0], 4)
    mine = sides.get("recension")
    best = max(
        (s for n, s in sides.items() if not n.startswith("recension")),
        key=lambda s: s["tokens_per_second"],
        default=None,
    )
    ratios = [round(b / m, 3) for m, b in zip(mine["seconds"], best["seconds"], strict=True)] if mine and best else []
    result = {
        "machine": {"processor": processor(options), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
        "torch": torch.__version__,
        "device": options.device,
        "preset": options.preset,
        "parameters": shape.parameters(shape.vocabulary),
        "context": shape.context,
        "batch": options.batch,
        "micro": options.micro,
        "dtype": str(dtype).removeprefix("torch."),
        "steps": options.steps,
        "warmup": options.warmup,
        "peak_gflops": round(peak[0] / 1e9),
        "peak_source": peak[1],
        "sides": {name: {"about": SIDES[name], **side} for name, side in sides.items()},
        "ratios_to_best": ratios,
        "median_ratio": round(statistics.median(ratios), 3) if ratios else None,
        "cpu_ratio": round(best["cpu_seconds"] / mine["cpu_seconds"], 3) if ratios else None,
    }
    name = "train.json" if options.device == "cpu" else "train_cuda.json"
    (HERE / "results" / name).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "sides"}, indent=1))


def processor(options: argparse.Namespace) -> str:
    if options.device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


if __name__ == "__main__":
    main()
