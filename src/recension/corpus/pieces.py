"""A corpus opened, cut into pieces by one sequential reader, and a piece read into records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from recension.corpus.cutting import Cutter, draw_stream, draw_table
from recension.corpus.jsonrows import json_record, rows_in, text_record
from recension.corpus.layout import Layout
from recension.corpus.rows import (
    BadPart,
    BadRow,
    Part,
    Piece,
    Place,
    Reading,
    Record,
    SourceFile,
    TablePart,
)
from recension.corpus.sniffing import columns_seen, decide_layout
from recension.corpus.sources import check_unchanged, find_files
from recension.corpus.tablerows import table_records
from recension.corpus.tables import batches_of
from recension.errors import UsageError


def never(index: int) -> bool:
    """No piece is finished yet."""
    return False


@dataclass(frozen=True)
class Corpus:
    """Files in order, with the layout of what is written of them.

    `skipped` are files in no format we know, `repeated` the labels of files that come twice (and are read twice), `runs`
    the run folders among the inputs. `digests` fills as pieces are drawn: the sha256 of every file that was read
    through; for a remote parquet file `footer:` and the sha256 of its footer.
    """

    files: tuple[SourceFile, ...]
    skipped: tuple[str, ...]
    layout: Layout
    reading: Reading
    digests: dict[str, str] = field(default_factory=dict, compare=False)
    repeated: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def columns_seen(self) -> tuple[str, ...]:
        """The names of the columns at the beginning of the files, some dozens at the most."""
        return columns_seen(self.files, self.reading)

    def pieces(
        self, shard_bytes: int, limit: int | None = None, skip: Callable[[int], bool] = never
    ) -> Iterator[Piece]:
        """The input in pieces of about `shard_bytes`, cut at row borders that depend on nothing else.

        `limit` counts rows, good or bad: the last piece carries a cap. Pieces that `skip` names come without content.
        """
        if shard_bytes < 1 or (limit is not None and limit < 0):
            raise UsageError("shard bytes must be at least 1 and a limit at least 0")
        cutter = Cutter(shard_bytes, limit, skip)
        for file in self.files:
            if cutter.done:
                break
            check_unchanged(file)
            draw = draw_table if file.format in ("parquet", "arrow") else draw_stream
            known = self.digests.get(file.label, "") if file.stamp else ""  # its stamp says that it is the same file
            digest = yield from draw(file, self.reading, cutter, known)
            if digest is None:
                break
            check_unchanged(file)
            self.digests[file.label] = digest
        yield from cutter.finish()


def open_corpus(inputs: Sequence[str], reading: Reading, exclude: Path | None = None) -> Corpus:
    """Find the files of a corpus and fix the layout of its output. `exclude` is a folder that is never read."""
    found = find_files(inputs, exclude)
    layout = decide_layout(found.files, reading)
    return Corpus(found.files, found.skipped, layout, reading, repeated=found.repeated, runs=found.runs)


def read_piece(piece: Piece, reading: Reading, layout: Layout) -> Iterator[Record | BadRow]:
    """The rows of a piece in order, one at a time."""
    left = piece.rows_cap
    for part in piece.parts:
        for row in read_part(part, reading, layout, left):
            if left is not None:
                if not left:
                    return
                left -= 1
            yield row


def read_part(part: Part, reading: Reading, layout: Layout, cap: int | None) -> Iterator[Record | BadRow]:
    """The rows of a part; no more than `cap` of them need to be read."""
    if isinstance(part, BadPart):
        yield part.bad
    elif isinstance(part, TablePart):
        for item in batches_of(part, cap):
            if isinstance(item, BadRow):
                yield item
            else:
                batch, row = item
                yield from table_records(batch, Place(part.file.label, row, 0, 0), reading, layout.shapes)
    else:
        rows = rows_in(part)
        if part.file.format.startswith("txt"):
            for data, place in rows:
                yield text_record(data, place, reading, layout.shapes)
        else:
            for data, place in rows:
                yield json_record(data, place, reading, layout.shapes)
