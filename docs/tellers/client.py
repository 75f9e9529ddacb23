"""What `benchmarks/client/` found."""

from __future__ import annotations

from typing import Any

from tellers.words import table


def told(found: dict[str, Any]) -> str:
    machine = found["machine"]
    rows = [
        (
            name,
            f"{run['at_once']:,}",
            f"{run['a_second']:,}",
            f"{run['of_ideal']:.1%}",
            f"{run['cpu_ms']:g}",
            f"{run['peak_mb']:,}",
        )
        for name, runs in found["rates"].items()
        for run in runs
    ]
    parts = [
        f"Requests to a local server that takes {found['latency'] * 1000:g} ms for an answer and has room for "
        f"{found['room']:,}: `recension rephrase`, one request a document, journal, cleaning and shards included; the client "
        "without the verb; and the same documents through datatrove's inference runner, which writes them as JSON lines "
        f"and neither keeps raw answers nor judges them. {found['documents']:,} documents of a hundred words. The rate is what "
        "the server sees; the ideal is requests at once over the time of an answer. Processor time is that of the "
        "whole process, less that of a run over a twentieth of the documents. "
        f"Machine: {machine['processor'] or 'unnamed'}, {machine['cores']} cores, which the server shares; on average "
        f"{min(found['load']):g} to {max(found['load']):g} processes of others and ours wanted them at the time.",
        table(("", "at once", "a second", "of the ideal", "processor ms a request", "peak memory, MB"), rows),
    ]
    if found["memory"]:
        memory = [(f"{run['documents']:,}", f"{run['peak_mb']:,}", f"{run['seconds']:g}") for run in found["memory"]]
        parts.append("Memory of `recension rephrase`, 256 at once:")
        parts.append(table(("documents", "peak memory, MB", "seconds"), memory))
    return "\n\n".join(parts)
