"""Reads KenLM's tries, all of whose n-grams are found in the file and become a table.

A trie has the last word of an n-gram at its root and the first word at a leaf (Heafield 2011,
section 3.2). The entries of an order are sorted; an entry has the first word of its n-gram, the
numbers, and the place of its first child in the next order, each with as few bits as it needs:

    unigrams    16 bytes an entry: log10 p, log10 back-off weight, the first child
    middle      word | log10 p without its sign, back-off weight | first child
    longest     word | log10 p without its sign

Quantised tries have indices into tables of numbers instead of the numbers. Array-compressed tries
keep the high bits of children in an array of its own: element v is the first entry whose child has
the high bits v (Raj and Whittaker 2003).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..text.lexicon import Lexicon
from ..text.tokenizer import EOS
from .arpa import BEGINNING, END
from .bits import MOST_BITS, unpack
from .kenlm_header import Header, Kind, check_numbers, cut_off, damaged, read_words
from .table import Table
from .table_from_ngrams import NgramList, table_from_ngrams

Array = np.ndarray[Any, Any]

_SIGN = np.uint32(1 << 31)
_QUANTISATION, _ARRAY_COMPRESSION = 2, 0  # versions that are read
_ZERO = np.float32(0)  # added to a weight, turns -0.0 into 0.0
_MOST_BINS = 25  # bits of a quantised number
PROB_BITS, BACKOFF_BITS = 31, 32  # of numbers that are not quantised
#: the tables of quantised log-probabilities and weights of an order; None = not quantised
Bins = tuple[Array | None, Array | None]
UNIGRAM = np.dtype([("log_prob", "<f4"), ("backoff", "<f4"), ("child", "<u8")])


class Packed(NamedTuple):
    """Where the entries of an order are, and how many bits their fields have."""

    start: int  # the byte at which they begin
    size: int  # bytes, 8 behind the last entry included
    entries: int
    word: int
    prob: int
    backoff: int  # 0 in the highest order
    child: int
    high: int = 0  # the byte at which the array of high bits begins
    highs: int = 0  # elements of it; 0 = none

    @property
    def stride(self) -> int:
        """Bits of an entry."""
        return self.word + self.prob + self.backoff + self.child

    def field(self, data: Array, first: int, width: int) -> Array:
        """A field of all entries (m,) uint64; of the child there is one more."""
        out = np.empty(self.entries + (first + width == self.stride and self.child > 0), np.uint64)
        unpack(data, 8 * self.start + first, self.stride, width, out)
        return out


class Layout(NamedTuple):
    """Where everything is in a trie."""

    bins: int  # the byte at which the tables of quantised numbers begin; 0 = there are none
    unigrams: int  # the byte at which the unigrams begin
    orders: list[Packed]  # of the orders from 2 on
    words: int  # the byte at which the words begin, after everything else


def bits_of(largest: int) -> int:
    """How many bits a number up to `largest` needs."""
    return largest.bit_length()


def layout_of(header: Header, prob: int, backoff: int, chop: int | None = None) -> Layout:
    """Compute where everything is.

    Args:
        prob, backoff: bits of a log-probability, without its sign, and of a weight.
        chop: the most high bits of children that an array may hold; None = no array compression.
    """
    counts = header.counts
    at = bins = header.size + 8 * (counts[0] + 1)
    if header.kind in (Kind.QUANTISED_TRIE, Kind.QUANTISED_ARRAY_TRIE):
        at += 8 + 4 * ((header.order - 1) * 2**prob + (header.order - 2) * 2**backoff)
    unigrams = at
    at += UNIGRAM.itemsize * (counts[0] + 2)
    orders = []
    for k in range(1, header.order):
        last = k == header.order - 1
        child = 0 if last else bits_of(counts[k + 1])
        high = highs = 0
        if chop is not None and not last:
            chopped = _chopped(counts[k] + 1, counts[k + 1], chop)
            child -= chopped
            highs = (counts[k + 1] >> child) + 1
            high = -(-at // 8) * 8 + 8
            at += 8 * (1 + highs) + 7
        word = bits_of(counts[0])
        stride = word + prob + (0 if last else backoff + child)
        size = ((1 + counts[k]) * stride + 7) // 8 + 8
        weight = 0 if last else backoff
        orders.append(Packed(at, size, counts[k], word, prob, weight, child, high, highs))
        at += size
    return Layout(bins, unigrams, orders, at)


def _chopped(entries: int, largest: int, most: int) -> int:
    """How many high bits of children the array holds: the number with which all takes least
    room."""
    width = bits_of(largest)

    def room(chopped: int) -> int:
        return (largest >> (width - chopped)) * 64 - entries * chopped

    return min(range(min(width, most) + 1), key=room)


def read_trie(path: Path, data: Array, header: Header) -> tuple[Table, Lexicon]:
    """Make a table of the trie in a file, whose bytes are `data` (B,) uint8.

    Raises:
        InputError: the file is cut off or damaged.
    """
    layout = _read_layout(path, data, header)
    listed = int(data[header.size : header.size + 8].view("<u8")[0])
    if listed + 1 != header.counts[0]:
        raise damaged(path, f"{listed + 1:,} words, but {header.counts[0]:,} unigrams")
    words = read_words(path, data, layout.words, header.counts[0])
    unigrams = data[layout.unigrams :][: UNIGRAM.itemsize * (header.counts[0] + 1)].view(UNIGRAM)
    children = unigrams["child"]
    ours = words.to_ours.astype(np.int64)
    ids = words.to_ours[:, None]
    orders = [_unigrams(path, unigrams[:-1], ours)]
    tables = _bins(data, header, layout)
    for packed, some in zip(layout.orders, tables, strict=True):
        parents = _parents(path, children, packed.entries)
        found = packed.field(data, 0, packed.word).astype(np.int64)
        if len(found) and found.max() >= len(ours):
            raise damaged(path, "words beyond the vocabulary")
        ids = np.hstack([words.to_ours[found][:, None], ids[parents]])
        orders.append(_ngrams(path, data, packed, ids, some, len(words.lexicon)))
        children = _children(data, packed)
    beginning = float(unigrams["log_prob"][words.begin])
    table = table_from_ngrams(path, orders, words.lexicon)
    table.beginning = beginning
    return table, words.lexicon


def _read_layout(path: Path, data: Array, header: Header) -> Layout:
    """Compute the layout from the numbers of bits that the file names, and check its size."""
    prob, backoff, chop = PROB_BITS, BACKOFF_BITS, None
    at = header.size + 8 * (header.counts[0] + 1)
    if header.kind in (Kind.QUANTISED_TRIE, Kind.QUANTISED_ARRAY_TRIE):
        if len(data) < at + 3:
            raise cut_off(path)
        version, prob, backoff = (int(byte) for byte in data[at : at + 3])
        if version != _QUANTISATION or not (0 < prob <= _MOST_BINS and 0 < backoff <= _MOST_BINS):
            raise damaged(path, f"quantisation version {version}, {prob} and {backoff} bits")
    layout = layout_of(header, prob, backoff)
    if header.kind in (Kind.ARRAY_TRIE, Kind.QUANTISED_ARRAY_TRIE) and header.order > 2:
        at = layout.unigrams + UNIGRAM.itemsize * (header.counts[0] + 2)
        if len(data) < at + 2:
            raise cut_off(path)
        version, chop = (int(byte) for byte in data[at : at + 2])
        if version != _ARRAY_COMPRESSION:
            raise damaged(path, f"array compression version {version}")
        layout = layout_of(header, prob, backoff, chop)
    if len(data) <= layout.words:
        raise cut_off(path)
    if any(max(packed.word, packed.child) > MOST_BITS for packed in layout.orders):
        raise damaged(path, "fields of too many bits")
    return layout


def _unigrams(path: Path, unigrams: Array, ours: Array) -> NgramList:
    """The unigrams in the order of our ids. `<s>` has the last one; its weight is that of the
    beginning of a line, as which `<eos>` is a context."""
    log_probs, backoffs = np.empty((2, len(ours)), np.float32)
    log_probs[ours], backoffs[ours] = unigrams["log_prob"], unigrams["backoff"]
    backoffs[EOS] = backoffs[-1]
    check_numbers(path, log_probs, [backoffs])
    ids = np.arange(len(ours) - 1, dtype=np.uint32)[:, None]
    return NgramList(ids, log_probs[:-1], backoffs[:-1] + _ZERO)


def _bins(data: Array, header: Header, layout: Layout) -> list[Bins]:
    """For each order from 2 on the tables of quantised log-probabilities and weights, or None."""
    if header.kind not in (Kind.QUANTISED_TRIE, Kind.QUANTISED_ARRAY_TRIE):
        return [(None, None)] * len(layout.orders)
    tables: list[Bins] = []
    at = layout.bins + 8
    for packed in layout.orders:
        probs = data[at : at + 4 * 2**packed.prob].view("<f4")
        at += probs.nbytes
        weights = None
        if packed.backoff:
            weights = data[at : at + 4 * 2**packed.backoff].view("<f4")
            at += weights.nbytes
        tables.append((probs, weights))
    return tables


def _parents(path: Path, children: Array, entries: int) -> Array:
    """The index (m,) of the parent of each of the m = `entries` entries of an order; children
    (p + 1,) says where the children of each entry of the order before begin."""
    first, steps = children[:-1], np.diff(children.astype(np.int64)).astype(np.int64)
    if int(children[0]) or int(children[-1]) != entries or (len(steps) and steps.min() < 0):
        raise damaged(path, "places beyond the next order")
    return np.repeat(np.arange(len(first)), steps)


def _children(data: Array, packed: Packed) -> Array:
    """Where the children of each entry begin, (m + 1,) uint64; empty in the highest order."""
    if not packed.backoff:
        return np.zeros(0, np.uint64)
    if not packed.child:  # all bits are in the array
        low = np.zeros(packed.entries + 1, np.uint64)
    else:
        low = packed.field(data, packed.stride - packed.child, packed.child)
    if not packed.highs:
        return low
    firsts = data[packed.high : packed.high + 8 * packed.highs].view("<u8")
    high = np.searchsorted(firsts, np.arange(len(low), dtype=np.uint64), "right") - 1
    return (high.astype(np.uint64) << np.uint64(packed.child)) | low


def _ngrams(
    path: Path, data: Array, packed: Packed, ids: Array, tables: Bins, begin: int
) -> NgramList:
    """The n-grams ids (m, n) of an order, in which `<s>` has the id `begin`; in the result it has
    that of `<eos>`."""
    probs, weights = tables
    if probs is None:
        bits = packed.field(data, packed.word, packed.prob).astype(np.uint32) | _SIGN
        log_probs = bits.view(np.float32)
        at = packed.word + packed.prob
    else:  # in a quantised entry the weight comes first
        at = packed.word
        log_probs = probs[packed.field(data, at + packed.backoff, packed.prob)]
    backoffs = np.zeros(len(ids), np.float32)
    if packed.backoff:
        field = packed.field(data, at, packed.backoff)
        backoffs = field.astype(np.uint32).view(np.float32) if weights is None else weights[field]
    check_numbers(path, log_probs, [backoffs])
    if (ids[:, 1:] == begin).any() or (ids[:, :-1] == EOS).any():
        raise InputError(f"'{path}' has n-grams with {BEGINNING} after, or {END} before a word")
    return NgramList(np.where(ids == begin, np.uint32(EOS), ids), log_probs, backoffs + _ZERO)
