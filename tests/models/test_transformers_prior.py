from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny import CORPUS, FAMILIES, LINES

from recension.errors import ModelError
from recension.models.load import PriorOptions, load_prior
from recension.ports import Ask, Prior, TokenScores

LONG = " ".join(LINES) * 2
TEXTS = [
    LINES[0],
    "x",
    "",
    *CORPUS[-2:],
    "He wrote </s> and <|endoftext|> into the text.",
    LINES[3] + LINES[4] + LINES[5],
]
Loader = Callable[..., Prior]


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in made:
            made[family] = FAMILIES[family](tmp_path_factory.mktemp(family))
        return made[family]

    return folder


@pytest.fixture(scope="session")
def load(folders) -> Loader:
    return lambda family, **options: load_prior(f"hf:{folders(family)}", PriorOptions(**options))


def plainly(folder: Path, texts: list[str]) -> list[np.ndarray]:
    """Log-probabilities (T, V) of every token, from the whole model, one text at a time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    backend = tokenizer.backend_tokenizer
    backend.encode_special_tokens = True
    found = []
    for text in texts:
        ids = backend.encode(text, add_special_tokens=False).ids
        lead = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([lead + ids]) if lead + ids else torch.zeros(1, 1).long()).logits[0]
        table = torch.log_softmax(logits.double(), dim=-1).numpy()
        found.append((np.array(ids, dtype=np.int64), table[: len(ids)] if lead else table[: max(len(ids) - 1, 0)]))
    return found


def close(left: TokenScores, right: TokenScores, within: float = 1e-4) -> None:
    np.testing.assert_array_equal(left.ids, right.ids)
    np.testing.assert_array_equal(left.spans, right.spans)
    np.testing.assert_allclose(left.logprobs, right.logprobs, atol=within)


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_the_whole_model(family, folders, load):
    prior = load(family)
    k = 6
    banned = [i for i, surface in enumerate(prior.surfaces) if surface is None and i < 3]
    for found, (ids, table) in zip(
        prior.score(TEXTS, Ask(above=0.0, k=k)), plainly(folders(family), TEXTS), strict=True
    ):
        np.testing.assert_array_equal(found.ids, ids)
        late = len(ids) - len(table)
        assert np.isnan(found.logprobs[:late]).all()
        np.testing.assert_allclose(found.logprobs[late:], table[np.arange(len(table)), ids[late:]], atol=1e-4)
        np.testing.assert_array_equal(found.flagged, np.arange(late, len(ids)))
        allowed = table.copy()
        allowed[:, banned] = -np.inf
        allowed[:, len(prior.surfaces) :] = -np.inf
        best = -np.sort(-allowed, axis=1)[:, :k]
        np.testing.assert_allclose(found.rival_logprobs, best, atol=1e-4)
        np.testing.assert_allclose(
            np.take_along_axis(table, found.rivals.astype(np.int64), axis=1), found.rival_logprobs, atol=1e-4
        )
        np.testing.assert_allclose(found.rival_mass, np.exp(best).sum(axis=1), atol=1e-4)


def test_every_family_is_read_in_the_best_layout(load):
    layouts = {family: load(family).spec["layout"] for family in FAMILIES}
    alone = {"bloom", "mamba"}
    expected = {family: "equal-lengths" if family in alone else "packed" for family in FAMILIES}
    assert layouts == expected | {"llama-bytes": "padded"}


@pytest.mark.parametrize("family", ["llama-metaspace", "gpt2", "qwen", "gemma2", "bloom", "mamba"])
def test_packed_is_the_same_as_one_by_one(family, load):
    packed, alone = load(family, batch_tokens=400), load(family, batch_tokens=1)
    texts = [*TEXTS, LONG, *LINES[:12], LINES[0]]
    for left, right in zip(packed.score(texts, Ask(above=0.5)), alone.score(texts, Ask(above=0.5)), strict=True):
        close(left, right)


@pytest.mark.parametrize("family", ["llama-metaspace", "qwen", "gpt2"])
def test_no_document_sees_another(family, load):
    prior = load(family, batch_tokens=4096)
    [alone] = prior.score([LINES[0]], Ask())
    for company in (["Bah! 123 ?? "] * 3, [LINES[0]] * 5, [LONG]):
        close(prior.score([*company, LINES[0], *company], Ask())[len(company)], alone)


def test_the_same_call_gives_the_same_bits(load):
    prior, again = load("llama-metaspace"), load("llama-metaspace")
    ask = Ask(above=0.3, k=4, mass=0.9)
    for left, right in zip(prior.score([*TEXTS, LONG], ask), again.score([*TEXTS, LONG], ask), strict=True):
        for name in TokenScores.__slots__:
            np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


@pytest.mark.parametrize("family", ["llama-metaspace", "qwen"])
def test_a_long_text_is_scored_in_overlapping_windows(family, folders, load):
    context = 32
    prior = load(family, context=context)
    [found] = prior.score([LONG], Ask(above=0.9))
    assert len(found.ids) > 5 * context
    assert np.isnan(found.logprobs).sum() == (family == "qwen")
    assert (found.flagged[1:] > found.flagged[:-1]).all()
    # The third window, by hand: it begins one and a half contexts further on, and scores what the second could not reach.
    import torch
    from transformers import AutoModelForCausalLM

    lead = [] if family == "qwen" else [1]
    begin = 3 * context // 2
    ids = lead + found.ids[begin : begin + context - len(lead)].tolist()
    model = AutoModelForCausalLM.from_pretrained(folders(family)).eval()
    with torch.no_grad():
        table = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].double(), dim=-1).numpy()
    places = np.arange(begin + context // 4 - len(lead), begin + context - len(lead))
    expected = [table[place - begin + len(lead) - 1, found.ids[place]] for place in places]
    np.testing.assert_allclose(found.logprobs[places], expected, atol=1e-4)


def test_rivals_are_fetched_until_they_hold_the_mass(load):
    prior = load("llama-metaspace")
    [few] = prior.score([LONG], Ask(above=0.0, k=2))
    [more] = prior.score([LONG], Ask(above=0.0, k=2, mass=0.95, cap=40))
    counts = (more.rivals >= 0).sum(axis=1)
    held = np.exp(more.rival_logprobs).cumsum(axis=1)
    assert few.rivals.shape[1] == 2
    assert set(counts) > {2, 40}
    for row, count in enumerate(counts):
        assert count in (2, 40) or held[row, count - 2] < 0.95 <= held[row, count - 1] + 1e-6
        assert count == 40 or held[row, count - 1] >= 0.95 - 1e-6


def test_special_and_unknown_ids_are_never_rivals_but_keep_their_share(load):
    prior = load("llama-metaspace")
    [found] = prior.score([LINES[0]], Ask(above=0.0, k=10_000))
    assert set(found.rivals[0].tolist()) - {-1} == set(range(3, len(prior.surfaces)))
    assert found.rivals.shape[1] == 10_000
    assert found.rival_mass.min() < 0.9999


def test_half_precision_is_near(load):
    full, half = load("llama-metaspace"), load("llama-metaspace", dtype="bfloat16")
    assert half.spec["dtype"] == "bfloat16"
    [left], [right] = full.score([LONG], Ask(above=0.5)), half.score([LONG], Ask(above=0.5))
    assert np.abs(left.logprobs - right.logprobs).mean() < 0.3


# --- identity -------------------------------------------------------------------------------------------------------


def test_the_spec_is_the_same_wherever_the_folder_lies(tmp_path, folders, load):
    moved = tmp_path / "elsewhere"
    shutil.copytree(folders("qwen"), moved)
    spec = load_prior(f"hf:{moved}").spec
    assert spec == load("qwen").spec
    assert str(tmp_path) not in str(spec)
    assert set(spec["files"]) >= {"model.safetensors", "tokenizer.json", "config.json"}


def test_the_spec_changes_with_the_weights_and_with_the_plan(tmp_path, folders, load):
    from safetensors.numpy import load_file, save_file

    other = tmp_path / "other"
    shutil.copytree(folders("qwen"), other)
    weights = load_file(other / "model.safetensors")
    weights["model.norm.weight"][0] += 1
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    specs = [load("qwen").spec, load_prior(f"hf:{other}").spec, load("qwen", batch_tokens=64).spec]
    specs += [load("qwen", threads=2).spec, load("qwen", context=64).spec]
    load("qwen")
    assert all(left != right for i, left in enumerate(specs) for right in specs[:i])


def test_the_spec_names_what_made_the_scores(load):
    spec = load("gpt2", threads=1).spec
    assert spec["kind"] == "hf"
    assert spec["device"] in ("cpu", "cuda")
    assert {"torch", "transformers", "dtype", "batch_tokens", "threads", "context", "bos"} <= set(spec)
    assert spec["context"] == 96, "as far as its positions go"


# --- what cannot be used --------------------------------------------------------------------------------------------


def without(folder: Path, copy: Path, *names: str) -> Path:
    shutil.copytree(folder, copy)
    for name in names:
        (copy / name).unlink()
    return copy


def bert(folder: Path) -> Path:
    import torch
    from tiny import byte_level
    from transformers import BertConfig, BertLMHeadModel, PreTrainedTokenizerFast

    tokenizer = byte_level(["[PAD]"])
    size = tokenizer.get_vocab_size()
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(2)
    BertLMHeadModel(BertConfig(vocab_size=size, initializer_range=0.5, **shape)).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(folder)
    return folder


def test_a_model_that_looks_ahead_is_refused(tmp_path):
    with pytest.raises(ModelError, match="looks ahead"):
        load_prior(f"hf:{bert(tmp_path / 'bert')}")


def test_a_model_without_a_head_is_refused(tmp_path, folders):
    from transformers import AutoModel

    copy = without(folders("qwen"), tmp_path / "copy", "model.safetensors")
    AutoModel.from_pretrained(folders("qwen")).save_pretrained(copy)
    with pytest.raises(ModelError, match=r"lacks weights of Qwen2ForCausalLM \(lm_head"):
        load_prior(f"hf:{copy}")


def test_weights_that_are_no_numbers_are_refused(tmp_path, folders):
    from safetensors.numpy import load_file, save_file

    copy = without(folders("qwen"), tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    weights["model.norm.weight"][:] = np.nan
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="no numbers"):
        load_prior(f"hf:{copy}")


def test_a_folder_without_weights_or_tokenizer_is_refused(tmp_path, folders):
    with pytest.raises(ModelError, match="not found"):
        load_prior(f"hf:{without(folders('qwen'), tmp_path / 'a', 'model.safetensors')}")
    copy = without(folders("qwen"), tmp_path / "b", "tokenizer.json", "tokenizer_config.json")
    with pytest.raises(ModelError, match="tokenizer"):
        load_prior(f"hf:{copy}")
    with pytest.raises(ModelError, match="check that the folder exists"):
        load_prior(f"hf:{tmp_path / 'nowhere'}")


def test_settings_that_cannot_work_are_refused(load):
    with pytest.raises(ModelError, match="at most 128"):
        load("qwen", context=129)
    with pytest.raises(ModelError, match="too short"):
        load("qwen", context=2)
    with pytest.raises(ModelError, match="dtype 'float4' is unknown"):
        load("qwen", dtype="float4")
    with pytest.raises(ModelError, match="float8 needs an NVIDIA GPU"):
        load("qwen", dtype="float8")
    with pytest.raises(ModelError, match="device 'abacus'"):
        load("qwen", device="abacus")
    with pytest.raises(ModelError, match="at least one thread"):
        load("qwen", threads=0)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("hf:", "names no model"),
        ("meta-llama/Llama-3.1-8B", "names no model"),
        ("onnx:model", "unknown kind 'onnx'"),
    ],
)
def test_names_that_name_no_prior_are_refused_in_one_line(name, reason):
    with pytest.raises(ModelError, match=reason) as caught:
        load_prior(name)
    assert "\n" not in str(caught.value)


def test_a_sequence_classifier_rates_texts_as_transformers_does(tmp_path):
    """A regression with one output and a classifier of three, with random weights, on a tokenizer made for the test."""
    import torch
    import transformers
    from tiny import byte_level

    from recension.models.classifiers import load_classifier

    texts = ["the river ran past the mill", "a", "the old mill and the river " * 20]
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=byte_level(["<pad>"]), pad_token="<pad>")
    for labels in (1, 3):
        torch.manual_seed(labels)
        config = transformers.BertConfig(
            vocab_size=400,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            num_labels=labels,
        )
        model = transformers.BertForSequenceClassification(config).eval()
        place = tmp_path / str(labels)
        model.save_pretrained(place)
        fast.save_pretrained(place)
        found = load_classifier(f"hf:{place}", "cpu")
        rated = found.rate(texts)
        for text, rating in zip(texts, rated, strict=True):
            batch = fast([text], return_tensors="pt", truncation=True, max_length=512)
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[0].double()
            wanted = logits[0] if labels == 1 else (logits.softmax(0) * torch.arange(3)).sum()
            assert rating == pytest.approx(float(wanted), abs=1e-4)
        assert found.spec["kind"] == "sequence-classifier" and found.spec["files"]
    with pytest.raises(ModelError, match="not found"):
        load_classifier(f"hf:{tmp_path / 'nowhere'}", "cpu")
