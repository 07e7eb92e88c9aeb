"""The n-grams of one order while a model is estimated, and how each is linked to its suffix.

An order is a set of parallel arrays, index j running over its n-grams, which stand sorted by their
context and then their last word: those that follow a context lie side by side. The n-gram h w is a
follower of h in the order below; its suffix is h' w, h' being h without its first word.
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
    """The M n-grams of one order. The arrays without a value are made by the later steps."""

    words: Array  # (M,) uint32: the last word of each
    counts: Array  # (M,) uint32: how often each occurs
    followers: Array  # (M,) uint32: n-grams of the next order that begin with it
    begin: Array  # (M + 1,) uint32: they stand at begin[j] … begin[j + 1] - 1 of the next order
    suffix: Array = field(init=False)  # (M,) uint32: the place of the suffix in the order below
    adjusted: Array = field(init=False)  # (M,) uint32: the count that the smoothing goes by
    prob: Array = field(init=False)  # (M,) float32
    backoff: Array = field(init=False)  # (M,) float32: the back-off weight as a context
    keep: Array | None = None  # (M,) bool: not pruned; None = all are kept

    def __len__(self) -> int:
        return len(self.words)


def orders_of(counts: NgramCounts, storage: Storage) -> list[Order]:
    """The orders 1 to n of what was counted, without links yet."""
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
    """(from, to) of contexts that have about `size` followers together; begin (C + 1,): where the
    followers of each begin."""
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
    """Fill in `suffix`. The suffix of an n-gram that occurs occurs too, so it is always found."""
    if len(orders) > 1:
        orders[1].suffix = orders[1].words  # unigrams stand in the order of their ids
    for k in range(3, len(orders) + 1):
        _link_suffixes(orders[k - 1], orders[k - 2], orders[k - 3], storage)


def _link_suffixes(order: Order, below: Order, lowest: Order, storage: Storage) -> None:
    """Those of one order, from the suffixes of the order below: those of the contexts."""
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
    """Fill out (m,) with the place of the suffix h' w of every n-gram h w: among those that follow
    h'.

    shorter (G,): the place of h' of each context h; only those within low … high - 1 are looked at.
    begin (G + 1,): where the followers of h begin in words; lower_begin, lower_words: the same of
    h'.
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
