"""How fast the client asks, and what asking costs: against a local server that takes 50 ms for an answer.

python benchmarks/client [--at-once 16,32,64,1000] [--memory 1000,10000,100000] [--rivals FOLDER] [--rounds 2]

The fake server runs as a process of its own with room for 1,000 requests. Measured are `recension rephrase` (one request a
document; journal, cleaning and shards included), the client alone, and bare sockets that check and keep nothing, which tells
what server and machine have to give. With --rivals also the same documents through datatrove's inference runner, distilabel
and NeMo Data Designer, in environments of their own below FOLDER (made and filled where they are missing); the slow ones get
fewer documents, once. The rate is what the server sees between the first request and the last answer; the ideal
is requests at once over the time of an answer. Processor time is of the whole process, less that of the same run over a
twentieth of the documents: start and end are told apart. Of the rounds the fastest counts. What is not asked for (--memory "",
--at-once "") stays in the result as it was: benchmarks/results/client.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

HERE = Path(__file__).parent
RESULT = HERE.parent / "results" / "client.json"
LATENCY, ROOM = 0.05, 1000
WORDS = (HERE.parents[1] / "ARCHITECTURE.md").read_text(encoding="utf-8").split()
ANSWER = " ".join(WORDS[300:420])
RIVALS = {
    "datatrove": (["datatrove", "aiosqlite", "aiofiles", "httpx", "orjson"], "with_datatrove.py"),
    "distilabel": (["distilabel[openai]", "requests", "beautifulsoup4"], "with_distilabel.py"),
    "data-designer": (["data-designer"], "with_designer.py"),
}
SLOW = ("distilabel", "data-designer")
LEAST, MOST, ROUNDS = 4000, 12_800, 200  # documents, and about how often all places are filled


Way = Callable[[Path, Path, str, int], list[str]]


@contextmanager
def serving() -> Iterator[str]:
    command = [sys.executable, "-m", "recension.models.fake_server", "--latency", str(LATENCY), "--room", str(ROOM)]
    server = subprocess.Popen([*command, "--text", ANSWER], stdout=subprocess.PIPE, text=True)
    try:
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


def documents(count: int, place: Path) -> Path:
    """Texts of about a hundred words, no two the same."""
    with place.open("w", encoding="utf-8") as file:
        for number in range(count):
            start = number * 37 % (len(WORDS) - 100)
            text = f"Report {number}. {' '.join(WORDS[start : start + 100])}"
            file.write(json.dumps({"id": f"d{number}", "text": text}) + "\n")
    return place


def timed(command: Sequence[str | Path]) -> dict[str, float]:
    """Processor seconds and the peak of a process and its children."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    if process.returncode:
        raise SystemExit(f"{command[0]} failed ({process.returncode}): {output[-1500:]}")
    return {
        "seconds": time.monotonic() - began,
        "cpu": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
    }


def rephrase(source: Path, out: Path, url: str, at_once: int) -> list[str]:
    options = ["--writer", f"openai:fake@{url}", "--style", "wiki", "--concurrency", str(at_once), "--json"]
    return [sys.executable, "-m", "recension", "rephrase", str(source), "-o", str(out), *options]


def ours(script: str) -> Way:
    return lambda source, out, url, at_once: [
        sys.executable,
        str(HERE / script),
        str(source),
        str(out),
        url,
        str(at_once),
    ]


def measured(way: Way, sizes: tuple[int, int], at_once: int, folder: Path) -> dict[str, float]:
    """One way through a small and a large run, the server new for each."""
    runs = []
    for size in sizes:
        source = documents(size, folder / f"{size}.jsonl")
        with tempfile.TemporaryDirectory(dir=folder) as out, serving() as url:
            used = timed(way(source, Path(out) / "out", url, at_once))
            with urlopen(url.removesuffix("/v1") + "/counts") as reply:
                seen = json.load(reply)
        if seen["unique"] < size:
            raise SystemExit(f"only {seen['unique']} of {size} documents were asked about")
        runs.append({**used, "requests": seen["completed"], "served": seen["seconds"], "most": seen["most_in_flight"]})
    small, large = runs
    rate = large["requests"] / large["served"]
    each = (large["cpu"] - small["cpu"]) / (large["requests"] - small["requests"])
    return {
        "at_once": at_once,
        "requests": large["requests"],
        "a_second": round(rate, 1),
        "of_ideal": round(rate * LATENCY / at_once, 4),
        "cpu_ms": round(1000 * each, 3),
        "start_s": round(small["cpu"] - each * small["requests"], 2),
        "most_at_once": large["most"],
        "peak_mb": round(large["peak_mb"]),
        "seconds": round(large["seconds"], 1),
    }


def documents_for(name: str, at_once: int) -> int:
    """Enough to be no single burst, and few where a thousand take minutes."""
    return max(1000, 5 * at_once) if name in SLOW else min(MOST, max(LEAST, ROUNDS * at_once))


def rival(name: str, home: Path) -> Way:
    """A rival in its environment."""
    packages, script = RIVALS[name]
    python = home / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", home / name], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return lambda source, out, url, at_once: [str(python), str(HERE / script), str(source), str(out), url, str(at_once)]


def fastest(rounds: list[dict[str, float]]) -> dict[str, float]:
    best = max(rounds, key=lambda one: one["a_second"])
    return {**best, "all_rates": [one["a_second"] for one in rounds], "all_cpu_ms": [one["cpu_ms"] for one in rounds]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--at-once", default="16,32,64,1000", help="empty for none")
    parser.add_argument("--memory", default="1000,10000,100000", help="documents; empty for none")
    parser.add_argument("--rivals", type=Path, help="a folder for their environments")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    ways: dict[str, Way] = {
        "recension rephrase": rephrase,
        "the client alone": ours("alone.py"),
        "bare sockets": ours("bare.py"),
    }
    if given.rivals:
        ways |= {name: rival(name, given.rivals.resolve()) for name in RIVALS}
    found: dict = {
        "machine": {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()},
        "latency": LATENCY,
        "room": ROOM,
        "rounds": given.rounds,
        "niceness": os.nice(0),
        "load": [],
        "rates": {name: [] for name in ways},
        "memory": [],
    }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for at_once in map(int, filter(None, given.at_once.split(","))):
            for name, way in ways.items():
                size = documents_for(name, at_once)
                found["load"].append(round(os.getloadavg()[0], 1))
                times = 1 if name in SLOW else given.rounds
                rounds = [measured(way, (size // 20, size), at_once, folder) for _ in range(times)]
                found["rates"][name].append(fastest(rounds))
                print(name, found["rates"][name][-1], flush=True)
        for size in map(int, filter(None, given.memory.split(","))):
            told = measured(rephrase, (size // 20, size), 256, folder)
            kept = ("peak_mb", "seconds", "cpu_ms", "a_second")
            found["memory"].append({"documents": size, **{name: told[name] for name in kept}})
            print(found["memory"][-1], flush=True)
    old = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    if not given.at_once:
        found = {**old, "memory": found["memory"]}
    elif not given.memory:
        found["memory"] = old.get("memory", [])
    RESULT.write_text(json.dumps(found, indent=1) + "\n")


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    main()
