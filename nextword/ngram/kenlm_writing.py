"""Writes KenLM's binary files, as `build_binary` does: probing and trie, without quantisation.

Both forms look an n-gram up from its last word to its first, and stop at the first end of it that
they lack. So every end of an n-gram must be in the file; those that the model lacks, as pruning
leaves them, are added with the probability that back-off gives them.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ..compiled import compiled
from ..errors import InputError
from ..text.lexicon import Lexicon
from ..text.tokenizer import EOS, UNK, Tokenizer
from .arpa import BEGINNING, END, UNKNOWN, for_normalised, odd_words, spelled_words
from .arpa_header import cuts_as_kenlm
from .bits import pack
from .hashed import places_of
from .hashed_queries import ENTRIES, FIRST, WIDTH, combine
from .kenlm_header import Header, Kind
from .kenlm_trie import BACKOFF_BITS, PROB_BITS, UNIGRAM, layout_of
from .kenlm_words import hashes_of
from .listing import ngram_ids, score_ngrams
from .table import Table
from .table_from_ngrams import NgramList, sorted_by_context
from .trie import BACKOFF, FIRST_FOLLOWER, LOG_PROB

Array = np.ndarray[Any, Any]

LONGEST = 6  # words of the n-grams that KenLM reads, unless it is compiled for more
_ROOM = 1.5  # buckets of a hash table per n-gram in it
_SIGN = np.uint32(1 << 31)
_BEGIN = 1  # the id of `<s>` before words are sorted


class _Vocabulary(NamedTuple):
    lexicon: Lexicon  # the words as they are written, in the order of KenLM's ids
    hashes: Array  # (W,) uint64
    theirs: Array  # (V + 1,) uint32: our id → KenLM's id; V → that of `<s>`


class _Reversed(NamedTuple):
    """The n-grams of a model, each read from its last word to its first."""

    orders: list[NgramList]  # KenLM's ids; a weight of -0.0 = no context
    begins: list[Array]  # per order but the highest, (m + 1,): where the longer n-grams begin


def write_kenlm(table: Table, lexicon: Lexicon, out: IO[bytes], *, trie: bool) -> None:
    """Write a table as a binary file of KenLM. Words are spelled as in an ARPA file.

    Args:
        out: a binary file.
        trie: write a trie; False = hash tables.

    Raises:
        InputError: the model has order 1, or a word has a zero byte in it.

    Example:
        with open("model.bin", "wb") as file:
            write_kenlm(table, lexicon, file, trie=True)
    """
    if table.order < 2:
        raise InputError("KenLM reads n-grams from order 2 on; the model has order 1")
    words = spelled_words(lexicon)
    if any("\0" in word for word in words):
        raise InputError("a word has a zero byte in it, which ends a word in KenLM's files")
    vocabulary = _vocabulary([UNKNOWN, BEGINNING, END, *words[2:]], by_hash=trie)
    ngrams = _reversed(table, vocabulary)
    (_write_trie if trie else _write_probing)(ngrams, vocabulary, out)
    blob = vocabulary.lexicon.words()
    out.write("".join(f"{word}\0" for word in blob).encode())


def for_kenlm(table: Table, tokenizer: Tokenizer, lexicon: Lexicon) -> list[str]:
    """What the user should know who gives the binary file of a model to KenLM."""
    notes = []
    if not cuts_as_kenlm(tokenizer):
        how = ", ".join([tokenizer.name, *tokenizer.choices])
        notes.append(
            f"the file does not say how text becomes its tokens ({how}): whoever reads it takes "
            "what stands between blanks; an ARPA file says so in a comment"
        )
    notes += for_normalised(tokenizer)
    if odd := len(odd_words(lexicon)):
        notes.append(f"{odd:,} tokens are written differently, as in an ARPA file")
    if table.order > LONGEST:
        notes.append(
            f"the model has order {table.order}; KenLM reads up to {LONGEST} unless it is compiled "
            f"with -DKENLM_MAX_ORDER={table.order}"
        )
    return notes


def _vocabulary(words: list[str], by_hash: bool) -> _Vocabulary:
    """Number the words; a trie sorts them by their hashes, but for `<unk>`."""
    lexicon = Lexicon.of(words)
    hashes = hashes_of(lexicon)
    order = np.arange(len(words))
    if by_hash:
        order[1:] = 1 + np.argsort(hashes[1:])
    places = np.empty(len(words), np.uint32)
    places[order] = np.arange(len(words), dtype=np.uint32)
    theirs = np.concatenate([places[[UNK]], places[2:], places[[_BEGIN]]])
    return _Vocabulary(Lexicon.of([words[index] for index in order]), hashes[order], theirs)


def _reversed(table: Table, vocabulary: _Vocabulary) -> _Reversed:
    """Turn the n-grams of a table round, and add the ends that are missing."""
    orders = []
    listed = ngram_ids(table)
    for k, ids in enumerate(listed):
        low, high = int(table.offsets[k]), int(table.offsets[k + 1])
        log_probs = np.minimum(table.nodes.view(np.float32)[low:high, LOG_PROB], np.float32(0))
        weights = np.full(high - low, -0.0, np.float32)
        if k + 1 < table.order:
            weights[:] = table.contexts.view(np.float32)[low:high, BACKOFF]
            first = table.contexts[low : high + 1, FIRST_FOLLOWER]
            weights[(weights == 0) & (first[1:] == first[:-1])] = -0.0
        theirs = vocabulary.theirs[ids]
        if k:
            theirs[ids[:, 0] == EOS, 0] = vocabulary.theirs[-1]
        else:  # `<s>` is the context that `<eos>` is in a table
            theirs = np.vstack([theirs, vocabulary.theirs[-1:, None]])
            log_probs = np.append(log_probs, np.float32(table.beginning))
            weights = np.append(weights, weights[EOS])
            weights[EOS] = -0.0
            theirs, log_probs, weights = (
                x[np.argsort(theirs[:, 0])] for x in (theirs, log_probs, weights)
            )
        orders.append(NgramList(np.ascontiguousarray(theirs[:, ::-1]), log_probs, weights))
    orders, begins = sorted_by_context(Path("the model"), orders, vocabulary.lexicon)
    ours = np.empty(len(vocabulary.lexicon), np.uint32)
    ours[vocabulary.theirs[:-1]] = np.arange(len(vocabulary.theirs) - 1)
    ours[vocabulary.theirs[-1]] = EOS
    for k, order in enumerate(orders):
        added = np.isnan(order.log_probs)
        order.log_probs[added] = score_ngrams(table, ours[order.ids[added][:, ::-1]])
        order.backoffs[added] = -0.0
        if added.any():
            _mark_contexts(orders[k - 1], order.ids[added])
    return _Reversed(orders, begins)


def _mark_contexts(below: NgramList, ids: Array) -> None:
    """Give the n-grams of the order below that are contexts of the n-grams ids (m, n), turned
    round, a weight of 0.0 instead of -0.0."""
    contexts = set(map(bytes, np.ascontiguousarray(ids[:, 1:])))
    for row in np.flatnonzero(below.backoffs == 0):
        if below.ids[row].tobytes() in contexts:
            below.backoffs[row] = 0.0


def _write_trie(ngrams: _Reversed, vocabulary: _Vocabulary, out: IO[bytes]) -> None:
    counts = tuple(len(order.ids) for order in ngrams.orders)
    header = Header(Kind.TRIE, counts, _ROOM)
    layout = layout_of(header, PROB_BITS, BACKOFF_BITS)
    hashes = np.zeros(1 + counts[0], "<u8")  # their number, and those of all words but `<unk>`
    hashes[0], hashes[1 : counts[0]] = counts[0] - 1, vocabulary.hashes[1:]
    unigrams = np.zeros(counts[0] + 2, UNIGRAM)
    unigrams["log_prob"][:-2], unigrams["backoff"][:-2] = ngrams.orders[0][1:]
    unigrams["child"][:-1] = ngrams.begins[0]
    out.write(header.packed() + hashes.tobytes() + unigrams.tobytes())
    for k, (order, packed) in enumerate(zip(ngrams.orders[1:], layout.orders, strict=True), 1):
        data = np.zeros(packed.size, np.uint8)
        fields = [
            (order.ids[:, -1], packed.word),
            (order.log_probs.view(np.uint32) & ~_SIGN, packed.prob),
        ]
        if packed.backoff:
            fields.append((order.backoffs.view(np.uint32), packed.backoff))
            fields.append((ngrams.begins[k], packed.child))
        at = 0
        for values, width in fields:
            pack(data, at, packed.stride, values.astype(np.uint64))
            at += width
        out.write(data.data)


def _write_probing(ngrams: _Reversed, vocabulary: _Vocabulary, out: IO[bytes]) -> None:
    counts = tuple(len(order.ids) for order in ngrams.orders)
    header = Header(Kind.PROBING, counts, _ROOM)
    places, end = places_of(header)
    data = np.zeros(end, np.uint32)
    start = header.size // 4
    data[:start] = np.frombuffer(header.packed(), np.uint32)
    data[start : start + 2] = 0, counts[0]
    words = np.arange(1, counts[0], dtype=np.uint32)[:, None]
    _insert(
        data, start + 2, (int(places[0, FIRST]) - start - 2) // 3, 3, vocabulary.hashes[1:], words
    )
    for k, order in enumerate(ngrams.orders):
        values = np.stack([order.log_probs, order.backoffs], 1).view(np.uint32) | [_SIGN, 0]
        if k < len(ngrams.begins):
            begin = ngrams.begins[k]
            values[begin[1:] > begin[:-1], 0] &= ~_SIGN  # ends longer n-grams
        first, entries, width = places[k, [FIRST, ENTRIES, WIDTH]].tolist()
        if k == 0:
            data[first : first + values.size] = values.reshape(-1)
            continue
        keys = np.empty(len(order.ids), np.uint64)
        _hash(order.ids, keys)
        _insert(data, first, entries, width, keys, values[:, : width - 2].astype(np.uint32))
    out.write(data.data)


@compiled
def _hash(ids: Array, out: Array) -> None:
    """Fill out (m,) with the keys of the n-grams ids (m, n), which are turned round."""
    for row in range(ids.shape[0]):
        key = np.uint64(ids[row, 0])
        for at in range(1, ids.shape[1]):
            key = combine(key, np.int64(ids[row, at]))
        out[row] = key


@compiled
def _insert(data: Array, first: int, entries: int, width: int, keys: Array, values: Array) -> None:
    """Insert keys (m,) and their values (m, width - 2) into an empty hash table."""
    for row in range(keys.size):
        entry = np.int64(keys[row] % np.uint64(entries))
        at = first + entry * width
        while data[at] != 0 or data[at + 1] != 0:
            entry += 1
            if entry == entries:
                entry = np.int64(0)
            at = first + entry * width
        data[at] = np.uint32(keys[row] & np.uint64(0xFFFFFFFF))
        data[at + 1] = np.uint32(keys[row] >> np.uint64(32))
        for column in range(width - 2):
            data[at + 2 + column] = values[row, column]
