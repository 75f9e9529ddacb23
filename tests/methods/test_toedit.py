"""ToEdit as arithmetic: hand-made scores in, edits out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recension.document import Field
from recension.methods.budget import Scored, expected_share, solve
from recension.methods.protect import compile_protection, protected_intervals
from recension.methods.tally import Counts, counts_from_json
from recension.methods.toedit import Edit, Sampling, apply, draw_tokens, edit_text, propose, splice, surfaces, undo
from recension.ports import TokenScores

WORDS = ["a", "b", "c", "d", None, "\0", "a"]
VOCABULARY = surfaces(WORDS)


def scores(tokens: list[int], rivals: dict[int, list[tuple[int, float]]], p: list[float] | None = None) -> TokenScores:
    """One-character tokens; `rivals` maps flagged positions to (token, probability)."""
    width = max((len(r) for r in rivals.values()), default=1)
    flagged = sorted(rivals)
    ids = np.array(tokens, dtype=np.int32)
    table = np.full((len(flagged), width), -1, dtype=np.int32)
    logprobs = np.full((len(flagged), width), -np.inf, dtype=np.float32)
    for row, position in enumerate(flagged):
        for column, (token, probability) in enumerate(rivals[position]):
            table[row, column] = token
            logprobs[row, column] = np.log(probability)
    own = p or [dict(rivals.get(i, [])).get(token, 0.5) if i in rivals else 0.5 for i, token in enumerate(tokens)]
    return TokenScores(
        ids=ids,
        spans=np.array([(i, i + 1) for i in range(len(tokens))], dtype=np.int32).reshape(-1, 2),
        logprobs=np.log(np.array(own, dtype=np.float32)),
        flagged=np.array(flagged, dtype=np.int32),
        rivals=table,
        rival_logprobs=logprobs,
        rival_mass=np.exp(logprobs).sum(axis=1),
    )


NOTHING = np.empty((0, 2), dtype=np.int64)


def run(text, scored, sampling, key=1, protect=NOTHING, fields=None):
    fields = fields or (Field("text", 0, len(text)),)
    return edit_text(text, fields, scored, VOCABULARY, (sampling, protect, key))


def frequencies(sampling: Sampling, rivals: list[tuple[int, float]], draws: int = 20_000) -> dict[int, float]:
    one = scores([0] * draws, dict.fromkeys(range(draws), rivals))
    proposal = propose(one, VOCABULARY.drawable, sampling)
    columns = draw_tokens(proposal, np.arange(draws), sampling, key=7)
    tokens = proposal.tokens[np.arange(draws), columns]
    return {int(t): float((tokens == t).mean()) for t in np.unique(tokens)}


RIVALS = [(0, 0.6), (1, 0.2), (2, 0.1), (3, 0.05)]


def test_top_k_draws_from_the_renormalised_head():
    found = frequencies(Sampling(top_k=2), RIVALS)
    assert found == pytest.approx({0: 0.75, 1: 0.25}, abs=0.015)


def test_temperature_flattens_as_published():
    weights = np.array([0.6, 0.2, 0.1, 0.05]) ** (1 / 1.5)
    found = frequencies(Sampling(temperature=1.5), RIVALS)
    assert found == pytest.approx(dict(enumerate(weights / weights.sum())), abs=0.015)


def test_exclude_original_never_draws_it():
    found = frequencies(Sampling(exclude_original=True), RIVALS)
    assert found == pytest.approx({1: 4 / 7, 2: 2 / 7, 3: 1 / 7}, abs=0.015)


def test_top_p_keeps_the_smallest_head_that_holds_the_mass():
    found = frequencies(Sampling(sampler="top-p", top_p=0.75), RIVALS)
    assert found == pytest.approx({0: 0.75, 1: 0.25}, abs=0.015)


def test_top_p_on_a_sure_token_is_the_papers_no_op():
    one = scores([0], {0: [(0, 0.995), (1, 0.004)]})
    proposal = propose(one, VOCABULARY.drawable, Sampling(sampler="top-p", top_p=0.99))
    assert proposal.keeps.tolist() == [1.0]


def test_top_p_counts_the_positions_whose_mass_was_not_fetched():
    fields = (Field("text", 0, 1),)
    done = edit_text(
        "a", fields, scores([0], {0: RIVALS}), VOCABULARY, (Sampling(sampler="top-p", top_p=0.99), NOTHING, 1)
    )
    assert done.counts.truncated == 1


def test_rejection_samples_in_proportion_to_the_reward():
    # With r = log p and beta 1, accepting with exp(r - r_max) makes the law of the candidates themselves.
    total = sum(p for _, p in RIVALS)
    found = frequencies(Sampling(sampler="rejection", top_k=64), RIVALS)
    assert found == pytest.approx({t: p / total for t, p in RIVALS}, abs=0.015)


def test_tokens_without_characters_are_never_drawn():
    found = frequencies(Sampling(), [(0, 0.4), (4, 0.3), (5, 0.2), (1, 0.1)])
    assert set(found) == {0, 1}


def test_a_token_with_the_same_characters_is_no_change():
    done = run("a", scores([0], {0: [(6, 0.9), (0, 0.1)]}), Sampling(exclude_original=True))
    assert done.edits == () and done.counts.changed == 0


def test_positions_without_a_candidate_count_as_not_editable():
    done = run("a", scores([0], {0: [(4, 0.9)]}), Sampling())
    assert (done.text, done.counts.flagged, done.counts.not_editable) == ("a", 1, 1)


def test_tokens_without_a_span_count_as_not_editable():
    one = scores([0, 1], {0: RIVALS, 1: RIVALS})
    one.spans[1] = (-1, -1)
    done = run("ab", one, Sampling(exclude_original=True))
    assert done.text[1] == "b" and done.counts.not_editable == 1 and done.counts.changed == 1


def test_protected_tokens_stay_and_are_counted():
    done = run(
        "aa", scores([0, 0], {0: RIVALS, 1: RIVALS}), Sampling(exclude_original=True), protect=np.array([[1, 2]])
    )
    assert done.text[0] != "a" and done.text[1] == "a"
    assert (done.counts.protected, done.counts.changed) == (1, 1)


def test_context_outside_the_fields_is_neither_edited_nor_counted():
    text = "aaaa"
    one = scores([0] * 4, dict.fromkeys(range(4), RIVALS))
    done = run(text, one, Sampling(exclude_original=True), fields=(Field("x", 1, 2), Field("y", 3, 4)))
    assert (done.text[0], done.text[2]) == ("a", "a") and done.text[1] != "a" and done.text[3] != "a"
    assert (done.counts.tokens, done.counts.flagged, done.counts.changed) == (2, 2, 2)
    assert [(e.path, e.start, e.end) for e in done.edits] == [("x", 0, 1), ("y", 0, 1)]


def test_draws_depend_on_key_and_position_alone():
    long = scores([0] * 50, dict.fromkeys(range(50), RIVALS))
    some = scores([0] * 50, dict.fromkeys(range(0, 50, 7), RIVALS))
    all_edits = {e.position: e for e in run("a" * 50, long, Sampling(), key=3).edits}
    few = run("a" * 50, some, Sampling(), key=3).edits
    assert few and all(all_edits[e.position] == e for e in few)
    assert run("a" * 50, long, Sampling(), key=4).edits != tuple(all_edits.values())


@pytest.mark.parametrize("sampler", ["top-k", "top-p", "rejection"])
def test_candidates_that_change_ranks_change_no_draw(sampler):
    """Two candidates that are equal up to rounding come in either order from different machines."""
    sampling = Sampling(sampler=sampler, top_p=0.94)
    one = scores([0] * 500, {i: [(0, 0.5), (1, 0.2), (2, 0.2), (3, 0.05)] for i in range(500)})
    other = scores([0] * 500, {i: [(0, 0.5), (2, 0.2), (1, 0.2), (3, 0.05)] for i in range(500)})
    assert run("a" * 500, one, sampling).text == run("a" * 500, other, sampling).text


def test_log_probability_after_puts_the_drawn_tokens_in():
    done = run("a", scores([0], {0: RIVALS}), Sampling(exclude_original=True))
    drawn = {e.new: e.p_new for e in done.edits}
    assert done.counts.logprob_before == pytest.approx(np.log(0.6), abs=1e-6)
    assert done.counts.logprob_after == pytest.approx(np.log(next(iter(drawn.values()))), abs=1e-6)


@st.composite
def edited(draw):
    text = draw(st.text(max_size=60))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=10, unique=True)))
    edits = [
        Edit("text", a, b, text[a:b], draw(st.text(min_size=1, max_size=3)), 0.9, 0.1, i)
        for i, (a, b) in enumerate(zip(cuts[::2], cuts[1::2], strict=False))
    ]
    return text, edits


@given(edited())
def test_undo_is_the_inverse_of_apply(case):
    text, edits = case
    assert undo(apply(text, edits), edits) == text


@given(edited())
def test_splice_moves_the_fields_along(case):
    text, edits = case
    whole = f"<{text}>{text}"
    fields = (Field("text", 1, 1 + len(text)), Field("rest", 2 + len(text), len(whole)))
    new, moved = splice(whole, fields, edits)
    assert new[moved[0].start : moved[0].end] == apply(text, edits)
    assert new[moved[1].start : moved[1].end] == text
    assert new[0] == "<" and new[moved[0].end] == ">"


def test_undo_refuses_a_text_that_was_changed():
    edit = Edit("text", 0, 1, "a", "b", 0.9, 0.1, 0)
    with pytest.raises(ValueError, match="does not hold"):
        undo("c", [edit])


@pytest.mark.parametrize(
    ("protect", "text", "kept"),
    [
        (["numbers"], "In 1984 he paid $1,250.50.", ["1984", "1,250.50"]),
        (["urls"], "see https://a.org/x?y=1 or me@b.co", ["https://a.org/x?y=1", "me@b.co"]),
        (["code"], "run `ls -l` or\n```\nx = 1\n```\nend", ["`ls -l`", "```\nx = 1\n```"]),
        (["quotes"], 'he said "no way" and “never”', ['"no way"', "“never”"]),
        ([r"\bAda\b"], "Ada met Adam", ["Ada"]),
        (["numbers", "quotes"], 'the "7 men" of 7', ['"7 men"', "7"]),
    ],
)
def test_protection(protect, text, kept):
    intervals = protected_intervals(text, compile_protection(protect))
    assert [text[a:b].strip() for a, b in intervals] == kept


def sample(count=400, seed=0):
    """Texts whose tokens have probabilities spread over (0, 1)."""
    rng = np.random.default_rng(seed)
    p = rng.beta(0.5, 0.5, count).clip(0.001, 0.999)
    rivals = {i: [(0, p[i]), (1, (1 - p[i]) * 0.6), (2, (1 - p[i]) * 0.3)] for i in range(count) if p[i] >= 0.1}
    return [Scored((Field("text", 0, count),), scores([0] * count, rivals, p.tolist()), NOTHING)]


@pytest.mark.parametrize("share", [0.005, 0.02, 0.05, 0.1])
def test_the_budget_is_met_in_expectation_and_in_draws(share):
    texts = sample(20_000)
    solution = solve(texts, VOCABULARY, Sampling(), share)
    assert solution.expected == pytest.approx(share, rel=0.02)
    settled = Sampling(above=solution.threshold, temperature=solution.temperature)
    assert expected_share(texts, VOCABULARY, settled) == pytest.approx(solution.expected, rel=1e-6)
    item = texts[0]
    keep = np.exp(item.scores.logprobs[item.scores.flagged].astype(float)) >= solution.threshold
    some = TokenScores(
        item.scores.ids, item.scores.spans, item.scores.logprobs, item.scores.flagged[keep], item.scores.rivals[keep],
        item.scores.rival_logprobs[keep], item.scores.rival_mass[keep],
    )  # fmt: skip
    done = run("a" * 20_000, some, settled)
    assert done.counts.changed / done.counts.tokens == pytest.approx(share, rel=0.2)


def test_an_unreachable_share_names_the_maximum():
    from recension.errors import UnreachableError

    with pytest.raises(UnreachableError, match=r"at most 0\.\d+"):
        solve(sample(), VOCABULARY, Sampling(), 0.9)


def test_the_temperature_moves_only_when_the_threshold_cannot():
    texts = sample(5_000)
    floor = expected_share(texts, VOCABULARY, Sampling(above=0.1))
    assert solve(texts, VOCABULARY, Sampling(), floor * 0.9).temperature == 1.0
    hot = solve(texts, VOCABULARY, Sampling(), floor * 1.05)
    assert hot.temperature > 1.0 and hot.expected >= floor * 1.05 - 1e-9


def test_counts_add_up_and_survive_json():
    done = run("aa", scores([0, 0], {0: RIVALS, 1: RIVALS}), Sampling(exclude_original=True)).counts
    total = done + done + Counts()
    assert (total.tokens, total.changed) == (4, 2 * done.changed)
    assert counts_from_json(total.to_json()).to_json() == total.to_json()
