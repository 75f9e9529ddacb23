"""lm-evaluation-harness over our models: against plain transformers, and the two adapters against each other."""

from __future__ import annotations

import os
import random
from functools import cache, partial

import numpy as np
import pytest
import torch
from tiny import FAMILIES
from transformers import AutoModelForCausalLM, AutoTokenizer

from recension.errors import ModelError
from recension.models.fake import fake_prior
from recension.models.harness import Asked, ask
from recension.models.harness_model import HarnessOptions, harness_model
from recension.models.load import PriorOptions, load_prior
from recension.models.prior_lm import prior_lm

PAIRS = [
    ("The river ran past the old mill", " and the miller looked at the river."),
    ("because the water told him ", "what the day would bring"),  # white space at the end of the context
    ("the wheel", " {{ 7*7 }} </s> <s> [1]"),
    ("", "the old mill"),
    ("Überall", " naïve Cafés — 東京"),
]
TEXTS = ["The river ran past the old mill and the miller looked at the river.", "Überall — 東京 </s>"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = tmp_path_factory.mktemp("harness")
    return {name: FAMILIES[name](made / name) for name in ("gpt2", "llama-metaspace")}


@pytest.fixture(scope="module")
def models(folders):
    load = partial(harness_model, options=HarnessOptions(batch_size=2))
    return {name: load(f"hf:{folder}").load() for name, folder in folders.items()}


def asked(lm, kind, requests):
    """Through the task API of the harness: the results of each document."""
    return ask(lm, Asked("t", kind, requests, lambda number, results: {}))


@cache
def loaded(folder):
    return AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)


def by_hand(folder, context, continuation, bos=True):
    """Log-likelihood and greediness with nothing but transformers."""
    tokenizer, model = loaded(folder)

    def encode(text):
        return tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)

    first = [tokenizer.bos_token_id] if bos or not context else []
    bare = context.rstrip()
    before, whole = [*first, *encode(bare)], [*first, *encode(context + continuation)]
    with torch.no_grad():
        rows = torch.log_softmax(model(torch.tensor([whole])).logits[0].float(), dim=-1)
    places = range(len(before), len(whole))
    total = sum(float(rows[i - 1, whole[i]]) for i in places)
    return total, all(int(rows[i - 1].argmax()) == whole[i] for i in places)


@pytest.mark.parametrize("family", ["gpt2", "llama-metaspace"])
def test_log_likelihoods_are_those_of_plain_transformers(models, folders, family):
    found = asked(models[family], "choices", [PAIRS])[0]
    for (context, continuation), (total, greedy) in zip(PAIRS, found, strict=True):
        expected = by_hand(folders[family], context, continuation)
        assert total == pytest.approx(expected[0], abs=1e-3)
        assert greedy == expected[1]


@pytest.mark.parametrize("family", ["gpt2", "llama-metaspace"])
def test_a_rolling_log_likelihood_counts_the_beginning_once(models, folders, family):
    found = asked(models[family], "text", [[(text,)] for text in TEXTS])
    for text, [total] in zip(TEXTS, found, strict=True):
        assert total == pytest.approx(by_hand(folders[family], "", text)[0], abs=1e-3)


@pytest.mark.parametrize("family", ["gpt2", "llama-metaspace"])
def test_both_adapters_say_the_same(models, folders, family):
    prior = prior_lm(load_prior(f"hf:{folders[family]}", PriorOptions(batch_tokens=256)), "p")
    ours, theirs = (asked(lm, "choices", [PAIRS])[0] for lm in (prior, models[family]))
    assert [total for total, _ in ours] == pytest.approx([total for total, _ in theirs], abs=1e-3)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]
    ours, theirs = (asked(lm, "text", [[(text,)] for text in TEXTS]) for lm in (prior, models[family]))
    assert [total for [total] in ours] == pytest.approx([total for [total] in theirs], abs=1e-3)


def test_without_a_beginning_token(folders):
    lm = harness_model(f"hf:{folders['gpt2']}", HarnessOptions(bos="never")).load()
    [[(total, _)]] = asked(lm, "cloze", [[PAIRS[0]]])
    assert total == pytest.approx(by_hand(folders["gpt2"], *PAIRS[0], bos=False)[0], abs=1e-3)


@pytest.mark.parametrize("family", ["gpt2", "llama-metaspace"])
def test_as_the_tokenizer_does_is_as_the_harness_does(folders, family):
    from lm_eval.models.huggingface import HFLM

    plain = HFLM(pretrained=str(folders[family]), device="cpu", dtype="float32", batch_size=2)
    ours = harness_model(f"hf:{folders[family]}", HarnessOptions(bos="tokenizer")).load()
    pairs = [pair for pair in PAIRS if "<" not in pair[1]]
    found, expected = (asked(lm, "choices", [pairs])[0] for lm in (ours, plain))
    assert [total for total, _ in found] == pytest.approx([total for total, _ in expected], abs=1e-4)


def test_an_answer_is_what_the_model_writes(models, folders):
    context, settings = "The river ran past", {"until": ["mill"], "max_gen_toks": 8, "do_sample": False}
    tokenizer, model = loaded(folders["gpt2"])
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer.encode(context, add_special_tokens=False)]])
    with torch.no_grad():
        for _ in range(8):
            ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], dim=1)
    expected = tokenizer.decode(ids[0, -8:], skip_special_tokens=True).split("mill")[0]
    [[written], [other]] = asked(models["gpt2"], "answer", [[(context, settings)], [("whether the", settings)]])
    assert written == expected
    assert other != written


def test_what_does_not_fit_is_said(models):
    long = " ".join(["river"] * 200)
    lm = models["gpt2"]
    before = lm.truncated
    asked(lm, "cloze", [[(long, " mill")]])
    assert lm.truncated == before + 1
    with pytest.raises(ModelError, match="max_tokens lower"):
        asked(lm, "answer", [[("mill", {"until": ["\n"], "max_gen_toks": 96})]])
    with pytest.raises(ModelError, match="no token of its own"):
        asked(lm, "cloze", [[("mill", "")]])


def test_a_continuation_longer_than_the_model_reads_is_scored_in_pieces(models, folders):
    continuation = " the river ran past the old mill" * 30
    [[(total, greedy)]] = asked(models["gpt2"], "cloze", [[("The miller said", continuation)]])
    tokenizer, model = loaded(folders["gpt2"])
    before = [tokenizer.bos_token_id, *tokenizer.encode("The miller said", add_special_tokens=False)]
    ids = [tokenizer.bos_token_id, *tokenizer.encode("The miller said" + continuation, add_special_tokens=False)]
    assert len(ids) > 200
    expected = 0.0
    for start in range(len(before), len(ids), 48):
        window = ids[max(0, min(start + 48, len(ids)) - 97) : start + 48]
        with torch.no_grad():
            rows = torch.log_softmax(model(torch.tensor([window[:-1]])).logits[0].float(), dim=-1)
        size = min(48, len(ids) - start)
        expected += sum(float(rows[-i, window[-i]]) for i in range(1, size + 1))
    assert total == pytest.approx(expected, abs=1e-2)
    assert not greedy


def test_a_prior_writes_no_answers_and_needs_a_beginning():
    with pytest.raises(ModelError, match="need an hf: model"):
        asked(prior_lm(fake_prior("plain"), "fake:plain"), "answer", [[("a", {"until": []})]])
    with pytest.raises(ModelError, match="beginning of a text"):
        asked(prior_lm(fake_prior("headless"), "fake:headless"), "text", [[("abc",)]])


def test_the_text_of_a_document_is_never_a_template():
    texts = ["{{ 7*7 }}", "[1]", "__import__('os')", "{% raw %}", "'x'"]
    lm = prior_lm(fake_prior("plain"), "fake:plain")
    seen = []

    def spy(requests):
        seen.extend(request.args for request in requests)
        return [(0.0, False)] * len(requests)

    lm.loglikelihood = spy
    asked(lm, "choices", [[(text, f" {text}") for text in texts]])
    assert seen == [(text, f" {text}") for text in texts]


def test_nothing_is_left_behind(capfd):
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()
    environment = dict(os.environ)
    asked(prior_lm(fake_prior("plain"), "fake:plain"), "choices", [[("a", " b"), ("a", " c")]])
    assert states == (random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist())
    assert dict(os.environ) == environment
    assert capfd.readouterr() == ("", "")


def test_a_run_folder_stands_for_the_model_in_it(folders, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model").symlink_to(folders["gpt2"])
    assert harness_model(f"hf:{tmp_path / 'run'}", HarnessOptions()).spec["files"]
