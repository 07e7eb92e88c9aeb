"""What sampling may choose from: functions of logits (B, V) that rule tokens out with -∞."""

from __future__ import annotations

import torch
from torch import Tensor


def top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the k most probable tokens (Fan et al. 2018)."""
    if k >= logits.shape[-1]:
        return logits
    return _keep(logits, logits >= logits.topk(k).values[..., -1:])


def top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the fewest most probable tokens that together have probability p (nucleus sampling;
    Holtzman et al. 2020, arXiv:1904.09751)."""
    ranked, order = logits.sort(descending=True, dim=-1)
    probs = ranked.softmax(-1)
    keep = probs.cumsum(-1) - probs < p  # the mass before a token; the first always stays
    return _keep(logits, torch.zeros_like(keep).scatter(-1, order, keep))


def min_p(logits: Tensor, p: float) -> Tensor:
    """Keep tokens at least p times as probable as the most probable one (Nguyen et al. 2024,
    arXiv:2407.01082)."""
    probs = logits.softmax(-1)
    return _keep(logits, probs >= p * probs.amax(-1, keepdim=True))


def forbid(logits: Tensor, ids: list[int]) -> Tensor:
    """Rule out given tokens."""
    logits = logits.clone()
    logits[..., ids] = -torch.inf
    return logits


def _keep(logits: Tensor, keep: Tensor) -> Tensor:
    return logits.masked_fill(~keep, -torch.inf)
