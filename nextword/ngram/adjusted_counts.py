"""Adjusted counts, from which the smoothing of each order is computed (Heafield et al. 2013,
section 3.2).

In the highest order they are the numbers of occurrences. In lower orders Kneser-Ney smoothing uses
continuation counts: the number of different words that precede the n-gram. N-grams at the beginning
of a line, which no word precedes, keep their number of occurrences. Other smoothing methods use
occurrences in every order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import Int, compiled
from ..text.tokenizer import EOS
from .orders import Order
from .storage import Storage

Array = np.ndarray[Any, Any]


def adjust_counts(orders: list[Order], continuation: bool, storage: Storage) -> None:
    """Fill in `adjusted`: continuation counts below the highest order, or occurrences."""
    orders[-1].adjusted = orders[-1].counts
    first, stop = EOS, EOS + 1  # the range of n-grams that begin a line
    for k in range(1, len(orders)):
        order, above = orders[k - 1], orders[k]
        if not continuation:
            order.adjusted = order.counts
            continue
        out = storage.appender(np.uint32)
        for low, high in storage.spans(len(order)):
            different = np.zeros(high - low, np.uint32)
            for start, end in storage.pieces(len(above)):
                _count_suffixes(above.suffix[start:end], low, high, different)
            if k > 1 and first < high and stop > low:
                a, b = max(first, low), min(stop, high)
                different[a - low : b - low] = order.counts[a:b]
            out.append(different)
        order.adjusted = out.close()
        first, stop = int(order.begin[first]), int(order.begin[stop])


@compiled
def _count_suffixes(suffix: Array, low: Int, high: Int, out: Array) -> None:
    """Add to out (high - low,) how often each of the indices low to high - 1 is a suffix."""
    for at in range(suffix.size):
        place = np.int64(suffix[at])
        if low <= place < high:
            out[place - low] += 1


def counts_of_counts(orders: list[Order], storage: Storage) -> list[Array]:
    """For every order an array (7,) int64: how many n-grams have the adjusted count 0, 1, … 6."""
    found = []
    for order in orders:
        of_counts = np.zeros(7, np.int64)
        for start, stop in storage.pieces(len(order)):
            of_counts += np.bincount(np.minimum(order.adjusted[start:stop], 7), minlength=8)[:7]
        found.append(of_counts)
    return found
