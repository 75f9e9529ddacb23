"""`recension edit` against a straightforward padded transformers loop: same weights, documents, work and edits.

    python benchmarks/edit_cpu.py [--data FOLDER] [--documents 120] [--runs 3] [--context 2048]

The model is a Llama of 15 million parameters with random weights and a vocabulary of 49,152. The threshold lies at
the 88th percentile of the tokens' probabilities, so about 12 % of them are resampled. Each side runs in a process of its
own, from its start to its last byte written; the two alternate. The loop is what one writes first: batches of eight,
padding, all logits, log_softmax, topk, with torch's own choice of threads. It makes the same windows and the same draws,
and its edits must be the same but where two candidates are equally probable up to rounding.
Then the memory of `edit` at 10^3, 10^4 and 10^5 short documents. The result goes to results/edit_cpu.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY = 49_152
END = "<|endoftext|>"
RESULTS = Path(__file__).parent / "results" / "edit_cpu.json"
SEED = 0
TOP_K = 8
BATCH = 8
WORDS = "river mill water morning gate wheel miller road stone winter letter house garden engine number value".split()  # noqa: SIM905


# --- documents and models ---------------------------------------------------------------------------------------------


def human_documents(folder: Path | None, count: int) -> list[dict[str, str]]:
    """A random sample of the validation files in `folder`, or generated prose of similar lengths."""
    draw = random.Random(3)
    texts: list[str] = []
    for path in sorted(folder.glob("*valid*.jsonl.gz")) if folder else []:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines]
    if not texts:
        texts = [
            " ".join(draw.choice(WORDS) + str(draw.randrange(100)) for _ in range(int(draw.lognormvariate(5, 1.2)) + 1))
            for _ in range(count)
        ]
    draw.shuffle(texts)
    texts = [text for text in texts if len(text) < 30_000]
    return [{"id": f"d{i:05d}", "text": text} for i, text in enumerate(texts[:count])]


def make_tokenizer(folder: Path | None, texts: list[str]) -> Any:
    """GPT-2's merges as far as the vocabulary goes, or byte-level BPE trained on the documents."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    if folder is not None and (folder / "vocab.json").exists():
        known = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        vocabulary = {token: i for token, i in known.items() if i < VOCABULARY - 1}
        lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
        merges = [(left, right) for left, right in map(str.split, lines) if left + right in vocabulary]
        tokenizer = Tokenizer(models.BPE({**vocabulary, END: VOCABULARY - 1}, merges))
    else:
        tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if not tokenizer.get_vocab_size():
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=VOCABULARY - 1, initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([END])
    return tokenizer


def make_model(folder: Path, tokenizer: Any, context: int, hidden: int, layers: int) -> int:
    """A random Llama in `folder`; returns its number of parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    end = tokenizer.token_to_id(END)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 48),
        max_position_embeddings=context,
        tie_word_embeddings=True,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), end),
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.05)
        model.get_input_embeddings().weight.normal_(0, 2.0 / hidden**0.5)
    model.save_pretrained(folder)
    marks = dict.fromkeys(("bos_token", "eos_token", "pad_token"), END)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder)
    return model.num_parameters()


def threshold_at(logprobs: np.ndarray, quantile: float) -> float:
    """The probability at a quantile, moved into the widest gap near by, so that rounding decides nothing."""
    values = np.sort(logprobs.astype(np.float64))
    middle = int(len(values) * quantile)
    near = values[middle - 500 : middle + 500]
    widest = int(np.argmax(np.diff(near)))
    return float(np.exp((near[widest] + near[widest + 1]) / 2))


# --- the two sides, each a process --------------------------------------------------------------------------------------


def ours(work: Path, documents: str, model: str, threshold: float, out: Path) -> None:
    from recension.recipes.edit import EditSpec, edit

    # Shards of 64 KiB, so that this small corpus gives every core its share.
    prior = f"hf:{work / model}"
    spec = EditSpec(prior=prior, threshold=threshold, top_k=TOP_K, seed=SEED, shard_bytes=1 << 16)
    edit([work / documents], out, spec)


def padded_loop(work: Path, documents: str, model: str, threshold: float, out: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from recension.document import Field
    from recension.identity import content_hash
    from recension.methods.toedit import Sampling, edit_text, surfaces
    from recension.models.surfaces import surfaces_of
    from recension.models.windows import windows
    from recension.ports import TokenScores
    from recension.randomness import document_key

    tokenizer = AutoTokenizer.from_pretrained(work / model)
    network = AutoModelForCausalLM.from_pretrained(work / model, dtype=torch.float32).eval()
    context = network.config.max_position_embeddings
    rows = [json.loads(line) for line in (work / documents).open(encoding="utf-8")]
    pieces, texts = [], []
    for number, row in enumerate(rows):
        encoding = tokenizer(row["text"], add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = encoding["input_ids"], encoding["offset_mapping"]
        texts.append({"ids": ids, "offsets": offsets, "logprobs": {}, "best": {}})
        pieces += [(number, window) for window in windows(len(ids), context, bos=True)]
    for start in range(0, len(pieces), BATCH):
        batch = pieces[start : start + BATCH]
        sequences = [[tokenizer.bos_token_id, *texts[n]["ids"][w.start : w.stop]] for n, w in batch]
        padded = tokenizer.pad({"input_ids": sequences}, padding=True, padding_side="right", return_tensors="pt")
        with torch.no_grad():
            logits = network(**padded).logits
            logprobs = torch.log_softmax(logits, dim=-1)
            del logits
            chosen = logprobs[:, :-1].gather(2, padded["input_ids"][:, 1:, None])[:, :, 0].numpy()
            logprobs[:, :, tokenizer.all_special_ids] = float("-inf")
            best = torch.topk(logprobs, TOP_K, dim=-1)
            values, rivals = best.values.numpy(), best.indices.numpy()
        for i, (n, w) in enumerate(batch):
            for position in range(w.first, w.stop):
                place = position - w.start
                texts[n]["logprobs"][position] = chosen[i, place]
                if np.exp(float(chosen[i, place])) >= threshold:
                    texts[n]["best"][position] = (rivals[i, place], values[i, place])
    usable = surfaces_of(tokenizer.backend_tokenizer).characters
    vocabulary, sampling = surfaces(usable), Sampling(above=threshold, top_k=TOP_K)
    with out.open("w", encoding="utf-8") as written, out.with_suffix(".edits").open("w", encoding="utf-8") as log:
        for row, text in zip(rows, texts, strict=True):
            flagged = sorted(text["best"])
            spans = [
                (s, e) if row["text"][s:e] == usable[i] else (-1, -1)
                for i, (s, e) in zip(text["ids"], text["offsets"], strict=True)
            ]
            rivals = np.array([text["best"][p][0] for p in flagged], dtype=np.int32).reshape(-1, TOP_K)
            values = np.array([text["best"][p][1] for p in flagged], dtype=np.float32).reshape(-1, TOP_K)
            scores = TokenScores(
                ids=np.array(text["ids"], dtype=np.int32),
                spans=np.array(spans, dtype=np.int32).reshape(-1, 2),
                logprobs=np.array([text["logprobs"][p] for p in range(len(spans))], dtype=np.float32),
                flagged=np.array(flagged, dtype=np.int32),
                rivals=rivals,
                rival_logprobs=values,
                rival_mass=np.exp(values).sum(axis=1),
            )
            key = document_key(SEED, row["id"], content_hash(row["text"]))
            fields = (Field("text", 0, len(row["text"])),)
            nothing = np.zeros((0, 2), dtype=np.int64)
            edited = edit_text(row["text"], fields, scores, vocabulary, (sampling, nothing, key))
            written.write(json.dumps({**row, "text": edited.text}, ensure_ascii=False) + "\n")
            log.writelines(
                json.dumps([row["id"], e.start, e.old, e.new, e.p_new, e.p_old]) + "\n" for e in edited.edits
            )


SIDES = {"ours": ours, "loop": padded_loop}


def score_alone(work: Path) -> dict[str, Any]:
    """The prior by itself on one core: where the threshold lies, and how fast scoring is without a run around it."""
    from recension.models.load import PriorOptions, load_prior
    from recension.ports import Ask

    began = time.perf_counter()
    prior = load_prior(f"hf:{work / 'model'}", PriorOptions(threads=1))
    loaded = time.perf_counter() - began
    texts = [json.loads(line)["text"] for line in (work / "documents.jsonl").open(encoding="utf-8")]
    cpu = time.process_time()
    scores = prior.score(texts, Ask())
    cpu = time.process_time() - cpu
    logprobs = np.concatenate([s.logprobs for s in scores])
    return {
        "threshold": threshold_at(logprobs, 0.88),
        "tokens": len(logprobs),
        "load_seconds": round(loaded, 2),
        "tokens_per_cpu_second": round(len(logprobs) / cpu),
        "spec": {k: v for k, v in prior.spec.items() if k != "files"},
    }


def measured(arguments: list[str]) -> tuple[float, float, str]:
    """Wall seconds and peak memory (MB, all its processes together) of this script with other arguments."""
    import psutil

    began = time.perf_counter()
    child = subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)
    watched, peak = psutil.Process(child.pid), 0
    while child.poll() is None:
        total = 0
        try:
            for process in (watched, *watched.children(recursive=True)):
                total += process.memory_info().rss
        except psutil.NoSuchProcess:
            pass
        peak = max(peak, total)
        time.sleep(0.1)
    seconds = time.perf_counter() - began
    assert child.stdout is not None
    output = child.stdout.read()
    if child.returncode:
        raise SystemExit(f"{arguments} failed with {child.returncode}")
    return seconds, peak / 1e6, output


def run_side(side: str, work: Path, documents: str, model: str, threshold: float) -> dict[str, float]:
    out = Path(tempfile.mkdtemp(dir=work)) / "out"
    seconds, peak, _ = measured([side, str(work), documents, model, repr(threshold), str(out)])
    return {"seconds": seconds, "peak_mb": peak, "out": str(out)}


Edits = dict[tuple[str, int, str], tuple[str, float, float]]


def edits_of(side: str, out: Path) -> Edits:
    """(document, place, old) to (new, its probability, the old one's)."""
    if side == "loop":
        rows = [json.loads(line) for line in out.with_suffix(".edits").open(encoding="utf-8")]
    else:
        import pyarrow.parquet as pq

        tables = [pq.read_table(path) for path in sorted((out / "edits").glob("*.parquet"))]
        names = ("id", "start", "old", "new", "p_new", "p_old")
        rows = [row for t in tables for row in zip(*(t[name].to_pylist() for name in names), strict=True)]
    return {(name, start, old): (new, p_new, p_old) for name, start, old, new, p_new, p_old in rows}


def check_equal(found: Edits, expected: Edits) -> int:
    """How many edits differ. Only such may where two candidates are equally probable up to rounding and changed rank."""
    differing = [
        place for place in found.keys() | expected.keys() if found.get(place, ("",))[0] != expected.get(place, ("",))[0]
    ]
    for place in differing:
        one, other = (edits.get(place) for edits in (found, expected))
        kept = (one or other or ("", 0.0, 0.0))[2]  # where one side drew the original again
        ours_p, loop_p = one[1] if one else kept, other[1] if other else kept
        assert abs(ours_p - loop_p) <= 1e-3 * loop_p, f"edits differ at {place}: {one}, {other}"
    assert len(differing) <= 0.005 * len(expected), f"{len(differing)} of {len(expected)} edits differ"
    return len(differing)


# --- the whole ------------------------------------------------------------------------------------------------------------


def compare(work: Path, runs: int) -> dict[str, Any]:
    alone = json.loads(measured(["score", str(work)])[2])
    threshold, tokens = alone["threshold"], alone["tokens"]
    timed: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    edits: Edits = {}
    ties = 0
    for number in range(runs):
        for side in SIDES:
            result = run_side(side, work, "documents.jsonl", "model", threshold)
            found = edits_of(side, Path(result.pop("out")))
            edits = edits or found
            ties = max(ties, check_equal(found, edits))
            print(f"run {number} {side}: {tokens / result['seconds']:,.0f} tokens/s, {result['peak_mb']:,.0f} MB")
            timed[side].append(result)
    summary = {
        side: {
            "seconds": [round(r["seconds"], 1) for r in results],
            "tokens_per_second": round(tokens / statistics.median(r["seconds"] for r in results)),
            "peak_mb": round(max(r["peak_mb"] for r in results)),
        }
        for side, results in timed.items()
    }
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(timed["ours"], timed["loop"], strict=True)]
    return {
        "prior_alone": alone,
        "tokens": tokens,
        "edits": len(edits),
        "edits_that_differ_by_a_tie": ties,
        **summary,
        "ratios": [round(r, 2) for r in ratios],
        "median_ratio": round(statistics.median(ratios), 2),
    }


def flat_memory(work: Path, sizes: list[int]) -> list[dict[str, Any]]:
    """Peak memory of `edit` over many short documents, with a small model so that it ends soon."""
    draw = random.Random(8)
    found = []
    for size in sizes:
        name = f"short-{size}.jsonl"
        with (work / name).open("w", encoding="utf-8") as lines:
            for i in range(size):
                text = " ".join(draw.choices(WORDS, k=12)).capitalize() + "."
                lines.write(json.dumps({"id": f"s{i:06d}", "text": text}) + "\n")
        result = run_side("ours", work, name, "small", 2e-5)
        found.append({"documents": size, "peak_mb": round(result["peak_mb"]), "seconds": round(result["seconds"], 1)})
        print(found[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=shared, help="a folder with human/*valid*.jsonl.gz")
    parser.add_argument("--documents", type=int, default=120)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--memory", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        rows = human_documents(options.data / "human", options.documents)
        (work / "documents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        tokenizer = make_tokenizer(options.data / "models" / "gpt2_tokenizer", [row["text"] for row in rows])
        parameters = make_model(work / "model", tokenizer, options.context, 288, 6)
        make_model(work / "small", tokenizer, options.context, 48, 1)
        report: dict[str, Any] = {
            "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
            "documents": len(rows),
            "source": "human validation files" if (options.data / "human").is_dir() else "generated",
            "parameters": parameters,
            "context": options.context,
        }
        options.output.parent.mkdir(parents=True, exist_ok=True)
        if options.runs:
            report |= compare(work, options.runs)
            print(f"median ratio {report['median_ratio']}")
            options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        if options.memory:
            report["memory"] = flat_memory(work, options.memory)
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in SIDES:
        SIDES[sys.argv[1]](Path(sys.argv[2]), sys.argv[3], sys.argv[4], float(sys.argv[5]), Path(sys.argv[6]))
    elif len(sys.argv) > 1 and sys.argv[1] == "score":
        print(json.dumps(score_alone(Path(sys.argv[2]))))
    else:
        main()
