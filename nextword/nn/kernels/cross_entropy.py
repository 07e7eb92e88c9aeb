"""The log-probability of given tokens under softmax(h Eᵀ + b), without holding all logits.

Rows go through in chunks that a cache can hold some of. Where all logits are small enough they are
kept for the gradient; else only the normaliser of each row is, and the gradient makes a chunk's
logits again: a third more work in the head for memory that does not grow with rows × vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .product import low_precision, product, transposed

CHUNK = 1 << 23  # logits made at once
KEEP = 1 << 25  # logits kept for the gradient


def log_prob(h: Tensor, E: Tensor, b: Tensor, targets: Tensor) -> Tensor:
    """h (N, H), E (V, H), b (V,), targets (N,) → log-probabilities (N,), differentiable."""
    h = h.to(E.dtype)  # autocast may have left it in bfloat16; log-probabilities may not be
    result: Tensor = _LogProb.apply(h, E, b, targets)  # type: ignore[no-untyped-call]
    return result


def chunks(rows: int, width: int) -> Iterator[slice]:
    """Slices of the rows with about `CHUNK` logits each."""
    size = max(1, CHUNK // width)
    for start in range(0, max(1, rows), size):
        yield slice(start, min(rows, start + size))


class _LogProb(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, E: Tensor, b: Tensor, targets: Tensor) -> Tensor:
        ctx.low = low = low_precision(h)
        kept = len(h) * len(b) <= KEEP
        norms, log_probs, all_logits = [], [], []
        for some in chunks(len(h), len(b)):
            logits = product(h[some], E, b, low)
            norm = logits.logsumexp(dim=1)
            log_probs.append(logits.gather(1, targets[some, None])[:, 0] - norm)
            norms.append(norm)
            if kept:
                all_logits.append(logits)
        ctx.save_for_backward(h, E, b, targets, torch.cat(norms), *all_logits)
        return torch.cat(log_probs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        """∂ log p(y) / ∂ logits = onehot(y) - softmax."""
        h, E, b, targets, norms, *kept = ctx.saved_tensors
        low = ctx.low
        dh, dE, db = torch.empty_like(h), torch.zeros_like(E), torch.zeros_like(b)
        for index, some in enumerate(chunks(len(h), len(b))):
            logits = kept[index] if kept else product(h[some], E, b, low)
            d = (logits - norms[some, None]).exp_().mul_(-g[some, None])
            d.scatter_add_(1, targets[some, None], g[some, None])
            dh[some] = product(d, E.T, low=low)
            turned = transposed(d.to(low))
            dE += product(turned, h[some].to(low).T).to(E.dtype)
            db += d.sum(dim=0)
        return dh, dE, db, None
