"""What does a mixture cost, and how exact is it? `recension mix` beside the loop that one would write.

    python benchmarks/mix.py --data ../shared/data

Three sources by weight, in tokens of the embedded tokenizer, one process with one thread each, one after the other in one
call. The loop is `datasets.interleave_datasets` with the weights as probabilities over streamed and buffer-shuffled files, each
document tokenised (alone, or 1,000 at a time) until the tokens are there, rows written to parquet. CPU seconds are
those of the process: other work on the machine slows the wall clock and not them. Loading modules is not counted.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "mix.json"
SOURCES = {
    "fiction": ("human/fiction.train.jsonl.gz", 0.5),
    "proposals": ("human/technical_proposals.train.jsonl.gz", 0.35),
    "gpt4": ("synthetic/textbook_gpt4.train.jsonl.gz", 0.15),
}
BUFFER, ROWS = 1_000, 1_000
Found = dict[str, Any]


def measured(work: Callable[[], dict[str, int]]) -> Found:
    """Tokens by source, with the seconds and the memory of this process."""
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    tokens = work()
    after, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - begun
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"tokens": tokens, "cpu_seconds": cpu, "wall_seconds": wall, "peak_mib": after.ru_maxrss / 1024}


def with_mix(data: Path, out: Path, total: int | None) -> Found:
    import recension
    from recension.models.token_counts import token_counter

    token_counter("embedded").count(["loaded"])
    sources = tuple(
        recension.MixSource(name, (str(data / path),), weight=weight) for name, (path, weight) in SOURCES.items()
    )
    spec = recension.MixSpec(sources, tokens=total)

    def work() -> dict[str, int]:
        report = recension.mix(spec, out, recension.MixEffort(workers=1))
        assert report.tokens == report.planned or report.planned - report.tokens <= len(sources)
        return {source.name: source.tokens for source in report.sources}

    return measured(work)


def with_loop(data: Path, out: Path, total: int, together: int) -> Found:
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq
    from tokenizers import Tokenizer

    from recension.models.token_counts import EMBEDDED

    tokenizer = Tokenizer.from_file(str(EMBEDDED))
    datasets.disable_progress_bars()

    def rows() -> Iterator[list[dict[str, Any]]]:
        parts = [
            datasets.load_dataset("json", data_files=str(data / path), split="train", streaming=True)
            .select_columns(["id", "text"])
            .map(lambda row, name=name: {**row, "source": name})
            .shuffle(seed=0, buffer_size=BUFFER)
            for name, (path, _) in SOURCES.items()
        ]
        weights = [weight for _, weight in SOURCES.values()]
        mixed = datasets.interleave_datasets(parts, probabilities=weights, seed=0, stopping_strategy="all_exhausted")
        batch = []
        for row in mixed:
            batch.append(row)
            if len(batch) == together:
                yield batch
                batch = []

    def work() -> dict[str, int]:
        tokens = dict.fromkeys(SOURCES, 0)
        schema = pa.schema([("id", pa.string()), ("text", pa.string()), ("source", pa.string())])
        waiting: list[dict[str, Any]] = []
        out.mkdir()
        with pq.ParquetWriter(out / "0.parquet", schema, compression="zstd") as writer:
            for batch in rows():
                if together == 1:
                    counts = [len(tokenizer.encode(batch[0]["text"]).ids)]
                else:
                    counts = [len(found.ids) for found in tokenizer.encode_batch([row["text"] for row in batch])]
                for row, count in zip(batch, counts, strict=True):
                    if sum(tokens.values()) >= total:
                        break
                    tokens[row["source"]] += count
                    waiting.append(row)
                if len(waiting) >= ROWS:
                    writer.write_table(pa.Table.from_pylist(waiting, schema))
                    waiting.clear()
                if sum(tokens.values()) >= total:
                    break
            writer.write_table(pa.Table.from_pylist(waiting, schema))
        return tokens

    return measured(work)


def contend(name: str, work: Callable[..., Found], *given: Any) -> Found:
    """In a process of its own, so that nothing of one contender is there for the next."""
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    process = context.Process(target=_answer, args=(work, given, answers))
    process.start()
    found: Found = answers.get()
    process.join()
    weights = {source: weight for source, (_, weight) in SOURCES.items()}
    whole = sum(found["tokens"].values())
    shares = {source: tokens / whole for source, tokens in found["tokens"].items()}
    found |= {
        "whole": whole,
        "shares": shares,
        "worst": max(abs(shares[source] - weight) for source, weight in weights.items()),
        "tokens_per_cpu_second": whole / found["cpu_seconds"],
    }
    print(f"{name}: {whole:,} tokens, {found['cpu_seconds']:.1f} CPU s, {found['wall_seconds']:.1f} s, "
          f"{whole / found['cpu_seconds']:,.0f} tokens/CPU s, worst share off by {found['worst']:.2%}, "
          f"{found['peak_mib']:.0f} MiB")  # fmt: skip
    return found


def _answer(work: Callable[..., Found], given: tuple[Any, ...], answers: Any) -> None:
    answers.put(work(*given))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--tokens", type=int, help="of the mixture [default: the most without repetition]")
    given = parser.parse_args()
    os.environ |= {
        "RAYON_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    place = Path(tempfile.mkdtemp())
    os.environ["HF_HOME"] = str(place / "cache")
    try:
        mixed = contend("mix", with_mix, given.data, place / "mix", given.tokens)
        whole = mixed["whole"]
        loop = contend("loop", with_loop, given.data, place / "loop", whole, 1)
        batched = contend("loop, batched", with_loop, given.data, place / "batched", whole, 1_000)
    finally:
        shutil.rmtree(place)
    import datasets
    import tokenizers

    found = {
        "sources": {name: {"path": path, "weight": weight} for name, (path, weight) in SOURCES.items()},
        "versions": {
            "datasets": datasets.__version__,
            "tokenizers": tokenizers.__version__,
            "python": sys.version.split()[0],
        },
        "mix": mixed,
        "loop": loop,
        "batched": batched,
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
