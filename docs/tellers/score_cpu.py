"""What `benchmarks/score_cpu.py` found."""

from __future__ import annotations

from typing import Any

from tellers.words import table


def told(found: dict[str, Any]) -> str:
    parts = [
        "Texts to log-probabilities and candidates on one core, seconds of that core, rounds that alternate, medians. The loop "
        "pads batches of eight and makes all logits, log-softmax and top-k. *Edits only*: what `edit` asks for, every 16th "
        "document in full. *Flags that differ*: decisions about p against the threshold that are not the loop's; *candidates*: "
        "flagged tokens whose eight best are other ones. Peak: a product of 1024 x 1024 matrices, in the same rounds; the "
        "operations counted are those of the whole model without padding, so rejecting early can pass it."
    ]
    for name, model in found["models"].items():
        peak = model["peak_gflops"]
        rows = [
            (
                side,
                f"{row['tokens_per_second']:,}",
                f"{row['times_the_loop']:g}",
                ", ".join(f"{r:g}" for r in row["ratios"]),
                f"{row['share_of_peak']:.0%}",
                f"{row['flags_that_differ']:.2%}",
                f"{row['candidates_that_differ']:.2%}",
            )
            for side, row in model["sides"].items()
        ]
        head = ("", "tokens per second", "times the loop", "by round", "of the peak", "flags that differ", "candidates")
        parts.append(
            f"**{name}**: {model['documents']} documents, {model['tokens']:,} tokens, {model['flagged']:.1%} flagged at "
            f"p ≥ {model['above']:g}; peak {peak['float32']:g} GFLOP/s in float32, {peak['bfloat16']:g} in bfloat16.\n\n"
            + table(head, rows)
        )
        if "vllm" in model:
            parts.append(
                f"vLLM's CPU build, bfloat16, prompt_logprobs=8, one core, in the same run: "
                f"{model['vllm']['tokens_per_second']:,} tokens per second of wall time."
            )
    return "\n\n".join(parts)
