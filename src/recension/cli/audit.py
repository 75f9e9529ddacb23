"""`recension audit` and `recension profile`."""

from __future__ import annotations

from typing import Any

import click

from recension.cli.flags import GroupedCommand, config_option, flags
from recension.cli.output import common, confirm_fresh, done, need, observe
from recension.errors import UsageError
from recension.recipes.audit.spec import AuditEffort, AuditSpec, ProfileSpec
from recension.recipes.settings import build

CODES = {"at-risk": 3, "collapsed": 4}

AUDIT_EXAMPLES = """\b
Examples:
  recension audit human.jsonl edited/ -o audit
  recension audit human/ synthetic.jsonl.gz -o audit --group-key source --fail-on at-risk
  recension audit human.jsonl rewritten.jsonl -o audit --pair-key id --scorer ngram:prior --scorer hf:./model
  recension audit human/ synthetic/ -o audit --test-set gsm8k=questions.jsonl --also web=crawl/
"""


@click.command(cls=GroupedCommand, epilog=AUDIT_EXAMPLES)
@click.argument("inputs", metavar="REFERENCE CANDIDATE", nargs=-1)
@flags(AuditSpec, AuditEffort)
@click.option(
    "--fail-on",
    type=click.Choice(list(CODES)),
    help="Exit with 3 where the level is at-risk, with 4 where it is collapsed; 'collapsed' fails on that alone.",
)
@config_option(AuditSpec, AuditEffort)
@common
def audit(inputs: tuple[str, ...], output: str | None, fail_on: str | None, **values: Any) -> None:
    """Has CANDIDATE contracted, against the human text of REFERENCE?

    Both are files, folders or quoted globs. Three axes, never blended: contraction (is it narrower: the verdict), shift (is
    it different: no part of it) and integrity (duplicates, copying, evaluation sets). The unit is the generation of collapse
    of an n-gram model that is retrained on its own output, starting from REFERENCE.
    """
    from recension.recipes.audit.audit import audit as judge
    from recension.report.audit import audit_summary_lines

    spec, effort = build(AuditSpec, values), build(AuditEffort, values)
    inputs, out = need(inputs, output)
    if len(inputs) != 2:
        raise UsageError(
            f"name a reference and a candidate, not {len(inputs)}: recension audit REFERENCE CANDIDATE -o OUT"
        )
    fresh = confirm_fresh(out, values)
    with observe(bool(values["machine"])) as observer:
        report = judge(inputs, out, spec, effort, observer, fresh)
    lines = [*audit_summary_lines(report), f"look: {out}/report.html"]
    done(bool(values["machine"]), out, report.to_json(), lines)
    code = CODES.get(report.level, 0)
    if fail_on is not None and code >= CODES[fail_on]:
        raise click.exceptions.Exit(code)


PROFILE_EXAMPLES = """\b
Examples:
  recension profile corpus.jsonl.gz -o profile
  recension profile crawl/ -o profile --group-key site --scorer embedded --scorer hf:./model
"""


@click.command(cls=GroupedCommand, epilog=PROFILE_EXAMPLES)
@click.argument("inputs", metavar="CORPUS", nargs=-1)
@flags(ProfileSpec, AuditEffort)
@config_option(ProfileSpec, AuditEffort)
@common
def profile(inputs: tuple[str, ...], output: str | None, **values: Any) -> None:
    """What is CORPUS like? The statistics of an audit without a reference, and so without a verdict.

    How rich it is, its lengths and languages, near-duplicates, the most frequent pairs of words and the most repetitive
    passages, and how probable models find it.
    """
    from recension.recipes.audit.profile import profile as describe
    from recension.report.profile import profile_summary_lines

    spec, effort = build(ProfileSpec, values), build(AuditEffort, values)
    inputs, out = need(inputs, output)
    if len(inputs) != 1:
        raise UsageError(f"name one corpus (a file, a folder or a quoted glob), not {len(inputs)}")
    fresh = confirm_fresh(out, values)
    with observe(bool(values["machine"])) as observer:
        report = describe(inputs[0], out, spec, effort, observer, fresh)
    done(bool(values["machine"]), out, report.to_json(), [*profile_summary_lines(report), f"look: {out}/report.html"])
