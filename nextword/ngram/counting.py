"""Counts the n-grams of a text.

The n-grams of each order are sorted by their first n - 1 words, then by the last word, so the
followers of a context are adjacent. `partition` divides the n-grams by their first words into parts
for several threads, or for one part after the other if memory is short; `refinement` finds the
n-grams of a part.

A line is a sentence. As in KenLM and SRILM, the beginning of a line is a word that is never
predicted (`<s>`), and the end is a word that is never in a context (`</s>`). Both have the id of
`<eos>` here: as the first word of an n-gram it means the beginning, as the last word the end. It
never stands in the middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..threads import parallel_map
from .partition import Text, parts_in_memory, parts_on_disk
from .progress import Progress
from .refinement import refine
from .storage import Storage

Array = np.ndarray[Any, Any]

_MOST = 0xFFFFFFFF  # the most tokens of a text: positions have 32 bits


@dataclass
class NgramCounts:
    """The n-grams of the orders 1 to n (index 0 to n - 1) and their counts. The unigrams are all
    words of the vocabulary, in the order of their ids."""

    words: list[Array]  # (M_k,) uint32: the last word of each n-gram
    counts: list[Array]  # (M_k,) uint32: how often it occurs
    followers: list[Array]  # (M_k,) uint32: how many n-grams of the next order begin with it
    tokens: int  # tokens of the text, line ends included

    @property
    def order(self) -> int:
        """n, the number of words of the longest n-grams."""
        return len(self.words)

    def __len__(self) -> int:
        return sum(map(len, self.words))


def count_ngrams(
    ids: Array,
    vocab_size: int,
    order: int,
    storage: Storage,
    progress: Progress | None = None,
) -> NgramCounts:
    """Count the n-grams of the orders 1 to `order` in ids (N,), in which every line ends in
    `<eos>`. An `<eos>` that is missing at the end is added.

    Args:
        progress: called with the number of tokens of every part that is done.

    Raises:
        InputError: the text is too long, or too large for the memory bound.

    Example:
        >>> counts = count_ngrams(np.array([2, 3, 1]), 4, 2, Storage())  # the line "a b"
        >>> counts.counts[0].tolist(), len(counts.words[1])  # bigrams: <s> a, a b, b </s>
        ([0, 1, 1, 1], 3)
    """
    text = Text(ids)
    if text.tokens >= _MOST:
        raise InputError(f"{text.tokens:,} tokens are more than one count holds ({_MOST:,})")
    unigrams = np.zeros(vocab_size, np.uint32)
    for piece, starts in text.pieces(1):
        unigrams += np.bincount(piece[:starts], minlength=vocab_size).astype(np.uint32)
        storage.release()
    first = np.zeros(vocab_size, np.uint32)
    columns = [[storage.appender(np.uint32) for _ in range(3)] for _ in range(2, order + 1)]
    parts = (
        parts_on_disk(text, unigrams, order, storage)
        if storage.bounded
        else parts_in_memory(text, vocab_size, storage)
    )
    for batch in parts:
        found = parallel_map(lambda part: refine(part, order), batch, storage.workers)
        for part, (followers, higher) in zip(batch, found, strict=True):
            first[part.first : part.stop] += followers
            for row, arrays in zip(columns, higher, strict=True):
                for column, values in zip(row, arrays, strict=True):
                    column.append(values)
            if progress:
                progress(len(part.items))
            del part, followers, higher
        del batch, found  # free them before the next ones are made
    done = [[column.close() for column in row] for row in columns]
    return NgramCounts(
        [np.arange(vocab_size, dtype=np.uint32), *(row[0] for row in done)],
        [unigrams, *(row[1] for row in done)],
        [first, *(row[2] for row in done[:-1])] if order > 1 else [],
        text.tokens,
    )
