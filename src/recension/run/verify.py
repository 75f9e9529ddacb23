"""Prove that a folder holds what its receipts say, and that the receipts add up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from recension.corpus import read_table_rows
from recension.errors import OutputError
from recension.run.journal import journal_problems
from recension.run.manifest import Manifest, read_manifest, shard_key
from recension.run.passes import PassReceipt
from recension.run.receipts import SEAL, FileEntry, Receipt, Seal, digest_of_receipts, read_receipt, read_seal

SHARD_PARTS = ("data", "holdout", "dropped", "edits", "scores", "counts", "tokens")


@dataclass(frozen=True, slots=True)
class Verification:
    """`problems` empty and `complete` true: every row is accounted for and every byte is as written."""

    out: Path
    recipe: str
    shards: int
    rows: int
    units: int
    written: int
    dropped: int
    complete: bool
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def sound(self) -> bool:
        return not self.problems and self.complete


def verify(out: str | Path) -> Verification:
    """Hash and count everything in a run folder."""
    out = Path(out)
    manifest = read_manifest(out)
    indices = sorted(int(p.stem) for p in (out / "receipts").glob("*.json") if p.stem.isdigit())
    found = [(index, read_receipt(out, index)) for index in indices]
    receipts = [receipt for _, receipt in found if receipt is not None]
    problems = [f"receipts/{index:05d}.json is damaged" for index, receipt in found if receipt is None]
    key = shard_key(manifest)
    for receipt in receipts:
        problems += _check_receipt(out, receipt, key)
    problems += _check_passes(out, manifest)
    if (out / "journal").is_dir():
        problems += journal_problems(out / "journal")
    promised = _promised(manifest)
    problems += _check_steps(out)
    seal = read_seal(out)
    complete = seal is not None
    if seal is not None:
        # An unfinished run has gaps, and shards that are written and not yet receipted; a finished one has neither.
        missing = sorted(set(range(seal.shards)) - set(indices))
        if missing:
            problems.append(f"shards without a receipt: {_few(missing)}")
        problems += _check_strays(out, receipts)
        problems += _check_seal(out, seal, receipts, key)
        problems += _check_promised(promised, sum(receipt.units for receipt in receipts))
    elif (out / "receipts" / SEAL).exists():
        problems.append("receipts/seal.json is damaged")
    return Verification(
        out=out,
        recipe=manifest.recipe,
        shards=len(receipts),
        rows=promised.get("rows", sum(r.rows for r in receipts)),
        units=sum(r.units for r in receipts),
        written=sum(r.written + r.used for r in receipts),
        dropped=sum(sum(r.dropped.values()) for r in receipts),
        complete=complete,
        problems=tuple(problems),
        notes=tuple(_changed_inputs(manifest)),
    )


def _check_receipt(out: Path, receipt: Receipt, key: str) -> Iterator[str]:
    name = f"shard {receipt.index:05d}"
    if receipt.key != key:
        yield f"{name}: its receipt belongs to another run"
    dropped = sum(receipt.dropped.values())
    kept = receipt.written + receipt.used
    if receipt.units != kept + dropped:
        yield f"{name}: {receipt.units} units are not {kept} written or used + {dropped} dropped"
    if sum(rows for _, rows in receipt.units_by_row) != receipt.rows:
        yield f"{name}: its rows do not add up"
    if sum(units * rows for units, rows in receipt.units_by_row) != receipt.units:
        yield f"{name}: its units do not add up"
    if any(units < 1 for units, _ in receipt.units_by_row):
        yield f"{name}: a row was read and is nowhere"
    wanted = {"data": receipt.written, "dropped": dropped}
    if any(entry.part == "holdout" for entry in receipt.files):
        wanted["holdout"] = receipt.used  # what is held out is used, but not in data
    for part, count in wanted.items():
        rows = sum(entry.rows for entry in receipt.files if entry.part == part)
        if rows != count:
            yield f"{name}: {part} has {rows} rows on the receipt, {count} in the accounts"
    for entry in receipt.files:
        yield from _check_file(out, entry, receipt)


def _check_file(out: Path, entry: FileEntry, receipt: Receipt) -> Iterator[str]:
    path = out / entry.part / entry.name
    label = f"{entry.part}/{entry.name}"
    if not path.is_file():
        yield f"{label} is missing"
        return
    if file_sha256(path) != entry.sha256:
        yield f"{label} is not the file that was written"
        return
    rows = 0
    reasons: dict[str, int] = {}
    for batch in read_table_rows(path):
        rows += batch.num_rows
        if entry.part == "dropped":
            for reason in batch.column(batch.schema.get_field_index("reason")).to_pylist():
                reasons[reason] = reasons.get(reason, 0) + 1
    if rows != entry.rows:
        yield f"{label} holds {rows} rows, its receipt says {entry.rows}"
    if entry.part == "dropped" and reasons != dict(receipt.dropped):
        yield f"{label}: the reasons do not match the receipt"


def _check_strays(out: Path, receipts: Sequence[Receipt]) -> Iterator[str]:
    known = {(entry.part, entry.name) for receipt in receipts for entry in receipt.files}
    for part in SHARD_PARTS:
        for path in sorted((out / part).glob("*")):
            if (part, path.name) not in known:
                yield f"{part}/{path.name} has no receipt"


def _check_passes(out: Path, manifest: Manifest) -> Iterator[str]:
    for receipt_path in sorted((out / "passes").glob("*/*.json")):
        path = receipt_path.with_suffix("")
        label = path.relative_to(out)
        try:
            receipt = msgspec.json.decode(receipt_path.read_bytes(), type=PassReceipt)
        except msgspec.DecodeError:
            yield f"{label}.json is damaged"
            continue
        if not path.is_file() or file_sha256(path) != receipt.sha256:
            yield f"{label} is not what the pass wrote"
    for name, decided in manifest.decided.items():
        if isinstance(decided, dict) and "pass" in decided:
            path = out / "passes" / str(decided["pass"]) / "result"
            if not path.is_file() or file_sha256(path) != decided["sha256"]:
                yield f"passes/{decided['pass']}/result is not what '{name}' was decided on"


def _promised(manifest: Manifest) -> dict[str, Any]:
    """What a pass said of the rows that it read and the units that they are, where shards hold units and not rows."""
    return next((d for d in manifest.decided.values() if isinstance(d, dict) and "by_units" in d), {})


def _check_promised(promised: dict[str, Any], units: int) -> Iterator[str]:
    if not promised:
        return
    if promised["units"] != units:
        yield f"{promised['units']} units were made of the rows read, and the shards hold {units}"
    if sum(promised["by_units"].values()) != promised["rows"]:
        yield "the rows that were read do not add up"
    if sum(int(units) * rows for units, rows in promised["by_units"].items()) != promised["units"]:
        yield "the units of the rows that were read do not add up"
    if promised["by_units"].get("0", 0):
        yield "a row was read and is nowhere"


def _check_steps(out: Path) -> Iterator[str]:
    """The steps of a study are run folders themselves."""
    for path in sorted((out / "steps").glob("*/manifest.json")):
        for problem in verify(path.parent).problems:
            yield f"steps/{path.parent.name}: {problem}"


def _check_seal(out: Path, seal: Seal, receipts: Sequence[Receipt], key: str) -> Iterator[str]:
    sums = (sum(r.rows for r in receipts), sum(r.units for r in receipts), sum(r.written + r.used for r in receipts))
    if seal.key != key or (seal.rows, seal.units, seal.written) != sums:
        yield "receipts/seal.json does not fit the receipts"
    elif digest_of_receipts(out, [r.index for r in receipts]) != seal.receipts:
        yield "a receipt was changed after the run was sealed"
    for name, digest in seal.files.items():
        path = out / name
        if not path.is_file():
            yield f"{name} is missing"
        elif file_sha256(path) != digest:
            yield f"{name} was changed after it was written"


def _changed_inputs(manifest: Manifest) -> Iterator[str]:
    """Inputs may move on after a run; that is worth knowing and no fault of the folder."""
    inputs = manifest.identity.get("inputs")
    urls = manifest.facts.get("urls")
    if not isinstance(inputs, list) or not isinstance(urls, dict):
        return
    for entry in inputs:
        if not isinstance(entry, dict):
            continue
        url = str(urls.get(str(entry.get("label")), ""))
        path = Path(url.removeprefix("file://"))
        if "://" in url.removeprefix("file://"):
            continue
        if not path.is_file():
            yield f"input {entry.get('label')} is no longer there"
        elif path.stat().st_size != entry.get("size"):
            yield f"input {entry.get('label')} has changed since"


def file_sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except PermissionError as error:
        raise OutputError(f"cannot read {path}: {error.strerror}") from None


def _few(numbers: Sequence[int]) -> str:
    shown = ", ".join(f"{n:05d}" for n in numbers[:5])
    return shown if len(numbers) <= 5 else f"{shown} and {len(numbers) - 5} more"
