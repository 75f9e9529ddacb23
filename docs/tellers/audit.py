"""What `benchmarks/audit.py` found."""

from __future__ import annotations

from typing import Any

from tellers.words import table


def told(found: dict[str, Any]) -> str:
    machine, fixed = found["machine"], found["fixed"]
    speeds = found["megabytes_per_second"]
    rows = [(name, f"{speed:g}") for name, speed in sorted(speeds.items(), key=lambda item: -item[1])]
    passes = ", ".join(f"{name} {seconds:g}" for name, seconds in fixed["by_pass"].items())
    return (
        f"Reading for an audit: {found['megabytes']:g} MB of text in packed JSON lines to its counted state, one process "
        f"({machine['processor'] or 'unnamed'}, Python {machine['python']}), processor time, medians of {found['rounds']} "
        "rounds. "
        "Ours tokenises and counts everything, with MinHash, sketch and sample; the others do one thing each.\n\n"
        + table(("", "MB per second and core"), rows)
        + f"\n\nBeside that an audit has a fixed cost, whatever the size of the corpora. With {fixed['words']:,} words of each "
        f"side and the default draws: {fixed['seconds']:g} processor seconds in all (seconds by pass: {passes})."
    )
