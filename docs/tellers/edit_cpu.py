"""What `benchmarks/edit_cpu.py` found."""

from __future__ import annotations

from typing import Any

from tellers.words import table


def told(found: dict[str, Any]) -> str:
    machine = found["machine"]
    parts = [
        "`recension edit` with an `hf:` prior against the loop that one writes first (padded batches, all logits, "
        "log-softmax, top-k), same weights, documents and edits. Each side is timed from the start of its process to its "
        f"last byte. Model: {found['parameters'] / 1e6:.1f} million parameters, random weights, context "
        f"{found['context']:,}. Documents: {found['documents']:,} ({found['source']}). Machine: "
        f"{machine['processor'] or 'unnamed'}, {machine['cores']} cores."
    ]
    if "ours" in found:
        sides = [("recension edit", found["ours"]), ("padded loop", found["loop"])]
        rows = [
            (
                name,
                f"{side['tokens_per_second']:,}",
                f"{side['peak_mb']:,}",
                ", ".join(f"{seconds:g}" for seconds in side["seconds"]),
            )
            for name, side in sides
        ]
        parts.append(table(("", "tokens per second", "peak memory, MB", "seconds of each run"), rows))
        ratios = ", ".join(f"{ratio:g}" for ratio in found["ratios"])
        parts.append(
            f"Alternating runs, ratios {ratios}, **median {found['median_ratio']:g}**. Of {found['edits']:,} edits "
            f"{found['edits_that_differ_by_a_tie']:,} differ, all between candidates that are equally probable up to "
            "rounding."
        )
    if "memory" in found:
        rows = [(f"{m['documents']:,}", f"{m['peak_mb']:,}", f"{m['seconds']:g}") for m in found["memory"]]
        parts.append("Memory over many short documents, with a smaller model:")
        parts.append(table(("documents", "peak memory, MB", "seconds"), rows))
    return "\n\n".join(parts)
