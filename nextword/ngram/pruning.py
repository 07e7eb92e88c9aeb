"""Entropy pruning (Stolcke 1998, arXiv:cs/0006025): leave out the n-grams that change least.

Taking the n-gram h w out of a model changes its distribution after h by

    D = -p(h) [ p(w|h) (log p(w|h') + log α'(h) - log p(w|h)) + Σ_unseen p (log α'(h) - log α(h)) ]

(the paper's equation 5), α' being the back-off weight of h without w. It goes if the perplexity
rises by less than a given share, e^D - 1 < θ, and no longer n-gram that stays begins with it. p(h)
is taken from the counts and not from the model: the lower orders of Kneser-Ney smoothing are no
marginal distributions, and pruning by them does harm (Chelba, Brants, Neveitt and Xu 2010).

Afterwards the back-off weights are computed anew: what the seen words leave, divided by what the
lower order gives to the unseen ones. So each distribution sums to one again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiled import Int, compiled

if TYPE_CHECKING:
    from .estimate import _Order

Array = np.ndarray[Any, Any]

_TINY = 1e-12


@compiled
def _mark(
    begin: Array,
    prob: Array,
    lower: Array,
    context_counts: Array,
    tokens: Int,
    threshold: Any,
    needed: Array,
    keep: Array,
) -> None:
    """Set keep (M,) of the n-grams of one order; needed (M,): longer ones begin with it."""
    for context in range(begin.size - 1):
        low, high = begin[context], begin[context + 1]
        if low == high:
            continue
        seen, seen_below = 0.0, 0.0
        for at in range(low, high):
            if keep[at]:
                seen += prob[at]
                seen_below += lower[at]
        left, left_below = max(1 - seen, _TINY), max(1 - seen_below, _TINY)
        weight = np.log(left) - np.log(left_below)
        share = context_counts[context] / tokens
        for at in range(low, high):
            if not keep[at] or needed[at]:
                continue
            p, p_below = np.float64(prob[at]), np.float64(lower[at])
            if p <= 0 or p_below <= 0:
                continue
            without = np.log(left + p) - np.log(left_below + p_below)
            change = -share * (
                p * (np.log(p_below) + without - np.log(p)) + left * (without - weight)
            )
            if np.exp(change) - 1 < threshold:
                keep[at] = False


@compiled
def _weigh(begin: Array, prob: Array, lower: Array, keep: Array, left: Array) -> None:
    """The back-off weights (C,) of contexts from the n-grams that stay."""
    for context in range(begin.size - 1):
        seen, seen_below = 0.0, 0.0
        some = False
        for at in range(begin[context], begin[context + 1]):
            if keep[at]:
                some = True
                seen += prob[at]
                seen_below += lower[at]
        if some:
            left[context] = max(1 - seen, 0.0) / max(1 - seen_below, _TINY)
        else:
            left[context] = 1


@compiled
def _effective(
    begin: Array, prob: Array, lower: Array, keep: Array, left: Array, out: Array
) -> None:
    """The probability (M,) of every n-gram in the pruned model, kept or not."""
    for context in range(begin.size - 1):
        for at in range(begin[context], begin[context + 1]):
            out[at] = prob[at] if keep[at] else left[context] * lower[at]


@compiled
def _needed(begin: Array, keep: Array, out: Array) -> None:
    for context in range(begin.size - 1):
        for at in range(begin[context], begin[context + 1]):
            if keep[at]:
                out[context] = True
                break


def prune_entropy(orders: list[_Order], threshold: float, tokens: int) -> None:
    """Set `keep` of every order above the first, and `left` anew; everything is in memory."""
    for order in orders:
        if order.keep is None:
            order.keep = np.ones(len(order), np.bool_)
    for k in range(len(orders), 1, -1):
        order, below = orders[k - 1], orders[k - 2]
        assert order.keep is not None and order.prob is not None and order.links is not None
        assert below.prob is not None
        needed = np.zeros(len(order), np.bool_)
        if k < len(orders):
            above = orders[k]
            assert above.keep is not None
            _needed(order.begin, above.keep, needed)
        _mark(
            below.begin,
            order.prob,
            below.prob[order.links],
            _context_counts(below, order),
            tokens,
            threshold,
            needed,
            order.keep,
        )
    effective = orders[0].prob
    for order, below in zip(orders[1:], orders, strict=False):
        assert effective is not None and order.links is not None and order.prob is not None
        assert order.keep is not None and below.left is not None
        lower = effective[order.links]
        _weigh(below.begin, order.prob, lower, order.keep, below.left)
        out = np.empty(len(order), np.float32)
        _effective(below.begin, order.prob, lower, order.keep, below.left, out)
        effective = out


def _context_counts(below: _Order, order: _Order) -> Array:
    """How often each context was followed by something (C,)."""
    sums = np.concatenate([[0], np.cumsum(order.counts, dtype=np.int64)])
    counts: Array = np.diff(sums[below.begin])
    return counts
