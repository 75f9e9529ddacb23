"""Nothing lost, nothing paid twice: `reformulate` against a server that fails 30 % of its calls, killed again and again.

python benchmarks/paid_once.py                    # 2,000 documents, 20 kills
python benchmarks/paid_once.py --documents 200 --kills 5

The fake server runs as a process of its own, so it outlives the kills and counts what it answered. Then the same documents go
through undisturbed, from a server with the same answers and no faults on the way. What has to hold: `verify` passes, data and
dropped are the same bytes, and the server completed at most one answer for each different request, and one for each request
that was under way at a kill. Result: benchmarks/results/paid_once.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

RESULT = Path(__file__).parent / "results" / "paid_once.json"
ON_THE_WAY = {
    **{"429": 0.05, "429-retry-after": 0.03, "500": 0.05, "503": 0.03, "cut": 0.03, "half-json": 0.03},
    **{
        "wrong-schema": 0.02,
        "wrong-type": 0.02,
        "reset": 0.02,
        "slow": 0.003,
        "hang": 0.001,
        "duplicate": 0.01,
        "bulky": 0.001,
    },
}
LASTING = {"empty": 0.003, "truncated": 0.005, "refused": 0.003, "rejected": 0.003, "huge": 0.001}


@contextmanager
def serving(port: int, faults: dict[str, float]):
    """The fake server on a port (0: any); yields the port."""
    words = ",".join(f"{kind}={share}" for kind, share in faults.items())
    command = [sys.executable, "-m", "recension.models.fake_server", "--port", str(port), "--latency", "0.02"]
    server = subprocess.Popen([*command, "--faults", words], stdout=subprocess.PIPE, text=True)
    try:
        yield int(server.stdout.readline().rsplit(":", 1)[1].split("/")[0])
    finally:
        server.terminate()
        server.wait()


def counts(port: int) -> dict:
    with urlopen(f"http://127.0.0.1:{port}/counts") as reply:
        return json.load(reply)


def documents(count: int, place: Path) -> Path:
    """Texts of the samples, cut and numbered so that no two are the same."""
    rows = []
    texts = sorted(Path(__file__).parents[1].glob("samples/*.jsonl*"))
    import pyarrow.json  # noqa: F401

    from recension.corpus import Reading, Record, open_corpus, read_piece

    corpus = open_corpus([str(path) for path in texts], Reading())
    for piece in corpus.pieces(1 << 20, None):
        for row in read_piece(piece, corpus.reading, corpus.layout):
            if isinstance(row, Record):
                words = row.document.text.split()
                rows += [" ".join(words[i : i + 120]) for i in range(0, len(words) - 60, 120)]
    with place.open("w", encoding="utf-8") as file:
        for number in range(count):
            text = f"Report {number}. {rows[number % len(rows)]}"
            file.write(json.dumps({"id": f"d{number}", "text": text}) + "\n")
    return place


def command(source: Path, out: Path, port: int) -> list[str]:
    return [
        sys.executable, "-m", "recension", "reformulate", str(source), "-o", str(out), "--writer", f"openai:fake@http://127.0.0.1:{port}/v1",
        "--pairs", "2", "--timeout", "3", "--concurrency", "64", "--shard-bytes", "131072", "--json",
    ]  # fmt: skip


def digest(out: Path) -> str:
    """Of all files of data and dropped."""
    found = hashlib.sha256()
    for part in ("data", "dropped"):
        for path in sorted((out / part).glob("*")):
            found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def killed(source: Path, out: Path, port: int, kills: int, answers: int, seed: int) -> int:
    """Run to the end, killed at random moments between the first answer and the last; returns the kills."""
    draw = random.Random(seed)
    moments = sorted(draw.randrange(1, answers) for _ in range(kills))
    done = 0
    while True:
        running = subprocess.Popen(
            command(source, out, port), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        while done < kills and running.poll() is None and counts(port)["completed"] < moments[done]:
            time.sleep(0.02)
        if done < kills and running.poll() is None:
            time.sleep(draw.uniform(0, 0.05))
            running.send_signal(signal.SIGKILL)
            running.communicate()
            done += 1
            continue
        output = running.communicate()[0]
        if running.returncode:
            raise SystemExit(f"the run failed ({running.returncode}): {output[-2000:]}")
        return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--documents", type=int, default=2_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-result", action="store_true", help="do not write the result file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = documents(given.documents, Path(folder) / "in.jsonl")
        out, whole = Path(folder) / "out", Path(folder) / "whole"
        began = time.monotonic()
        with serving(0, {**ON_THE_WAY, **LASTING}) as port:
            kills = killed(source, out, port, given.kills, 4 * given.documents, given.seed)
            disturbed = counts(port)
        report = json.loads((out / "report.json").read_text())
        with serving(port, LASTING):
            subprocess.run(command(source, whole, port), check=True, stdout=subprocess.DEVNULL)
            undisturbed = counts(port)
        import recension

        proof = recension.verify(out)
        unique = report["calls"]["answers"]
        found = {
            "documents": given.documents,
            "kills": kills,
            "units": proof.units,
            "written": proof.written,
            "dropped": proof.dropped,
            "verify": proof.sound,
            "same bytes as undisturbed": digest(out) == digest(whole),
            "different requests": unique,
            "requests received": disturbed["received"],
            "answers completed": disturbed["completed"],
            "faults met": disturbed["faults"],
            "requests that failed and went again": report["calls"]["retried"],
            "under way at the kills, by our ledger": report["calls"]["lost"],
            "answers that came to nobody": disturbed["completed"] - unique,
            "undisturbed: answers completed": undisturbed["completed"],
            "seconds": round(time.monotonic() - began),
        }
    print(json.dumps(found, indent=1))
    assert found["verify"] and found["same bytes as undisturbed"], "the two runs differ"
    assert disturbed["completed"] <= unique + 2 + report["calls"]["lost"] + report["calls"]["retried"]
    if not given.no_result:
        RESULT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
