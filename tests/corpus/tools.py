"""Reading and writing whole corpora the way a recipe does."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa

from recension.corpus import (
    DROPPED_SCHEMA,
    BadRow,
    OutRow,
    Reading,
    Record,
    dropped_batch,
    open_corpus,
    open_writer,
    read_piece,
)


def read_all(inputs, reading=None, shard_bytes=1 << 20, **ask):
    """Everything of a corpus: the corpus, its records and its bad rows. Pieces pass through pickle, as they do in a run."""
    reading = reading or Reading()
    inputs = [str(item) for item in (inputs if isinstance(inputs, list | tuple) else [inputs])]
    corpus = open_corpus(inputs, reading)
    pieces = [pickle.loads(pickle.dumps(piece)) for piece in corpus.pieces(shard_bytes, **ask)]
    rows = [row for piece in pieces for row in read_piece(piece, reading, corpus.layout)]
    good = [row for row in rows if isinstance(row, Record)]
    bad = [row for row in rows if isinstance(row, BadRow)]
    return SimpleNamespace(corpus=corpus, pieces=pieces, rows=rows, good=good, bad=bad)


def write_all(out: Path, result, new_texts=None, format="parquet"):
    """Write what was read to a folder as a run does, with a card."""
    (out / "data").mkdir(parents=True)
    (out / "dropped").mkdir()
    layout = result.corpus.layout
    rows = [OutRow(r, r.document, (new_texts or {}).get(r.document.id, {})) for r in result.good]
    with open_writer(out / "data" / "00000", layout.schema, format) as writer:
        for start in range(0, len(rows), 7):
            writer.write(layout.batch(rows[start : start + 7]))
        data = writer.close()
    with open_writer(out / "dropped" / "00000", DROPPED_SCHEMA, format) as writer:
        writer.write(dropped_batch(result.bad))
        writer.close()
    card = "---\nconfigs:\n" + "".join(
        f"- config_name: {name}\n  data_files: {name}/*\n" for name in ("data", "dropped")
    )
    (out / "README.md").write_text(card + "---\n")
    return data


def table_of(result, new_texts=None) -> pa.Table:
    layout = result.corpus.layout
    rows = [OutRow(r, r.document, (new_texts or {}).get(r.document.id, {})) for r in result.good]
    return pa.Table.from_batches([layout.batch(rows)])


def jsonl(*rows) -> bytes:
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)
