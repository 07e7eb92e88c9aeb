"""Lists the n-grams of a table, and looks up the probabilities of listed n-grams."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import compiled
from .queries import advance, score_word
from .table import Table
from .trie import FIRST_FOLLOWER, WORD

Array = np.ndarray[Any, Any]


def ngram_ids(table: Table) -> list[Array]:
    """The n-grams of each order in the order of their nodes, (m, n) uint32."""
    found: list[Array] = []
    for k in range(table.order):
        low, high = int(table.offsets[k]), int(table.offsets[k + 1])
        words = np.asarray(table.nodes[low:high, WORD])[:, None]
        if k:
            first = table.contexts[int(table.offsets[k - 1]) : low + 1, FIRST_FOLLOWER]
            counts = (first[1:] - first[:-1]).astype(np.int64)
            words = np.hstack([np.repeat(found[-1], counts, 0), words])
        found.append(np.ascontiguousarray(words))
    return found


def score_ngrams(table: Table, ids: Array) -> Array:
    """log10 p (m,) float64 of the last word of each of the n-grams ids (m, n) after the words
    before it."""
    log_probs = np.empty(len(ids))
    _score(*table.arrays, np.ascontiguousarray(ids), log_probs)
    return log_probs


@compiled
def _score(
    contexts: Array, weights: Array, nodes: Array, probs: Array, ids: Array, out: Array
) -> None:
    last = ids.shape[1] - 1
    for row in range(ids.shape[0]):
        state = advance(contexts, nodes, ids[row, :last], 0)
        out[row] = score_word(contexts, weights, nodes, probs, state, np.int64(ids[row, last]))[0]
