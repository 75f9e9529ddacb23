"""The pages beside the shards: dataset card and configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml

from recension import __version__
from recension.corpus import DROPPED_SCHEMA, Corpus, Reading, SourceFile
from recension.document import JSON, Kind
from recension.errors import InputError
from recension.recipes.settings import RowSettings
from recension.report import Card, CardPart, dataset_card
from recension.run.execute import totals
from recension.run.manifest import Manifest, Run
from recension.run.progress import Observer
from recension.run.receipts import read_seal, receipts

SKIPPED_SHOWN = 5


def identity_of(file: SourceFile) -> JSON:
    """What of an input file goes into a key: not where it is, but what it is called and which version it is."""
    return {"label": file.label, "size": file.size, "stamp": file.stamp, "format": file.format}


def reading_of(rows: RowSettings, origin: Kind | None = None) -> Reading:
    return Reading(rows.text_key, rows.id_key, rows.shape, rows.text_unit, rows.max_row, origin)


def as_inputs(inputs: str | Path | Sequence[str | Path]) -> list[str]:
    """One input or several, as words."""
    return [str(item) for item in ([inputs] if isinstance(inputs, str | Path) else inputs)]


def encodable(names: Sequence[str]) -> list[JSON]:
    """Names of files as they can stand in JSON, also where they are not UTF-8."""
    return [os.fsencode(name).decode("utf-8", "backslashreplace") for name in names]


def look_over(corpus: Corpus, observer: Observer) -> None:
    """Say what is odd about an input, and refuse a run that is not finished."""
    for run in corpus.runs:
        if read_seal(Path(run)) is None:
            raise InputError(f"{run} is a run that is not finished: run its command again to the end first")
    for label in corpus.repeated[:SKIPPED_SHOWN]:
        observer.note(f"{label} is named twice, and is read twice")
    for name in corpus.skipped[:SKIPPED_SHOWN]:
        observer.note(f"skipped {name}: not a format that is read")
    if len(corpus.skipped) > SKIPPED_SHOWN:
        observer.note(f"skipped {len(corpus.skipped) - SKIPPED_SHOWN:,} more files of such formats")


def check_some(out: Path, corpus: Corpus) -> None:
    """A run in which no row could be used is an error, though every row is accounted for."""
    sums = totals(out)
    if sums.rows and not sums.written:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sums.dropped.items())
        columns = ", ".join(corpus.columns_seen()) or "none"
        why = f"none of the {sums.rows:,} rows could be used ({reasons})"
        flag = "--group-key" if sums.dropped.keys() == {"no-key"} else "--text-key"
        raise InputError(f"{why}: see {out / 'dropped'}; the columns are {columns}: is {flag} right?")


@dataclass(frozen=True, slots=True)
class Story:
    """What the card of a run says of it, beside what its receipts say."""

    summary: str
    schemas: Mapping[str, Any]
    settings: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    origin: str = "unknown"
    columns: Mapping[str, str] = field(default_factory=dict)  # what columns of data hold that other verbs do not have


COLUMNS = {
    "data": {
        "id": "the id of the row, as it was given; derived from content and place where none was",
        "text": "the text of the document",
        "origin": "where it comes from: kind, root, parent, method, run, generation, edition",
        "metadata": "every other column of the source row, as a JSON object",
    },
    "edits": {
        "row": "the row in the data file of the same number",
        "path": "the field that was edited",
        "start": "where the old token began, in characters of the text that this generation edited",
        "end": "where it ended",
        "p_old": "the probability of the old token, given the text before it",
        "p_new": "the probability of the new one",
        "position": "the number of the token in that text",
    },
    "dropped": {
        "reason": "why the row is not in data",
        "original": "its original bytes (the first 64 KiB of a row that is too long)",
    },
}


def run_card(run: Run, story: Story) -> str:
    """README.md: what is in the folder, in words and in front matter that dataset libraries read."""
    files: dict[str, list[str]] = {}
    rows: dict[str, int] = {}
    for receipt in receipts(run.out):
        for entry in receipt.files:
            files.setdefault(entry.part, []).append(entry.name)
            rows[entry.part] = rows.get(entry.part, 0) + entry.rows
    parts = tuple(
        CardPart(
            name=part,
            pattern=f"{part}/*.{names[0].split('.', 1)[1]}",
            rows=rows[part],
            schema={"dropped": DROPPED_SCHEMA, **story.schemas}[part],
            columns={**COLUMNS.get(part, {}), **(story.columns if part == "data" else {})},
        )
        for part, names in sorted(files.items(), key=lambda item: (item[0] != "data", item[0]))
    )
    sums = totals(run.out)
    counts = {"rows read": sums.rows, "documents written": sums.written}
    counts |= {f"set aside: {reason}": count for reason, count in sums.dropped.items()}
    card = Card(
        title=run.out.resolve().name,
        verb=run.manifest.recipe,
        version=__version__,
        run=run.name,
        summary=story.summary,
        parts=parts,
        models=story.models,
        settings=story.settings,
        counts={name: f"{count:,}" for name, count in counts.items()},
        origin=story.origin,
    )
    return dataset_card(card)


def yaml_config(manifest: Manifest) -> bytes:
    """The resolved settings as a file that `-c` takes."""
    given: Any = manifest.facts.get("given", [])
    config: Any = manifest.facts.get("config", {})
    values = {name: value for name, value in config.items() if value not in (None, [], "")}
    return yaml.safe_dump({"inputs": list(given), **values}, sort_keys=False, allow_unicode=True).encode()


def plain_pages(run: Run, story: Story) -> dict[str, bytes]:
    """Card and figures of a verb whose report is its accounts."""
    report = {"run": run.name, "recipe": run.manifest.recipe, **msgspec.to_builtins(totals(run.out))}
    return {
        "report.json": msgspec.json.format(msgspec.json.encode(report), indent=1),
        "README.md": run_card(run, story).encode(),
    }
