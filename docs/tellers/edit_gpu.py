"""What `benchmarks/edit_gpu/` found."""

from __future__ import annotations

from typing import Any

from tellers.words import figure, table


def told(found: dict[str, Any]) -> str:
    machine = found["machine"]
    where = f"{machine['device']}, {machine['cores']} cores, torch {machine['torch']}"
    parts = [
        "`recension edit` on a GPU, from the first byte read to the last written, with models of known shapes and random "
        "weights. Documents of about 2,048 tokens (*equal*), or of lengths as on the web (*mixed*, 2,047 at most); a tenth "
        "of the tokens is flagged. The naive loop: padded batches of eight, all logits in float32, log-softmax, top-k, the "
        "same draws. Job and loop alternate; medians.",
        f"Machine: {where}. Measured there, in the same run: a product of 8192 x 8192 matrices in bfloat16 "
        f"{machine['matmul_tflops']:g} TFLOP/s ({machine['matmul_tflops_over_a_second_and_a_half']:g} kept up for a second and "
        f"a half), copies in its memory {machine['copy_gb_per_second']:,} GB/s, read and written together. *Of the product*: "
        "operations of the whole model (head and causal attention included) over the seconds of the job, against the first "
        "of these rates.",
    ]
    rows = [
        (
            f"{shape}, {kind}",
            figure(told["tokens_per_second"], ",.0f"),
            figure(told["share_of_matmul_rate"], ".1%"),
            figure(told["naive_tokens_per_second"], ",.0f"),
            ", ".join(f"{ratio:g}" for ratio in told["ratios"]) or "-",
            figure(told["median_ratio"], "g"),
            figure(told["peak_memory_gb"], ".1f"),
            figure(told["naive_peak_memory_gb"], ".1f"),
        )
        for shape, kinds in found.get("summary", {}).items()
        for kind, told in kinds.items()
    ]
    if rows:
        head = ("", "tokens/s", "of the product", "naive tokens/s", "ratios", "median", "peak memory, GB", "naive, GB")
        parts.append(table(head, rows))
    passes = [
        (
            name.removesuffix(" profile"),
            told.get("kernels", "-"),
            figure(told.get("body_tflops"), "g"),
            figure(told.get("head_tflops"), "g"),
            figure(told.get("share_of_matmul_rate"), ".1%"),
            figure(told.get("score_share_of_matmul_rate"), ".1%"),
        )
        for name, told in found.items()
        if name.endswith(" profile")
    ]
    if passes:
        parts.append(
            "Where it goes: the body and the head alone, in TFLOP/s; one pack on the GPU, rivals included, and scoring with "
            "the tokeniser and without files, of the product."
        )
        parts.append(table(("", "kernels", "body", "head", "one pack", "scoring"), passes))
    return "\n\n".join([*parts, *_gpu_truth(found), *_gpu_float8(found)])


def _gpu_truth(found: dict[str, Any]) -> list[str]:
    """How far the scores on the GPU are from float32."""
    parts = []
    if "models" in found:
        rows = [
            (
                family,
                told["bfloat16"]["kernels"] or "none of ours",
                f"{told['float32']['mean']:.1e}",
                f"{told['bfloat16']['mean']:.2g}",
                f"{told['bfloat16']['transformers_mean']:.2g}",
                f"{told['bfloat16']['flags_alike']:.2%}",
                f"{told['bfloat16']['rivals_alike']:.1%}",
            )
            for family, told in found["models"].items()
        ]
        parts.append(
            "Correctness: small random decoders of each family against transformers in float32. Mean distance of the tokens' "
            "log-probabilities in nats, ours in both formats and that of transformers in bfloat16; decisions about the "
            "threshold, and candidates at their places in the list, that are those of float32."
        )
        head = ("", "kernels", "float32", "bfloat16", "transformers, bfloat16", "same flags", "same candidates")
        parts.append(table(head, rows))
    rows = [
        (
            name.removesuffix(" prior"),
            told.get("kernels") or "none of ours",
            *(figure(told["distance_from_float32"].get(way), ".2g") for way in ("model", "head", "packed", "own")),
        )
        for name, told in found.items()
        if name.endswith(" prior") and told.get("distance_from_float32")
    ]
    if rows:
        parts.append(
            "The check when a model is loaded, on the models of the first table: mean distance of all log-probabilities of the "
            "probes from the same weights in float32, in nats."
        )
        parts.append(table(("", "kernels", "transformers", "with our head", "packed", "own kernels"), rows))
    left_out = [*found.get("skipped", []), *found.get("failed", {})]
    return parts + ([f"Not measured in this run: {', '.join(left_out)}."] if left_out else [])


def _gpu_float8(found: dict[str, Any]) -> list[str]:
    """What products in float8 gain, and how far they move the scores."""
    parts = []
    for name, told in ((name, told) for name, told in found.items() if name.endswith(" float8")):
        rows = [
            (pair, f"{told[pair]['mean']:.2g}", f"{told[pair]['largest']:.2g}", f"{told[pair]['flags_alike']:.2%}")
            for pair in ("bfloat16 from float32", "float8 from float32", "float8 from bfloat16")
        ]
        fast, plain = (told[dtype]["score_tokens_per_second"] for dtype in ("float8", "bfloat16"))
        parts.append(
            f"Products in float8, {name.removesuffix(' float8')}, in a call of its own: "
            f"scoring at {fast:,} tokens/s, in bfloat16 {plain:,}, ratio "
            f"{told['ratio']:g}. Distances of log-probabilities in nats, over {told['tokens_held_against_float32']:,} tokens:"
        )
        parts.append(table(("", "mean", "largest", "same flags"), rows))
    return parts
