"""`recension train`: n-gram models, and neural ones from scratch, from another model, or on exchanges."""

from __future__ import annotations

from typing import Any

import click

from recension.cli.flags import GroupedCommand, config_option, flags
from recension.cli.output import common, confirm_fresh, done, need, observe
from recension.recipes.settings import build
from recension.recipes.train.spec import ContinueSpec, PretrainSpec, SftSpec, TrainEffort
from recension.recipes.train_ngram import NgramEffort, NgramSpec

NGRAM = """\b
Examples:
  recension train ngram human/ -o prior
  recension train ngram corpus.jsonl.zst -o prior --order 4 --vocabulary 16384 --min-count 2
"""

PRETRAIN = """\b
Examples:
  recension train pretrain corpus/ -o model --preset small --epochs 2 --valid held-out.jsonl
  recension train pretrain -o model --mix human/=0.75 --mix synthetic/=0.25 --tokens 100000000
  recension train pretrain recipe.yaml -o model --preset small
  recension train pretrain corpus/ -o model --preset gpt2-124m --tokenizer gpt2
  accelerate launch --config_file fsdp.yaml -m recension train pretrain corpus/ -o model --preset 1.7b
"""
CONTINUE = """\b
Examples:
  recension train continue domain/ -o adapted --model hf:Qwen/Qwen3-0.6B --epochs 1
  recension train continue -o adapted --model hf:model --mix edited/=0.5 --mix human/=0.5 --tokens 20000000
"""
SFT = """\b
Examples:
  recension train sft chats.jsonl -o assistant --model hf:Qwen/Qwen3-0.6B --lora --epochs 3
  recension train sft instructions.jsonl -o tuned --model hf:model --context 2048 --template plain
"""


@click.group()
def train() -> None:
    """Fit models on a corpus."""


@train.command(cls=GroupedCommand, epilog=NGRAM)
@click.argument("inputs", nargs=-1, metavar="IN...")
@flags(NgramSpec, NgramEffort)
@config_option(NgramSpec, NgramEffort)
@common
def ngram(inputs: tuple[str, ...], output: str | None, **values: Any) -> None:
    """Fit an n-gram prior: modified Kneser-Ney over a byte-level BPE.

    It needs no GPU and no download. Afterwards `ngram:OUT` names it wherever a prior is asked for. Memory grows with the
    number of distinct n-grams; --min-count 2 leaves the rare ones out.
    """
    from recension.recipes.train_ngram import train_ngram

    inputs, out = need(inputs, output)
    fresh = confirm_fresh(out, values)
    with observe(bool(values["machine"])) as observer:
        summary = train_ngram(inputs, out, build(NgramSpec, values), build(NgramEffort, values), observer, fresh)
    kept = ", ".join(f"{count:,}" for count in summary.ngrams)
    lines = [
        f"fitted on {summary.documents:,} documents, {summary.tokens:,} tokens",
        f"vocabulary {summary.vocabulary:,}; n-grams of order 1 to {len(summary.ngrams)}: {kept}",
        f"use it: --prior ngram:{out}",
    ]
    import msgspec

    done(bool(values["machine"]), out, msgspec.to_builtins(summary), lines)


@train.command(cls=GroupedCommand, epilog=PRETRAIN)
@click.argument("inputs", nargs=-1, metavar="[IN...]")
@flags(PretrainSpec, TrainEffort)
@config_option(PretrainSpec, TrainEffort)
@common
def pretrain(inputs: tuple[str, ...], output: str | None, **values: Any) -> None:
    """Train a language model from scratch.

    The order of the data is a function of seed, step and device: a run that was killed goes on from its newest checkpoint to
    the same weights. Afterwards `hf:OUT` names the model, and transformers loads OUT/model.
    """
    from recension.recipes.train import train_pretrain

    _run(train_pretrain, PretrainSpec, (inputs, output), values)


@train.command("continue", cls=GroupedCommand, epilog=CONTINUE)
@click.argument("inputs", nargs=-1, metavar="[IN...]")
@flags(ContinueSpec, TrainEffort)
@config_option(ContinueSpec, TrainEffort)
@common
def continue_(inputs: tuple[str, ...], output: str | None, **values: Any) -> None:
    """Train a causal language model on, on further text, with its own tokenizer."""
    from recension.recipes.train import train_continue

    _run(train_continue, ContinueSpec, (inputs, output), values)


@train.command(cls=GroupedCommand, epilog=SFT)
@click.argument("inputs", nargs=-1, metavar="IN...")
@flags(SftSpec, TrainEffort)
@config_option(SftSpec, TrainEffort)
@common
def sft(inputs: tuple[str, ...], output: str | None, **values: Any) -> None:
    """Fine-tune a model on exchanges: chat rows (`messages`) or instruction rows (`instruction`, `input`, `output`).

    Only the answers are learnt. A sample that does not fit into --context is set aside with its reason, never cut.
    """
    from recension.recipes.train import train_sft

    _run(train_sft, SftSpec, (inputs, output), values)


def _run(verb: Any, spec: Any, places: tuple[tuple[str, ...], str | None], values: dict[str, Any]) -> None:
    from recension.run.progress import Silent
    from recension.training.devices import world

    inputs, (_, out) = places[0], need(places[0] or tuple(values.get("mix") or ()), places[1])
    settings = build(spec, values), build(TrainEffort, values)
    if world()[0]:  # one process of several speaks
        verb(inputs, out, *settings, Silent(), bool(values["fresh"]))
        return
    fresh = confirm_fresh(out, values)
    machine = bool(values["machine"])
    with observe(machine) as observer:
        report = verb(inputs, out, *settings, observer, fresh)
    if report is None:
        done(machine, out, {}, ["stopped after so many steps as it was told; the same command goes on"])
        return
    import msgspec

    from recension.report import train_summary_lines

    lines = [*train_summary_lines(report), f"use it: --prior hf:{out}", f"look: {out / 'report.html'}"]
    done(machine, out, msgspec.to_builtins(report), lines)
