"""`evaluate ppl`: the same figures as a slow reference and as lm-eval where the rules coincide, and nothing lost."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recension
from recension import EvaluateEffort, PerplexitySpec, RowSettings, evaluate_ppl
from recension.errors import InputError, ManifestMismatchError, RecensionError, UsageError
from recension.recipes.evaluate.domains import domains_of, shipped, stem
from tests.models.tiny import LINES, gpt2, qwen
from tests.recipes.conftest import make_rows, read, tree, write_jsonl

LONG = [" ".join(LINES) * 2, LINES[3] * 40, "Überall naïve Cafés — 東京, ½ €5 “quoted” 😀. " * 12]
SHORT = [*LINES[:6], "x", "Überall naïve Cafés — 東京."]
ONE = EvaluateEffort(workers=1)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """`a` has a BOS and reads 96 tokens; `b` has the same tokenizer and other weights; `headless` has no BOS."""
    folder = tmp_path_factory.mktemp("models")
    found = {"a": gpt2(folder / "a"), "b": gpt2(folder / "b"), "headless": qwen(folder / "headless")}
    from transformers import AutoModelForCausalLM

    other = AutoModelForCausalLM.from_pretrained(found["b"])
    for weight in other.get_output_embeddings().parameters():
        weight.data *= 0.7
    other.save_pretrained(found["b"])
    return found


@pytest.fixture
def long_texts(tmp_path) -> Path:
    return write_jsonl(tmp_path / "long.jsonl", [{"id": str(i), "text": text} for i, text in enumerate(LONG)])


@pytest.fixture
def short_texts(tmp_path) -> Path:
    return write_jsonl(tmp_path / "short.jsonl", [{"id": str(i), "text": text} for i, text in enumerate(SHORT)])


def losses(folder: Path, text: str, bos: bool = True) -> np.ndarray:
    """The loss of every token, NaN where nothing stands before it: plain transformers, one window at a time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    lead = [tokenizer.bos_token_id] if bos and tokenizer.bos_token_id is not None else []
    context = model.config.max_position_embeddings
    found = np.full(len(ids), np.nan)
    for start in range(0, len(ids), context - context // 4):
        window = lead + ids[start : start + context - len(lead)]
        with torch.no_grad():
            table = torch.log_softmax(model(torch.tensor([window])).logits[0].double(), dim=-1)
        for at in range(1, len(window)):
            token = start + at - len(lead)
            if math.isnan(found[token]):
                found[token] = -table[at - 1, window[at]].item()
        if start + context - len(lead) >= len(ids):
            break
    return found


def test_long_documents_agree_with_the_slow_reference(models, long_texts, tmp_path):
    report = evaluate_ppl(long_texts, tmp_path / "out", PerplexitySpec(prior=f"hf:{models['a']}"), ONE)
    reference = [losses(models["a"], text) for text in LONG]
    assert min(map(len, reference)) > 2 * 96
    nats, tokens = sum(map(np.sum, reference)), sum(map(len, reference))
    found = report.domains["long"]
    assert found.scored == found.tokens == (tokens,)
    assert found.bytes == found.scored_bytes[0] == sum(len(text.encode()) for text in LONG)
    assert found.figures.model.bits_per_byte.value == pytest.approx(nats / math.log(2) / found.bytes, rel=1e-4)
    assert found.figures.model.perplexity.value == pytest.approx(math.exp(nats / tokens), rel=1e-4)
    for row, one in zip(read(tmp_path / "out", "scores"), reference, strict=True):
        assert row["nats"] == pytest.approx(one.sum(), rel=1e-4)


def test_without_a_bos_the_first_token_and_its_bytes_are_left_out(models, long_texts, tmp_path):
    report = evaluate_ppl(long_texts, tmp_path / "out", PerplexitySpec(prior=f"hf:{models['headless']}"), ONE)
    for row, text in zip(read(tmp_path / "out", "scores"), LONG, strict=True):
        one = losses(models["headless"], text)
        assert math.isnan(one[0]) and row["scored"] == row["tokens"] - 1 == len(one) - 1
        assert row["nats"] == pytest.approx(np.nansum(one), rel=1e-4)
        assert 0 < row["bytes"] - row["scored_bytes"] <= 12
    assert any("in no figure" in note for note in report.notes)


def test_short_documents_agree_with_lm_eval_and_longer_ones_need_not(models, short_texts, long_texts, tmp_path):
    """lm-eval cuts a text into windows that share one token; ours share a quarter of the context. One window is the same."""
    pytest.importorskip("lm_eval")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    theirs = HFLM(pretrained=str(models["a"]), device="cpu", batch_size=4)

    def rolling(texts: list[str]) -> list[float]:
        asked = [Instance("loglikelihood_rolling", {}, (text,), i) for i, text in enumerate(texts)]
        return theirs.loglikelihood_rolling(asked, disable_tqdm=True)

    spec = PerplexitySpec(prior=f"hf:{models['a']}")
    evaluate_ppl([short_texts, long_texts], tmp_path / "out", spec, ONE)
    rows = read(tmp_path / "out", "scores")
    short = [row["nats"] for row in rows if row["domain"] == "short"]
    np.testing.assert_allclose(short, [-x for x in rolling(SHORT)], rtol=1e-4)
    long = [row["nats"] for row in rows if row["domain"] == "long"]
    apart = np.array([-x for x in rolling(LONG)]) - long
    assert (np.abs(apart) > 1e-2 * np.array(long)).any()


def test_paper_mode_is_the_mean_of_batch_losses_over_the_first_tokens(models, tmp_path):
    texts = [*SHORT[:5], LINES[0] * 110]
    source = write_jsonl(tmp_path / "mixed.jsonl", [{"text": text} for text in texts])
    spec = PerplexitySpec(prior=f"hf:{models['a']}", mode="paper", paper_batch=4)
    report = evaluate_ppl(source, tmp_path / "out", spec, ONE)
    one = [losses(models["a"], text, bos=False)[1:1024] for text in texts]
    batches = [np.concatenate(one[start : start + 4]).mean() for start in (0, 4)]
    found = report.domains["mixed"]
    assert found.figures.model.perplexity.value == pytest.approx(math.exp(np.mean(batches)), rel=1e-4)
    assert found.scored[0] == sum(map(len, one)) and max(map(len, one)) == 1023
    whole = np.concatenate(one).mean()
    assert abs(math.exp(whole) - found.figures.model.perplexity.value) > 0.1


def test_paper_mode_reads_little_more_than_the_first_tokens(models, tmp_path):
    """And what it reads less changes nothing; a text with few tokens for its length is read whole."""
    text = LINES[0] * 3000
    source = write_jsonl(tmp_path / "long.jsonl", [{"text": text}, {"text": "whether " * 1500}])
    evaluate_ppl(source, tmp_path / "out", PerplexitySpec(prior="fake:plain", mode="paper"), ONE)
    first, _ = read(tmp_path / "out", "scores")
    whole = recension.load_prior("fake:plain").score([text], recension.Ask())[0]
    assert first["scored"] == 1023 and first["tokens"] < len(whole.ids) / 5
    assert first["nats"] == pytest.approx(-whole.logprobs[1:1024].sum(), rel=1e-5)
    evaluate_ppl(source, tmp_path / "hf", PerplexitySpec(prior=f"hf:{models['a']}", mode="paper"), ONE)
    _, second = read(tmp_path / "hf", "scores")
    assert second["tokens"] >= 1500  # eight characters a token: the first 8,192 of them hold too few


def test_two_models_give_the_difference_of_their_figures(models, short_texts, long_texts, tmp_path):
    spec = PerplexitySpec(prior=f"hf:{models['a']}", against=f"hf:{models['b']}")
    report = evaluate_ppl([short_texts, long_texts], tmp_path / "pair", spec, ONE)
    for name, source in (("short", short_texts), ("long", long_texts)):
        scope = report.domains[name].figures
        for model, found in (("a", scope.model), ("b", scope.against)):
            alone = evaluate_ppl(source, tmp_path / f"{name}{model}", PerplexitySpec(prior=f"hf:{models[model]}"), ONE)
            assert found == alone.domains[name].figures.model
        apart = scope.model.bits_per_byte.value - scope.against.bits_per_byte.value
        assert scope.difference.value == pytest.approx(apart)
        assert scope.difference.low <= scope.difference.value <= scope.difference.high
        assert scope.difference_perplexity is not None
    mean = sum(domain.figures.difference.value for domain in report.domains.values()) / 2
    assert report.macro.difference.value == pytest.approx(mean)
    raw = json.loads((tmp_path / "pair" / "report.json").read_bytes())
    assert raw == json.loads(json.dumps(report.to_json()))
    assert raw["domains"]["long"]["bits_per_byte"]["value"] == scope.model.bits_per_byte.value
    assert set(raw["macro"]["difference"]["bits_per_byte"]) == {"value", "low", "high"}


def test_perplexities_of_other_tokens_are_not_compared(models, short_texts, tmp_path):
    spec = PerplexitySpec(prior=f"hf:{models['a']}", against=f"hf:{models['headless']}")
    report = evaluate_ppl(short_texts, tmp_path / "out", spec, ONE)
    assert report.macro.difference_perplexity is None and report.macro.difference is not None
    assert any("bits per byte can" in note for note in report.notes)
    assert any("Fewer than 20 documents" in note for note in report.notes)


def test_a_run_folder_of_a_training_run_names_its_model(models, short_texts, tmp_path):
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "model").symlink_to(models["a"])
    report = evaluate_ppl(short_texts, tmp_path / "out", PerplexitySpec(prior=f"hf:{tmp_path / 'trained'}"), ONE)
    assert report.domains["short"].documents == len(SHORT)


# --- runs -----------------------------------------------------------------------------------------------------------

FAKE = PerplexitySpec(prior="fake:plain", against="fake:sure")


def test_nothing_is_lost_and_a_second_call_repeats_nothing(corpus, tmp_path):
    out = tmp_path / "out"
    first = evaluate_ppl([corpus / "a.jsonl", corpus / "b.jsonl"], out, FAKE, ONE)
    proof = recension.verify(out)
    assert proof.sound, proof.problems
    assert (proof.rows, proof.written + proof.dropped) == (120, 120)
    assert sum(domain.documents for domain in first.domains.values()) == proof.written == len(read(out, "scores"))
    assert sum(first.dropped.values()) == proof.dropped == 3
    assert "data" not in {path.name for path in out.iterdir()}
    before = {path: path.stat().st_mtime_ns for path in (out / "scores").iterdir()}
    assert evaluate_ppl([corpus / "a.jsonl", corpus / "b.jsonl"], out, FAKE, ONE) == first
    assert {path: path.stat().st_mtime_ns for path in (out / "scores").iterdir()} == before


def test_a_stopped_run_goes_on_and_ends_the_same(tmp_path):
    sources = [write_jsonl(tmp_path / f"{name}.jsonl", make_rows(250, seed)) for seed, name in enumerate("abc")]
    evaluate_ppl(sources, tmp_path / "whole", FAKE, ONE)
    evaluate_ppl(sources, tmp_path / "out", FAKE, ONE)
    shards = sorted((tmp_path / "out" / "receipts").glob("0*.json"))
    assert len(shards) > 4
    for lost in (shards[1], shards[-1], tmp_path / "out" / "receipts" / "seal.json", tmp_path / "out" / "report.json"):
        lost.unlink()
    evaluate_ppl(sources, tmp_path / "out", FAKE, EvaluateEffort(workers=2))
    assert tree(tmp_path / "out", ("scores", "receipts")) == tree(tmp_path / "whole", ("scores", "receipts"))
    assert (tmp_path / "out" / "report.json").read_bytes() == (tmp_path / "whole" / "report.json").read_bytes()


def test_another_setting_is_another_run_and_a_limit_counts_in_each_domain(corpus, tmp_path):
    sources = [corpus / "a.jsonl", corpus / "b.jsonl"]
    report = evaluate_ppl(sources, tmp_path / "out", PerplexitySpec(prior="fake:plain", limit=5), ONE)
    assert [domain.documents for domain in report.domains.values()] == [5, 5]
    with pytest.raises(ManifestMismatchError, match="limit was 5, now 6"):
        evaluate_ppl(sources, tmp_path / "out", PerplexitySpec(prior="fake:plain", limit=6), ONE)


def test_only_answers_count_where_that_is_asked(tmp_path):
    turns = [{"role": "user", "content": "Why? " * 9}, {"role": "assistant", "content": "Because it is so."}]
    source = write_jsonl(tmp_path / "chat.jsonl", [{"messages": turns}] * 3)
    whole = evaluate_ppl(source, tmp_path / "whole", PerplexitySpec(prior="fake:plain"), ONE)
    answers = evaluate_ppl(source, tmp_path / "some", PerplexitySpec(prior="fake:plain", answers_only=True), ONE)
    assert answers.domains["chat"].bytes == 3 * len("Because it is so.")
    assert answers.domains["chat"].scored_bytes[0] <= answers.domains["chat"].bytes
    assert 0 < answers.domains["chat"].scored[0] < whole.domains["chat"].scored[0]
    assert answers.domains["chat"].tokens == whole.domains["chat"].tokens


# --- domains ----------------------------------------------------------------------------------------------------------


def test_rows_belong_to_the_domain_that_a_column_names(tmp_path):
    rows = [{"text": "The sea.", "meta": {"set": name}} for name in ("Pile-CC", "ArXiv", "ArXiv")]
    write_jsonl(tmp_path / "x.jsonl", [*rows, {"text": "no set", "meta": {}}])
    table = pa.table({"text": ["The sun."] * 2, "meta": [{"set": "ArXiv"}, {"set": "USPTO"}]})
    pq.write_table(table, tmp_path / "y.parquet")
    spec = PerplexitySpec(prior="fake:plain", domain_key="meta.set")
    report = evaluate_ppl([tmp_path / "x.jsonl", tmp_path / "y.parquet"], tmp_path / "out", spec, ONE)
    assert {name: d.documents for name, d in report.domains.items()} == {"ArXiv": 3, "Pile-CC": 1, "USPTO": 1}
    assert report.dropped == {"no-domain": 1}
    wrong = PerplexitySpec(prior="fake:plain", domain_key="source")
    with pytest.raises(UsageError, match="has the column 'source': the columns are text, meta"):
        evaluate_ppl([tmp_path / "x.jsonl"], tmp_path / "other", wrong, ONE)


def test_a_file_names_domains(tmp_path):
    (tmp_path / "data").mkdir()
    write_jsonl(tmp_path / "data" / "a.jsonl", [{"body": "One."}, {"body": "Two."}])
    write_jsonl(tmp_path / "data" / "b.jsonl", [{"text": "Three."}])
    for name, text in {
        "d.yaml": "first: {path: data/a.jsonl, text_key: body, limit: 1}\nsecond: data/b.jsonl\n",
        "d.toml": 'second = "data/b.jsonl"\n[first]\npath = ["data/a.jsonl"]\ntext_key = "body"\nlimit = 1\n',
    }.items():
        (tmp_path / name).write_text(text)
        spec = PerplexitySpec(prior="fake:plain", domains=str(tmp_path / name))
        report = evaluate_ppl([], tmp_path / f"out-{name}", spec, ONE)
        assert {name: d.documents for name, d in report.domains.items()} == {"first": 1, "second": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "a: {path: x.jsonl, weight: 2}",
            "a has the unknown key 'weight'; there are path, text_key, limit, domain_key",
        ),
        ("a: {limit: 3}", "a needs a path"),
        ("a: {path: x, limit: none}", "limit is a number of rows"),
        ("a: x\na: y", "'a' stands there twice"),
        ("- a", "names no domain"),
        ("a: [", "cannot be parsed"),
    ],
)
def test_a_file_of_domains_is_read_strictly(tmp_path, text, said):
    (tmp_path / "d.yaml").write_text(text)
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        domains_of([], str(tmp_path / "d.yaml"), None)


def test_the_ready_files_of_domains_can_be_read():
    assert shipped() == ("paloma", "pile")
    assert len(domains_of([], "paloma", None)) == 16
    [pile] = domains_of([], "pile", None)
    assert pile.domain_key == "meta.pile_set_name"
    with pytest.raises(UsageError, match="or one of paloma, pile"):
        domains_of([], "palomar", None)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("data/news.jsonl.gz", "news"), ("data/news/", "news"), ("data/news/*.jsonl", "news"), ("en-*.parquet", "en"),
        ("hf://datasets/allenai/paloma/ptb/val/*.jsonl.gz", "val"), ("v1.5.jsonl", "v1.5"),
    ],
)  # fmt: skip
def test_a_domain_is_called_after_its_file(given, name):
    assert stem(given) == name


def test_a_domain_may_be_given_a_name_and_no_name_twice(tmp_path):
    assert [d.name for d in domains_of(["a/x.jsonl", "web=b/x.jsonl"], None, None)] == ["x", "web"]
    with pytest.raises(UsageError, match="two domains are called 'x'"):
        domains_of(["a/x.jsonl", "b/x.jsonl.gz"], None, None)
    odd = write_jsonl(tmp_path / "a=b.jsonl", make_rows(2))
    assert domains_of([str(odd)], None, None)[0].name == "a=b"


def test_what_cannot_be_measured_is_said(tmp_path):
    source = tmp_path / "x.jsonl.gz"
    source.write_bytes(gzip.compress(b'{"body": "a text"}\n'))
    with pytest.raises(InputError, match="the columns are body: is --text-key right"):
        evaluate_ppl(source, tmp_path / "out", PerplexitySpec(prior="fake:plain"), ONE)
    with pytest.raises(UsageError, match="name the model"):
        evaluate_ppl(source, tmp_path / "out2", PerplexitySpec(), ONE)
    spec = PerplexitySpec(prior="fake:plain", rows=RowSettings(text_key="body"))
    assert evaluate_ppl(source, tmp_path / "out3", spec, ONE).domains["x"].documents == 1
    with pytest.raises(RecensionError, match="bootstrap"):
        PerplexitySpec(prior="fake:plain", bootstrap=3)
