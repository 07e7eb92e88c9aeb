"""Compiled loops for the queries of a model; the methods of `Table` call them.

All of them use `find_follower`, most by way of `score_word`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import Int, compiled, inlined
from ..text.tokenizer import UNK
from .trie import BACKOFF, FIRST_FOLLOWER, LOG_PROB, NEXT_STATE, SHORTER, WORD

Array = np.ndarray[Any, Any]

_LANES = 8  # lines that are read in parallel


@inlined
def _find_among(nodes: Array, low: Int, size: Int, word: Int) -> Int:
    """The node of `word` among `size` nodes from `low` on, which are sorted by their words; 0 if
    there is none."""
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
    """The node of `word` among the followers of a state; 0 if there is none.

    Followers are sorted by their words, so word w is among the first w + 1 of them. Frequent words
    have low ids and are found among the first few.
    """
    low = np.int64(contexts[state, FIRST_FOLLOWER])
    if state == 0:
        return low + word
    return _find_among(
        nodes, low, min(np.int64(contexts[state + 1, FIRST_FOLLOWER]) - low, word + 1), word
    )


@compiled
def score_word(
    contexts: Array, weights: Array, nodes: Array, probs: Array, state: Int, word: Int
) -> tuple[Any, Int]:
    """(log10 p, node) of a word after a state; the node is that of the longest n-gram found."""
    log_prob = 0.0
    while True:
        node = find_follower(contexts, nodes, state, word)
        if node:
            return log_prob + probs[node, LOG_PROB], node
        log_prob += weights[state, BACKOFF]
        state = np.int64(contexts[state, SHORTER])


@compiled
def score(
    contexts: Array,
    weights: Array,
    nodes: Array,
    probs: Array,
    ids: Array,
    state: Int,
    log_probs: Array,
    found: Array,
) -> Int:
    """Fill log_probs (N,) and found (N,) with log10 p and the node of each of ids (N,), which are
    read one after another from `state` on. Returns the state after the last."""
    for at in range(ids.size):
        log_prob, node = score_word(contexts, weights, nodes, probs, state, np.int64(ids[at]))
        log_probs[at] = log_prob
        found[at] = node
        state = np.int64(nodes[node, NEXT_STATE])
    return state


@compiled
def sum_lines(
    contexts: Array,
    weights: Array,
    nodes: Array,
    probs: Array,
    ids: Array,
    starts: Array,
    begin: Int,
    sums: Array,
    unknown: Array,
) -> None:
    """Fill sums (L,) and unknown (L,) with the sum of log10 p and the number of `<unk>` of L lines.

    starts (L + 1,) says where the lines begin in ids; each is read from the state `begin` on.
    Several lines are read in parallel, one step of each in turn. In a step all lines first load the
    position of their states' followers, then all search there: so the waits for memory overlap.
    """
    lines = starts.size - 1
    line = np.zeros(_LANES, np.int64)
    at, stop, state, word = line.copy(), line.copy(), line.copy(), line.copy()
    low, size = line.copy(), line.copy()
    total = np.zeros(_LANES)
    taken, active = 0, min(_LANES, lines)
    for lane in range(active):
        line[lane], at[lane], state[lane] = taken, starts[taken], begin
        stop[lane], word[lane] = starts[taken + 1], ids[starts[taken]]
        unknown[taken] = 0
        taken += 1
    while active > 0:
        for lane in range(active):
            context = state[lane]
            low[lane] = np.int64(contexts[context, FIRST_FOLLOWER])
            size[lane] = min(
                np.int64(contexts[context + 1, FIRST_FOLLOWER]) - low[lane], word[lane] + 1
            )
        lane = 0
        while lane < active:
            context = state[lane]
            if context == 0:
                node = low[lane] + word[lane]
            else:
                node = _find_among(nodes, low[lane], size[lane], word[lane])
            if node == 0:
                total[lane] += weights[context, BACKOFF]
                state[lane] = np.int64(contexts[context, SHORTER])
                lane += 1
                continue
            total[lane] += probs[node, LOG_PROB]
            if word[lane] == UNK:
                unknown[line[lane]] += 1
            state[lane] = np.int64(nodes[node, NEXT_STATE])
            at[lane] += 1
            if at[lane] < stop[lane]:
                word[lane] = ids[at[lane]]
                lane += 1
                continue
            sums[line[lane]] = total[lane]
            total[lane] = 0.0
            if taken < lines:
                line[lane], at[lane], state[lane] = taken, starts[taken], begin
                stop[lane], word[lane] = starts[taken + 1], ids[starts[taken]]
                unknown[taken] = 0
                taken += 1
                lane += 1
            else:  # no line is left: the last lane takes its place
                active -= 1
                line[lane], at[lane], stop[lane] = line[active], at[active], stop[active]
                state[lane], word[lane], total[lane] = state[active], word[active], total[active]
                low[lane], size[lane] = low[active], size[active]


@compiled
def advance(contexts: Array, nodes: Array, ids: Array, state: Int) -> Int:
    """The state after ids (N,)."""
    for at in range(ids.size):
        word = np.int64(ids[at])
        while True:
            node = find_follower(contexts, nodes, state, word)
            if node:
                break
            state = np.int64(contexts[state, SHORTER])
        state = np.int64(nodes[node, NEXT_STATE])
    return state


@compiled
def states_along(contexts: Array, nodes: Array, ids: Array, state: Int, out: Array) -> None:
    """Fill out (N + 1,) with `state` and the states after each of ids (N,)."""
    out[0] = state
    for at in range(ids.size):
        out[at + 1] = advance(contexts, nodes, ids[at : at + 1], out[at])


@compiled
def distribution(
    contexts: Array, weights: Array, nodes: Array, probs: Array, state: Int, out: Array
) -> None:
    """Fill out (V,) with log10 p of every word after a state: first from the unigrams, then from
    ever longer contexts."""
    chain = np.empty(64, np.int64)
    length = 0
    while state:
        chain[length] = state
        length += 1
        state = np.int64(contexts[state, SHORTER])
    over = np.float32(0)
    for at in range(length):
        over += weights[chain[at], BACKOFF]
    for word in range(out.size):
        out[word] = probs[word + 1, LOG_PROB] + over
    for at in range(length - 1, -1, -1):
        over = np.float32(0)
        for longer in range(at):
            over += weights[chain[longer], BACKOFF]
        for node in range(
            contexts[chain[at], FIRST_FOLLOWER], contexts[chain[at] + 1, FIRST_FOLLOWER]
        ):
            out[nodes[node, WORD]] = probs[node, LOG_PROB] + over


@compiled
def best_words(
    contexts: Array,
    weights: Array,
    nodes: Array,
    probs: Array,
    states: Array,
    known: Array,
    out: Array,
    scratch: Array,
) -> None:
    """Fill out (M,) with the most probable word after each of states (M,).

    known (C,) stores word + 1 for every state whose word has been found; scratch (64,) is working
    memory.

    The word is the best follower of the state, or the best word of the next shorter state if that
    is no follower. If it is a follower, and its probability is lower than back-off would give, the
    whole distribution must be computed. This does not happen in interpolated models.
    """
    for at in range(states.size):
        state = states[at]
        if known[state] == 0:
            depth = 0
            walk = state
            while known[walk] == 0:  # shorter states are processed first
                scratch[depth] = walk
                depth += 1
                if walk == 0:
                    break
                walk = np.int64(contexts[walk, SHORTER])
            for index in range(depth - 1, -1, -1):
                known[scratch[index]] = 1 + _best_word(
                    contexts, weights, nodes, probs, np.int64(scratch[index]), known
                )
        out[at] = known[state] - 1


@compiled
def _best_word(
    contexts: Array, weights: Array, nodes: Array, probs: Array, state: Int, known: Array
) -> Int:
    best, high = np.int64(-1), -np.inf
    for node in range(contexts[state, FIRST_FOLLOWER], contexts[state + 1, FIRST_FOLLOWER]):
        if probs[node, LOG_PROB] > high:
            best, high = np.int64(nodes[node, WORD]), probs[node, LOG_PROB]
    if state == 0:
        return best
    fail = np.int64(contexts[state, SHORTER])
    other = np.int64(known[fail]) - 1
    log_prob, _ = score_word(contexts, weights, nodes, probs, fail, other)
    log_prob += weights[state, BACKOFF]
    follower = find_follower(contexts, nodes, state, other)
    if follower == 0:
        return other if log_prob > high or (log_prob == high and other < best) else best
    if probs[follower, LOG_PROB] >= log_prob:
        return best
    for word in range(contexts[1, FIRST_FOLLOWER] - contexts[0, FIRST_FOLLOWER]):
        log_prob, _ = score_word(contexts, weights, nodes, probs, state, word)
        if log_prob > high or (log_prob == high and word < best):
            best, high = np.int64(word), log_prob
    return best
