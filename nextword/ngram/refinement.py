"""Finds the n-grams in a part of a text by refining groups of positions.

The positions of the text are grouped by the word there. Each group is divided by the next word, and
so on (the first steps of a suffix sort; Manber and Myers 1993). A group of step k is an n-gram of
order k, and its size is the number of occurrences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..compiled import Int, compiled, stack
from ..text.tokenizer import EOS

Array = np.ndarray[Any, Any]

_LOW = 0xFFFFFFFF  # the half of an item that holds the position


@dataclass
class TextPart:
    """The positions of a text at which the words `first` to `stop` - 1 stand. If that is a single
    word, the part may have only the positions with certain second words."""

    first: int
    stop: int
    stream: Array  # the array that positions refer to: the text, or windows of n words
    items: Array  # (m,) uint64, sorted: 2^32·first word + position


def refine(part: TextPart, order: int) -> tuple[Array, list[tuple[Array, Array, Array]]]:
    """Find the n-grams of the orders 1 to n = `order` in a part.

    Returns:
        For the words of the part, how many different words follow each, (stop - first,). And for
        each of the orders 2 to n the arrays (M,) uint32 of its sorted n-grams: the last word, the
        number of occurrences, and the number of followers (empty in order n).
    """
    keys = np.arange(part.first, part.stop + 1, dtype=np.uint64) << np.uint64(32)
    starts = np.searchsorted(part.items, keys).astype(np.uint32)
    items = part.items
    orders: list[tuple[Array, Array, Array]] = []
    first = followers = np.zeros(part.stop - part.first, np.uint32)
    words = np.zeros(0, np.uint32)
    for k in range(1, order):
        if k > 1:
            counts = np.diff(starts)
            items = items[: _drop_ended(items, starts)]
            followers = np.empty(len(words), np.uint32)
            orders.append((words, counts, followers))
        next_words = np.empty(len(items), np.uint32)
        next_starts = np.empty(len(items) + 1, np.uint32)
        made = _extend(part.stream, items, starts, followers, next_words, next_starts)
        words, starts = next_words[:made].copy(), next_starts[: made + 1].copy()
    if order > 1:
        orders.append((words, np.diff(starts), np.zeros(0, np.uint32)))
    return first, orders


@compiled
def _sort(items: Array, first: Int, stop: Int) -> None:
    """Sort distinct items by quicksort. Pivots are random, because repetitive text ("a a a a")
    makes fixed pivots quadratic."""
    lows = stack(128, np.int64)
    highs = stack(128, np.int64)
    lows[0], highs[0] = first, stop
    depth = 1
    state = np.uint64(88172645463325252)
    while depth > 0:
        depth -= 1
        low, high = lows[depth], highs[depth]
        while high - low > 12:
            state ^= state << np.uint64(13)
            state ^= state >> np.uint64(7)
            state ^= state << np.uint64(17)
            pivot = items[low + np.int64(state % np.uint64(high - low))]
            left, right = low, high - 1
            while left <= right:
                while items[left] < pivot:
                    left += 1
                while items[right] > pivot:
                    right -= 1
                if left <= right:
                    items[left], items[right] = items[right], items[left]
                    left += 1
                    right -= 1
            if right + 1 - low > high - left:  # push the larger part, so the stack stays small
                lows[depth], highs[depth] = low, right + 1
                low = left
            else:
                lows[depth], highs[depth] = left, high
                high = right + 1
            depth += 1
        for right in range(low + 1, high):
            item = items[right]
            left = right
            while left > low and items[left - 1] > item:
                items[left] = items[left - 1]
                left -= 1
            items[left] = item


@compiled
def _extend(
    stream: Array, items: Array, starts: Array, followers: Array, words: Array, following: Array
) -> Int:
    """Divide every group of positions by the next word.

    items (m,) holds 2^32·word + position of the last word of each n-gram, sorted by group, and is
    changed in place; starts (G + 1,) says where groups begin. followers (G,) is filled with the
    number of different next words of each group, words and following with these words and with
    where the new groups begin. Returns the number of new groups.

    Groups whose n-grams end in `<eos>` must have been dropped. In order 1 `<eos>` means the
    beginning of a line, and only those that a word follows are among the items.
    """
    put = 0
    made = 0
    for group in range(starts.size - 1):
        lo, hi = starts[group], starts[group + 1]
        followers[group] = 0
        first = put
        for at in range(lo, hi):
            place = np.int64(items[at] & np.uint64(_LOW)) + 1
            items[put] = (np.uint64(stream[place]) << np.uint64(32)) | np.uint64(place)
            put += 1
        size = put - first
        if size == 0:
            continue
        if size <= 12:
            for right in range(first + 1, put):
                item = items[right]
                left = right
                while left > first and items[left - 1] > item:
                    items[left] = items[left - 1]
                    left -= 1
                items[left] = item
        else:
            _sort(items, first, put)
        last = np.uint64(_LOW)
        for at in range(first, put):
            word = items[at] >> np.uint64(32)
            if at == first or word != last:
                words[made] = word
                following[made] = at
                made += 1
                followers[group] += 1
                last = word
    following[made] = put
    return made


@compiled
def _drop_ended(items: Array, starts: Array) -> Int:
    """Remove the items of groups whose n-grams end in `<eos>`. Returns how many items are left."""
    put = 0
    for group in range(starts.size - 1):
        lo, hi = starts[group], starts[group + 1]
        starts[group] = put
        if hi > lo and items[lo] >> np.uint64(32) != EOS:
            for at in range(lo, hi):
                items[put] = items[at]
                put += 1
    starts[starts.size - 1] = put
    return put
