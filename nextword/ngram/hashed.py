"""An n-gram model in a file of KenLM with hash tables ("probing"), which is asked in place.

Each order from 2 on is a hash table with linear probing (Heafield 2011, section 3.1). An entry has
64 bits that its n-gram is hashed to, log10 p and, below the highest order, the log10 back-off
weight. The words of an n-gram are not in the file, so n-grams cannot be listed. The layout, in
numbers of 32 bits:

    version · number of words
    buckets of the vocabulary   3 numbers each; not used here, because the words are listed
    unigrams                    log10 p, weight
    buckets of each order       key, key, log10 p, weight; no weight in the highest order

The sign of a log-probability says whether the n-gram ends longer ones; a weight of -0.0 says that
it is no context.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, overload

import numpy as np

from ..errors import InputError
from ..text.lexicon import Lexicon
from ..text.tokenizer import EOS
from ..threads import chunks, parallel_map
from . import hashed_queries as queries
from .kenlm_header import Header, Words, check_numbers, cut_off, damaged, read_words
from .layout import InMemory, check_states
from .table import Table

Array = np.ndarray[Any, Any]

_TOKENS = 1 << 15  # tokens in a piece of work, when several threads score
_CHECKED = 1 << 28  # bytes of a file whose numbers are all checked when it is opened


def buckets(multiplier: float, entries: int) -> int:
    """How many buckets a hash table has; KenLM computes it in single precision."""
    return max(entries + 1, int(np.float32(multiplier) * np.float32(entries)))


def places_of(header: Header) -> tuple[Array, int]:
    """Where the entries of each order are, (n, 3) int64 (see `hashed_queries`), and where the list
    of words begins, in numbers of 32 bits.

    Raises:
        OverflowError: beyond any file.
    """
    at = header.size // 4 + 2 + 3 * buckets(header.multiplier, header.counts[0])
    rows = [(at, header.counts[0] + 1, 2)]
    at += 2 * (header.counts[0] + 1)
    for order, count in enumerate(header.counts[1:], start=2):
        width = 3 if order == header.order else 4
        rows.append((at, buckets(header.multiplier, count), width))
        at += width * rows[-1][1]
    return np.array(rows, np.int64), at


class HashedTable:
    """An n-gram model whose n-grams are hashes in a file; it answers as `Table` does.

    A node is the number of an entry: 0 is the empty n-gram, 1 + w the unigram w, then follow the
    buckets of each order. A state is the node of its context. What is hashed cannot be found from
    a node, so the words of every state that a method returns are kept, in memory that fills up as
    new states are reached.
    """

    def __init__(self, path: Path, data: Array, header: Header, places: Array, words: Words):
        """
        Args:
            data: the file as numbers (M,) uint32.
            places: see `places_of`.
        """
        self.path = path
        self.counts = header.counts
        self.offsets = np.cumsum([1, *places[:, queries.ENTRIES]], dtype=np.int64)
        theirs = np.zeros(len(words.lexicon), np.int64)
        inner = np.arange(len(words.to_ours)) != words.begin
        theirs[words.to_ours[inner]] = np.flatnonzero(inner)
        middle = int(self.offsets[-2] - self.offsets[1])
        known = np.zeros((middle, max(1, header.order - 1)), np.uint32)
        self._places, self._theirs = places, theirs
        self._model = (data, places, self.offsets, known)
        unigrams = places[0, queries.FIRST] + 2 * np.array([words.begin])
        self.beginning = -abs(float(data[unigrams].view(np.float32)[0]))
        is_context = int(data[unigrams[0] + 1]) != 1 << 31
        self.start = 1 + words.begin if is_context else 0
        self._states = int(self.offsets[max(1, self.order - 1)])
        self._followers: dict[int, Array] = {}
        self._best: dict[int, int] = {}
        self._unigrams: Array | None = None

    def __getstate__(self) -> dict[str, Any]:
        """All but the words of states that were reached: other processes have states of their own,
        and the room for them is much larger than what is in use."""
        *model, known = self._model
        return {**self.__dict__, "_model": (*model, known.shape)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        data, places, offsets, shape = state["_model"]
        self._model = (data, places, offsets, np.zeros(shape, np.uint32))

    @property
    def order(self) -> int:
        """n, the number of words of the longest n-grams."""
        return len(self.counts)

    @property
    def vocab_size(self) -> int:
        """V, the number of words, of which `<s>` is none."""
        return len(self._theirs)

    @property
    def sizes(self) -> list[int]:
        """The number of n-grams of each order, from order 1 on."""
        return [self.vocab_size, *self.counts[1:]]

    def in_memory(self) -> InMemory:
        """See `Ngrams.in_memory`."""
        data, places, offsets, known = self._model
        arrays = (offsets, data, places, known, self._theirs)
        return InMemory("hashes", arrays, self._states)

    def listed(self) -> Table:
        """Refuse: see `Ngrams.listed`."""
        raise InputError(
            f"'{self.path}' holds hashes of its n-grams (KenLM's probing form): they can be asked "
            "for, but not listed; take the ARPA file, or a trie that build_binary made of it"
        )

    def score(self, ids: Array, state: int | None = None) -> tuple[Array, Array, int]:
        """See `Table.score`."""
        log_probs, found, states = self._follow(ids, self.start if state is None else state)
        return log_probs, found, int(states[-1])

    def _follow(self, ids: Array, state: int) -> tuple[Array, Array, Array]:
        check_states(state, self._states)
        log_probs, found = np.empty(len(ids), np.float32), np.empty(len(ids), np.int64)
        states = np.empty(len(ids) + 1, np.int64)
        wide = np.ascontiguousarray(ids, np.int64)
        queries.score(*self._model, self._theirs, self.start, wide, state, log_probs, found, states)
        return log_probs, found, states

    def score_lines(self, ids: Array, workers: int | None = None) -> tuple[Array, Array, Array]:
        """See `Table.score_lines`."""
        wide = np.ascontiguousarray(ids, np.int64)
        starts = np.concatenate([[0], np.flatnonzero(wide == EOS) + 1])
        lines = len(starts) - 1
        sums, unknown = np.empty(lines), np.empty(lines, np.int32)
        share = max(1, int(_TOKENS * lines / max(1, len(wide))))

        def work(piece: tuple[int, int]) -> None:
            some = slice(*piece)
            of_lines = starts[piece[0] : piece[1] + 1]
            queries.sum_lines(
                *self._model, self._theirs, self.start, wide, of_lines, sums[some], unknown[some]
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
        """See `Table.score_text`."""
        ids = lexicon.ids_of_bytes(np.frombuffer(text, np.uint8), ascii_only)
        return self.score_lines(ids, workers)

    def backed_off(self, state: int) -> float:
        """See `Table.backed_off`."""
        words, weights = self._unfolded(state)
        return float(weights[: len(words)].sum(dtype=np.float64))

    def _unfolded(self, state: int) -> tuple[Array, Array]:
        """The words of a state in KenLM's ids, the last one first, and their weights."""
        check_states(state, self._states)
        words = np.zeros(self.order - 1, np.uint32)
        weights = np.zeros(self.order - 1, np.float32)
        length = int(queries.unfold(*self._model, state, words, weights))
        return words[:length], weights[:length]

    def advance(self, ids: Array, state: int) -> int:
        """The state after ids (N,)."""
        return int(self._follow(ids, state)[2][-1])

    def states(self, ids: Array, state: int, out: Array) -> None:
        """Fill out (N + 1,) int64 with `state` and the states after each of ids (N,)."""
        out[:] = self._follow(ids, state)[2]

    def distribution(self, state: int, out: Array | None = None) -> Array:
        """log10 p (V,) float32 of every word after a state; written into `out` if it is given."""
        out = np.empty(self.vocab_size, np.float32) if out is None else out
        words, weights = self._unfolded(state)
        out[:] = self._of_unigrams() + np.float32(weights.sum(dtype=np.float64))
        if len(words):
            ids = self._follow_a(int(words[0]))
            out[ids] = self._score_each(state, ids)
        return out

    def _of_unigrams(self) -> Array:
        """log10 p (V,) float32 without a context."""
        if self._unigrams is None:
            self._unigrams = self._score_each(0, np.arange(self.vocab_size))
        return self._unigrams

    def _score_each(self, state: int, ids: Array) -> Array:
        log_probs = np.empty(len(ids), np.float32)
        queries.score_each(*self._model, self._theirs, state, ids, log_probs)
        return log_probs

    def _follow_a(self, word: int) -> Array:
        """The ids (M,) int64 of the words that follow a word, one of KenLM's ids, in a bigram. All
        words are tried when a word is asked for first; all others have their probabilities from
        unigrams."""
        if word not in self._followers:
            out = np.empty(self.vocab_size, np.int64)
            found = queries.followers(self._model[0], self._places, self._theirs, word, out)
            self._followers[word] = out[: int(found)].copy()
        return self._followers[word]

    def best(self, states: Array) -> Array:
        """The most probable word (M,) int64 after each of the states (M,)."""
        for state in np.unique(states).tolist():
            if state not in self._best:
                self._best[state] = int(self.distribution(state).argmax())
        return np.array([self._best[state] for state in states.tolist()], np.int64)

    @overload
    def order_of(self, nodes: int) -> int: ...
    @overload
    def order_of(self, nodes: Array) -> Array: ...
    def order_of(self, nodes: Array | int) -> Array | int:
        """The order of a node, or the orders (M,) of several nodes."""
        return np.searchsorted(self.offsets, nodes, "right")


def open_hashed(path: Path, data: Array, header: Header) -> tuple[HashedTable, Lexicon]:
    """Open a file with hash tables, whose bytes are `data` (B,) uint8, mapped.

    Raises:
        InputError: the file is cut off or damaged.
    """
    try:
        places, end = places_of(header)
    except (OverflowError, ValueError):
        raise cut_off(path) from None
    if len(data) <= 4 * end:
        raise cut_off(path)
    version, bound = data[header.size : header.size + 8].view("<u4").tolist()
    if version or not 3 <= bound <= header.counts[0] + 1:
        raise damaged(path, f"vocabulary version {version}, {bound:,} words")
    words = read_words(path, data, 4 * end, bound)
    numbers = data[: 4 * end].view(np.uint32)
    if numbers.nbytes <= _CHECKED:
        _check(path, numbers, places)
    return HashedTable(path, numbers, header, places, words), words.lexicon


def _check(path: Path, data: Array, places: Array) -> None:
    """Check that every hash table has a free bucket, and all numbers; raise InputError."""
    for first, entries, width in places.tolist():
        rows = data[first : first + entries * width].reshape(entries, width)
        if width > 2:
            used = (rows[:, 0] | rows[:, 1]) != 0
            if used.all():
                raise damaged(path, "a full hash table")
            rows = rows[used, 2:]
        values = np.ascontiguousarray(rows).view(np.float32)
        weights = [values[:, 1]] if values.shape[1] > 1 else []
        check_numbers(path, -abs(values[:, 0]), weights)
