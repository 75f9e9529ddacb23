"""Text drawn from a small causal model of transformers: passages side by side, a token of each at a time."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recension.errors import MissingExtraError
from recension.models import hub

ROWS = 64  # passages drawn together


def write(place: Path, lengths: Sequence[int], seed: int) -> list[str]:
    """Texts of so many tokens, drawn from the model's whole distribution, special tokens left out.

    Longer ones than the model's context go on behind its last half.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtraError("hf", "sampling from a transformer") from error
    with hub.quiet():
        models: Any = transformers.AutoModelForCausalLM
        model: Any = models.from_pretrained(place, dtype=torch.float32, trust_remote_code=False).eval()
        tokenizer = hub.load_fast(str(place), None)
    context = int(model.config.max_position_embeddings)
    lead = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    chance = torch.Generator().manual_seed(seed % (1 << 63))
    order = np.argsort(-np.asarray(lengths), kind="stable").tolist()
    texts = [""] * len(lengths)
    with torch.inference_mode():
        for start in range(0, len(order), ROWS):
            places = order[start : start + ROWS]
            longest = max(lengths[i] for i in places)
            ids = _drawn(model, (lead, context, len(places), longest), list(tokenizer.all_special_ids), chance)
            for i, row in zip(places, ids.tolist(), strict=True):
                texts[i] = str(tokenizer.decode(row[: lengths[i]], clean_up_tokenization_spaces=False))
    return texts


def _drawn(model: Any, sizes: tuple[int, int, int, int], special: list[int], chance: Any) -> Any:
    """`sizes`: the token that nothing stands before, the context, how many rows and how many tokens of each."""
    import torch
    from transformers import DynamicCache

    lead, context, rows, longest = sizes
    # transformers has called it `cache` of late.
    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    read = torch.full((rows, 1), lead)
    out = torch.empty((rows, longest), dtype=torch.long)
    cache, held = DynamicCache(), 0
    for step in range(longest):
        if held + read.shape[1] > context:  # begin again behind the last half
            cache, held = DynamicCache(), 0
            read = torch.cat([torch.full((rows, 1), lead), out[:, step - context // 2 : step]], dim=1)
        logits = model(input_ids=read, use_cache=True, **{name: cache}).logits[:, -1].float()
        held += read.shape[1]
        logits[:, special] = -torch.inf
        read = torch.multinomial(torch.softmax(logits, dim=-1), 1, generator=chance)
        out[:, step] = read[:, 0]
    return out
