"""The model in the format of llama.cpp: python gguf_file.py FOLDER FILE, where gguf and safetensors are installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

NAMES = {
    **{"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"},
    **{f"self_attn.{part}_proj": f"attn_{part}" for part in "qkv"},
    **{
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    },
}


def write(folder: Path, file: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    layout = json.loads((folder / "tokenizer.json").read_text())
    writer = gguf.GGUFWriter(str(file), "llama")
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(groups)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_rope_freq_base(
        (config.get("rope_parameters") or {}).get("rope_theta", config.get("rope_theta", 10000.0))
    )
    writer.add_vocab_size(config["vocab_size"])
    tokens_of(writer, layout, config)
    writer.add_chat_template((folder / "chat_template.jinja").read_text())
    for name, weight in load_file(folder / "model.safetensors").items():
        writer.add_tensor(*tensor_of(name, weight.astype(np.float32), heads, groups))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tokens_of(writer: gguf.GGUFWriter, layout: dict, config: dict) -> None:
    """Byte-level BPE; the ids that the model has beyond its tokenizer mean nothing there either."""
    special = {token["id"] for token in layout["added_tokens"] if token["special"]}
    words = {i: word for word, i in layout["model"]["vocab"].items()} | {
        t["id"]: t["content"] for t in layout["added_tokens"]
    }
    size = config["vocab_size"]
    kinds = gguf.TokenType
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([words.get(i, f"[PAD{i}]") for i in range(size)])
    writer.add_token_types(
        [int(kinds.CONTROL if i in special else kinds.NORMAL if i in words else kinds.UNUSED) for i in range(size)]
    )
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in layout["model"]["merges"]]
    writer.add_token_merges(merges)
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)


def tensor_of(name: str, weight: np.ndarray, heads: int, groups: int) -> tuple[str, np.ndarray]:
    """A weight under its name there; queries and keys are turned, as llama.cpp rotates pairs that lie side by side."""
    whole = {"model.embed_tokens.weight": "token_embd", "model.norm.weight": "output_norm", "lm_head.weight": "output"}
    if name in whole:
        return f"{whole[name]}.weight", weight
    _, _, layer, part = name.removesuffix(".weight").split(".", 3)
    if part in ("self_attn.q_proj", "self_attn.k_proj"):
        count = heads if part == "self_attn.q_proj" else groups
        halves = weight.reshape(count, 2, weight.shape[0] // count // 2, weight.shape[1])
        weight = halves.swapaxes(1, 2).reshape(weight.shape)
    return f"blk.{layer}.{NAMES[part]}.weight", weight


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
