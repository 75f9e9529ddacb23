"""`recension train`."""

from __future__ import annotations

from typing import Any

import click

from recension.cli.flags import GroupedCommand, config_option, flags
from recension.cli.output import common, confirm_fresh, done, need, observe
from recension.recipes.settings import build
from recension.recipes.train_ngram import NgramEffort, NgramSpec

EXAMPLES = """\b
Examples:
  recension train ngram human/ -o prior
  recension train ngram corpus.jsonl.zst -o prior --order 4 --vocabulary 16384 --min-count 2
"""


@click.group()
def train() -> None:
    """Fit models on a corpus."""


@train.command(cls=GroupedCommand, epilog=EXAMPLES)
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
