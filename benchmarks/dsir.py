"""How fast `select --method dsir` is beside the data-selection package, on the same documents in one run.

Every side reads JSON lines, fits, weighs, draws a tenth and writes it, in a process of its own that is pinned to one core.
Times are processor seconds from the first file opened to the last one written, after imports and a small run to warm up;
medians of the rounds. In each round Recension is run before and after the package, which takes minutes, and their ratio is
that of its seconds to the mean of the two; told is the median ratio. Recension is measured with our hash
(the default) and with the buckets of the package, each with the report of the tail without its samples; what these cost is a
fixed sum, measured beside it. The weights of the package are compared with ours, document by document.

data-selection wants an environment of its own: pip install data-selection==1.0.3 nltk==3.9.1

python benchmarks/dsir.py --rival OTHER/bin/python [--data ../shared/data] [--documents 50000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).parent
TARGETS = ("textbook_openstax.valid", "textbook.valid")
LEFT_OUT = ("fiction_more",)  # more of the same novels
SHARE = 0.1
SIDES = ("fast", "sha256")
WARM = [
    {"id": str(i), "text": f"the quick brown fox number {i} jumps over the lazy dog. À demain. " * 4}
    for i in range(200)
]


def corpora(data: Path, folder: Path, count: int) -> tuple[Path, Path]:
    """So many documents of all human training files, evenly taken, and a target."""
    lines: list[bytes] = []
    for path in sorted((data / "human").glob("*.train.jsonl.gz")):
        if path.name.partition(".")[0] not in LEFT_OUT:
            with gzip.open(path, "rb") as file:
                lines += file.readlines()
    step = len(lines) / count
    raw, target = folder / "raw.jsonl", folder / "target.jsonl"
    raw.write_bytes(b"".join(lines[int(i * step)] for i in range(count)))
    packed = [(data / "human" / f"{name}.jsonl.gz").read_bytes() for name in TARGETS]
    target.write_bytes(b"".join(gzip.decompress(part) for part in packed))
    return raw, target


def ours(raw: Path, target: Path, out: Path, hash: str, tail_words: int) -> dict[str, object]:
    import recension

    effort = recension.SelectEffort(workers=1)

    def spec(at: Path) -> recension.SelectSpec:
        return recension.SelectSpec(target=(str(at),), keep=SHARE, hash=hash, tail_words=tail_words)  # type: ignore[arg-type]

    warm = out.parent / f"{out.name}-warm.jsonl"
    warm.write_text("".join(json.dumps(row) + "\n" for row in WARM))
    recension.select(warm, out.parent / f"{out.name}-warm", recension.SelectSpec(
        target=(str(warm),), keep=SHARE, hash=hash, min_words=1, tail_words=tail_words and 1_000), effort)  # type: ignore[arg-type]  # fmt: skip
    stages = Clock()
    before, wall = time.process_time(), time.perf_counter()
    report = recension.select(raw, out, spec(target), effort, stages)
    return {
        "seconds": time.process_time() - before,
        "wall": time.perf_counter() - wall,
        "kept": report.kept,
        "stages": stages.done(),
        "facts": report.facts,
    }


class Clock:
    """Processor seconds by stage, as an observer of the run."""

    def __init__(self) -> None:
        self.began, self.stage, self.spent = time.process_time(), "open", {}

    def update(self, progress: object) -> None:
        now = time.process_time()
        self.spent[self.stage] = self.spent.get(self.stage, 0.0) + now - self.began
        self.began, self.stage = now, progress.stage

    def note(self, _: str) -> None:
        pass

    def done(self) -> dict[str, float]:
        now = time.process_time()
        self.spent[self.stage] = self.spent.get(self.stage, 0.0) + now - self.began
        return {name: round(seconds, 3) for name, seconds in self.spent.items()}


def theirs(raw: Path, target: Path, out: Path) -> dict[str, object]:
    import nltk
    import numpy as np
    from data_selection import HashedNgramDSIR

    count = sum(1 for _ in raw.open("rb"))
    warm = out.parent / "rival-warm.jsonl"
    warm.write_text("".join(json.dumps(row) + "\n" for row in WARM))
    HashedNgramDSIR([str(warm)], [str(warm)], cache_dir=f"{out}-warm", num_proc=1).fit_importance_estimator()
    before, wall = time.process_time(), time.perf_counter()
    dsir = HashedNgramDSIR([str(raw)], [str(target)], cache_dir=f"{out}-cache", num_proc=1)
    dsir.fit_importance_estimator()
    fitted = time.process_time() - before
    dsir.compute_importance_weights()
    weighed = time.process_time() - before - fitted
    dsir.resample(str(out), int(SHARE * count), cache_dir=f"{out}-drawn")
    seconds = time.process_time() - before
    np.save(f"{out}-weights.npy", np.load(f"{out}-cache/log_importance_weights/0.npy"))
    stages = {"fit": round(fitted, 3), "weights": round(weighed, 3), "resample": round(seconds - fitted - weighed, 3)}
    return {"seconds": seconds, "wall": time.perf_counter() - wall, "stages": stages, "nltk": nltk.__version__}


def run(python: str, arguments: list[str]) -> dict[str, object]:
    """One side in a process of its own, on one core."""
    core = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [python, __file__, *arguments], capture_output=True, text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}), check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{arguments}: {done.stderr[-2_000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def apart(out: Path, weights: Path) -> dict[str, float]:
    """How far our scores of the package's buckets lie from its weights."""
    import numpy as np
    import pyarrow.parquet as pq

    scores = np.concatenate(
        [pq.read_table(p, columns=["score"])["score"].to_numpy() for p in sorted(out.glob("*.parquet"))]
    )
    known = np.load(weights)
    distance = np.abs(scores - known)
    return {
        "documents": len(known),
        "largest_difference": float(distance.max()),
        "largest_relative_difference": float((distance / np.maximum(1, np.abs(known))).max()),
        "same_to_the_bit": float((distance == 0).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rival", default=sys.executable, help="the Python that has data-selection")
    parser.add_argument("--data", type=Path, default=HOME.parent.parent / "shared" / "data")
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", nargs=5, metavar=("NAME", "RAW", "TARGET", "OUT", "TAIL"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        name, *places, tail = given.side
        raw, target, out = map(Path, places)
        print(json.dumps(theirs(raw, target, out) if name == "rival" else ours(raw, target, out, name, int(tail))))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        raw, target = corpora(given.data, folder, given.documents)
        seen: dict[str, list[dict[str, object]]] = {}

        def side(python: str, name: str, tail: int = 0) -> None:
            label = f"{name}-report" if tail else name
            out = folder / f"{label}-{len(seen.get(label, []))}"
            found = run(python, ["--side", name, str(raw), str(target), str(out), str(tail)])
            seen.setdefault(label, []).append(found)
            print(label, round(float(found["seconds"]), 2), found["stages"], file=sys.stderr, flush=True)  # type: ignore[arg-type]

        quick = (("fast", 0), ("sha256", 0), ("fast", 20_000))
        for _ in range(given.rounds):
            for name, tail in quick:
                side(sys.executable, name, tail)
            side(given.rival, "rival")
            for name, tail in quick:
                side(sys.executable, name, tail)
        result = told(seen, raw, folder, given)
    out = HOME / "results" / "dsir.json"
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def times(slow: list[dict], quick: list[dict]) -> float:
    """How many times as fast the one is: by round, for the machine may be slower in one than in another."""
    means = [(float(a["seconds"]) + float(b["seconds"])) / 2 for a, b in zip(quick[::2], quick[1::2], strict=True)]
    return round(statistics.median(float(one["seconds"]) / mean for one, mean in zip(slow, means, strict=True)), 1)


def told(seen: dict, raw: Path, folder: Path, given: argparse.Namespace) -> dict[str, object]:
    size = raw.stat().st_size / 1e6
    seconds = {name: statistics.median(float(one["seconds"]) for one in runs) for name, runs in seen.items()}
    from importlib.util import find_spec

    return {
        "machine": {"processor": platform.processor() or platform.machine(), "python": platform.python_version()},
        "numba": find_spec("numba") is not None,
        "documents": given.documents,
        "megabytes": round(size, 1),
        "rounds": given.rounds,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "spread": {name: [round(float(one["seconds"]), 2) for one in runs] for name, runs in seen.items()},
        "wall": {name: round(statistics.median(float(one["wall"]) for one in runs), 2) for name, runs in seen.items()},
        "stages": {name: runs[-1]["stages"] for name, runs in seen.items()},
        "documents_per_second": {name: round(given.documents / value) for name, value in seconds.items()},
        "times": {name: times(seen["rival"], seen[name]) for name in (*SIDES, "fast-report")},
        "facts": seen["fast"][0]["facts"],
        "weights": apart(folder / "sha256-0" / "scores", folder / "rival-0-weights.npy"),
        "rival": {"data-selection": "1.0.3", "nltk": seen["rival"][0]["nltk"]},
    }


if __name__ == "__main__":
    main()
