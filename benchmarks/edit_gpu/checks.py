"""Whether it is right: kernels, attention, and small decoders of several families, all against float32."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
from made import TOP_K, make_texts, prior_of


def check_kernels(device: str) -> dict[str, Any]:
    """Our kernels against torch's in float32: the largest error relative to the largest entry."""
    import torch

    from recension.models import plain_kernels as plain
    from recension.models.dense import kernels_for

    ours = kernels_for(torch.device(device))
    torch.manual_seed(2)
    found: dict[str, Any] = {"kernels": ours.__name__.rpartition(".")[2]}

    def error(a: Any, b: Any) -> float:
        difference = (a.float() - b.float()).abs().max() / b.float().abs().max()
        return float(f"{difference.item():.2g}")

    for name in ("float32", "bfloat16"):
        dtype = getattr(torch, name)

        def drawn(*sizes: int, dtype: Any = dtype) -> Any:
            return torch.randn(*sizes, device=device).to(dtype)

        x, weight = drawn(300, 576), drawn(576)
        wide = plain.rms_norm(x.float(), weight.float(), 1e-5, torch.empty(300, 576, device=device))
        found[f"rms_norm {name}"] = error(ours.rms_norm(x, weight, 1e-5, torch.empty_like(x)), wide)
        places = torch.randint(0, 50, (300,), device=device, dtype=torch.int32)
        for heads, half in (((9, 3), 32), ((32, 8), 64), ((6, 2), 40)):
            cos, sin = torch.rand(2, 50, half, device=device)
            qkv = drawn(300, (sum(heads) + heads[1]) * 2 * half)
            for norms in (None, torch.rand(2, 2 * half, device=device)):
                truth, mine = qkv.float(), qkv.clone()
                plain.rotate_(truth, places, (cos, sin), heads, norms, 1e-6)
                ours.rotate_(mine, places, (cos, sin), heads, norms, 1e-6)
                found[f"rotate {heads} {2 * half} {norms is not None} {name}"] = error(mine, truth)
        wide = drawn(300, 2 * 1536)
        found[f"swiglu {name}"] = error(ours.swiglu_(wide.clone()), plain.swiglu_(wide.float()))
        for how in ((1.0, 0.0), (0.5, 20.0)):
            rows, weight = drawn(1000, 576), drawn(9001, 576) / 24
            targets = torch.randint(0, 9001, (1000,), device=device, dtype=torch.int32)
            truth, mine = (tuple(torch.full((1000,), math.nan, device=device) for _ in range(2)) for _ in range(2))
            table = rows.float() @ weight.float().t()
            plain.sum_up(table.clone(), None, targets, how, truth)
            ours.sum_up(table, None, targets, how, mine)
            found[f"sum_up {how} {name}"] = [error(a, b) for a, b in zip(mine, truth, strict=True)]
            if hasattr(ours, "head_sums"):
                chosen = torch.full((1000,), math.nan, device=device)
                sums = ours.head_sums(rows, weight, None, targets, how, chosen)
                found[f"head_sums {how} {name}"] = [error(sums, truth[0]), error(chosen, truth[1])]
    print(json.dumps(found), flush=True)
    return found


def check_attention(device: str) -> dict[str, Any]:
    import torch

    from recension.models.packed_attention import Borders, attend

    found: dict[str, Any] = {}
    lengths = [700, 1, 300, 1047]
    cut = [0, *np.cumsum(lengths).tolist()]
    borders = Borders(tuple(cut), torch.tensor(cut, dtype=torch.int32, device=device), max(lengths))
    for heads, kv, size, window in ((32, 8, 128, 0), (9, 3, 64, 0), (8, 8, 128, 0), (8, 2, 128, 100), (8, 2, 80, 0)):
        whole = torch.randn(cut[-1], heads + 2 * kv, size, device=device, dtype=torch.bfloat16)
        parts = whole[:, :heads], whole[:, heads : heads + kv], whole[:, heads + kv :]
        how = (size**-0.5, window, 0.0)
        truth = attend(*(p.float() for p in parts), borders, how)
        mine = attend(*parts, borders, how).float()
        found[f"{heads}/{kv} heads of {size}, window {window}"] = float(f"{(mine - truth).abs().max().item():.2g}")
    try:
        import inspect

        from torch.nn.attention import varlen

        found["varlen_attn"] = str(inspect.signature(varlen.varlen_attn))
    except ImportError as error:
        found["varlen_attn"] = str(error)
    found["aten"] = str(torch.ops.aten._flash_attention_forward.default._schema)
    print(json.dumps(found), flush=True)
    return found


def plainly(model: Any, sequences: list[list[int]], device: str) -> list[Any]:
    """Log-probabilities (T, V) of each sequence, read alone by transformers."""
    import torch

    with torch.inference_mode():
        tables = [model(input_ids=torch.tensor([ids], device=device)).logits[0] for ids in sequences]
        return [torch.log_softmax(t.float(), dim=-1) for t in tables]


def chosen_of(table: Any, ids: list[int]) -> Any:
    """The log-probabilities of these tokens, each in the row before it."""
    import torch

    return table[:-1].gather(1, torch.tensor(ids, device=table.device)[:, None])[:, 0].cpu().numpy()


def check_models(device: str, tokenizer: Any) -> dict[str, Any]:
    """Small decoders of several families: our scores in float32 and bfloat16 against transformers in float32."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from recension.ports import Ask

    texts = make_texts(tokenizer, [500, 3, 120, 900, 33], 7)
    coded = [tokenizer.backend_tokenizer.encode(t, add_special_tokens=False).ids for t in texts]
    vocabulary = max(len(tokenizer), 9_001)
    small = {"hidden_size": 256, "intermediate_size": 640, "num_hidden_layers": 4, "num_attention_heads": 8}
    small |= {"num_key_value_heads": 2, "vocab_size": vocabulary, "max_position_embeddings": 1024, "head_dim": 32}
    kinds = {"llama": {}, "mistral": {"sliding_window": 64}, "qwen2": {}, "qwen3": {}, "gemma2": {}}
    found: dict[str, Any] = {}
    for kind, settings in kinds.items():
        ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
        config = AutoConfig.for_model(kind, **{**small, **settings, **ends})
        torch.manual_seed(5)
        with torch.device(device):
            model = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.float32).eval()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "lm_head" in name or "embed" in name:
                    weight.normal_(0, 0.25)
                elif weight.dim() > 1:
                    weight.normal_(0, 0.06)
        state = {k: v.clone() for k, v in model.state_dict().items()}
        truth = plainly(model, [[0, *ids] for ids in coded], device)
        every = np.concatenate([chosen_of(t, ids) for t, ids in zip(truth, coded, strict=True)])
        above = float(np.exp(np.quantile(every, 0.9)))
        line: dict[str, Any] = {}
        for dtype in ("float32", "bfloat16"):
            with torch.device(device):
                again = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=getattr(torch, dtype)).eval()
            again.load_state_dict(state)
            native = plainly(again, [[0, *ids] for ids in coded], device)
            prior = prior_of(again, tokenizer, context=1024, batch_tokens=1500)
            scores = prior.score(texts, Ask(above=above, k=TOP_K))
            ours = np.concatenate([s.logprobs for s in scores])
            theirs = np.concatenate([chosen_of(t, ids) for t, ids in zip(native, coded, strict=True)])
            flagged = np.concatenate([np.isin(np.arange(len(s.ids)), s.flagged) for s in scores])
            expected = np.exp(every.astype(np.float64)) >= above
            alike = total = 0
            for score, table in zip(scores, truth, strict=True):
                allowed = table[: len(score.ids), : len(tokenizer)].clone()
                allowed[:, tokenizer.all_special_ids] = -math.inf
                best = torch.topk(allowed, TOP_K, dim=1).indices.cpu().numpy()[score.flagged]
                alike += int((best == score.rivals).sum())
                total += best.size
            line[dtype] = {
                "kernels": prior.spec.get("kernels"),
                "mean": float(f"{np.abs(ours - every).mean():.2g}"),
                "largest": float(f"{np.abs(ours - every).max():.2g}"),
                "transformers_mean": float(f"{np.abs(theirs - every).mean():.2g}"),
                "transformers_largest": float(f"{np.abs(theirs - every).max():.2g}"),
                "flags_alike": round(float((flagged == expected).mean()), 5),
                "rivals_alike": round(alike / max(total, 1), 5),
                "flagged": int(flagged.sum()),
            }
        found[kind] = line
        print(kind, json.dumps(line), flush=True)
    return found
