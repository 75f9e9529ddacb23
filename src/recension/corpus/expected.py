"""How many bytes a corpus will come to once it is unpacked: an estimate, for progress and dry runs."""

from __future__ import annotations

from recension.corpus.pieces import Corpus
from recension.corpus.rows import SourceFile
from recension.corpus.streams import Stream
from recension.corpus.tables import UNREADABLE, groups_of

SAMPLE = 4 << 20


def expected_size(corpus: Corpus) -> int:
    """The sizes of the files, those of a packed kind multiplied by how far the first of that kind unpacks."""
    factors: dict[str, float] = {}
    total = 0.0
    for file in corpus.files:
        if file.format not in factors:
            factors[file.format] = _factor(file)
        total += file.size * factors[file.format]
    return round(total)


def _factor(file: SourceFile) -> float:
    if not file.size:
        return 1.0
    if file.format in ("parquet", "arrow"):
        try:
            return sum(group.size for group in groups_of(file)) / file.size
        except UNREADABLE:
            return 1.0
    if not file.format.endswith((".gz", ".zst")):
        return 1.0
    # The first megabytes, and the packed bytes that they took: a chunk of the stream is unpacked whole.
    stream = Stream(file)
    unpacked = 0
    chunks = iter(stream)
    for chunk in chunks:
        unpacked += len(chunk)
        if unpacked >= SAMPLE:
            break
    return max(unpacked / min(file.size, _packed(stream, unpacked, file)), 1.0)


def _packed(stream: Stream, unpacked: int, file: SourceFile) -> int:
    """Packed bytes behind the unpacked ones: all of a file that ended, else the typical third of text."""
    return file.size if stream.digest else max(unpacked // 3, 1)
