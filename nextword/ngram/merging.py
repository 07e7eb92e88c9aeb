"""Merges n-gram models of different vocabularies into one (static interpolation, as SRILM's
`ngram -mix-lm`; Stolcke 2002, section 3.2).

    p(w | h) = Σ_i λ_i p_i(w | h)    for every n-gram h w that a member has
    p_i(w | h) = 0                   if member i does not know w

Words of h that a member does not know are `<unk>` to it. Back-off weights are computed anew, so
that the probabilities after every context sum to one. The vocabulary is the union; `<unk>` keeps
the share of what no member knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..compiled import Int, compiled
from ..text.lexicon import Lexicon
from ..text.tokenizer import UNK
from .listing import ngram_ids, score_ngrams
from .queries import score_word
from .table import LN10, Table
from .table_from_ngrams import NgramList, table_from_ngrams
from .trie import BACKOFF, FIRST_FOLLOWER, LOG_PROB, NO_UNKNOWN, SHORTER, WORD, ZERO

Array = np.ndarray[Any, Any]


class Member(NamedTuple):
    """A model, and its ids of the words of a larger vocabulary."""

    table: Table
    ids: Array  # (V,) uint32: union id → own id; `<unk>` if the word is unknown

    def log_probs(self, text: Array) -> Array:
        """Natural log-probabilities (N,) of a text (N,) of union ids, from the beginning of a line;
        -∞ for words that the model does not know and the union does."""
        own = self.ids[text]
        found = self.table.score(own)[0].astype(np.float64) * LN10
        found[(own == UNK) & (text != UNK)] = -np.inf
        return found


def union(lexicons: Sequence[Lexicon]) -> tuple[Lexicon, list[Array]]:
    """The words of all vocabularies, those of the first one first, and for each vocabulary its ids
    (V,) of them; 0, `<unk>`, if it lacks a word."""
    words: dict[str, int] = {}
    for lexicon in lexicons:
        for word in lexicon.words():
            words.setdefault(word, len(words))
    maps = []
    for lexicon in lexicons:
        own = np.zeros(len(words), np.uint32)
        own[[words[word] for word in lexicon.words()]] = np.arange(len(lexicon), dtype=np.uint32)
        maps.append(own)
    return Lexicon.of(words), maps


def merge(members: Sequence[Member], lexicon: Lexicon, weights: Sequence[float]) -> Table:
    """Merge models into one over the union of their vocabularies.

    Args:
        members: at least one.
        lexicon: the union.
        weights: λ (K,), which sum to one.
    """
    orders: list[NgramList] = []
    ngrams = [_ngrams(member) for member in members]
    for k in range(1, max(map(len, ngrams)) + 1):
        rows = np.concatenate([some[k - 1] for some in ngrams if len(some) >= k])
        rows = np.unique(rows, axis=0)  # of order 1: all words
        total = np.zeros(len(rows))
        for member, weight in zip(members, weights, strict=True):
            own = member.ids[rows]
            log_probs = score_ngrams(member.table, own)
            known = (own[:, -1] != UNK) | (rows[:, -1] == UNK)
            total += np.where(known, weight * 10**log_probs, 0)
        with np.errstate(divide="ignore"):
            merged = np.maximum(np.log10(total), ZERO)
        if k == 1:
            merged[UNK] = max(merged[UNK], NO_UNKNOWN) if total[UNK] > 10**ZERO else NO_UNKNOWN
        orders.append(NgramList(rows, merged.astype(np.float32), np.zeros(len(rows), np.float32)))
    table = table_from_ngrams(Path("the merged models"), orders, lexicon)
    for k in range(1, table.order):
        _normalise(*table.arrays, int(table.offsets[k - 1]), int(table.offsets[k]))
    table.beginning = members[0].table.beginning
    return table


def _ngrams(member: Member) -> list[Array]:
    """The n-grams of each order, (m, n) uint32 of union ids."""
    to_union = np.zeros(member.table.vocab_size, np.uint32)
    known = np.flatnonzero(member.ids != UNK)
    to_union[member.ids[known]] = known
    return [to_union[ids] for ids in ngram_ids(member.table)]


@compiled
def _normalise(
    contexts: Array, weights: Array, nodes: Array, probs: Array, first: Int, stop: Int
) -> None:
    """Compute the back-off weights of the contexts first to stop - 1, whose shorter contexts are
    done: (1 - Σ p(w | h)) / (1 - Σ p(w | h')), the sums running over the words seen after h."""
    for context in range(first, stop):
        low, high = contexts[context, FIRST_FOLLOWER], contexts[context + 1, FIRST_FOLLOWER]
        if low == high:
            continue
        seen, lower = 0.0, 0.0
        shorter = np.int64(contexts[context, SHORTER])
        for node in range(low, high):
            seen += 10.0 ** probs[node, LOG_PROB]
            word = np.int64(nodes[node, WORD])
            lower += 10.0 ** score_word(contexts, weights, nodes, probs, shorter, word)[0]
        weight = np.float32(ZERO)
        if seen < 1 - 1e-7 and lower < 1 - 1e-7:
            weight = np.float32(np.log10((1 - seen) / (1 - lower)))
        weights[context, BACKOFF] = weight
