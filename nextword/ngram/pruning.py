"""Pruning removes n-grams from a model, by their counts or by entropy.

By counts, n-grams are removed that occur a given number of times or less. By entropy (Stolcke 1998,
arXiv:cs/0006025), n-grams are removed that change the distribution least. Removing the n-gram h w
changes the distribution after h by the relative entropy

    D = -p(h) [ p(w|h) (log p(w|h') + log α'(h) - log p(w|h)) + Σ_unseen p (log α'(h) - log α(h)) ]

(equation 5 of the paper), where α' is the back-off weight of h without w. The n-gram is removed if
the perplexity rises by less than a given share, e^D - 1 < θ, and no longer n-gram that stays begins
with it. p(h) is the relative frequency of h: the lower orders of Kneser-Ney smoothing are not
marginal distributions, and pruning by them gives worse models (Chelba, Brants, Neveitt and Xu
2010).

Afterwards the back-off weights are computed again: the mass that the remaining n-grams leave,
divided by the mass that the lower order gives to all other words. So each distribution sums to one.
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
    """The largest count with which n-grams of order k are removed. The last number of `prune` is
    also that of all higher orders.

    Example:
        >>> [pruned_count((0, 1), k) for k in (1, 2, 3)]
        [0, 1, 1]
    """
    return prune[min(k, len(prune)) - 1] if prune else 0


def prune_by_count(orders: list[Order], prune: tuple[int, ...], storage: Storage) -> None:
    """Set `keep` in every order from which n-grams are removed. The probabilities already take it
    into account; see `backoff.interpolate`."""
    for k, order in enumerate(orders, start=1):
        if threshold := pruned_count(prune, k):
            keep = storage.appender(np.bool_)
            for start, stop in storage.pieces(len(order)):
                keep.append(order.counts[start:stop] > threshold)
            order.keep = keep.close()


def prune_by_entropy(orders: list[Order], threshold: float, tokens: int) -> None:
    """Set `keep` in every order above the first, and compute `backoff` again, all in memory.

    Args:
        threshold: θ; an n-gram is removed if the perplexity rises by less than this share.
        tokens: the number of tokens of the text, for p(h).
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
    """(C,): how often each context occurs with a word after it."""
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
    """Set keep (M,) to False for the n-grams of one order that are removed. needed (M,) says that a
    longer n-gram, which stays, begins with it."""
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
    """Fill backoff (C,) with the back-off weights of contexts, from the n-grams that stay."""
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
    """Fill out (M,) with the probability that the pruned model gives every n-gram, removed ones
    too."""
    for context in range(begin.size - 1):
        for at in range(begin[context], begin[context + 1]):
            out[at] = prob[at] if keep[at] else backoff[context] * lower[at]


@compiled
def _needed(begin: Array, keep: Array, out: Array) -> None:
    """Fill out (C,) with whether any follower of a context stays."""
    for context in range(begin.size - 1):
        for at in range(begin[context], begin[context + 1]):
            if keep[at]:
                out[context] = True
                break
