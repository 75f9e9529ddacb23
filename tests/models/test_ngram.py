"""The n-gram prior against a slow and obvious one, and as a folder on disk."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from priors import CORPUS, SENTENCES
from tokenizers import AddedToken, Tokenizer

from recension.errors import ModelError, OutputError, UsageError
from recension.models.ngram import NgramPrior, NgramSettings, train
from recension.models.ngram_counting import count, smooth
from recension.models.ngram_tables import contexts_of, distribution, find_nodes, most_probable, probabilities
from recension.ports import Ask

SMALL = NgramSettings(order=4, vocabulary=400)


class SlowKneserNey:
    """Interpolated modified Kneser-Ney from its definition, with dictionaries and recursion."""

    def __init__(self, texts, words, order, min_count):
        self.words, self.order, self.min_count = words, order, min_count
        self.raw = [Counter() for _ in range(order + 1)]
        for text in texts:
            row = (words, *text)
            for n in range(1, order + 1):
                self.raw[n].update(row[i : i + n] for i in range(len(row) - n + 1))
        self.counts = [Counter() for _ in range(order + 1)]
        for n in range(1, order + 1):
            before = Counter(gram[1:] for gram in self.raw[n + 1]) if n < order else Counter()
            for gram, times in self.raw[n].items():
                self.counts[n][gram] = times if n == order or gram[0] == words else before[gram]
        del self.counts[1][(words,)]
        self.discounts = [self.estimate(counts) for counts in self.counts]
        self.followers = [defaultdict(list) for _ in range(order + 1)]
        for n in range(1, order + 1):
            for gram in self.counts[n]:
                self.followers[n][gram[:-1]].append(gram)

    @staticmethod
    def estimate(counts):
        n = Counter(counts.values())
        if not all(n[c] for c in (1, 2, 3, 4)):
            return (0, 0.5, 1.0, 1.5)
        y = n[1] / (n[1] + 2 * n[2])
        d = [0.0] + [c - (c + 1) * y * n[c + 1] / n[c] for c in (1, 2, 3)]
        return tuple(d) if all(0 < d[c] < c for c in (1, 2, 3)) else (0, 0.5, 1.0, 1.5)

    def p(self, word, context):
        n = len(context) + 1
        grams = self.followers[n].get(context, [])
        shorter = self.p(word, context[1:]) if context else 1 / self.words
        total = sum(self.counts[n][gram] for gram in grams)
        if not total:
            return shorter
        mass = spare = 0.0
        for gram in grams:
            times = self.counts[n][gram]
            kept = n < 3 or self.raw[n][gram] >= self.min_count
            discount = self.discounts[n][min(times, 3)] if kept else times
            spare += discount
            if gram[-1] == word:
                mass = times - discount
        return mass / total + spare / total * shorter

    def row(self, context):
        return np.array([self.p(word, tuple(context[1 - self.order :])) for word in range(self.words)])


def quiet(stage, done):
    pass


def fitted(folder: Path, texts, words, order, min_count=1, chunk=1 << 20):
    spool = folder / "words"
    np.concatenate([np.array([words, *text], dtype=np.uint32) for text in texts]).tofile(spool)
    drawable = np.ones(words + 1, dtype=bool)
    drawable[-1] = False
    return smooth(count(spool, words, order, quiet, chunk), drawable, min_count, quiet, np.float64)


WORDS = 6
corpora = st.lists(st.lists(st.integers(0, WORDS - 1), max_size=40), min_size=1, max_size=12).filter(any)


@settings(max_examples=60, deadline=None)
@given(
    texts=corpora,
    order=st.integers(2, 5),
    min_count=st.integers(1, 3),
    chunk=st.sampled_from([1, 7, 1 << 20]),
    data=st.data(),
)
def test_the_arrays_say_what_the_definition_says(tmp_path_factory, texts, order, min_count, chunk, data):
    tables, discounts = fitted(tmp_path_factory.mktemp("ngram"), texts, WORDS, order, min_count, chunk)
    slow = SlowKneserNey(texts, WORDS, order, min_count)
    np.testing.assert_allclose(discounts, [d[1:] for d in slow.discounts[1:]], atol=1e-12)
    contexts = [[WORDS]]
    for _ in range(6):
        text = data.draw(st.sampled_from(texts) | st.lists(st.integers(0, WORDS - 1), max_size=6))
        contexts.append([WORDS, *text[: data.draw(st.integers(0, len(text)))]])
    for context in contexts:
        row = distribution(tables, context)
        assert row.sum() == pytest.approx(1, abs=1e-9)
        assert (row > 0).all()
        np.testing.assert_allclose(row, slow.row(context), atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(texts=corpora, order=st.integers(2, 5), depth=st.integers(1, 9))
def test_scores_and_rivals_are_those_of_the_whole_distribution(tmp_path_factory, texts, order, depth):
    tables, _ = fitted(tmp_path_factory.mktemp("ngram"), texts, WORDS, order)
    words = np.concatenate([np.array([WORDS, *text]) for text in [*texts, [5, 4, 3, 2, 1, 0, 0]]])
    nodes = find_nodes(tables, words)
    contexts = contexts_of(nodes)
    p = probabilities(tables, nodes, contexts)
    best = most_probable(tables, contexts, depth)
    opens = np.flatnonzero(words == WORDS)
    for i in np.flatnonzero(words != WORDS):
        row = distribution(tables, words[opens[opens < i][-1] : i])
        assert p[i] == pytest.approx(row[words[i]], rel=1e-6)
        size = min(depth, WORDS)
        np.testing.assert_allclose(best.p[i, :size], np.sort(row)[::-1][:size], rtol=1e-6)
        np.testing.assert_allclose(row[best.words[i, :size]], best.p[i, :size], rtol=1e-6)
        assert (best.words[i, size:] == -1).all()
        assert len(set(best.words[i, :size].tolist())) == size


def test_a_richer_corpus_agrees_as_well(tmp_path):
    # Skewed words, so that the discounts come from the counts and not from the fallback.
    generator = np.random.default_rng(5)
    texts = [(generator.zipf(1.4, size=200) % 50).tolist() for _ in range(30)]
    slow = SlowKneserNey(texts, 50, 4, 2)
    assert sum(d != (0, 0.5, 1.0, 1.5) for d in slow.discounts[1:]) >= 3
    tables, _ = fitted(tmp_path, texts, 50, 4, min_count=2, chunk=501)
    for text in texts[:5]:
        for end in (0, 1, 2, 3, 50, 199):
            np.testing.assert_allclose(distribution(tables, [50, *text[:end]]), slow.row([50, *text[:end]]), atol=1e-9)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "ngram"
    train(iter(CORPUS), SMALL, folder)
    return folder


def test_logprobs_and_rivals_come_from_the_stored_distribution(model):
    prior = NgramPrior.load(model)
    (found,) = prior.score([CORPUS[7]], Ask(above=0.0, k=5))
    for i in (0, 1, 2, 3, 10, len(found.ids) - 1):
        row = prior.distribution(found.ids[:i].tolist())
        assert row.sum() == pytest.approx(1, abs=1e-5)
        assert found.logprobs[i] == pytest.approx(np.log(row[found.ids[i]]), abs=1e-5)
        np.testing.assert_allclose(np.exp(found.rival_logprobs[i]), np.sort(row)[::-1][:5], rtol=1e-5)


def test_all_rivals_together_hold_everything(model):
    prior = NgramPrior.load(model)
    for found in prior.score(SENTENCES, Ask(above=0.0, k=len(prior.surfaces))):
        np.testing.assert_allclose(found.rival_mass, 1, atol=1e-5)


def test_it_has_learned_its_corpus(model):
    prior = NgramPrior.load(model)
    own, other = prior.score([CORPUS[4], "Zebras quit vexing wry jukebox dwarfs."], Ask())
    assert own.logprobs.mean() > -1
    assert other.logprobs.mean() < -4


def test_the_same_texts_give_the_same_bytes(model, tmp_path):
    again = train(iter(CORPUS), SMALL, tmp_path / "again")
    assert sorted(p.name for p in model.iterdir()) == sorted(p.name for p in (tmp_path / "again").iterdir())
    for path in model.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    assert NgramPrior.load(model).spec["sha256"] == again.sha256
    other = train(iter(CORPUS[:-1]), SMALL, tmp_path / "other")
    assert other.sha256 != again.sha256


def test_the_summary_counts(model, tmp_path):
    stages = []
    summary = train(iter(CORPUS), SMALL, tmp_path / "m", lambda stage, done: stages.append(stage))
    found = NgramPrior.load(tmp_path / "m").score(CORPUS, Ask())
    assert summary.documents == len(CORPUS)
    assert summary.tokens == sum(len(f.ids) for f in found)
    assert summary.vocabulary == 400
    assert len(summary.ngrams) == len(summary.discounts) == 4
    assert summary.bytes == sum(p.stat().st_size for p in (tmp_path / "m").iterdir())
    assert {"fit the vocabulary", "tokenise", "count 2-grams", "smooth 4-grams", "write"} <= set(stages)


def test_rare_ngrams_can_be_left_out(model, tmp_path):
    summary = train(iter([*CORPUS, "A thought of its own."]), NgramSettings(4, 400, min_count=3), tmp_path / "m")
    whole = train(iter([*CORPUS, "A thought of its own."]), SMALL, tmp_path / "w")
    assert summary.ngrams[:2] == whole.ngrams[:2]
    assert all(few < all_ for few, all_ in zip(summary.ngrams[2:], whole.ngrams[2:], strict=True))
    prior = NgramPrior.load(tmp_path / "m")
    (found,) = prior.score(["A thought of its own."], Ask(above=0.0, k=len(prior.surfaces)))
    np.testing.assert_allclose(found.rival_mass, 1, atol=1e-5)


def test_a_very_long_text_is_scored_as_if_it_were_read_at_once(model):
    # Longer than the pieces of the tokenizer and than the blocks of the scorer.
    prior = NgramPrior.load(model)
    text = "\n".join(CORPUS[i % 40][i % 50 :] for i in range(3500))
    assert len(text) > 700_000
    ask = Ask(above=0.99, k=2)
    short, (found,) = prior.score(CORPUS, ask)[9], prior.score([text], ask)
    assert len(found.ids) > 2 * (1 << 17)
    assert found.ids.tolist() == prior.tokenizer.encode(text).ids
    placed = found.spans[found.spans[:, 0] >= 0]
    surfaces = prior.surfaces
    for i in range(0, len(found.ids), 101):
        if found.spans[i, 0] >= 0:
            assert text[slice(*found.spans[i])] == surfaces[found.ids[i]]
    assert (np.diff(placed[:, 0]) > 0).all()
    for i in [*range(262_138, 262_150), *range(3), len(found.ids) - 1]:
        row = prior.distribution(found.ids[max(0, i - 8) : i].tolist())
        assert found.logprobs[i] == pytest.approx(np.log(row[found.ids[i]]), abs=1e-5)
    company = prior.score([CORPUS[9], text], ask)
    np.testing.assert_array_equal(company[0].logprobs, short.logprobs)
    np.testing.assert_array_equal(company[1].logprobs, found.logprobs)
    np.testing.assert_array_equal(company[1].flagged, found.flagged)
    np.testing.assert_array_equal(company[1].rivals, found.rivals)


def test_a_given_tokenizer_is_used_and_its_special_tokens_are_never_seen(model, tmp_path):
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    tokenizer.enable_truncation(5)
    tokenizer.save(str(tmp_path / "given.json"))
    special = tokenizer.token_to_id("<|endoftext|>")
    texts = [*CORPUS, "the end<|endoftext|>the end"]
    train(iter(texts), NgramSettings(order=3, tokenizer=str(tmp_path / "given.json")), tmp_path / "m")
    prior = NgramPrior.load(tmp_path / "m")
    assert prior.surfaces[special] is None
    size = len(prior.surfaces)
    scores = prior.score(texts[-4:], Ask(above=0.0, k=size))
    assert all(special not in found.ids and special not in found.rivals for found in scores)
    assert "".join(prior.surfaces[i] for i in scores[-1].ids) == texts[-1]
    np.testing.assert_allclose(scores[-1].rival_mass, 1, atol=1e-5)
    assert prior.distribution([])[special] == 0


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (NgramSettings(order=1), "order"),
        (NgramSettings(order=17), "order"),
        (NgramSettings(vocabulary=255), "vocabulary"),
        (NgramSettings(min_count=0), "min_count"),
    ],
)
def test_settings_that_cannot_work(tmp_path, bad, words):
    with pytest.raises(UsageError, match=words):
        train(iter(CORPUS), bad, tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("content", [None, "not json", "[]", '{"model": 3}', '{"version": "1.0"}'])
def test_a_tokenizer_that_is_none(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ModelError, match="tokenizer"):
        train(iter(CORPUS), NgramSettings(tokenizer=str(path)), tmp_path / "m")


@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_nothing_to_learn_from(tmp_path, texts):
    with pytest.raises(ModelError, match="no text"):
        train(iter(texts), SMALL, tmp_path / "m")
    with pytest.raises(ModelError, match="no n-gram model"):
        NgramPrior.load(tmp_path / "m")
    # What the failed fit left behind does not stand in the way of the next one.
    assert train(iter(CORPUS), SMALL, tmp_path / "m").documents == 40


@pytest.mark.parametrize("texts", [["a"], ["a", "a", "a"], ["ab"], ["", "z", ""], ["\U0001f642"]])
def test_the_smallest_corpora(tmp_path, texts):
    train(iter(texts), NgramSettings(order=5), tmp_path / "m")
    prior = NgramPrior.load(tmp_path / "m")
    for found in prior.score([*texts, "something else"], Ask(above=0.0, k=len(prior.surfaces))):
        np.testing.assert_allclose(found.rival_mass, 1, atol=1e-5)
        assert np.isfinite(found.logprobs).all()


def test_an_unfinished_fit_is_cleared_away_and_foreign_files_are_not(tmp_path):
    folder = tmp_path / "m"
    (folder / "ngram-spool").mkdir(parents=True)
    (folder / "ngram-spool" / "words").write_bytes(b"\0" * 400)
    (folder / "p_1.npy").write_bytes(b"half")
    with pytest.raises(ModelError, match="no n-gram model"):
        NgramPrior.load(folder)
    train(iter(CORPUS), SMALL, folder)
    assert not (folder / "ngram-spool").exists()
    with pytest.raises(OutputError, match="not empty"):
        train(iter(CORPUS), SMALL, folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="not empty"):
        train(iter(CORPUS), SMALL, other)
    assert (other / "thesis.txt").read_text() == "years of work"
    with pytest.raises(OutputError, match="cannot write"):
        train(iter(CORPUS), SMALL, other / "thesis.txt")


FULL_DISK = """
import resource, sys
from pathlib import Path
from recension.errors import OutputError
from recension.models.ngram import NgramSettings, train

resource.setrlimit(resource.RLIMIT_FSIZE, [int(sys.argv[1])] * 2)
try:
    train((f"{i} sheep and {i * i} goats" for i in range(int(sys.argv[2]))), NgramSettings(), Path(sys.argv[3]))
except OutputError as error:
    print(error)
"""


@pytest.mark.parametrize("rows", [2000, 1], ids=["while reading", "while writing the arrays"])
def test_a_disk_that_takes_no_more_is_one_clear_line(tmp_path, rows):
    command = [sys.executable, "-c", FULL_DISK, "2000", str(rows), str(tmp_path / "m")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith(f"cannot write the model to {tmp_path / 'm'}: ")
    assert done.stdout.count("\n") == 1
    with pytest.raises(ModelError, match="no n-gram model"):
        NgramPrior.load(tmp_path / "m")
    train(iter(CORPUS), SMALL, tmp_path / "m")


def test_no_rivals_may_be_asked_for(model):
    (found,) = NgramPrior.load(model).score([SENTENCES[0]], Ask(above=0.5, k=0))
    assert len(found.flagged)
    assert found.rivals.shape == (len(found.flagged), 0)
    assert (found.rival_mass == 0).all()


def copied(model: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in model.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("name", ["p_1.npy", "words_4.npy", "first_3.npy", "ranked_2.npy", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_damage_is_found_and_named(model, tmp_path, name, damage):
    path = copied(model, tmp_path / "m") / name
    raw = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(raw[:-1])
    elif damage == "flip":
        raw[-2] ^= 1
        path.write_bytes(raw)
    else:
        path.unlink()
    with pytest.raises(ModelError, match=name) as raised:
        NgramPrior.load(tmp_path / "m")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "version 2"),
        ({"format": "other"}, "other"),
        ({"order": 5}, "list the files"),
        ({"order": "five"}, "not a card"),
        ({"files": {}}, "list the files"),
        ({"files": {"../../secret": {"bytes": 1, "sha256": ""}}}, "list the files"),
    ],
)
def test_a_foreign_card_is_refused(model, tmp_path, change, words):
    card = copied(model, tmp_path / "m") / "ngram.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), **change}))
    with pytest.raises(ModelError, match=words):
        NgramPrior.load(tmp_path / "m")


@pytest.mark.parametrize("where", ["nowhere", "."])
def test_a_missing_model_says_how_to_make_one(tmp_path, where):
    with pytest.raises(ModelError, match="recension train ngram"):
        NgramPrior.load(tmp_path / where)


def test_nothing_on_disk_is_executable_content(model):
    for path in model.glob("*.npy"):
        assert not np.load(path, allow_pickle=False).dtype.hasobject
