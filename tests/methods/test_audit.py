"""The statistics of an audit: known closed forms, exact sums, and verdicts that are right about text made to be so."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest

from recension.methods.audit import near, resampling, shift, spread
from recension.methods.audit.chain import generations
from recension.methods.audit.folds import Fold, Item, contained, merged, runs_of, to_bytes
from recension.methods.audit.measures import NAMES, effects, entropy, figures_of
from recension.methods.audit.panel import Side, Unit, panel_of, rewritten, spelt, units_of
from recension.methods.audit.picture import drawing_of, placed
from recension.methods.audit.resampling import Draws, draw, left_out, match, observed, stepped_down, whole
from recension.methods.audit.verdict import Evidence, judge, place
from recension.methods.audit.words import hashed_words, ngrams

SAMPLES = Path(__file__).parent.parent.parent / "samples" / "human.jsonl.gz"


def texts() -> list[str]:
    with gzip.open(SAMPLES, "rt") as file:
        return [row["text"] for row in map(json.loads, file) if row["domain"] == "math"]


TEXTS = texts()


def test_words_are_runs_of_letters_or_marks_in_any_script():
    found = hashed_words([b"The cat, the CAT!", "Größe naïve “q” — 東京、x".encode(), b"", b"the"])
    assert found.counts.tolist() == [6, 10, 0, 1]
    first = found.hashes[:6]
    assert first[0] == first[3] == found.hashes[-1] and len(set(first.tolist())) == 4
    assert first[1] == first[4]
    again = hashed_words([b"b " * 70_000 + "Größe".encode()])
    assert again.hashes[-1] == found.hashes[6]  # the same word, wherever it stands


def test_ngrams_do_not_cross_texts():
    words = hashed_words([b"a b c", b"a b", b"z"])
    found = {size: (hashes.tolist(), owner.tolist()) for size, hashes, owner in ngrams(words, (2, 3))}
    assert found[2][1] == [0, 0, 1] and found[2][0][0] == found[2][0][2]
    assert found[3][1] == [0]


@pytest.fixture(scope="module")
def whole_fold() -> Fold:
    return counted(TEXTS[:300], 64)


def counted(rows: list[str], at_once: int, budget: int = 3_000) -> Fold:
    fold = Fold(budget, np.sort(runs_of(TEXTS[5])))
    for start in range(0, len(rows), at_once):
        fold.add([Item(text, str(TEXTS.index(text)), "") for text in rows[start : start + at_once]])
    return fold


def test_states_add_up_to_the_byte_however_the_corpus_is_cut(whole_fold):
    parts = [counted(TEXTS[200:300], 7), counted(TEXTS[:33], 33), counted(TEXTS[33:200], 50)]
    assert to_bytes(merged(merged(parts[0], parts[1]), parts[2])) == to_bytes(whole_fold)
    assert whole_fold.met.all() and not counted(TEXTS[10:20], 5).met.any()


def test_a_sample_counts_repeats_and_holds_the_budget(whole_fold):
    twice = counted([*TEXTS[:100], *TEXTS[:100]], 40)
    assert {p.times for p in twice.sample} == {2}
    total = [p.words * p.times for p in whole_fold.sample]
    assert sum(total) >= 3_000 > sum(total[:-1])


def test_a_sample_of_text_without_spaces_holds_the_budget_too():
    """A passage of 600 characters is one word to white space, and 600 to an audit."""
    fold = Fold(1_000)
    for i in range(8):
        fold.add([Item("".join(chr(0x4E00 + (i * 701 + k) % 3000) for k in range(3_000)), str(i), str(i))])
    assert 1_000 <= sum(len(p.text) for p in fold.sample) < 2_000
    assert fold.words == 24_000 and all(p.words == len(p.text) for p in fold.sample)


def test_near_duplicates_are_found_as_often_as_the_bands_say():
    """Jaccard 0.8 in expectation: 95 % found; different texts: none."""
    random = np.random.default_rng(1)
    vocabulary = [f"w{i}" for i in range(5_000)]
    pairs = []
    for _ in range(60):
        words = random.choice(vocabulary, 400).tolist()
        changed = words.copy()
        for at in random.choice(400, 9, replace=False):  # each spoils five runs: (396 - 45) / (396 + 45) = 0.796
            changed[at] = "x" + changed[at]
        pairs += [" ".join(words), " ".join(changed)]
    fold = Fold(10)
    fold.add([Item(text, str(i), "") for i, text in enumerate(pairs)])
    found = near.repeated(fold.bands)
    assert 50 <= found.hits <= 60 and found.sizes[0] == 2 and found.error == 0
    apart = Fold(10)
    apart.add([Item(text, str(i), "") for i, text in enumerate(pairs[::2])])
    assert near.repeated(apart.bands).hits == 0
    assert near.shared(fold.bands, apart.bands).hits >= 110
    assert contained(apart.runs, fold.runs)[0] == len(apart.runs)


def test_a_share_of_a_sample_of_documents_states_its_error():
    """Documents in groups of one to three, of which an eighth is looked at, in eighty ways."""
    random = np.random.default_rng(4)
    sizes = random.integers(1, 4, 2_000)
    times = np.ones(int(sizes.sum()), np.int64)
    kinds = np.repeat(np.arange(2_000), sizes)
    limit = 1 << 61
    held, errors = 0, []
    for _ in range(80):
        ranks = random.integers(0, 1 << 63, 2_000, dtype=np.uint64) * np.uint64(2)
        keys = np.repeat(random.integers(0, 1 << 63, (2_000, near.BANDS), dtype=np.uint64), sizes, axis=0)
        found = near.repeated(near.under(near.Bands(ranks[kinds], keys, times, limit), limit))
        errors.append(found.error)
        held += abs(found.hits / found.looked - (1 - 2_000 / sizes.sum())) <= found.error
    assert 70 <= held <= 79, held  # 95 % of 80 is 76
    assert 0.02 < np.mean(errors) < 0.06


def test_entropy_is_known_for_a_uniform_law_and_corrected_for_what_is_unseen():
    assert entropy(np.full(64, 1_000)) == pytest.approx(math.log(64) + 63 / 128_000)
    small = np.random.default_rng(0).multinomial(200, np.full(64, 1 / 64), size=200)
    plain = [-(p[p > 0] / 200 * np.log(p[p > 0] / 200)).sum() for p in small]
    assert abs(np.mean([entropy(row) for row in small]) - math.log(64)) < 0.2 * abs(np.mean(plain) - math.log(64))


def test_area_and_coverage_have_their_known_values():
    scores = np.array([0.1, 0.4, 0.35, 0.8])
    assert shift.area(scores, np.array([False, False, True, True])) == 0.75
    assert shift.area(np.zeros(4), np.array([False, False, True, True])) == 0.5
    random = np.random.default_rng(0)
    rows = random.normal(size=(300, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert shift.coverage(rows, rows) == (1.0, pytest.approx(1.0, abs=0.25))
    narrow = np.repeat(rows[:3], 100, axis=0)
    assert shift.coverage(rows, narrow)[0] < 0.2


@pytest.mark.parametrize("drawing", ["opentsne", "exact", "pca"])
def test_a_map_keeps_neighbours_together(drawing):
    if drawing == "opentsne":
        pytest.importorskip("openTSNE")
    random = np.random.default_rng(0)
    rows = np.concatenate([random.normal(size=(30, 16)), 5 + random.normal(size=(30, 16))]).astype(np.float32)
    places = placed(rows, drawing)
    middles = places[:30].mean(axis=0), places[30:].mean(axis=0)
    apart = np.linalg.norm(middles[0] - middles[1])
    assert places.shape == (60, 2) and (placed(rows, drawing) == places).all()
    for middle, own in zip(middles, (places[:30], places[30:]), strict=True):
        assert np.linalg.norm(own - middle, axis=1).max() < apart / 2
    assert drawing_of("pca") == ("pca", "") and drawing_of("auto")[0] in ("opentsne", "exact")


def test_a_source_of_both_sides_is_held_out_on_both():
    """Three subjects, each on both sides: a classifier that had seen one side of a subject would take the other for it."""
    random = np.random.default_rng(1)
    texts = [[" ".join(random.choice([f"{s}w{k}" for k in range(40)], 40)) for _ in range(8)] for s in "abc"]
    sides = [
        [u for s, rows in zip(order, texts, strict=True) for t in rows for u in units_of(t, s, 40)]
        for order in ("abc",) * 2
    ]
    both = panel_of(sides)
    tables = [shift.features(both, side) for side in both.sides]
    owner = shift.owned(both, both.sides)
    found = shift.classifier(tables[0], tables[1], owner, 20, 0)
    assert 0.3 < found.value < 0.7
    apart = shift.Owned(
        owner.clusters, np.where(np.arange(len(owner.names)) < len(tables[0]), owner.names, 9 - owner.names)
    )
    assert shift.classifier(tables[0], tables[1], apart, 20, 0).value < 0.2


def test_one_source_on_a_side_leaves_nothing_to_learn_from():
    both = panel_of([units_of("a few words more " * 60, "one", 40), units_of("else " * 200, "two", 40)])
    tables = [shift.features(both, side) for side in both.sides]
    found = shift.classifier(tables[0], tables[1], shift.owned(both, both.sides), 20, 0)
    assert all(math.isnan(value) for value in found)  # and not 0.5, which would say that they are alike


def test_coverage_has_an_interval_and_a_p_value():
    random = np.random.default_rng(4)

    def vectors(rows: np.ndarray) -> np.ndarray:
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    one, same = (vectors(random.normal(size=(120, 8))) for _ in range(2))
    few = vectors(one[:6].repeat(20, axis=0) + random.normal(0, 0.05, (120, 8)))
    owner = shift.Owned(np.arange(240), np.arange(240))
    alike, narrow = (shift.covering(one, other, owner, 40, 0)["coverage"] for other in (same, few))
    assert alike.low < 0 < alike.high and alike.p > 0.05
    assert narrow.value < 0.7 < narrow.human and narrow.high < 0 and narrow.p == 1 / 41
    # Versions of the same texts cover what they are versions of; halves of pairs do not hold the same ones.
    pairs = shift.Owned(np.arange(240), np.tile(np.arange(120), 2), paired=True)
    version = shift.covering(one, one, pairs, 40, 0)["coverage"]
    assert version.value == version.human and version.p == 1


def test_false_discoveries_are_counted_with_all_that_was_tested():
    assert resampling.stepped_up(np.array([0.04, 0.01, 0.5])) == pytest.approx([0.06, 0.03, 0.5])
    assert resampling.stepped_up(np.array([0.03, 0.04])) == pytest.approx([0.04, 0.04])
    assert len(resampling.stepped_up(np.zeros(0))) == 0


def test_the_beginning_of_all_strata_holds_its_share_of_each():
    def side(stratum: int, count: int) -> Side:
        sizes = np.full(count, 10)
        return Side(np.arange(count) * 10, sizes, np.arange(count), np.full(count, stratum))

    strata = [side(0, 80), side(1, 20)]
    chosen = np.repeat([0, 1], [80, 20])[resampling.interleaved(strata)[:50]]
    assert np.bincount(chosen).tolist() == [40, 10]
    assert (resampling.interleaved(strata[:1]) == np.arange(80)).all()


def test_stepping_down_controls_the_family_and_keeps_the_order():
    random = np.random.default_rng(3)
    null = random.normal(size=(999, 20))
    adjusted = stepped_down(np.array([5.0, 3.2, *np.zeros(18)]), null)
    assert adjusted[0] == 1 / 1000 and 1 / 1000 < adjusted[1] < 0.05 and adjusted[2:].min() > 0.9
    wrong = sum(stepped_down(random.normal(size=20), null).min() < 0.05 for _ in range(200))
    assert wrong <= 20  # 5 % expected; alone each figure would give 64 %


def panel(left: list[str], right: list[str], words: int = 40):
    sides = [[u for i, text in enumerate(side) for u in units_of(text, str(i), words)] for side in (left, right)]
    return panel_of(sides)


def test_the_chain_writes_less_and_less_of_what_it_read():
    one = panel(TEXTS[:300], [])
    side = Side(*(getattr(one.sides[0], name) for name in Side.__slots__))
    units = [one.tokens[a : a + n] for a, n in zip(side.starts, side.sizes, strict=True)]
    rows, seen = [], set(one.tokens.tolist())
    for number, made in enumerate(generations(one, side, 3, seed=1)):
        both = rewritten(one, [units, made])
        rows.append(effects(*figures_of(both, *(whole([s]) for s in both.sides))))
        if not number:  # as if every word had been numbered anew
            spelt_out = [[Unit(tuple(one.texts[i] for i in unit), "") for unit in part] for part in (units, made)]
            again = panel_of(spelt_out)
            assert effects(*figures_of(again, *(whole([s]) for s in again.sides))) == pytest.approx(rows[0], rel=1e-9)
        assert [len(unit) for unit in made] == [len(unit) for unit in units]
        now = {token for unit in made for token in unit.tolist()}
        assert now < seen
        seen = now
    for name in ("distinct_2", "distinct_4", "hapax_share", "tail_recall", "effective_bigrams"):
        values = [row[NAMES.index(name)] for row in rows]
        assert 0.05 < values[0] < values[1] < values[2], name


def verdict_on(left: list[str], right: list[str], words: int, seed: int = 0, draws: int = 60):
    found = match(panel(left, right), words)
    side = whole(found.left)
    own = Side(side.starts, side.sizes, np.zeros_like(side.starts), np.zeros_like(side.starts))
    units = [found.panel.tokens[a : a + n] for a, n in zip(side.starts, side.sizes, strict=True)]
    curve = []
    for made in generations(found.panel, own, 2, seed + 1):
        both = rewritten(found.panel, [units, made])
        curve.append(effects(*figures_of(both, *(whole([s]) for s in both.sides))))
    evidence = Evidence(
        NAMES, tuple(_FAMILIES), effects(*observed(found)), draw(found, range(draws), seed), np.array(curve),
        left_out(found),
    )  # fmt: skip
    return judge(evidence, found.words)


_FAMILIES = [*["repetition"] * 4, *["tail"] * 2, *["concentration"] * 5]


def test_equal_halves_are_not_called_narrow_and_contracted_text_is():
    random = np.random.default_rng(5)
    levels = []
    for number in range(8):
        order = random.permutation(900)
        halves = [[TEXTS[i] for i in order[part]] for part in (slice(0, 90), slice(90, 180))]
        levels.append(verdict_on(*halves, words=4_000, seed=number, draws=40).level)
    assert sum(level in ("at-risk", "collapsed") for level in levels) <= 1  # 8 times 5 % is 0.4
    # The second generation of a model of one half, against the other half: about two generations, by every figure.
    order = random.permutation(900)
    own = panel([TEXTS[i] for i in order[:80]], [])
    made = list(generations(own, own.sides[0], 2, seed=9))[1]
    found = verdict_on([TEXTS[i] for i in order[80:160]], spelt(own, made), 12_000, draws=40)
    assert found.level == "collapsed" and 1.4 < found.median <= 2, found


def evidence(effect: list[float], noise: float | list[float]) -> Evidence:
    random = np.random.default_rng(0)
    noise = np.array(noise)
    halves = np.array(effect) + noise * random.normal(size=(400, 3))
    curve = np.outer([1, 2, 3, 4, 5], [0.4, 0.4, 0.4])
    return Evidence(
        ("a", "b", "c"), ("repetition", "tail", "concentration"), np.array(effect),
        Draws(noise * random.normal(size=(400, 3)), halves), curve, np.zeros((1, 3)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("effect", "noise", "level"),
    [
        ([0.0, 0.0, 0.0], 0.01, "healthy"),
        ([-0.3, 0.0, 0.02], 0.01, "healthy"),  # richer is no fault
        ([0.0, 0.0, 0.0], 0.2, "inconclusive"),
        ([0.0, 0.0, 0.0], [0.01, 0.01, 0.2], "healthy"),  # what one family alone would say changes nothing
        ([0.0, 0.0, 0.15], [0.01, 0.01, 0.2], "inconclusive"),  # unless it looks as if it said something
        ([0.0, 0.0, 0.0], [0.01, 0.2, 0.2], "inconclusive"),
        ([0.4, 0.0, 0.0], 0.01, "inconclusive"),  # one family alone
        ([0.4, 0.4, -0.4], 0.01, "inconclusive"),  # narrower and wider: another subject
        ([0.2, 0.2, 0.0], 0.01, "at-risk"),
        ([0.7, 0.8, 0.2], 0.01, "collapsed"),
    ],
)
def test_the_table_of_verdicts(effect, noise, level):
    found = judge(evidence(effect, noise), words=10_000)
    assert found.level == level, found.reasons
    few = judge(evidence(effect, noise), words=10_000, sources=7)
    assert few.level == ("inconclusive" if level == "healthy" else level) and (few.needed is None or level != "healthy")
    assert len(found.reasons) >= 3


def test_the_words_needed_are_those_at_which_the_interval_clears_the_margin():
    found = judge(evidence([0.0, 0.0, 0.0], 0.2), words=10_000)
    half = 1.96 * 0.2 / 0.4  # in generations; it has to shrink to 0.25
    assert found.needed == pytest.approx(10_000 * (half / 0.25) ** 2, rel=0.3)
    assert place(0.2, np.array([0.4, 0.8])) == 0.5 and place(9.0, np.array([0.4, 0.8])) == 2


def test_an_interval_holds_95_percent_with_few_draws_as_with_many():
    random = np.random.default_rng(6)
    for draws in (50, 400):
        low, high = resampling.interval(random.normal(size=(draws, 3_000)))
        inside = [0.5 * (math.erf(b / 2**0.5) - math.erf(a / 2**0.5)) for a, b in zip(low, high, strict=True)]
        assert np.mean(inside) == pytest.approx(0.95, abs=0.004)


def test_spread_sees_narrow_levels_and_nothing_where_there_is_nothing():
    random = np.random.default_rng(0)

    def side(width: float) -> spread.Scored:
        tokens = np.full(300, 100)
        levels = np.exp(random.normal(1.0, width, 300))
        sure = random.binomial(100, 0.2, 300)
        return spread.Scored(levels * tokens, tokens, sure, sure, np.arange(300))

    one, two, narrow = side(0.4), side(0.4), side(0.1)
    for other, low in ((two, False), (narrow, True)):
        tested = resampling.tested(spread.effects(one, other), spread.draws(one, other, 99, 0))
        assert (tested.adjusted[0] < 0.05) == low and (tested.low[0] > 0) == low


def test_scores_of_pairs_are_swapped_as_pairs():
    random = np.random.default_rng(5)
    tokens, level = np.full(200, 100), random.normal(3, 0.5, 200)
    sides = [
        spread.Scored(100 * (mean + random.normal(0, 0.02, 200)), tokens, tokens // 5, tokens // 5, np.arange(200))
        for mean in (level, 3 + 0.9 * (level - 3))
    ]
    p = []
    for paired in (False, True):
        drawn = spread.draws(*sides, 99, 0, paired)
        p.append(resampling.tested(spread.effects(*sides), drawn).p[0])
    assert p[1] == 1 / 100 < 0.05 < p[0]


def test_pairs_are_swapped_as_pairs():
    """What makes a text hard is shared by its two versions: pairs see a difference that unpaired text hides."""
    random = np.random.default_rng(2)
    left = [" ".join(random.choice([f"{i}w{k}" for k in range(int(random.integers(8, 60)))], 60)) for i in range(60)]
    right = [" ".join(w if random.random() > 0.04 else text.split()[0] for w in text.split()) for text in left]
    errors = []
    for paired in (False, True):
        found = match(panel(left, right, 60), 10_000, paired)
        errors.append(draw(found, range(40), 0).halves[:, NAMES.index("distinct_2")].std())
    assert errors[1] < errors[0] / 2
