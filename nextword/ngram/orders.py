"""The n-grams of one order during an estimation, and the link from each n-gram to its suffix.

An order is a set of parallel arrays over its n-grams, which are sorted by their context and then by
their last word, so the followers of a context are adjacent. The n-gram h w is a follower of the
context h, an n-gram of the order below. Its suffix is h' w, where h' is h without its first word.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ..compiled import Int, compiled
from .counting import NgramCounts
from .storage import Storage

Array = np.ndarray[Any, Any]


@dataclass(repr=False)
class Order:
    """The M n-grams of one order. Later steps of the estimation set the arrays without a value."""

    words: Array  # (M,) uint32: the last word of each
    counts: Array  # (M,) uint32: how often each occurs
    followers: Array  # (M,) uint32: how many n-grams of the next order begin with it
    begin: Array  # (M + 1,) uint32: these are begin[j] to begin[j + 1] - 1 in the next order
    suffix: Array = field(init=False)  # (M,) uint32: the index of the suffix in the order below
    adjusted: Array = field(init=False)  # (M,) uint32: the count that the smoothing uses
    prob: Array = field(init=False)  # (M,) float32
    backoff: Array = field(init=False)  # (M,) float32: the back-off weight of it as a context
    keep: Array | None = None  # (M,) bool: False = pruned; None = all are kept

    def __len__(self) -> int:
        return len(self.words)


def orders_of(counts: NgramCounts, storage: Storage) -> list[Order]:
    """The orders 1 to n of the counted n-grams, without links to suffixes."""
    orders = []
    for k in range(counts.order):
        last = k == counts.order - 1
        followers = np.zeros(0, np.uint32) if last else counts.followers[k]
        begin = storage.appender(np.uint32)
        total = 0
        begin.append(np.zeros(1, np.uint32))
        for start, stop in storage.pieces(len(followers)):
            sums = np.cumsum(followers[start:stop], dtype=np.int64) + total
            total = int(sums[-1])
            begin.append(sums)
        orders.append(Order(counts.words[k], counts.counts[k], followers, begin.close()))
    return orders


def contexts_by_size(begin: Array, size: int, storage: Storage) -> list[tuple[int, int]]:
    """Divide contexts into pieces (from, to) with about `size` followers each; begin (C + 1,) says
    where the followers of each context begin."""
    total = int(begin[-1])
    if total <= size:
        return [(0, len(begin) - 1)]
    bounds = [np.zeros(1, np.int64)]
    for start, stop in storage.pieces(len(begin) - 1):
        share = begin[start : stop + 1] // size
        bounds.append(start + 1 + np.flatnonzero(share[1:] != share[:-1]))
    cuts = np.unique(np.concatenate([*bounds, [len(begin) - 1]]))
    return list(pairwise(cuts.tolist()))


def link_suffixes(orders: list[Order], storage: Storage) -> None:
    """Set `suffix` in all orders. If an n-gram occurs, its suffix does too, so it is always
    found."""
    if len(orders) > 1:
        orders[1].suffix = orders[1].words  # the index of a unigram is its id
    for k in range(3, len(orders) + 1):
        _link_suffixes(orders[k - 1], orders[k - 2], orders[k - 3], storage)


def _link_suffixes(order: Order, below: Order, lowest: Order, storage: Storage) -> None:
    """Set `suffix` in one order, from the suffixes of its contexts, which are in the order
    below."""
    suffix = storage.zeros(len(order), np.uint32)
    for low, high in contexts_by_size(lowest.begin, storage.window, storage):
        lower_begin = storage.in_memory(lowest.begin[low : high + 1])
        lower_words = storage.in_memory(below.words[int(lower_begin[0]) : int(lower_begin[-1])])

        def work(
            piece: tuple[int, int],
            low: int = low,
            high: int = high,
            lower_begin: Array = lower_begin,
            lower_words: Array = lower_words,
        ) -> None:
            start, stop = piece
            begin = below.begin[start : stop + 1]
            first, last = int(begin[0]), int(begin[-1])
            _find_suffixes(
                below.suffix[start:stop],
                begin,
                order.words[first:last],
                low,
                high,
                lower_begin,
                lower_words,
                suffix[first:last],
            )

        storage.each(work, contexts_by_size(below.begin, storage.piece_size, storage))
    order.suffix = suffix


@compiled
def _find_suffixes(
    shorter: Array,
    begin: Array,
    words: Array,
    low: Int,
    high: Int,
    lower_begin: Array,
    lower_words: Array,
    out: Array,
) -> None:
    """Fill out (m,) with the index of the suffix h' w of every n-gram h w, found among the
    followers of h'.

    shorter (G,) is the index of h' for each context h; only those from low to high - 1 are
    processed. begin (G + 1,) says where the followers of h begin in words; lower_begin and
    lower_words are the same arrays for h'.
    """
    base = begin[0]
    lower_base = np.int64(lower_begin[0])
    for group in range(shorter.size):
        link = np.int64(shorter[group])
        if link < low or link >= high:
            continue
        at = np.int64(lower_begin[link - low]) - lower_base
        end = np.int64(lower_begin[link - low + 1]) - lower_base
        for child in range(begin[group] - base, begin[group + 1] - base):
            word = words[child]
            if end - at > 16:
                left, right = at, end
                while left < right:
                    middle = (left + right) >> 1
                    if lower_words[middle] < word:
                        left = middle + 1
                    else:
                        right = middle
                at = left
            else:
                while lower_words[at] < word:
                    at += 1
            out[child] = at + lower_base
            at += 1
