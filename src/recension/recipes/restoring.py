"""Reading an edited run back: its rows beside their log, and the text of every generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from recension.corpus import BadRow, Reading, Record
from recension.document import Document
from recension.errors import OutputError, VerificationError
from recension.methods.toedit import Edit, apply, undo
from recension.recipes.edit.task import editing_log
from recension.run.manifest import Manifest, read_manifest
from recension.run.receipts import Receipt, read_receipt, read_seal, receipts
from recension.run.verify import file_sha256

Log = dict[tuple[int, str], list[Edit]]  # (generation, field) to its edits, in order


class EditedRun(NamedTuple):
    """A finished `edit` and how it was made."""

    out: Path
    manifest: Manifest
    generations: int
    editions: int
    policy: str
    reading: Reading  # how its rows are read again: as the shapes that they had


def edited_run(out: Path) -> EditedRun:
    """Open a folder that `edit` finished; anything else is said plainly."""
    manifest = read_manifest(out)
    if manifest.recipe != "edit":
        raise OutputError(f"{out} was written by {manifest.recipe}, which has no edits; name the folder of an edit")
    seal = read_seal(out)
    if seal is None:
        raise OutputError(f"{out} is not finished: run its edit again to the end first")
    shards = 0
    for receipt in receipts(out):
        shards += 1
        for entry in receipt.files:
            path = out / entry.part / entry.name
            if not path.is_file() or path.stat().st_size != entry.bytes:
                raise _damaged(out, f"{entry.part}/{entry.name}")
    if shards != seal.shards:
        raise _damaged(out, "receipts")
    spec: Any = manifest.identity["spec"]
    layout: Any = manifest.identity["layout"]
    models: Any = manifest.identity["models"]
    reading = Reading(shapes=tuple(layout["shapes"]))
    return EditedRun(out, manifest, len(models), spec["editions"], spec["policy"] or "chain", reading)


def _damaged(out: Path, what: str) -> VerificationError:
    return VerificationError(f"{out / what} is not what was written: `recension verify {out}` says more")


class LogReader:
    """Hands out the edits of the rows of one data file, which are asked for in rising order."""

    def __init__(self, out: Path, data_file: str) -> None:
        receipt = read_receipt(out, int(data_file.split(".", maxsplit=1)[0]))
        if receipt is None:
            raise _damaged(out, f"data/{data_file}")
        for entry in receipt.files:
            if entry.part in ("data", "edits") and file_sha256(out / entry.part / entry.name) != entry.sha256:
                raise _damaged(out, f"{entry.part}/{entry.name}")
        self._place = out / "data" / data_file
        self._logs = shard_logs(out, receipt)
        self._next = next(self._logs, None)
        self._begun = False

    def of(self, row: int, document: Document) -> Log:
        """The edits of a row (counted from 0), all of them in fields that the document has."""
        while self._next is not None and self._next[0] < row:
            if self._begun:
                raise VerificationError(f"{self._place} row {self._next[0] + 1} has edits but could not be read")
            self._next = next(self._logs, None)
        self._begun = True
        if self._next is None or self._next[0] != row:
            return {}
        log = self._next[1]
        self._next = next(self._logs, None)
        fields = {field.path for field in document.fields}
        for _, path in log:
            if path not in fields:
                raise VerificationError(
                    f"{self._place} row {row + 1} has edits of '{path}', which the row does not have"
                )
        return log


class Logs:
    """The readers of the data files that rows come from, one at a time."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._name = ""
        self._reader: LogReader | None = None

    def of(self, record: Record) -> Log:
        name = Path(record.place.file).name
        if self._reader is None or name != self._name:
            self._name, self._reader = name, LogReader(self._out, name)
        return self._reader.of(record.place.row - 1, record.document)


def unreadable(bad: BadRow) -> VerificationError:
    """A row that a run wrote is always a document again."""
    return VerificationError(f"{bad.place.file} row {bad.place.row} cannot be read again ({bad.reason}: {bad.detail})")


def shard_logs(out: Path, receipt: Receipt) -> Iterator[tuple[int, Log]]:
    """The edits of one shard by row, in rising order; rows without edits are not in it."""
    for entry in receipt.files:
        if entry.part == "edits":
            for row, group in groupby(editing_log(out / "edits" / entry.name), key=itemgetter(0)):
                log: Log = {}
                for _, generation, edit in group:
                    log.setdefault((generation, edit.path), []).append(edit)
                yield row, log


def texts_by_generation(
    last: str, path: str, log: Mapping[tuple[int, str], Sequence[Edit]], run: EditedRun
) -> list[str]:
    """The text of a field at generations 0 (the original) to the last, worked back from the last."""
    steps = range(1, run.generations + 1)
    edits = {g: log.get((g, path), ()) for g in steps}
    if run.policy == "anchor":
        original = undo(last, edits[run.generations])
        return [original, *(apply(original, edits[g]) for g in steps)]
    texts = [last]
    for generation in reversed(steps):
        texts.append(undo(texts[-1], edits[generation]))
    return texts[::-1]
