"""What `studies/audit_calibration/` found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tellers.words import table

TITLE = "Calibration of the audit"
ROOT = Path(__file__).parents[2]
FAMILIES = ("repetition", "tail", "concentration")


def told() -> str:
    path = ROOT / "studies" / "audit_calibration" / "results.json"
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
