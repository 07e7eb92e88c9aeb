"""Imitates a detail of lmplz, KenLM's estimation program, in the counts of counts.

lmplz numbers words by first appearance and sorts n-grams by their last word, then the word before,
and so on. In each lower order it uses for the last n-gram the number of occurrences instead of the
continuation count. This may change one count of counts by one, and with it the discounts. The same
is done here, so that the models agree to the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import compiled
from ..text.tokenizer import EOS
from .orders import Order
from .storage import Storage

Array = np.ndarray[Any, Any]


def count_last_as_lmplz(
    of_counts: list[Array], ids: Array, orders: list[Order], storage: Storage
) -> None:
    """Change the counts of counts, an array (7,) for each order, to those of lmplz for the text
    ids (N,)."""
    if len(orders) == 1 or not len(ids):
        return
    last = _last_ngram(ids, len(orders[0]), len(orders), storage)
    for k in range(1, min(len(orders), len(last) + 1)):
        gram = last[-k:]
        place = gram[0]
        for depth, word in enumerate(gram[1:], start=1):
            begin = orders[depth - 1].begin
            low, high = int(begin[place]), int(begin[place + 1])
            place = low + int(np.searchsorted(orders[depth].words[low:high], word))
        order = orders[k - 1]
        theirs, ours = int(order.counts[place]), int(order.adjusted[place])
        if k == 1 and gram[0] == EOS:
            continue
        for count, change in ((theirs, 1), (ours, -1)):
            if count < len(of_counts[k - 1]):
                of_counts[k - 1][count] += change


def _last_ngram(ids: Array, vocab_size: int, order: int, storage: Storage) -> list[int]:
    """The n-gram of at most `order` words that lmplz sorts last. It is shorter if a line begins
    within it."""
    first = np.zeros(vocab_size, np.int64)
    for start, stop in storage.pieces(len(ids)):
        _first_places(ids[start:stop], start, first)
    first[EOS] = 1  # the end of a line sorts before all words, its beginning before that
    word = int(np.argmax(first))
    ends = np.concatenate(
        [
            start + np.flatnonzero(ids[start:stop] == word)
            for start, stop in storage.pieces(len(ids))
        ]
    )
    gram = [word]
    while len(gram) < order and len(ends):
        before = ends - len(gram)
        previous = np.where(before >= 0, ids[np.maximum(before, 0)], EOS)
        ranks = np.where(previous == EOS, 0, first[previous])
        best = int(ranks.max())
        ends = ends[ranks == best]
        if best == 0:
            gram.insert(0, EOS)
            break
        gram.insert(0, int(ids[ends[0] - len(gram)]))
    return gram


@compiled
def _first_places(ids: Array, start: int, first: Array) -> None:
    """Set first (V,) to 2 + the position of the first appearance, for the words of ids, a piece of
    the text that begins at position `start`. 1 is the beginning of a line, 0 a word that has not
    appeared."""
    for at in range(ids.size):
        if first[ids[at]] == 0:
            first[ids[at]] = start + at + 2
