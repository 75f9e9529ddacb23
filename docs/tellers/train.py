"""What `benchmarks/train.py` found."""

from __future__ import annotations

from typing import Any

from tellers.words import table


def told(found: dict[str, Any]) -> str:
    machine = found["machine"]
    where = machine["processor"] or "unnamed"
    if "cuda" not in found.get("device", "cpu"):
        where += f", {machine['threads']} threads"
    rows = [
        (
            name,
            side["about"],
            f"{side['tokens_per_second']:,}",
            f"{side['mfu']:.1%}",
            f"{side['cpu_seconds']:.2f}",
            f"{side['memory_mb']:,}",
            f"{side['loss']:.3f}",
        )
        for name, side in sorted(found["sides"].items(), key=lambda item: -item[1]["tokens_per_second"])
    ]
    ratios = ", ".join(f"{ratio:g}" for ratio in found["ratios_to_best"])
    return (
        f"Pretraining `{found['preset']}` ({found['parameters'] / 1e6:.1f} million parameters, context {found['context']:,}, "
        f"{found['batch']} rows a step, {found['dtype']}) by three loops: same network, first weights, rows and optimiser; "
        f"each side in a process of its own, all sides in turn; medians of steps {found['warmup'] + 1} to {found['steps']}, so "
        f"the time to compile is not in it. Machine: {where}; MFU against {found['peak_gflops']:,} GFLOP/s "
        f"({found['peak_source']}).\n\n"
        + table(
            ("", "what it is", "tokens per second", "MFU", "CPU seconds a step", "peak memory, MB", "last loss"), rows
        )
        + f"\n\nAgainst the fastest of the others, by round: {ratios}, **median {found['median_ratio']:g}**; in processor "
        f"time, which neighbours on the machine change less, {found['cpu_ratio']:g} (the best round of each). Losses differ in "
        "the last digits of bfloat16; those of the Trainer are means that it rounds itself."
    )
