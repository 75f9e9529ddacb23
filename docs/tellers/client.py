"""What `benchmarks/client/` found."""

from __future__ import annotations

from typing import Any

from tellers.words import table

OURS = ("recension rephrase", "the client alone", "bare sockets")


def told(found: dict[str, Any]) -> str:
    machine = found["machine"]
    rows = [
        (
            name,
            f"{run['at_once']:,}",
            f"{run['requests']:,}",
            f"{run['a_second']:,}",
            f"{run['of_ideal']:.1%}",
            f"{run['cpu_ms']:g}",
            f"{run['start_s']:g}",
            f"{run['peak_mb']:,}",
        )
        for name, runs in found["rates"].items()
        for run in runs
    ]
    others = [name for name in found["rates"] if name not in OURS]
    parts = [
        f"Requests to a local server that takes {found['latency'] * 1000:g} ms for an answer and has room for "
        f"{found['room']:,}: `recension rephrase`, one request a document, journal, cleaning and shards included; the client "
        "without the verb; bare sockets, which check and keep nothing, so that one sees what server and machine have to give; "
        "and the same documents through datatrove's inference runner, distilabel and NeMo Data Designer, which neither keep "
        "raw answers for another reading nor judge them. Documents have a hundred words. The rate is what the server sees "
        "between the first request and the last answer; the ideal is requests at once over the time of an answer. Processor "
        "time of a request is that of the whole process, less that of a run over a twentieth of the documents; what is spent "
        f"at start and end is told beside it. Machine: {machine['processor'] or 'unnamed'}, {machine['cores']} cores, which "
        f"the server shares; on average {min(found['load']):g} to {max(found['load']):g} processes of others and ours wanted "
        f"them at the time{_niceness(found['niceness'])}. The fastest of {found['rounds']} rounds (of distilabel and Data "
        "Designer one).",
        table(
            ("", "at once", "requests", "a second", "of the ideal", "ms a request", "s at start and end", "peak MB"),
            rows,
        ),
        _beside(found["rates"], others),
    ]
    if found["memory"]:
        memory = [
            (f"{run['documents']:,}", f"{run['peak_mb']:,}", f"{run['cpu_ms']:g}", f"{run['seconds']:g}")
            for run in found["memory"]
        ]
        parts.append("Memory of `recension rephrase`, 256 at once:")
        parts.append(table(("documents", "peak memory, MB", "processor ms a request", "seconds"), memory))
    return "\n\n".join(part for part in parts if part)


def _niceness(given: int) -> str:
    return f", ours with a niceness of {given}" if given else ""


def _beside(rates: dict[str, Any], others: list[str]) -> str:
    """Ours as multiples of the best of the others, at each number of requests at once."""
    if not others:
        return ""
    parts = []
    for place, run in enumerate(rates["recension rephrase"]):
        best = max((rates[name][place] for name in others), key=lambda one: one["a_second"])
        least = min(rates[name][place]["cpu_ms"] for name in others)
        alone = rates["the client alone"][place]
        rate, cost = best["a_second"], (least / run["cpu_ms"], least / alone["cpu_ms"])
        parts.append(
            f"{run['at_once']:,} at once {run['a_second'] / rate:.2f} and {alone['a_second'] / rate:.2f} "
            f"(for the same processor time {cost[0]:.2f} and {cost[1]:.2f})"
        )
    return f"`rephrase` and the client alone as multiples of the fastest of the others: {'; '.join(parts)}."
