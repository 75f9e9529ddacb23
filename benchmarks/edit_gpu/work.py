"""The scorer at work: where the time of a pass goes, whole jobs, and the loop that one writes first."""

from __future__ import annotations

import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from made import BEGIN, FLAGGED, SEED, TOP_K, Shape
from timing import fresh_memory, peak_gb, timed, waited


def profile(device: str, prior: Any, shape: Shape, texts: list[str], peak: float) -> dict[str, Any]:
    """One packed pass in its parts, then the kernels that take most of the time."""
    import torch

    from recension.models.packed_attention import packed
    from recension.models.surfaces import encode
    from recension.ports import Ask

    parts = prior._parts
    if parts.lane is None:
        return scored(device, prior, shape, texts, peak) | {
            "kernels": "none of ours: sequences of one length at a time"
        }
    began = time.perf_counter()
    encoded = encode(parts.tokenizer, texts, parts.surfaces)
    tokenising = time.perf_counter() - began
    tokens = sum(len(e.ids) for e in encoded)
    lengths, sequences = [], []
    for text in encoded:
        if sum(lengths) + len(text.ids) + 1 > parts.batch_tokens:
            break
        sequences.append(np.concatenate([[parts.bos], text.ids]))
        lengths.append(len(text.ids) + 1)
    count = sum(lengths)
    where = torch.device(device)
    ids = torch.as_tensor(np.concatenate(sequences), device=where)
    places = torch.as_tensor(np.concatenate([np.arange(n) for n in lengths]), device=where).int()
    targets = ids.roll(-1).int()
    head = parts.lane._head
    found: dict[str, Any] = {
        "kernels": parts.lane.kernels,
        "tokens_of_the_pack": count,
        "batch_tokens": parts.batch_tokens,
    }
    found["tokenise_tokens_per_second"] = round(tokens / tokenising)
    with torch.inference_mode(), packed(lengths, where):
        rows = parts.body.pack(ids, places)
        seconds = {
            "body": timed(device, lambda: parts.body.pack(ids, places), 5),
            "head": timed(device, lambda: head.sums(rows, targets), 5),
        }
        some = rows[:: round(1 / FLAGGED)].contiguous()
        totals = torch.zeros(len(some), device=where)
        seconds["rivals"] = timed(device, lambda: head.rivals(some, totals, TOP_K), 5)
        waited(device)
        began = time.perf_counter()
        parts.body.pack(ids, places)
        found["seconds_to_launch_the_body"] = round(time.perf_counter() - began, 4)
        waited(device)
    operations = shape.operations(lengths)
    total = sum(seconds.values())
    found["ms"] = {k: round(v * 1e3, 2) for k, v in seconds.items()}
    found["body_tflops"] = round((operations - 2 * count * shape.hidden * shape.vocabulary) / seconds["body"] / 1e12, 1)
    found["head_tflops"] = round(2 * count * shape.hidden * shape.vocabulary / seconds["head"] / 1e12, 1)
    found["share_of_matmul_rate"] = round(operations / total / 1e12 / peak, 3)
    found["tokens_per_second"] = round(count / total)
    found |= scored(device, prior, shape, texts, peak)
    if device == "cuda":
        from torch.profiler import ProfilerActivity
        from torch.profiler import profile as watching

        ask = Ask(above=threshold_of(prior, texts[:8]), k=TOP_K)
        with watching(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as watched:
            prior.score(texts[: max(8, len(texts) // 4)], ask)
            waited(device)
        averages = watched.key_averages()
        kernels = sorted(averages, key=lambda e: -e.self_device_time_total)[:25]
        found["longest"] = [[e.key[:100], e.count, round(e.self_device_time_total / 1e3, 2)] for e in kernels]
        print(averages.table(sort_by="self_cuda_time_total", row_limit=25, max_name_column_width=70), flush=True)
    print(json.dumps({k: v for k, v in found.items() if k != "longest"}), flush=True)
    return found


def scored(device: str, prior: Any, shape: Shape, texts: list[str], peak: float) -> dict[str, Any]:
    """`prior.score` alone, with the tokeniser and without the rest of a job."""
    from recension.ports import Ask

    ask = Ask(above=threshold_of(prior, texts[:8]), k=TOP_K)
    prior.score(texts, ask)
    waited(device)
    began = time.perf_counter()
    lengths = [len(s.ids) + 1 for s in prior.score(texts, ask)]
    seconds = time.perf_counter() - began
    return {
        "score_tokens_per_second": round((sum(lengths) - len(lengths)) / seconds),
        "score_share_of_matmul_rate": round(shape.operations(lengths) / seconds / 1e12 / peak, 3),
    }


def threshold_of(prior: Any, texts: list[str]) -> float:
    from recension.ports import Ask

    scores = prior.score(texts, Ask())
    return float(np.exp(np.quantile(np.concatenate([s.logprobs for s in scores]).astype(np.float64), 1 - FLAGGED)))


def write_documents(path: Path, texts: list[str]) -> None:
    with path.open("w", encoding="utf-8") as lines:
        for i, text in enumerate(texts):
            lines.write(json.dumps({"id": f"d{i:06d}", "text": text}) + "\n")


def job(device: str, prior: Any, shape: Shape, texts: list[str], peak: float) -> dict[str, Any]:
    """`recension.edit` from the first byte read to the last written."""
    from recension.models.load import lend_prior
    from recension.recipes.edit import EditSpec, edit

    threshold = threshold_of(prior, texts[:16])
    lengths = [len(e) + 1 for e in prior._parts.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    name = lend_prior(f"{id(prior)}-{len(texts)}", prior)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        write_documents(work / "warm.jsonl", texts[:8])
        write_documents(work / "documents.jsonl", texts)
        spec = EditSpec(prior=name, threshold=threshold, top_k=TOP_K, seed=SEED)
        edit([work / "warm.jsonl"], work / "warm", spec)
        fresh_memory(device)
        began, busy = time.perf_counter(), time.process_time()
        report = edit([work / "documents.jsonl"], work / "out", spec)
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
        shards = len(list((work / "out" / "data").iterdir()))
    [generation] = report.generations
    found = {
        "documents": len(texts),
        "tokens": report.tokens,
        "shards": shards,
        "flagged": generation.flagged,
        "changed": generation.changed,
        "seconds": round(seconds, 2),
        "processor_seconds": round(busy, 2),
        "tokens_per_second": round(report.tokens / seconds),
        "share_of_matmul_rate": round(shape.operations(lengths) / seconds / 1e12 / peak, 3),
        "peak_memory_gb": peak_gb(device),
        "batch_tokens": prior._parts.batch_tokens,
    }
    print(json.dumps(found), flush=True)
    return found


def naive(device: str, model: Any, tokenizer: Any, texts: list[str], budget: float) -> dict[str, Any]:
    """Padded batches of eight, all logits in float32, log_softmax, topk; then the same draws, and a file."""
    import torch

    from recension.document import Field
    from recension.identity import content_hash
    from recension.methods.toedit import Sampling, edit_text, surfaces
    from recension.models.surfaces import surfaces_of
    from recension.ports import TokenScores
    from recension.randomness import document_key

    size = 8
    usable = surfaces_of(tokenizer.backend_tokenizer).characters
    vocabulary, sampling = surfaces(usable), Sampling(above=0.5, top_k=TOP_K)
    fresh_memory(device)
    tokens = done = 0
    written: list[str] = []
    began, chosen = math.nan, np.zeros((1, 1))
    for start in range(-size, len(texts), size):
        batch = texts[:size] if start < 0 else texts[start : start + size]
        if start == 0:  # the batch before warms up, and says where the threshold lies
            waited(device)
            some = chosen[0, : tokens // size].astype(np.float64)
            sampling = Sampling(above=float(np.exp(np.quantile(some, 1 - FLAGGED))), top_k=TOP_K)
            began, tokens = time.perf_counter(), 0
            written = []
        coded = tokenizer(
            [BEGIN + t for t in batch],
            padding=True,
            padding_side="right",
            return_tensors="pt",
            return_offsets_mapping=True,
        )
        ids, mask = coded["input_ids"].to(device), coded["attention_mask"].to(device)
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask).logits
            logprobs = torch.log_softmax(logits.float(), dim=-1)
            del logits
            chosen = logprobs[:, :-1].gather(2, ids[:, 1:, None])[:, :, 0].cpu().numpy()
            logprobs[:, :, len(usable) :] = -math.inf
            best = torch.topk(logprobs, TOP_K, dim=-1)
            values, rivals = best.values.cpu().numpy(), best.indices.cpu().numpy()
            del logprobs, best
        for i, text in enumerate(batch):
            length = int(coded["attention_mask"][i].sum()) - 1
            mine = coded["input_ids"][i, 1 : length + 1].numpy().astype(np.int32)
            spans = coded["offset_mapping"][i, 1 : length + 1].numpy().astype(np.int32) - len(BEGIN)
            flagged = np.flatnonzero(np.exp(chosen[i, :length].astype(np.float64)) >= sampling.above)
            scores = TokenScores(
                mine, spans, chosen[i, :length], flagged.astype(np.int32), rivals[i, flagged].astype(np.int32),
                values[i, flagged], np.exp(values[i, flagged]).sum(axis=1),
            )  # fmt: skip
            key = document_key(SEED, f"d{done:06d}", content_hash(text))
            nothing = np.zeros((0, 2), dtype=np.int64)
            edited = edit_text(text, (Field("text", 0, len(text)),), scores, vocabulary, (sampling, nothing, key))
            written.append(json.dumps({"id": f"d{done:06d}", "text": edited.text}))
            tokens, done = tokens + length, done + 1
        if start >= 0 and time.perf_counter() - began > budget:
            break
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write("\n".join(written))
    seconds = time.perf_counter() - began
    found = {
        "documents": len(written),
        "tokens": tokens,
        "seconds": round(seconds, 2),
        "tokens_per_second": round(tokens / seconds),
        "peak_memory_gb": peak_gb(device),
    }
    print(json.dumps(found), flush=True)
    return found
