"""Products in float8 against those in bfloat16: how fast, and how far the scores move."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from checks import chosen_of, plainly
from made import Shape
from work import scored, threshold_of

FEW = 3  # documents whose every token is held against float32


def compared(priors: tuple[Any, Any], model: Any, shape: Shape, texts: list[str], peak: float) -> dict[str, Any]:
    """`priors` are in bfloat16 and in float8, of the same `model`, which transformers runs in float32 for the truth."""
    from recension.models.probes import _widened
    from recension.ports import Ask

    device = model.device.type
    names = ("bfloat16", "float8")
    found: dict[str, Any] = {
        name: scored(device, prior, shape, texts, peak) for name, prior in zip(names, priors, strict=True)
    }
    found["ratio"] = round(found["float8"]["score_tokens_per_second"] / found["bfloat16"]["score_tokens_per_second"], 2)
    few, tokenizer = texts[:FEW], priors[0]._parts.tokenizer
    coded = [tokenizer.encode(text, add_special_tokens=False).ids for text in few]
    with _widened(model):
        truth = np.concatenate([chosen_of(plainly(model, [[0, *ids]], device)[0], ids) for ids in coded])
    said = {"float32": truth} | {
        name: np.concatenate([s.logprobs for s in prior.score(few, Ask())])
        for name, prior in zip(names, priors, strict=True)
    }
    above = np.log(threshold_of(priors[0], few))
    for one, other in (("bfloat16", "float32"), ("float8", "float32"), ("float8", "bfloat16")):
        apart = np.abs(said[one].astype(np.float64) - said[other])
        found[f"{one} from {other}"] = {
            "mean": float(f"{apart.mean():.2g}"),
            "largest": float(f"{apart.max():.2g}"),
            "flags_alike": round(float(((said[one] >= above) == (said[other] >= above)).mean()), 5),
        }
    found["tokens_held_against_float32"] = len(truth)
    print(json.dumps(found), flush=True)
    return found
