"""The command `recension` without the seconds that its imports take, which the tests would pay some two hundred times.

One process imports what commands import and does nothing else. Each call is a fork of it, with the folder, environment and
files of the caller, and runs the package as `python -m recension` does; it has a process number, can be killed, and starts
workers of its own. What a start from nothing is like is tested in test_architecture.py.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NoReturn

PLAIN = [f"recension.cli.{name}" for name in ("audit", "edit", "evaluate", "inspect", "train")]
PLAIN += [f"recension.recipes.{name}" for name in ("audit", "edit", "evaluate", "revert", "train_ngram", "view")]
PLAIN += [
    "recension.models.fake",
    "recension.models.ngram",
    "recension.methods.perplexity",
    "tokenizers",
    "numpy.random",
]
PLAIN += ["pyarrow.parquet", "pyarrow.compute", "pandas"]  # arrow looks for pandas and imports what it finds
HEAVY = ["torch", "transformers", "transformers.models.llama.modeling_llama", "transformers.models.auto.modeling_auto"]
HEAVY += ["recension.recipes.train", "recension.training.loop", "recension.models.transformers_prior"]

Variables = Mapping[str, str] | None

# A program for shells: `recension` first on the PATH.
STUB = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect({path!r})
    asked = {{"arguments": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ), "session": False}}
    socket.send_fds(server, [json.dumps(asked).encode()], [0, 1, 2])
    server.recv(64)
    os._exit(int(server.recv(64)) % 256)
"""


def main(path: str) -> None:
    """Serve calls until the standard input ends, that is until the caller is gone."""
    for name in PLAIN:
        import_module(name)
    gc.freeze()
    running: dict[int, tuple[int, socket.socket]] = {}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen(64)
        while True:
            ready = select.select([listener, sys.stdin, *running], [], [])[0]
            if sys.stdin in ready:
                return
            for ended in running.keys() & set(ready):
                pid, caller = running.pop(ended)
                os.close(ended)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with caller, contextlib.suppress(BrokenPipeError):
                    caller.send(b"%d" % status)
            if listener in ready:
                caller, _ = listener.accept()
                words, files, *_ = socket.recv_fds(caller, 1 << 20, 3)
                asked = json.loads(words)
                if "pretrain" in asked["arguments"] or any("hf:" in word for word in asked["arguments"]):
                    for name in HEAVY:
                        import_module(name)
                    gc.freeze()
                pid = os.fork()
                if pid == 0:
                    for mine in (listener, caller, *(other for _, other in running.values())):
                        mine.close()
                    _become(asked, files)
                for file in files:
                    os.close(file)
                running[os.pidfd_open(pid)] = pid, caller
                with contextlib.suppress(BrokenPipeError):
                    caller.send(b"%d" % pid)


def _become(asked: dict[str, Any], files: list[int]) -> NoReturn:
    """The command, in this process. It ends as a fork does, without taking apart what the parent has imported."""
    if asked["session"]:
        os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv = ["recension", *asked["arguments"]]
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # as in a terminal, also where the tests run in the background
    code = 1
    try:
        runpy.run_module("recension", run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    except BaseException:  # noqa: BLE001 - a bug is told as Python tells it
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, BrokenPipeError):
            stream.flush()
    os._exit(code)


class Server:
    """Started at the first call."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.folder = Path()

    def connect(self) -> socket.socket:
        self.begin()
        server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        server.connect(str(self.folder / "calls"))
        return server

    def commands(self) -> Path:
        """The folder for the PATH of a shell."""
        self.begin()
        return self.folder / "bin"

    def begin(self) -> None:
        if self.process is not None:
            return
        self.folder = Path(tempfile.mkdtemp(prefix="warm-"))
        path = self.folder / "calls"
        stub = self.folder / "bin" / "recension"
        stub.parent.mkdir()
        stub.write_text(STUB.format(python=sys.executable, path=str(path)))
        stub.chmod(0o755)
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}  # read when the hub's package is imported
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(path)], stdin=subprocess.PIPE, env=environment, start_new_session=True
        )
        while not path.exists():
            assert self.process.poll() is None, "the process with the imports ended"
            select.select([], [], [], 0.02)

    def end(self) -> None:
        if self.process is not None:
            self.process.communicate()
            shutil.rmtree(self.folder)
            self.process = None


SERVER = Server()


class Started:
    """A command that runs, as much of it as subprocess.Popen has."""

    def __init__(
        self, arguments: Sequence[object], files: list[int], session: bool = False, variables: Variables = None
    ) -> None:
        self._server = SERVER.connect()
        environment = {**os.environ, **(variables or {})}
        words = [str(word) for word in arguments]
        asked = {"arguments": words, "cwd": os.getcwd(), "env": environment, "session": session}
        socket.send_fds(self._server, [json.dumps(asked).encode()], files)
        self.pid = int(self._server.recv(64))
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._server.settimeout(timeout)
            try:
                self.returncode = int(self._server.recv(64))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("recension", timeout or 0) from None
            self._server.close()
        return self.returncode

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    arguments: Sequence[object], output: IO[str], *, session: bool = False, variables: Variables = None
) -> Started:
    """Standard output and error go to one file."""
    with open(os.devnull, "rb") as nothing:
        return Started(arguments, [nothing.fileno(), output.fileno(), output.fileno()], session, variables)


def recension(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, open(os.devnull, "rb") as nothing:
        with contextlib.chdir(cwd or "."):
            status = Started(arguments, [nothing.fileno(), out.fileno(), err.fileno()]).wait(120)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess([str(word) for word in arguments], status, out.read(), err.read())


if __name__ == "__main__":
    main(sys.argv[1])
