"""Divides a text into parts whose n-grams can be counted independently.

A part consists of the n-grams whose first word is in a range of ids, so no n-gram is in two parts.
In memory there are a few parts for every thread. If the text does not fit into the memory bound,
windows of n words are cut out of it, sorted by part and written to a file, which is read a part at
a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..compiled import Int, compiled
from ..errors import InputError
from ..text.tokenizer import EOS
from ..threads import chunks
from .refinement import TextPart
from .storage import Storage

Array = np.ndarray[Any, Any]

_READ = 1 << 18  # tokens read at a time from a file of ids

#: columns of the bounds of ranges: the first word, and the id after the last second word
_FIRST_WORD, _SECOND_STOP = 0, 1


class Text:
    """A text for counting: `<eos>`, the ids (N,), and another `<eos>` if they do not end in one."""

    def __init__(self, ids: Array) -> None:
        self.ids = ids
        self.tokens = len(ids) + int(len(ids) == 0 or ids[-1] != EOS)

    def cut(self, start: int, stop: int) -> Array:
        """The tokens `start` to `stop` - 1 as uint32. Token 0 is the added `<eos>`; after the end
        there are more `<eos>`."""
        piece = np.full(stop - start, EOS, np.uint32)
        inside = self.ids[max(0, start - 1) : max(0, stop - 1)]
        at = 1 if start == 0 else 0
        piece[at : at + len(inside)] = inside
        return piece

    def pieces(self, order: int) -> Iterator[tuple[Array, int]]:
        """Yield pieces: (tokens, how many n-grams of `order` begin in the piece). An n-gram begins
        at every token but the last of the text."""
        for start, stop in chunks(self.tokens, _READ):
            yield self.cut(start, stop + order - 1), stop - start


def parts_in_memory(text: Text, vocab_size: int, storage: Storage) -> Iterator[list[TextPart]]:
    """Yield the whole text, divided into a few parts for every thread."""
    stream = text.cut(0, text.tokens + 1)
    items = stream[:-1].astype(np.uint64) << np.uint64(32)
    items |= np.arange(len(items), dtype=np.uint64)
    items.sort()
    bounds = [0]
    share = -(-len(items) // (4 * storage.workers))
    for at in range(share, len(items), share):
        word = int(items[at] >> np.uint64(32))
        if word > bounds[-1]:
            bounds.append(word)
    bounds.append(vocab_size)
    cuts = np.searchsorted(items, np.array(bounds, np.uint64) << np.uint64(32))
    yield [
        TextPart(first, stop, stream, items[lo:hi])
        for first, stop, lo, hi in zip(bounds, bounds[1:], cuts, cuts[1:], strict=False)
    ]


@dataclass(frozen=True)
class _Range:
    """The n-grams of a part: the first word is `first` to `stop` - 1; if that is a single word, the
    second word is `second` to `second_stop` - 1."""

    first: int
    stop: int
    second: int
    second_stop: int
    size: int  # the number of n-grams


@compiled
def _find_ranges(piece: Array, starts: Int, bounds: Array, first_part: Array, parts: Array) -> None:
    """Fill parts (starts,) with the number of the range of every n-gram that begins in a piece. If
    there are several ranges for its first word, the second word decides.

    bounds (R, 2) holds the ranges in order, first_part (V,) the first range of every word.
    """
    for at in range(starts):
        word = piece[at]
        part = np.int64(first_part[word])
        while (
            part + 1 < bounds.shape[0]
            and bounds[part + 1, _FIRST_WORD] == word
            and piece[at + 1] >= bounds[part, _SECOND_STOP]
        ):
            part += 1
        parts[at] = part


@compiled
def _sort_windows(piece: Array, parts: Array, places: Array, order: Int, out: Array) -> None:
    """Fill out with the windows of a piece, sorted by their ranges parts (m,). places (R,) says
    where the windows of each range begin."""
    for at in range(parts.size):
        place = places[parts[at]]
        places[parts[at]] = place + 1
        for offset in range(order):
            out[place * order + offset] = piece[at + offset]


def parts_on_disk(
    text: Text, unigrams: Array, order: int, storage: Storage
) -> Iterator[list[TextPart]]:
    """Yield parts that fit into the memory bound, several at a time if there is room.

    Raises:
        InputError: the n-grams of the most frequent pair of words do not fit.
    """
    bytes_each = 4 * order + 28 + 12 * (order - 1)  # window, positions and groups, results
    room = storage.budget * 3 // 4 // bytes_each
    for workers in dict.fromkeys((storage.workers, 1)):
        ranges = _plan_ranges(text, unigrams, max(1, room // workers), order, storage)
        largest = max(part.size for part in ranges)
        if largest <= room // workers * 5 // 4:
            break
    else:
        need = (storage.bound or 0) + (largest - room) * bytes_each * 5 // 3
        raise InputError(
            f"train.memory={(storage.bound or 0) >> 20}MB is too small for this text; give "
            f"about {-(-need >> 20)}MB"
        )
    with _SortedWindows(text, ranges, len(unigrams), order, storage) as windows:
        for at in range(0, len(ranges), workers):
            numbers = range(at, min(len(ranges), at + workers))
            parts = [_read_part(ranges[number], windows.of(number), order) for number in numbers]
            yield parts
            parts.clear()


def _read_part(part: _Range, windows: Array, order: int) -> TextPart:
    items = windows[::order].astype(np.uint64) << np.uint64(32)
    items |= np.arange(0, len(windows), order, dtype=np.uint64)
    items.sort()
    return TextPart(part.first, part.stop, windows, items)


class _SortedWindows:
    """The windows of a text, sorted by range, in one file.

    Every piece of the text is sorted by itself, so the file is written from beginning to end; a
    range is read from as many places as there are pieces.
    """

    def __init__(
        self, text: Text, ranges: list[_Range], vocab_size: int, order: int, storage: Storage
    ) -> None:
        bounds = np.array([(part.first, part.second_stop) for part in ranges])
        first_part = np.zeros(vocab_size, np.uint32)
        for number in range(len(ranges) - 1, -1, -1):
            first_part[ranges[number].first : ranges[number].stop] = number
        self.order = order
        counts = []
        self.path = storage.path()
        with self.path.open("wb") as file:
            for piece, starts in text.pieces(max(2, order)):
                parts = np.empty(starts, np.uint32)
                _find_ranges(piece, starts, bounds, first_part, parts)
                sizes = np.bincount(parts, minlength=len(ranges))
                out = np.empty(starts * order, np.uint32)
                _sort_windows(piece, parts, np.cumsum(sizes) - sizes, order, out)
                file.write(out.data)
                counts.append(sizes.astype(np.uint32))
                storage.release()
        self.sizes = np.array(counts)  # (pieces, ranges)
        lengths = self.sizes.sum(1, dtype=np.int64)
        self.starts = np.cumsum(lengths) - lengths
        self.file = self.path.open("rb")

    def of(self, number: int) -> Array:
        """All windows of a range."""
        sizes = self.sizes[:, number].astype(np.int64)
        out = np.empty(int(sizes.sum()) * self.order, np.uint32)
        before = self.sizes[:, :number].sum(1, dtype=np.int64)
        put = 0
        for start, skip, size in zip(
            self.starts.tolist(), before.tolist(), sizes.tolist(), strict=True
        ):
            if size:
                self.file.seek(4 * self.order * (start + skip))
                self.file.readinto(out[put : put + size * self.order].data)
                put += size * self.order
        return out

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.file.close()
        self.path.unlink(missing_ok=True)


def _plan_ranges(
    text: Text, unigrams: Array, capacity: int, order: int, storage: Storage
) -> list[_Range]:
    """Ranges of first words with at most `capacity` n-grams each. A word that is more frequent is
    split by the second word."""
    vocab_size = len(unigrams)
    ranges: list[_Range] = []
    first, size = 0, 0

    def close(stop: int) -> None:
        if stop > first:
            ranges.append(_Range(first, stop, 0, vocab_size, size))

    for word, occurrences in enumerate(unigrams.tolist()):
        if occurrences > capacity and order > 1:
            close(word)
            ranges += _split_word(text, word, capacity, vocab_size, storage)
            first, size = word + 1, 0
        elif size + occurrences > capacity:
            close(word)
            first, size = word, occurrences
        else:
            size += occurrences
    close(vocab_size)
    return ranges


def _split_word(
    text: Text, word: int, capacity: int, vocab_size: int, storage: Storage
) -> list[_Range]:
    """Ranges of second words after one first word, with at most `capacity` n-grams each if
    possible."""
    seconds = np.zeros(vocab_size, np.int64)
    for piece, starts in text.pieces(2):
        after = piece[1:][piece[:starts] == word]
        seconds += np.bincount(after, minlength=vocab_size)
        storage.release()
    ranges = []
    first, size = 0, 0
    for second, occurrences in enumerate(seconds.tolist()):
        if size and size + occurrences > capacity:
            ranges.append(_Range(word, word + 1, first, second, size))
            first, size = second, 0
        size += occurrences
    ranges.append(_Range(word, word + 1, first, vocab_size, size))
    return ranges
