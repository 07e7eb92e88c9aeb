"""An n-gram model for queries: the arrays of a trie, which can be mapped from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, overload

import numpy as np

from ..text.lexicon import Lexicon
from ..text.tokenizer import EOS, UNK
from ..threads import chunks, parallel_map, threads
from . import queries
from .layout import InMemory, check_states
from .trie import (
    BACKOFF,
    CONTEXT_COLUMNS,
    FIRST_FOLLOWER,
    LOG_PROB,
    NEXT_STATE,
    NODE_COLUMNS,
    SHORTER,
    WORD,
    ZERO,
)

Array = np.ndarray[Any, Any]

LN10 = 2.302585092994046

_TOKENS = 1 << 15  # tokens in a piece of work, when several threads score
_BYTES = 1 << 16  # bytes of text in a piece of work


@dataclass
class Table:
    """An n-gram model in the layout that `trie` describes. States and nodes are indices; logarithms
    have base 10.

    Example:
        >>> table = uniform(4)
        >>> log_probs, nodes, state = table.score(np.array([2, 3]))
        >>> table.order_of(nodes).tolist()
        [1, 1]
    """

    nodes: Array  # (N, 3) uint32
    contexts: Array  # (C + 1, 3) uint32
    offsets: Array  # (n + 1,) int64: the first node of each order, then N
    beginning: float = 0.0  # log10 p of a `<s>` within a sentence, which no text of ours has
    _best_known: Array | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.arrays = (
            self.contexts,
            self.contexts.view(np.float32),
            self.nodes,
            self.nodes.view(np.float32),
        )

    @property
    def order(self) -> int:
        """n, the number of words of the longest n-grams."""
        return len(self.offsets) - 1

    @property
    def vocab_size(self) -> int:
        """V, the number of unigrams."""
        return int(self.offsets[1] - self.offsets[0])

    @property
    def sizes(self) -> list[int]:
        """The number of n-grams of each order, from order 1 on."""
        return [int(n) for n in np.diff(self.offsets)]

    @property
    def nbytes(self) -> int:
        """The size of both arrays in bytes."""
        return self.nodes.nbytes + self.contexts.nbytes

    def listed(self) -> Table:
        """The model itself: it lists all its n-grams."""
        return self

    def in_memory(self) -> InMemory:
        """See `Ngrams.in_memory`."""
        arrays = (self.offsets.astype(np.int64), self.contexts, self.nodes)
        return InMemory("trie", arrays, self._states)

    @property
    def _states(self) -> int:
        return len(self.contexts) - 1

    @property
    def start(self) -> int:
        """The state at the beginning of a line."""
        return int(self.nodes[1 + EOS, NEXT_STATE])

    def score(self, ids: Array, state: int | None = None) -> tuple[Array, Array, int]:
        """Score ids (N,), which are read one after another from a state on (default: the beginning
        of a line).

        Returns:
            log10 p (N,) float32 of each word, the node (N,) uint32 of the longest n-gram found for
            it, and the state after the last word.

        Raises:
            ValueError: the model has no such state.
        """
        log_probs = np.empty(len(ids), np.float32)
        found = np.empty(len(ids), np.uint32)
        begin = self.start if state is None else state
        check_states(begin, self._states)
        last = queries.score(*self.arrays, np.ascontiguousarray(ids), begin, log_probs, found)
        return log_probs, found, int(last)

    def score_lines(self, ids: Array, workers: int | None = None) -> tuple[Array, Array, Array]:
        """Score ids (N,) of whole lines, each ending in `<eos>`.

        Args:
            workers: the number of threads (default: one per core).

        Returns:
            For the L lines, (L,) each: the sum of log10 p (float64), the number of tokens, and the
            number of unknown tokens (int32).
        """
        ids = np.ascontiguousarray(ids)
        starts = np.concatenate([[0], np.flatnonzero(ids == EOS) + 1])
        lines = len(starts) - 1
        sums, unknown = np.empty(lines), np.empty(lines, np.int32)
        share = max(1, int(_TOKENS * lines / max(1, len(ids))))
        begin = self.start

        def work(piece: tuple[int, int]) -> None:
            first, last = piece
            queries.sum_lines(
                *self.arrays,
                ids,
                starts[first : last + 1],
                begin,
                sums[first:last],
                unknown[first:last],
            )

        parallel_map(work, chunks(lines, share), workers)
        return sums, np.diff(starts).astype(np.int32), unknown

    def score_text(
        self,
        text: bytes,
        lexicon: Lexicon,
        workers: int | None = None,
        ascii_only: bool = False,
    ) -> tuple[Array, Array, Array]:
        """`score_lines` for a UTF-8 text, whose words are separated by white space, or by the
        blanks of ASCII alone; every line ends in a newline."""
        if not text:
            return self.score_lines(np.zeros(0, np.uint32))
        data = np.frombuffer(text, np.uint8)
        cuts = [0]
        share = max(_BYTES, -(-len(data) // (4 * threads())))
        while cuts[-1] < len(data):
            end = text.find(b"\n", min(cuts[-1] + share, len(data) - 1)) + 1
            cuts.append(end or len(data))

        def work(piece: tuple[int, int]) -> tuple[Array, Array, Array]:
            ids = lexicon.ids_of_bytes(data[piece[0] : piece[1]], ascii_only)
            return self.score_lines(ids, 1)

        done = parallel_map(work, list(pairwise(cuts)), workers)
        sums, words, unknown = (np.concatenate(column) for column in zip(*done, strict=True))
        return sums, words, unknown

    def backed_off(self, state: int) -> float:
        """The sum of the log10 back-off weights from a state down to the empty context."""
        check_states(state, self._states)
        total = 0.0
        while state:
            total += float(self.contexts.view(np.float32)[state, BACKOFF])
            state = int(self.contexts[state, SHORTER])
        return total

    def advance(self, ids: Array, state: int) -> int:
        """The state after ids (N,)."""
        check_states(state, self._states)
        return int(queries.advance(self.contexts, self.nodes, np.ascontiguousarray(ids), state))

    def states(self, ids: Array, state: int, out: Array) -> None:
        """Fill out (N + 1,) int64 with `state` and the states after each of ids (N,)."""
        check_states(state, self._states)
        queries.states_along(self.contexts, self.nodes, np.ascontiguousarray(ids), state, out)

    def distribution(self, state: int, out: Array | None = None) -> Array:
        """log10 p (V,) float32 of every word after a state; written into `out` if it is given.

        Example:
            probabilities = 10 ** table.distribution(table.start)
        """
        check_states(state, self._states)
        out = np.empty(self.vocab_size, np.float32) if out is None else out
        queries.distribution(*self.arrays, state, out)
        return out

    def best(self, states: Array) -> Array:
        """The most probable word (M,) int64 after each of the states (M,)."""
        check_states(states, self._states)
        if self._best_known is None:
            self._best_known = np.zeros(len(self.contexts), np.uint32)
        out = np.empty(len(states), np.int64)
        scratch = np.empty(64, np.int64)
        queries.best_words(*self.arrays, states, self._best_known, out, scratch)
        return out

    @overload
    def order_of(self, nodes: int) -> int: ...
    @overload
    def order_of(self, nodes: Array) -> Array: ...
    def order_of(self, nodes: Array | int) -> Array | int:
        """The order of a node, or the orders (M,) of several nodes; node 0, the empty n-gram, has
        the order 0."""
        return np.searchsorted(self.offsets, nodes, "right")

    def find(self, words: Sequence[int]) -> int | None:
        """The node of an n-gram, which is given by its ids; None if the model lacks it."""
        node = 0
        for depth, word in enumerate(words):
            if depth >= self.order:
                return None
            node = int(queries.find_follower(self.contexts, self.nodes, node, word))
            if not node:
                return None
        return node


def uniform(vocab_size: int) -> Table:
    """The unigram model in which every word has the probability 1/V."""
    nodes = np.zeros((vocab_size + 1, NODE_COLUMNS), np.uint32)
    nodes[1:, WORD] = np.arange(vocab_size)
    nodes.view(np.float32)[1:, LOG_PROB] = -np.log10(vocab_size)
    contexts = np.zeros((2, CONTEXT_COLUMNS), np.uint32)
    contexts[:, FIRST_FOLLOWER] = 1, vocab_size + 1
    return Table(nodes, contexts, np.array([1, vocab_size + 1]))


def natural(log10: Array, ids: Array) -> None:
    """Convert base-10 to natural logarithms, in place; -99, which stands for probability 0, becomes
    -∞, unless the word is unknown.

    Args:
        log10: log10 p of each of `ids`, to which it can be broadcast.
    """
    nothing = (log10 <= ZERO + 0.5) & (ids != UNK)
    log10 *= LN10
    log10[nothing] = -np.inf
