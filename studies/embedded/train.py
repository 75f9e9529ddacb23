"""Train the embedded prior with `recension train pretrain`, for as long as there is time.

    python studies/embedded/train.py DATA OUT --minutes 7 [--device cuda]

DATA is what `data.py` wrote. A short run on the held-out rows measures the speed; the real run takes as many steps as fit
into the time, so that the learning rate falls to its end within it. `OUT/run` is an ordinary run folder: give the command
that is printed again and it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

PRESET = "mini,hidden=320,heads=5,ffn=832,layers=6,context=1024,vocabulary=8192"
BATCH, CONTEXT = 128, 1024
TRIAL = 60


def command(data: Path, valid: Path, out: Path, steps: int, extra: list[str]) -> list[str]:
    learning = ["--learning-rate", "3e-3", "--decay", "0.3", "--warmup", "0.02", "--weight-decay", "0.1"]
    rows = ["--batch", str(BATCH), "--context", str(CONTEXT), "--steps", str(steps), "--valid", str(valid)]
    return [sys.executable, "-m", "recension", "train", "pretrain", str(data), "-o", str(out), "--preset", PRESET,
            *rows, *learning, *extra]  # fmt: skip


def speed(data: Path, out: Path, extra: list[str]) -> float | None:
    """Tokens a second in the last third of a short run; None if it fails."""
    call = command(data / "valid.jsonl.zst", data / "valid.jsonl.zst", out, TRIAL, [*extra, "--json"])
    times: dict[int, float] = {}
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            step = json.loads(line).get("figures", {}).get("step")
            if step:
                times[int(step)] = time.monotonic()
    if run.returncode or len(times) < 2:
        return None
    late = [step for step in times if step >= TRIAL // 3] or list(times)
    first, last = min(late), max(late)
    return (last - first) * BATCH * CONTEXT / max(times[last] - times[first], 1e-9) if last > first else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--micro", type=int, default=32)
    given = parser.parse_args()
    extra = ["--device", given.device, "--micro", str(given.micro), "--compile", "on"]
    pace = speed(given.data, given.out / "trial", extra)
    if pace is None:
        extra[-1] = "off"
        pace = speed(given.data, given.out / "trial-plain", extra)
    if pace is None:
        print("the trial failed", file=sys.stderr)
        return 1
    steps = int(pace * 60 * given.minutes / (BATCH * CONTEXT))
    print(f"{pace:,.0f} tokens a second: {steps:,} steps, {steps * BATCH * CONTEXT / 1e6:,.0f} M tokens", flush=True)
    call = command(given.data / "train.jsonl.zst", given.data / "valid.jsonl.zst", given.out / "run", steps, extra)
    print(" ".join(call[1:]), flush=True)
    return subprocess.run([*call, "--checkpoint-minutes", "4"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
