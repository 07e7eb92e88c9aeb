"""Writes ARPA files, the text format that every n-gram toolkit reads; plain, .gz, .xz or .bz2.
`arpa_reading` reads them.

    \\data\\
    ngram 1=5584
    ngram 2=20062

    \\1-grams:
    -3.0      word      -0.30103     log10 probability, words, log10 back-off weight
    …
    \\end\\

`<s>` and `</s>` are the beginning and the end of a line, `<unk>` stands for every unknown word.
Numbers have the fewest digits from which the same float32 can be read.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..compiled import Int, compiled
from ..text.lexicon import Lexicon
from ..text.tokenizer import EOS, Tokenizer
from ..threads import chunks, parallel_imap
from .arpa_header import comment, cuts_as_kenlm
from .decimals import TENS, put_float, shortest_decimal
from .progress import Progress
from .table import Table
from .trie import BACKOFF, FIRST_FOLLOWER, LOG_PROB, WORD

Array = np.ndarray[Any, Any]

BEGINNING, END, UNKNOWN = "<s>", "</s>", "<unk>"

_LINES = 1 << 14  # n-grams formatted at a time
_TAB, _NEWLINE, _SPACE = b"\t\n "


def write_arpa(
    table: Table,
    lexicon: Lexicon,
    out: IO[bytes],
    progress: Progress | None = None,
    workers: int | None = None,
    tokenizer: Tokenizer | None = None,
) -> None:
    """Write a table as ARPA text.

    Words that the format cannot represent are written differently; see `spelling`.

    Args:
        out: a binary file.
        progress: called with the number of n-grams just written.
        workers: the number of threads (default: one per core).
        tokenizer: is described in a comment, so that we read text as it does; see `arpa_header`.
    """
    odd = odd_words(lexicon)
    spelled = _with_boundaries(lexicon, odd)
    if tokenizer:
        out.write(comment(tokenizer, spelled, odd))
    out.write(b"\\data\\\n")
    for order, size in enumerate(table.sizes, start=1):
        out.write(f"ngram {order}={size + (order == 1)}\n".encode())
    for order in range(1, table.order + 1):
        out.write(f"\n\\{order}-grams:\n".encode())
        if order == 1:  # the beginning of a line is never predicted
            log_prob = shortest_decimal(table.beginning)
            out.write(f"{log_prob}\t{BEGINNING}{_weight_of_beginning(table)}\n".encode())
        for texts, ngrams in _sections(table, order, spelled, workers):
            for text in texts:
                out.write(text.data)
            if progress:
                progress(ngrams)
    out.write(b"\n\\end\\\n")


def _weight_of_beginning(table: Table) -> str:
    if table.order == 1:
        return ""
    return f"\t{shortest_decimal(table.contexts.view(np.float32)[1 + EOS, BACKOFF])}"


def _sections(
    table: Table, order: int, spelled: Lexicon, workers: int | None
) -> Iterator[tuple[list[Array], int]]:
    """Yield the text of an order in sections: (pieces of text, number of n-grams)."""
    low, high = int(table.offsets[order - 1]), int(table.offsets[order])
    size = _LINES // 8 if workers == 1 else _LINES  # a single worker: memory is short
    carried = table.offsets[:order].astype(np.int64)  # the path to the first node of the order

    def lines(nodes: tuple[int, int]) -> tuple[list[Array], int]:
        first, stop = nodes
        # A single worker writes the sections in order: each continues the path of the one before.
        path = carried if workers == 1 else _path_to(table, first, order)
        return _lines(table, path, first, stop, spelled), stop - first

    return parallel_imap(lines, chunks(high, size, low), workers)


def _lines(table: Table, path: Array, first: Int, stop: int, spelled: Lexicon) -> list[Array]:
    """The text of the nodes first to stop - 1, in pieces; for `path` see `_format_lines`."""
    boundaries = np.array([len(spelled) - 2, len(spelled) - 1])
    done: list[Array] = []
    while first < stop:
        buffer = np.empty(max(1 << 12, 64 * (stop - first)), np.uint8)
        while True:
            reached, written = _format_lines(
                table.contexts,
                table.contexts.view(np.float32),
                table.nodes,
                table.nodes.view(np.float32),
                path,
                first,
                stop,
                len(path) == table.order,
                spelled.blob,
                spelled.ends,
                boundaries,
                TENS,
                buffer,
            )
            if reached > first or reached == stop:
                break
            buffer = np.empty(4 * len(buffer), np.uint8)  # a very long line
        done.append(buffer[:written])
        first = reached
    return done


@compiled
def _format_lines(
    contexts: Array,
    weights: Array,
    nodes: Array,
    probs: Array,
    path: Array,
    first: Int,
    stop: Int,
    highest: bool,
    blob: Array,
    ends: Array,
    spellings: Array,
    tens: Array,
    out: Array,
) -> tuple[Int, Int]:
    """Write the lines of the nodes first to stop - 1 into out (bytes,).

    path (n,) holds the nodes on the path from the root to the first node, which is the last entry;
    on return it is the path to the last node written. spellings (2,) are the ids of `<s>` and
    `</s>` in the blob. Returns (the node at which it stopped, which is `stop` unless `out` was
    full; the number of bytes written).
    """
    order = path.size
    at: Int = 0
    for node in range(first, stop):
        path[order - 1] = node
        for depth in range(order - 2, -1, -1):
            while np.int64(contexts[path[depth] + 1, FIRST_FOLLOWER]) <= path[depth + 1]:
                path[depth] += 1
        length: Int = 64
        for depth in range(order):
            word = np.int64(nodes[path[depth], WORD])
            if word == EOS:
                word = spellings[0] if depth == 0 and order > 1 else spellings[1]
            length += np.int64(ends[word]) - (np.int64(ends[word - 1]) if word else 0) + 1
        if at + length > out.size:
            return node, at
        at = put_float(out, at, probs[node, LOG_PROB], tens)
        for depth in range(order):
            word = np.int64(nodes[path[depth], WORD])
            if word == EOS:
                word = spellings[0] if depth == 0 and order > 1 else spellings[1]
            out[at] = _TAB if depth == 0 else _SPACE
            at += 1
            start = np.int64(ends[word - 1]) if word else np.int64(0)
            for byte in range(start, np.int64(ends[word])):
                out[at] = blob[byte]
                at += 1
        if not highest:
            out[at] = _TAB
            at += 1
            weight = np.float32(0)
            if order > 1 or nodes[node, WORD] != EOS:
                weight = weights[node, BACKOFF]
            at = put_float(out, at, weight, tens)
        out[at] = _NEWLINE
        at += 1
    return stop, at


@compiled
def _parent(contexts: Array, low: Int, high: Int, node: Int) -> Int:
    """The context of a node: the last of the contexts low to high - 1 whose followers begin at the
    node or before it."""
    while high - low > 1:
        middle = (low + high) >> 1
        if contexts[middle, FIRST_FOLLOWER] <= node:
            low = middle
        else:
            high = middle
    return low


def _path_to(table: Table, node: int, order: int) -> Array:
    """The nodes on the path from the root to a node, which is the last entry."""
    path = np.zeros(order, np.int64)
    for depth in range(order - 1, -1, -1):
        path[depth] = node
        low, high = int(table.offsets[depth - 1]) if depth else 0, int(table.offsets[depth])
        node = int(_parent(table.contexts, low, high, node))
    return path


def spelling(word: str) -> str:
    """A word as it is written in an ARPA file. The blanks of ASCII, which separate words there, are
    written by name; a word that is a boundary mark there gets a backslash.

    Example:
        >>> spelling(" "), spelling("word")
        ('<space>', 'word')
    """
    if word in (BEGINNING, END):
        return "\\" + word
    return word.translate(_NAMES) or "<empty>"


_NAMES = {
    ord(" "): "<space>",
    ord("\t"): "<tab>",
    ord("\n"): "<newline>",
    ord("\r"): "<return>",
    ord("\v"): "<U+000B>",
    ord("\f"): "<U+000C>",
}


def _with_boundaries(lexicon: Lexicon, odd: dict[str, str]) -> Lexicon:
    """The words as they are written in the file, then `<s>` and `</s>`."""
    boundaries = BEGINNING.encode() + END.encode()
    if not odd:
        ends = lexicon.ends[-1] + np.array([len(BEGINNING), len(boundaries)], np.uint64)
        blob = np.concatenate(
            [lexicon.blob[: int(lexicon.ends[-1])], np.frombuffer(boundaries, np.uint8)]
        )
        return Lexicon(blob, np.concatenate([lexicon.ends, ends]))
    return Lexicon.of([*spelled_words(lexicon), BEGINNING, END])


def odd_words(lexicon: Lexicon) -> dict[str, str]:
    """The words that are written differently in the file, by what is written."""
    if lexicon.has_plain_words() and BEGINNING not in lexicon and END not in lexicon:
        return {}
    pairs = zip(spelled_words(lexicon), lexicon.words(), strict=True)
    return {written: word for written, word in pairs if written != word}


def spelled_words(lexicon: Lexicon) -> list[str]:
    """The words, in the order of their ids, as they are written in the file; no two are alike."""
    words: list[str] = []
    taken = {BEGINNING, END}
    for index, word in enumerate(lexicon.words()):
        spelled = spelling(word)
        if spelled in taken:  # for example parts of characters that print alike
            spelled = f"{spelled}<{index}>"
        taken.add(spelled)
        words.append(spelled)
    return words


def for_other_programs(tokenizer: Tokenizer, lexicon: Lexicon) -> list[str]:
    """What the user should know who gives the ARPA file of a model to another program."""
    notes = []
    if not cuts_as_kenlm(tokenizer):
        how = ", ".join([tokenizer.name, *tokenizer.choices])
        notes.append(
            f"the file says in a comment how text becomes its tokens ({how}), and nextword reads "
            "text so; other programs take what stands between blanks"
        )
    notes += for_normalised(tokenizer)
    odd = odd_words(lexicon)
    for written, word in list(odd.items())[:1]:
        notes.append(
            f"{len(odd):,} tokens are written differently, such as {word!r} as {written}; other "
            "programs know them by what is written"
        )
    return notes


def for_normalised(tokenizer: Tokenizer) -> list[str]:
    """What the user should know who gives a model of normalised text to another program."""
    how = tokenizer.normalisation
    if how == "none":
        return []
    return [
        f"the model is of normalised text (text.normalise={how}): other programs must be given "
        f"such text: nextword.text.normalise.normalise(text, '{how}')"
    ]


def open_to_write(path: Path) -> IO[bytes]:
    """Open a file for writing; its name says whether it is compressed."""
    name = path.name.lower()
    if name.endswith(".gz"):
        return io.BufferedWriter(gzip.open(path, "wb", compresslevel=5), 1 << 20)
    if name.endswith(".xz"):
        return io.BufferedWriter(lzma.open(path, "wb", preset=1), 1 << 20)
    if name.endswith(".bz2"):
        return io.BufferedWriter(bz2.open(path, "wb"), 1 << 20)
    return path.open("wb", buffering=1 << 20)
