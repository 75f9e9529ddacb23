"""Texts that our own `edit` changes, for run.py --part edited.

python studies/audit_calibration/edited.py DATA OUT [--words 110000]

For each domain the embedded prior edits the same texts so that 1, 5 and 20 % of the tokens change. Where the prior was trained
on a domain these are texts held out from it. OUT/edited-DOMAIN-SHARE.jsonl.gz has one row for each text: id, original, text.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import numpy as np
import pools
import pyarrow.parquet as pq

import recension

FILES = {
    "fiction": "human/fiction.valid",
    "technical_proposals": "human/technical_proposals.valid",
    "reviews": "human/reviews.train",
}
SHARES = (0.01, 0.05, 0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--words", type=int, default=110_000)
    given = parser.parse_args()
    for domain, name in FILES.items():
        rows = pools.read(given.data, name)
        chosen, total = [], 0
        for place in np.random.default_rng(0).permutation(len(rows)).tolist():
            chosen.append(rows[place])
            total += len(rows[place]["text"].split())
            if total >= given.words:
                break
        texts = {str(row["id"]): row["text"] for row in chosen}
        source = given.out / f"{domain}.jsonl"
        source.write_text("".join(json.dumps({"id": key, "text": text}) + "\n" for key, text in texts.items()))
        for share in SHARES:
            target = given.out / f"edited-{domain}-{share:g}.jsonl.gz"
            if target.exists():
                continue
            folder = given.out / f"run-{domain}-{share:g}"
            report = recension.edit(
                [source], folder, recension.EditSpec(change_share=share), recension.Effort(workers=1)
            )
            with gzip.open(target.with_suffix(".part"), "wt", encoding="utf-8") as file:
                for path in sorted((folder / "data").glob("*.parquet")):
                    for row in pq.read_table(path, columns=["id", "text"]).to_pylist():
                        file.write(json.dumps({**row, "original": texts[row["id"]]}) + "\n")
            target.with_suffix(".part").rename(target)
            print(domain, share, report, flush=True)


if __name__ == "__main__":
    main()
