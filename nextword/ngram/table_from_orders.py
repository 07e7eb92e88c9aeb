"""Makes a table of the smoothed orders of an estimation, with all n-grams that were not pruned.

The state of an n-gram is its longest suffix that is a context in the model; that may be the whole
n-gram. So a state is always a context.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..compiled import Int, compiled
from ..errors import InputError
from ..text.tokenizer import UNK
from .orders import Order
from .progress import Progress
from .storage import Storage
from .table import Table
from .trie import (
    BACKOFF,
    CONTEXT_COLUMNS,
    FIRST_FOLLOWER,
    LOG_PROB,
    NEXT_STATE,
    NO_UNKNOWN,
    NODE_COLUMNS,
    SHORTER,
    WORD,
    ZERO,
)

Array = np.ndarray[Any, Any]

#: offsets (n + 1,) → the nodes (N, 3) and contexts (C + 1, 3) of a table, to be filled
Allocate = Callable[[Array], tuple[Array, Array]]

_NO_INTS, _NO_FLOATS = np.zeros(0, np.uint32), np.zeros(0, np.float32)
_NO_BOOLS = np.zeros(0, np.bool_)


def allocate_in_memory(offsets: Array) -> tuple[Array, Array]:
    """An `Allocate` that makes arrays in memory."""
    nodes = np.empty((int(offsets[-1]), NODE_COLUMNS), np.uint32)
    return nodes, np.empty((int(offsets[-2]) + 1, CONTEXT_COLUMNS), np.uint32)


def table_from_orders(
    orders: list[Order], storage: Storage, allocate: Allocate, progress: Progress
) -> Table:
    """Write the n-grams that were not pruned into a table.

    Args:
        progress: called with the number of n-grams of every order that is done.

    Raises:
        InputError: there are too many n-grams for 32-bit indices.
    """
    sizes = [_kept(order, storage) for order in orders]
    offsets = np.concatenate([[1], 1 + np.cumsum(sizes)]).astype(np.int64)
    total, contexts_total = int(offsets[-1]), int(offsets[-2])
    if total >= 1 << 32:
        raise InputError(f'{total:,} n-grams are more than a model holds; prune: model.prune="0 1"')
    nodes, contexts = allocate(offsets)
    storage.track(nodes)
    storage.track(contexts)
    nodes[0] = 0
    contexts[0] = 0
    contexts[0, FIRST_FOLLOWER] = 1
    contexts[contexts_total] = 0
    contexts[contexts_total, FIRST_FOLLOWER] = total
    table = Table(nodes, contexts, offsets)
    states: Array | None = None  # of the order below: the state of each of its n-grams
    for k, order in enumerate(orders, start=1):
        above = orders[k] if k < len(orders) else None
        shorter = _empty_ngram if states is None else storage.gather(states, order.suffix)
        states = _write_order(table, k, order, above, shorter, storage)
        progress(len(order))
    if orders[0].prob[UNK] <= 0:
        nodes.view(np.float32)[1 + UNK, LOG_PROB] = NO_UNKNOWN
    return table


def _write_order(
    table: Table,
    k: int,
    order: Order,
    above: Order | None,
    shorter: Callable[[int, int], Array],
    storage: Storage,
) -> Array:
    """Write the rows of order k. Returns the state (M,) of each of its n-grams. `shorter` gives the
    states of the suffixes of the n-grams (from, to)."""
    states = storage.zeros(len(order), np.uint32)
    nodes, contexts = table.nodes, table.contexts
    probs, weights = nodes.view(np.float32), contexts.view(np.float32)

    def work(piece: tuple[int, int, int, int]) -> None:
        start, stop, node, child = piece
        _write_rows(
            order.words[start:stop],
            order.prob[start:stop],
            _NO_FLOATS if above is None else order.backoff[start:stop],
            _NO_INTS if above is None else order.begin[start : stop + 1],
            _NO_BOOLS if order.keep is None else order.keep[start:stop],
            _kept_above(order, above, start, stop),
            shorter(start, stop),
            node,
            child,
            nodes,
            probs,
            contexts,
            weights,
            states[start:stop],
        )

    storage.each(work, _pieces_of(order, above, table.offsets, k, storage))
    return states


def _empty_ngram(start: int, stop: int) -> Array:
    """The state 0 of the suffixes of unigrams."""
    return np.zeros(stop - start, np.uint32)


def _kept(order: Order, storage: Storage) -> int:
    """The number of n-grams of an order that were not pruned."""
    if order.keep is None:
        return len(order)
    return sum(int(order.keep[start:stop].sum()) for start, stop in storage.pieces(len(order)))


def _pieces_of(
    order: Order, above: Order | None, offsets: Array, k: int, storage: Storage
) -> list[tuple[int, int, int, int]]:
    """Pieces of an order: (from, to, the node of the first n-gram, its first follower)."""
    pieces = []
    node = int(offsets[k - 1])
    child = int(offsets[k]) if above is not None else 0
    for start, stop in storage.pieces(len(order)):
        pieces.append((start, stop, node, child))
        keep = _NO_BOOLS if order.keep is None else order.keep[start:stop]
        node += int(keep.sum()) if len(keep) else stop - start
        if above is not None:
            kept = _kept_above(order, above, start, stop)
            followers = int(order.begin[stop]) - int(order.begin[start])
            child += int(kept.sum()) if len(kept) else followers
    return pieces


def _kept_above(order: Order, above: Order | None, start: int, stop: int) -> Array:
    if above is None or above.keep is None:
        return _NO_BOOLS
    return above.keep[int(order.begin[start]) : int(order.begin[stop])]


@compiled
def _write_rows(
    words: Array,
    prob: Array,
    backoff: Array,
    begin: Array,
    keep: Array,
    keep_above: Array,
    shorter: Array,
    node: Int,
    child: Int,
    nodes: Array,
    probs: Array,
    contexts: Array,
    weights: Array,
    states: Array,
) -> None:
    """Write the rows of some n-grams from node `node` on; their followers begin at node `child`.

    shorter (m,) is the state of the suffix of each n-gram. states (m,) is filled with the state of
    each n-gram, pruned or not: the n-gram itself if it stays and has followers, else the state of
    its suffix. An empty begin means that this is the highest order, an empty keep or keep_above
    that all n-grams stay.
    """
    for at in range(words.size):
        stays = keep.size == 0 or keep[at]
        followers: Int = 0
        if begin.size:
            low, high = begin[at], begin[at + 1]
            if keep_above.size == 0:
                followers = np.int64(high) - np.int64(low)
            else:
                for above in range(low - begin[0], high - begin[0]):
                    if keep_above[above]:
                        followers += 1
        state = shorter[at]
        if stays and followers:
            state = np.uint32(node)
        states[at] = state
        if stays:
            nodes[node, WORD] = words[at]
            probs[node, LOG_PROB] = _log10(prob[at], 0.0)
            nodes[node, NEXT_STATE] = state
            if begin.size:
                contexts[node, FIRST_FOLLOWER] = child
                weights[node, BACKOFF] = _log10(backoff[at], np.inf) if followers else np.float32(0)
                contexts[node, SHORTER] = shorter[at]
            node += 1
        child += followers


@compiled
def _log10(value: Any, most: Any) -> Any:
    """log10 as float32, at most `most`."""
    if value <= 0:
        return np.float32(ZERO)
    return np.float32(min(math.log10(value), most))
