"""Compiled loops for the queries of a model; the methods of `Table` call them.

All of them use `find_follower`, most by way of `score_word`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import Int, compiled, inlined, prefetch, stack
from ..text.tokenizer import UNK
from .trie import BACKOFF, FIRST_FOLLOWER, LOG_PROB, NEXT_STATE, SHORTER, WORD

Array = np.ndarray[Any, Any]

ONE = np.uint64(1)  # unsigned, as in `word_bytes`

_LANES = 16  # lines that are read in parallel
#: what is known of a lane: its line, the state, the places of the next word in ids and of the
#: line's end there, the next word, and the nodes among which it is searched for
_LINE, _STATE, _AT, _STOP, _NEXT, _LOW, _SIZE, _LANE_COLUMNS = range(8)


@inlined
def _last_up_to(nodes: Array, low: np.uint64, size: np.uint64, word: np.uint64) -> np.uint64:
    """The last of `size` nodes from `low` on whose word is at most `word`, or `low` if there is
    none; they are sorted by their words.

    No branch depends on what is read, so a processor that has to wait for one node goes on with
    what comes after.
    """
    while size > ONE:
        half = size >> ONE
        low += half * np.uint64(nodes[low + half, WORD] <= word)
        size -= half
    return low


@compiled
def find_follower(contexts: Array, nodes: Array, state: Int, word: Int) -> Int:
    """The node of `word` among the followers of a state; 0 if there is none.

    Followers are sorted by their words, so word w is among the first w + 1 of them. Frequent words
    have low ids and are found among the first few.
    """
    context, wanted = np.uint64(state), np.uint64(word)
    low = np.uint64(contexts[context, FIRST_FOLLOWER])
    if context == 0:
        return np.int64(low + wanted)
    size = min(np.uint64(contexts[context + ONE, FIRST_FOLLOWER]) - low, wanted + ONE)
    if size == 0:
        return np.int64(0)
    node = _last_up_to(nodes, low, size, wanted)
    return np.int64(node) if nodes[node, WORD] == wanted else np.int64(0)


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
    Several lines are read in parallel, one step of each in turn, and what a line will read next is
    prefetched while the others take their steps: so the waits for memory overlap.
    """
    lanes = stack((_LANES, _LANE_COLUMNS), np.uint64)
    total = stack(_LANES, np.float64)
    total[:] = 0
    lines, taken = np.uint64(starts.size - 1), np.uint64(0)
    lane: Any
    active = min(np.uint64(_LANES), lines)
    for lane in range(active):
        _begin_line(lanes, lane, ids, starts, taken, begin)
        unknown[taken] = 0
        taken += ONE
    while active > 0:
        for lane in range(active):
            state, word = lanes[lane, _STATE], lanes[lane, _NEXT]
            low = np.uint64(contexts[state, FIRST_FOLLOWER])
            size = min(np.uint64(contexts[state + ONE, FIRST_FOLLOWER]) - low, word + ONE)
            lanes[lane, _LOW] = low if state else low + word
            lanes[lane, _SIZE] = size if state else ONE
            prefetch(nodes, lanes[lane, _LOW] + (lanes[lane, _SIZE] >> ONE))
        for lane in range(active):
            lanes[lane, _LOW] = _last_up_to(
                nodes, lanes[lane, _LOW], lanes[lane, _SIZE], lanes[lane, _NEXT]
            )
        lane = np.uint64(0)
        while lane < active:
            state, word, node = lanes[lane, _STATE], lanes[lane, _NEXT], lanes[lane, _LOW]
            line = lanes[lane, _LINE]
            if lanes[lane, _SIZE] == 0 or nodes[node, WORD] != word:
                total[lane] += weights[state, BACKOFF]
                lanes[lane, _STATE] = contexts[state, SHORTER]
            else:
                total[lane] += probs[node, LOG_PROB]
                unknown[line] += word == UNK
                lanes[lane, _STATE] = nodes[node, NEXT_STATE]
                lanes[lane, _AT] += ONE
                if lanes[lane, _AT] < lanes[lane, _STOP]:
                    lanes[lane, _NEXT] = ids[lanes[lane, _AT]]
                else:
                    sums[line], total[lane] = total[lane], 0.0
                    if taken == lines:  # no line is left: the last lane takes its place
                        active -= ONE
                        total[lane] = total[active]
                        for column in range(_LANE_COLUMNS):
                            lanes[lane, column] = lanes[active, column]
                        continue
                    _begin_line(lanes, lane, ids, starts, taken, begin)
                    unknown[taken] = 0
                    taken += ONE
            prefetch(contexts, lanes[lane, _STATE])
            lane += ONE


@inlined
def _begin_line(
    lanes: Array, lane: np.uint64, ids: Array, starts: Array, line: np.uint64, begin: Int
) -> None:
    lanes[lane, _LINE], lanes[lane, _STATE] = line, np.uint64(begin)
    lanes[lane, _AT], lanes[lane, _STOP] = np.uint64(starts[line]), np.uint64(starts[line + ONE])
    lanes[lane, _NEXT] = ids[lanes[lane, _AT]]


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
    chain = stack(64, np.int64)
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
