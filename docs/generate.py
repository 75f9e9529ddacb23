"""Write docs/cli.md from the commands themselves, and docs/benchmarks.md from the results of the benchmarks.

python docs/generate.py           # write the pages
python docs/generate.py --check   # fail where one is stale
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from recension.cli.main import main as recension

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "benchmarks" / "results"
WIDTH = 100

CLI = """\
# Command line

This page is written by `docs/generate.py` from the commands themselves; `make check` fails where it is stale.

Every flag is a setting of the same name: `--change-share` is the key `change_share` of a file given with `-c`, and the
field `change_share` of the dataclass in [Python](python.md). Sizes (`BYTES`) are numbers or words such as `64MiB`.
Shares and probabilities lie between 0 and 1.
"""

BENCHMARKS = """\
# Benchmarks

This page is written by `docs/generate.py` from the files in `benchmarks/results/`, each left by the script (or folder) of the
same name in `benchmarks/`. There are no other numbers of speed or memory in this documentation. They hold for the machine they
were measured on.
"""


# --- the command line -------------------------------------------------------------------------------------------------


def commands(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[click.Context]:
    """A command and everything below it, each in the context in which it shows its help."""
    context = click.Context(
        command,
        parent=parent,
        info_name=name,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        **command.context_settings,
    )
    yield context
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            assert found is not None
            yield from commands(found, child, context)


def help_text(context: click.Context) -> str:
    return "\n".join(line.rstrip() for line in context.get_help().strip().splitlines())


def cli_page() -> str:
    parts = [CLI]
    for context in commands(recension, "recension"):
        parts.append(f"## {context.command_path}\n\n```text\n{help_text(context)}\n```\n")
    return "\n".join(parts)


# --- the benchmarks ---------------------------------------------------------------------------------------------------


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


def edit_cpu(found: dict[str, Any]) -> str:
    """What `benchmarks/edit_cpu.py` found."""
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


def samplers(found: dict[str, Any]) -> str:
    """What `benchmarks/samplers.py` found."""
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


def train(found: dict[str, Any]) -> str:
    """What `benchmarks/train.py` found."""
    machine = found["machine"]
    where = machine["processor"] or "unnamed"
    if "cuda" not in found.get("device", "cpu"):
        where += f", {machine['threads']} threads"
    rows = [
        (
            name,
            side["about"],
            f"{side['tokens_per_second']:,}",
            f"{side['mfu']:.1%}",
            f"{side['cpu_seconds']:.2f}",
            f"{side['memory_mb']:,}",
            f"{side['loss']:.3f}",
        )
        for name, side in sorted(found["sides"].items(), key=lambda item: -item[1]["tokens_per_second"])
    ]
    ratios = ", ".join(f"{ratio:g}" for ratio in found["ratios_to_best"])
    return (
        f"Pretraining `{found['preset']}` ({found['parameters'] / 1e6:.1f} million parameters, context {found['context']:,}, "
        f"{found['batch']} rows a step, {found['dtype']}) by three loops: same network, first weights, rows and optimiser; "
        f"each side in a process of its own, all sides in turn; medians of steps {found['warmup'] + 1} to {found['steps']}, so "
        f"the time to compile is not in it. Machine: {where}; MFU against {found['peak_gflops']:,} GFLOP/s "
        f"({found['peak_source']}).\n\n"
        + table(
            ("", "what it is", "tokens per second", "MFU", "CPU seconds a step", "peak memory, MB", "last loss"), rows
        )
        + f"\n\nAgainst the fastest of the others, by round: {ratios}, **median {found['median_ratio']:g}**; in processor "
        f"time, which neighbours on the machine change less, {found['cpu_ratio']:g} (the best round of each). Losses differ in "
        "the last digits of bfloat16; those of the Trainer are means that it rounds itself."
    )


def audit(found: dict[str, Any]) -> str:
    machine, fixed = found["machine"], found["fixed"]
    speeds = found["megabytes_per_second"]
    rows = [(name, f"{speed:g}") for name, speed in sorted(speeds.items(), key=lambda item: -item[1])]
    passes = ", ".join(f"{name} {seconds:g}" for name, seconds in fixed["by_pass"].items())
    return (
        f"Reading for an audit: {found['megabytes']:g} MB of text in packed JSON lines to its counted state, one process "
        f"({machine['processor'] or 'unnamed'}, Python {machine['python']}), processor time, medians of {found['rounds']} "
        "rounds. "
        "Ours tokenises and counts everything, with MinHash, sketch and sample; the others count n-grams alone.\n\n"
        + table(("", "MB per second and core"), rows)
        + f"\n\nBeside that an audit has a fixed cost, whatever the size of the corpora. With {fixed['words']:,} words of each "
        f"side and the default draws: {fixed['seconds']:g} processor seconds in all (seconds by pass: {passes})."
    )


def score_cpu(found: dict[str, Any]) -> str:
    """What `benchmarks/score_cpu.py` found."""
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


def edit_gpu(found: dict[str, Any]) -> str:
    """What `benchmarks/edit_gpu/` found."""
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
            _figure(told["tokens_per_second"], ",.0f"),
            _figure(told["share_of_matmul_rate"], ".1%"),
            _figure(told["naive_tokens_per_second"], ",.0f"),
            ", ".join(f"{ratio:g}" for ratio in told["ratios"]) or "-",
            _figure(told["median_ratio"], "g"),
            _figure(told["peak_memory_gb"], ".1f"),
            _figure(told["naive_peak_memory_gb"], ".1f"),
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
            _figure(told.get("body_tflops"), "g"),
            _figure(told.get("head_tflops"), "g"),
            _figure(told.get("share_of_matmul_rate"), ".1%"),
            _figure(told.get("score_share_of_matmul_rate"), ".1%"),
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
            *(_figure(told["distance_from_float32"].get(way), ".2g") for way in ("model", "head", "packed", "own")),
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


def _figure(value: float | None, how: str) -> str:
    return "-" if value is None else format(value, how)


def calibration() -> str:
    """What `studies/audit_calibration/` found."""
    path = DOCS.parent / "studies" / "audit_calibration" / "results.json"
    found = json.loads(path.read_text(encoding="utf-8"))

    def row(name: str, one: dict[str, Any]) -> tuple[str, ...]:
        shares = (one["at_risk_or_worse"], one["healthy"])
        told = [f"{share:.0%} ({low:.0%} to {high:.0%})" for share, low, high in shares]
        return (name, f"{one['trials']}", *told, f"{one['placed_at']:g}" if "placed_at" in one else "–")

    rows = [row(f"human halves by source, {int(n):,} words", one) for n, one in found["null"]["found"].items()]
    budget = found["power"]["setting"]["chain_budget"]
    rows += [row(f"n-gram chain, {name}, {budget:,} words", one) for name, one in found["power"]["found"].items()]
    budget = found["shift"]["setting"]["chain_budget"]
    rows.append(row(f"human text of another domain, {budget:,} words", found["shift"]["found"]["all"]))
    cases = {**found["llm"]["found"], **found["sizes"]["found"]}
    told = [
        (name, one["level"], f"{one['generations']:g}", *(f"{one['families'].get(f, ['–'])[0]}" for f in FAMILIES))
        for name, one in cases.items()
    ]
    return (
        "Five human domains; shares with Clopper-Pearson intervals. *Placed at*: the median, over trials, of the median "
        "generation of all figures.\n\n"
        + table(("case", "trials", "at risk or worse", "healthy", "placed at"), rows)
        + "\n\nSingle cases: text of language models, and n-gram chains that are six times as large as what is audited of "
        "them. Generations by family.\n\n" + table(("case", "level", "median", *FAMILIES), told)
    )


FAMILIES = ("repetition", "tail", "concentration")


def embedded() -> str:
    """What `studies/embedded/` found."""
    study = DOCS.parent / "studies" / "embedded"
    found = json.loads((study / "evaluation.json").read_text(encoding="utf-8"))
    keys = ("embedded", "embedded, bfloat16", "n-gram", "gzip -9", "zstd -19", "xz -9e")
    rows = [
        (name.replace("_", " "), "yes" if row["trained on"] else "no", *(f"{row[key]:.3f}" for key in keys))
        for name, row in found["domains"].items()
    ]
    ran = json.loads((study / "runtimes.json").read_text(encoding="utf-8"))
    columns = list(next(iter(ran.values())))
    speeds = [(name, *(f"{row[c]:,}" if "/s" in c else f"{row[c]:.1e}" for c in columns)) for name, row in ran.items()]
    return (
        "Bits per byte on text that neither model has seen, up to "
        f"{found['bytes of a domain']:,} bytes of each domain. The n-gram prior (order 5) was fitted on the same text as the "
        "embedded one. Compressors pack all documents of a domain in one piece. *Trained on*: whether the training text holds "
        "that kind of text.\n\n"
        + table(("domain", "trained on", *keys), rows)
        + "\n\nThe body of the model through several runtimes: tokens per second of one core at four lengths, the best of "
        "alternating rounds on a busy machine; the largest difference from torch, relative to the largest entry.\n\n"
        + table(("", *columns), speeds)
    )


TELLERS = {
    "audit": audit,
    "edit_cpu": edit_cpu,
    "edit_gpu": edit_gpu,
    "samplers": samplers,
    "score_cpu": score_cpu,
    "train": train,
    "train_cuda": train,
}


def benchmarks_page() -> str:
    parts = [BENCHMARKS]
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        told = TELLERS[path.stem](found) if path.stem in TELLERS else f"```json\n{json.dumps(found, indent=1)}\n```"
        parts.append(f"## {path.stem}\n\n{told}\n")
    parts.append(f"## The embedded prior\n\n{embedded()}\n")
    parts.append(f"## Calibration of the audit\n\n{calibration()}\n")
    return "\n".join(parts)


PAGES = {"cli.md": cli_page, "benchmarks.md": benchmarks_page}


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python docs/generate.py [--check]\n")
        return 2
    stale = 0
    for name, page in PAGES.items():
        path = DOCS / name
        if path.is_file() and path.read_text(encoding="utf-8") == page():
            continue
        if arguments:
            sys.stderr.write(f"docs/{name} is stale: run python docs/generate.py\n")
            stale = 1
        else:
            path.write_text(page(), encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
