"""The verbs that write with a model, against a server that speaks the real protocol."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

import recension
from recension.cli.output import confirm_fresh
from recension.errors import (
    BudgetError,
    InputError,
    ManifestMismatchError,
    ModelError,
    OutputError,
    TooManyDroppedError,
    UsageError,
)
from recension.models.fake import FakeWriter
from recension.models.fake_answers import written
from recension.models.fake_server import FakeServer, Faults
from recension.recipes.settings import build
from recension.recipes.writing import (
    Calls,
    ComposeSpec,
    ReformulateSpec,
    ReparseSpec,
    RephraseSpec,
    compose,
    plan_writing,
    preview,
    reformulate,
    reparse,
    rephrase,
)
from tests.recipes.conftest import read, tree, write_jsonl
from tests.warm import start

SENTENCES = (
    "The ferry of {n} crosses the strait at noon, and the pilot reads the currents from the colour of the water.",
    "In the winter of {n} the harbour froze over, so the crews carried their cargo across the ice on sledges.",
    "Old maps give the depth of the channel as {n} fathoms, though nobody has measured it since the lighthouse burnt.",
    "A surveyor named Ferring counted {n} herring gulls on the breakwater and wrote the number into his notebook.",
    "The town council sold {n} tickets for the regatta, and the money paid for a new crane on the eastern quay.",
    "When fog lies on the bay, {n} bells are rung by hand, one after the other, until the last boat is home.",
)


def rows(count: int) -> list[dict]:
    texts = [" ".join(s.format(n=100 * i + k) for k, s in enumerate(SENTENCES)) for i in range(count)]
    return [{"id": f"d{i}", "text": text, "domain": "sea"} for i, text in enumerate(texts)]


def spec_for(kind, url: str, **values):
    return build(kind, {"writer": f"openai:fake@{url}", "least_words": 5, **values})


QUICK = Calls(timeout=2.0, concurrency=32, patience=3.0)


@pytest.fixture(scope="module")
def server():
    with FakeServer() as running:
        yield running


def test_reformulate_writes_texts_with_their_lineage_and_accounts_for_every_pair(server, tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", [*rows(8), {"id": "none", "text": " "}])
    spec = spec_for(ReformulateSpec, server.url, pairs=3)
    report = reformulate(source, tmp_path / "out", spec, QUICK)
    proof = recension.verify(tmp_path / "out")
    assert proof.sound and (proof.rows, proof.units) == (9, 8 * 3 + 1) and proof.written == report.written > 5
    found = read(tmp_path / "out")
    one = found[0]
    assert one["origin"]["kind"] == "rewritten" and one["origin"]["root"] == one["origin"]["parent"] == "d0"
    assert one["origin"]["generation"] == 1 and one["origin"]["method"] == "reformulate:base"
    assert one["genre"] and one["audience"] and 1 <= one["score"] <= 5 and one["model"] == "fake"
    assert json.loads(one["metadata"])["domain"] == "sea"
    assert len({row["id"] for row in found}) == len(found)
    assert report.sources == 8 and report.expansion > 0 and sum(report.dropped.values()) == proof.dropped
    assert report.dropped["empty-text"] == 1 and sum(report.scores.values()) >= report.written
    assert (
        report.acceptance["pairs"]["reached"] == 8 * 3 and report.acceptance["factuality"]["passed"] == report.written
    )
    assert report.acceptance["judge"]["reached"] == report.acceptance["cleaning"]["passed"]
    assert report.calls.answers == report.stages["pairs"]["answered"] + sum(report.stages["rewrite"].values()) + sum(
        report.stages["judge"].values()
    )
    assert "openai:fake" in (tmp_path / "out" / "README.md").read_text()

    asked = server.counts.completed
    assert reformulate(source, tmp_path / "out", spec, QUICK) == report and server.counts.completed == asked


def test_a_preview_and_an_estimate_come_before_the_money_and_the_preview_is_not_paid_twice(server, tmp_path):
    source, out = write_jsonl(tmp_path / "in.jsonl", rows(12)), tmp_path / "out"
    spec = spec_for(ReformulateSpec, server.url, pairs=2, seed=7)
    blind = plan_writing(source, out, spec, Calls(price_in=1.0, price_out=2.0))
    assert (
        not out.exists() and blind.documents == 12 and blind.calls.usual == 12 * 5 and blind.cost.low < blind.cost.high
    )
    shown = preview(source, out, spec, 4, QUICK)
    assert len(shown) == 4 and all(len(units) == 2 for _, units in shown)
    seen = plan_writing(source, out, spec)
    assert seen.measured >= 12 and seen.cost is None and seen.assumed == (seen.measured < 20)
    before = server.counts.completed
    report = reformulate(source, out, spec, QUICK)
    assert server.counts.completed - before == report.calls.answers - seen.measured
    priced = (report.calls.read_tokens + 2 * report.calls.written_tokens) / 1e6
    assert blind.calls.low <= report.calls.answers <= blind.calls.high and blind.cost.low <= priced <= blind.cost.high
    after = plan_writing(source, out, spec)
    assert not after.assumed and after.seconds.low <= after.seconds.usual <= after.seconds.high
    assert after.written_tokens.low <= report.calls.written_tokens <= after.written_tokens.high


def test_a_preview_shows_what_a_budget_allows(server, tmp_path):
    lines: list[str] = []
    watching = SimpleNamespace(note=lines.append, update=lambda _: None)
    source, spec = write_jsonl(tmp_path / "in.jsonl", rows(6)), spec_for(RephraseSpec, server.url, style=("wiki",))
    assert len(preview(source, tmp_path / "out", spec, 6, Calls(max_requests=4), watching)) == 4
    assert any("2 of 6 rows are not shown: stopped at --max-requests 4" in line for line in lines)
    with pytest.raises(BudgetError, match="--max-tokens 1"):
        preview(source, tmp_path / "none", spec, 6, Calls(max_tokens=1))


def test_a_judge_has_its_own_price(server, tmp_path):
    source, spec = write_jsonl(tmp_path / "in.jsonl", rows(6)), spec_for(ReformulateSpec, server.url, pairs=2)
    prices = replace(QUICK, judge_price_in=1e6)  # one for each token that it reads
    blind = plan_writing(source, tmp_path / "out", spec, prices)
    report = reformulate(source, tmp_path / "out", spec, prices)
    assert 0 < report.calls.cost < report.calls.read_tokens and 0 < blind.cost.usual < blind.read_tokens.usual
    seen = plan_writing(source, tmp_path / "out", spec, prices)
    assert seen.cost.usual / seen.read_tokens.usual == pytest.approx(report.calls.cost / report.calls.read_tokens, 0.05)


def test_prices_of_a_judge_that_is_not_there_are_refused(server, tmp_path):
    source, prices = write_jsonl(tmp_path / "in.jsonl", rows(3)), Calls(max_cost=1.0, judge_price_in=5.0)
    unjudged = spec_for(ReformulateSpec, server.url, judge="none")
    with pytest.raises(UsageError, match="there is no judge here"):
        rephrase(source, tmp_path / "out", spec_for(RephraseSpec, server.url), prices)
    with pytest.raises(UsageError, match="there is no judge here"):
        plan_writing(source, tmp_path / "out", unjudged, prices)


def test_a_budget_stops_the_run_and_a_larger_one_goes_on(server, tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", rows(10))
    spec = spec_for(RephraseSpec, server.url, style=("medium", "faq"), seed=3)
    with pytest.raises(BudgetError, match="--max-requests 7: 7 answers"):
        rephrase(source, tmp_path / "out", spec, Calls(max_requests=7))
    assert not recension.verify(tmp_path / "out").problems
    report = rephrase(source, tmp_path / "out", spec, Calls(max_requests=20))
    assert report.calls.answers == 20 and recension.verify(tmp_path / "out").sound
    whole = rephrase(source, tmp_path / "whole", spec)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole") and whole.written == report.written


def test_reparse_reads_the_answers_anew_and_asks_nobody(server, tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", rows(10))
    reformulate(source, tmp_path / "out", spec_for(ReformulateSpec, server.url, pairs=3, longest=1.05), QUICK)
    asked = server.counts.received
    same = reparse(tmp_path / "out", tmp_path / "same")
    first = read(tmp_path / "out")
    texts = [row["text"] for row in first]
    assert [row["text"] for row in read(tmp_path / "same")] == texts and same.written == len(texts)
    strict = reparse(tmp_path / "out", tmp_path / "strict", ReparseSpec(accept=5))
    kept = [row["text"] for row in read(tmp_path / "strict")]
    assert kept == [row["text"] for row in first if row["score"] == 5] and strict.written < same.written
    loose = reparse(tmp_path / "out", tmp_path / "loose", ReparseSpec(longest=5.0))
    assert loose.dropped["judge: unanswered"] and "unparsable" not in loose.scores, "nobody read them"
    assert server.counts.received == asked
    assert recension.verify(tmp_path / "strict").sound
    with pytest.raises(UsageError, match="read from the answers of another run"):
        reparse(tmp_path / "same", tmp_path / "no")
    recension.edit(source, tmp_path / "edited", recension.EditSpec(prior="fake:sure"))
    with pytest.raises(UsageError, match="a run of edit; answers to read anew"):
        reparse(tmp_path / "edited", tmp_path / "no")
    source.write_text("")
    with pytest.raises(InputError):
        reparse(tmp_path / "out", tmp_path / "late")


def test_reparse_reads_as_far_as_the_run_did_and_knows_its_rules(server, tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", rows(6))
    first = rephrase(source, tmp_path / "out", spec_for(RephraseSpec, server.url), replace(QUICK, limit=2))
    again = reparse(tmp_path / "out", tmp_path / "again", ReparseSpec(shortest=0.01))
    assert first.sources == again.sources == 2 and first.dropped == again.dropped
    with pytest.raises(UsageError, match="--accept: a run of rephrase knows no such rule"):
        reparse(tmp_path / "out", tmp_path / "no", ReparseSpec(accept=5))
    unjudged = spec_for(ReformulateSpec, server.url, pairs=1, judge="none")
    reformulate(source, tmp_path / "unjudged", unjudged, replace(QUICK, limit=1))
    with pytest.raises(UsageError, match="--shortest is not above --longest"):
        reparse(tmp_path / "out", tmp_path / "no", ReparseSpec(shortest=2.0, longest=1.0))
    with pytest.raises(UsageError, match="--accept: nobody judged"):
        reparse(tmp_path / "unjudged", tmp_path / "no", ReparseSpec(accept=5))


class Changed(FakeWriter):
    """A model under the same name, of which other files are there now."""

    files = "first"

    @property
    def spec(self):
        return {**super().spec, "files": self.files}

    async def close(self) -> None:
        pass


def test_a_lent_writer_writes_and_another_model_under_its_name_does_not_go_on_with_its_run(tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", rows(3))
    writer = Changed(
        lambda request: "The harbour of the town was frozen, and crews took all cargo across the ice on sledges."
    )
    spec = build(RephraseSpec, {"writer": recension.lend_writer("ours", writer), "least_words": 5, "least_coverage": 0.0,
                                "shortest": 0.0})  # fmt: skip
    assert rephrase(source, tmp_path / "out", spec, replace(QUICK, limit=1)).written == 1
    assert rephrase(source, tmp_path / "out", spec, replace(QUICK, limit=2)).written == 2
    writer.files = "second"
    with pytest.raises(ManifestMismatchError, match="own:ours is another model than when"):
        rephrase(source, tmp_path / "out", spec, QUICK)
    assert writer.calls == 2 and recension.verify(tmp_path / "out").sound


def test_a_writer_that_was_named_wrongly_leaves_the_folder_free(server, tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", rows(1))
    with pytest.raises(ModelError, match="write openai:MODEL@URL"):
        rephrase(source, tmp_path / "out", build(RephraseSpec, {"writer": "openai:fake"}), QUICK)
    assert not (tmp_path / "out" / "manifest.json").exists() and not (tmp_path / "out" / "journal").exists()
    assert rephrase(source, tmp_path / "out", spec_for(RephraseSpec, server.url), QUICK).sources == 1
    for judge in ("nonsense", "openai:large@http://127.0.0.1:9/v1"):
        with pytest.raises(ModelError):
            named = spec_for(ReformulateSpec, server.url, pairs=1, judge=judge)
            reformulate(source, tmp_path / "judged", named, replace(QUICK, patience=0.1))
    assert not (tmp_path / "judged" / "manifest.json").exists()


def test_rephrase_keeps_the_source_beside_or_before_and_takes_styles_of_ones_own(server, tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", rows(6))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.j2").write_text(
        "{# A letter #}\n--- user\nHere is a text.\n\n{{ source }}\n\nWrite it as a letter to a friend, and nothing else.\n"
    )
    spec = spec_for(RephraseSpec, server.url, style=("letter",), styles=str(tmp_path / "mine"), mix_source="interleave")
    rephrase(source, tmp_path / "beside", spec)
    found = read(tmp_path / "beside")
    sources = [row for row in found if row["style"] == "source"]
    assert [row["text"] for row in sources] == [row["text"] for row in rows(6)]
    assert {row["origin"]["kind"] for row in sources} == {"unknown"} and sources[0]["id"] == "d0"
    assert found[1]["origin"]["parent"] == found[0]["id"] and recension.verify(tmp_path / "beside").units == 12
    before = rephrase(
        source, tmp_path / "before", spec_for(RephraseSpec, server.url, style=("diverse-qa",), mix_source="append")
    )
    assert any("source before it" in note for note in before.notes)
    assert all(row["text"].startswith("The ferry of") for row in read(tmp_path / "before"))
    with pytest.raises(UsageError, match="there is no such style"):
        rephrase(source, tmp_path / "no", spec_for(RephraseSpec, server.url, style=("haiku",)))


def about_boats(body: dict) -> str:
    return (
        f"Small boats need care. Paint the hull in spring, oil the blocks, and write down what you did. {body['seed']}"
    )


def test_compose_is_marked_as_generated(tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", [{**row, "topic": "Harbours"} for row in rows(12)])
    drawn = {"style": ("blog", "how-to"), "audience": ("college", "children"), "topic_key": "topic"}
    with FakeServer(answer=about_boats) as server:
        spec = build(ComposeSpec, {"writer": f"openai:fake@{server.url}", **drawn})
        compose(source, tmp_path / "out", spec)
        with pytest.raises(UsageError, match="--topic-key topci: none of the first 12 rows"):
            compose(source, tmp_path / "no", replace(spec, topic_key="topci"))
    found = read(tmp_path / "out")
    assert found and {row["origin"]["kind"] for row in found} == {"generated"}
    assert {row["style"] for row in found} == {"blog", "how-to"} and {row["topic"] for row in found} == {
        None,
        "Harbours",
    }


def test_text_that_is_synthetic_already_is_refused_and_long_text_is_cut_into_linked_parts(server, tmp_path):
    long = {"id": "long", "text": "\n\n".join(row["text"] for row in rows(4))}
    source = write_jsonl(tmp_path / "in.jsonl", [*rows(2), long])
    spec = spec_for(RephraseSpec, server.url, style=("wiki",), part_characters=700)
    rephrase(source, tmp_path / "one", spec)
    parts = [row for row in read(tmp_path / "one") if row["origin"]["parent"] == "long"]
    assert parts and {row["parts"] for row in parts} == {4} and len({row["part"] for row in parts}) == len(parts)
    rephrase(tmp_path / "one", tmp_path / "two", spec)
    assert {row["origin"]["generation"] for row in read(tmp_path / "two")} == {2}
    with pytest.raises(InputError, match="too-deep"):
        rephrase(tmp_path / "two", tmp_path / "three", spec)
    declared = spec_for(RephraseSpec, server.url, origin="generated", max_depth=0)
    with pytest.raises(InputError, match="too-deep 3"):
        rephrase(source, tmp_path / "declared", declared)


def test_a_dead_server_fails_the_run_and_the_next_call_resumes(tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", rows(6))
    with FakeServer(faults=Faults(script=dict.fromkeys(range(4, 500), "reset"))) as server:
        spec, port = spec_for(RephraseSpec, server.url), server.port
        with pytest.raises(ModelError, match="the same command goes on"):
            rephrase(source, tmp_path / "out", spec, Calls(patience=0.5, concurrency=1))
    with FakeServer(port=port) as server:
        report = rephrase(source, tmp_path / "out", spec)
        assert server.counts.completed == 3 and report.calls.answers == 6
    assert recension.verify(tmp_path / "out").sound


def test_too_much_that_is_set_aside_is_an_error_and_a_url_may_come_from_the_environment(server, tmp_path, monkeypatch):
    source = write_jsonl(tmp_path / "in.jsonl", rows(8))
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    spec = build(ReformulateSpec, {"writer": "openai:fake", "least_words": 5, "pairs": 2, "accept": 5})
    with pytest.raises(TooManyDroppedError, match=r"of 16 texts \("):
        reformulate(source, tmp_path / "out", spec, Calls(max_dropped=0.1))


def test_it_also_runs_where_an_event_loop_runs_already(server, tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", rows(2))

    async def notebook() -> int:
        return rephrase(source, tmp_path / "out", spec_for(RephraseSpec, server.url)).calls.answers

    assert asyncio.run(notebook()) == 2


def test_the_key_reaches_the_server_and_nothing_else(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    source = write_jsonl(tmp_path / "in.jsonl", rows(2))
    with FakeServer(key="sk-very-secret") as server:
        rephrase(source, tmp_path / "out", spec_for(RephraseSpec, server.url), Calls(api_key_variable="MY_KEY"))
        with pytest.raises(ModelError, match="asks for a key") as refused:
            rephrase(source, tmp_path / "no", spec_for(RephraseSpec, server.url), Calls(api_key_variable="OTHER"))
    files = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) > 6 and not any(b"sk-very-secret" in content for content in files)
    assert "secret" not in str(refused.value) + "".join(capfd.readouterr())


def test_a_judge_on_another_server_has_a_key_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("OURS", "sk-of-the-writer")
    monkeypatch.setenv("THEIRS", "sk-of-the-judge")
    source = write_jsonl(tmp_path / "in.jsonl", rows(1))
    with FakeServer(key="sk-of-the-writer") as writer, FakeServer(key="sk-of-the-judge") as judge:
        spec = spec_for(ReformulateSpec, writer.url, pairs=1, judge=f"openai:large@{judge.url}", accept=1)
        calls = replace(QUICK, api_key_variable="OURS", judge_key_variable="THEIRS")
        report = reformulate(source, tmp_path / "out", spec, calls)
        with pytest.raises(ModelError, match=r"openai:large.*refuses the key"):
            reformulate(source, tmp_path / "no", spec, replace(calls, judge_key_variable=None))
    assert sum(report.scores.values()) == 1 and judge.counts.completed == 2, "the probe and the text"


def absent_minded(body: dict) -> str:
    """Declines one text in words, forgets the score of every other, and gives it when asked again."""
    wanted = body["response_format"]["json_schema"]["schema"]["properties"] if "response_format" in body else {}
    if "genre_1" in wanted and "ferry of 100 " in body["messages"][1]["content"]:
        return "I'm sorry, but I can't help with that."
    if "score" in wanted:
        return '{"score": 5, "analysis": ""}' if len(body["messages"]) > 2 else '{"analysis": "all is well"}'
    return written(body)


def test_an_object_that_says_nothing_is_asked_for_again_and_a_refusal_in_words_is_not(tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", rows(2))
    with FakeServer(answer=absent_minded) as server:
        report = reformulate(source, tmp_path / "out", spec_for(ReformulateSpec, server.url, pairs=1), QUICK)
    assert report.dropped == {"pairs: refusal": 1} and "repair" not in report.stages["pairs"]
    assert report.scores == {"5": 1} and report.stages["judge repair"] == {"answered": 1}


KINDS = ("429", "500", "cut", "half-json", "wrong-schema", "wrong-type", "reset", "duplicate")


def test_killed_again_and_again_nothing_is_lost_and_nothing_is_paid_for_twice(tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", rows(60))
    lasting = {"truncated": 0.01, "rejected": 0.01, "empty": 0.01}
    server = FakeServer(latency=0.02, faults=Faults({**{kind: 0.3 / len(KINDS) for kind in KINDS}, **lasting}))
    command: list[object] = ["reformulate", source, "-o", tmp_path / "out", "--pairs", 2, "--concurrency", 16]
    command += ["--timeout", 2, "--least-words", 5, "--shard-bytes", 16384]
    draw, kills = random.Random(5), 0
    with server:
        command += ["--writer", f"openai:fake@{server.url}"]
        while True:
            with (tmp_path / "said").open("w") as said:
                running = start(command, said)
            before = server.counts.completed
            while kills < 2 and server.counts.completed < before + 20 and running.poll() is None:
                time.sleep(0.02)
            if kills < 2 and running.poll() is None:
                time.sleep(draw.uniform(0, 0.3))
                running.kill()
                running.wait()
                kills += 1
                continue
            assert running.wait() == 0, (tmp_path / "said").read_text()
            break
        counts, port = server.counts, server.port
    report = json.loads((tmp_path / "out" / "report.json").read_text())["calls"]
    assert kills == 2 and report["retried"] > 40
    # A rejection is an answer for the journal, and none that the server completed.
    assert report["answers"] + 1 <= counts.completed + counts.faults["rejected"]
    assert counts.completed <= report["answers"] + 2 + report["lost"]
    assert recension.verify(tmp_path / "out").sound
    with FakeServer(port=port, faults=Faults(lasting)) as server:
        spec = spec_for(ReformulateSpec, server.url, pairs=2, shard_bytes=16384)
        reformulate(source, tmp_path / "whole", spec, QUICK)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_starting_over_says_that_paid_answers_go(server, tmp_path):
    source = write_jsonl(tmp_path / "in.jsonl", rows(1))
    rephrase(source, tmp_path / "out", spec_for(RephraseSpec, server.url), QUICK)
    with pytest.raises(OutputError, match="with the answers that were paid for: add --yes"):
        confirm_fresh(tmp_path / "out", {"fresh": True, "yes": False})
