"""Makes a table of n-grams in any order, as a file lists them.

`table_from_orders` makes the table of an estimation, in which n-grams are sorted and linked
already.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..compiled import Int, compiled
from ..errors import InputError
from ..text.lexicon import Lexicon
from ..threads import chunks, parallel_map
from .queries import find_follower, score_word
from .table import Table
from .trie import (
    BACKOFF,
    CONTEXT_COLUMNS,
    FIRST_FOLLOWER,
    LOG_PROB,
    NEXT_STATE,
    NODE_COLUMNS,
    SHORTER,
    WORD,
)

Array = np.ndarray[Any, Any]


@compiled
def _find_parents(
    begins: Array,
    begin_offsets: Array,
    words: Array,
    word_offsets: Array,
    ids: Array,
    out: Array,
) -> None:
    """Fill out (m,) with the index of each n-gram's context in the order below; -1 if it is
    missing.

    ids (m, n) are the n-grams. begins and words hold the arrays of all lower orders, one order
    after another; begin_offsets and word_offsets say where each order begins in them.
    """
    order = ids.shape[1]
    for row in range(ids.shape[0]):
        same = row > 0
        if same:
            for depth in range(order - 1):
                if ids[row, depth] != ids[row - 1, depth]:
                    same = False
                    break
        if same:
            out[row] = out[row - 1]
            continue
        node = np.int64(ids[row, 0])
        for depth in range(1, order - 1):
            low = begins[begin_offsets[depth - 1] + node]
            high = begins[begin_offsets[depth - 1] + node + 1]
            base = word_offsets[depth]
            word = ids[row, depth]
            end = high
            while low < high:
                middle = (low + high) >> 1
                if words[base + middle] < word:
                    low = middle + 1
                else:
                    high = middle
            if low == end or words[base + low] != word:
                node = np.int64(-1)
                break
            node = low
        out[row] = node


@compiled
def _link_states(contexts: Array, weights: Array, nodes: Array, probs: Array) -> None:
    """Compute SHORTER and NEXT_STATE from WORD and FIRST_FOLLOWER. Where LOG_PROB is NaN, set it to
    the probability that back-off gives."""
    last = contexts.shape[0] - 1
    for parent in range(last):
        shorter = np.int64(contexts[parent, SHORTER])
        for node in range(contexts[parent, FIRST_FOLLOWER], contexts[parent + 1, FIRST_FOLLOWER]):
            word = np.int64(nodes[node, WORD])
            ending: Int = np.int64(0)
            if parent:
                state = shorter
                while True:
                    ending = find_follower(contexts, nodes, state, word)
                    if ending:
                        break
                    state = np.int64(contexts[state, SHORTER])
                if np.isnan(probs[node, LOG_PROB]):
                    log_prob, _ = score_word(contexts, weights, nodes, probs, shorter, word)
                    probs[node, LOG_PROB] = weights[parent, BACKOFF] + log_prob
                ending = np.int64(nodes[ending, NEXT_STATE])
            following = ending
            if node < last:
                contexts[node, SHORTER] = ending
                followed = contexts[node, FIRST_FOLLOWER] < contexts[node + 1, FIRST_FOLLOWER]
                if followed or weights[node, BACKOFF] != 0:
                    following = np.int64(node)
            nodes[node, NEXT_STATE] = following


class NgramList(NamedTuple):
    """The m n-grams of one order, in any order."""

    ids: Array  # (m, n) uint32
    log_probs: Array  # (m,) float32, base 10
    backoffs: Array  # (m,) float32: log10 of the back-off weights


def table_from_ngrams(path: Path, orders: list[NgramList], lexicon: Lexicon) -> Table:
    """Make a table of the n-grams of the orders 1 to n. The unigrams are all words, in the order of
    their ids.

    If the context of an n-gram is missing, it is added with the probability that back-off gives it.

    Args:
        path: the file of the n-grams, for the message of an error.

    Raises:
        InputError: an n-gram occurs twice.
    """
    orders, begins = sorted_by_context(path, orders, lexicon)
    words = [order.ids[:, -1] for order in orders]
    sizes = [len(some) for some in words]
    offsets = np.concatenate([[1], 1 + np.cumsum(sizes)]).astype(np.int64)
    nodes = np.zeros((int(offsets[-1]), NODE_COLUMNS), np.uint32)
    contexts = np.zeros((int(offsets[-2]) + 1, CONTEXT_COLUMNS), np.uint32)
    probs, weights = nodes.view(np.float32), contexts.view(np.float32)
    nodes[1:, WORD] = np.concatenate(words)
    probs[1:, LOG_PROB] = np.concatenate([order.log_probs for order in orders])
    contexts[0, FIRST_FOLLOWER], contexts[-1, FIRST_FOLLOWER] = 1, offsets[-1]
    for k, begin in enumerate(begins):
        low, high = int(offsets[k]), int(offsets[k + 1])
        contexts[low:high, FIRST_FOLLOWER] = begin[:-1] + high
        weights[low:high, BACKOFF] = orders[k].backoffs
    _link_states(contexts, weights, nodes, probs)
    return Table(nodes, contexts, offsets)


def sorted_by_context(
    path: Path, orders: list[NgramList], lexicon: Lexicon
) -> tuple[list[NgramList], list[Array]]:
    """Sort the n-grams of each order by their contexts, and add missing contexts, with NaN as their
    log-probability; arguments and errors are those of `table_from_ngrams`.

    Returns:
        The n-grams, and for each order but the highest where the followers of its n-grams begin in
        the next order, (m + 1,).
    """
    orders = list(orders)
    words = [orders[0].ids[:, 0]]
    begins: list[Array] = []
    for k in range(1, len(orders)):
        parents = orders[k].ids[:, 0].astype(np.int64)
        if k > 1:
            parents = _parents_of(begins, words, orders[k].ids)
            if (parents < 0).any():
                return sorted_by_context(path, _with_missing_contexts(orders), lexicon)
        orders[k], parents = _sorted(path, orders[k], parents, lexicon)
        begins.append(np.searchsorted(parents, np.arange(len(words[-1]) + 1)))
        words.append(np.ascontiguousarray(orders[k].ids[:, -1]))
    return orders, begins


def _sorted(
    path: Path, order: NgramList, parents: Array, lexicon: Lexicon
) -> tuple[NgramList, Array]:
    """Sort n-grams by the index of their context, parents (m,), then by their last word. Returns
    the n-grams and the parents in that order."""
    keys = parents * len(lexicon) + order.ids[:, -1]
    if np.all(keys[1:] > keys[:-1]):
        return order, parents
    ranks = np.argsort(keys, kind="stable")
    keys = keys[ranks]
    if np.any(twice := keys[1:] == keys[:-1]):
        row = order.ids[ranks[int(np.argmax(twice))]]
        gram = " ".join(lexicon.words()[word] for word in row)
        raise InputError(f"'{path}' has the {len(row)}-gram '{gram}' twice")
    return NgramList(*(column[ranks] for column in order)), parents[ranks]


def _parents_of(begins: list[Array], words: list[Array], ids: Array) -> Array:
    """The index (m,) of the context of each of the n-grams ids (m, n); -1 if it is missing."""
    word_offsets = np.cumsum([0, *(len(some) for some in words[:-1])])
    begin_offsets = np.cumsum([0, *(len(some) for some in begins[:-1])])
    all_begins, all_words = np.concatenate(begins), np.concatenate(words)

    def place(piece: tuple[int, int]) -> Array:
        out = np.empty(piece[1] - piece[0], np.int64)
        some = ids[piece[0] : piece[1]]
        _find_parents(all_begins, begin_offsets, all_words, word_offsets, some, out)
        return out

    return np.concatenate([np.zeros(0, np.int64), *parallel_map(place, chunks(len(ids), 1 << 18))])


def _with_missing_contexts(orders: list[NgramList]) -> list[NgramList]:
    """The n-grams, and the contexts that are missing among them, with the probability NaN."""
    orders = list(orders)
    for k in range(len(orders) - 1, 1, -1):
        below = orders[k - 1]
        have = set(map(bytes, np.ascontiguousarray(below.ids)))
        need = {bytes(row) for row in np.ascontiguousarray(orders[k].ids[:, :-1])} - have
        if not need:
            continue
        rows = np.frombuffer(b"".join(sorted(need)), np.uint32).reshape(len(need), k)
        orders[k - 1] = NgramList(
            np.concatenate([below.ids, rows]),
            np.concatenate([below.log_probs, np.full(len(need), np.nan, np.float32)]),
            np.concatenate([below.backoffs, np.zeros(len(need), np.float32)]),
        )
    return orders
