"""What every prior promises (`recension.ports.Prior`), checked on all of them alike."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from priors import CORPUS, PRIORS, SENTENCES

from recension.identity import canonical_json
from recension.ports import Ask, Prior, TokenScores

EVERYTHING = Ask(above=0.0, k=8)
SPECIAL = "<|endoftext|></s><s><unk>[CLS]<pad><|begin_of_text|> <bos>"
TEXTS = [*SENTENCES, CORPUS[3], "", "a", " ", "\n\n\n", "\u00a0\u2028\ufeff", SPECIAL, "x" * 300, "\x00\x01 nul"]


@pytest.fixture(scope="module", params=list(PRIORS))
def prior(request, tmp_path_factory) -> Prior:
    return PRIORS[request.param](tmp_path_factory.mktemp("prior"))


@pytest.fixture(scope="module")
def scores(prior) -> list[TokenScores]:
    return prior.score(TEXTS, EVERYTHING)


def tolerance(prior: Prior) -> float:
    return 1e-6 if prior.exact else 1e-4


def check_shapes(found: TokenScores, k: int) -> None:
    tokens, flagged = len(found.ids), len(found.flagged)
    for array, dtype, shape in (
        (found.ids, np.int32, (tokens,)),
        (found.spans, np.int32, (tokens, 2)),
        (found.logprobs, np.float32, (tokens,)),
        (found.flagged, np.int32, (flagged,)),
        (found.rival_mass, np.float32, (flagged,)),
    ):
        assert array.dtype == dtype
        assert array.shape == shape
    assert found.rivals.dtype == np.int32
    assert found.rival_logprobs.dtype == np.float32
    assert found.rivals.shape == found.rival_logprobs.shape
    assert len(found.rivals) == flagged
    assert found.rivals.shape[1] >= k
    assert (np.diff(found.flagged) > 0).all()
    assert ((found.flagged >= 0) & (found.flagged < tokens)).all()


def check_spans(prior: Prior, text: str, found: TokenScores) -> None:
    surfaces = prior.surfaces
    reached = 0
    for token, (start, end) in zip(found.ids.tolist(), found.spans.tolist(), strict=True):
        if (start, end) == (-1, -1):
            continue
        assert text[start:end] == surfaces[token]
        assert start >= reached
        assert end > start
        reached = end


def check_scored(found: TokenScores) -> None:
    scored = ~np.isnan(found.logprobs)
    assert scored[1:].all()
    assert (found.logprobs[scored] <= 0).all()
    assert np.isfinite(found.logprobs[scored]).all()
    assert scored[found.flagged].all()


def check_flags(prior: Prior, found: TokenScores, ask: Ask) -> None:
    wanted, either = np.zeros(len(found.ids), dtype=bool), np.zeros(len(found.ids), dtype=bool)
    p = np.exp(found.logprobs.astype(np.float64))
    near = 10 * tolerance(prior)
    if ask.above is not None:
        wanted |= p >= ask.above
        either |= np.abs(p - ask.above) <= near * ask.above
    if ask.below is not None:
        wanted |= p <= ask.below
        either |= np.abs(p - ask.below) <= near * ask.below
    flags = np.zeros(len(found.ids), dtype=bool)
    flags[found.flagged] = True
    assert (flags == wanted)[~either].all()


def check_rivals(prior: Prior, found: TokenScores, k: int) -> None:
    there = found.rivals >= 0
    counts = there.sum(axis=1)
    assert (there == (np.arange(there.shape[1]) < counts[:, None])).all()
    assert (counts >= min(k, 200)).all()
    assert np.isneginf(found.rival_logprobs[~there]).all()
    assert np.isfinite(found.rival_logprobs[there]).all()
    with np.errstate(invalid="ignore"):
        assert not (np.diff(found.rival_logprobs, axis=1) > 0).any()
    held = np.exp(found.rival_logprobs.astype(np.float64)).sum(axis=1)
    np.testing.assert_allclose(found.rival_mass, held, rtol=1e-4)
    assert (held <= 1 + 1e-4).all()
    close = tolerance(prior) * 10
    for row, position in enumerate(found.flagged.tolist()):
        rivals = found.rivals[row, : counts[row]].tolist()
        assert len(set(rivals)) == len(rivals)
        assert max(rivals) < len(prior.surfaces)
        own, last = found.logprobs[position], found.rival_logprobs[row, counts[row] - 1]
        if (token := int(found.ids[position])) in rivals:
            assert own == pytest.approx(found.rival_logprobs[row, rivals.index(token)], abs=close)
        else:
            assert own <= last + close


def equal(prior: Prior, left: TokenScores, right: TokenScores) -> None:
    for name in ("ids", "spans"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
    if prior.exact:
        for name in ("logprobs", "flagged", "rivals", "rival_logprobs", "rival_mass"):
            np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
    else:
        np.testing.assert_allclose(left.logprobs, right.logprobs, atol=1e-4)
        both, l_rows, r_rows = np.intersect1d(left.flagged, right.flagged, return_indices=True)
        assert len(left.flagged) - len(both) <= 0.02 * len(left.ids) + 1
        np.testing.assert_allclose(left.rival_mass[l_rows], right.rival_mass[r_rows], atol=1e-4)


def test_it_is_a_prior_and_says_who_it_is(prior):
    assert isinstance(prior, Prior)
    assert isinstance(prior.exact, bool)
    assert prior.spec["kind"]
    assert canonical_json(prior.spec) == canonical_json(prior.spec)
    assert all(surface is None or surface for surface in prior.surfaces)
    assert any(surface == "e" for surface in prior.surfaces)


def test_shapes_spans_and_rivals(prior, scores):
    assert len(scores) == len(TEXTS)
    for text, found in zip(TEXTS, scores, strict=True):
        check_shapes(found, EVERYTHING.k)
        check_spans(prior, text, found)
        check_scored(found)
        check_rivals(prior, found, EVERYTHING.k)


def test_most_tokens_of_plain_prose_can_be_placed(prior, scores):
    for text, found in zip(SENTENCES[:4], scores, strict=False):
        assert (found.spans[:, 0] >= 0).mean() > 0.9
        assert found.spans[-1, 1] == len(text)


def test_everything_that_is_scored_is_flagged_above_zero(scores):
    for found in scores:
        np.testing.assert_array_equal(found.flagged, np.flatnonzero(~np.isnan(found.logprobs)))


def test_nothing_is_flagged_without_a_threshold(prior, scores):
    for found, full in zip(prior.score(TEXTS, Ask()), scores, strict=True):
        check_shapes(found, Ask().k)
        assert len(found.flagged) == 0
        np.testing.assert_array_equal(found.ids, full.ids)
        np.testing.assert_allclose(found.logprobs, full.logprobs, atol=tolerance(prior))


@pytest.mark.parametrize(
    "ask", [Ask(above=0.99), Ask(above=0.3, k=3), Ask(below=0.001), Ask(above=0.4, below=0.01), Ask(below=1.0, k=1)]
)
def test_flags_are_thresholds_of_the_logprobs(prior, ask):
    for text, found in zip(TEXTS, prior.score(TEXTS, ask), strict=True):
        check_shapes(found, ask.k)
        check_spans(prior, text, found)
        check_flags(prior, found, ask)
        check_rivals(prior, found, ask.k)


def test_more_rivals_begin_with_the_same_ones(prior, scores):
    for few, many in zip(scores, prior.score(TEXTS, Ask(above=0.0, k=64)), strict=True):
        np.testing.assert_allclose(few.rival_logprobs[:, :8], many.rival_logprobs[:, :8], atol=tolerance(prior) * 10)
        assert (many.rival_mass >= few.rival_mass - 1e-5).all()
        if prior.exact:
            np.testing.assert_array_equal(few.rivals[:, :8], many.rivals[:, :8])


def test_rivals_hold_the_original_once_they_hold_everything(prior):
    ask = Ask(above=0.0, k=len(prior.surfaces))
    for found in prior.score(SENTENCES[:5], ask):
        for token, row in zip(found.ids[found.flagged], found.rivals, strict=True):
            assert token in row


@pytest.mark.parametrize(("k", "mass", "cap"), [(2, 0.5, 10), (1, 0.9, 40), (8, 0.2, 4), (3, 1.0, 12)])
def test_mass_asks_for_as_many_rivals_as_hold_it(prior, k, mass, cap):
    ask = Ask(above=0.0, k=k, mass=mass, cap=cap)
    for found in prior.score(SENTENCES, ask):
        check_shapes(found, k)
        check_rivals(prior, found, k)
        for row, logprobs in zip(found.rivals, found.rival_logprobs, strict=True):
            count = int((row >= 0).sum())
            held = np.cumsum(np.exp(logprobs[:count].astype(np.float64)))
            assert k <= count <= max(k, cap)
            if count > k:
                assert held[-2] < mass + 1e-4
            if count < cap:
                assert held[-1] >= mass - 1e-4


@pytest.mark.parametrize("ask", [EVERYTHING, Ask(above=0.2, k=2, mass=0.8, cap=32)])
def test_a_text_scores_the_same_in_any_company(prior, ask):
    together = prior.score(TEXTS, ask)
    turned = prior.score(TEXTS[::-1], ask)[::-1]
    for text, left, right in zip(TEXTS, together, turned, strict=True):
        equal(prior, left, right)
        equal(prior, left, prior.score([text], ask)[0])


def test_nothing_in_nothing_out(prior):
    assert prior.score([], EVERYTHING) == []
    (found,) = prior.score([""], EVERYTHING)
    check_shapes(found, EVERYTHING.k)
    assert len(found.ids) == 0
    assert [len(found.ids) for found in prior.score(["", "a", ""], EVERYTHING)] == [0, 1, 0]


def test_a_long_text_is_scored_to_its_end(prior):
    text = " ".join(SENTENCES[i % 4] for i in range(60))
    ask = Ask(above=0.9, k=2)
    (found,) = prior.score([text], ask)
    check_shapes(found, ask.k)
    check_spans(prior, text, found)
    check_scored(found)
    check_flags(prior, found, ask)
    placed = found.spans[found.spans[:, 0] >= 0]
    # Some tokenizers cannot place the very first token, to which they add a space.
    assert placed[0, 0] < 10
    assert "".join(text[start:end] for start, end in placed) == text[placed[0, 0] :]


def test_the_names_of_special_tokens_are_ordinary_text(prior):
    text = f"He wrote {SPECIAL} and left."
    (found,) = prior.score([text], EVERYTHING)
    check_spans(prior, text, found)
    assert "".join(prior.surfaces[token] or "" for token in found.ids).replace(" ", "") == text.replace(" ", "")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=3))
def test_any_text_of_any_script(prior, texts):
    for text, found in zip(texts, prior.score(texts, EVERYTHING), strict=True):
        check_shapes(found, EVERYTHING.k)
        check_spans(prior, text, found)
        check_scored(found)
        check_rivals(prior, found, EVERYTHING.k)
        assert text or not len(found.ids)


def test_a_score_never_depends_on_what_follows(prior):
    (short,) = prior.score([SENTENCES[0]], Ask())
    (longer,) = prior.score([SENTENCES[0] + "\n" + SENTENCES[1]], Ask())
    same = len(short.ids) - 1
    np.testing.assert_array_equal(short.ids[:same], longer.ids[:same])
    np.testing.assert_allclose(short.logprobs[:same], longer.logprobs[:same], atol=tolerance(prior) * 10)
    assert math.isfinite(float(longer.logprobs[-1]))
