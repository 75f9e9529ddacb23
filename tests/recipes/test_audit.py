"""`audit` as a run: one answer for any number of workers, after any kill, with everything accounted for."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

import recension
from recension import AuditEffort, AuditSpec, ProfileSpec
from recension.cli.main import main
from recension.errors import InputError, ManifestMismatchError, UsageError
from recension.methods.audit import spread
from recension.methods.audit.folds import Fold
from recension.methods.audit.panel import units_of
from recension.methods.audit.sample import Passage
from recension.recipes.audit.outcome import ScoredSides, agreement_of, left_aside
from recension.recipes.audit.samples import units_of_fold
from recension.report.audit import audit_markdown
from tests.recipes.conftest import read, tree, write_jsonl

SAMPLES = Path(__file__).parent.parent.parent / "samples" / "human.jsonl.gz"
SPEC = AuditSpec(budget=4_000, draws=50, unit=40, scorer=("none",), embedder="none")
ONE = AuditEffort(workers=1)
HOSTILE = "</script><img src=x onerror=alert(1)> "


def rows(domain: str = "math") -> list[dict]:
    with gzip.open(SAMPLES, "rt") as file:
        return [row for row in map(json.loads, file) if row["domain"] == domain]


@pytest.fixture(scope="module")
def sides(tmp_path_factory) -> tuple[Path, Path]:
    """Two halves of one corpus, the second with two rows that cannot be read and some that try to be markup."""
    folder = tmp_path_factory.mktemp("sides")
    found = rows()[:700]
    other: list = [
        *found[1::2],
        b"{broken",
        {"id": "e", "text": ""},
        *({"id": f"h{i}", "text": f"{i} {HOSTILE * 9}"} for i in range(30)),
    ]
    return write_jsonl(folder / "one.jsonl", found[::2]), write_jsonl(folder / "other.jsonl", other)


@pytest.fixture(scope="module")
def finished(sides, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "audit"
    return out, recension.audit(sides, out, SPEC, ONE)


def test_every_row_is_accounted_for_and_the_folder_verifies(finished):
    out, report = finished
    proof = recension.verify(out)
    assert proof.sound and (proof.rows, proof.written, proof.dropped) == (732, 730, 2)
    assert report.dropped == {"empty-text": 1, "not-json": 1}
    assert sorted(row["corpus"] for row in read(out, "counts")) == [0, 1]


def test_a_healthy_text_is_not_praised_for_what_is_open_or_wide(finished):
    _, report = finished
    name, other, *_ = report.families
    said = {}
    for state, value in (("open", 0.1), ("wider", -0.8), ("within", 0.0)):
        families = name._replace(state=state, generations=value), other._replace(state="within", generations=0.0)
        said[state] = replace(report, level="healthy", families=families).sentence
    assert f"{name.name} aside" in said["open"] and "wider" in said["wider"]
    assert "aside" not in said["within"] and said["wider"].startswith("Healthy")


def test_the_report_says_what_the_documentation_says(finished):
    out, report = finished
    raw = json.loads((out / "report.json").read_bytes())
    assert raw["verdict"]["level"] == report.level and raw["verdict"]["reasons"] == list(report.reasons)
    for figure in raw["figures"]:
        assert figure["low"] <= figure["effect"] <= figure["high"] and 0 < figure["p"] <= figure["adjusted_p"] <= 1
    assert {"name", "family", "reference", "candidate", "margin", "generations"} < set(raw["figures"][0])
    assert [item["name"] for item in raw["shift"]] == ["auc", "js_words", "js_bigrams", "kl_eq9"]


def test_the_summary_says_what_is_still_needed_and_what_to_know(finished):
    _, report = finished
    told = audit_markdown(replace(report, level="inconclusive", needed_words=18_000, notes=("a | note",)))
    assert "About 18,000 words of each side" in told and "- a \\| note" in told
    assert "| classifier AUC |" in told and "Adjusted p |" in told


def test_what_a_document_says_is_never_markup(finished):
    out, _ = finished
    page = (out / "report.html").read_text()
    assert "&lt;/script&gt;&lt;img" in page and "<img" not in page
    assert "<img" not in (out / "summary.md").read_text()
    picture = ElementTree.fromstring((out / "summary.svg").read_bytes())
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"


def test_the_verdict_in_pixels(finished):
    pytest.importorskip("resvg_py")
    raw = (finished[0] / "summary.png").read_bytes()
    assert raw[:8] == b"\x89PNG\r\n\x1a\n" and int.from_bytes(raw[16:20], "big") == 2 * 720


def test_two_workers_and_a_killed_run_give_the_same_answer(sides, finished, tmp_path):
    out, _ = finished
    again = tmp_path / "again"
    recension.audit(sides, again, SPEC, AuditEffort(workers=2))
    assert (again / "report.json").read_bytes().replace(b'"again"', b'"audit"') == (out / "report.json").read_bytes()
    assert tree(again, ("counts", "dropped")) == tree(out, ("counts", "dropped"))
    # A kill before the last pass and before one of the shards had its receipt.
    for path in ("passes/shift/result", "passes/draws/result", "receipts/00001.json", "receipts/seal.json"):
        (again / path).unlink()
    recension.audit(sides, again, SPEC, ONE)
    assert (again / "report.json").read_bytes().replace(b'"again"', b'"audit"') == (out / "report.json").read_bytes()
    assert recension.verify(again).sound
    with pytest.raises(ManifestMismatchError, match=r"spec\.budget was 4000, now 5000"):
        recension.audit(
            sides, again, AuditSpec(budget=5_000, draws=50, unit=40, scorer=("none",), embedder="none"), ONE
        )


def test_narrow_text_fails_and_questions_in_it_are_found(sides, tmp_path):
    few = rows()[1:60:2]
    narrow = write_jsonl(tmp_path / "narrow.jsonl", few * 8)
    questions = write_jsonl(
        tmp_path / "questions.jsonl",
        [
            {"query": few[0]["text"][:150]},
            {"query": "Who is he?"},
            {"query": "What is the airspeed velocity of an unladen swallow here?"},
        ],
    )
    arguments = ["audit", str(sides[0]), str(narrow), "-o", str(tmp_path / "out"), "--budget", "4000", "--draws", "50"]
    arguments += [
        "--unit",
        "40",
        "--embedder",
        "none",
        "--scorer",
        "none",
        "--workers",
        "1",
        "--test-set",
        f"quiz={questions}",
    ]
    done = CliRunner().invoke(main, [*arguments, "--fail-on", "at-risk"], standalone_mode=False)
    assert done.return_value == 4 or getattr(done.exception, "exit_code", None) == 4, done.output
    raw = json.loads((tmp_path / "out" / "report.json").read_bytes())
    found = {item["name"]: (item["found"], item["of"]) for item in raw["integrity"]}
    assert found["evaluation set quiz"] == (1, 2)
    assert "1 more are shorter" in raw["integrity"][-1]["says"]
    assert found["near-duplicates within narrow"][0] >= 7 * len(few)
    assert raw["drivers"][0]["candidate"] > raw["drivers"][0]["reference"]


def test_scorers_count_only_where_several_agree(sides, tmp_path):
    spec = AuditSpec(
        scorer=("fake:plain", "fake:sure"), budget=2_000, draws=50, unit=40, scored_words=1_000, embedder="static",
        pair_key="id", limit=120,
    )  # fmt: skip
    report = recension.audit((sides[0], sides[0]), tmp_path / "out", spec, ONE)
    assert len(report.scorers) == 2 and sum(figure.family == "perplexity" for figure in report.figures) == 8
    assert all(figure.effect == 0 for figure in report.figures)  # each row is its own pair
    assert report.level in ("healthy", "inconclusive")
    alone = recension.audit(
        (sides[0], sides[0]), tmp_path / "alone",
        AuditSpec(scorer=("fake:plain",), budget=2_000, draws=50, unit=40, scored_words=1_000, embedder="none"), ONE,
    )  # fmt: skip
    assert "no say" in alone.scorers[0].agrees
    assert all(figure.generations is None for figure in alone.figures if figure.family == "perplexity")


def test_a_passage_that_stands_there_a_million_times_fills_the_budget_and_no_more():
    fold = Fold(100)
    fold.sample = [
        Passage(1, 1, "one two three four five", "a", "a", "", 5, 1_000_000),
        Passage(2, 2, "six", "b", "b", "", 1),
    ]
    assert 20 <= len(list(units_of_fold(fold, 30))) <= 22


def test_one_scorer_does_not_speak_for_the_others():
    """Two scorers see a candidate alike; what the chain does is seen by one of them, or by both."""
    random = np.random.default_rng(0)

    def seen(width: float, sure: int) -> spread.Scored:
        tokens, levels = np.full(400, 100), random.normal(3, width, 400)
        return spread.Scored(100 * levels, tokens, tokens - sure, np.full(400, sure), np.arange(400))

    def scorer(moved: bool) -> ScoredSides:
        chain = seen(0.1, 40) if moved else seen(0.5, 20)
        return ScoredSides("s", seen(0.5, 20), seen(0.3, 30), chain, (), ())

    for both in (False, True):
        heard, says = agreement_of([scorer(True), scorer(both)])
        assert heard.all() == both and heard.any() == both
        assert ("none has a say" in says.replace("\n", " ")) != both
    other = ScoredSides("s", seen(0.3, 30), seen(0.5, 20), seen(0.1, 40), (), ())
    assert "disagree in sign on every figure" in agreement_of([scorer(True), other])[1]


def test_strata_of_one_side_are_named():
    one, other = (
        units_of("a b c", "x", 30, "law"),
        [*units_of("a", "x", 30, "law"), *units_of("b c d", "y", 30, "web")],
    )
    [said] = left_aside(("human", "made"), (one, other))
    assert said.startswith("75.0% of the sample of made") and said.endswith("left aside: web.")


def test_one_text_file_on_a_side_is_one_source_and_never_healthy(tmp_path):
    texts = [row["text"] for row in rows()[:700]]
    (tmp_path / "one.txt").write_text("\n".join(texts[::2]))
    other = write_jsonl(tmp_path / "other.jsonl", [{"id": str(i), "text": text} for i, text in enumerate(texts[1::2])])
    report = recension.audit((tmp_path / "one.txt", other), tmp_path / "out", SPEC, ONE)
    assert report.level == "inconclusive" and any("source" in reason for reason in report.reasons)
    # Halves of one source are all of it, so there is no interval, and none of no width.
    raw = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert {family["low"] for family in raw["families"]} == {None} and raw["shift"][0]["value"] is None
    assert all(isinstance(family["generations"], float) for family in raw["families"])
    assert "nan" not in (tmp_path / "out" / "report.html").read_text() + (tmp_path / "out" / "summary.svg").read_text()


def test_misuse_is_told_in_one_line(sides, tmp_path):
    with pytest.raises(UsageError, match="exclude each other"):
        recension.audit(sides, tmp_path / "a", AuditSpec(pair_key="id", group_key="source", scorer=("none",)), ONE)
    with pytest.raises(UsageError, match="--embedder is static, none or st:NAME"):
        AuditSpec(embedder="glove")
    with pytest.raises(InputError, match="too little pairs in common"):
        recension.audit(
            sides,
            tmp_path / "b",
            AuditSpec(budget=4_000, draws=50, pair_key="id", scorer=("none",), embedder="none"),
            ONE,
        )
    with pytest.raises(UsageError, match="two corpora"):
        recension.audit([sides[0]], tmp_path / "c", SPEC, ONE)


def test_a_profile_of_one_source_has_no_interval(tmp_path):
    (tmp_path / "one.txt").write_text("\n".join(row["text"] for row in rows()[:60]))
    spec = ProfileSpec(budget=2_000, draws=50, scorer=("none",), embedder="none")
    recension.profile(tmp_path / "one.txt", tmp_path / "out", spec, ONE)
    raw = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert {(figure["low"], figure["high"]) for figure in raw["figures"]} == {(None, None)}


def test_a_profile_counts_everything_and_describes_a_sample(sides, tmp_path):
    spec = ProfileSpec(budget=4_000, draws=50, scorer=("fake:plain",), scored_words=1_000)
    report = recension.profile(sides[1], tmp_path / "out", spec, ONE)
    assert recension.verify(tmp_path / "out").sound
    assert (report.documents, sum(n for _, n in report.lengths), report.compared) == (380, 380, 4_000)
    assert sum(report.groups) >= 20  # the hostile ones are near-duplicates of each other
    assert max(report.languages, key=report.languages.get) == "English"
    assert all(figure.low <= figure.value <= figure.high for figure in report.figures)
    crowd = report.density
    assert (crowd.documents, sum(crowd.levels)) == (380, 380)
    assert HOSTILE.strip() in crowd.crowded[0][0] and crowd.crowded[0][1] > 5 * crowd.lonely[0][1]
    assert "<img" not in (tmp_path / "out" / "report.html").read_text()
    assert json.loads((tmp_path / "out" / "report.json").read_bytes())["figures"][0]["name"] == "compression_ratio"
