"""The seam of the generating verbs: answers are journalled before they are parsed, and paid for once."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.recipes.conftest import make_rows, read, tree, write_jsonl

import recension
from recension.corpus import Layout, OutRow, Piece, Reading, Record, expected_size, open_corpus, read_piece, set_aside
from recension.document import Origin
from recension.engines.local import LocalEngine
from recension.errors import ModelError
from recension.identity import fingerprint
from recension.models.fake import FakeWriter, MemoryJournal
from recension.ports import Completion, Journal, Request
from recension.run.execute import Bounds, execute, seal
from recension.run.journal import SqliteJournal
from recension.run.manifest import Manifest, open_run
from recension.run.progress import Silent
from recension.run.receipts import Receipt
from recension.run.shards import ShardPlan, ShardWriter

STYLES = ("plain", "formal")


def completion(key: str, text: str = "yes") -> Completion:
    return Completion(key, text, "stop", {"choices": [{"text": text}]}, {"completion_tokens": 1})


@pytest.fixture(params=["memory", "sqlite"])
def journal(request, tmp_path):
    return MemoryJournal() if request.param == "memory" else SqliteJournal(tmp_path / "journal" / "00000.sqlite")


def test_a_journal_keeps_the_first_answer_to_a_key(journal):
    assert isinstance(journal, Journal) and journal.get("a") is None and len(journal) == 0
    journal.put(completion("a"))
    journal.put(completion("a", "another"))
    journal.put(completion("b", "Größe 🙂"))
    assert journal.get("a") == completion("a") and journal.get("b").text == "Größe 🙂" and len(journal) == 2


DIE = (
    "import os, signal, sys\nfrom pathlib import Path\n"
    "from recension.run.journal import SqliteJournal\nfrom recension.ports import Completion\n"
    "journal = SqliteJournal(Path(sys.argv[1]))\n"
    "for i in range(20):\n    journal.put(Completion(str(i), 'x', 'stop', {}))\n"
    "os.kill(os.getpid(), signal.SIGKILL)\n"
)


def test_an_answer_that_was_put_survives_a_kill(tmp_path):
    path = tmp_path / "j.sqlite"
    done = subprocess.run([sys.executable, "-c", DIE, str(path)])
    assert done.returncode == -signal.SIGKILL
    assert len(SqliteJournal(path)) == 20


@dataclass(frozen=True)
class Rewrite:
    """What a generating verb will look like: two requests for each row, concurrent, every answer journalled first."""

    plan: ShardPlan
    reading: Reading
    layout: Layout
    bill: Path
    fail_every: int | None = None
    styles: tuple[str, ...] = field(default=STYLES)

    def __call__(self, piece: Piece) -> Receipt:
        journal = SqliteJournal(self.plan.out / "journal" / f"{piece.index:05d}.sqlite")
        try:
            with ShardWriter(self.plan, piece.index) as shard:
                for row in read_piece(piece, self.reading, self.layout):
                    assert isinstance(row, Record)
                    shard.row(len(self.styles))
                    answers = asyncio.run(self._ask(row, journal))
                    for style, answer in zip(self.styles, answers, strict=True):
                        if "captain" in answer.text:
                            shard.drop(set_aside(row, "refused", f"the {style} answer speaks of the captain"))
                            continue
                        origin = Origin("rewritten", row.document.id, row.document.id, style, "run", 1)
                        document = replace(row.document, origin=origin)
                        shard.write(self.layout.batch([OutRow(row, document, {"text": answer.text})]))
                return shard.commit({})
        finally:
            journal.close()

    async def _ask(self, row: Record, journal: SqliteJournal) -> list[Completion]:
        writer = FakeWriter(fail_every=self.fail_every)

        async def answer(style: str) -> Completion:
            messages = ({"role": "user", "content": f"{style}: {row.document.text}"},)
            request = Request(fingerprint([style, row.document.text, row.document.id]), messages)
            known = journal.get(request.key)
            if known is not None:
                return known
            with self.bill.open("a") as file:
                file.write(request.key + "\n")
            paid = await writer.write(request)
            journal.put(paid)
            return paid

        return list(await asyncio.gather(*(answer(style) for style in self.styles)))


def rewrite(source: Path, out: Path, bill: Path, workers: int, fail_every: int | None = None) -> None:
    corpus = open_corpus([str(source)], Reading(), exclude=out)
    with open_run(out, Manifest("rewrite", 1, {"spec": {}})) as run:
        plan = ShardPlan.of(run, "parquet", {"data": corpus.layout.schema})
        task = Rewrite(plan, corpus.reading, corpus.layout, bill, fail_every)
        execute(run, task, corpus, LocalEngine(workers), Bounds(3_000, expected=expected_size(corpus)), Silent())
        seal(run, corpus.digests, {})


@pytest.mark.parametrize("workers", [1, 2])
def test_no_answer_is_paid_for_twice_and_every_unit_is_accounted_for(tmp_path, workers):
    source, bill = write_jsonl(tmp_path / "in.jsonl", make_rows(30)), tmp_path / "bill"
    for _ in range(40):
        try:
            rewrite(source, tmp_path / "out", bill, workers, fail_every=2)
            break
        except ModelError:
            continue
    else:
        rewrite(source, tmp_path / "out", bill, workers)
    proof = recension.verify(tmp_path / "out")
    assert proof.sound and (proof.rows, proof.units) == (30, 60) and proof.dropped > 0
    answered = {key for path in (tmp_path / "out" / "journal").glob("*.sqlite") for key in _keys(path)}
    asked = bill.read_text().split()
    assert len(answered) == 60 and set(asked) == answered
    failed = len(asked) - 60  # a request that failed has no answer and may be asked again
    assert failed > 0
    rewrite(source, tmp_path / "whole", tmp_path / "other", 1)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    assert len(read(tmp_path / "out")) == proof.written


def _keys(path: Path) -> list[str]:
    import sqlite3

    with sqlite3.connect(path) as connection:
        keys = [row[0] for row in connection.execute("SELECT key FROM answers")]
    connection.close()
    return keys
