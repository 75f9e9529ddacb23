"""Training end to end on tiny models: the same weights after a kill, on more devices; what is learnt and what is not."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import recension
from recension import ContinueSpec, LearningSettings, PretrainSpec, RowSettings, SftSpec, TrainEffort
from recension.errors import DivergedError, InputError, ManifestMismatchError, ModelError, UsageError
from recension.run.progress import Progress
from recension.training.tokens import open_tokens
from tests.models.tiny import FAMILIES
from tests.recipes.conftest import write_jsonl
from tests.warm import start

SAMPLES = Path(__file__).parent.parent.parent / "samples"
UNSEEN = SAMPLES / "unseen.jsonl"
PRESET = "tiny,layers=2,hidden=32,heads=2,ffn=64,context=32,vocabulary=400,batch=8"
QUICK = LearningSettings(steps=24, threads=1, valid=(str(UNSEEN),), valid_tokens=600, valid_every=10)
SPEC = PretrainSpec(preset=PRESET, learning=QUICK)
FLAGS = ["--preset", PRESET, "--steps", "24", "--threads", "1", "--valid", str(UNSEEN), "--valid-tokens", "600",
         "--valid-every", "10"]  # fmt: skip


def weights(out: Path) -> bytes:
    return (out / "model" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """The uninterrupted run that others are compared with."""
    out = tmp_path_factory.mktemp("train") / "model"
    recension.train_pretrain(UNSEEN, out, SPEC)
    return out


@pytest.fixture
def exchanges(tmp_path) -> Path:
    asked = [{"instruction": f"Say {n}.", "input": "", "output": f"I say {n} twice: {n}."} for n in "abcdefghijkl"]
    return write_jsonl(tmp_path / "exchanges.jsonl", asked)


def test_a_model_that_transformers_loads(model):
    assert recension.verify(model).sound
    loaded = AutoModelForCausalLM.from_pretrained(model / "model")
    words = AutoTokenizer.from_pretrained(model / "model")
    assert loaded.config.vocab_size == len(words) == 400
    text = "Naïve cafés — 東京, </s> and <|endoftext|> too."
    assert words.decode(words(text.replace("<|endoftext|>", "end"))["input_ids"]) == text.replace(
        "<|endoftext|>", "end"
    )
    curve = [json.loads(line) for line in (model / "curve.jsonl").read_text().splitlines()]
    assert len(curve) == 24
    assert curve[-1]["loss"] < curve[0]["loss"] - 0.2
    assert 0 < curve[-1]["rate"] < 0.3 * max(point["rate"] for point in curve)
    assert not (model / "checkpoints").exists()


def test_a_model_is_a_prior(model, tmp_path):
    rows = UNSEEN.read_text().splitlines()[:3]
    (tmp_path / "few.jsonl").write_text("\n".join(rows) + "\n")
    spec = recension.EditSpec(prior=f"hf:{model}", threshold=0.01, temperature=2.0)
    report = recension.edit(tmp_path / "few.jsonl", tmp_path / "edited", spec)
    assert report.documents == 3
    assert report.generations[0].changed > 0


def test_every_document_is_in_the_shards(model):
    words = AutoTokenizer.from_pretrained(model / "model")
    tokens = open_tokens(sorted((model / "tokens").glob("*.arrow"))).take(np.array([0]), 200)[0]
    first = json.loads(UNSEEN.read_text().splitlines()[0])["text"]
    assert words.decode(tokens).startswith(first[:150])


def test_a_finished_run_is_read_back(model):
    before = (model / "receipts" / "seal.json").stat().st_mtime_ns
    report = recension.train_pretrain(UNSEEN, model, SPEC)
    assert report is not None
    assert report.steps == report.done == 24
    assert (model / "receipts" / "seal.json").stat().st_mtime_ns == before


def test_stopped_and_gone_on_is_the_same_to_the_bit(model, tmp_path):
    out = tmp_path / "out"
    assert recension.train_pretrain(UNSEEN, out, SPEC, TrainEffort(stop_after=7)) is None
    assert recension.train_pretrain(UNSEEN, out, SPEC, TrainEffort(stop_after=9, keep_checkpoints=3)) is None
    # The newest checkpoint is damaged: the one before it serves.
    newest = sorted((out / "checkpoints").iterdir())[-1]
    with (newest / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    heard: list[str] = []

    class Ear:
        def update(self, progress: Progress) -> None:
            pass

        def note(self, line: str) -> None:
            heard.append(line)

    report = recension.train_pretrain(UNSEEN, out, SPEC, TrainEffort(keep_checkpoints=1), Ear())
    assert any("damaged" in line for line in heard)
    assert any("going on after step 7" in line for line in heard)
    assert weights(out) == weights(model)
    assert (out / "curve.jsonl").read_bytes() == (model / "curve.jsonl").read_bytes()
    assert report is not None
    assert [step for step, _, _ in report.valid] == [10, 20, 24]
    assert recension.verify(out).sound
    AutoModelForCausalLM.from_pretrained(out / "checkpoints" / "00000024")


@pytest.mark.parametrize("harm", ["delete", "damage"])
def test_token_shards_that_are_not_as_written_are_made_again(model, tmp_path, harm):
    out = tmp_path / "out"
    recension.train_pretrain(UNSEEN, out, SPEC, TrainEffort(stop_after=6))
    shard = out / "tokens" / "00000.arrow"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.unlink() if harm == "delete" else shard.write_bytes(content)
    recension.train_pretrain(UNSEEN, out, SPEC)
    assert weights(out) == weights(model)
    assert recension.verify(out).sound


def test_a_checkpoint_whose_curve_does_not_fit_its_step_is_passed_over(model, tmp_path):
    out = tmp_path / "out"
    recension.train_pretrain(UNSEEN, out, SPEC, TrainEffort(stop_after=6))
    [folder] = (out / "checkpoints").iterdir()
    state = json.loads((folder / "state.json").read_text())
    state["curve"]["loss"] = state["curve"]["loss"][:3]
    (folder / "state.json").write_text(json.dumps(state))
    recension.train_pretrain(UNSEEN, out, SPEC)
    assert weights(out) == weights(model)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle_ends_with_the_same_weights(model, tmp_path, number):
    out = tmp_path / "out"
    words = ["pretrain", str(UNSEEN), "-o", str(out), *FLAGS]
    with (tmp_path / "said").open("w") as file:
        process = start(["train", *words, "--checkpoint-steps", "2"], file)
    for _ in range(1200):
        if len(list((out / "checkpoints").glob("*"))) >= 2 or process.poll() is not None:
            break
        time.sleep(0.05)
    process.send_signal(number)
    status = process.wait()
    if number == signal.SIGINT:
        assert status == 130, (tmp_path / "said").read_text()
    assert not (out / "model" / "model.safetensors").exists(), "it was too fast to be killed"
    assert not recension.verify(out).problems
    recension.train_pretrain(UNSEEN, out, SPEC)
    assert weights(out) == weights(model)


def test_two_devices_learn_what_one_does(model, tmp_path):
    """FSDP over two processes on the CPU: the data is the same, and so is the loss, up to rounding."""
    out = tmp_path / "out"
    words = ["train", "pretrain", str(UNSEEN), "-o", str(out), *FLAGS, "--dtype", "float32"]
    for more in (["--stop-after", "9"], []):  # and it goes on where it stopped
        with socket.socket() as free:
            free.bind(("localhost", 0))
            # What torchrun tells its processes.
            launcher = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
        with (tmp_path / "said").open("w") as file:
            ranks = [launcher | {"RANK": str(i), "LOCAL_RANK": str(i), "LOCAL_WORLD_SIZE": "2"} for i in range(2)]
            both = [start([*words, *more], file, variables=rank) for rank in ranks]
        assert [process.wait() for process in both] == [0, 0], (tmp_path / "said").read_text()
    alone = tmp_path / "alone"
    recension.train_pretrain(UNSEEN, alone, replace(SPEC, learning=replace(QUICK, dtype="float32")))
    one, two = ([json.loads(line) for line in (o / "curve.jsonl").read_text().splitlines()] for o in (alone, out))
    np.testing.assert_allclose([p["loss"] for p in two], [p["loss"] for p in one], rtol=1e-4)
    np.testing.assert_allclose([p["norm"] for p in two], [p["norm"] for p in one], rtol=1e-3)
    assert recension.verify(out).sound
    assert json.loads((out / "report.json").read_text())["devices"] == 2


def test_micro_batches_do_not_change_the_loss(model, tmp_path):
    spec = replace(SPEC, learning=replace(QUICK, micro=3, dtype="float32"))
    recension.train_pretrain(UNSEEN, tmp_path / "out", spec)
    recension.train_pretrain(UNSEEN, tmp_path / "whole", replace(SPEC, learning=replace(QUICK, dtype="float32")))
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "curve.jsonl").read_text().splitlines()]
        for name in ("out", "whole")
    ]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_sources_may_overlap(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"text": "The river ran past the mill. " * 9}])
    write_jsonl(tmp_path / "b.jsonl", [{"text": "The miller looked at the river. " * 9}])
    mix = (f"{tmp_path}/*.jsonl=1", f"{tmp_path / 'a.jsonl'}=1")
    report = recension.train_pretrain([], tmp_path / "out", replace(SPEC, mix=mix))
    assert report is not None
    assert [source.documents for source in report.sources] == [2, 1]
    assert recension.verify(tmp_path / "out").sound


def test_one_step_learns(model, tmp_path):
    learning = replace(QUICK, steps=1, valid=())
    spec = ContinueSpec(model=f"hf:{model}", learning=learning)
    recension.train_continue(UNSEEN, tmp_path / "out", spec)
    assert weights(tmp_path / "out") != weights(model)


def test_a_run_killed_before_its_checkpoints_went_is_tidied(model, tmp_path):
    import shutil

    out = tmp_path / "out"
    recension.train_pretrain(UNSEEN, out, SPEC, TrainEffort(keep_checkpoints=1))
    shutil.copytree(out / "checkpoints" / "00000024", out / "checkpoints" / "00000020")
    recension.train_pretrain(UNSEEN, out, SPEC)
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["00000024"]
    assert recension.verify(out).sound


def test_models_without_separable_attention_train_unpacked(exchanges, tmp_path):
    """Bloom takes no mask for packed samples: it is told so, and what it is told works."""
    bloom = FAMILIES["bloom"](tmp_path / "bloom")
    spec = SftSpec(model=f"hf:{bloom}", learning=LearningSettings(steps=2, batch=2, context=64, threads=1))
    with pytest.raises(ModelError, match="--no-pack"):
        recension.train_sft(exchanges, tmp_path / "out", spec)
    assert recension.train_sft(exchanges, tmp_path / "out", replace(spec, pack=False), fresh=True) is not None


def test_a_mixture_is_exact_in_tokens(tmp_path):
    write_jsonl(tmp_path / "few.jsonl", [{"text": "The river ran past the mill. " * 12}])
    mix = (f"{UNSEEN}=0.75", f"{tmp_path / 'few.jsonl'}=0.25")
    report = recension.train_pretrain([], tmp_path / "out", replace(SPEC, mix=mix))
    assert report is not None
    first, second = report.sources
    assert (first.rows_read, second.rows_read) == (144, 48)
    assert (first.share, second.share) == (0.75, 0.25)
    assert second.epochs > 1 > first.epochs
    assert second.documents == 1
    assert recension.verify(tmp_path / "out").sound


def test_continuing_goes_on_from_a_model(model, tmp_path):
    spec = ContinueSpec(model=f"hf:{model}", learning=replace(QUICK, batch=4, learning_rate=0.003))
    report = recension.train_continue(UNSEEN, tmp_path / "out", spec)
    assert report is not None
    before = json.loads((model / "report.json").read_text())
    assert report.loss[0][1] == pytest.approx(before["loss"][-1][1], abs=0.3)
    assert report.valid[-1][1] < before["valid"][-1][1]


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """A model of another family, without a token that begins a text, and with a head that can be sure."""
    return FAMILIES["qwen"](tmp_path_factory.mktemp("qwen"))


@pytest.mark.parametrize("lora", [False, True])
def test_fine_tuning_learns_answers_and_nothing_else(other, exchanges, tmp_path, lora):
    learning = LearningSettings(steps=60, batch=2, context=64, learning_rate=0.03 if lora else 0.003, threads=1)
    out = tmp_path / "out"
    spec = SftSpec(model=f"hf:{other}", lora=lora, lora_rank=16, learning=learning)
    report = recension.train_sft(exchanges, out, spec, TrainEffort(diverge=0.0))
    assert report is not None
    assert recension.verify(out).sound
    assert (report.trained < report.parameters) == lora
    words = AutoTokenizer.from_pretrained(other)

    def losses(folder: Path) -> tuple[float, float]:
        """Of the answer, and of the question."""
        loaded = AutoModelForCausalLM.from_pretrained(folder)
        question, answer = words("Say c.\n\n")["input_ids"], words("I say c twice: c.")["input_ids"]
        ids = torch.tensor([[words.eos_token_id, *question, *answer, words.eos_token_id]])
        each = torch.nn.functional.cross_entropy(loaded(ids).logits[0, :-1], ids[0, 1:], reduction="none").detach()
        return float(each[len(question) :].mean()), float(each[: len(question)].mean())

    before, after = losses(other), losses(out / "model")
    assert after[0] < before[0] - 2.0
    assert after[0] < after[1] - 2.0  # the question is no target
    store = open_tokens([out / "tokens" / "00000.arrow"], with_documents=True)
    tokens, learn, _ = store.documents(np.arange(12))
    taught = "".join(f"I say {n} twice: {n}.<|endoftext|>" for n in "abcdefghijkl")
    assert words.decode(tokens[learn > 0]) == taught
    assert "Say" in words.decode(tokens[learn == 0])
    assert (out / "model" / "adapter" / "adapter_model.safetensors").exists() == lora
    if lora:
        from peft import PeftModel

        loaded = AutoModelForCausalLM.from_pretrained(other)
        adapted = PeftModel.from_pretrained(loaded, out / "model" / "adapter")
        merged = AutoModelForCausalLM.from_pretrained(out / "model")
        ids = torch.arange(20)[None]
        torch.testing.assert_close(adapted(ids).logits, merged(ids).logits, rtol=1e-4, atol=1e-4)


def test_a_fine_tuning_goes_on_to_the_bit(model, exchanges, tmp_path):
    learning = LearningSettings(steps=12, batch=2, context=32, threads=1)
    spec = SftSpec(model=f"hf:{model}", lora=True, lora_rank=4, learning=learning)
    recension.train_sft(exchanges, tmp_path / "one", spec)
    assert recension.train_sft(exchanges, tmp_path / "two", spec, TrainEffort(stop_after=5)) is None
    recension.train_sft(exchanges, tmp_path / "two", spec)
    assert weights(tmp_path / "one") == weights(tmp_path / "two")


def test_packing_changes_no_loss(model, tmp_path):
    """All samples in one step, packed or one in a row: the same mean over the same targets."""
    rows = [{"instruction": f"{n}?", "output": f"{n}{n}." * (1 + i % 3)} for i, n in enumerate("abcdefghijkl")]
    data = write_jsonl(tmp_path / "rows.jsonl", rows)

    def first(pack: bool, batch: int) -> recension.TrainReport:
        learning = LearningSettings(steps=1, batch=batch, context=32, threads=1, dtype="float32")
        spec = SftSpec(model=f"hf:{model}", pack=pack, learning=learning)
        report = recension.train_sft(data, tmp_path / f"{pack}{batch}", spec)
        assert report is not None
        return report

    packed = round(1 / first(True, 1).sources[0].epochs)
    assert packed <= 6
    one, each = first(True, packed), first(False, 12)
    assert one.sources[0].epochs == each.sources[0].epochs == 1.0
    assert one.loss[0][1] == pytest.approx(each.loss[0][1], rel=1e-5)
    assert one.norm[0][1] == pytest.approx(each.norm[0][1], rel=1e-4)


def test_what_cannot_be_learnt_from_is_set_aside(model, tmp_path):
    rows = [
        {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]},
        {"messages": [{"role": "user", "content": "Hello?"}]},
        {"instruction": "Talk.", "output": "word " * 80},
        {"text": "plain"},
    ]
    spec = SftSpec(
        model=f"hf:{model}",
        rows=RowSettings(shape="mixed"),
        learning=LearningSettings(steps=2, batch=1, context=32, threads=1),
    )
    report = recension.train_sft(write_jsonl(tmp_path / "rows.jsonl", rows), tmp_path / "out", spec)
    assert report is not None
    assert dict(report.dropped) == {"no-answer": 1, "no-exchange": 1, "too-long": 1}
    assert recension.verify(tmp_path / "out").sound


TEMPLATE = (
    "{% for m in messages %}<|endoftext|>{{ m.role }}: {{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|endoftext|>assistant: {% endif %}"
)


def test_the_models_own_template_is_used(model, tmp_path):
    import shutil

    chatty = tmp_path / "chatty"
    shutil.copytree(model / "model", chatty)
    words = AutoTokenizer.from_pretrained(chatty)
    words.chat_template = TEMPLATE
    words.save_pretrained(chatty)
    rows = [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]},
        {"messages": [{"role": "user", "content": "<|endoftext|>"}, {"role": "assistant", "content": "Ho"}]},
    ]
    out = tmp_path / "out"
    spec = SftSpec(model=f"hf:{chatty}", learning=LearningSettings(steps=2, batch=1, context=32, threads=1))
    report = recension.train_sft(write_jsonl(tmp_path / "rows.jsonl", rows), out, spec)
    assert report is not None
    assert dict(report.dropped) == {"special-token": 1}
    tokens, learn, _ = open_tokens([out / "tokens" / "00000.arrow"], with_documents=True).documents(np.array([0]))
    assert words.decode(tokens) == "user: Hi<|endoftext|>assistant: Ho"
    assert words.decode(tokens[learn > 0]) == "Ho"


def test_a_loss_that_runs_away_stops_with_the_last_good_checkpoint(tmp_path):
    wild = replace(
        SPEC, learning=replace(QUICK, steps=200, learning_rate=50.0, clip=0.0, schedule="constant", warmup=0.1)
    )
    effort = TrainEffort(checkpoint_steps=5)
    with pytest.raises(DivergedError, match=r"step \d+.*last good checkpoint.*lower --learning-rate"):
        recension.train_pretrain(UNSEEN, tmp_path / "out", wild, effort)
    assert not recension.verify(tmp_path / "out").complete


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda s: replace(s, preset="huge"), UsageError, "unknown"),
        (lambda s: replace(s, mix=("x=1",)), UsageError, "either as IN or with --mix"),
        (lambda s: replace(s, tokenizer="./nowhere"), ModelError, "nowhere"),
        (lambda s: replace(s, learning=replace(s.learning, valid=("./nowhere",))), InputError, "nowhere"),
        (lambda s: replace(s, rows=RowSettings(text_key="txet")), InputError, "the columns are .*is --text-key right"),
    ],
)
def test_what_cannot_work_is_said_in_a_line(tmp_path, change, error, said):
    with pytest.raises(error, match=said):
        recension.train_pretrain(UNSEEN, tmp_path / "out", change(SPEC))


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"epochs": 1.0, "steps": 3}, "both say how long"), ({"steps": 0}, "--steps is 1 or more"),
     ({"warmup": 2.0}, "--warmup is a share"), ({"context": 4}, "--context is 8"), ({"schedule": "x"}, "one of wsd")],
)  # fmt: skip
def test_settings_check_themselves(settings, said):
    with pytest.raises(UsageError, match=said):
        LearningSettings(**settings)


def test_models_that_cannot_be_trained(tmp_path):
    with pytest.raises(UsageError, match="--model is missing"):
        recension.train_sft(UNSEEN, tmp_path / "out", SftSpec())
    with pytest.raises(UsageError, match="only models of transformers"):
        recension.train_continue(UNSEEN, tmp_path / "out", ContinueSpec(model="ngram:x"))


def test_another_length_is_another_run(model):
    longer = replace(SPEC, learning=replace(QUICK, steps=25))
    with pytest.raises(ManifestMismatchError, match="steps was 24, now 25"):
        recension.train_pretrain(UNSEEN, model, longer)


def test_batches_must_split_over_devices():
    from recension.training.devices import check_batch

    with pytest.raises(UsageError, match="multiple of 3"):
        check_batch(8, 3)
