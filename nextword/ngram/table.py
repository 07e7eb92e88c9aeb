"""The finished model: a trie of n-grams with failure links, two arrays that can be mapped from a
file, and the questions asked of it.

A node is an n-gram; node 0 is the empty one, unigrams follow by word, then bigrams sorted by
context and word, and so on, so that what follows a context lies side by side. A node of less than
the highest order is also a context. A state is the longest context in the model that the text so
far ends in; it has followers or a back-off weight, or is node 0.

    nodes     (N, 3) uint32   word · log10 p(word | context) · the state after it
    contexts  (C + 1, 3)      first follower · log10 back-off weight · the next shorter state

Log-probabilities are base 10 in single precision, bit-cast to uint32, as ARPA files have them. So
a word is scored by looking for it among the state's followers; if it is not there, the back-off
weight is added and the next shorter state asked (Katz 1987), down to the unigrams, which are all
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ..compiled import Int, chunks, compiled, inlined, spread, threads
from ..text.numbering import Lexicon
from ..text.tokenizer import EOS, UNK

Array = np.ndarray[Any, Any]

NODE, CONTEXT = 3, 3
HIGHEST = 16  # order; beyond it n-grams do not come twice
WORD, LOG_PROB, NEXT = 0, 1, 2
BEGIN, BACKOFF, FAIL = 0, 1, 2
LN10 = 2.302585092994046

_LANES = 8  # lines read side by side
_SHARE = 1 << 15  # tokens per piece when several threads score
_TEXT = 1 << 16  # bytes of text


@inlined
def _among(nodes: Array, low: Int, size: Int, word: Int) -> Int:
    """Which of the nodes from `low` on, in the order of their words, is `word`; 0 = none."""
    while size > 4:
        half = size >> 1
        low = low + half if nodes[low + half, 0] <= word else low
        size -= half
    end = low + size
    while low < end and nodes[low, 0] < word:
        low += 1
    if low < end and nodes[low, 0] == word:
        return low
    return 0


@compiled
def _child(contexts: Array, nodes: Array, state: Int, word: Int) -> Int:
    """The follower of a state that is `word`, or 0.

    Followers stand in the order of their words, so that of word w is among the first w + 1: for
    the frequent words, which have the lowest ids, a few of the first.
    """
    low = np.int64(contexts[state, 0])
    if state == 0:
        return low + word
    return _among(nodes, low, min(np.int64(contexts[state + 1, 0]) - low, word + 1), word)


@compiled
def _step(
    contexts: Array, weights: Array, nodes: Array, probs: Array, state: Int, word: Int
) -> tuple[Any, Int]:
    """(log10 p, node) of a word after a state."""
    log_prob = 0.0
    while True:
        node = _child(contexts, nodes, state, word)
        if node:
            return log_prob + probs[node, 1], node
        log_prob += weights[state, 1]
        state = np.int64(contexts[state, 2])


@compiled
def _score(
    contexts: Array,
    weights: Array,
    nodes: Array,
    probs: Array,
    ids: Array,
    state: Int,
    log_probs: Array,
    found: Array,
) -> Int:
    """log10 p (N,) of every word after those before it, the node of each, and the last state."""
    for at in range(ids.size):
        log_prob, node = _step(contexts, weights, nodes, probs, state, np.int64(ids[at]))
        log_probs[at] = log_prob
        found[at] = node
        state = np.int64(nodes[node, 2])
    return state


@compiled
def _sum_lines(
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
    """Per line the sum of log10 p and how many words were id 0; starts (L + 1,): where lines begin
    in ids, begin: the state each begins in.

    Several lines are read side by side, a look of each in turn. First all of them fetch where the
    followers of their states are, then all of them look there: so their waits for memory overlap.
    That makes it twice as fast.
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
            low[lane] = np.int64(contexts[context, 0])
            size[lane] = min(np.int64(contexts[context + 1, 0]) - low[lane], word[lane] + 1)
        lane = 0
        while lane < active:
            context = state[lane]
            if context == 0:
                node = low[lane] + word[lane]
            else:
                node = _among(nodes, low[lane], size[lane], word[lane])
            if node == 0:
                total[lane] += weights[context, 1]
                state[lane] = np.int64(contexts[context, 2])
                lane += 1
                continue
            total[lane] += probs[node, 1]
            if word[lane] == UNK:
                unknown[line[lane]] += 1
            state[lane] = np.int64(nodes[node, 2])
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
            else:  # the last lane moves into its place
                active -= 1
                line[lane], at[lane], stop[lane] = line[active], at[active], stop[active]
                state[lane], word[lane], total[lane] = state[active], word[active], total[active]
                low[lane], size[lane] = low[active], size[active]


@compiled
def _advance(contexts: Array, nodes: Array, ids: Array, state: Int) -> Int:
    for at in range(ids.size):
        word = np.int64(ids[at])
        while True:
            node = _child(contexts, nodes, state, word)
            if node:
                break
            state = np.int64(contexts[state, 2])
        state = np.int64(nodes[node, 2])
    return state


@compiled
def _states(contexts: Array, nodes: Array, ids: Array, state: Int, out: Array) -> None:
    out[0] = state
    for at in range(ids.size):
        out[at + 1] = _advance(contexts, nodes, ids[at : at + 1], out[at])


@compiled
def _spread_out(
    contexts: Array, weights: Array, nodes: Array, probs: Array, state: Int, out: Array
) -> None:
    """log10 p (V,) of every word after a state: the unigrams, then each longer context."""
    chain = np.empty(64, np.int64)
    length = 0
    while state:
        chain[length] = state
        length += 1
        state = np.int64(contexts[state, 2])
    over = np.float32(0)
    for at in range(length):
        over += weights[chain[at], 1]
    for word in range(out.size):
        out[word] = probs[word + 1, 1] + over
    for at in range(length - 1, -1, -1):
        over = np.float32(0)
        for longer in range(at):
            over += weights[chain[longer], 1]
        for node in range(contexts[chain[at], 0], contexts[chain[at] + 1, 0]):
            out[nodes[node, 0]] = probs[node, 1] + over


@compiled
def _best(
    contexts: Array,
    weights: Array,
    nodes: Array,
    probs: Array,
    states: Array,
    known: Array,
    out: Array,
    scratch: Array,
) -> None:
    """The most probable word after each of the states; `known` (C,) remembers word + 1.

    It is the best follower, or the best word of the next shorter state if that is not among the
    followers. If it is, and is less probable there than its context's leftover would make it (not
    so in interpolated models), everything has to be looked at.
    """
    for at in range(states.size):
        state = states[at]
        if known[state] == 0:
            depth = 0
            walk = state
            while known[walk] == 0:  # from short to long
                scratch[depth] = walk
                depth += 1
                if walk == 0:
                    break
                walk = np.int64(contexts[walk, 2])
            for index in range(depth - 1, -1, -1):
                known[scratch[index]] = 1 + _best_of(
                    contexts, weights, nodes, probs, np.int64(scratch[index]), known
                )
        out[at] = known[state] - 1


@compiled
def _best_of(
    contexts: Array, weights: Array, nodes: Array, probs: Array, state: Int, known: Array
) -> Int:
    best, high = np.int64(-1), -np.inf
    for node in range(contexts[state, 0], contexts[state + 1, 0]):
        if probs[node, 1] > high:
            best, high = np.int64(nodes[node, 0]), probs[node, 1]
    if state == 0:
        return best
    fail = np.int64(contexts[state, 2])
    other = np.int64(known[fail]) - 1
    log_prob, _ = _step(contexts, weights, nodes, probs, fail, other)
    log_prob += weights[state, 1]
    node = _child(contexts, nodes, state, other)
    if node == 0:
        return other if log_prob > high or (log_prob == high and other < best) else best
    if probs[node, 1] >= log_prob:
        return best
    for word in range(contexts[1, 0] - contexts[0, 0]):
        log_prob, _ = _step(contexts, weights, nodes, probs, state, word)
        if log_prob > high or (log_prob == high and word < best):
            best, high = np.int64(word), log_prob
    return best


@dataclass
class Table:
    """An n-gram model. States and nodes are indices; logarithms are base 10."""

    nodes: Array  # (N, 3) uint32
    contexts: Array  # (C + 1, 3) uint32
    offsets: Array  # (n + 1,) int64: the first node of each order, then N
    _known: Array | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._arrays = (
            self.contexts,
            self.contexts.view(np.float32),
            self.nodes,
            self.nodes.view(np.float32),
        )

    @property
    def order(self) -> int:
        return len(self.offsets) - 1

    @property
    def vocab_size(self) -> int:
        return int(self.offsets[1] - self.offsets[0])

    @property
    def counts(self) -> list[int]:
        """How many n-grams there are of each order."""
        return [int(n) for n in np.diff(self.offsets)]

    @property
    def nbytes(self) -> int:
        return self.nodes.nbytes + self.contexts.nbytes

    @property
    def start(self) -> int:
        """The state at the beginning of a line."""
        return int(self.nodes[1 + EOS, NEXT])

    def score(self, ids: Array, state: int | None = None) -> tuple[Array, Array, int]:
        """ids (N,), read from a state on (default: the beginning of a line) → log10 p (N,)
        float32, the n-gram that each was found as (N,) uint32, and the state after the last."""
        log_probs = np.empty(len(ids), np.float32)
        found = np.empty(len(ids), np.uint32)
        begin = self.start if state is None else state
        last = _score(*self._arrays, np.ascontiguousarray(ids), begin, log_probs, found)
        return log_probs, found, int(last)

    def score_lines(self, ids: Array, workers: int | None = None) -> tuple[Array, Array, Array]:
        """ids (N,) of whole lines, each ending in `<eos>` → per line the sum of log10 p (float64),
        the number of tokens and of unknown ones (int32)."""
        ids = np.ascontiguousarray(ids)
        starts = np.concatenate([[0], np.flatnonzero(ids == EOS) + 1])
        lines = len(starts) - 1
        sums, unknown = np.empty(lines), np.empty(lines, np.int32)
        share = max(1, int(_SHARE * lines / max(1, len(ids))))
        begin = self.start

        def work(piece: tuple[int, int]) -> None:
            first, last = piece
            _sum_lines(
                *self._arrays,
                ids,
                starts[first : last + 1],
                begin,
                sums[first:last],
                unknown[first:last],
            )

        spread(work, chunks(lines, share), workers)
        return sums, np.diff(starts).astype(np.int32), unknown

    def score_text(
        self, text: bytes, lexicon: Lexicon, workers: int | None = None
    ) -> tuple[Array, Array, Array]:
        """`score_lines` of UTF-8 text: words between white space, a newline after every line."""
        if not text:
            return self.score_lines(np.zeros(0, np.uint32))
        data = np.frombuffer(text, np.uint8)
        cuts = [0]
        share = max(_TEXT, -(-len(data) // (4 * threads())))
        while cuts[-1] < len(data):
            end = text.find(b"\n", min(cuts[-1] + share, len(data) - 1)) + 1
            cuts.append(end or len(data))

        def work(piece: tuple[int, int]) -> tuple[Array, Array, Array]:
            ids = lexicon.ids_of_bytes(data[piece[0] : piece[1]])
            return self.score_lines(ids, 1)

        done = spread(work, list(pairwise(cuts)), workers)
        sums, words, unknown = (np.concatenate(column) for column in zip(*done, strict=True))
        return sums, words, unknown

    def advance(self, ids: Array, state: int) -> int:
        """The state after more words."""
        return int(_advance(self.contexts, self.nodes, np.ascontiguousarray(ids), state))

    def states(self, ids: Array, state: int, out: Array) -> None:
        """Fill out (N + 1,) int64 with a state and those after each of ids (N,)."""
        _states(self.contexts, self.nodes, np.ascontiguousarray(ids), state, out)

    def distribution(self, state: int, out: Array | None = None) -> Array:
        """log10 p (V,) float32 of every word after a state."""
        out = np.empty(self.vocab_size, np.float32) if out is None else out
        _spread_out(*self._arrays, state, out)
        return out

    def best(self, states: Array) -> Array:
        """The most probable word (M,) int64 after each of the states (M,)."""
        if self._known is None:
            self._known = np.zeros(len(self.contexts), np.uint32)
        out = np.empty(len(states), np.int64)
        scratch = np.empty(64, np.int64)
        _best(*self._arrays, states, self._known, out, scratch)
        return out

    def order_of(self, nodes: Array | int) -> Any:
        """The orders of nodes; the empty n-gram has 0."""
        return np.searchsorted(self.offsets, nodes, "right")

    def find(self, words: Sequence[int]) -> int | None:
        """The node of an n-gram, or None."""
        node = 0
        for depth, word in enumerate(words):
            if depth >= self.order:
                return None
            node = int(_child(self.contexts, self.nodes, node, word))
            if not node:
                return None
        return node


def uniform(vocab_size: int) -> Table:
    """Every word as probable as every other."""
    nodes = np.zeros((vocab_size + 1, NODE), np.uint32)
    nodes[1:, WORD] = np.arange(vocab_size)
    nodes.view(np.float32)[1:, LOG_PROB] = -np.log10(vocab_size)
    contexts = np.zeros((2, CONTEXT), np.uint32)
    contexts[:, BEGIN] = 1, vocab_size + 1
    return Table(nodes, contexts, np.array([1, vocab_size + 1]))


def natural(log10: Array) -> None:
    """Base-10 logarithms → natural ones, in place; -99, which stands for no probability, → -∞."""
    nothing = log10 <= -98.5
    log10 *= LN10
    log10[nothing] = -np.inf
