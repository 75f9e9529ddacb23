"""Tiny causal models with their tokenizers, built on disk: one for each family that the adapter must handle.

The weights are random; the head is fitted to the words below, so some tokens are nearly certain.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

TEXT = (
    "the river ran past the old mill and the miller looked at the river every morning before he opened the gate "
    "of the mill because the water told him what the day would bring and whether the wheel would turn at all"
)
WORDS = TEXT.split()
LINES = [" ".join(WORDS[i : i + 9]).capitalize() + ".\n" for i in range(0, len(WORDS) - 9)]
CORPUS = [
    *LINES,
    "a a a a a\n",
    "  indented = code(1, 2)\n\n\treturn 3.14\n",
    "Überall naïve Cafés — 東京, ½ €5 “quoted” 😀.\n",
]


_NO_ENDS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


def _trained(tokenizer: Any, special: list[str], alphabet: list[str], size: int) -> None:
    from tokenizers import trainers

    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS * 3, trainer)


def byte_level(special: list[str], normalizer: Any = None) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    _trained(tokenizer, special, pre_tokenizers.ByteLevel.alphabet(), 400)
    return tokenizer


def metaspace(prepend: bool = True) -> Any:
    """SentencePiece-style BPE as Llama 2 has it: ▁ for spaces, bytes for unknown characters."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    replace = normalizers.Replace(" ", "\u2581")
    draft = Tokenizer(models.BPE())
    draft.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), replace]) if prepend else replace
    draft.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    _trained(draft, ["<unk>", "<s>", "</s>"], [], 300)
    layout = json.loads(draft.to_str())
    pieces = [p for p in layout["model"]["vocab"] if p.isascii() or "\u2581" in p]
    tokens = [*pieces[:3], *(f"<0x{b:02X}>" for b in range(256)), *pieces[3:]]
    merges = [m for m in map(tuple, layout["model"]["merges"]) if {*m, "".join(m)} <= set(pieces)]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = draft.normalizer
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if prepend else steps)
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return tokenizer


def _save(folder: Path, tokenizer: Any, config: Any, marks: dict[str, str]) -> Path:
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1 and "norm" not in name:
                weight.copy_(torch.randn(weight.shape) * (1.0 if "emb" in name or "wte" in name else 0.25))
    _fit_head(model, tokenizer)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder)
    return folder


def _fit_head(model: Any, tokenizer: Any) -> None:
    import torch

    ids = torch.tensor([i for line in LINES * 4 for i in tokenizer.encode(line, add_special_tokens=False).ids][:640])
    with torch.no_grad():
        rows = model.base_model(input_ids=ids.view(10, 64)).last_hidden_state.flatten(0, 1)
    head = model.get_output_embeddings().weight.requires_grad_()
    descent = torch.optim.Adam([head], lr=0.05)
    for _ in range(60):
        descent.zero_grad()
        torch.nn.functional.cross_entropy(rows[:-1] @ head.T, ids[1:]).backward()
        descent.step()


def _sizes(tokenizer: Any, **more: Any) -> dict[str, Any]:
    """Tokenizer and model sizes differ, as they do in the wild: the model knows 24 ids that mean nothing."""
    shared = {"vocab_size": tokenizer.get_vocab_size() + 24, "hidden_size": 64, "intermediate_size": 96}
    layers = {"num_hidden_layers": 2, "num_attention_heads": 4, "tie_word_embeddings": False}
    return {**shared, **layers, **_NO_ENDS, "max_position_embeddings": 128, **more}


def llama_metaspace(folder: Path) -> Path:
    from transformers import LlamaConfig

    tokenizer = metaspace()
    config = LlamaConfig(**_sizes(tokenizer, num_key_value_heads=2))
    return _save(folder, tokenizer, config, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})


def llama(folder: Path) -> Path:
    """Heads as wide as vLLM takes them on a CPU."""
    from transformers import LlamaConfig

    tokenizer = byte_level(["<|begin_of_text|>", "<|end_of_text|>"])
    config = LlamaConfig(**_sizes(tokenizer, num_attention_heads=2, num_key_value_heads=1))
    return _save(folder, tokenizer, config, {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"})


def llama_bytes(folder: Path) -> Path:
    """Of the plain kind, with shared key-value heads: what is run through compiled graphs on a CPU."""
    from transformers import LlamaConfig

    tokenizer = byte_level(["<|endoftext|>"])
    config = LlamaConfig(**_sizes(tokenizer, num_key_value_heads=2))
    return _save(folder, tokenizer, config, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"})


def gpt2(folder: Path) -> Path:
    from transformers import GPT2Config

    tokenizer = byte_level(["<|endoftext|>"])
    size = tokenizer.get_vocab_size()
    config = GPT2Config(
        vocab_size=size, n_embd=64, n_layer=2, n_head=4, n_positions=96, tie_word_embeddings=False, **_NO_ENDS
    )
    return _save(folder, tokenizer, config, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"})


def qwen(folder: Path) -> Path:
    from tokenizers import normalizers
    from transformers import Qwen2Config

    tokenizer = byte_level(["<|endoftext|>", "<|im_start|>"], normalizers.NFC())
    config = Qwen2Config(**_sizes(tokenizer, num_key_value_heads=1))
    return _save(folder, tokenizer, config, {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"})


def neox(folder: Path) -> Path:
    from tokenizers import AddedToken
    from transformers import GPTNeoXConfig

    tokenizer = byte_level(["<|endoftext|>", "<|padding|>"])
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True, special=False) for n in (2, 3, 4)])
    config = GPTNeoXConfig(**_sizes(tokenizer))
    return _save(folder, tokenizer, config, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"})


def gemma2(folder: Path) -> Path:
    """Soft caps on attention and on logits, and layers that look back only a few tokens."""
    from transformers import Gemma2Config

    tokenizer = metaspace(prepend=False)
    config = Gemma2Config(**_sizes(tokenizer, num_key_value_heads=2, head_dim=16, sliding_window=6))
    return _save(folder, tokenizer, config, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})


def cohere(folder: Path) -> Path:
    """A head whose logits are scaled."""
    from transformers import CohereConfig

    tokenizer = byte_level(["<BOS>", "<EOS>"])
    config = CohereConfig(**_sizes(tokenizer, num_key_value_heads=2, logit_scale=0.4))
    return _save(folder, tokenizer, config, {"bos_token": "<BOS>", "eos_token": "<EOS>"})


def bloom(folder: Path) -> Path:
    """Attention that is not pluggable (ALiBi): sequences cannot lie end to end."""
    from transformers import BloomConfig

    tokenizer = byte_level(["<s>", "</s>"])
    size = tokenizer.get_vocab_size()
    config = BloomConfig(vocab_size=size, hidden_size=64, n_layer=2, n_head=4, tie_word_embeddings=False)
    return _save(folder, tokenizer, config, {"bos_token": "<s>", "eos_token": "</s>"})


def mamba(folder: Path) -> Path:
    """No attention at all."""
    from transformers import MambaConfig

    tokenizer = byte_level(["<|endoftext|>"])
    config = MambaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        state_size=4,
        tie_word_embeddings=False,
    )
    return _save(folder, tokenizer, config, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"})


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "llama-metaspace": llama_metaspace,
    "llama-bytes": llama_bytes,
    "gpt2": gpt2,
    "qwen": qwen,
    "neox": neox,
    "gemma2": gemma2,
    "cohere": cohere,
    "bloom": bloom,
    "mamba": mamba,
}
