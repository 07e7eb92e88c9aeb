"""Compiled loops for the queries of a model whose n-grams are in hash tables; `hashed` describes
the arrays. Words are KenLM's ids here, except in `ids`, which `theirs` maps to KenLM's.

A state is unfolded into the words of its context, the last one first, and the log10 back-off weight
of each of its ends: words (n - 1,) uint32 and weights (n - 1,) float32, of which the first `length`
count.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import Int, compiled, stack
from ..text.tokenizer import EOS, UNK

Array = np.ndarray[Any, Any]

_OF_CONTEXT, _OF_WORD = 8978948897894561157, 17894857484156487943
_SIGN = 1 << 31  # a log-probability without it is that of the end of longer n-grams; a weight
# of -0.0 is that of no context

#: columns of places: the first number of the entries, how many there are, numbers in each
FIRST, ENTRIES, WIDTH = 0, 1, 2


@compiled
def copy(source: Array, out: Array, length: Int) -> None:
    """Copy the first entries of an array."""
    for at in range(length):
        out[at] = source[at]


@compiled
def combine(key: np.uint64, word: Int) -> np.uint64:
    """The key of an n-gram, from that of its end and the word before the end."""
    return (key * np.uint64(_OF_CONTEXT)) ^ (np.uint64(word + 1) * np.uint64(_OF_WORD))


@compiled
def find(data: Array, places: Array, order: Int, key: np.uint64) -> Int:
    """The entry of a key among the n-grams of an order; -1 if there is none."""
    first, entries, width = (
        places[order - 1, FIRST],
        places[order - 1, ENTRIES],
        places[order - 1, WIDTH],
    )
    entry = np.int64(key % np.uint64(entries))
    for _ in range(entries):
        at = first + entry * width
        found = np.uint64(data[at]) | (np.uint64(data[at + 1]) << np.uint64(32))
        if found == key:
            return entry
        if found == 0:
            return np.int64(-1)
        entry += 1
        if entry == entries:
            entry = np.int64(0)
    return np.int64(-1)


@compiled
def unfold(
    data: Array,
    places: Array,
    offsets: Array,
    known: Array,
    state: Int,
    words: Array,
    weights: Array,
) -> Int:
    """Fill words and weights with those of a state; returns how many there are."""
    if state == 0:
        return np.int64(0)
    floats = data.view(np.float32)
    if state < offsets[1]:
        words[0] = state - 1
    else:
        copy(known[state - offsets[1]], words, words.size)
    weights[0] = floats[places[0, FIRST] + 2 * np.int64(words[0]) + 1]
    key = np.uint64(words[0])
    length: Int = np.int64(1)
    while state >= offsets[length]:
        key = combine(key, np.int64(words[length]))
        entry = find(data, places, length + 1, key)
        if entry < 0:
            return length
        weights[length] = floats[places[length, FIRST] + places[length, WIDTH] * entry + 3]
        length += 1
    return length


@compiled
def step(
    data: Array,
    places: Array,
    offsets: Array,
    words: Array,
    weights: Array,
    fresh: Array,
    length: Int,
    word: Int,
) -> tuple[Any, Int, Int, Int]:
    """Read a word: words and weights become those after it; fresh (n - 1,) is working memory.

    Returns:
        log10 p of the word, the node of the longest n-gram found, the new length, the new state.
    """
    floats = data.view(np.float32)
    order = places.shape[0]
    at = places[0, FIRST] + 2 * word
    log_prob = -abs(np.float64(floats[at]))
    ends_longer = data[at] < _SIGN
    fresh[0] = floats[at + 1]
    node = 1 + word
    found: Int = np.int64(1)
    kept: Int = np.int64(data[at + 1] != _SIGN)
    state = node if kept else np.int64(0)
    key = np.uint64(word)
    while found <= length and ends_longer:
        key = combine(key, np.int64(words[found - 1]))
        entry = find(data, places, found + 1, key)
        if entry < 0:
            break
        at = places[found, FIRST] + places[found, WIDTH] * entry + 2
        log_prob = -abs(np.float64(floats[at]))
        node = offsets[found] + entry
        found += 1
        if found == order:
            break
        ends_longer = data[at] < _SIGN
        fresh[found - 1] = floats[at + 1]
        if data[at + 1] != _SIGN:
            kept, state = found, node
    for shorter in range(found - 1, length):
        log_prob += weights[shorter]
    for at in range(kept - 1, 0, -1):
        words[at] = words[at - 1]
    words[0] = word
    copy(fresh, weights, kept)
    return log_prob, node, kept, state


@compiled
def score(
    data: Array,
    places: Array,
    offsets: Array,
    known: Array,
    theirs: Array,
    start: Int,
    ids: Array,
    state: Int,
    log_probs: Array,
    found: Array,
    states: Array,
) -> None:
    """Fill log_probs (N,), found (N,) and states (N + 1,) with log10 p and the node of each of ids
    (N,), and the states before and after them, from `state` on."""
    longest = max(1, places.shape[0] - 1)
    words = stack(longest, np.uint32)
    weights = stack(longest, np.float32)
    fresh = stack(longest, np.float32)
    length = unfold(data, places, offsets, known, state, words, weights)
    states[0] = state
    for at in range(ids.size):
        log_probs[at], found[at], length, state = step(
            data, places, offsets, words, weights, fresh, length, np.int64(theirs[ids[at]])
        )
        if ids[at] == EOS:
            state = start
            length = unfold(data, places, offsets, known, start, words, weights)
        if state >= offsets[1]:
            copy(words, known[state - offsets[1]], length)
        states[at + 1] = state


@compiled
def sum_lines(
    data: Array,
    places: Array,
    offsets: Array,
    known: Array,
    theirs: Array,
    start: Int,
    ids: Array,
    starts: Array,
    sums: Array,
    unknown: Array,
) -> None:
    """Fill sums (L,) and unknown (L,) with the sum of log10 p and the number of `<unk>` of L lines;
    starts (L + 1,) says where the lines begin in ids."""
    longest = max(1, places.shape[0] - 1)
    words = stack(longest, np.uint32)
    weights = stack(longest, np.float32)
    fresh = stack(longest, np.float32)
    for line in range(sums.size):
        length = unfold(data, places, offsets, known, start, words, weights)
        sums[line] = 0
        unknown[line] = 0
        for at in range(starts[line], starts[line + 1]):
            log_prob, _, length, _ = step(
                data, places, offsets, words, weights, fresh, length, np.int64(theirs[ids[at]])
            )
            sums[line] += log_prob
            unknown[line] += ids[at] == UNK


@compiled
def score_each(
    data: Array,
    places: Array,
    offsets: Array,
    known: Array,
    theirs: Array,
    state: Int,
    ids: Array,
    out: Array,
) -> None:
    """Fill out (M,) with log10 p of each of ids (M,) after a state."""
    longest = max(1, places.shape[0] - 1)
    words = stack(longest, np.uint32)
    weights = stack(longest, np.float32)
    after = stack(longest, np.uint32)
    after_weights = stack(longest, np.float32)
    fresh = stack(longest, np.float32)
    length = unfold(data, places, offsets, known, state, words, weights)
    for at in range(ids.size):
        copy(words, after, longest)
        copy(weights, after_weights, longest)
        word = np.int64(theirs[ids[at]])
        out[at] = step(data, places, offsets, after, after_weights, fresh, length, word)[0]


@compiled
def followers(data: Array, places: Array, theirs: Array, context: Int, out: Array) -> Int:
    """Write the ids of the words that follow a word in a bigram into `out` (V,); returns how
    many."""
    put: Int = np.int64(0)
    for index in range(theirs.size):
        word = np.int64(theirs[index])
        ends_longer = data[places[0, FIRST] + 2 * word] < _SIGN
        if ends_longer and find(data, places, 2, combine(np.uint64(word), context)) >= 0:
            out[put] = index
            put += 1
    return put
