"""Words between white space ⇄ ids, straight from the bytes of a text.

The fast twin of `WordTokenizer` with `split = "whitespace"`: the same tokens, the same vocabulary,
tens of millions of words a second. `Numbering` learns the vocabulary and numbers the words in one
pass; `Lexicon` looks words up in a finished one, whose arrays may be mapped from a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np

from ..compiled import Int, compiled
from .tokenizer import EOS, SPECIALS, UNK

Array = np.ndarray[Any, Any]

_GAP = 0  # nothing but white space was left
_WORD, _LINE = 1, 2
_SEED = 14695981039346656037


@compiled
def _gap(text: Array, at: Int) -> Int:
    """Bytes of the white space that begins at `at`, as `str.split` sees it; 0 = none there."""
    byte = text[at]
    if byte <= 32:
        return 1 if byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31 else 0
    if byte < 0xC2 or byte > 0xE3:
        return 0
    if byte == 0xC2:
        return 2 if at + 1 < text.size and (text[at + 1] == 0x85 or text[at + 1] == 0xA0) else 0
    if byte < 0xE1 or at + 2 >= text.size:
        return 0
    second, third = text[at + 1], text[at + 2]
    if byte == 0xE1:
        return 3 if second == 0x9A and third == 0x80 else 0
    if byte == 0xE2:
        if second == 0x80:
            return 3 if third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF else 0
        return 3 if second == 0x81 and third == 0x9F else 0
    return 3 if second == 0x80 and third == 0x80 else 0


@compiled
def _mix(value: Any, byte: Any) -> Any:
    """One step of the FNV-1a hash."""
    return (value ^ np.uint64(byte)) * np.uint64(1099511628211)


@compiled
def _next(text: Array, at: Int) -> tuple[Int, Int, Int, Any]:
    """What comes at or after `at`: (kind, first byte, byte after the last, hash of a word)."""
    size = text.size
    value = np.uint64(_SEED)
    while at < size:
        if text[at] == 10:
            return _LINE, at, at + 1, value
        gap = _gap(text, at)
        if gap == 0:
            break
        at += gap
    if at >= size:
        return _GAP, at, at, value
    start = at
    while at < size and (32 < text[at] < 0xC2 or _gap(text, at) == 0):
        value = _mix(value, text[at])
        at += 1
    return _WORD, start, at, value


@compiled
def _hash(text: Array, start: Int, stop: Int) -> Any:
    value = np.uint64(_SEED)
    for at in range(start, stop):
        value = _mix(value, text[at])
    return value


@compiled
def _find(
    text: Array, start: Int, stop: Int, value: Any, table: Array, blob: Array, ends: Array
) -> Any:
    """(slot, type) of the word with this hash: its slot in the table, and its type or -1 where the
    slot is free.

    A slot holds the upper half of the word's hash and its type + 1; 0 = free.
    """
    high = value >> np.uint64(32)
    mask = np.uint64(table.size - 1)
    slot = (value ^ (value >> np.uint64(29))) & mask
    while table[slot] != 0:
        entry = table[slot]
        if entry >> np.uint64(32) == high:
            found = np.int64(entry & np.uint64(0xFFFFFFFF)) - 1
            first = np.int64(ends[found - 1]) if found else 0
            if np.int64(ends[found]) - first == stop - start:
                same = True
                for offset in range(stop - start):
                    if blob[first + offset] != text[start + offset]:
                        same = False
                        break
                if same:
                    return np.int64(slot), found
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot), np.int64(-1)


@compiled
def _number(
    text: Array, at: Int, table: Array, blob: Array, ends: Array, counts: Array, ids: Array
) -> tuple[Int, Int]:
    """Number words from `at` on until the text ends or an array is full; returns (where it
    stopped, ids written). counts[0] is the number of types, counts[1 + t] how often t came."""
    put = 0
    while True:
        kind, start, stop, value = _next(text, at)
        if kind == _GAP:
            return text.size, put
        if kind == _LINE:
            ids[put] = EOS
            counts[1 + EOS] += 1
        else:
            slot, found = _find(text, start, stop, value, table, blob, ends)
            if found < 0:
                found = counts[0]
                first = np.int64(ends[found - 1])
                if (
                    2 * found >= table.size
                    or found >= ends.size
                    or first + stop - start > blob.size
                ):
                    return at, put
                blob[first : first + stop - start] = text[start:stop]
                ends[found] = first + stop - start
                high = value >> np.uint64(32)
                table[slot] = (high << np.uint64(32)) | np.uint64(found + 1)
                counts[0] += 1
                counts[1 + found] = 0
            ids[put] = found
            counts[1 + found] += 1
        put += 1
        at = stop


@compiled
def _fill(table: Array, blob: Array, ends: Array, types: Int) -> None:
    """Put the first `types` words of the blob into an empty table."""
    for found in range(types):
        first = np.int64(ends[found - 1]) if found else 0
        stop = np.int64(ends[found])
        value = _hash(blob, first, stop)
        slot, before = _find(blob, first, stop, value, table, blob, ends)
        if before < 0:
            high = value >> np.uint64(32)
            table[slot] = (high << np.uint64(32)) | np.uint64(found + 1)


@compiled
def _find_bytes(text: Array, table: Array, blob: Array, ends: Array) -> Int:
    return _find(text, 0, text.size, _hash(text, 0, text.size), table, blob, ends)[1]


@compiled
def _plain(table: Array, blob: Array, ends: Array) -> bool:
    first = np.int64(0)
    for index in range(ends.size):
        stop = np.int64(ends[index])
        for at in range(first, stop):
            if _gap(blob, at):
                return False
        value = _hash(blob, first, stop)
        if first == stop or _find(blob, first, stop, value, table, blob, ends)[1] != index:
            return False
        first = stop
    return True


@compiled
def look_up(text: Array, table: Array, blob: Array, ends: Array, ids: Array) -> Int:
    """The ids of a text's words, newlines as `<eos>`; returns how many were written."""
    put, at = 0, 0
    while True:
        kind, start, stop, value = _next(text, at)
        at = stop
        if kind == _GAP:
            return put
        if kind == _LINE:
            ids[put] = EOS
        else:
            _, found = _find(text, start, stop, value, table, blob, ends)
            ids[put] = found if found >= 0 else UNK
        put += 1


def as_bytes(text: str) -> Array:
    """The UTF-8 bytes (N,) of a text."""
    return np.frombuffer(text.encode("utf-8"), np.uint8)


class Numbering:
    """Numbers words in the order of their first appearance while the vocabulary grows.

    `<unk>` and `<eos>` are 0 and 1 from the start: a literal `<unk>` is an ordinary word.
    """

    def __init__(self) -> None:
        self._table = np.zeros(1 << 16, np.uint64)
        self._blob = np.zeros(1 << 18, np.uint8)
        self._ends = np.zeros(1 << 15, np.uint64)
        self._counts = np.zeros(1 + (1 << 15), np.int64)
        start = "".join(SPECIALS).encode()
        self._blob[: len(start)] = np.frombuffer(start, np.uint8)
        self._ends[:2] = np.cumsum([len(special) for special in SPECIALS])
        self._counts[0] = len(SPECIALS)
        _fill(self._table, self._blob, self._ends, len(SPECIALS))

    @property
    def types(self) -> int:
        return int(self._counts[0])

    @property
    def counts(self) -> Array:
        """(types,) how often each word came."""
        return self._counts[1 : 1 + self.types]

    def number(self, text: str) -> Array:
        """The ids (N,) uint32 of one block of text."""
        data = as_bytes(text)
        ids = np.empty(len(data) // 2 + 2 + text.count("\n"), np.uint32)
        at = put = 0
        while True:
            at, written = _number(
                data, at, self._table, self._blob, self._ends, self._counts, ids[put:]
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
        if 2 * types >= len(self._table) or types >= len(self._ends):
            self._table = np.zeros(2 * len(self._table), np.uint64)
            self._ends = np.concatenate([self._ends, np.zeros_like(self._ends)])
            more = np.zeros(1 + len(self._ends) - len(self._counts), np.int64)
            self._counts = np.concatenate([self._counts, more])
            _fill(self._table, self._blob, self._ends, types)

    def finish(self, size: int | None = None, min_count: int = 1) -> tuple[Lexicon, Array]:
        """The vocabulary ranked as `build_vocabulary` does, and for each of the numbers given so
        far (types,) its id in that vocabulary (0 = `<unk>` for what was left out). Ends the
        numbering."""
        self._table = np.zeros(0, np.uint64)
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
    """The first eight bytes of every word as a number that sorts as they do."""
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
    """Words as frequent as each other that begin with the same eight bytes, by all their bytes."""
    same = (np.diff(prefixes[ranked].astype(np.int64)) == 0) & (np.diff(counts[ranked]) == 0)
    if not same.any():
        return
    edges = np.flatnonzero(np.diff(np.concatenate([[0], same.astype(np.int8), [0]])))
    for low, high in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        group = ranked[low : high + 1]
        group[:] = sorted(
            group.tolist(), key=lambda word: blob[int(starts[word]) : int(ends[word])].tobytes()
        )


class Lexicon:
    """A finished vocabulary: words one after another, and a hash table made when first needed."""

    def __init__(self, blob: Array, ends: Array, table: Array | None = None) -> None:
        self.blob = blob  # (bytes,) uint8: the words
        self.ends = ends  # (V,) uint64: where each ends
        self._table = table

    @property
    def table(self) -> Array:
        """(slots,) uint64, a power of two; see `_find`."""
        if self._table is None:
            table = np.zeros(1 << max(4, (2 * len(self.ends) + 1).bit_length()), np.uint64)
            _fill(table, self.blob, self.ends, len(self.ends))
            self._table = table  # last: another thread may ask meanwhile
        return self._table

    @classmethod
    def of(cls, words: Sequence[str] | Iterable[str]) -> Self:
        """The vocabulary whose ids are the places in `words`; of equal words the first counts."""
        encoded = [word.encode("utf-8") for word in words]
        ends = np.cumsum([len(word) for word in encoded], dtype=np.uint64)
        return cls(np.frombuffer(b"".join(encoded), np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def ids(self, text: str) -> Array:
        """The ids (N,) uint32 of the words of a text, newlines as `<eos>`."""
        return self.ids_of_bytes(as_bytes(text))

    def ids_of_bytes(self, data: Array) -> Array:
        """`ids` of UTF-8 bytes (N,) uint8."""
        ids = np.empty(len(data) + 1, np.uint32)
        return ids[: look_up(data, self.table, self.blob, self.ends, ids)]

    def words(self, first: int = 0, stop: int | None = None) -> list[str]:
        """The words with ids from `first` on."""
        ends = self.ends[first:stop].tolist()
        base = int(self.ends[first - 1]) if first else 0
        data = self.blob[base : ends[-1] if ends else base].tobytes()
        starts = [base, *ends[:-1]]
        return [
            data[a - base : b - base].decode("utf-8") for a, b in zip(starts, ends, strict=False)
        ]

    def id_of(self, word: bytes) -> int:
        """The id of one word in UTF-8, that of `<unk>` if it is not there."""
        found = _find_bytes(np.frombuffer(word, np.uint8), self.table, self.blob, self.ends)
        return max(int(found), UNK)

    def __contains__(self, word: str) -> bool:
        return bool(_find_bytes(as_bytes(word), self.table, self.blob, self.ends) >= 0)


def plain(lexicon: Lexicon) -> bool:
    """Whether the words are all different, not empty, and without white space."""
    return bool(_plain(lexicon.table, lexicon.blob, lexicon.ends))
