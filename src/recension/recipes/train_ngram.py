"""`train ngram`: fit an n-gram prior on a corpus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from recension import __version__
from recension.corpus import BadRow, Corpus, check_unchanged, open_corpus, read_piece
from recension.document import JSON
from recension.errors import ModelError, TooManyDroppedError, UsageError
from recension.models.ngram import NgramSettings, NgramSummary, train
from recension.recipes.pages import as_inputs, encodable, identity_of, look_over, reading_of
from recension.recipes.settings import RowSettings, check_types, flat, setting, settings
from recension.run import folder
from recension.run.execute import seal
from recension.run.folder import output_path
from recension.run.manifest import Manifest, Run, open_run
from recension.run.progress import Observer, Progress, Silent
from recension.run.receipts import read_seal
from recension.run.shards import ShardPlan, ShardWriter
from recension.run.verify import file_sha256

RECIPE_VERSION = 1
PIECE_BYTES = 8 << 20
SUMMARY = "report.json"


@dataclass(frozen=True, slots=True)
class NgramSpec:
    """Everything that can change the fitted model."""

    order: int = setting(5, "The longest n-gram.", metavar="N", group="Model")
    vocabulary: int = setting(8192, "Tokens of the byte-level BPE that is fitted first.", metavar="N", group="Model")
    limit: int | None = setting(None, "Fit on the first N input rows only.", metavar="N", group="Model")
    min_count: int = setting(
        1, "Leave out n-grams of order 3 and up that occur less often.", metavar="N", group="Model"
    )
    tokenizer: str | None = setting(
        None, "Use this tokenizer.json instead of fitting one.", metavar="FILE", group="Model"
    )

    rows: RowSettings = settings(RowSettings)

    def __post_init__(self) -> None:
        check_types(self)
        if not 2 <= self.order <= 16:
            raise UsageError(f"--order lies between 2 and 16, not {self.order}")
        if not 256 <= self.vocabulary <= 1 << 24:
            raise UsageError(f"--vocabulary lies between 256 (every byte) and 16777216, not {self.vocabulary}")
        if self.min_count < 1 or (self.limit is not None and self.limit < 1):
            raise UsageError("--min-count and --limit are 1 or more")


@dataclass(frozen=True, slots=True)
class NgramEffort:
    """How the fitting is carried out."""

    max_dropped: float | None = setting(
        None, "Fail when more than this share of the rows had to be set aside.", metavar="SHARE", group="Effort"
    )

    def __post_init__(self) -> None:
        check_types(self)


def train_ngram(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    spec: NgramSpec | None = None,
    effort: NgramEffort | None = None,
    observer: Observer | None = None,
    fresh: bool = False,
) -> NgramSummary:
    """Fit a model and write it to `out/model`; `ngram:OUT` names it from then on. A finished one is read back."""
    spec, effort, observer, out = spec or NgramSpec(), effort or NgramEffort(), observer or Silent(), output_path(out)
    if spec.tokenizer is not None and not Path(spec.tokenizer).is_file():
        raise UsageError(f"--tokenizer {spec.tokenizer}: no such file")
    corpus = open_corpus(as_inputs(inputs), reading_of(spec.rows), exclude=out)
    look_over(corpus, observer)
    needed = [Path(spec.tokenizer)] if spec.tokenizer is not None else []
    with open_run(out, _manifest(spec, corpus, as_inputs(inputs)), fresh, needed) as run:
        sealed = read_seal(run.out)
        if sealed is None or sealed.key != run.key or not (run.out / SUMMARY).is_file():
            _fit(run, spec, corpus, effort, observer)
        return msgspec.json.decode((run.out / SUMMARY).read_bytes(), type=NgramSummary)


def _manifest(spec: NgramSpec, corpus: Corpus, given: list[str]) -> Manifest:
    identified = flat(spec)
    if spec.tokenizer is not None:
        identified["tokenizer"] = file_sha256(Path(spec.tokenizer))
    identity: dict[str, JSON] = {
        "spec": identified,
        "inputs": [identity_of(file) for file in corpus.files],
    }
    facts: dict[str, JSON] = {
        "recension": __version__,
        "given": encodable(given),
        "urls": {file.label: file.where for file in corpus.files},
        "skipped": encodable(corpus.skipped),
        "config": flat(spec),
    }
    return Manifest("train-ngram", RECIPE_VERSION, identity, facts)


def _fit(run: Run, spec: NgramSpec, corpus: Corpus, effort: NgramEffort, observer: Observer) -> None:
    settings = NgramSettings(spec.order, spec.vocabulary, spec.min_count, tokenizer=spec.tokenizer)
    made = run.out / folder.SCRATCH / "model"
    with ShardWriter(ShardPlan.of(run, "parquet", {}), 0) as shard:
        texts = _texts(corpus, spec.limit, shard)

        def tick(stage: str, done: int) -> None:
            observer.update(
                Progress(stage, documents=done if stage == "tokenise" else shard.used, dropped=_lost(shard))
            )

        with folder.writing(made):
            summary = train(texts, settings, made, tick)
            if effort.max_dropped is not None and _lost(shard) > effort.max_dropped * (shard.used + _lost(shard)):
                raise TooManyDroppedError(
                    f"{_lost(shard):,} rows were set aside, more than --max-dropped {effort.max_dropped:g} of all: "
                    "raise it to go on"
                )
            target = run.out / "model"
            if target.is_dir():
                for path in target.iterdir():
                    path.unlink()
            target.mkdir(exist_ok=True)
            for path in sorted(made.iterdir()):
                path.replace(target / path.name)
            folder.sync_folder(target)
        shard.commit({"tokens": summary.tokens, "documents": summary.documents})
    report = msgspec.json.format(msgspec.json.encode(summary), indent=1)
    model = {f"model/{p.name}": file_sha256(p) for p in sorted((run.out / "model").iterdir())}
    seal(run, corpus.digests, {SUMMARY: report}, spec.limit, model)


def _texts(corpus: Corpus, limit: int | None, shard: ShardWriter) -> Iterator[str]:
    """The text of every row; what cannot be read goes to the shard."""
    for piece in corpus.pieces(PIECE_BYTES, limit):
        for row in read_piece(piece, corpus.reading, corpus.layout):
            shard.row(1)
            if isinstance(row, BadRow):
                shard.drop(row)
            else:
                shard.used += 1
                yield row.document.text
    check_unchanged(corpus.files)
    if not shard.used:
        raise ModelError("there is nothing to fit: no row of the input holds a text")


def _lost(shard: ShardWriter) -> int:
    return sum(shard.dropped.values())
