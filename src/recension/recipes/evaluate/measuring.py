"""The corpora of the domains as one run: every shard belongs to one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from recension.corpus import Corpus, Layout, Reading, open_corpus
from recension.document import JSON
from recension.engines.local import available_cores
from recension.errors import InputError, UsageError
from recension.models.load import PriorOptions
from recension.recipes.evaluate.domains import Domain
from recension.recipes.joined import Joined, named
from recension.recipes.pages import identity_of, look_over, reading_of
from recension.recipes.priors import alone, load
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

    all: tuple[Domain, ...]
    data: Joined

    @property
    def sources(self) -> Mapping[str, Source]:
        """By the label of the file."""
        return {
            file.label: Source(domain.name, domain.domain_key, corpus.reading, corpus.layout)
            for domain, corpus in zip(self.all, self.data.corpora, strict=True)
            for file in corpus.files
        }

    def identity(self) -> dict[str, JSON]:
        """What of them goes into the key of a run."""
        described: list[JSON] = [
            {
                "label": domain.name,
                "text_key": corpus.reading.text_key,
                "domain_key": domain.domain_key,
                "limit": domain.limit,
                "layout": corpus.layout.to_json(),
            }
            for domain, corpus in zip(self.all, self.data.corpora, strict=True)
        ]
        return {"inputs": [identity_of(file) for file in self.data.files], "domains": described}


def open_domains(domains: tuple[Domain, ...], rows: RowSettings, limit: int | None, out: Path) -> Domains:
    """Find the files of every domain; of each at most `limit` rows are read."""
    found, corpora = [], []
    for given in domains:
        limits = [most for most in (given.limit, limit) if most is not None]
        domain = replace(given, limit=min(limits, default=None))
        reading = reading_of(replace(rows, text_key=domain.text_key) if domain.text_key else rows)
        corpus = named(open_corpus(domain.paths, reading, exclude=out), domain.name)
        _check_key(domain, corpus)
        found.append(domain)
        corpora.append(corpus)
    return Domains(tuple(found), Joined(tuple(corpora), tuple(domain.limit for domain in found)))


def _check_key(domain: Domain, corpus: Corpus) -> None:
    if domain.domain_key is None:
        return
    seen = corpus.columns_seen()
    if not {domain.domain_key, domain.domain_key.partition(".")[0], "metadata"} & set(seen):
        columns = ", ".join(seen) or "none"
        raise UsageError(f"no row of '{domain.name}' has the column '{domain.domain_key}': the columns are {columns}")


def look_over_all(domains: Domains, observer: Observer) -> None:
    for corpus in domains.data.corpora:
        look_over(corpus, observer)


def shard_size(total: int) -> int:
    """About 64 shards of the data, each a power of two from 64 KiB to 8 MiB."""
    size = SMALLEST_SHARD
    while size < LARGEST_SHARD and size * SHARDS < total:
        size *= 2
    return size


def worker_count(wanted: int, models: tuple[str, ...], options: PriorOptions, pieces: int) -> int:
    """No more processes than pieces; one where one is enough."""
    single = any(alone(load(name, options).prior) for name in models)
    return max(1, min(wanted or (1 if single else available_cores()), pieces))


def check_some_used(out: Path, domains: Domains) -> None:
    """A run in which no row could be scored is an error, though every row is accounted for."""
    domains.data.check_unchanged()
    sums = totals(out)
    if not sums.written:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sums.dropped.items()) or "there are none"
        raise InputError(
            f"none of the {sums.rows:,} rows could be scored ({reasons}): see {out / 'dropped'}; the columns are "
            f"{', '.join(domains.data.columns_seen()) or 'none'}: is --text-key right?"
        )
