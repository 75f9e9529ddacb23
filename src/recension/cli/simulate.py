"""`recension simulate`."""

from __future__ import annotations

from typing import Any

import click

from recension.cli.flags import GroupedCommand, config_option, flags
from recension.cli.output import common, confirm_fresh, done, need, observe
from recension.errors import UsageError
from recension.recipes.audit.spec import AuditEffort
from recension.recipes.settings import build
from recension.recipes.simulate.spec import RegressionSpec, SimulateEffort, SimulateTextSpec
from recension.run.folder import output_path

REGRESSION_EXAMPLES = """\b
Examples:
  recension simulate regression -o regression
  recension simulate regression -o wide --samples 60 --features 30 --seeds 20000
"""


@click.group()
def simulate() -> None:
    """What becomes of models that learn from their own output."""


@simulate.command(cls=GroupedCommand, epilog=REGRESSION_EXAMPLES)
@flags(RegressionSpec, SimulateEffort)
@config_option(RegressionSpec, SimulateEffort)
@common
def regression(output: str | None, **values: Any) -> None:
    """Linear regressions over generations: simulated, beside what theory and the theorems of ToEdit say.

    Each generation fits a model to answers that earlier ones wrote in part: replaced, accumulated, edited in a chain, or
    edited from an anchor. The report holds the test error of every policy by generation.
    """
    from recension.recipes.simulate.regression import simulate_regression
    from recension.report.simulate import regression_summary_lines

    spec, effort = build(RegressionSpec, values), build(SimulateEffort, values)
    if output is None:
        raise UsageError("-o OUT is missing: the folder to write")
    out = output_path(output)
    fresh = confirm_fresh(out, values)
    with observe(bool(values["machine"])) as observer:
        report = simulate_regression(out, spec, effort, observer, fresh)
    lines = [*regression_summary_lines(report), f"look: {out}/report.html"]
    done(bool(values["machine"]), out, report.to_json(), lines)


TEXT_EXAMPLES = """\b
Examples:
  recension simulate text corpus.jsonl.gz -o foreseen
  recension simulate text corpus/ -o foreseen --policy chain --policy anchor --share 0.02 --share 0.1
  recension simulate text corpus/ -o foreseen --model tiny --budget 500000 --seeds 2
"""


@simulate.command(cls=GroupedCommand, epilog=TEXT_EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="CORPUS...")
@flags(SimulateTextSpec, AuditEffort)
@config_option(SimulateTextSpec, AuditEffort)
@common
def text(inputs: tuple[str, ...], output: str | None, **values: Any) -> None:
    """How much editing or synthesis can CORPUS take, before a GPU is rented?

    A small model is trained on a sample of CORPUS, writes or edits the text of the next one, and so on, under several
    policies. The report holds the bits per byte of every model on text that was held out, and how the text contracts.
    """
    from recension.recipes.simulate.text import simulate_text
    from recension.report.simulate_text import text_summary_lines

    spec, effort = build(SimulateTextSpec, values), build(AuditEffort, values)
    inputs, out = need(inputs, output)
    fresh = confirm_fresh(out, values)
    with observe(bool(values["machine"])) as observer:
        report = simulate_text(inputs, out, spec, effort, observer, fresh)
    done(bool(values["machine"]), out, report.to_json(), [*text_summary_lines(report), f"look: {out}/report.html"])
