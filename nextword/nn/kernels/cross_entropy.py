"""The log-probabilities of given tokens under softmax(h Eᵀ + b), in bounded memory.

Rows are processed in chunks. If all logits together are few enough, they are kept for the backward
pass. Otherwise only the normaliser of each row is kept, and the backward pass computes the logits
of each chunk again: this is a third more work in the head, but memory does not grow with rows ×
vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .context import Context
from .product import low_precision, product, transposed

CHUNK = 1 << 23  # logits computed at once
KEEP = 1 << 25  # the most logits that are kept for the backward pass


def log_prob(h: Tensor, E: Tensor, b: Tensor, targets: Tensor) -> Tensor:
    """h (N, H), E (V, H), b (V,), targets (N,) → log-probabilities (N,), differentiable.

    Example:
        >>> log_prob(torch.ones(1, 2), torch.zeros(4, 2), torch.zeros(4), torch.tensor([3])).exp()
        tensor([0.2500])
    """
    return log_prob_and_hit(h, E, b, targets)[0]


def log_prob_and_hit(h: Tensor, E: Tensor, b: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """`log_prob`, and whether no other token was more probable than the target (N,)."""
    h = h.to(E.dtype)  # under autocast h may be bfloat16, too coarse for log-probabilities
    result: tuple[Tensor, Tensor] = _LogProb.apply(h, E, b, targets)  # type: ignore[no-untyped-call]
    return result


def chunks(rows: int, width: int) -> Iterator[slice]:
    """Slices of the rows with about `CHUNK` logits each."""
    size = max(1, CHUNK // width)
    for start in range(0, max(1, rows), size):
        yield slice(start, min(rows, start + size))


class _Context(Context):
    low: torch.dtype


class _LogProb(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context, h: Tensor, E: Tensor, b: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.low = low = low_precision(h)
        keep = len(h) * len(b) <= KEEP
        log_probs, hits, tops, sums, kept = [], [], [], [], []
        for some in chunks(len(h), len(b)):
            logits = product(h[some], E, b, low)
            top = logits.amax(dim=1, keepdim=True)
            shifted = logits.sub_(top)
            of_target = shifted.gather(1, targets[some, None])[:, 0]
            powers = shifted.exp_()
            total = powers.sum(dim=1)
            log_probs.append(of_target - total.log())
            hits.append(of_target == 0)  # the largest logit was subtracted, so it became 0
            tops.append(top[:, 0])
            sums.append(total)
            if keep:
                kept.append(powers)
        ctx.save_for_backward(h, E, b, targets, torch.cat(tops), torch.cat(sums), *kept)
        hit = torch.cat(hits)
        ctx.mark_non_differentiable(hit)
        return torch.cat(log_probs), hit

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: _Context, g: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
        """∂ log p(y) / ∂ logits = onehot(y) - softmax."""
        h, E, b, targets, tops, sums, *kept = ctx.saved_tensors
        low = ctx.low
        dh = torch.empty_like(h)
        dE: Any = 0
        db: Any = 0
        for index, some in enumerate(chunks(len(h), len(b))):
            share = (-g[some] / sums[some])[:, None]
            if kept:
                d = kept[index] * share
            else:
                d = product(h[some], E, b, low).sub_(tops[some, None]).exp_().mul_(share)
            d.scatter_add_(1, targets[some, None], g[some, None])
            dh[some] = product(d, E.T, low=low)
            part = product(transposed(d.to(low)), h[some].to(low).T).to(E.dtype)
            dE = dE.add_(part) if index else part
            db = db + d.sum(dim=0)
        return dh, dE, db, None
