"""What `benchmarks/paid_once.py` found."""

from __future__ import annotations

from typing import Any

from tellers.words import table


def told(found: dict[str, Any]) -> str:
    rows = [(name, f"{found[name]:,}") for name in (
        "documents", "kills", "different requests", "requests received", "answers completed",
        "requests that failed and went again", "under way at the kills, by our ledger", "answers that came to nobody",
        "units", "written", "dropped",
    )]  # fmt: skip
    met = ", ".join(
        f"{kind} {count:,}" for kind, count in sorted(found["faults met"].items(), key=lambda item: -item[1])
    )
    same = "the same bytes" if found["same bytes as undisturbed"] else "OTHER bytes"
    proof = "passes" if found["verify"] else "FAILS"
    return (
        "`reformulate` with two pairs and a judge against the fake server, which failed on the way in all the ways it knows, "
        "and killed (SIGKILL) at random moments between the first answer and the last. Then the same documents undisturbed: "
        f"data and dropped are {same}, and `verify` {proof}. An answer that came to nobody was under way at a kill, and was "
        "asked for again.\n\n" + table(("", ""), rows) + f"\n\nFaults met: {met}."
    )
