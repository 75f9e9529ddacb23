"""Chains of small language models, for run.py --part small: each is trained on what the one before it wrote.

python studies/audit_calibration/small.py DATA OUT [--start prior|nothing] [--top-p 1] [--generations 5] [--seeds 4]

The first model of a chain reads one half of a domain's sources, in passages of about a hundred words; the other half is the
reference. Each model writes as many words as it has read, sampled at temperature 1 from the whole distribution or from the
likeliest tokens that hold --top-p of it. `--start prior`: each model is the prior that recension ships, trained on by
`train continue`, so it can spell; `nothing`: trained by `train pretrain` (preset tiny). The reference, the human half and one
text of each generation are in OUT/small-DOMAIN-SEED-START-TOP_P.json.gz. A generation of every chain comes before the next of
any, so that what is there when the study is stopped can be audited; a second call goes on with what is missing.
"""

from __future__ import annotations

import argparse
import gzip
import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import pools

import recension

DOMAINS = ("reviews", "fiction", "technical_proposals", "finance_news", "textbook_openstax")
PRESET = "tiny,context=192,batch=16,vocabulary=4096"
PRIOR = Path(recension.__file__).parent / "models/embedded"
AT_ONCE, LONGEST = 128, 190


def train(texts: list[str], out: Path, start: str, seed: int) -> None:
    source = out.with_name(f"{out.name}.jsonl")
    source.write_text("".join(json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(texts)))
    shutil.rmtree(out, ignore_errors=True)
    same = {"seed": seed, "threads": 1, "compile": "off"}
    if start == "prior":
        learning = recension.LearningSettings(epochs=1.0, learning_rate=5e-4, context=256, batch=16, **same)
        recension.train_continue(
            [source], out, recension.ContinueSpec(model=f"hf:{PRIOR}", learning=learning), recension.TrainEffort()
        )
    else:
        learning = recension.LearningSettings(epochs=6.0, **same)
        recension.train_pretrain(
            [source], out, recension.PretrainSpec(preset=PRESET, learning=learning), recension.TrainEffort()
        )


def write(folder: Path, words: int, seed: int, top_p: float) -> list[str]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.bfloat16).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    begin = model.config.eos_token_id if model.config.bos_token_id is None else model.config.bos_token_id
    found: list[str] = []
    total = 0
    while total < words:
        for row in drawn(model, begin, top_p).tolist():
            text = tokenizer.decode(row[: row.index(begin)] if begin in row else row, skip_special_tokens=True).strip()
            if text:
                found.append(text)
                total += len(text.split())
    return found


def drawn(model: Any, begin: int, top_p: float) -> Any:
    """Rows of tokens: transformers' `generate` would take several times as long over sorting and over the cache."""
    import torch
    from transformers import StaticCache

    held: Any = StaticCache(config=model.config, max_cache_len=LONGEST)
    # transformers has called it `cache` of late.
    cache = {"cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values": held}
    read = torch.full((AT_ONCE, 1), begin)
    out = torch.empty((AT_ONCE, LONGEST), dtype=torch.long)
    with torch.inference_mode():
        for step in range(LONGEST):
            at = torch.tensor([step])
            logits = model(input_ids=read, use_cache=True, cache_position=at, position_ids=at[None], **cache).logits
            chances = torch.softmax(logits[:, -1].float(), -1)
            read = _one_of(chances)
            out_of = _beyond(chances, read, top_p)
            while len(
                out_of
            ):  # drawn again until one of the likeliest comes: the same distribution as theirs, unsorted
                read[out_of] = _one_of(chances[out_of])
                out_of = out_of[_beyond(chances[out_of], read[out_of], top_p)]
            out[:, step] = read[:, 0]
    return out


def _one_of(chances: Any) -> Any:
    import torch

    under = chances.cumsum(-1)
    return torch.searchsorted(under, torch.rand(len(chances), 1) * under[:, -1:])


def _beyond(chances: Any, tokens: Any, top_p: float) -> Any:
    """The rows whose token is not needed: those that are likelier hold `top_p` already."""
    import torch

    if top_p == 1:
        return ()
    likelier = torch.where(chances > chances.gather(1, tokens), chances, 0).sum(-1)
    return torch.nonzero(likelier >= top_p)[:, 0]


def begun(data: Path, domain: str, seed: int, words: int) -> list[list[list[str]]]:
    """The reference and what the first model reads, passage by passage: source and text."""
    panel = pools.pool(data, f"human/{domain}.train", 600_000)
    halves = [pools.first(side, words) for side in pools.halves(panel, seed)]
    return [
        [
            [panel.clusters[c], panel.units[panel.places[s]].decode().strip()]
            for s, c in zip(side.starts.tolist(), side.clusters.tolist(), strict=True)
        ]
        for side in halves
    ]


def advance(given: argparse.Namespace, domain: str, seed: int, number: int) -> None:
    """Generation `number` of a chain, unless it is written."""
    file = given.out / f"small-{domain}-{seed}-{given.start}-{given.top_p:g}.json.gz"
    if file.exists():
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            sides = json.load(lines)["sides"]
    else:
        sides = begun(given.data, domain, seed, given.words)
    if len(sides) > 1 + number:
        return
    texts = [text for _, text in sides[-1]]
    folder = given.out / f"model-{domain}-{seed}-{given.start}-{given.top_p:g}"
    train(texts, folder, given.start, seed * 100 + number)
    made = write(folder, sum(len(text.split()) for text in texts), seed * 100 + number, given.top_p)
    shutil.rmtree(folder)
    sides.append([[str(i), text] for i, text in enumerate(made)])
    with gzip.open(file.with_suffix(".part"), "wt", encoding="utf-8") as lines:
        json.dump({"sides": sides}, lines)
    file.with_suffix(".part").rename(file)
    print(domain, seed, "generation", number, made[0][:200], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--words", type=int, default=60_000)
    parser.add_argument("--generations", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--start", choices=("prior", "nothing"), default="prior")
    parser.add_argument("--top-p", type=float, default=1.0)
    given = parser.parse_args()
    for number in range(1, 1 + given.generations):
        for seed in range(given.seeds):
            for domain in DOMAINS:
                advance(given, domain, seed, number)


if __name__ == "__main__":
    main()
