"""The same work through distilabel, for benchmarks/client: SOURCE OUT URL AT_ONCE. A batch of its step is asked at once."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("DISTILABEL_LOG_LEVEL", "WARNING")  # a line for every request otherwise

from distilabel.models.llms import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration


def main(source: str, out: str, url: str, at_once: int) -> None:
    with Path(source).open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    asked = [{"id": row["id"], "instruction": f"Rewrite this text:\n\n{row['text']}"} for row in rows]
    llm = OpenAILLM(
        model="fake",
        base_url=url,
        api_key="none",
        generation_kwargs={"max_new_tokens": 2048, "temperature": 0.8, "extra_body": {"seed": 1}},
    )
    with Pipeline("client", cache_dir=f"{out}-cache") as pipeline:
        reading = LoadDataFromDicts(data=asked, batch_size=at_once)
        writing = TextGeneration(llm=llm, input_batch_size=at_once)
        reading >> writing
    found = pipeline.run(use_cache=False, dataset_batch_size=1000)["default"]["train"]
    found.to_json(out)
    written = sum(text is not None for text in found["generation"])
    if written != len(asked):
        raise SystemExit(f"{written} of {len(asked)} rows were written")


if __name__ == "__main__":
    Path(sys.argv[2]).parent.mkdir(parents=True, exist_ok=True)
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
