"""What documents cost, as it stands in the scores of a run, to figures of domains with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recension.corpus import read_table_rows
from recension.errors import UsageError
from recension.methods.bootstrap import FEWEST, Resampler, interval
from recension.recipes.evaluate.spec import PerplexitySpec
from recension.report import DomainFigures, Interval, ModelFigures, PerplexityReport, ScopeFigures
from recension.run.execute import totals
from recension.run.manifest import Run

MOST_DOMAINS = 1_000
PREFIXES = ("", "against_")
# The sums of each model. The last two are of whole batches: the figures of paper mode.
NATS, TOKENS, BYTES, LOSSES, BATCHES = range(5)
WIDTH = 5

Floats = NDArray[np.float64]


class Figures(NamedTuple):
    """Figures of each model: row 0 is what was measured, the others are what the resamples give."""

    bits: Floats
    perplexity: Floats


class Gathered:
    """The documents of one domain on their way into sums. Nothing of a document stays."""

    def __init__(self, name: str, spec: PerplexitySpec) -> None:
        self.documents = self.bytes = 0
        self.read = [0] * len(spec.models)
        self.same_tokens = True
        self._batch = spec.paper_batch if spec.mode == "paper" else 1
        self._resampler = Resampler(name, WIDTH * len(spec.models), spec.bootstrap, spec.seed)
        self._waiting = np.zeros((0, WIDTH * len(spec.models)))

    def add(self, columns: Mapping[str, NDArray[Any]]) -> None:
        count = len(columns["bytes"])
        self.documents += count
        self.bytes += int(columns["bytes"].sum())
        rows = np.zeros((count, WIDTH * len(self.read)))
        for model, prefix in enumerate(PREFIXES[: len(self.read)]):
            self.read[model] += int(columns[f"{prefix}tokens"].sum())
            self.same_tokens &= bool((columns[f"{prefix}scored"] == columns["scored"]).all())
            for at, name in ((NATS, "nats"), (TOKENS, "scored"), (BYTES, "scored_bytes")):
                rows[:, model * WIDTH + at] = columns[f"{prefix}{name}"]
        self._waiting = np.concatenate([self._waiting, rows])
        self._pass_on(len(self._waiting) // self._batch * self._batch)

    def sums(self) -> Floats:
        """The sums over all documents, and below them those over each resample."""
        self._pass_on(len(self._waiting))
        return np.concatenate([self._resampler.totals[None], self._resampler.resampled()])

    def _pass_on(self, count: int) -> None:
        """Documents one by one, or in paper mode batch by batch: what a resample is drawn from are batches then."""
        if not count:
            return
        merged = np.add.reduceat(self._waiting[:count], np.arange(0, count, self._batch), axis=0)
        for start in range(0, merged.shape[1], WIDTH):
            merged[:, start + LOSSES] = merged[:, start + NATS] / merged[:, start + TOKENS]
            merged[:, start + BATCHES] = 1.0
        self._resampler.add(merged)
        self._waiting = self._waiting[count:]


def report(run: Run, spec: PerplexitySpec, names: Sequence[str], same_tokenizer: bool) -> PerplexityReport:
    """The figures of a run. `names` are the domains that are known beforehand: they keep their order."""
    gathered: dict[str, Gathered] = {}
    for name, columns in _documents(run):
        if name not in gathered:
            if len(gathered) >= MOST_DOMAINS:
                raise UsageError(f"the rows name more than {MOST_DOMAINS:,} domains: choose another --domain-key")
            gathered[name] = Gathered(name, spec)
        gathered[name].add(columns)
    order = [*(name for name in names if name in gathered), *sorted(set(gathered) - set(names))]
    sums = [gathered[name].sums() for name in order]
    same = same_tokenizer and all(domain.same_tokens for domain in gathered.values())
    each = [_figures(found, spec) for found in sums]
    macro = Figures(*(np.mean([getattr(found, name) for found in each], axis=0) for name in Figures._fields))
    domains = {
        name: DomainFigures(
            documents=gathered[name].documents,
            bytes=gathered[name].bytes,
            tokens=tuple(gathered[name].read),
            scored=tuple(int(found[0, model * WIDTH + TOKENS]) for model in range(len(spec.models))),
            scored_bytes=tuple(float(found[0, model * WIDTH + BYTES]) for model in range(len(spec.models))),
            figures=_scope(figures, same),
        )
        for name, found, figures in zip(order, sums, each, strict=True)
    }
    return PerplexityReport(
        run=run.name,
        mode=spec.mode,
        models=spec.models,
        settings=_settings(run, spec),
        domains=domains,
        macro=_scope(macro, same),
        micro=_scope(_figures(np.sum(sums, axis=0), spec), same),
        dropped=totals(run.out).dropped,
        notes=tuple(_notes(domains, [name for name in names if name not in gathered], spec, same)),
    )


def _documents(run: Run) -> Iterator[tuple[str, dict[str, NDArray[Any]]]]:
    """The scores of a run in order, a bounded batch and a domain at a time."""
    for path in sorted((run.out / "scores").glob("*.parquet")):
        for batch in read_table_rows(path):
            names = np.array(batch.column("domain").to_pylist(), dtype=object)
            wanted = [column for column in batch.schema.names if column not in ("domain", "id", "file")]
            figures = {column: batch.column(column).to_numpy(zero_copy_only=False) for column in wanted}
            for name in dict.fromkeys(names):
                chosen = names == name
                yield str(name), {column: values[chosen] for column, values in figures.items()}


def _figures(sums: Floats, spec: PerplexitySpec) -> Figures:
    above, below = (LOSSES, BATCHES) if spec.mode == "paper" else (NATS, TOKENS)
    parts = sums.reshape(len(sums), len(spec.models), WIDTH)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # a resample may hold nothing
        bits = parts[..., NATS] / np.log(2) / parts[..., BYTES]
        return Figures(bits, np.exp(parts[..., above] / parts[..., below]))


def _scope(figures: Figures, same_tokens: bool) -> ScopeFigures:
    models = [
        ModelFigures(_interval(figures.bits[:, model]), _interval(figures.perplexity[:, model]))
        for model in range(figures.bits.shape[1])
    ]
    if len(models) == 1:
        return ScopeFigures(models[0])
    bits = _interval(figures.bits[:, 0] - figures.bits[:, 1])
    apart = _interval(figures.perplexity[:, 0] - figures.perplexity[:, 1]) if same_tokens else None
    return ScopeFigures(models[0], models[1], bits, apart)


def _interval(values: Floats) -> Interval:
    return Interval(float(values[0]), *interval(values[1:]))


def _settings(run: Run, spec: PerplexitySpec) -> dict[str, str]:
    models: Any = run.manifest.identity["models"]
    shown = {}
    for role, name, model in zip(("model", "against"), spec.models, models, strict=False):
        facts = [f"{key} {model[key]}" for key in ("context", "bos", "dtype", "order") if model.get(key) is not None]
        shown[role] = f"{name} ({', '.join(facts) or model.get('kind')})"
    shown |= {"mode": spec.mode, "bootstrap": f"{spec.bootstrap:,} resamples, 95% intervals", "seed": str(spec.seed)}
    if spec.mode == "paper":
        shown["batch"] = f"{spec.paper_batch} documents"
    if spec.answers_only:
        shown["counted"] = "answers only"
    return shown


def _notes(
    domains: Mapping[str, DomainFigures], missing: Sequence[str], spec: PerplexitySpec, same_tokens: bool
) -> Iterator[str]:
    for name in missing:
        yield f"{name} has no document that could be scored, and is in no mean."
    small = [name for name, domain in domains.items() if domain.documents < FEWEST]
    if small:
        yield (
            f"Fewer than {FEWEST} documents: {', '.join(small)}. An interval from so few says little, and is "
            "rather too narrow than too wide."
        )
    if spec.mode == "paper":
        yield (
            "Measured as the ToEdit authors do: without BOS, on the first 1,024 tokens of each document, as the mean of "
            "the losses of batches, in which a short batch counts as much as a long one. Intervals resample batches."
        )
    for model, name in enumerate(spec.models):
        whole = sum(domain.bytes for domain in domains.values())
        left = whole - sum(domain.scored_bytes[model] for domain in domains.values())
        if spec.mode == "standard" and left >= 0.5:
            yield (
                f"{name}: {left:,.0f} of {whole:,} bytes are in no figure, since the model gives them no probability "
                "(a first token without BOS before it, or characters that its tokenizer does not know)."
            )
    if len(spec.models) == 2 and not same_tokens:
        yield "The two models have other tokens, so their perplexities cannot be compared; bits per byte can."
