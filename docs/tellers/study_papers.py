"""What the studies of the papers found: `studies/NAME/SCALE.json`, left by `studies/run.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tellers.words import table

TITLE = "Studies of the papers"
ROOT = Path(__file__).parents[2]
SEEN = {"agrees": "as in the paper", "contradicts": "**against the paper**", "not resolvable": "not resolvable"}


OURS = {"agrees": "it does", "contradicts": "the opposite", "not resolvable": "not resolvable"}  # claims of no paper


def _verdict(claim: dict[str, Any]) -> str:
    return (SEEN if claim["paper"] else OURS)[claim["judgement"]]


def _figure(claim: dict[str, Any]) -> str:
    found = claim["found"]
    if found["low"] is None:
        return f"{found['value']:+.3g}"
    return f"{found['value']:+.3g} ({found['low']:+.3g} to {found['high']:+.3g})"


def _smallest(claim: dict[str, Any]) -> str:
    return "–" if claim["smallest"] is None else f"{claim['smallest']:.2g}"


def told() -> str:
    parts = [
        "What `recension study` found, by `studies/run.py`: for each claim of the paper the mean difference over the seeds "
        "with Student's interval of 95 %, the smallest effect that could have been seen (stated before anything but the "
        "control had run), and the verdict. Of the tiny scale not much can be expected: its models have some hundred "
        "thousand parameters and read some ten thousand tokens."
    ]
    for path in sorted((ROOT / "studies").glob("*/*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        if "claims" not in found or "verdict" not in found:
            continue
        rows = [
            (one["says"], _figure(one), _smallest(one), one["unit"], _verdict(one), one["paper"] or "not in it")
            for one in found["claims"]
        ]
        notes = "\n".join(f"- {note}" for note in found["notes"])
        parts.append(
            f"### {found['study']}, {found['scale']}\n\n{found['question']} ({found['source']}; {found['seeds']} seeds) "
            f"{found['sentence']}\n\n"
            + table(("claim", "found", "smallest", "unit", "verdict", "paper"), rows)
            + (f"\n\n{notes}" if notes else "")
        )
    return "\n\n".join(parts)
