"""Chains of small language models, for run.py --part small: each is trained from scratch on what the one before it wrote.

python studies/audit_calibration/small.py DATA OUT [--words 50000] [--generations 5] [--seeds 1]

The first model of a chain reads one half of a domain's sources, in passages of about a hundred words; the other half is the
reference. Each model writes as many words as it has read, sampled at temperature 1 with nothing cut off. Trained by `train
pretrain` (preset tiny), written by transformers. OUT/small-DOMAIN-SEED.json.gz holds the reference, the human half and one
text for each generation; a chain that was stopped goes on with its next generation.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
from pathlib import Path

import pools

import recension

DOMAINS = ("reviews", "fiction", "technical_proposals", "finance_news", "textbook_openstax")
PRESET = "tiny,context=192,batch=16,vocabulary=4096"
EPOCHS = 6.0
AT_ONCE, LONGEST = 128, 190


def train(texts: list[str], out: Path, seed: int) -> None:
    source = out.with_suffix(".jsonl")
    source.write_text("".join(json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(texts)))
    shutil.rmtree(out, ignore_errors=True)
    learning = recension.LearningSettings(epochs=EPOCHS, seed=seed, threads=1, compile="off")
    spec = recension.PretrainSpec(preset=PRESET, learning=learning)
    recension.train_pretrain([source], out, spec, recension.TrainEffort())


def write(folder: Path, words: int, seed: int) -> list[str]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    begin = model.config.eos_token_id if model.config.bos_token_id is None else model.config.bos_token_id
    found: list[str] = []
    total = 0
    while total < words:
        ids = torch.full((AT_ONCE, 1), begin)
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=0, top_p=1.0, temperature=1.0,
            max_new_tokens=LONGEST, pad_token_id=begin, eos_token_id=begin,
        )  # fmt: skip
        for row in out[:, 1:].tolist():
            text = tokenizer.decode(row[: row.index(begin)] if begin in row else row, skip_special_tokens=True).strip()
            if text:
                found.append(text)
                total += len(text.split())
    return found


def chain(data: Path, out: Path, domain: str, seed: int, given: argparse.Namespace) -> None:
    done = out / f"small-{domain}-{seed}.json.gz"
    state = out / f"chain-{domain}-{seed}.json"
    if done.exists():
        return
    if state.exists():
        sides = json.loads(state.read_text())
    else:
        panel = pools.pool(data, f"human/{domain}.train", 600_000)
        halves = [pools.first(side, given.words) for side in pools.halves(panel, seed)]
        sides = [
            [
                [panel.clusters[c], panel.units[panel.places[s]].decode().strip()]
                for s, c in zip(side.starts.tolist(), side.clusters.tolist(), strict=True)
            ]
            for side in halves
        ]
    while len(sides) < 2 + given.generations:
        number = len(sides) - 1
        texts = [text for _, text in sides[-1]]
        folder = out / f"model-{domain}-{seed}"
        train(texts, folder, seed * 100 + number)
        made = write(folder, sum(len(text.split()) for text in texts), seed * 100 + number)
        sides.append([[str(i), text] for i, text in enumerate(made)])
        state.write_text(json.dumps(sides))
        print(domain, seed, "generation", number, made[0][:200], flush=True)
    with gzip.open(done.with_suffix(".part"), "wt", encoding="utf-8") as file:
        json.dump({"sides": sides}, file)
    done.with_suffix(".part").rename(done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--words", type=int, default=50_000)
    parser.add_argument("--generations", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    for seed in range(given.seeds):
        for domain in DOMAINS:
            chain(given.data, given.out, domain, seed, given)


if __name__ == "__main__":
    main()
