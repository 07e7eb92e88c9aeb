"""Counts n-grams: which ones a text holds, and how often.

The n-grams of each order stand sorted by their first n - 1 words, then by their last: those that
follow one context lie side by side. `partition` divides the text by first words into parts that are
worked on by several threads, or one after the other where memory is short; `refinement` finds the
n-grams of a part.

A line is a sentence. As in KenLM and SRILM the beginning of a line is a word that is seen but never
predicted (`<s>`) and its end one that is predicted but never seen (`</s>`). Both are `<eos>` here:
first in an n-gram it is the one, last the other, and it is never in the middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..compiled import parallel_map
from ..errors import InputError
from .partition import Text, parts_in_memory, parts_on_disk
from .progress import Progress
from .refinement import refine
from .storage import Storage

Array = np.ndarray[Any, Any]

_MOST = 0xFFFFFFFF  # tokens: places have 32 bits


@dataclass
class NgramCounts:
    """How often the n-grams of orders 1 to n (index 0 to n - 1) occur, the unigrams being all words
    by id."""

    words: list[Array]  # (M_k,) uint32: the last word of each
    counts: list[Array]  # (M_k,) uint32: how often it occurs
    followers: list[Array]  # (M_k,) uint32: n-grams of the next order that begin with it
    tokens: int  # of the text, line ends included

    @property
    def order(self) -> int:
        """Words of the longest n-grams."""
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
    """Count the n-grams of orders 1 to `order` in ids (N,), lines ending in `<eos>`.

    A last line without an end is given one.

    Args:
        progress: told of the tokens of every part when it is done.

    Raises:
        InputError: the text is too long, or too large for the memory bound.
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
        del batch, found  # before the next are made
    done = [[column.close() for column in row] for row in columns]
    return NgramCounts(
        [np.arange(vocab_size, dtype=np.uint32), *(row[0] for row in done)],
        [unigrams, *(row[1] for row in done)],
        [first, *(row[2] for row in done[:-1])] if order > 1 else [],
        text.tokens,
    )
