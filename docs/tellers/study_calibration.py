"""What `studies/audit_calibration/` found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tellers.words import table

TITLE = "Calibration of the audit"
FOLDER = Path(__file__).parents[2] / "studies" / "audit_calibration"
FAMILIES = ("repetition", "tail", "concentration")
HEAD = ("case", "trials", "at risk or worse", "healthy", "placed at")


def told() -> str:
    found = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))
    words = f"{found['budget']:,} words"
    rows = [_rate(f"human halves by source, {int(n):,} words", one) for n, one in found["null"].items()]
    rows += [_rate(f"n-gram chain, generation {n}, {words}", one) for n, one in found["power"].items()]
    rows += [
        _rate(f"human text with {float(n):.0%} of the first generation in it, {words}", one)
        for n, one in found["diluted"].items()
    ]
    for name, one in found["sizes"].items():
        audited, generation = name.split(", ")
        rows.append(_rate(f"chain of 300,000 words, generation {generation}, {int(audited):,} audited", one))
    for name, one in found["small"].items():
        chain, generation = _small(name)
        if generation != "0":
            rows.append(_rate(f"{chain}, generation {generation}", one))
        elif ", 1.0," in name:  # the same halves whatever the tokens are drawn from
            rows.append(_rate(f"the human half that it began with: {chain}", one))
    rows += [_rate(f"human text of another domain, {words}", one) for one in found["shift"].values()]
    for name, one in found["edited"].items():
        share, against = name.split(", ")
        rows.append(_rate(f"our own edits, {float(share):.0%} of the tokens changed, against {against}", one))
    parts = [
        f"Real text of up to fifteen human domains, {found['draws']} draws; shares with Clopper-Pearson intervals. *Placed "
        "at*: the median, over trials, of the median generation of all figures. Every trial is a line of `trials.jsonl`.",
        table(HEAD, rows),
        _goals(found),
    ]
    parts += _cases(found["cases"])
    parts += _first_round(json.loads((FOLDER / "first_round.json").read_text(encoding="utf-8")))
    if (FOLDER / "coverage.json").is_file():
        parts.append(_coverage(json.loads((FOLDER / "coverage.json").read_text(encoding="utf-8"))))
    return "\n\n".join(parts)


def _first_round(found: dict[str, Any]) -> list[str]:
    """What was run before, with fewer draws, so that it stands until there is more."""
    rows = [_rate(f"human halves by source, {int(n):,} words", one) for n, one in found["null"]["found"].items()]
    for part in ("power", "power_100k"):
        budget = found[part].get("setting", {}).get("chain_budget", 100_000)
        rows += [_rate(f"n-gram chain, {name}, {budget:,} words", one) for name, one in found[part]["found"].items()]
    budget = found["shift"]["setting"]["chain_budget"]
    rows.append(_rate(f"human text of another domain, {budget:,} words", found["shift"]["found"]["all"]))
    cases = {**found["llm"]["found"], **found["sizes"]["found"]}
    told = [
        (name, one["level"], f"{one['generations']:g}", *(f"{one['families'].get(f, ['–'])[0]}" for f in FAMILIES))
        for name, one in cases.items()
    ]
    return [
        "A first round (`first_round.json`), five domains mostly, 50 to 100 draws, with ends of intervals that hold 92 to 93% "
        "where those of today hold 95%:",
        table(HEAD, rows),
        "Of it, single cases: text of language models, and chains that are six times as large as what is audited of them. "
        "Generations by family. The figure of `fast_detect` is wrong: its human texts stood there once for each model.",
        table(("case", "level", "median", *FAMILIES), told),
    ]


def _rate(name: str, one: dict[str, Any]) -> tuple[str, ...]:
    shares = (one["at_risk_or_worse"], one["healthy"])
    told = [f"{share:.0%} ({low:.0%} to {high:.0%})" for share, low, high in shares]
    return (name, f"{one['trials']}", *told, "–" if one.get("placed_at") is None else f"{one['placed_at']:g}")


def _goals(found: dict[str, Any]) -> str:
    """What the study set out to show, and how far it got."""
    null, planned = found["null"], found["planned"]
    trials = sum(one["trials"] for one in null.values())
    wrong = sum(one["levels"].get(level, 0) for one in null.values() for level in ("at-risk", "collapsed"))
    missing = []
    for name in [*(n for n in planned if n != "power"), "power"]:
        one = found["power"].get("5") if name == "power" else null.get(name)
        done = one["trials"] if one else 0
        what = "n-gram chains of five generations" if name == "power" else f"human splits of {int(name):,} words"
        if done < planned[name]:
            seconds = one["cpu_seconds"] if one else None
            cost = f", {seconds * (5 if name == 'power' else 1):.0f} processor seconds each" if seconds else ""
            missing.append(f"{planned[name] - done} of {planned[name]} {what}{cost}")
    lines = [
        f"- *False alarms* in at most 5% of human splits: {wrong} of {trials}.",
        f"- *Healthy* in at least 80% at 500,000 words: {_share(null.get('500000'), 'healthy')}; with every family "
        f"within its margin, one left open not allowed: {_share(null.get('500000'), 'every_family_within')}.",
        "- *At risk or worse* by generation 5 in at least 95% of n-gram chains at 100,000 words: "
        f"{_share(found['power'].get('5'), 'at_risk_or_worse')}.",
    ]
    for name, one in found["small_chains"].items():
        chain, _ = _small(f"{name}, 0")
        told = ", ".join(f"{count} to generation {n}" for n, count in one["generations"].items())
        lines.append(f"- The same, in some generation, for {chain} ({told}): {_share(one, 'at_risk_or_worse')}.")
    if missing:
        lines.append(
            f"- *Still to be run*, for want of machine time: {'; '.join(missing)}. `run.py` goes on where it was."
        )
    return "What it was to show, and what it shows:\n\n" + "\n".join(lines)


def _small(name: str) -> tuple[str, str]:
    """What chain of small models, and which generation of it."""
    start, top_p, generation = name.split(", ")
    begun = "that go on from the prior" if start == "prior" else "trained from nothing"
    words = "60,000" if start == "prior" else "50,000"
    drawn = "any token" if float(top_p) == 1 else f"the likeliest {float(top_p):.0%}"
    return f"chain of small models {begun}, {drawn}, {words} words", generation


def _share(one: dict[str, Any] | None, name: str) -> str:
    if one is None:
        return "no trial yet, for want of machine time"
    share, low, high = one[name]
    return f"{share:.0%} of {one['trials']} ({low:.0%} to {high:.0%})"


def _cases(lines: list[dict[str, Any]]) -> list[str]:
    found = []
    for part, title in (
        ("llm", "Text of language models, whatever comes of it (pairs compared as pairs); generations by family:"),
        ("shift", "Human text of another domain, case by case:"),
    ):
        own = sorted((line for line in lines if line["part"] == part), key=lambda line: line["case"])
        rows = [
            (
                line["case"],
                f"{line['words']:,}",
                line["level"],
                "–" if line["generations"] is None else f"{line['generations']:g}",
                *(f"{line['families'].get(f, ['–'])[0]}" for f in FAMILIES),
            )
            for line in own
        ]
        if rows:
            found.append(f"{title}\n\n" + table(("case", "words", "level", "median", *FAMILIES), rows))
    return found


def _coverage(found: dict[str, Any]) -> str:
    """Which interval holds, and which classifier."""
    rows = [
        (case, method, f"{one['held']:.0%}", f"{one['worst_figure']:.0%}", f"{one['width']:g}")
        for case, methods in found["coverage"].items()
        for method, one in methods.items()
    ]
    areas = [(one["case"], f"{one['ridge']:.3f}", f"{one['logistic']:.3f}") for one in found["classifiers"]]
    return (
        f"Which 95% interval holds the true effect, over all figures, in {found['trials']} pairs of samples of "
        f"{found['words']:,} words with {found['draws']} draws each? *Width* is the median width over the figures, 1 being "
        "that of the central 95% of the effects themselves. The ends are percentiles that with so few draws hold 93%.\n\n"
        + table(("samples of", "interval", "held", "held, worst figure", "width"), rows)
        + "\n\nArea under the curve of the classifier of `audit` (ridge) and of logistic regression, on the same folds:\n\n"
        + table(("sides", "ridge", "logistic regression"), areas)
    )
