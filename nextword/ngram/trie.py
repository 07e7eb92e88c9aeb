"""The layout of a finished model, a trie with failure links, and the steps by which it is walked.

A node is an n-gram; node 0 is the empty one, unigrams follow by word, then bigrams sorted by
context and word, and so on, so that what follows a context lies side by side. A node of less than
the highest order is also a context. A state is the longest context in the model that the text so
far ends in; it has followers or a back-off weight, or is node 0.

    nodes     (N, 3) uint32   WORD · LOG_PROB: log10 p(word | context) · NEXT_STATE: after the word
    contexts  (C + 1, 3)      FIRST_FOLLOWER, a node · BACKOFF: log10 of the back-off weight ·
                              SHORTER: the next shorter state, the failure link (Aho, Corasick 1975)

Those of the last row of contexts are where the followers of the last context end. Logarithms are
base 10 in single precision, as ARPA files have them, and bit-cast to uint32: compiled loops read
LOG_PROB from `probs` and BACKOFF from `weights`, the float32 views of nodes and contexts.

A word is scored by looking for it among the followers of the state; if it is not there, the
back-off weight is added and the next shorter state asked (Katz 1987), down to the unigrams, which
are all there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import Int, compiled, inlined

Array = np.ndarray[Any, Any]

#: columns of nodes
WORD, LOG_PROB, NEXT_STATE = 0, 1, 2
#: columns of contexts
FIRST_FOLLOWER, BACKOFF, SHORTER = 0, 1, 2

NODE_COLUMNS, CONTEXT_COLUMNS = 3, 3
HIGHEST_ORDER = 16  # beyond it n-grams do not come twice


@inlined
def find_among(nodes: Array, low: Int, size: Int, word: Int) -> Int:
    """The node that is `word` among `size` nodes from `low` on, which stand in the order of their
    words; 0 = none."""
    while size > 4:
        half = size >> 1
        low = low + half if nodes[low + half, WORD] <= word else low
        size -= half
    end = low + size
    while low < end and nodes[low, WORD] < word:
        low += 1
    if low < end and nodes[low, WORD] == word:
        return low
    return 0


@compiled
def find_follower(contexts: Array, nodes: Array, state: Int, word: Int) -> Int:
    """The node of `word` among the followers of a state, or 0.

    Followers stand in the order of their words, so that of word w is among the first w + 1: for
    the frequent words, which have the lowest ids, a few of the first.
    """
    low = np.int64(contexts[state, FIRST_FOLLOWER])
    if state == 0:
        return low + word
    return find_among(
        nodes, low, min(np.int64(contexts[state + 1, FIRST_FOLLOWER]) - low, word + 1), word
    )


@compiled
def score_word(
    contexts: Array, weights: Array, nodes: Array, probs: Array, state: Int, word: Int
) -> tuple[Any, Int]:
    """(log10 p, node) of a word after a state, the node being that of the longest n-gram found."""
    log_prob = 0.0
    while True:
        node = find_follower(contexts, nodes, state, word)
        if node:
            return log_prob + probs[node, LOG_PROB], node
        log_prob += weights[state, BACKOFF]
        state = np.int64(contexts[state, SHORTER])
