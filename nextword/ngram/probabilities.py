"""Smooths the orders from the lowest to the highest: computes probabilities and back-off weights.

Several threads work on pieces, each with all followers of some contexts. The arithmetic of a
context does not depend on the piece, so the results are equal to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..text.tokenizer import EOS, UNK
from .backoff import back_off, context_totals, interpolate
from .orders import Order, contexts_by_size
from .pruning import pruned_count
from .settings import NgramSettings
from .smoothing import Smoothing, Statistics
from .storage import Storage

Array = np.ndarray[Any, Any]


def smooth_order(
    orders: list[Order],
    k: int,
    method: type[Smoothing],
    settings: NgramSettings,
    of_counts: Array,
    storage: Storage,
) -> Smoothing:
    """Set `prob` of order k and `backoff` of the order below, whose `prob` must be set already.

    Args:
        of_counts: (7,) how many n-grams of order k have the adjusted count 0, 1, … 6.

    Returns:
        The smoothing method, fitted to the order.
    """
    vocab_size = len(orders[0])
    words = vocab_size - (0 if settings.open or orders[0].counts[UNK] else 1)
    if k == 1:
        fitted = _smooth_unigrams(orders[0], method, settings, of_counts, words)
        if method.uniform and len(orders) > 1:
            orders[0].prob = _uniform(len(orders[0]), words)
        return fitted
    order, below = orders[k - 1], orders[k - 2]
    lower = storage.gather(below.prob, order.suffix)
    pieces = contexts_by_size(below.begin, storage.piece_size, storage)

    def sweep() -> Iterator[tuple[Array, Array, Array]]:
        for piece in pieces:
            some = _Followers.of(order, below, piece)
            yield some.count, some.total, lower(some.first, some.last)
            storage.release()

    fitted = method.fit(Statistics(k, words, of_counts, settings, sweep))
    prob = storage.zeros(len(order), np.float32)
    backoff = storage.zeros(len(below), np.float32)
    backs_off = method.backs_off or not settings.interpolate
    weigh = partial(back_off, method.backs_off) if backs_off else interpolate
    discounts = np.array(fitted.discounts, np.float32)

    def work(piece: tuple[int, int]) -> None:
        some = _Followers.of(order, below, piece)
        kept = fitted.keep(some.count, some.total, some.types)
        weigh(
            some.begin,
            order.counts[some.first : some.last],
            pruned_count(settings.prune, k),
            some.count,
            kept,
            discounts,
            lower(some.first, some.last),
            prob[some.first : some.last],
            backoff[piece[0] : piece[1]],
        )

    storage.each(work, pieces)
    order.prob, below.backoff = prob, backoff
    if method.uniform and k < len(orders):
        _forget_context(orders, k, words)
    return fitted


def _uniform(vocab_size: int, words: int) -> Array:
    """1/V for each of the V = `words` words that are possible."""
    uniform = np.full(vocab_size, 1 / np.float32(words), np.float32)
    if words < vocab_size:
        uniform[UNK] = 0
    return uniform


def _forget_context(orders: list[Order], k: int, words: int) -> None:
    """Make order k, which is not the highest, the uniform distribution, for a method whose unseen
    n-grams are equally probable. Only at the beginning of a line is an n-gram of order k a whole
    context and its word, so those that begin one stay."""
    first, stop = EOS, EOS + 1
    for lower in orders[: k - 2]:
        first, stop = int(lower.begin[first]), int(lower.begin[stop])
    order, below = orders[k - 1], orders[k - 2]
    begin, end = int(below.begin[first]), int(below.begin[stop])
    below.backoff[:first] = below.backoff[stop:] = 1
    order.prob[:begin] = order.prob[end:] = 1 / np.float32(words)


@dataclass
class _Followers:
    """The followers of some contexts, with counts in single precision, as in lmplz."""

    first: int
    last: int
    begin: Array  # (G + 1,) uint32: where the followers of each context begin
    count: Array  # (m,) float32: the adjusted count
    total: Array  # (m,) float32: the sum of the counts over its context
    types: Array  # (m,) float32: how many different words follow its context

    @classmethod
    def of(cls, order: Order, below: Order, contexts: tuple[int, int]) -> _Followers:
        """The followers of the contexts (from, to) of the order below."""
        begin = below.begin[contexts[0] : contexts[1] + 1]
        first, last = int(begin[0]), int(begin[-1])
        count, total, types = (np.empty(last - first, np.float32) for _ in range(3))
        context_totals(begin, order.adjusted[first:last], count, total, types)
        return cls(first, last, begin, count, total, types)


def _smooth_unigrams(
    order: Order, method: type[Smoothing], settings: NgramSettings, of_counts: Array, words: int
) -> Smoothing:
    """Smooth order 1, which has a single context, the empty one. Its lower order is uniform,
    1/V."""
    count = order.adjusted.astype(np.float32)
    total = np.full(len(count), float(order.adjusted.sum(dtype=np.int64)), np.float32)
    uniform = _uniform(len(count), words)
    seen = count > 0

    def sweep() -> Iterator[tuple[Array, Array, Array]]:
        yield count[seen], total[seen], uniform[seen]

    fitted = method.fit(Statistics(1, words, of_counts, settings, sweep))
    types = np.full(len(count), float(seen.sum()), np.float32)
    kept = np.where(seen, fitted.keep(count, total, types), 0)
    over = np.float32((count - kept).sum(dtype=np.float64))
    if fitted.discounts:
        d1, d2, d3 = np.array(fitted.discounts, np.float32)
        n = np.bincount(np.minimum(order.adjusted, 3), minlength=4).astype(np.float32)
        over = (d1 * n[1] + d2 * n[2]) + d3 * n[3]
    rest = total[0] + 1 if method.backs_off and over <= 0 else total[0]
    over = np.float32(1) / rest if rest > total[0] else over / rest
    kept = kept / rest
    if settings.interpolate and not method.backs_off:
        order.prob = (kept + over * uniform).astype(np.float32)
    else:
        unseen = float(uniform[~seen].sum(dtype=np.float64))
        if unseen == 0:
            order.prob = (kept / kept.sum(dtype=np.float64)).astype(np.float32)
        else:
            order.prob = np.where(seen, kept, uniform * (over / unseen)).astype(np.float32)
    return fitted
