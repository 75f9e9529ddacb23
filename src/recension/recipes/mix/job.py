"""What a recipe comes to before it runs: corpora opened, a layout for all of them, what counts tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa

from recension import __version__
from recension.corpus import Corpus, Layout, Reading, Record, column_value, metadata_layout, open_corpus
from recension.document import JSON, Document
from recension.errors import InputError, UsageError
from recension.identity import derived_id
from recension.methods.mixture import Wanted
from recension.models.token_counts import TokenCounter, token_counter
from recension.recipes.joined import Joined, named
from recension.recipes.mix.spec import MixSource, MixSpec
from recension.recipes.pages import encodable, identity_of
from recension.recipes.settings import flat
from recension.run.manifest import Manifest

RECIPE_VERSION = 1
SMALLEST, LARGEST, PIECES = 1 << 20, 32 << 20, 64
OWN = (pa.field("mix_source", pa.string()), pa.field("mix_repeat", pa.int32()))
_DERIVED = re.compile(r"([0-9a-f]{16})-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Source:
    """How the rows of a source are read, in whatever process."""

    number: int
    name: str
    reading: Reading
    lineage: str | None


@dataclass(frozen=True)
class MixJob:
    """A recipe joined with its corpora."""

    spec: MixSpec
    data: Joined
    layout: Layout
    counter: TokenCounter
    piece_bytes: int

    @property
    def sources(self) -> Mapping[str, Source]:
        """By the label of the file."""
        return {
            file.label: Source(number, source.name, corpus.reading, source.lineage)
            for number, (source, corpus) in enumerate(zip(self.spec.sources, self.data.corpora, strict=True))
            for file in corpus.files
        }

    @property
    def schema(self) -> pa.Schema:
        """Of the documents written: the layout, which source they are from, and the how manieth reading they are."""
        found = self.layout.schema
        for field in OWN:
            found = found.append(field)
        return found

    def wanted(self) -> list[Wanted]:
        """What is asked of each source; one that asks nothing is taken whole, once."""
        return [_wanted(self.spec, source) for source in self.spec.sources]


def _wanted(spec: MixSpec, source: MixSource) -> Wanted:
    open_ = source.weight is None and source.tokens is None and source.repeat is None and spec.preset is None
    repeat = 1 if open_ else source.repeat
    return Wanted(
        source.name,
        None if source.weight is None else Fraction(str(source.weight)),
        source.tokens,
        None if repeat is None else Fraction(str(repeat)),
        Fraction(str(source.max_repeat or spec.max_repeat)),
        source.max_repeat is not None,
        source.place,
    )


def job_of(spec: MixSpec, out: Path | None, counter: TokenCounter | None = None) -> MixJob:
    """Open the corpora; everything that can be said against a recipe without reading them is said here."""
    if not spec.sources:
        raise UsageError("the recipe names no sources: write sources: {NAME: {path: ..., weight: ...}}")
    corpora = []
    for source in spec.sources:
        try:
            corpus = open_corpus(list(source.path), _reading(spec, source), exclude=out)
        except InputError as error:
            raise InputError(f"{source.place}: {error}" if source.place else str(error)) from error
        corpora.append(named(corpus, source.name))
    data = Joined(tuple(corpora))
    return MixJob(spec, data, layout_for(corpora), counter or token_counter(spec.tokenizer), piece_size(data.size))


def _reading(spec: MixSpec, source: MixSource) -> Reading:
    rows = spec.rows
    return Reading(
        source.text_key or rows.text_key,
        source.id_key or rows.id_key,
        source.shape or rows.shape,
        rows.text_unit,
        rows.max_row,
        source.kind,
    )


def layout_for(corpora: Sequence[Corpus]) -> Layout:
    """The columns of tables where all sources have the same; otherwise what is not read stands in `metadata`."""
    first = corpora[0].layout
    taken = {field.name for field in OWN} & {name for corpus in corpora for name in corpus.layout.schema.names}
    same = all(corpus.layout.kind == "columns" and corpus.layout.schema == first.schema for corpus in corpora)
    shapes = tuple(dict.fromkeys(shape for corpus in corpora for shape in corpus.layout.shapes))
    if same and not taken and not any(_has_dictionary(field.type) for field in first.schema):
        return first
    return metadata_layout(shapes)


def _has_dictionary(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return True
    return any(_has_dictionary(kind.field(index).type) for index in range(kind.num_fields))


def piece_size(total: int) -> int:
    """About 64 pieces, each a power of two from 1 to 32 MiB."""
    size = SMALLEST
    while size < LARGEST and size * PIECES < total:
        size *= 2
    return size


def own_document(record: Record, source: Source) -> Document:
    """The document under the id that every verb gives it.

    The name of a source stands before the names of its files here; a derived id is made without it.
    """
    document = record.document
    if document.given_id:
        return document
    label = record.place.file.removeprefix(source.name + "/")
    name = derived_id(document.text.encode("utf-8"), label, record.place.row)
    origin = document.origin
    if origin is not None and origin.root == document.id:
        origin = replace(origin, root=name, parent=name if origin.parent == document.id else origin.parent)
    return replace(document, id=name, origin=origin)


def lineage_of(record: Record, document: Document, source: Source) -> str:
    """What an original and all that was made of it have in common.

    A column where the recipe names one, else the root that the origin states, else the id. Of a derived id only the
    half that is made of the content counts, so that an original is known again wherever it stands.
    """
    stated = stated_lineage(record, source)
    if stated is not None:
        return _content_of(stated)
    root = document.origin.root if document.origin is not None and document.origin.root else document.id
    return _content_of(document.id if source.lineage == "id" else root)


def stated_lineage(record: Record, source: Source) -> str | None:
    """What the column says that the recipe names; None where there is no such column or nothing in it."""
    if source.lineage is None or source.lineage == "id":
        return None
    value: Any = column_value(record, source.lineage)
    return None if value is None or value == "" else str(value)


def _content_of(name: str) -> str:
    match = _DERIVED.fullmatch(name)
    return match[1] if match else name


def described(job: MixJob) -> dict[str, JSON]:
    """What a recipe asks, for the key of a run: all but the tokenizer and the files."""
    sources: list[JSON] = []
    for source, wanted in zip(job.spec.sources, job.wanted(), strict=True):
        reading = _reading(job.spec, source)
        sources.append({
            "label": source.name, "weight": _said(wanted.weight), "tokens": wanted.tokens,
            "repeat": _said(wanted.repeat), "cap": source.cap, "most": _said(wanted.most), "stated": wanted.stated,
            "role": source.part if job.spec.preset else None, "lineage": source.lineage, "kind": source.kind,
            "text_key": reading.text_key, "id_key": reading.id_key, "shape": reading.shape,
        })  # fmt: skip
    spec = job.spec
    settings: dict[str, JSON] = {
        "preset": spec.preset, "tokens": spec.tokens, "whole": spec.whole, "seed": spec.seed, "holdout": spec.holdout,
        "holdout_sources": encodable(sorted(spec.holdout_sources)), "format": spec.format, "shard_bytes": spec.shard_bytes,
        "text_unit": spec.rows.text_unit, "max_row": spec.rows.max_row, "piece_bytes": job.piece_bytes,
    }  # fmt: skip
    return {"spec": settings, "sources": sources}


def manifest_of(job: MixJob) -> Manifest:
    spec = job.spec
    identity: dict[str, JSON] = {
        **described(job),
        "tokenizer": job.counter.spec,
        "inputs": [identity_of(file) for file in job.data.files],
        "layout": job.layout.to_json(),
    }
    facts: dict[str, JSON] = {
        "recension": __version__,
        "given": encodable([path for source in job.spec.sources for path in source.path]),
        "urls": {file.label: file.where for file in job.data.files},
        "skipped": encodable([name for corpus in job.data.corpora for name in corpus.skipped]),
        "tokenizer": spec.tokenizer,
        "config": recipe_of(spec),
    }
    return Manifest("mix", RECIPE_VERSION, identity, facts)


def _said(value: Fraction | None) -> str | None:
    return None if value is None else str(value)


def recipe_of(spec: MixSpec) -> dict[str, JSON]:
    """The settings as a recipe file has them."""
    values = {name: value for name, value in flat(replace(spec, sources=())).items() if value not in (None, [], "")}
    sources: dict[str, JSON] = {}
    for source in spec.sources:
        entry = {k: v for k, v in flat(source).items() if k not in ("name", "place", "path") and v not in (None, [])}
        paths: list[JSON] = encodable(source.path)
        sources[source.name] = {"path": paths[0] if len(paths) == 1 else paths, **entry}
    return {**values, "sources": sources}
