"""The corpora of the domains as one run: every shard belongs to one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from recension.corpus import Corpus, Layout, Piece, Reading, SourceFile, check_unchanged, expected_size, open_corpus
from recension.document import JSON
from recension.engines.local import available_cores
from recension.errors import InputError, UsageError
from recension.models.load import PriorOptions
from recension.recipes.evaluate.domains import Domain
from recension.recipes.pages import identity_of, look_over, reading_of
from recension.recipes.priors import load
from recension.recipes.settings import RowSettings
from recension.run.execute import totals
from recension.run.progress import Observer

SMALLEST_SHARD, LARGEST_SHARD, SHARDS = 64 << 10, 8 << 20, 64


@dataclass(frozen=True, slots=True)
class Source:
    """How the rows of a file are read, and which domain they belong to."""

    domain: str
    domain_key: str | None
    reading: Reading
    layout: Layout


@dataclass(frozen=True)
class Domains:
    """Domains with their corpora, in order. The names of files begin with the name of the domain."""

    members: tuple[tuple[Domain, Corpus], ...]

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return tuple(file for _, corpus in self.members for file in corpus.files)

    @property
    def size(self) -> int:
        return sum(corpus.size for _, corpus in self.members)

    @property
    def expected(self) -> int:
        """How many bytes will be read; 0 where limits of rows leave that open."""
        if any(domain.limit is not None for domain, _ in self.members):
            return 0
        return sum(expected_size(corpus) for _, corpus in self.members)

    @property
    def digests(self) -> dict[str, str]:
        return {label: digest for _, corpus in self.members for label, digest in corpus.digests.items()}

    @property
    def sources(self) -> Mapping[str, Source]:
        """By the label of the file."""
        return {
            file.label: Source(domain.name, domain.domain_key, corpus.reading, corpus.layout)
            for domain, corpus in self.members
            for file in corpus.files
        }

    def pieces(self, shard_bytes: int, limit: int | None, skip: Callable[[int], bool]) -> Iterator[Piece]:
        """The pieces of every domain, one domain after the other. Limits are those of the domains."""
        begun = 0
        for domain, corpus in self.members:
            first = begun
            for piece in corpus.pieces(shard_bytes, domain.limit, _from(first, skip)):
                yield replace(piece, index=first + piece.index)
                begun = first + piece.index + 1

    def identity(self) -> dict[str, JSON]:
        """What of them goes into the key of a run."""
        named: list[JSON] = [
            {
                "label": domain.name,
                "text_key": corpus.reading.text_key,
                "domain_key": domain.domain_key,
                "limit": domain.limit,
                "layout": corpus.layout.to_json(),
            }
            for domain, corpus in self.members
        ]
        return {"inputs": [identity_of(file) for file in self.files], "domains": named}


def _from(first: int, skip: Callable[[int], bool]) -> Callable[[int], bool]:
    return lambda index: skip(first + index)


def open_domains(domains: tuple[Domain, ...], rows: RowSettings, limit: int | None, out: Path) -> Domains:
    """Find the files of every domain; of each at most `limit` rows are read."""
    members = []
    for named in domains:
        limits = [most for most in (named.limit, limit) if most is not None]
        domain = replace(named, limit=min(limits, default=None))
        reading = reading_of(replace(rows, text_key=domain.text_key) if domain.text_key else rows)
        corpus = open_corpus(domain.paths, reading, exclude=out)
        labelled = tuple(replace(file, label=f"{domain.name}/{file.label}") for file in corpus.files)
        corpus = replace(corpus, files=labelled)
        _check_key(domain, corpus)
        members.append((domain, corpus))
    return Domains(tuple(members))


def _check_key(domain: Domain, corpus: Corpus) -> None:
    if domain.domain_key is None:
        return
    seen = corpus.columns_seen()
    if not {domain.domain_key, domain.domain_key.partition(".")[0], "metadata"} & set(seen):
        columns = ", ".join(seen) or "none"
        raise UsageError(f"no row of '{domain.name}' has the column '{domain.domain_key}': the columns are {columns}")


def look_over_all(domains: Domains, observer: Observer) -> None:
    for _, corpus in domains.members:
        look_over(corpus, observer)


def shard_size(total: int) -> int:
    """About 64 shards of the data, each a power of two from 64 KiB to 8 MiB."""
    size = SMALLEST_SHARD
    while size < LARGEST_SHARD and size * SHARDS < total:
        size *= 2
    return size


def worker_count(wanted: int, models: tuple[str, ...], options: PriorOptions, pieces: int) -> int:
    """No more processes than pieces; one for a model that holds a GPU."""
    on_gpu = any(load(name, options).prior.spec.get("device") == "cuda" for name in models)
    return max(1, min(wanted or (1 if on_gpu else available_cores()), pieces))


def check_some_used(out: Path, domains: Domains) -> None:
    """A run in which no row could be scored is an error, though every row is accounted for."""
    check_unchanged(domains.files)
    sums = totals(out)
    if not sums.written:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sums.dropped.items()) or "there are none"
        seen = {name: None for _, corpus in domains.members for name in corpus.columns_seen()}
        raise InputError(
            f"none of the {sums.rows:,} rows could be scored ({reasons}): see {out / 'dropped'}; the columns are "
            f"{', '.join(seen) or 'none'}: is --text-key right?"
        )
