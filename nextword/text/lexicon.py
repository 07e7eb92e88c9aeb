"""A fixed vocabulary that looks up the words of a text directly in its bytes, by compiled loops.

It is the fast version of `WordTokenizer` with `split = "whitespace"` or `"ascii"`: the same
vocabulary gives the same ids, at tens of millions of words a second. The arrays may be mapped from
a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np

from ..compiled import Int, compiled
from .tokenizer import EOS, UNK
from .word_bytes import END_OF_TEXT, LINE_END, ONE, hash_word, next_token, white_space_at

Array = np.ndarray[Any, Any]


@compiled
def find_word(
    text: Array, start: Int, stop: Int, value: np.uint64, slots: Array, blob: Array, ends: Array
) -> tuple[np.int64, np.int64]:
    """Look up the word text[start:stop], whose hash is `value`, in the hash table.

    slots (S,) uint64 is the table, S a power of two: a slot holds the upper half of a word's hash
    and the word's id + 1; 0 = free. blob (bytes,) uint8 holds the words one after another, and
    ends (V,) uint64 says where each ends.

    Returns (slot, id). If the word is unknown, the id is -1 and the slot is the free one where the
    word would be inserted.
    """
    high = value >> np.uint64(32)
    mask = np.uint64(slots.size - 1)
    slot = (value ^ (value >> np.uint64(29))) & mask
    begin, length = np.uint64(start), np.uint64(stop - start)
    while slots[slot] != 0:
        entry = slots[slot]
        if entry >> np.uint64(32) == high:
            found = (entry & np.uint64(0xFFFFFFFF)) - ONE
            first = np.uint64(ends[found - ONE]) if found else np.uint64(0)
            if np.uint64(ends[found]) - first == length:
                same = True
                for offset in range(length):
                    if blob[first + offset] != text[begin + offset]:
                        same = False
                        break
                if same:
                    return np.int64(slot), np.int64(found)
        slot = (slot + ONE) & mask
    return np.int64(slot), np.int64(-1)


@compiled
def fill_hash_table(slots: Array, blob: Array, ends: Array, types: Int) -> None:
    """Insert the first `types` words of the blob into an empty hash table."""
    for found in range(types):
        first = np.int64(ends[found - 1]) if found else 0
        stop = np.int64(ends[found])
        value = hash_word(blob, first, stop)
        slot, before = find_word(blob, first, stop, value, slots, blob, ends)
        if before < 0:
            high = value >> np.uint64(32)
            slots[slot] = (high << np.uint64(32)) | np.uint64(found + 1)


@compiled
def _find_bytes(text: Array, slots: Array, blob: Array, ends: Array) -> Int:
    return find_word(text, 0, text.size, hash_word(text, 0, text.size), slots, blob, ends)[1]


@compiled
def _plain_words(slots: Array, blob: Array, ends: Array) -> bool:
    first = np.int64(0)
    for index in range(ends.size):
        stop = np.int64(ends[index])
        for at in range(first, stop):
            if white_space_at(blob, at, True):
                return False
        value = hash_word(blob, first, stop)
        if first == stop or find_word(blob, first, stop, value, slots, blob, ends)[1] != index:
            return False
        first = stop
    return True


@compiled
def _look_up(
    text: Array, ascii_only: bool, slots: Array, blob: Array, ends: Array, ids: Array
) -> Int:
    """Write the ids of a text's words into `ids`, newlines as `<eos>`; returns how many."""
    put = 0
    at: Int = 0
    while True:
        kind, start, stop, value = next_token(text, at, ascii_only)
        at = stop
        if kind == END_OF_TEXT:
            return put
        if kind == LINE_END:
            ids[put] = EOS
        else:
            _, found = find_word(text, start, stop, value, slots, blob, ends)
            ids[put] = found if found >= 0 else UNK
        put += 1


def as_bytes(text: str) -> Array:
    """The UTF-8 bytes (N,) of a text."""
    return np.frombuffer(text.encode("utf-8"), np.uint8)


class Lexicon:
    """A fixed vocabulary. The words lie one after another in an array of bytes; the hash table is
    built on first use.

    Example:
        >>> Lexicon.of(["<unk>", "<eos>", "a", "b"]).ids("a c b\\n").tolist()
        [2, 0, 3, 1]
    """

    def __init__(self, blob: Array, ends: Array, hash_table: Array | None = None) -> None:
        self.blob = blob  # (bytes,) uint8: the words
        self.ends = ends  # (V,) uint64: where each ends
        self._hash_table = hash_table

    @property
    def hash_table(self) -> Array:
        """The hash table (S,) uint64; see `find_word`."""
        if self._hash_table is None:
            slots = np.zeros(1 << max(4, (2 * len(self.ends) + 1).bit_length()), np.uint64)
            fill_hash_table(slots, self.blob, self.ends, len(self.ends))
            self._hash_table = slots  # assigned when full: another thread may read it
        return self._hash_table

    @classmethod
    def of(cls, words: Sequence[str] | Iterable[str]) -> Self:
        """The vocabulary in which the id of a word is its index in `words`. A word that occurs
        twice has its first index."""
        encoded = [word.encode("utf-8") for word in words]
        ends = np.cumsum([len(word) for word in encoded], dtype=np.uint64)
        return cls(np.frombuffer(b"".join(encoded), np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def ids(self, text: str, ascii_only: bool = False) -> Array:
        """The ids (N,) uint32 of the words of a text, newlines as `<eos>`.

        Args:
            ascii_only: words are cut at the blanks of ASCII alone.
        """
        return self.ids_of_bytes(as_bytes(text), ascii_only)

    def ids_of_bytes(self, data: Array, ascii_only: bool = False) -> Array:
        """`ids` of a text that is given as UTF-8 bytes (N,) uint8."""
        ids = np.empty(len(data) + 1, np.uint32)
        return ids[: _look_up(data, ascii_only, self.hash_table, self.blob, self.ends, ids)]

    def words(self, first: int = 0, stop: int | None = None) -> list[str]:
        """The words with the ids `first` to `stop` - 1 (default: all words)."""
        ends = self.ends[first:stop].tolist()
        base = int(self.ends[first - 1]) if first else 0
        data = self.blob[base : ends[-1] if ends else base].tobytes()
        starts = [base, *ends[:-1]]
        return [
            data[a - base : b - base].decode("utf-8") for a, b in zip(starts, ends, strict=False)
        ]

    def id_of(self, word: bytes) -> int:
        """The id of one word, given in UTF-8; the id of `<unk>` if the word is unknown."""
        found = _find_bytes(np.frombuffer(word, np.uint8), self.hash_table, self.blob, self.ends)
        return max(int(found), UNK)

    def __contains__(self, word: str) -> bool:
        return bool(_find_bytes(as_bytes(word), self.hash_table, self.blob, self.ends) >= 0)

    def has_plain_words(self) -> bool:
        """Whether all words are different, and none is empty or contains a blank of ASCII."""
        return bool(_plain_words(self.hash_table, self.blob, self.ends))
