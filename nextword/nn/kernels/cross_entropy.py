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
    return log_prob_and_hit(h, E, b, targets)[0]


def log_prob_and_hit(h: Tensor, E: Tensor, b: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """`log_prob`, and whether no other token was more probable than the target (N,)."""
    h = h.to(E.dtype)  # autocast may have left it in bfloat16; log-probabilities may not be
    result: tuple[Tensor, Tensor] = _LogProb.apply(h, E, b, targets)  # type: ignore[no-untyped-call]
    return result


def chunks(rows: int, width: int) -> Iterator[slice]:
    """Slices of the rows with about `CHUNK` logits each."""
    size = max(1, CHUNK // width)
    for start in range(0, max(1, rows), size):
        yield slice(start, min(rows, start + size))


class _LogProb(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, h: Tensor, E: Tensor, b: Tensor, targets: Tensor
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
            hits.append(of_target == 0)  # of the largest logit 0 is left
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
    def backward(ctx: Any, g: Tensor, _: Any) -> Any:
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
