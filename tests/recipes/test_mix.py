"""Mixtures end to end: exact in tokens, whole after an interrupt, lineages on one side, recipes that say what is wrong."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import recension
from recension import EditSpec, LearningSettings, MixEffort, MixSource, MixSpec, PretrainSpec, TrainEffort
from recension.cli.main import main
from recension.errors import InputError, ModelError, UnreachableError, UsageError
from recension.models.token_counts import token_counter
from recension.recipes.mix.recipe import read_recipe, with_flags
from recension.run.progress import Progress
from tests.recipes.conftest import make_rows, read, tree, write_jsonl

PARTS = ("data", "holdout", "dropped")
ALONE = MixEffort(workers=1)


def words(rows: list[dict]) -> int:
    return sum(len(row["text"].split()) for row in rows)


@pytest.fixture
def recipe(tmp_path) -> MixSpec:
    """One source read two and a half times, one by its weight, with broken rows and a holdout."""
    rows: list = make_rows(60)
    rows[3] = b"{broken"
    human = write_jsonl(tmp_path / "human.jsonl", rows)
    web = write_jsonl(tmp_path / "web.jsonl", [{**row, "id": "w" + row["id"]} for row in make_rows(80, 1)])
    return MixSpec(
        (
            MixSource("human", (str(human),), repeat=2.5, kind="human"),
            MixSource("web", (str(web),), weight=1),
        ),
        tokenizer="words",
        holdout=0.1,
        shard_bytes=20_000,
    )


def test_tokens_repeats_and_accounts(recipe, tmp_path):
    out = tmp_path / "out"
    report = recension.mix(recipe, out, ALONE)
    rows, held = read(out), read(out, "holdout")
    assert recension.verify(out).sound
    by_source = {name: [row for row in rows if row["mix_source"] == name] for name in ("human", "web")}
    for source in report.sources:
        assert source.tokens == source.planned == words(by_source[source.name])
    human = report.sources[0]
    assert human.repeats == pytest.approx(2.5, abs=0.01)
    assert set(Counter(row["id"] for row in by_source["human"]).values()) == {2, 3}
    assert {row["mix_repeat"] for row in by_source["human"]} == {1, 2, 3}
    assert {row["origin"]["kind"] for row in by_source["human"]} == {"human"}
    assert {row["origin"]["kind"] for row in by_source["web"]} == {"unknown"}, "unknown is not human"
    assert json.loads(by_source["web"][0]["metadata"])["tags"][0] == "x"
    assert not {row["id"] for row in rows} & {row["id"] for row in held}
    assert len({row["id"] for row in rows}) + len(held) + sum(report.dropped.values()) == 140
    raw = json.loads((out / "report.json").read_text())
    assert raw["sources"]["human"]["tokens"] == raw["sources"]["human"]["planned"]
    assert raw["shares"]["human"] == pytest.approx(human.tokens / report.tokens)
    order = [row["mix_source"] for row in rows]
    assert "human" in order[:10] and "web" in order[:10], "the sources are shuffled into each other"


class Interrupting:
    """Stops a run at the n-th time that it is told something."""

    def __init__(self, after: int) -> None:
        self.left = after

    def update(self, progress: Progress) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt

    def note(self, line: str) -> None:
        self.update(Progress(""))


def test_interrupted_anywhere_ends_with_the_same_bytes(recipe, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    recension.mix(recipe, whole, MixEffort(workers=2))
    stops = 0
    while True:
        try:
            recension.mix(recipe, out, ALONE, Interrupting(0 if stops < 5 else 99))
            break
        except KeyboardInterrupt:
            stops += 1
            for path in [*(out / "passes").glob("draw/*.rows")][:1] if stops == 3 else []:
                path.unlink()
    assert stops == 5
    assert tree(out, PARTS) == tree(whole, PARTS), "and of any number of workers"
    assert recension.verify(out).sound
    assert not list((out / "passes").rglob("*.rows"))


def test_damage_is_found_and_made_good(recipe, tmp_path):
    out = tmp_path / "out"
    recension.mix(recipe, out, ALONE)
    before = tree(out, PARTS)
    (out / "receipts" / "00001.json").unlink()
    (out / "receipts" / "seal.json").unlink()
    assert not recension.verify(out).sound
    recension.mix(recipe, out, ALONE)
    assert tree(out, PARTS) == before
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["decided"]["draw"]["units"] += 1
    (out / "manifest.json").write_text(json.dumps(manifest))
    assert any("units were made" in problem for problem in recension.verify(out).problems)


def test_an_original_and_its_edits_stand_on_one_side(tmp_path):
    """Also where rows have no ids, and the originals are read from another place."""
    rows = [{"text": f"{row['text']} Number {i}."} for i, row in enumerate(make_rows(40))]
    original = write_jsonl(tmp_path / "original.jsonl", rows)
    recension.edit(original, tmp_path / "edited", EditSpec(prior="fake:sure", exclude_original=True))
    moved = tmp_path / "moved" / "deeper"
    moved.mkdir(parents=True)
    human = write_jsonl(moved / "other-name.jsonl", rows)
    spec = MixSpec(
        (
            MixSource("human", (str(human),), repeat=1, kind="human"),
            MixSource("edited", (str(tmp_path / "edited"),), repeat=2),
        ),
        tokenizer="bytes",
        holdout=0.3,
    )
    report = recension.mix(spec, tmp_path / "out", ALONE)
    data, held = read(tmp_path / "out"), read(tmp_path / "out", "holdout")

    def roots(rows):
        return {row["origin"]["root"].partition("-")[0] for row in rows}

    assert 4 < len(held) < 40
    assert len(roots(held)) * 2 == len(held), "both sides of every lineage"
    assert not roots(data) & roots(held)
    assert report.kinds.keys() == {"human", "edited"}
    assert report.generations.keys() == {"0", "1"}
    only = recension.mix(replace(spec, holdout_sources=("human",)), tmp_path / "only", ALONE)
    assert only.sources[1].holdout_documents == 0
    assert only.dropped["held-out"] == len(held) // 2
    assert read(tmp_path / "only")[0].keys() == data[0].keys()


def test_the_lineage_of_rewrites_from_elsewhere_is_a_column(tmp_path):
    rows = make_rows(40)
    human = write_jsonl(tmp_path / "human.jsonl", rows)
    made = [{"id": f"m{row['id']}", "text": row["text"].upper(), "meta": {"of": row["id"]}} for row in rows]
    rewritten = write_jsonl(tmp_path / "made.jsonl", made)
    sources = (
        MixSource("human", (str(human),)),
        MixSource("made", (str(rewritten),), kind="rewritten", lineage="meta.of"),
    )
    astray = (sources[0], replace(sources[1], lineage="meta.off"))
    with pytest.raises(InputError, match=r"no document of source 'made' has the column 'meta.off'.*columns are id"):
        recension.mix(MixSpec(astray, tokenizer="words", holdout=60), tmp_path / "out", ALONE)
    report = recension.mix(MixSpec(sources, tokenizer="words", holdout=60), tmp_path / "out", ALONE)
    assert report.depth == 1, "of the human source nobody said that it is"
    held = {row["id"].removeprefix("m") for row in read(tmp_path / "out", "holdout")}
    data = {row["id"].removeprefix("m") for row in read(tmp_path / "out")}
    assert held and not held & data
    assert words(read(tmp_path / "out", "holdout")) >= 60


def test_more_tokens_hold_the_documents_of_fewer(recipe, tmp_path):
    """So the mixtures of a series differ in their share alone."""
    human, web = recipe.sources
    found = []
    for tokens in (100, 300):
        spec = replace(recipe, sources=(replace(human, repeat=None, tokens=tokens), web), tokens=600)
        recension.mix(spec, tmp_path / str(tokens), ALONE)
        found.append({row["id"] for row in read(tmp_path / str(tokens)) if row["mix_source"] == "human"})
    assert found[0] < found[1]


def test_whole_documents_and_caps(recipe, tmp_path):
    human, web = recipe.sources
    sources = (replace(human, repeat=2, cap=150), replace(web, weight=None, tokens=333))
    report = recension.mix(replace(recipe, sources=sources, whole=True), tmp_path / "out", ALONE)
    capped, other = report.sources
    assert capped.pool <= 150
    assert capped.tokens == 2 * capped.pool
    texts = {row["text"] for row in make_rows(80, 1)}
    assert all(row["text"] in texts for row in read(tmp_path / "out") if row["mix_source"] == "web")
    assert abs(other.tokens - 333) <= max(len(text.split()) for text in texts) / 2


def test_exchanges_are_never_cut(tmp_path):
    rows = [{"instruction": "Say it.", "output": f"It is {i} and no more."} for i in range(30)]
    asked = write_jsonl(tmp_path / "asked.jsonl", rows)
    text = write_jsonl(tmp_path / "text.jsonl", make_rows(20))
    sources = (MixSource("asked", (str(asked),), tokens=45), MixSource("text", (str(text),), tokens=70))
    recension.mix(MixSpec(sources, tokenizer="words", format="jsonl"), tmp_path / "out", ALONE)
    [written] = (tmp_path / "out/data").glob("*")
    lines = [json.loads(line) for line in written.read_text().splitlines()]
    assert all(row["output"].endswith("no more.") for row in lines if row["mix_source"] == "asked")
    assert sum(len(row["text"].split()) for row in lines if row["mix_source"] == "text") == 70


def test_columns_of_tables_keep_their_types(tmp_path):
    import pyarrow as pa

    table = pa.table({"id": [f"r{i}" for i in range(40)], "text": ["a b c"] * 40, "n": pa.array(range(40), pa.int16())})
    pq.write_table(table, tmp_path / "a.parquet")
    sources = (MixSource("a", (str(tmp_path / "a.parquet"),), repeat=1.5),)
    recension.mix(MixSpec(sources, tokenizer="words"), tmp_path / "out", ALONE)
    [written] = sorted((tmp_path / "out/data").glob("*"))
    found = pq.read_table(written)
    assert found.schema.field("n").type == pa.int16()
    assert Counter(found.column("id").to_pylist()).keys() == set(table.column("id").to_pylist())
    # A mixture of a mixture is a mixture.
    again = MixSpec((MixSource("mixed", (str(tmp_path / "out"),)),), tokenizer="words")
    assert recension.mix(again, tmp_path / "again", ALONE).tokens == 180


def test_a_file_is_what_the_flags_are(recipe, tmp_path):
    """And the recipe beside a mixture makes it again."""
    human, web = recipe.sources
    lines = [
        "tokenizer: words", "holdout: 0.1", "shard-bytes: 20k",
        "sources:",
        "  human: {path: human.jsonl, repeat: 2.5, kind: human}",
        "  web: {path: [web.jsonl], weight: 1}",
    ]  # fmt: skip
    file = tmp_path / "mix.yaml"
    file.write_text("\n".join(lines))
    sources = [f"human={human.path[0]} repeat=2.5 kind=human", f"web={web.path[0]} weight=1"]
    flags = ["--tokenizer", "words", "--holdout", "0.1", "--shard-bytes", "20000", "--source", sources[0],
             "--source", sources[1], "--workers", "1"]  # fmt: skip
    assert CliRunner().invoke(main, ["mix", "-o", str(tmp_path / "flags"), *flags]).exit_code == 0
    done = CliRunner().invoke(main, ["mix", str(file), "-o", str(tmp_path / "file"), "--workers", "1"])
    assert done.exit_code == 0, done.output
    assert "exactly as planned" in done.output
    config = tmp_path / "flags" / "config.yaml"
    assert (
        CliRunner().invoke(main, ["mix", str(config), "-o", str(tmp_path / "again"), "--workers", "1"]).exit_code == 0
    )
    assert tree(tmp_path / "file", PARTS) == tree(tmp_path / "flags", PARTS) == tree(tmp_path / "again", PARTS)
    planned = CliRunner().invoke(main, ["mix", str(file), "--dry-run", "--json"])
    assert {source["name"] for source in json.loads(planned.output)["sources"]} == {"human", "web"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tokns: 5\nsources: {}", r"line 1: unknown key 'tokns'; did you mean 'tokens'"),
        ("tokens: many\nsources: {a: b}", r"line 1: tokens is a number such as"),
        (
            "sources:\n  a:\n    path: x\n    wieght: 2",
            r"line 4: source 'a' has no key 'wieght'; did you mean 'weight'",
        ),
        ("sources:\n  a:\n    path: x\n    weight: heavy", r"line 4: weight is a number"),
        ("sources:\n  a:\n    path: x\n    weight: -1", r"line 4: weight of source 'a' is 0 or more"),
        ("sources:\n  a: {path: x, weight: .inf}", r"line 2: weight is a number, not inf"),
        ("holdout: .nan\nsources: {a: b}", r"line 1: holdout is a number, not nan"),
        (f"seed: {1 << 63}\nsources: {{a: b}}", r"--seed is a number of at most 63 bits"),
        ("holdout: 1.0\nsources: {a: b}", r"holdout is a share below 1 or a number of tokens above 1"),
        ("preset: foo\nsources:\n  a: {path: x, weight: 1}", r"preset 'foo' is not known"),
        ("sources:\n  a: {weight: 1}", r"line 2: source 'a' has no path"),
        ("sources:\n  a: {path: x, weight: 1, tokens: 5}", r"line 2: source 'a' has weight and tokens"),
        ("sources:\n  a: {path: x, kind: humen}", r"line 2: kind of source 'a'.*did you mean 'human'"),
        ("sources:\n  a: {path: x, weight: 0}\n  b: {path: y, weight: 0}", r"line 2: the weights sum to 0"),
        ("tokens: 5\nsources:\n  a: {path: x}", r"line 3: source 'a' has no weight"),
        ("seed: 1\nseed: 2\nsources: {a: b}", r"line 2: 'seed' stands there twice"),
        ("holdout: {share: 2}\nsources: {a: b}", r"line 1: holdout.share lies between 0 and 1"),
        ("holdout: 0.1\nholdout_sources: [c]\nsources: {a: b}", r"holdout_sources names 'c'"),
        ("preset: alpa-50\nsources: {human: x}", r"preset 'alpa-50' is not known: did you mean 'alpha-50'"),
        ("preset: alpha-50\nsources:\n  human: x", r"preset alpha-50 needs a source 'synthetic'"),
        ("preset: wrap\nsources:\n  human: x\n  web: y", r"line 4: source 'web' plays no part in preset wrap"),
        ("preset: wrap\nsources:\n  human: {path: x, weight: 1}\n  synthetic: y", r"line 3: .*says that already"),
        ("sources: [", r"cannot be parsed"),
        ("- a", r"line 1: a recipe is made of 'name: value' lines"),
    ],
)
def test_a_recipe_says_what_is_wrong_and_where(tmp_path, text, said):
    file = tmp_path / "mix.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=said):
        recension.mix(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_flag_takes_the_place_of_a_source_and_never_of_another_flag():
    written = [MixSource("a", ("x",)), MixSource("b", ("y",))]
    assert [s.path for s in with_flags(written, ["a=z", "c=w weight=2"])] == [("z",), ("y",), ("w",)]
    with pytest.raises(UsageError, match="two --source are called 'a'"):
        with_flags([], ["a=x", "a=y"])


def test_a_source_that_is_too_small_says_by_how_much(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"text": "one two three four five"}] * 2)
    file = tmp_path / "mix.yaml"
    file.write_text("tokenizer: words\nsources:\n  a: {path: a.jsonl, tokens: 50, max_repeat: 2}\n")
    with pytest.raises(UnreachableError, match=r"line 3: .*50 tokens are asked and it holds 10.*30 too few"):
        recension.mix(file, tmp_path / "out", ALONE)
    assert not (tmp_path / "out" / "manifest.json").exists(), "the folder is free for a mended recipe"
    file.write_text("tokenizer: words\nsources:\n  a: {path: b.jsonl}\n")
    with pytest.raises(InputError, match=r"line 3: no such file or folder: b.jsonl"):
        recension.mix(file, tmp_path / "none", ALONE)
    file.write_text("tokenizer: words\nsources:\n  a: {path: a.jsonl, tokens: 50, text_key: txt}\n")
    with pytest.raises(InputError, match=r"no row of source 'a' could be used.*columns are text"):
        recension.mix(file, tmp_path / "other", ALONE)
    file.write_text("tokenizer: words\nsources:\n  a: {path: a.jsonl, cap: 3, repeat: 2}\n")
    with pytest.raises(UnreachableError, match="cap of source 'a' is less than the first document"):
        recension.mix(file, tmp_path / "out", ALONE)
    (tmp_path / "empty.jsonl").touch()
    file.write_text("tokenizer: words\nsources:\n  a: {path: empty.jsonl}\n")
    with pytest.raises(InputError, match=r"line 3: source 'a' has no rows: .*empty.jsonl"):
        recension.mix(file, tmp_path / "out", ALONE)


def test_presets_are_scaled_to_what_there_is(tmp_path):
    edu = write_jsonl(tmp_path / "edu.jsonl", make_rows(40))
    made = write_jsonl(tmp_path / "made.jsonl", make_rows(60, 1))
    parts = (MixSource("edu", (str(edu),)), MixSource("mine", (str(made),), role="synthetic"))
    spec = MixSpec(parts, preset="entire-maga", tokenizer="words")
    report = recension.mix(spec, tmp_path / "entire", ALONE)
    edu_, mine = report.sources
    assert mine.tokens == pytest.approx(4 * edu_.tokens, rel=0.01)
    assert edu_.repeats == pytest.approx(2, rel=0.1)
    assert mine.pool == pytest.approx(words(make_rows(60, 1)), rel=0.02), "all of the source that is short"
    assert any("holds" in note and "edu" in note for note in report.notes)
    plain = (parts[0], MixSource("web", (str(made),)))
    report = recension.mix(replace(spec, sources=plain, preset="subset-repeat"), tmp_path / "sub", ALONE)
    assert 4 < report.sources[0].repeats <= 5, "a pool of whole documents is large enough for five passes"
    report = recension.mix(replace(spec, preset="maga-mix", tokens=800), tmp_path / "mix", ALONE)
    assert report.sources[1].share == pytest.approx(64.59 / (64.59 + 16.29), abs=0.002)
    assert any("does not fit: preset maga-mix has cosmopedia, python, math" in note for note in report.notes)
    human = (MixSource("human", (str(edu),)), parts[1])
    plan = recension.plan_mix(MixSpec(human, preset="alpha-25", tokenizer="words"))
    assert plan.notes[0].startswith("mine is what is short: human holds") and plan.sources[1].repeats == 1
    for alpha in (0, 25, 50, 75, 100):
        plan = recension.plan_mix(MixSpec(human, preset=f"alpha-{alpha}", tokens=1_000, tokenizer="words"))
        assert [source.planned for source in plan.sources] == [10 * alpha, 1_000 - 10 * alpha]


def test_gpt2_files_count_as_they_do(tmp_path):
    from tokenizers import Tokenizer

    fitted = Tokenizer.from_str(token_counter("embedded").tokenizer)
    fitted.model.save(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"vocab.json", "merges.txt"}
    counter = token_counter(str(tmp_path))
    text = "The ship of the line was in that harbour, and 中的文字 too. " * 4
    whole = int(counter.count([text])[0])
    assert 20 < whole < len(text)
    for tokens in (1, 7, whole - 1):
        beginning = counter.beginning(text, tokens)
        assert text.startswith(beginning)
        assert int(counter.count([beginning])[0]) == tokens
    (tmp_path / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(ModelError, match="no tokenizer of the tokenizers library"):
        token_counter(str(tmp_path))


def test_the_settings_of_a_recipe(tmp_path):
    file = tmp_path / "mix.yaml"
    file.write_text("tokens: 1.5M\nholdout: {tokens: 20k, sources: [a]}\nsources: {a: data/}\n")
    found = read_recipe(file)
    assert (found["tokens"], found["holdout"], found["holdout_sources"]) == (1_500_000, 20_000, ("a",))
    assert found["sources"][0].path == ("data/",), "as it was given where nothing lies beside the recipe"
    (tmp_path / "data").mkdir()
    assert read_recipe(Path(file))["sources"][0].path == (str(tmp_path / "data"),)


def test_a_recipe_is_trained_on_without_being_written(recipe, tmp_path):
    """The same documents as `mix` draws when it counts with the tokenizer of the model; what is held out is measured on."""
    human, web = recipe.sources
    file = tmp_path / "mix.yaml"
    file.write_text(
        f"tokens: 4000\nholdout: 0.2\nsources:\n  human: {{path: {human.path[0]}, weight: 0.75}}\n"
        f"  web: {{path: {web.path[0]}, weight: 0.25}}\n"
    )
    shape = "tiny,layers=1,hidden=32,heads=2,ffn=64,context=32,vocabulary=320,batch=8"
    learning = LearningSettings(threads=1, valid_tokens=300)
    spec = PretrainSpec(preset=shape, learning=learning)
    out = tmp_path / "model"
    assert recension.train_pretrain(file, out, spec, TrainEffort(workers=1, stop_after=5)) is None
    report = recension.train_pretrain(file, out, spec, TrainEffort(workers=1))
    assert recension.verify(out).sound
    assert report.steps == -(-4000 // (32 * 8))
    assert report.valid, "on the held-out text"
    chosen = replace(recension.MixSpec(**read_recipe(file)), tokenizer=str(out))
    mixed = recension.mix(chosen, tmp_path / "mixed", ALONE)
    assert [source.documents for source in report.sources] == [source.unique for source in mixed.sources]
    assert [source.share for source in report.sources] == [0.75, 0.25]
    assert report.dropped["held-out"] == mixed.holdout_documents
    assert report.sources[0].rows_read == 3 * report.sources[1].rows_read
    with pytest.raises(UsageError, match="names its sources itself"):
        recension.train_pretrain([file, human.path[0]], tmp_path / "two", spec)


def test_a_large_source_is_not_counted_to_its_end(tmp_path):
    """And the mixture is the one that counting everything would make."""
    rows = [{"id": f"d{i}", "text": f"{i} " * (150 + i % 100)} for i in range(2_500)]
    big = write_jsonl(tmp_path / "big.jsonl", rows)
    small = write_jsonl(tmp_path / "small.jsonl", make_rows(30))
    sources = (MixSource("big", (str(big),), weight=3), MixSource("small", (str(small),), weight=1, max_repeat=9))
    spec = MixSpec(sources, tokens=4_000, tokenizer="words", holdout=0.01)
    report = recension.mix(spec, tmp_path / "part", ALONE)
    assert recension.verify(tmp_path / "part").sound
    large = report.sources[0]
    assert large.estimated and large.tokens == 3_000
    assert large.held == pytest.approx(words(rows) * 0.99, rel=0.02)
    counted = (tmp_path / "part/passes/count/result").read_bytes()
    assert sum(json.loads(line)["tokens"] for line in counted.splitlines()) < words(rows) / 3
    # With a source that is read a number of times the whole has to be counted first.
    whole = (sources[0], replace(sources[1], weight=None, repeat=2), MixSource("none", (str(small),), repeat=0))
    fixed = replace(spec, sources=whole, tokens=3_000 + 2 * report.sources[1].held)
    full = recension.mix(fixed, tmp_path / "full", ALONE)
    assert not full.sources[0].estimated

    def drawn(out):
        return sorted((row["id"], row["text"]) for row in read(out) if row["mix_source"] == "big")

    assert drawn(tmp_path / "part") == drawn(tmp_path / "full")
