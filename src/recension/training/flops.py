"""How much work a token is, and how much this device could do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Dense bfloat16 rates of makers' data sheets, in FLOP/s.
KNOWN = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "4090": 165e12}
_SIZE, _SECONDS = 2048, 0.3


def flops_per_token(model: Any, context: int) -> float:
    """Forward and backward: 6 for each weight that is multiplied (4 where it is frozen), and attention over the context
    (PaLM, appendix B)."""
    import torch

    config = model.config.get_text_config()
    head = model.get_output_embeddings()
    looked_up = model.get_input_embeddings().weight
    tables = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    if head is not None and head.weight is looked_up:
        tables.discard(id(looked_up))  # tied: looked up on the way in, multiplied on the way out
    multiplied = [p for p in model.parameters() if p.dim() > 1 and id(p) not in tables]
    work = sum((6 if p.requires_grad else 4) * p.numel() for p in multiplied)
    layers, hidden = int(config.num_hidden_layers), int(config.hidden_size)
    return float(work + 12 * layers * hidden * context)


def peak_rate(device: torch.device, dtype: torch.dtype) -> tuple[float, str]:
    """FLOP/s of one device, and where the figure is from."""
    import torch

    if device.type == "cuda" and dtype == torch.bfloat16:
        name = torch.cuda.get_device_name(device)
        for word, rate in KNOWN.items():
            if word in name:
                return rate, f"data sheet, {name}"
    left = torch.randn(_SIZE, _SIZE, device=device).to(dtype)
    right = torch.randn(_SIZE, _SIZE, device=device).to(dtype)
    best, began = 0.0, time.perf_counter()
    while time.perf_counter() - began < _SECONDS:
        start = time.perf_counter()
        (left @ right).sum().item()
        best = max(best, 2.0 * _SIZE**3 / (time.perf_counter() - start))
    return best, "measured matrix product"
