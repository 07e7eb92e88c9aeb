"""Which n-grams a text holds and how often: a trie of counts.

The n-grams of each order stand sorted by their first n - 1 words, then by their last: those that
follow one context lie side by side. They are found by refinement: the places of the text, grouped
by the word there, then every group sorted by the word that comes next, and so on (the first steps
of a suffix sort; Manber and Myers 1993). Ranges of first words do not touch each other, so they
are worked on by several threads, or one after the other where memory is short.

A line is a sentence. As in KenLM and SRILM the beginning of a line is a word that is seen but never
predicted (`<s>`) and its end one that is predicted but never seen (`</s>`). Both are `<eos>` here:
first in an n-gram it is the one, last the other, and it is never in the middle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..compiled import Int, chunks, compiled, spread
from ..errors import InputError
from ..text.tokenizer import EOS
from .storage import Storage

Array = np.ndarray[Any, Any]
Progress = Callable[[int], None]

_LOW = 0xFFFFFFFF
_READ = 1 << 18  # tokens read at a time from a file of ids


@dataclass
class Counts:
    """The n-grams of orders 1 to n (index 0 to n - 1), the unigrams being all words by id."""

    words: list[Array]  # (M_k,) uint32: the last word of each
    counts: list[Array]  # (M_k,) uint32: how often it occurs
    followers: list[Array]  # (M_k,) uint32: n-grams of the next order that begin with it
    tokens: int

    @property
    def order(self) -> int:
        return len(self.words)

    def __len__(self) -> int:
        return sum(map(len, self.words))


@compiled
def _sort(items: Array, first: Int, stop: Int) -> None:
    """Sort distinct items by quicksort, pivots drawn at random: text is full of the patterns that
    make fixed ones quadratic ("a a a a")."""
    lows, highs = np.empty(128, np.int64), np.empty(128, np.int64)
    lows[0], highs[0] = first, stop
    depth = 1
    state = np.uint64(88172645463325252)
    while depth > 0:
        depth -= 1
        low, high = lows[depth], highs[depth]
        while high - low > 12:
            state ^= state << np.uint64(13)
            state ^= state >> np.uint64(7)
            state ^= state << np.uint64(17)
            pivot = items[low + np.int64(state % np.uint64(high - low))]
            left, right = low, high - 1
            while left <= right:
                while items[left] < pivot:
                    left += 1
                while items[right] > pivot:
                    right -= 1
                if left <= right:
                    items[left], items[right] = items[right], items[left]
                    left += 1
                    right -= 1
            if right + 1 - low > high - left:  # the larger part waits: the stack stays small
                lows[depth], highs[depth] = low, right + 1
                low = left
            else:
                lows[depth], highs[depth] = left, high
                high = right + 1
            depth += 1
        for right in range(low + 1, high):
            item = items[right]
            left = right
            while left > low and items[left - 1] > item:
                items[left] = items[left - 1]
                left -= 1
            items[left] = item


@compiled
def _extend(
    stream: Array, items: Array, starts: Array, followers: Array, words: Array, following: Array
) -> Int:
    """Sort every group of places by the word that comes next.

    items (m,): 2^32·word + place of the last word of each n-gram, grouped; starts (G + 1,): where
    groups begin; followers (G,) is filled with the number of distinct next words, words and
    following with those words and where their groups begin. Works in place on items, and
    returns the number of new groups. A group that ends in `<eos>` is not extended, but for the
    beginning of lines: order 1, where items carry no `<eos>` that is not followed by something.
    """
    put = 0
    made = 0
    for group in range(starts.size - 1):
        lo, hi = starts[group], starts[group + 1]
        followers[group] = 0
        first = put
        for at in range(lo, hi):
            place = np.int64(items[at] & np.uint64(_LOW)) + 1
            items[put] = (np.uint64(stream[place]) << np.uint64(32)) | np.uint64(place)
            put += 1
        size = put - first
        if size == 0:
            continue
        if size <= 12:
            for right in range(first + 1, put):
                item = items[right]
                left = right
                while left > first and items[left - 1] > item:
                    items[left] = items[left - 1]
                    left -= 1
                items[left] = item
        else:
            _sort(items, first, put)
        last = np.uint64(_LOW)
        for at in range(first, put):
            word = items[at] >> np.uint64(32)
            if at == first or word != last:
                words[made] = word
                following[made] = at
                made += 1
                followers[group] += 1
                last = word
    following[made] = put
    return made


@compiled
def _drop_ended(items: Array, starts: Array) -> Int:
    """Empty the groups whose n-grams end in `<eos>`; returns how many items are left."""
    put = 0
    for group in range(starts.size - 1):
        lo, hi = starts[group], starts[group + 1]
        starts[group] = put
        if hi > lo and items[lo] >> np.uint64(32) != EOS:
            for at in range(lo, hi):
                items[put] = items[at]
                put += 1
    starts[starts.size - 1] = put
    return put


@dataclass
class _Part:
    """Places of a text whose first words are `first` … `stop` - 1, and if that is a single one
    perhaps only some of them, by their second words."""

    first: int
    stop: int
    stream: Array  # where the places are in: the text, or windows of n words cut out of it
    items: Array  # (m,) uint64, sorted: 2^32·first word + place


def _refine(part: _Part, order: int) -> tuple[Array, list[tuple[Array, Array, Array]]]:
    """Of a part's n-grams: the followers (stop - first,) of its words; (words, counts, followers)
    of orders 2 … n, the followers of the last order being none."""
    keys = np.arange(part.first, part.stop + 1, dtype=np.uint64) << np.uint64(32)
    starts = np.searchsorted(part.items, keys).astype(np.uint32)
    items = part.items
    levels: list[tuple[Array, Array, Array]] = []
    first = followers = np.zeros(part.stop - part.first, np.uint32)
    words = np.zeros(0, np.uint32)
    for k in range(1, order):
        if k > 1:
            counts = np.diff(starts)
            items = items[: _drop_ended(items, starts)]
            followers = np.empty(len(words), np.uint32)
            levels.append((words, counts, followers))
        next_words = np.empty(len(items), np.uint32)
        next_starts = np.empty(len(items) + 1, np.uint32)
        made = _extend(part.stream, items, starts, followers, next_words, next_starts)
        words, starts = next_words[:made].copy(), next_starts[: made + 1].copy()
    if order > 1:
        levels.append((words, np.diff(starts), np.zeros(0, np.uint32)))
    return first, levels


def count(
    ids: Array,
    vocab_size: int,
    order: int,
    storage: Storage,
    progress: Progress | None = None,
) -> Counts:
    """Count the n-grams of orders 1 to `order` in ids (N,), lines ending in `<eos>`.

    A last line without an end is given one.

    Raises:
        InputError: the text is too long, or too large for the memory bound.
    """
    text = _Text(ids)
    if text.tokens >= _LOW:
        raise InputError(f"{text.tokens:,} tokens are more than one count holds ({_LOW:,})")
    unigrams = np.zeros(vocab_size, np.uint32)
    for piece, starts in text.pieces(1):
        unigrams += np.bincount(piece[:starts], minlength=vocab_size).astype(np.uint32)
        storage.release()
    first = np.zeros(vocab_size, np.uint32)
    columns = [[storage.appender(np.uint32) for _ in range(3)] for _ in range(2, order + 1)]
    parts = (
        _parts_on_disk(text, unigrams, order, storage)
        if storage.bounded
        else _parts_in_memory(text, vocab_size, storage)
    )
    for batch in parts:
        found = spread(lambda part: _refine(part, order), batch, storage.workers)
        for part, (followers, levels) in zip(batch, found, strict=True):
            first[part.first : part.stop] += followers
            for row, level in zip(columns, levels, strict=True):
                for column, values in zip(row, level, strict=True):
                    column.append(values)
            if progress:
                progress(len(part.items))
            del part, followers, levels
        del batch, found  # before the next are made
    done = [[column.close() for column in row] for row in columns]
    return Counts(
        [np.arange(vocab_size, dtype=np.uint32), *(row[0] for row in done)],
        [unigrams, *(row[1] for row in done)],
        [first, *(row[2] for row in done[:-1])] if order > 1 else [],
        text.tokens,
    )


class _Text:
    """`<eos>`, then the tokens, then an `<eos>` if they do not end in one."""

    def __init__(self, ids: Array) -> None:
        self.ids = ids
        self.tokens = len(ids) + int(len(ids) == 0 or ids[-1] != EOS)

    def cut(self, start: int, stop: int) -> Array:
        """Tokens `start` to `stop`, of which the first of all is the added `<eos>`, as uint32;
        past the end there are more `<eos>`."""
        piece = np.full(stop - start, EOS, np.uint32)
        inside = self.ids[max(0, start - 1) : max(0, stop - 1)]
        at = 1 if start == 0 else 0
        piece[at : at + len(inside)] = inside
        return piece

    def pieces(self, order: int) -> Iterator[tuple[Array, int]]:
        """(tokens, how many n-grams of `order` begin in them), piece by piece. An n-gram begins at
        every token but the last."""
        for start, stop in chunks(self.tokens, _READ):
            yield self.cut(start, stop + order - 1), stop - start


def _parts_in_memory(text: _Text, vocab_size: int, storage: Storage) -> Iterator[list[_Part]]:
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
        _Part(first, stop, stream, items[lo:hi])
        for first, stop, lo, hi in zip(bounds, bounds[1:], cuts, cuts[1:], strict=False)
    ]


# ---------------------------------------------------------------- more text than memory


@dataclass(frozen=True)
class _Range:
    """A part before it is read: its n-grams by first and second words."""

    first: int
    stop: int
    second: int
    second_stop: int
    size: int


@compiled
def _choose(piece: Array, starts: Int, bounds: Array, first_part: Array, parts: Array) -> None:
    """The range of every n-gram of a piece: by its first word, and where that has several ranges
    (bounds (R, 3): first word, second word, and second word to stop at) by its second."""
    for at in range(starts):
        word = piece[at]
        part = np.int64(first_part[word])
        while (
            part + 1 < bounds.shape[0]
            and bounds[part + 1, 0] == word
            and piece[at + 1] >= bounds[part, 2]
        ):
            part += 1
        parts[at] = part


@compiled
def _deal(piece: Array, parts: Array, places: Array, order: Int, out: Array) -> None:
    """Put the windows of a piece into the order of their ranges; places (R,): where each begins."""
    for at in range(parts.size):
        place = places[parts[at]]
        places[parts[at]] = place + 1
        for offset in range(order):
            out[place * order + offset] = piece[at + offset]


def _parts_on_disk(
    text: _Text, unigrams: Array, order: int, storage: Storage
) -> Iterator[list[_Part]]:
    """Parts small enough for the memory bound, several at a time where there is room."""
    bytes_each = 4 * order + 28 + 12 * (order - 1)  # window, places and groups, results
    room = storage.work * 3 // 4 // bytes_each
    for workers in dict.fromkeys((storage.workers, 1)):
        ranges = _plan(text, unigrams, max(1, room // workers), order, storage)
        largest = max(part.size for part in ranges)
        if largest <= room // workers * 5 // 4:
            break
    else:
        need = (storage.bound or 0) + (largest - room) * bytes_each * 5 // 3
        raise InputError(
            f"train.memory={(storage.bound or 0) >> 20}MB is too small for this text; give "
            f"about {-(-need >> 20)}MB"
        )
    with _Dealt(text, ranges, len(unigrams), order, storage) as dealt:
        for at in range(0, len(ranges), workers):
            numbers = range(at, min(len(ranges), at + workers))
            parts = [_part(ranges[number], dealt.windows(number), order) for number in numbers]
            yield parts
            parts.clear()


def _part(part: _Range, windows: Array, order: int) -> _Part:
    items = windows[::order].astype(np.uint64) << np.uint64(32)
    items |= np.arange(0, len(windows), order, dtype=np.uint64)
    items.sort()
    return _Part(part.first, part.stop, windows, items)


class _Dealt:
    """The windows of a text by their ranges, in one file: piece by piece, each in the order of the
    ranges, so that it is written from beginning to end and a range is read in as many places as
    there are pieces."""

    def __init__(
        self, text: _Text, ranges: list[_Range], vocab_size: int, order: int, storage: Storage
    ) -> None:
        bounds = np.array([(part.first, part.second, part.second_stop) for part in ranges])
        first_part = np.zeros(vocab_size, np.uint32)
        for number in range(len(ranges) - 1, -1, -1):
            first_part[ranges[number].first : ranges[number].stop] = number
        self.order = order
        counts = []
        self.path = storage.path()
        with self.path.open("wb") as file:
            for piece, starts in text.pieces(max(2, order)):
                parts = np.empty(starts, np.uint32)
                _choose(piece, starts, bounds, first_part, parts)
                sizes = np.bincount(parts, minlength=len(ranges))
                out = np.empty(starts * order, np.uint32)
                _deal(piece, parts, np.cumsum(sizes) - sizes, order, out)
                file.write(out.data)
                counts.append(sizes.astype(np.uint32))
                storage.release()
        self.sizes = np.array(counts)  # (pieces, ranges)
        lengths = self.sizes.sum(1, dtype=np.int64)
        self.starts = np.cumsum(lengths) - lengths
        self.file = self.path.open("rb")

    def windows(self, number: int) -> Array:
        """All windows of a range, one after another."""
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


def _plan(
    text: _Text, unigrams: Array, capacity: int, order: int, storage: Storage
) -> list[_Range]:
    """Ranges of first words of at most `capacity` n-grams; a word that is more frequent than that
    is split by the word after it."""
    vocab_size = len(unigrams)
    ranges: list[_Range] = []
    first, size = 0, 0

    def close(stop: int) -> None:
        if stop > first:
            ranges.append(_Range(first, stop, 0, vocab_size, size))

    for word, occurrences in enumerate(unigrams.tolist()):
        if occurrences > capacity and order > 1:
            close(word)
            ranges += _split(text, word, capacity, vocab_size, storage)
            first, size = word + 1, 0
        elif size + occurrences > capacity:
            close(word)
            first, size = word, occurrences
        else:
            size += occurrences
    close(vocab_size)
    return ranges


def _split(
    text: _Text, word: int, capacity: int, vocab_size: int, storage: Storage
) -> list[_Range]:
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
