"""How fast an audit reads, and what its statistics cost beside that.

Reading: JSON lines to a counted state (words and n-grams hashed, buckets, sketch of long runs, MinHash, sample), by one
process; beside it what people write in Python for distinct-n, and scikit-learn's HashingVectorizer where it is installed. Times
are processor seconds, medians of the rounds; all sides in turn. The fixed cost is that of a whole audit of two halves, by pass.

Beside it, with `--rival`, the measures of the diversity package that look at a whole corpus, one by one, and the search of
lm-evaluation-harness for runs of 13 words that an evaluation set has too. (The homogenization score of diversity compares all
pairs of documents, and is not among them.) They want an environment of their own:
pip install diversity==0.3.1 spacy openai pyyaml && pip install --no-deps lm-eval==0.4.13

python benchmarks/audit.py [--text FILE] [--rounds 3] [--rival OTHER/bin/python]
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import platform
import re
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

HOME = Path(__file__).parent
WORD = re.compile(r"\w+|[^\w\s]+")
ROUND = 1 << 19
HARNESS = "lm-eval, runs of 13 words"
RIVALS = ("diversity, compression ratio", "diversity, n-grams 1 to 4", "diversity, self-repetition", HARNESS)


def fold_all(path: Path) -> int:
    from recension.methods.audit.folds import Fold, Item

    fold, waiting, size = Fold(240_000), [], 0
    with gzip.open(path, "rt") as file:
        for line in file:
            row = json.loads(line)
            waiting.append(Item(row["text"], row["id"], row["id"]))
            size += len(row["text"])
            if size >= ROUND:
                fold.add(waiting)
                waiting, size = [], 0
    fold.add(waiting)
    return fold.size


def plain_python(path: Path) -> int:
    """Distinct-1 to distinct-4 with a Counter, as in most scripts; no MinHash, no sample."""
    counts: list[Counter[tuple[str, ...]]] = [Counter() for _ in range(4)]
    size = 0
    with gzip.open(path, "rt") as file:
        for line in file:
            text = json.loads(line)["text"]
            size += len(text.encode())
            words = WORD.findall(text.lower())
            for n, counter in enumerate(counts, 1):
                counter.update(zip(*(words[k:] for k in range(n)), strict=False))
    return size


def hashing_vectorizer(path: Path) -> int:
    """Words and bigrams in 10,000 buckets; no MinHash, no sample."""
    from sklearn.feature_extraction.text import HashingVectorizer

    texts = lines_of(path)
    HashingVectorizer(n_features=10_000, ngram_range=(1, 2), norm=None, alternate_sign=False).transform(texts)
    return sum(len(text.encode()) for text in texts)


def sides() -> dict[str, Callable[[Path], int]]:
    found = {"recension": fold_all, "plain Python, distinct-1 to 4": plain_python}
    try:
        import sklearn  # noqa: F401
    except ImportError:
        return found
    return {**found, "scikit-learn HashingVectorizer": hashing_vectorizer}


def rival(name: str, path: Path, unseen: Path) -> float:
    """Processor seconds of one measure of another package, after its imports."""
    texts = lines_of(path)
    if name == HARNESS:
        from lm_eval.decontamination.janitor import Janitor

        janitor = Janitor()
        with unseen.open() as file:
            for line in file:
                janitor.register_contaminant(json.loads(line)["text"])
        before = time.process_time()
        for text in texts:
            janitor.clean(text)
        return time.process_time() - before
    import diversity

    measures = (diversity.compression_ratio, diversity.ngram_diversity_score, diversity.self_repetition_score)
    measure = measures[RIVALS.index(name)]
    before = time.process_time()
    measure(texts)
    return time.process_time() - before


def lines_of(path: Path) -> list[str]:
    with gzip.open(path, "rt") as file:
        return [json.loads(line)["text"] for line in file]


def timed(python: str, name: str, path: Path, unseen: Path) -> float:
    """The same in a process of its own, with the Python that has the package."""
    arguments = [python, __file__, "--side", name, "--text", str(path), "--unseen", str(unseen)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr[-2_000:]}")
    return float(done.stdout.splitlines()[-1])


class Clock:
    """Processor seconds by stage, as an observer of the run."""

    def __init__(self) -> None:
        self.began, self.stage, self.spent = time.process_time(), "reading", {}

    def update(self, progress: object) -> None:
        stage = "reading" if progress.stage == "audit" else progress.stage
        self.close()
        self.began, self.stage = time.process_time(), stage

    def close(self) -> None:
        self.spent[self.stage] = self.spent.get(self.stage, 0.0) + time.process_time() - self.began

    def note(self, _: str) -> None:
        pass


def fixed_cost(path: Path, budget: int) -> dict[str, object]:
    from recension import AuditEffort, AuditSpec, audit

    with tempfile.TemporaryDirectory() as folder, gzip.open(path, "rt") as file:
        halves = [Path(folder) / "one.jsonl", Path(folder) / "other.jsonl"]
        lines = list(file)
        for half, part in zip(halves, (lines[::2], lines[1::2]), strict=True):
            half.write_text("".join(part))
        clock = Clock()
        before = time.process_time()
        report = audit(halves, Path(folder) / "out", AuditSpec(budget=budget), AuditEffort(workers=1), clock)
        clock.close()
        whole = time.process_time() - before
    return {
        "budget": budget,
        "words": report.words,
        "level": report.level,
        "seconds": round(whole, 1),
        "by_pass": {name: round(seconds, 1) for name, seconds in clock.spent.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, default=HOME.parent / "samples" / "human.jsonl.gz")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=200_000)
    parser.add_argument(
        "--unseen", type=Path, default=HOME.parent / "samples" / "unseen.jsonl", help="an evaluation set"
    )
    parser.add_argument("--rival", help="the Python that has diversity and lm-eval")
    parser.add_argument("--side", choices=RIVALS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # they tell a lot
            seconds = rival(given.side, given.text, given.unseen)
        print(seconds)
        return
    times: dict[str, list[float]] = {name: [] for name in sides()}
    size = 0
    for _ in range(given.rounds):
        for name, side in sides().items():
            before = time.process_time()
            size = side(given.text)
            times[name].append(time.process_time() - before)
        for name in RIVALS if given.rival else ():
            times.setdefault(name, []).append(timed(given.rival, name, given.text, given.unseen))
    result = {
        "machine": {"processor": platform.processor() or platform.machine(), "python": platform.python_version()},
        "megabytes": round(size / 1e6, 2),
        "rounds": given.rounds,
        "megabytes_per_second": {n: round(size / 1e6 / statistics.median(t), 1) for n, t in times.items()},
        "fixed": fixed_cost(given.text, given.budget),
    }
    out = HOME / "results" / "audit.json"
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
