"""Scores many documents at once with a table; words are looked up in the bytes of the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..compiled import Int, compiled
from ..text.lexicon import Lexicon, find_word
from ..text.tokenizer import EOS, UNK, BetweenBlanks, Tokenizer
from ..text.word_bytes import END_OF_TEXT, LINE_END, next_token
from ..threads import parallel_map, threads
from .interface import Ngrams
from .table import LN10

Array = np.ndarray[Any, Any]

_SHARE = 1 << 16  # characters of text in a piece of work, when several threads score


class DocumentSums(NamedTuple):
    """Sums over the tokens of each of N documents."""

    log_prob: Array  # (N,) float64, natural logarithms
    tokens: Array  # (N,) int64, an `<eos>` for each line included
    unknown: Array  # (N,) int64: tokens that are not in the vocabulary
    unknown_bytes: Array  # (N,) int64: bytes that would spell them, plus one end mark for each

    @classmethod
    def joined(cls, parts: Sequence[DocumentSums]) -> DocumentSums:
        """The sums of several groups of documents, one group after another."""
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class Lookup(NamedTuple):
    """Looks up the words of a tokenizer that cuts at blanks alone; it gives the tokenizer's ids."""

    lexicon: Lexicon
    cuts: BetweenBlanks

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Lookup | None:
        """None if the tokenizer cuts in another way."""
        cuts = tokenizer.between_blanks()
        return cls(Lexicon.of(cuts.vocabulary), cuts) if cuts else None


def sum_documents(
    table: Ngrams,
    tokenizer: Tokenizer,
    lookup: Lookup | None,
    texts: Sequence[str],
    workers: int | None = None,
) -> DocumentSums:
    """Score documents, each of which ends in a newline; every line is read from its beginning.

    Args:
        lookup: `Lookup.of(tokenizer)`; without it the tokenizer itself is asked, which takes
            longer.
        workers: number of threads; None = one per core.

    Example:
        sum_documents(table, tokenizer, Lookup.of(tokenizer), ["one line\\n"]).log_prob
    """
    share = max(_SHARE, sum(map(len, texts)) // (4 * threads())) if workers != 1 else None
    groups: list[Sequence[str]] = []
    first = size = 0
    for index, text in enumerate(texts, start=1):
        size += len(text)
        if share and size >= share:
            groups.append(texts[first:index])
            first, size = index, 0
    if first < len(texts):
        groups.append(texts[first:])

    def work(group: Sequence[str]) -> DocumentSums:
        found = _looked_up(lookup, group) if lookup else _encoded(tokenizer, group)
        return _summed(table, *found)

    return DocumentSums.joined(parallel_map(work, groups, workers))


def _summed(
    table: Ngrams, ids: Array, starts: Array, unknown: Array, unknown_bytes: Array
) -> DocumentSums:
    """Add up log-probabilities; documents begin at starts (N + 1,) in ids, and end with `<eos>`."""
    sums, _, _ = table.score_lines(ids, 1)
    ends = np.flatnonzero(ids == EOS) + 1
    first = np.searchsorted(ends, starts[:-1], side="right")  # the first line of each document
    return DocumentSums(
        np.add.reduceat(sums, first) * LN10, np.diff(starts), unknown, unknown_bytes
    )


def _looked_up(lookup: Lookup, texts: Sequence[str]) -> tuple[Array, Array, Array, Array]:
    """ids (T,), starts (N + 1,), and for each document its unknown words and their bytes."""
    lexicon, cuts = lookup
    folded = [cuts.fold(text) for text in texts]
    data = "".join(folded).encode("utf-8")
    if len(data) == sum(map(len, folded)):  # ASCII
        sizes = [len(text) for text in folded]
    else:
        sizes = [len(text.encode("utf-8")) for text in folded]
    stops = np.cumsum(sizes, dtype=np.int64)
    ids = np.empty(len(data) + 1, np.uint32)
    starts = np.zeros(len(texts) + 1, np.int64)
    unknown, unknown_bytes = np.zeros((2, len(texts)), np.int64)
    tokens = _look_up(
        np.frombuffer(data, np.uint8), stops, cuts.ascii_only,
        lexicon.hash_table, lexicon.blob, lexicon.ends,
        ids, starts, unknown, unknown_bytes,
    )  # fmt: skip
    return ids[:tokens], starts, unknown, unknown_bytes


@compiled
def _look_up(
    text: Array,
    stops: Array,
    ascii_only: bool,
    slots: Array,
    blob: Array,
    ends: Array,
    ids: Array,
    starts: Array,
    unknown: Array,
    unknown_bytes: Array,
) -> int:
    """Write the ids of all words into `ids`, newlines as `<eos>`, and return how many. Documents
    end after the bytes stops (N,), each with a newline; starts (N + 1,) gets where their ids begin.
    """
    put, document = 0, 0
    at: Int = 0
    while True:
        kind, start, stop, value = next_token(text, at, ascii_only)
        at = stop
        if kind == END_OF_TEXT:
            return put
        if kind == LINE_END:
            ids[put] = EOS
            put += 1
            if stop == stops[document]:
                document += 1
                starts[document] = put
            continue
        _, found = find_word(text, start, stop, value, slots, blob, ends)
        if found < 0:
            unknown[document] += 1
            unknown_bytes[document] += stop - start + 1
        ids[put] = found if found >= 0 else UNK
        put += 1


def _encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[Array, Array, Array, Array]:
    """What `_looked_up` returns, for any tokenizer."""
    rows = [tokenizer.encode(text) for text in texts]
    starts = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    missing = [
        tokenizer.unknown(text) if UNK in row else [] for text, row in zip(texts, rows, strict=True)
    ]
    unknown = np.array([len(pieces) for pieces in missing], np.int64)
    spelled = [sum(len(piece.encode("utf-8")) + 1 for piece in pieces) for pieces in missing]
    ids = np.array([index for row in rows for index in row], np.uint32)
    return ids, starts, unknown, np.array(spelled, np.int64)
