"""Pruning: which n-grams a model leaves out, those that came rarely or those that change little.

By counts, n-grams that occur so often or less go. By entropy (Stolcke 1998, arXiv:cs/0006025) those
go that change least: taking the n-gram h w out of a model changes its distribution after h by

    D = -p(h) [ p(w|h) (log p(w|h') + log α'(h) - log p(w|h)) + Σ_unseen p (log α'(h) - log α(h)) ]

(the paper's equation 5), α' being the back-off weight of h without w. It goes if the perplexity
rises by less than a given share, e^D - 1 < θ, and no longer n-gram that stays begins with it. p(h)
is taken from the counts and not from the model: the lower orders of Kneser-Ney smoothing are no
marginal distributions, and pruning by them does harm (Chelba, Brants, Neveitt and Xu 2010).

Afterwards the back-off weights are computed anew: what the seen words leave, divided by what the
lower order gives to the unseen ones. So each distribution sums to one again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import Int, compiled
from .orders import Order
from .storage import Storage

Array = np.ndarray[Any, Any]

_TINY = 1e-12


def pruned_count(prune: tuple[int, ...], k: int) -> int:
    """N-grams of order k that occur so often or less are left out; the last number goes on."""
    return prune[min(k, len(prune)) - 1] if prune else 0


def prune_by_count(orders: list[Order], prune: tuple[int, ...], storage: Storage) -> None:
    """Set `keep` of every order that has something to leave out. The probabilities were made for
    it: see `backoff.interpolate`."""
    for k, order in enumerate(orders, start=1):
        if threshold := pruned_count(prune, k):
            keep = storage.appender(np.bool_)
            for start, stop in storage.pieces(len(order)):
                keep.append(order.counts[start:stop] > threshold)
            order.keep = keep.close()


def prune_by_entropy(orders: list[Order], threshold: float, tokens: int) -> None:
    """Set `keep` of every order above the first, and `backoff` anew; everything is in memory.

    Args:
        threshold: n-grams without which the perplexity rises by less than this share go.
        tokens: of the text, by which contexts are as probable as they are frequent.
    """
    keeps = [np.ones(len(o), np.bool_) if o.keep is None else o.keep for o in orders]
    for k in range(len(orders), 1, -1):
        order, below = orders[k - 1], orders[k - 2]
        needed = np.zeros(len(order), np.bool_)
        if k < len(orders):
            _needed(order.begin, keeps[k], needed)
        _choose(
            below.begin,
            order.prob,
            below.prob[order.suffix],
            _context_counts(below, order),
            tokens,
            threshold,
            needed,
            keeps[k - 1],
        )
    pruned = orders[0].prob
    for order, below, keep in zip(orders[1:], orders, keeps[1:], strict=False):
        lower = pruned[order.suffix]
        _weigh(below.begin, order.prob, lower, keep, below.backoff)
        pruned = np.empty(len(order), np.float32)
        _effective(below.begin, order.prob, lower, keep, below.backoff, pruned)
    for order, keep in zip(orders, keeps, strict=True):
        order.keep = keep


def _context_counts(below: Order, order: Order) -> Array:
    """How often each context was followed by something (C,)."""
    sums = np.concatenate([[0], np.cumsum(order.counts, dtype=np.int64)])
    counts: Array = np.diff(sums[below.begin])
    return counts


@compiled
def _choose(
    begin: Array,
    prob: Array,
    lower: Array,
    context_counts: Array,
    tokens: Int,
    threshold: Any,
    needed: Array,
    keep: Array,
) -> None:
    """Set keep (M,) of the n-grams of one order to False where they go; needed (M,) says that a
    longer one that stays begins with it."""
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
def _weigh(begin: Array, prob: Array, lower: Array, keep: Array, backoff: Array) -> None:
    """Fill backoff (C,): the back-off weights of contexts, from the n-grams that stay."""
    for context in range(begin.size - 1):
        seen, seen_below = 0.0, 0.0
        some = False
        for at in range(begin[context], begin[context + 1]):
            if keep[at]:
                some = True
                seen += prob[at]
                seen_below += lower[at]
        if some:
            backoff[context] = max(1 - seen, 0.0) / max(1 - seen_below, _TINY)
        else:
            backoff[context] = 1


@compiled
def _effective(
    begin: Array, prob: Array, lower: Array, keep: Array, backoff: Array, out: Array
) -> None:
    """Fill out (M,) with the probability of every n-gram in the pruned model, kept or not."""
    for context in range(begin.size - 1):
        for at in range(begin[context], begin[context + 1]):
            out[at] = prob[at] if keep[at] else backoff[context] * lower[at]


@compiled
def _needed(begin: Array, keep: Array, out: Array) -> None:
    """Fill out (C,): whether any follower of a context stays."""
    for context in range(begin.size - 1):
        for at in range(begin[context], begin[context + 1]):
            if keep[at]:
                out[context] = True
                break
