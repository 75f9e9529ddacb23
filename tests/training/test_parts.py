"""Shapes, schedules, token shards, batches and the fused loss."""

from __future__ import annotations

import copy
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch

from recension.errors import ModelError, UsageError
from recension.training import attention, head, network
from recension.training.batches import IGNORED, Packs, Windows, pack, window_count
from recension.training.order import Order
from recension.training.schedule import KINDS, Schedule
from recension.training.shapes import SHAPES, shape_of
from recension.training.tokenizer import tokenizing
from recension.training.tokens import open_tokens, token_batch, token_schema
from tests.models.tiny import FAMILIES

# What the papers say: millions of parameters, without embeddings for the MAGA table, with them for the others.
PAPER = {
    "134m": 134.2,
    "377m": 377.5,
    "1.7b": 1677.8,
    "7b": 6979,
    "13b": 12885,
    "7b-printed": 4563,
    "13b-printed": 9261,
}


@pytest.mark.parametrize("name", SHAPES)
def test_presets_have_the_parameters_they_say(name):
    shape = SHAPES[name]
    with torch.device("meta"):
        # Weights of no size: only their shapes count.
        model = network.causal_model(shape, shape.vocabulary, 0)
    assert sum(p.numel() for p in model.parameters()) == shape.parameters(shape.vocabulary)
    if name in PAPER:
        assert shape.body_parameters() / 1e6 == pytest.approx(PAPER[name], rel=1e-3)


def test_the_papers_other_models():
    assert SHAPES["gpt2-124m"].parameters(50_257) / 1e6 == pytest.approx(124.4, abs=0.1)
    assert SHAPES["olmo-237m"].parameters(50_304) / 1e6 == pytest.approx(237, abs=0.5)
    assert SHAPES["tiny"].parameters(4096) / 1e6 == pytest.approx(1.2, abs=0.1)


def test_a_preset_can_differ_from_itself():
    shape = shape_of("small, layers=2,hidden=64,heads=2, tied=false,rate=0.01")
    assert (shape.layers, shape.hidden, shape.heads, shape.kv, shape.tied, shape.rate) == (2, 64, 2, 2, False, 0.01)


@pytest.mark.parametrize(
    ("words", "said"),
    [("smal", "did you mean 'small'"), ("small,width=3", "changes nothing"), ("small,layers=x", "takes a number"),
     ("small,hidden=100", "even heads"), ("small,kv=4", "evenly"), ("small,layers=0", "1 or more"),
     ("gpt2-124m,kv=2", "as many")],
)  # fmt: skip
def test_presets_that_cannot_be(words, said):
    with pytest.raises(UsageError, match=said):
        shape_of(words)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "constant"])
@pytest.mark.parametrize("steps", [1, 7, 100])
def test_every_decay_ends_with_the_run(kind, steps):
    schedule = Schedule(kind, steps, 1.0, min(2, steps - 1), floor=0.1)
    rates = [schedule.rate(step) for step in range(steps)]
    assert schedule.rate(steps) == pytest.approx(0.1)  # the step behind the last
    assert 0.1 < rates[-1] <= 0.6  # and the last one still learns
    assert max(rates) <= 1.0
    assert all(a >= b - 1e-12 for a, b in pairwise(rates[2:]))


def test_the_shape_of_a_wsd_schedule():
    schedule = Schedule("wsd", 100, 2.0, 10, decay=0.2)
    assert schedule.rate(0) == pytest.approx(0.2)
    assert schedule.rate(9) == schedule.rate(79) == 2.0
    assert schedule.rate(79 + 7) == pytest.approx(2.0 * 14 / 21)
    assert schedule.rate(99) == pytest.approx(2.0 / 21)


@pytest.fixture
def shards(tmp_path):
    """Documents 0, 1 2, 3 4 5, ...: 120 tokens in two files and several batches."""
    numbers = np.arange(120, dtype=np.int32)
    documents = np.split(numbers, [n * (n + 1) // 2 for n in range(1, 15)])
    schema = token_schema(1000, answers=True)
    for name, part in (("0", documents[:9]), ("1", documents[9:])):
        with pa.ipc.new_file(str(tmp_path / f"{name}.arrow"), schema) as file:
            for group in (part[:4], part[4:]):
                file.write_batch(token_batch(schema, group, [np.arange(len(d)) % 2 for d in group]))
    return [tmp_path / "0.arrow", tmp_path / "1.arrow"]


def test_shards_are_one_endless_stream(shards):
    store = open_tokens(shards)
    assert store.tokens == 120
    rows = store.take(np.array([0, 37, 100, 119]), 30)
    np.testing.assert_array_equal(rows, (np.array([0, 37, 100, 119])[:, None] + np.arange(30)) % 120)


def test_documents_are_found_with_their_flags(shards):
    tokens, learn, lengths = open_tokens(shards, with_documents=True).documents(np.array([3, 0, 12]))
    np.testing.assert_array_equal(tokens, [6, 7, 8, 9, 0, *range(78, 91)])
    np.testing.assert_array_equal(lengths, [4, 1, 13])
    assert learn.tolist() == [0, 1, 0, 1, 0, *(i % 2 for i in range(13))]


def windows(store, batch=4, context=8, micro=3):
    order = Order(0, batch, (window_count(store, context),), (Fraction(1),))
    return Windows((store,), order, context, micro, lead=999)


def test_every_token_is_a_target_once_in_an_epoch(shards):
    feed = windows(open_tokens(shards), batch=3)
    found = [t for step in range(5) for rows in feed.rows(step, 0, 1) for t in rows.targets.ravel()]
    assert sorted(found) == list(range(120))


def test_a_target_follows_its_input(shards):
    for rows in windows(open_tokens(shards)).rows(0, 0, 1):
        assert (rows.ids[:, 0] == 999).all()
        np.testing.assert_array_equal(rows.ids[:, 1:], rows.targets[:, :-1])


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_devices_and_micro_batches_do_not_change_the_data(shards, ranks):
    store = open_tokens(shards)
    whole = np.concatenate([r.targets for r in windows(store, micro=4).rows(3, 0, 1)])
    parts = [r.targets for rank in range(ranks) for r in windows(store, micro=1).rows(3, rank, ranks)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_no_token_is_always_left_out(shards):
    store = open_tokens(shards)  # 120 tokens in windows of 7: 17 windows, one token over
    feed = windows(store, batch=17, context=7, micro=17)
    left = [set(range(120)) - set(feed.rows(epoch, 0, 1)[0].targets.ravel().tolist()) for epoch in range(4)]
    assert all(len(one) == 1 for one in left)
    assert not set.intersection(*left)


def test_packs_hold_every_sample_once_and_fit():
    lengths = np.array([5, 3, 8, 1, 1, 7, 2, 4])
    rows = pack(lengths, 8, packed=True)
    assert sorted(i for row in rows for i in row) == list(range(8))
    assert max(lengths[row].sum() for row in rows) <= 8
    assert len(rows) == 4  # 31 tokens in rows of 8: no better is possible
    assert [list(row) for row in pack(lengths, 8, packed=False)] == [[i] for i in range(8)]


def test_packed_samples_begin_anew(shards):
    store = open_tokens(shards, with_documents=True)
    packs = [np.array([2, 3]), np.array([1])]
    feed = Packs(store, Order(0, 2, (2,), (Fraction(1),)), packs, 2, lead=999)
    [rows] = feed.rows(0, 0, 1)
    row = next(i for i in range(2) if rows.segments[i].max() == 1)
    assert rows.ids[row].tolist() == [999, 3, 4, 999, 6, 7, 8]
    assert rows.targets[row].tolist() == [IGNORED, 4, IGNORED, IGNORED, 7, IGNORED, 9]
    assert rows.positions[row].tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert rows.segments[row].tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert rows.segments[1 - row].tolist() == [0, 0, -1, -1, -1, -1, -1]
    assert feed.learnt(0) == int((rows.targets >= 0).sum())
    assert feed.read(0) == 9


@pytest.mark.parametrize("bias", [False, True])
def test_the_fused_loss_is_the_loss(bias):
    torch.manual_seed(0)
    rows, aims = torch.randn(300, 16, requires_grad=True), torch.randint(0, 40_000, (300,))
    aims[::7] = IGNORED
    layer = torch.nn.Linear(16, 40_000, bias=bias)
    assert head.chunk_rows(40_000, False) < 300  # several chunks
    last = head.Head(layer.weight, layer.bias, head.loss_and_gradient)
    loss = head.fused_loss(rows, last, aims, 0.5) * 3
    loss.backward()
    parts = [rows, *layer.parameters()]
    ours = [p.grad.clone() for p in parts]
    for part in parts:
        part.grad = None
    whole = torch.nn.functional.cross_entropy(layer(rows), aims, ignore_index=IGNORED, reduction="sum") * 1.5
    whole.backward()
    torch.testing.assert_close(loss, whole)
    for one, part in zip(ours, parts, strict=True):
        torch.testing.assert_close(one, part.grad, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    from transformers import AutoModelForCausalLM

    made = {}
    for name in FAMILIES:
        folder = FAMILIES[name](tmp_path_factory.mktemp(name))
        made[name] = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return made


@pytest.mark.parametrize("name", FAMILIES)
def test_the_loss_of_every_family_is_its_own(models, name):
    model = models[name]
    ids = torch.randint(0, model.config.vocab_size, (2, 17))
    batch = network.Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
    plain = network.head_is_plain(model)
    assert plain == (name not in ("gemma2", "cohere"))
    found = network.learner(model, plain)(batch, 1 / 32)
    torch.testing.assert_close(found, model(input_ids=ids, labels=ids).loss, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["llama-metaspace", "gpt2"])
def test_attention_in_blocks_is_attention(models, name):
    model = copy.deepcopy(models[name])
    ids = torch.randint(0, model.config.vocab_size, (2, 81))
    batch = network.Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
    losses, norms = [], []
    for blocks in (False, True):
        if blocks:
            attention.use(model)
            assert model.config._attn_implementation == attention.NAME
        learner = network.learner(model, True)
        learner.zero_grad()
        loss = learner(batch, 1 / 160)
        loss.backward()
        losses.append(loss.detach())
        norms.append([p.grad.norm() for p in learner.parameters()])
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(norms[1], norms[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("heads", [(4, 4), (4, 2)])
def test_blocks_give_what_one_kernel_gives(heads):
    size = {"query": heads[0], "key": heads[1], "value": heads[1]}
    parts = {name: torch.randn(2, count, 300, 16, requires_grad=True) for name, count in size.items()}
    found, _ = attention.blocks(None, **parts, attention_mask=None, scaling=0.2)
    truth = torch.nn.functional.scaled_dot_product_attention(
        *parts.values(), is_causal=True, scale=0.2, enable_gqa=True
    )
    torch.testing.assert_close(found, truth.transpose(1, 2), rtol=1e-4, atol=1e-5)
    for tensor in parts.values():
        first, second = (torch.autograd.grad(o.square().sum(), tensor, retain_graph=True)[0] for o in (found, truth))
        torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-4)


def test_models_with_another_attention_keep_it(models):
    before = models["gemma2"].config._attn_implementation
    attention.use(models["gemma2"])
    assert models["gemma2"].config._attn_implementation == before


@pytest.mark.parametrize("name", ["llama-metaspace", "gpt2", "qwen", "neox"])
def test_packed_samples_do_not_see_each_other(models, name):
    model = models[name]
    network.check_apart(model)
    size = model.config.vocab_size
    first, second = torch.randint(0, size, (1, 9)), torch.randint(0, size, (1, 6))
    alone = [network.learner(model, True)(network.Batch(s[:, :-1], s[:, 1:]), 1.0) for s in (first, second)]
    packed = network.Batch(
        torch.cat([first[:, :-1], second[:, :-1]], 1),
        torch.cat([first[:, 1:], second[:, 1:]], 1),
        torch.cat([torch.arange(8), torch.arange(5)])[None],
        torch.cat([torch.zeros(8), torch.ones(5)]).long()[None],
    )
    torch.testing.assert_close(network.learner(model, True)(packed, 1.0), sum(alone), rtol=1e-4, atol=1e-3)


def test_a_model_that_looks_ahead_is_refused(models):
    for name in ("llama-metaspace", "mamba", "bloom"):
        network.check_causal(models[name])
    from transformers import RobertaConfig, RobertaForCausalLM

    config = RobertaConfig(
        vocab_size=99, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    with pytest.raises(ModelError, match="looks ahead"):
        network.check_causal(RobertaForCausalLM(config).eval())


def test_parts_of_a_text_get_no_spaces_of_their_own(tmp_path):
    """A Llama 2 tokenizer puts a space before whatever it reads."""
    from transformers import AutoTokenizer

    for name in ("llama-metaspace", "gpt2"):
        words = tokenizing(AutoTokenizer.from_pretrained(FAMILIES[name](tmp_path / name)))
        parts = words.encode_parts(["the mill\n", "the river", " ran\n"], marks=False)
        assert words.loaded.decode(np.concatenate(parts)) == "the mill\nthe river ran\n"


def test_a_model_that_cannot_keep_samples_apart_says_so(models):
    with pytest.raises(ModelError, match="--no-pack"):
        network.check_apart(models["mamba"])


def test_faster_norms_change_nothing():
    shape = replace(shape_of("tiny"), hidden=32, heads=2, kv=2, ffn=64, layers=2, context=16)
    model = network.build(shape, 64, 0, seed=1)
    ids = torch.arange(16)[None]
    before, names = model(input_ids=ids).logits, set(model.state_dict())
    network.faster_norms(model)
    torch.testing.assert_close(model(input_ids=ids).logits, before, rtol=1e-5, atol=1e-6)
    assert set(model.state_dict()) == names
