"""Priors behind servers: what is sent, what is made of the answers, and every reason to refuse a server."""

from __future__ import annotations

import math
import os
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from serving import Behaviour, serving, table_of, tokenizer_folder
from tokenizers import Tokenizer

from recension import EditSpec, PriorSettings, edit
from recension.errors import MissingExtraError, ModelError, UsageError
from recension.identity import canonical_json
from recension.models.endpoint import Endpoint, Patience
from recension.models.load import PriorOptions, load_prior
from recension.models.openai_prior import load_openai, split_served
from recension.ports import Ask

QUICK = Patience(attempts=3, first=0.01, longest=2.0, timeout=5.0)
VARIABLE = "RECENSION_TEST_KEY"
KEY = "sk-0123456789abcdef"
TEXT = "The river ran past the old mill, and the miller looked at the river every morning. Überall naïve Cafés."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tokenizer_folder(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def tokenizer(folder):
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.fixture
def key():
    os.environ[VARIABLE] = KEY
    yield KEY
    del os.environ[VARIABLE]


@pytest.fixture
def loaded(folder, tokenizer):
    """A prior over a table of probabilities, as the server behaves."""

    @contextmanager
    def load(behaviour=None, scoring=None, patience=QUICK, **options):
        behaviour = behaviour or Behaviour()
        with serving(scoring or table_of(tokenizer.get_vocab_size() + 8), tokenizer, behaviour) as url:
            chosen = PriorOptions(prior_tokenizer=str(folder), api_key_variable=VARIABLE, **options)
            yield load_openai(f"tiny@{url}", chosen, patience)

    return load


def refused(loaded, behaviour, match, **more):
    with pytest.raises(ModelError, match=match) as caught, loaded(behaviour, **more):
        pass
    assert "\n" not in str(caught.value)


# --- scores -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["prompt_logprobs", "echo"])
def test_scores_are_those_of_the_table(loaded, tokenizer, way):
    table = table_of(tokenizer.get_vocab_size() + 8)
    ids = tokenizer.encode(TEXT).ids
    truth = table([0, *ids])[:-1]
    with loaded(Behaviour(ways=(way,)), context=16, batch_tokens=40, requests=2) as prior:
        assert (prior.spec["way"], prior.spec["bos"]) == (way, 0)
        [found] = prior.score([TEXT], Ask(above=0.5, below=0.01, k=6))
    own = np.array([row[i] for row, i in zip(truth, ids, strict=True)])
    np.testing.assert_allclose(found.logprobs, own, atol=1e-6)
    np.testing.assert_array_equal(found.flagged, np.flatnonzero((np.exp(own) >= 0.5) | (np.exp(own) <= 0.01)))
    assert len(found.flagged) > 10
    placed = 0
    for place, rivals in zip(found.flagged, found.rivals, strict=True):
        allowed = [
            i for i in np.argsort(-truth[place], kind="stable") if 1 < i < len(prior.surfaces)
            and (way == "prompt_logprobs" or prior.surfaces[i] is not None or i == ids[place])
        ]  # fmt: skip
        if way == "echo" and prior.surfaces[ids[place]] is None:
            continue  # such a token is never edited
        assert rivals.tolist() == allowed[:6]
        placed += 1
    assert placed > 10


def test_without_a_bos_the_first_token_has_no_score(loaded):
    with loaded(bos=False) as prior:
        [found, empty, one] = prior.score([TEXT, "", "a"], Ask(above=0.0, k=4))
    assert prior.spec["bos"] is None
    assert np.isnan(found.logprobs).tolist() == [True] + [False] * (len(found.ids) - 1)
    assert (len(empty.ids), len(one.ids), len(one.flagged)) == (0, 1, 0)
    assert found.flagged[0] == 1


def test_questions_are_small_and_few_at_once(loaded):
    behaviour = Behaviour(delay=0.02)
    with loaded(behaviour, context=20, batch_tokens=60, requests=2) as prior:
        begun = len(behaviour.asked)
        prior.score([TEXT] * 12, Ask(above=0.9, k=8))
    sizes = [sum(map(len, body["prompt"])) for body in behaviour.asked[begun:]]
    assert max(sizes) <= 60
    assert max(len(ids) for body in behaviour.asked[begun:] for ids in body["prompt"]) == 20
    assert behaviour.most_at_once == 2
    assert {body["prompt_logprobs"] for body in behaviour.asked[begun:]} <= {10, 12, 408}


def test_nothing_flagged_asks_for_no_candidates(loaded):
    behaviour = Behaviour()
    with loaded(behaviour) as prior:
        begun = len(behaviour.asked)
        prior.score([TEXT], Ask(k=500))
    assert [body["prompt_logprobs"] for body in behaviour.asked[begun:]] == [0]


def test_special_tokens_among_the_best_make_room(loaded, tokenizer):
    size = tokenizer.get_vocab_size() + 8
    table = np.log(np.random.default_rng(1).dirichlet(np.ones(size), size).astype(np.float32))
    table[:, [0, 1, size - 1, size - 2, size - 3]] += 4  # two special ones, three that the tokenizer does not know
    table -= np.log(np.exp(table).sum(axis=1, keepdims=True))
    with loaded(scoring=lambda ids: table[np.asarray(ids)]) as prior:
        [found] = prior.score([TEXT], Ask(above=0.0, k=8))
    assert ((found.rivals > 1) & (found.rivals < size - 8)).all()


# --- refusals ---------------------------------------------------------------------------------------------------------


def rows_of(answer):
    return [choice["prompt_logprobs"] for choice in answer["choices"]]


def shifted(answer, _):
    for rows in rows_of(answer):
        rows[1:] = [*rows[2:], rows[1]]


def shorter(answer, _):
    for rows in rows_of(answer):
        rows.pop()


def other_ids(answer, _):
    for choice in answer["choices"]:
        choice["prompt_token_ids"] = [0, *choice["prompt_token_ids"]]


def first_scored(answer, _):
    for rows in rows_of(answer):
        rows[0] = rows[1]


def valued(value):
    def spoil(answer, _):
        for rows in rows_of(answer):
            next(iter(rows[3].values()))["logprob"] = value

    return spoil


def doubled(answer, _):
    for rows in rows_of(answer):
        for row in rows[1:]:
            for candidate in row.values():
                candidate["logprob"] = max(candidate["logprob"], -0.3)


def renamed(answer, _):
    for rows in rows_of(answer):
        for candidate in rows[2].values():
            candidate["decoded_token"] = " else"


def moved(which):
    """Log-probabilities that move by half a nat where `which` holds of the answer and its number."""

    def spoil(answer, number):
        for place, rows in enumerate(rows_of(answer)):
            if which(answer, number, place, rows):
                for row in rows[1:]:
                    for candidate in row.values():
                        candidate["logprob"] -= 0.5

    return spoil


def swapped(answer, _):
    answer["choices"].pop()


def said_by_others(answer, _):
    for rows in rows_of(answer):
        for row in rows[1:]:
            own = next(iter(row.values()))
            own["logprob"] = min(0.0, max(c["logprob"] for c in row.values()) + 0.01)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (shifted, "not those of the tokens that were sent"),
        (shorter, "tokens were sent, .* log-probabilities came back"),
        (other_ids, "read other tokens than were sent; does it add a BOS"),
        (first_scored, r"not those of the tokens that were sent \(at 0\)"),
        (valued(math.nan), "cannot be read"),
        (valued(None), "are no numbers"),
        (valued(0.7), "above 0"),
        (doubled, "add up to more than 1"),
        (renamed, "is '.*' here and ' else' there; name the model's own tokenizer"),
        (swapped, "1 texts were sent, 0 answers came back"),
        (moved(lambda answer, number, *_: number % 2), "a second request gives other log-probabilities: 0.5"),
        (moved(lambda answer, *_: len(answer["choices"]) > 1), "with other texts gives other"),
        (moved(lambda answer, number, place, rows: place == 2), "cut short gives other"),
    ],
)
def test_a_server_whose_answers_cannot_be_used(loaded, spoil, match):
    refused(loaded, Behaviour(spoil=spoil), match)


def test_an_own_score_that_does_not_fit_the_candidates(loaded):
    def spoil(answer, _):
        for choice in answer["choices"]:
            if "logprobs" in choice:
                choice["logprobs"]["token_logprobs"][2] = -1e-6

    refused(loaded, Behaviour(ways=("echo",), spoil=spoil), "does not fit those of the candidates")


def test_a_server_without_log_probabilities_of_a_prompt(loaded):
    refused(loaded, Behaviour(ways=()), "prompt_logprobs is ignored; echo is ignored.*vLLM does")
    trouble = [(422, {}, '{"detail": "prompt should be a string"}')] * 2
    refused(loaded, Behaviour(trouble=trouble), "prompt_logprobs is refused, 422: prompt should be a string")


def test_other_names_and_limits_of_the_server(loaded):
    refused(loaded, Behaviour(model="other"), "has no such model; it has other")
    refused(loaded, Behaviour(longest=None), "give --context")
    refused(loaded, Behaviour(), "at most 63 beside the one it writes", context=64)
    with loaded(Behaviour(longest=None), context=32) as prior:
        assert prior.spec["context"] == 32


@pytest.mark.parametrize("behaviour", [Behaviour(most=20), Behaviour(silent_most=20)])
def test_a_server_with_few_candidates_says_so(loaded, behaviour):
    with loaded(behaviour) as prior:
        assert prior.spec["candidates"] == 20
        assert (prior.score([TEXT], Ask(above=0.0, k=15))[0].rivals >= 0).all()
        with pytest.raises(ModelError, match=r"at most 20 candidates, not 64: .*--top-k 20.*--max-logprobs 66"):
            prior.score([TEXT], Ask(above=0.0, k=64))
        with pytest.raises(ModelError, match=r"20 best candidates hold 0\.\d+ .* not the 0\.999 .*--max-logprobs 258"):
            prior.score([TEXT], Ask(below=1.0, k=2, mass=0.999))


def test_a_tokenizer_is_needed_here(loaded, tokenizer, tmp_path):
    with (
        serving(table_of(410), tokenizer, Behaviour()) as url,
        pytest.raises(ModelError, match=r"edits need the model's tokenizer here .*--prior-tokenizer NAME_OR_PATH"),
    ):
        load_prior(f"openai:tiny@{url}", PriorOptions(prior_tokenizer=str(tmp_path)))


def test_vllm_is_asked_for_by_name_and_missing():
    try:
        import vllm  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match=r"recension\[vllm\]"):
            load_prior("vllm:anything")


# --- the way there ----------------------------------------------------------------------------------------------------


def endpoint_of(url, patience=QUICK, key=None):
    return Endpoint("openai:tiny", url, key, patience)


def test_a_busy_server_is_asked_again(loaded, tokenizer):
    busy = [(503, {}, "no"), (429, {"Retry-After": "0.3"}, "slow")]
    behaviour = Behaviour(trouble=busy)
    with serving(table_of(410), tokenizer, behaviour) as url:
        assert endpoint_of(url).post("/completions", {"prompt": [[0, 5]], "prompt_logprobs": 1}, 10**6).ok
    first, second, third = behaviour.times
    assert second - first < 0.3 <= third - second


def test_patience_ends(loaded, tokenizer):
    behaviour = Behaviour(trouble=[(500, {}, '{"error": {"message": "the engine\\nis dead"}}')] * 3)
    with serving(table_of(410), tokenizer, behaviour) as url:
        with pytest.raises(ModelError, match=r"in 3 attempts \(500: the engine is dead\); is the server up"):
            endpoint_of(url).post("/completions", {}, 100)
        behaviour.trouble = [(429, {"Retry-After": "3600"}, "later")]
        with pytest.raises(ModelError, match="asks to wait 3600 s"):
            endpoint_of(url).post("/completions", {}, 100)
        behaviour.trouble, behaviour.delay = [], 0.3
        with pytest.raises(ModelError, match="it took too long"):
            endpoint_of(url, Patience(attempts=2, first=0.01, timeout=0.1)).post("/completions", {}, 100)
        behaviour.delay = 0.0
        with pytest.raises(ModelError, match="larger than the 10 bytes"):
            endpoint_of(url).post("/completions", {"prompt": [[0, 5]], "prompt_logprobs": 1}, 10)
    begun = time.monotonic()
    with pytest.raises(ModelError, match=r"in 3 attempts .*refused"):
        endpoint_of(url).get("/models")
    assert time.monotonic() - begun < 2


def test_a_redirect_is_not_followed(tokenizer):
    behaviour = Behaviour(trouble=[(307, {"Location": "http://127.0.0.1:9/v1"}, "")])
    with serving(table_of(410), tokenizer, behaviour) as url, pytest.raises(ModelError, match=r"redirects \(307\)"):
        endpoint_of(url, key=KEY).post("/completions", {}, 100)


def test_the_key_is_sent_and_never_told(loaded, key, tokenizer):
    with loaded(Behaviour(key=key)) as prior:
        assert KEY not in canonical_json(prior.spec).decode()
        assert prior.score(["the mill"], Ask())[0].ids.size
    echoed = [(400, {}, f'{{"error": "bad request with {key}"}}')] * 2
    with pytest.raises(ModelError, match=r"bad request with \*\*\*") as caught, loaded(Behaviour(trouble=echoed)):
        pass
    assert KEY not in repr(caught.value)
    with pytest.raises(ModelError, match=r"refuses the key \(401\)") as caught, loaded(Behaviour(key="another")):
        pass
    assert KEY not in str(caught.value)
    os.environ[VARIABLE] = f"{KEY}\nX-Other: 1"
    refused(loaded, Behaviour(), f"{VARIABLE} holds no key")
    os.environ[VARIABLE] = ""
    refused(loaded, Behaviour(key=key), "asks for a key, and there is none")


@pytest.mark.parametrize("url", ["https://me:secret@host/v1", "https://host/v1?token=secret", "https://host/v1#secret"])
def test_a_url_with_a_secret_is_refused_and_not_repeated(url):
    with pytest.raises(ModelError, match="must hold no name, password or query") as caught:
        split_served(f"org/model@{url}")
    assert "secret" not in str(caught.value)


def test_names_taken_apart():
    assert split_served("org/m@main@http://host:8000") == ("org/m@main", "http://host:8000/v1")
    assert split_served("m@https://host/api/v2/completions/") == ("m", "https://host/api/v2")
    for wrong in ("model", "@http://host", "m@ftp://host", "m@http://", "m@http://host:port", "m@http://a b"):
        with pytest.raises(ModelError, match="openai:MODEL@URL"):
            split_served(wrong)


def test_an_edit_through_a_server_writes_no_key(folder, key, tokenizer, tmp_path, capfd):
    source = tmp_path / "in.jsonl"
    source.write_text("".join(f'{{"text": "{TEXT}", "id": "{i}"}}\n' for i in range(8)))
    with serving(table_of(tokenizer.get_vocab_size() + 8), tokenizer, Behaviour(key=key)) as url:
        model = PriorSettings(prior_tokenizer=str(folder), requests=2, api_key_variable=VARIABLE)
        spec = EditSpec(prior=f"openai:tiny@{url}", below=0.01, format="jsonl", model=model)
        report = edit(source, tmp_path / "out", spec)
        again = replace(spec, model=replace(model, requests=3))
        assert edit(source, tmp_path / "out", again) == report  # the same run
        with pytest.raises(UsageError, match=r"at most 408 candidates, so --top-k 1000 .*--max-logprobs 1002"):
            edit(source, tmp_path / "many", replace(spec, top_k=1000))
    assert report.documents == 8
    assert report.generations[0].changed > 0
    assert not (tmp_path / "many").exists()
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert url.encode() in written
    assert KEY.encode() not in written
    assert KEY not in "".join(capfd.readouterr())
