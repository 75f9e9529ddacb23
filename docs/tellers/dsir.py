"""What `benchmarks/dsir.py` found."""

from __future__ import annotations

from typing import Any

from tellers.words import table

NAMES = {
    "fast": "recension, our hash (default)",
    "fast-report": "the same, with the samples of the report",
    "sha256": "recension, the package's buckets",
    "rival": "data-selection",
}


def by_round(found: dict[str, Any], name: str) -> str:
    """The least and the largest ratio of a round."""
    ours, other = found["spread"][name], found["spread"]["rival"]
    ratios = [2 * slow / (a + b) for slow, a, b in zip(other, ours[::2], ours[1::2], strict=True)]
    return f"{min(ratios):.0f} to {max(ratios):.0f}"


def told(found: dict[str, Any]) -> str:
    machine, weights, times = found["machine"], found["weights"], found["times"]
    rows = [
        (
            NAMES[name],
            f"{found['seconds'][name]:g}",
            f"{found['documents_per_second'][name]:,}",
            f"{times[name]:g} times ({by_round(found, name)})" if name in times else "1",
        )
        for name in NAMES
    ]
    stages = ", ".join(f"{name} {seconds:g}" for name, seconds in found["stages"]["fast"].items())
    compiled = "with numba (`[fast]`)" if found["numba"] else "without numba"
    return (
        f"`select --method dsir` and data-selection {found['rival']['data-selection']} (nltk {found['rival']['nltk']}) on the "
        f"same {found['documents']:,} documents ({found['megabytes']:g} MB of JSON lines): read, fit, weigh, draw a tenth, "
        "write. "
        f"One core ({machine['processor'] or 'unnamed'}, Python {machine['python']}, {compiled}), processor seconds after "
        f"imports, medians of {found['rounds']} rounds, in which ours runs before and after the other; of the ratios of each "
        "round the median (least and largest).\n\n"
        + table(("", "Seconds", "Documents per second", "Against data-selection"), rows)
        + f"\n\nSeconds of the first by stage: {stages}. With the package's buckets the log-weights of all "
        f"{weights['documents']:,} documents differ by {weights['largest_difference']:.1g} at most. Of the draw "
        f"{found['facts']['top_k_overlap']:.1%} is the plain top; the standard deviation of the log-weights is "
        f"{found['facts']['log_weight_deviation']:.0f}, that of the noise 1.28."
    )
