"""How fast the client asks, and what asking costs: against a local server that takes 50 ms for an answer.

python benchmarks/client [--documents 4000] [--at-once 16,32,64,1000] [--memory 1000,10000,100000] [--rivals FOLDER]

The fake server runs as a process of its own with room for 1,000 requests. Measured are `recension rephrase` (one request a
document, journal and shards included) and the client alone; and with --rivals the same documents through datatrove's inference
runner, in an environment of its own below FOLDER (made and filled where it is missing). The rate is
what the server sees between the first request and the last answer; the ideal is requests at once over the time of an answer.
Processor time is of the whole process, less that of the same run over a twentieth of the documents. Result:
benchmarks/results/client.json.
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
RIVALS = {"datatrove": (["datatrove", "aiosqlite", "aiofiles", "httpx", "orjson"], "with_datatrove.py")}


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


def alone(source: Path, out: Path, url: str, at_once: int) -> list[str]:
    return [sys.executable, str(HERE / "alone.py"), str(source), str(out), url, str(at_once)]


Way = Callable[[Path, Path, str, int], list[str]]


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
    return {
        "at_once": at_once,
        "requests": large["requests"],
        "a_second": round(rate, 1),
        "of_ideal": round(rate * LATENCY / at_once, 4),
        "cpu_ms": round(1000 * (large["cpu"] - small["cpu"]) / (large["requests"] - small["requests"]), 3),
        "most_at_once": large["most"],
        "peak_mb": round(large["peak_mb"]),
        "seconds": round(large["seconds"], 1),
    }


def rival(name: str, home: Path) -> Way:
    """A rival in its environment."""
    packages, script = RIVALS[name]
    python = home / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", home / name], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return lambda source, out, url, at_once: [str(python), str(HERE / script), str(source), str(out), url, str(at_once)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--documents", type=int, default=4000)
    parser.add_argument("--at-once", default="16,32,64,1000")
    parser.add_argument("--memory", default="1000,10000,100000", help="documents; empty for none")
    parser.add_argument("--rivals", type=Path, help="a folder for their environments")
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    sizes = (given.documents // 20, given.documents)
    ways: dict[str, Way] = {"recension rephrase": rephrase, "the client alone": alone}
    if given.rivals:
        ways |= {name: rival(name, given.rivals.resolve()) for name in RIVALS}
    found: dict = {
        "machine": {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()},
        "latency": LATENCY,
        "room": ROOM,
        "documents": given.documents,
        "load": [],
        "rates": {name: [] for name in ways},
        "memory": [],
    }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for at_once in map(int, given.at_once.split(",")):
            for name, way in ways.items():
                found["load"].append(round(os.getloadavg()[0], 1))
                found["rates"][name].append(measured(way, sizes, at_once, folder))
                print(name, found["rates"][name][-1], flush=True)
        for size in map(int, filter(None, given.memory.split(","))):
            told = measured(rephrase, (size // 20, size), 256, folder)
            found["memory"].append({"documents": size, **{k: told[k] for k in ("peak_mb", "seconds", "cpu_ms")}})
            print(found["memory"][-1], flush=True)
    RESULT.write_text(json.dumps(found, indent=1) + "\n")


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    main()
