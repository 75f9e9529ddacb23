"""Reading an edited run back: its rows beside their log, and the text of every generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from recension.errors import OutputError, VerificationError
from recension.methods.toedit import Edit, apply, undo
from recension.recipes.edit.task import editing_log
from recension.run.manifest import Manifest, read_manifest
from recension.run.receipts import Receipt, read_seal, receipts

Log = dict[tuple[int, str], list[Edit]]  # (generation, field) to its edits, in order


class EditedRun(NamedTuple):
    """A finished `edit` and how it was made."""

    out: Path
    manifest: Manifest
    generations: int
    editions: int
    policy: str


def edited_run(out: Path) -> EditedRun:
    """Open a folder that `edit` finished; anything else is said plainly."""
    manifest = read_manifest(out)
    if manifest.recipe != "edit":
        raise OutputError(f"{out} was written by {manifest.recipe}, which has no edits; name the folder of an edit")
    if read_seal(out) is None:
        raise OutputError(f"{out} is not finished: run its edit again to the end first")
    spec: Any = manifest.identity["spec"]
    models: Any = manifest.identity["models"]
    return EditedRun(out, manifest, len(models), spec["editions"], spec["policy"])


def shard_logs(out: Path, receipt: Receipt) -> Iterator[tuple[int, Log]]:
    """The edits of one shard by row, in rising order; rows without edits are not in it."""
    for entry in receipt.files:
        if entry.part == "edits":
            for row, group in groupby(editing_log(out / "edits" / entry.name), key=itemgetter(0)):
                log: Log = {}
                for _, generation, edit in group:
                    log.setdefault((generation, edit.path), []).append(edit)
                yield row, log


class LogReader:
    """Hands out the edits of rows that are asked for in rising order."""

    def __init__(self, out: Path, data_file: str) -> None:
        index = int(data_file.split(".", maxsplit=1)[0])
        receipt = next((r for r in receipts(out) if r.index == index), None)
        if receipt is None:
            raise VerificationError(f"data/{data_file} has no receipt in {out}: run `recension verify` on it")
        self._logs = shard_logs(out, receipt)
        self._next = next(self._logs, None)

    def of(self, row: int) -> Log:
        while self._next is not None and self._next[0] < row:
            self._next = next(self._logs, None)
        return self._next[1] if self._next is not None and self._next[0] == row else {}


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
