"""The layout of an n-gram model: a trie with failure links.

A node is an n-gram. Node 0 is the empty one; unigrams follow in the order of their ids, then
bigrams sorted by context and word, and so on, so the followers of a context are adjacent. A node
below the highest order is also a context. A state is the longest context in the model that the text
so far ends in; it has followers or a back-off weight, or is node 0.

    nodes     (N, 3) uint32   WORD · LOG_PROB: log10 p(word | context) · NEXT_STATE: after the word
    contexts  (C + 1, 3)      FIRST_FOLLOWER, a node · BACKOFF: log10 of the back-off weight ·
                              SHORTER: the next shorter state, the failure link (Aho, Corasick 1975)

The last row of contexts is no context: its FIRST_FOLLOWER is the end of the last context's
followers. Logarithms have base 10 and single precision, as in ARPA files, and are stored as the
bits of uint32. Compiled loops read LOG_PROB from `probs` and BACKOFF from `weights`, views of both
arrays as float32.

To score a word, search for it among the followers of the state. If it is not found, add the
back-off weight and continue with the next shorter state (Katz 1987). The unigrams contain every
word.

A probability of zero has the logarithm -99, as in ARPA files. An unknown word never has it: in a
closed model, and in a file without `<unk>`, it has the probability 10^-100, as in KenLM.
"""

from __future__ import annotations

#: columns of nodes
WORD, LOG_PROB, NEXT_STATE = 0, 1, 2
#: columns of contexts
FIRST_FOLLOWER, BACKOFF, SHORTER = 0, 1, 2

NODE_COLUMNS, CONTEXT_COLUMNS = 3, 3
#: log10 of zero, and of the probability of an unknown word that has none
ZERO, NO_UNKNOWN = -99.0, -100.0
HIGHEST_ORDER = 16  # longer n-grams hardly ever occur twice
