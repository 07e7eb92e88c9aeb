"""Learns a vocabulary from a text and encodes the text in the same pass, by compiled loops.

It is the fast version of `build_vocabulary` for words between white space. While the text is read,
words get provisional ids in the order of their first appearance; at the end they are ranked by
frequency.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import Int, compiled
from .lexicon import Lexicon, as_bytes, fill_hash_table, find_word
from .tokenizer import EOS, SPECIALS
from .word_bytes import END_OF_TEXT, LINE_END, next_token

Array = np.ndarray[Any, Any]


@compiled
def _add_words(
    text: Array,
    at: Int,
    ascii_only: bool,
    slots: Array,
    blob: Array,
    ends: Array,
    counts: Array,
    ids: Array,
) -> tuple[Int, Int]:
    """Write the ids of the words from byte `at` on; a new word gets the next id. Stops at the end
    of the text or when an array is full. counts[0] is the number of types, counts[1 + t] how often
    type t occurred. Returns (the byte where it stopped, how many ids were written)."""
    put = 0
    while True:
        kind, start, stop, value = next_token(text, at, ascii_only)
        if kind == END_OF_TEXT:
            return text.size, put
        if kind == LINE_END:
            ids[put] = EOS
            counts[1 + EOS] += 1
        else:
            slot, found = find_word(text, start, stop, value, slots, blob, ends)
            if found < 0:
                found = counts[0]
                first = np.int64(ends[found - 1])
                if (
                    2 * found >= slots.size
                    or found >= ends.size
                    or first + stop - start > blob.size
                ):
                    return at, put
                for offset in range(stop - start):
                    blob[first + offset] = text[start + offset]
                ends[found] = first + stop - start
                high = value >> np.uint64(32)
                slots[slot] = (high << np.uint64(32)) | np.uint64(found + 1)
                counts[0] += 1
                counts[1 + found] = 0
            ids[put] = found
            counts[1 + found] += 1
        put += 1
        at = stop


class VocabularyBuilder:
    """A vocabulary that grows while it reads a text; ids follow the order of first appearance.

    `<unk>` and `<eos>` have the ids 0 and 1 from the start, so `<unk>` written in the text is found
    like any other word.

    Example:
        >>> builder = VocabularyBuilder()
        >>> provisional = builder.add("b a\\na\\n")
        >>> lexicon, final = builder.finish()
        >>> lexicon.words()
        ['<unk>', '<eos>', 'a', 'b']
        >>> final[provisional].tolist()
        [3, 2, 1, 2, 1]
    """

    def __init__(self, ascii_only: bool = False) -> None:
        """
        Args:
            ascii_only: words are cut at the blanks of ASCII alone.
        """
        self._ascii_only = ascii_only
        self._slots = np.zeros(1 << 16, np.uint64)
        self._blob = np.zeros(1 << 18, np.uint8)
        self._ends = np.zeros(1 << 15, np.uint64)
        self._counts = np.zeros(1 + (1 << 15), np.int64)
        start = "".join(SPECIALS).encode()
        self._blob[: len(start)] = np.frombuffer(start, np.uint8)
        self._ends[:2] = np.cumsum([len(special) for special in SPECIALS])
        self._counts[0] = len(SPECIALS)
        fill_hash_table(self._slots, self._blob, self._ends, len(SPECIALS))

    @property
    def types(self) -> int:
        """How many different words have been read so far."""
        return int(self._counts[0])

    @property
    def counts(self) -> Array:
        """(types,) int64: how often each word occurred."""
        return self._counts[1 : 1 + self.types]

    def add(self, text: str) -> Array:
        """Read a block of text and return the provisional ids (N,) uint32 of its words, newlines as
        `<eos>`. A new word is added to the vocabulary."""
        data = as_bytes(text)
        ids = np.empty(len(data) // 2 + 2 + text.count("\n"), np.uint32)
        at: Int = 0
        put = 0
        while True:
            at, written = _add_words(
                data,
                at,
                self._ascii_only,
                self._slots,
                self._blob,
                self._ends,
                self._counts,
                ids[put:],
            )
            put += written
            if at >= len(data):
                return ids[:put]
            self._grow(len(data))

    def _grow(self, spare: int) -> None:
        types = self.types
        used = int(self._ends[types - 1])
        if used + spare > len(self._blob):
            more = np.zeros(used // 2 + spare, np.uint8)
            self._blob = np.concatenate([self._blob, more])
        if 2 * types >= len(self._slots) or types >= len(self._ends):
            self._slots = np.zeros(2 * len(self._slots), np.uint64)
            self._ends = np.concatenate([self._ends, np.zeros_like(self._ends)])
            more = np.zeros(1 + len(self._ends) - len(self._counts), np.int64)
            self._counts = np.concatenate([self._counts, more])
            fill_hash_table(self._slots, self._blob, self._ends, types)

    def finish(self, size: int | None = None, min_count: int = 1) -> tuple[Lexicon, Array]:
        """Rank the words as `build_vocabulary` does. Nothing can be added afterwards.

        Args:
            size: the largest vocabulary (default: no limit).
            min_count: words that occur less often are left out.

        Returns:
            The vocabulary, and an array (types,) from provisional to final ids; words that were
            left out have the final id 0, `<unk>`.
        """
        self._slots = np.zeros(0, np.uint64)
        counts, first = self.counts, len(SPECIALS)
        ends = self._ends[: self.types]
        starts = np.concatenate([np.zeros(1, np.uint64), ends[:-1]])
        prefixes = np.empty(self.types, np.uint64)
        _prefixes(self._blob, starts, ends, prefixes)
        ranked = np.lexsort((prefixes, -counts))
        ranked = ranked[(ranked >= first) & (counts[ranked] >= min_count)]
        _settle_ties(ranked, prefixes, counts, self._blob, starts, ends)
        if size is not None:
            ranked = ranked[: max(0, size - first)]
        ids = np.zeros(self.types, np.uint32)
        ids[EOS] = EOS
        ids[ranked] = np.arange(first, first + len(ranked), dtype=np.uint32)
        del prefixes
        order = np.concatenate([np.arange(first), ranked])
        lengths = (ends - starts)[order]
        blob = np.empty(int(lengths.sum()), np.uint8)
        _collect(self._blob, starts, ends, order, blob)
        return Lexicon(blob, np.cumsum(lengths, dtype=np.uint64)), ids


@compiled
def _prefixes(blob: Array, starts: Array, ends: Array, out: Array) -> None:
    """Fill out with the first eight bytes of every word as a number, big-endian, so that sorting
    the numbers sorts the words by these bytes."""
    for index in range(out.size):
        value = np.uint64(0)
        for offset in range(8):
            value = value << np.uint64(8)
            if starts[index] + np.uint64(offset) < ends[index]:
                value |= np.uint64(blob[starts[index] + np.uint64(offset)])
        out[index] = value


@compiled
def _collect(blob: Array, starts: Array, ends: Array, order: Array, out: Array) -> None:
    put = 0
    for index in order:
        for at in range(starts[index], ends[index]):
            out[put] = blob[at]
            put += 1


def _settle_ties(
    ranked: Array, prefixes: Array, counts: Array, blob: Array, starts: Array, ends: Array
) -> None:
    """Sort by all their bytes the words that have the same count and the same first eight bytes."""
    same = (np.diff(prefixes[ranked].astype(np.int64)) == 0) & (np.diff(counts[ranked]) == 0)
    if not same.any():
        return
    edges = np.flatnonzero(np.diff(np.concatenate([[0], same.astype(np.int8), [0]])))
    for low, high in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        group = ranked[low : high + 1]
        group[:] = sorted(
            group.tolist(), key=lambda word: blob[int(starts[word]) : int(ends[word])].tobytes()
        )
