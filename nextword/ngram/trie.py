"""The layout of a finished model: a trie with failure links.

A node is an n-gram; node 0 is the empty one, unigrams follow by word, then bigrams sorted by
context and word, and so on, so that what follows a context lies side by side. A node of less than
the highest order is also a context. A state is the longest context in the model that the text so
far ends in; it has followers or a back-off weight, or is node 0.

    nodes     (N, 3) uint32   WORD · LOG_PROB: log10 p(word | context) · NEXT_STATE: after the word
    contexts  (C + 1, 3)      FIRST_FOLLOWER, a node · BACKOFF: log10 of the back-off weight ·
                              SHORTER: the next shorter state, the failure link (Aho, Corasick 1975)

The last row of contexts is none: its FIRST_FOLLOWER says where the followers of the last one end.
Logarithms are base 10 in single precision, as ARPA files have them, and bit-cast to uint32.
Compiled loops read LOG_PROB from `probs` and BACKOFF from `weights`, views of both as float32.

A word is scored by looking for it among the followers of the state; if it is not there, the
back-off weight is added and the next shorter state asked (Katz 1987), down to the unigrams, which
are all there.
"""

from __future__ import annotations

#: columns of nodes
WORD, LOG_PROB, NEXT_STATE = 0, 1, 2
#: columns of contexts
FIRST_FOLLOWER, BACKOFF, SHORTER = 0, 1, 2

NODE_COLUMNS, CONTEXT_COLUMNS = 3, 3
HIGHEST_ORDER = 16  # beyond it n-grams do not come twice
