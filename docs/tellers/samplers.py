"""What `benchmarks/samplers.py` found."""

from __future__ import annotations

from typing import Any

from tellers.words import table


def told(found: dict[str, Any]) -> str:
    rows = [
        (
            row["setting"],
            str(row["threshold"] or "-"),
            row["temperature"],
            f"{row['flagged']:.2%}",
            f"{row['changed']:.3%}",
            f"{row['more_bits_per_byte']:+.4f}",
            f"{row['distinct_bigrams']:.4f}",
        )
        for row in found["settings"]
        if "refused" not in row
    ]
    head = ("", "threshold", "temperature", "flagged", "changed", "bits per byte", "distinct bigrams")
    original = found["original"]
    return (
        "An n-gram prior fitted on one half of the sample edits text that it has not seen; a second model, fitted on the "
        f"other half, reads the result. The upper settings were solved to change {found['share']:.0%} of the tokens, the "
        "lower ones are as they stand. Bits per byte: how many more the second model needs than for the original "
        f"({original['bits_per_byte']:.3f}). Distinct bigrams: of the original, {original['distinct_bigrams']:.4f}.\n\n"
        + table(head, rows)
    )
