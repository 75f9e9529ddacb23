"""The frame of the studies, on one that trains nothing."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from recension import NgramSpec, StudyEffort, StudySpec, plan_study, study, train_ngram, verify
from recension.errors import ManifestMismatchError, UsageError
from recension.recipes.study.bench import Bench
from recension.recipes.study.expansion_recipes import SCALES
from recension.recipes.study.subset import weighed
from recension.report.study import Row, StudyTable, study_page
from recension.report.values import Measured
from tests.recipes.conftest import write_jsonl


@pytest.fixture(scope="module")
def carried_out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    words = random.Random(0)
    rows = [
        {
            "id": f"{i}",
            "text": " ".join(
                words.choices(["the", "of", "and", "a", "to", "in", "New York"], [6, 5, 4, 3, 2, 1, 6], k=80)
            ),
        }
        for i in range(40)
    ]
    text = write_jsonl(folder / "text.jsonl", rows)
    train_ngram(text, folder / "prior", NgramSpec(order=2, vocabulary=300))
    spec = StudySpec(human=(str(text),), prior=f"ngram:{folder / 'prior'}", seeds=1)
    out = folder / "out"
    # No time at all: the first step is tried, the second one does not begin.
    assert study("edit-decline", out, spec, StudyEffort(workers=1, minutes=1e-9)) is None
    begun = verify(out)
    return out, spec, begun, study("edit-decline", out, spec, StudyEffort(workers=1))


def test_a_study_goes_on_and_is_whole(carried_out):
    out, spec, begun, report = carried_out
    assert not begun.complete
    assert verify(out).sound
    assert sum(report.steps.values()) == len(list((out / "steps").iterdir())) == 5
    stamps = [path.stat().st_mtime_ns for path in sorted((out / "steps").rglob("*"))]
    again = study("edit-decline", out, spec, StudyEffort(workers=1))
    assert again == report
    assert stamps == [path.stat().st_mtime_ns for path in sorted((out / "steps").rglob("*"))]


def test_what_the_steps_found_is_told(carried_out):
    out, _, _, report = carried_out
    step = json.loads((out / "steps" / "paper-0" / "report.json").read_text())["generations"]
    told = {row.name: row for row in report.tables[0].rows}
    for number in (1, 2, 3):
        row = told[f"paper, generation {number}"]
        one = step[number - 1]
        assert row.found["flagged, %"].value == pytest.approx(100 * one["flagged"] / one["tokens"])
    assert told["paper, generation 3"].paper == {"flagged, %": 11.08}
    page = (out / "report.html").read_text()
    assert "11.1" in page and "not resolvable at this scale" in page
    wide = StudyTable("Wide", (Row("a", {"b": Measured(1.0, 0.5, 1.5)}, {}),))
    assert ">1.00 (0.500\u00a0to\u00a01.50)</td>" in study_page(replace(report, tables=(wide,))), "no break in it"
    json.loads((out / "report.json").read_text())


def test_one_seed_resolves_nothing_and_says_so(carried_out):
    out, _, _, report = carried_out
    assert report.verdict == "not resolvable"
    assert "fewer than three seeds" in report.sentence
    assert json.loads((out / "manifest.json").read_text())["decided"] == {"smallest": {"decline": None}}


def test_damage_to_a_step_is_damage_to_the_study(carried_out):
    out, _, _, _ = carried_out
    path = next((out / "steps" / "paper-0" / "edits").iterdir())
    kept = path.read_bytes()
    path.write_bytes(kept + b"x")
    assert [p for p in verify(out).problems if p.startswith("steps/paper-0: edits/")]
    path.write_bytes(kept)
    assert verify(out).sound


def test_another_study_does_not_go_on_there(carried_out):
    out, spec, _, _ = carried_out
    with pytest.raises(ManifestMismatchError, match="seeds was 1, now 2"):
        study("edit-decline", out, StudySpec(human=spec.human, prior=spec.prior, seeds=2))


def test_misuse_is_said_plainly(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'u-shape'"):
        plan_study("ushape")
    with pytest.raises(UsageError, match="needs human text: give --human IN, or --data DIR"):
        study("edit-decline", tmp_path / "out")
    with pytest.raises(UsageError, match="has no role 'chats': it has human"):
        study("edit-decline", tmp_path / "out", StudySpec(text=("chats=x.jsonl",)))
    with pytest.raises(UsageError, match="needs paired text: give --text paired=IN, or --data DIR"):
        study("expansion-recipes", tmp_path / "out")


@pytest.mark.parametrize("scale", ["tiny", "small", "paper"])
def test_every_study_can_be_planned(scale):
    from recension.recipes.study.listed import STUDIES

    for name in STUDIES:
        plan = plan_study(name, StudySpec(scale=scale))
        assert plan.seeds >= 3 and plan.work > 0 and sum(plan.steps.values()) > plan.seeds


def test_subset_recipes_are_scaled_to_the_budget():
    bench = Bench(Path("OUT"), SCALES["tiny"], StudySpec(study="expansion-recipes"), planned=True)
    asked: dict[str, int] = {}

    def text(kind: str, size: int) -> Path:
        asked[kind] = size
        return Path(kind)

    shares = weighed(bench, "subset-maga", text)
    assert list(shares.values()) == pytest.approx([50 / 700, 200 / 700, 450 / 700])
    budget = bench.scale.bytes * bench.scale.epochs
    assert asked == {"original": round(budget / 14), "base": round(budget / 3.5), "beside_web": round(budget * 9 / 14)}
    repeated = weighed(bench, "subset-repeat", text)
    assert repeated[Path("original")] * budget / asked["original"] == pytest.approx(5, rel=1e-3), "read five times"
