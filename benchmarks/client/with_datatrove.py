"""The same work through datatrove's inference runner, for benchmarks/client: SOURCE OUT URL AT_ONCE."""

from __future__ import annotations

import sys
from pathlib import Path

from datatrove.executor.local import LocalPipelineExecutor
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter


async def rewrite(document, generate):
    messages = [{"role": "user", "content": f"Rewrite this text:\n\n{document.text}"}]
    answer = await generate({"messages": messages, "max_tokens": 2048, "temperature": 0.8, "seed": 1})
    return {"text": answer.text, "finish": answer.finish_reason}


def main(source: str, out: str, url: str, at_once: int) -> None:
    config = InferenceConfig(
        server_type="endpoint",
        model_name_or_path="fake",
        endpoint_url=url.removesuffix("/v1"),
        max_concurrent_generations=at_once,
        max_concurrent_documents=at_once,
    )
    folder, _, name = source.rpartition("/")
    reader = JsonlReader(folder, glob_pattern=name)
    runner = InferenceRunner(rewrite, config, JsonlWriter(out, output_filename="${rank}.jsonl", compression=None))
    LocalPipelineExecutor([reader, runner], tasks=1, workers=1, logging_dir=f"{out}-logs").run()
    # What cannot be written is a warning there, and the end is a good one.
    written = sum(path.read_bytes().count(b"\n") for path in Path(out).glob("*.jsonl"))
    asked = Path(source).read_bytes().count(b"\n")
    if written != asked:
        raise SystemExit(f"{written} of {asked} rows were written")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
