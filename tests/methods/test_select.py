"""Selection: hashed bags, importance, exact choice without a sort, near-duplicates, the tail, heads."""

from __future__ import annotations

import json
import random
from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from recension.methods.audit.words import BUCKETS, bucketed, hashed_words, ngrams
from recension.methods.select import clusters, tail
from recension.methods.select.bags import (
    Limits,
    bags_of,
    by_arrays,
    counted_by_arrays,
    counted_in,
    hashed_names,
    lowered,
    names_by_arrays,
)
from recension.methods.select.choice import LAST, Cut, Part, below, best_first, count_of, cut_at
from recension.methods.select.head import Sums, fitted, scores
from recension.methods.select.importance import (
    at_mean_length,
    effective,
    gumbel,
    joined,
    log_ratio,
    log_weights,
    sums_by_arrays,
)
from recension.methods.select.published import Published
from recension.randomness import draws

FIXTURE = Path(__file__).parent.parent / "data" / "dsir_weights.json"
SIGNS = "aB9_ .,-éÉ中々。、\u3000🙂Ωж\u2009\u00a0\n“"


def strange(count: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    made = ["".join(rng.choices(SIGNS, k=rng.randint(0, 40))) for _ in range(count)]
    return [*made, "", " ", "a", "Größe NAÏVETÉ 中文字。日本語の、🙂 ΑΒΓ привет МИР\u3000x"]


def packed(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    raws = [text.encode() for text in texts]
    return np.frombuffer(b"".join(raws), np.uint8), np.cumsum([len(raw) for raw in raws])


def test_compiled_loops_give_the_numbers_of_the_arrays():
    loops = pytest.importorskip("recension.methods.select.loops", exc_type=ImportError)
    raws = [lowered(text) for text in strange(400)]
    limits = Limits(1 << 62, 1 << 61)
    ends = np.cumsum([len(raw) for raw in raws])
    ours, theirs = loops.bags(np.frombuffer(b"".join(raws), np.uint8), ends, limits), by_arrays(raws, limits)
    for name in ("singles", "pairs", "words", "digests", "counts"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    ratio, sizes = np.random.default_rng(0).normal(size=BUCKETS), np.array([0, 128, 129, 0, 1, len(ours.singles) - 258])
    assert np.array_equal(loops.sums(ours.singles, sizes, ratio), sums_by_arrays(ours.singles, sizes, ratio))
    for one, other in zip(ours.rare, theirs.rare, strict=True):
        assert len(one.hashes) and sorted(zip(*map(np.ndarray.tolist, one), strict=True)) == sorted(
            zip(*map(np.ndarray.tolist, other), strict=True)
        )


def test_bags_are_the_words_of_an_audit_in_small_letters():
    texts = strange(60)
    found = bags_of(texts)
    words = hashed_words([text.lower().encode() for text in texts])
    assert np.array_equal(found.words, words.counts)
    for size, hashes, _ in ngrams(words, (1, 2)):
        assert np.array_equal([found.singles, found.pairs][size - 1], bucketed(hashes, 0))
    upper, lower = bags_of(["ÀÉÎ THE ОКНО"]), bags_of(["àéî the окно"])
    assert np.array_equal(upper.singles, lower.singles) and upper.digests == lower.digests
    assert len(set(bags_of(["a b", "b a", "ab", "a  b"]).digests.tolist())) == 3  # white space says nothing


def test_sha256_buckets_are_those_of_data_selection():
    """The fixture holds what data-selection 1.0.3 says of these texts; `tests/data/dsir_weights.py` wrote it."""
    known = json.loads(FIXTURE.read_text())
    bags = [Published().bags_of(known[side]) for side in ("target", "raw")]
    ratio = log_ratio(*(side.counts for side in bags))
    raw = bags[1]
    weights = log_weights(raw.singles, raw.pairs, raw.words, ratio)
    assert np.abs(weights - np.array(known["weights"])).max() < 1e-9
    assert raw.words.tolist() == known["lengths"]
    word, pair = raw.singles[0], raw.pairs[0]
    first = known["raw"][0].lower().split()[:2]
    assert word == int(sha256(first[0].encode()).hexdigest(), 16) % BUCKETS
    assert pair == int(sha256(" ".join(first).encode()).hexdigest(), 16) % BUCKETS


def test_what_published_remembers_changes_no_bucket():
    memory, texts = Published(), strange(50)
    once = memory.bags_of(texts)
    again = memory.bags_of(texts[::-1])
    assert np.array_equal(np.sort(once.singles), np.sort(again.singles))
    fresh = Published().bags_of(texts)
    assert np.array_equal(once.pairs, fresh.pairs) and np.array_equal(once.singles, fresh.singles)


def test_compiled_sha256_is_sha256():
    loops = pytest.importorskip("recension.methods.select.sha_loops", exc_type=ImportError)
    texts = [
        *strange(60),
        "x" * 300 + " " + "y" * 300,
        "A_b\x1c\x0bc\x7f d\t(e)",
        "word " * 90,
        "ab" * 27 + " c",
        "ab" * 28,
    ]
    one, other = loops.Table().of(*packed(texts)), Published()._by_dictionary(texts)
    for ours, known in zip(one, other, strict=True):
        assert np.array_equal(ours, known)


def test_log_weights_add_up_and_stand_for_the_right_documents():
    ratio = np.random.default_rng(0).normal(size=BUCKETS)
    texts = ["a b c", "", "d", "a b"]
    found = bags_of(texts)
    weights = log_weights(found.singles, found.pairs, found.words, ratio)
    for text, weight in zip(texts, weights, strict=True):
        one = bags_of([text])
        assert weight == pytest.approx(ratio[one.singles].sum() + ratio[one.pairs].sum(), abs=1e-12)
    assert weights[1] == 0 and at_mean_length(weights, found.words, 10.0)[0] == pytest.approx(weights[0] * 10 / 5)


def test_effective_sample_size_adds_up():
    values = np.random.default_rng(1).normal(0, 2, 500)
    weights = np.exp(values)
    whole, parts = effective(values), joined(effective(values[:123]), effective(values[123:]))
    assert whole.size == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert (parts.size, parts.spread) == (pytest.approx(whole.size), pytest.approx(values.std()))
    assert effective(np.zeros(50)).size == pytest.approx(50)


def test_gumbel_top_k_draws_in_proportion_to_the_weights():
    """The first of a draw without replacement is drawn with probability w / sum w."""
    weights = np.log([0.5, 0.3, 0.2])
    contents = np.arange(3, dtype=np.uint64)
    firsts = Counter(
        int(np.argmax(weights + gumbel(draws(seed, contents, np.zeros(3, np.uint64))))) for seed in range(4_000)
    )
    assert [firsts[i] / 4_000 for i in range(3)] == pytest.approx([0.5, 0.3, 0.2], abs=0.025)


def test_a_draw_belongs_to_the_document():
    contents, names = np.array([5, 6, 5], np.uint64), hashed_names(*packed(["x", "y", ""]))
    one = draws(3, contents, names)
    assert np.array_equal(draws(3, contents[::-1], names[::-1]), one[::-1]) and len(set(one.tolist())) == 3
    assert (draws(4, contents, names) != one).all() and ((one >= 0) & (one < 1)).all()
    numbers = hashed_names(*packed(["a", "A", "ab", ""])).tolist()
    assert numbers[3] == 0 and len(set(numbers)) == 4


def test_compiled_names_and_counts_are_those_of_the_arrays():
    loops = pytest.importorskip("recension.methods.select.loops")
    names = packed(["a", "A", "", "\u00e9t\u00e9", "id-0001", "x" * 300])
    assert np.array_equal(loops.hashed_names(*names), names_by_arrays(*names))
    rng = np.random.default_rng(0)
    sizes, chosen = rng.integers(0, 50, 100), rng.random(100) < 0.3
    values = rng.integers(0, 10_000, int(sizes.sum())).astype(np.uint16)
    assert np.array_equal(counted_in(values, sizes, chosen), counted_by_arrays(values, sizes, chosen))


@pytest.mark.parametrize("seed", range(8))
def test_a_cut_is_what_a_sort_would_find(seed):
    rng = np.random.default_rng(seed)
    values = rng.choice([-2.5, -0.0, 0.0, 1e-9, 3.0, 1e300, *rng.normal(size=9)], size=200)
    values[rng.random(200) < 0.1] = np.nan
    amounts = rng.integers(0, 50, 200)
    pieces = np.array_split(np.arange(200), [40, 40, 130])
    parts = [Part(best_first(values[p]), amounts[p]) for p in pieces]
    order = [i for i in np.argsort(-values, kind="stable").tolist() if not np.isnan(values[i])]
    order = sorted(order, key=lambda i: (-values[i], i))
    assert count_of(lambda: parts) == len(order)
    for most in (0, 1, 37, len(order), 1_000):
        cut = cut_at(lambda: [Part(part.ranks) for part in parts], most)
        kept = np.concatenate([below(part.ranks, i, cut) for i, part in enumerate(parts)])
        assert np.flatnonzero(kept).tolist() == sorted(order[:most]) and cut.documents == len(order[:most])
    for most in (0, 77, 1_500, 1 << 40):
        cut = cut_at(lambda: parts, most)
        kept = np.concatenate([below(part.ranks, i, cut) for i, part in enumerate(parts)])
        sums = np.cumsum(amounts[order])
        assert np.flatnonzero(kept).tolist() == sorted(order[: int((sums <= most).sum())])
        assert cut.amount == int(amounts[kept].sum())


def test_nothing_lies_below_an_empty_cut():
    assert not below(np.array([0, 5, LAST], np.uint64), 0, Cut()).any()


def test_clusters_are_found_across_pieces_and_partitions():
    base = " ".join(f"word{i}" for i in range(80))
    near = base.replace("word40", "other")
    texts = [["something else entirely, of its own kind", base], [near, "b c d e f g h"], [base, near.upper(), ""]]
    numbers, banded = 0, []
    for part in texts:
        keys, documents = clusters.bands_of(part, 0)
        banded.append((clusters.banded(keys, documents), numbers))
        numbers += len(part)
    links = np.zeros((0, 2), np.int64)
    for partition in range(clusters.PARTITIONS):
        keys, documents = [], []
        for one, first in banded:
            begin, end = one.starts[partition], one.starts[partition + 1]
            keys.append(one.keys[begin:end])
            documents.append(one.documents[begin:end].astype(np.int64) + first)
        links = clusters.merged_links(links, clusters.links(keys, documents))
    assert clusters.clusters(links).tolist() == [[2, 1], [4, 1], [5, 1]]


def test_clusters_follow_chains():
    chain = np.array([[9, 8], [8, 7], [3, 2], [7, 1], [5, 3]])
    assert clusters.clusters(chain).tolist() == [[3, 2], [5, 2], [7, 1], [8, 1], [9, 1]]
    assert len(clusters.clusters(np.zeros((0, 2), np.int64))) == 0


def test_holdings_add_up_however_they_are_cut():
    texts = [f"{a} {b} word{a} again {a * b}" for a in range(30) for b in range(30)]
    domains = [f"d{i % 3}" for i in range(900)]

    def of(pieces: list[range]) -> bytes:
        states = []
        for piece in pieces:
            holding = tail.Holding()
            for start in range(piece.start, piece.stop, 50):
                rows = range(start, min(start + 50, piece.stop))
                holding.add(bags_of([texts[i] for i in rows], holding.limits), tail.Domains(domains, np.array(rows)))
            states.append(tail.to_bytes(holding))
        return tail.to_bytes(tail.joined(states))

    assert of([range(900)]) == of([range(0, 100), range(100, 650), range(650, 900)])
    whole = tail.from_bytes(of([range(900)]))
    assert whole.documents == 900 and whole.domains == {"d0": 300, "d1": 300, "d2": 300}
    assert int(whole.buckets.sum()) == 2 * whole.words - 900


def test_rare_ngrams_that_are_lost_are_counted_against_chance():
    before, after = tail.Sampled(limit=1 << 64 - 1), tail.Sampled(limit=1 << 64 - 1)
    hashes = np.arange(1, 101, dtype=np.uint64)
    before.add(np.concatenate([hashes, hashes[:50], np.repeat(hashes[:10], 5)]))  # ten are not rare
    after.add(hashes[:40])
    found = tail.lost(before, after, 0.5)
    assert found == (90, pytest.approx(60 / 90), pytest.approx((40 * 0.25 + 50 * 0.5) / 90))


def test_a_full_sample_keeps_the_smallest_hashes_with_their_counts():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 40, 30_000).astype(np.uint64)
    one, parts = tail.Sampled(), [tail.Sampled(), tail.Sampled()]
    one.add(hashes)
    for part, piece in zip(parts, (hashes[:9_000], hashes[9_000:]), strict=True):
        part.add(piece)
    parts[0].join(parts[1])
    wanted = Counter(hashes.tolist())
    smallest = sorted(wanted)[: tail.TYPES]
    for sample in (one.settled(), parts[0].settled()):
        assert sample.hashes.tolist() == smallest and sample.counts.tolist() == [wanted[h] for h in smallest]


def test_a_head_learns_what_is_linear_and_says_what_it_does_not():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(600, 8)).astype(np.float32)
    labels = vectors @ np.arange(8) + 2.5 + rng.normal(0, 0.1, 600)
    train, held = Sums.empty(8), Sums.empty(8)
    train.add(vectors[:300], labels[:300])
    train.add(vectors[300:500], labels[300:500])
    held.add(vectors[500:], labels[500:])
    weights, _ = fitted(train, held)
    wrong = scores(vectors[500:], weights) - labels[500:]
    assert held.error(weights) == pytest.approx(float((wrong**2).mean())) and abs(wrong).max() < 0.5
    assert held.variance == pytest.approx(labels[500:].var())
