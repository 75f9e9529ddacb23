"""Corpora: anything read in pieces with nothing lost, and shards written."""

from recension.corpus.chosen import Places, PlainRows, read_chosen
from recension.corpus.columns import column_value
from recension.corpus.exchanges import rebuild
from recension.corpus.expected import expected_size
from recension.corpus.layout import (
    DROPPED_SCHEMA,
    Layout,
    OutRow,
    dropped_batch,
    metadata_layout,
    other_columns_of,
    set_aside,
)
from recension.corpus.objects import ObjectFile, ObjectRow, read_objects
from recension.corpus.outlines import Outlines
from recension.corpus.pieces import Corpus, open_corpus, read_piece
from recension.corpus.rows import BadRow, Piece, Place, Reading, Record, SourceFile, TablePart
from recension.corpus.sources import check_unchanged
from recension.corpus.strings import Strings, joined, numbered
from recension.corpus.tablerows import ORIGIN_TYPE
from recension.corpus.texts import TextRows, read_texts
from recension.corpus.writing import FORMATS, TableWriter, Written, open_writer, read_table_rows

__all__ = [
    "DROPPED_SCHEMA",
    "FORMATS",
    "ORIGIN_TYPE",
    "BadRow",
    "Corpus",
    "Layout",
    "ObjectFile",
    "ObjectRow",
    "OutRow",
    "Outlines",
    "Piece",
    "Place",
    "Places",
    "PlainRows",
    "Reading",
    "Record",
    "SourceFile",
    "Strings",
    "TablePart",
    "TableWriter",
    "TextRows",
    "Written",
    "check_unchanged",
    "column_value",
    "dropped_batch",
    "expected_size",
    "joined",
    "metadata_layout",
    "numbered",
    "open_corpus",
    "open_writer",
    "other_columns_of",
    "read_chosen",
    "read_objects",
    "read_piece",
    "read_table_rows",
    "read_texts",
    "rebuild",
    "set_aside",
]
