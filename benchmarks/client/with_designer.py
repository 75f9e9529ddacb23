"""The same work through NeMo Data Designer, for benchmarks/client: SOURCE OUT URL AT_ONCE."""

from __future__ import annotations

import sys
from pathlib import Path

import data_designer.config as dd
from data_designer.interface import DataDesigner


def main(source: str, out: str, url: str, at_once: int) -> None:
    count = Path(source).read_bytes().count(b"\n")
    provider = dd.ModelProvider(name="local", endpoint=url, provider_type="openai", api_key="none")
    asking = dd.ChatCompletionInferenceParams(
        temperature=0.8, max_tokens=2048, max_parallel_requests=at_once, extra_body={"seed": 1}
    )
    model = dd.ModelConfig(
        alias="fake", model="fake", provider="local", inference_parameters=asking, skip_health_check=True
    )
    builder = dd.DataDesignerConfigBuilder(model_configs=[model])
    builder.with_seed_dataset(dd.LocalFileSeedSource(path=source))
    builder.add_column(
        dd.LLMTextColumnConfig(name="written", model_alias="fake", prompt="Rewrite this text:\n\n{{ text }}")
    )
    designer = DataDesigner(artifact_path=out, model_providers=[provider])
    found = designer.create(builder, num_records=count, dataset_name="client").load_dataset()
    written = int(found["written"].notna().sum())
    if written != count:
        raise SystemExit(f"{written} of {count} rows were written")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
