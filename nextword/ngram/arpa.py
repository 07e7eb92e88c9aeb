"""ARPA files: the text format that every n-gram toolkit reads, plain, .gz or .xz.

    \\data\\
    ngram 1=5584
    ngram 2=20062

    \\1-grams:
    -3.0      word      -0.30103     log10 probability, words, log10 back-off weight
    …
    \\end\\

`<s>` and `</s>` are the beginning and the end of a line, `<unk>` every word that is not there. They
are written with seven or more digits, as few as give back the same number.
"""

from __future__ import annotations

import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..compiled import Int, chunks, compiled, stream
from ..text.numbering import Lexicon, plain
from ..text.tokenizer import EOS
from .table import BACKOFF, Table

Array = np.ndarray[Any, Any]
Progress = Callable[[int], None]

BEGINNING, END, UNKNOWN = "<s>", "</s>", "<unk>"
MISSING_UNKNOWN = -100.0  # log10 p of unknown words where a file has no <unk>: KenLM's

_LINES = 1 << 14  # n-grams formatted at a time
TENS = 10.0 ** np.arange(23)


@compiled
def _put_float(out: Array, at: Int, value: Any, tens: Array) -> Int:
    """Write a float32 in as few decimals as give it back, nine significant digits at most."""
    if value == 0:
        out[at] = 48
        return at + 1
    if value < 0:
        out[at] = 45
        at += 1
        value = -value
    whole = np.float32(value)
    decimals = 6 if value < 10 else 5  # of single precision: fewer give the number back, or these
    small = value
    while small < 1 and decimals < 20:
        small *= 10
        decimals += 1
    number = np.int64(0)
    for digits in range(decimals, decimals + 4):
        number = np.int64(np.round(value * tens[min(digits, 22)]))
        decimals = min(digits, 22)
        if np.float32(number / tens[decimals]) == whole:
            break
    while decimals > 0 and number % 10 == 0:
        number //= 10
        decimals -= 1
    length = 1
    rest = number
    while rest >= 10:
        rest //= 10
        length += 1
    width = max(length, decimals + 1) + (1 if decimals else 0)
    put = at + width - 1
    for place in range(max(length, decimals + 1)):
        if decimals and place == decimals:
            out[put] = 46
            put -= 1
        out[put] = 48 + number % 10
        number //= 10
        put -= 1
    return at + width


@compiled
def _lines_of(
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
    """Write the lines of nodes first … stop - 1; path (n,) holds the nodes on the way to the first,
    itself last. spellings (3,): the ids under which `<s>`, `</s>` are spelled in the blob. Returns
    (the node it stopped at because `out` was full, bytes written)."""
    order = path.size
    at = 0
    for node in range(first, stop):
        path[order - 1] = node
        for depth in range(order - 2, -1, -1):
            while np.int64(contexts[path[depth] + 1, 0]) <= path[depth + 1]:
                path[depth] += 1
        length: Int = 64
        for depth in range(order):
            word = np.int64(nodes[path[depth], 0])
            if word == EOS:
                word = spellings[0] if depth == 0 and order > 1 else spellings[1]
            length += np.int64(ends[word]) - (np.int64(ends[word - 1]) if word else 0) + 1
        if at + length > out.size:
            return node, at
        at = _put_float(out, at, probs[node, 1], tens)
        for depth in range(order):
            word = np.int64(nodes[path[depth], 0])
            if word == EOS:
                word = spellings[0] if depth == 0 and order > 1 else spellings[1]
            out[at] = 9 if depth == 0 else 32
            at += 1
            start = np.int64(ends[word - 1]) if word else np.int64(0)
            for byte in range(start, np.int64(ends[word])):
                out[at] = blob[byte]
                at += 1
        if not highest:
            out[at] = 9
            at += 1
            weight = np.float32(0)
            if order > 1 or nodes[node, 0] != EOS:
                weight = weights[node, 1]
            at = _put_float(out, at, weight, tens)
        out[at] = 10
        at += 1
    return stop, at


def write_arpa(
    table: Table,
    lexicon: Lexicon,
    out: IO[bytes],
    progress: Progress | None = None,
    workers: int | None = None,
) -> None:
    """Write a table as ARPA text.

    Words that the format has no room for are written as `<space>` and the like (see `spelling`).

    Args:
        progress: told of every few n-grams written.
        workers: threads that format (default: one per core).
    """
    spelled = _spelled(lexicon)
    size = _LINES // 8 if workers == 1 else _LINES  # one alone: where memory is short
    words = len(lexicon)
    out.write(b"\\data\\\n")
    for order, count in enumerate(table.counts, start=1):
        out.write(f"ngram {order}={count + (order == 1)}\n".encode())
    weights, probs = table.contexts.view(np.float32), table.nodes.view(np.float32)
    for order in range(1, table.order + 1):
        out.write(f"\n\\{order}-grams:\n".encode())
        highest = order == table.order
        if order == 1:  # the beginning of a line is never predicted
            tail = "" if highest else f"\t{_shortest(weights[1 + EOS, BACKOFF])}"
            out.write(f"0\t{BEGINNING}{tail}\n".encode())

        low, high = int(table.offsets[order - 1]), int(table.offsets[order])
        carried = table.offsets[:order].astype(np.int64)  # from the first of every order on

        def lines(
            piece: tuple[int, int],
            order: int = order,
            highest: bool = highest,
            low: int = low,
            carried: Array = carried,
        ) -> Any:
            first, stop = piece
            # One after another, a piece goes on from where the one before ended.
            path = carried if workers == 1 else _path_to(table, first, order)
            done = []
            while first < stop:
                buffer = np.empty(max(1 << 12, 64 * (stop - first)), np.uint8)
                while True:
                    reached, written = _lines_of(
                        table.contexts,
                        weights,
                        table.nodes,
                        probs,
                        path,
                        first,
                        stop,
                        highest,
                        spelled.blob,
                        spelled.ends,
                        np.array([words, words + 1]),
                        TENS,
                        buffer,
                    )
                    if reached > first or reached == stop:
                        break
                    buffer = np.empty(4 * len(buffer), np.uint8)  # a very long line
                done.append(buffer[:written])
                first = reached
            carried[:] = path
            return done, piece

        for texts, (first, stop) in stream(lines, chunks(high, size, low), workers):
            for text in texts:
                out.write(text.data)
            if progress:
                progress(stop - first)
    out.write(b"\n\\end\\\n")


@compiled
def _parent(contexts: Array, low: Int, high: Int, node: Int) -> Int:
    """The last of the contexts low … high - 1 whose followers begin at `node` or before."""
    while high - low > 1:
        middle = (low + high) >> 1
        if contexts[middle, 0] <= node:
            low = middle
        else:
            high = middle
    return low


def _path_to(table: Table, node: int, order: int) -> Array:
    """The nodes on the way to one of an order, itself last."""
    path = np.zeros(order, np.int64)
    for depth in range(order - 1, -1, -1):
        path[depth] = node
        low, high = int(table.offsets[depth - 1]) if depth else 0, int(table.offsets[depth])
        node = int(_parent(table.contexts, low, high, node))
    return path


def _shortest(value: Any) -> str:
    out = np.zeros(64, np.uint8)
    return out[: _put_float(out, 0, float(value), TENS)].tobytes().decode()


def spelling(word: str) -> str:
    """A word as an ARPA file can have it: white space, which parts the words there, by name; what
    is a boundary there with a backslash."""
    if word in (BEGINNING, END):
        return "\\" + word
    if word.split() != [word] or any(mark in word for mark in "\t\n\r "):
        return "".join(_NAMES.get(c, f"<U+{ord(c):04X}>") if c.isspace() else c for c in word) or (
            "<empty>"
        )
    return word


_NAMES = {" ": "<space>", "\t": "<tab>", "\n": "<newline>", "\r": "<return>"}


def _spelled(lexicon: Lexicon) -> Lexicon:
    """The words as they are written, then `<s>` and `</s>`."""
    boundaries = BEGINNING.encode() + END.encode()
    if plain(lexicon) and BEGINNING not in lexicon and END not in lexicon:
        ends = lexicon.ends[-1] + np.array([len(BEGINNING), len(boundaries)], np.uint64)
        blob = np.concatenate(
            [lexicon.blob[: int(lexicon.ends[-1])], np.frombuffer(boundaries, np.uint8)]
        )
        return Lexicon(blob, np.concatenate([lexicon.ends, ends]))
    words: list[str] = []
    taken = {BEGINNING, END}
    for index, word in enumerate(lexicon.words()):
        spelled = spelling(word)
        if spelled in taken:  # pieces of characters, say, that look the same
            spelled = f"{spelled}<{index}>"
        taken.add(spelled)
        words.append(spelled)
    return Lexicon.of([*words, BEGINNING, END])


def open_to_write(path: Path) -> IO[bytes]:
    """A file to be written, compressed as its name says."""
    name = path.name.lower()
    if name.endswith(".gz"):
        return io.BufferedWriter(gzip.open(path, "wb", compresslevel=5), 1 << 20)
    if name.endswith(".xz"):
        return io.BufferedWriter(lzma.open(path, "wb", preset=1), 1 << 20)
    return path.open("wb", buffering=1 << 20)
