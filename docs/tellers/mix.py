"""What `benchmarks/mix.py` found."""

from __future__ import annotations

from typing import Any

from tellers.words import table

NAMES = {
    "mix": "`recension mix`",
    "loop": "interleave, one document at a time",
    "batched": "interleave, 1,000 at a time",
}


def told(found: dict[str, Any]) -> str:
    rows = [
        (
            name,
            f"{found[key]['whole']:,}",
            f"{found[key]['cpu_seconds']:.1f}",
            f"{found[key]['tokens_per_cpu_second']:,.0f}",
            f"{100 * found[key]['worst']:.2f} points",
            f"{found[key]['peak_mib']:.0f} MiB",
        )
        for key, name in NAMES.items()
    ]
    head = ("", "tokens written", "CPU seconds", "tokens per CPU second", "worst share off by", "peak memory")
    shares = ", ".join(f"{name} {source['weight']:.0%}" for name, source in found["sources"].items())
    ours, theirs = found["mix"], found["loop"]
    times = ours["tokens_per_cpu_second"] / theirs["tokens_per_cpu_second"]
    pace = f"{times:.1f} times the tokens" if times >= 1 else f"{times:.0%} of the tokens"
    return (
        f"Three sources ({shares}), counted by the tokenizer of the package, one process with one thread. The other two are "
        "loops over `datasets.interleave_datasets` with the weights as probabilities, streamed and shuffled in a buffer, which "
        f"tokenise until the tokens are there (datasets {found['versions']['datasets']}, tokenizers "
        f"{found['versions']['tokenizers']}). Probabilities count documents, so their shares of tokens are others than those "
        "that were asked, and they take the beginnings of the files; nor do they hold out, verify or go on after a stop. `mix` "
        "reads everything twice, hashes every document, counts about a third more tokens than it writes, and shuffles "
        f"globally; it comes to {pace} of the first loop in a second of one core.\n\n" + table(head, rows)
    )
