"""Reads ARPA files (see `arpa` for the format) and makes a table of them."""

from __future__ import annotations

import os
import re
from shlex import quote
from typing import Any

import numpy as np

from ..errors import InputError
from ..paths import readable
from ..text.lexicon import Lexicon
from ..text.tokenizer import EOS, SPECIALS, UNK
from .arpa import BEGINNING, END, UNKNOWN
from .arpa_header import BYTE_ORDER_MARK, open_to_read
from .arpa_lines import LARGEST_BACKOFF, MESSAGES, NO_WEIGHT, OK, WEIGHT, Lines, parse_ngrams
from .decimals import TENS
from .progress import Progress
from .table import Table
from .table_from_ngrams import NgramList, table_from_ngrams
from .trie import HIGHEST_ORDER, NO_UNKNOWN, ZERO

Array = np.ndarray[Any, Any]
_LEAST = -1e30  # the smallest logarithm: two of them added are finite in single precision


def read_arpa(
    path: str | os.PathLike[str],
    progress: Progress | None = None,
    *,
    add_marks: bool = False,
) -> tuple[Table, Lexicon]:
    """Read the table and the vocabulary of an ARPA file. `<unk>` has the id 0; `<s>` and `</s>`
    have the id 1.

    If the context of an n-gram is missing, it is added with the probability that back-off gives it.
    If the file has no `<unk>`, unknown words have the probability 1e-100, as in KenLM.

    Args:
        path: plain text or compressed (gzip, bzip2, xz, zstd), whatever its name.
        progress: called with the number of bytes just read.
        add_marks: in a file without `<s>` or `</s>`, the mark counts as an unknown word; KenLM can
            be told the same (`sentence_marker_missing`).

    Raises:
        InputError: the file is missing, cut off or malformed; the message names the line.
    """
    path = readable(path, "an ARPA file")
    with open_to_read(path) as file:
        lines = Lines(file, path, progress)
        counts = _header(lines)
        lexicon, unigrams, beginning = _unigrams(lines, counts, add_marks)
        orders = [unigrams]
        for order in range(2, len(counts) + 1):
            orders.append(_section(lines, order, counts, lexicon))
        _end(lines)
    table = table_from_ngrams(path, orders, lexicon)
    table.beginning = beginning
    return table, lexicon


def _filled(lines: Lines) -> str | None:
    """The next line that is not empty."""
    while (line := lines.next()) is not None:
        if line.strip():
            return line
    return None


def _header(lines: Lines) -> list[int]:
    lines.fill()
    lines.buffer = lines.buffer.removeprefix(BYTE_ORDER_MARK)
    line = _filled(lines)
    while line is not None and line.strip() != "\\data\\":
        if lines.number > 1000 or "\0" in line:
            line = None
            break
        line = _filled(lines)
    if line is None:
        raise InputError(f"'{lines.path}' is not an ARPA file (no \\data\\ line)")
    counts: list[int] = []
    while (line := lines.next()) is not None and line.strip():
        name, _, value = line.partition("=")
        parts = name.split()
        number = value.strip()
        plain = number.isascii() and number.isdecimal() and len(number) < 19
        if len(parts) != 2 or parts[0] != "ngram" or not plain:
            lines.number -= 1
            lines.wrong(f"is not of the form 'ngram 1=100' ({line[:40]!r})")
        if parts[1] != str(len(counts) + 1):
            lines.number -= 1
            lines.wrong(f"gives order {parts[1]} where {len(counts) + 1} is due")
        counts.append(int(value))
    if not counts:
        lines.wrong("gives no counts of n-grams")
    if len(counts) > HIGHEST_ORDER:
        raise InputError(
            f"'{lines.path}' has order {len(counts)}; at most {HIGHEST_ORDER} can be used"
        )
    return counts


def _begin_section(lines: Lines, order: int) -> None:
    line = _filled(lines)
    if line is None:
        lines.wrong(f"the file ends before \\{order}-grams:; it is cut off")
    elif line.strip() != f"\\{order}-grams:":
        lines.number -= 1
        lines.wrong(f"should be \\{order}-grams: ({line[:40]!r})")


def _check_count(lines: Lines, order: int, found: int, said: int) -> None:
    if found != said:
        cut = " (the file is cut off)" if lines.ended and not lines.buffer.strip() else ""
        lines.wrong(f"ends the {order}-grams: {found:,} of them, but \\data\\ says {said:,}{cut}")


def _unigrams(
    lines: Lines, counts: list[int], add_marks: bool = False
) -> tuple[Lexicon, NgramList, float]:
    """The vocabulary, the unigrams in the order of the ids, and log10 p of `<s>`."""
    _begin_section(lines, 1)
    words: dict[str, tuple[float, float]] = {}
    while True:
        line = lines.next()
        if line is None or not line.strip() or line.startswith("\\"):
            break
        lines.number -= 1
        word, log_prob, backoff = _unigram(lines, line, highest=len(counts) == 1)
        if word in words:
            lines.wrong(f"repeats the word '{word}'")
        words[word] = (log_prob, backoff)
        lines.number += 1
    if line is not None:  # it is not part of the section: put it back
        lines.buffer = line.encode() + b"\n" + lines.buffer
        lines.number -= 1
    if SPECIALS[EOS] in words:
        raise InputError(
            f"'{lines.path}' has a word '{SPECIALS[EOS]}', which is the end of a line here; "
            "rename it"
        )
    _check_count(lines, 1, len(words), counts[0])
    unknown = words.pop(UNKNOWN, None) or words.pop("<UNK>", None) or (NO_UNKNOWN, 0.0)
    path = quote(str(lines.path))
    for needed in (BEGINNING, END):
        if needed not in words and not add_marks:
            raise InputError(
                f"'{lines.path}' has no {needed} among its 1-grams. To count it as an unknown "
                f"word: nextword export {path} --format arpa --add-marks --out marked.arpa"
            )
    begin, end = (words.pop(mark, (unknown[0], 0.0)) for mark in (BEGINNING, END))
    names = [*SPECIALS, *words]
    values = [unknown, (end[0], begin[1]), *words.values()]
    unigrams = NgramList(
        np.arange(len(names), dtype=np.uint32)[:, None],
        np.array([log_prob for log_prob, _ in values], np.float32),
        np.array([backoff for _, backoff in values], np.float32),
    )
    return Lexicon.of(names), unigrams, begin[0]


def _unigram(lines: Lines, line: str, highest: bool) -> tuple[str, float, float]:
    """The (word, log-probability, back-off weight) of a line."""
    parts = [part for part in line.replace("\t", " ").split(" ") if part]
    log_prob = _float(parts[0])
    if log_prob is None:
        lines.wrong("does not begin with a number")
    if log_prob > 0:
        lines.wrong("has a log-probability above zero")
    if len(parts) < 2:
        lines.wrong("has too few words for a 1-gram")
    backoff = 0.0
    if len(parts) > 2:
        given = _float(parts[2])
        if given is None or given > LARGEST_BACKOFF:
            lines.wrong(MESSAGES[NO_WEIGHT])
        if highest and given != 0:
            lines.wrong(MESSAGES[WEIGHT])
        backoff = given
    if len(parts) > 3:
        lines.wrong("goes on after the back-off weight")
    return parts[1], log_prob, backoff


_PLAIN = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)


def _float(text: str) -> float | None:
    """Parse a number; None if it is not one."""
    if text == "-inf":  # some programs write it for probability 0
        return ZERO
    return max(float(text), _LEAST) if _PLAIN.fullmatch(text) else None


def _section(lines: Lines, order: int, counts: list[int], lexicon: Lexicon) -> NgramList:
    """The n-grams of one order, in the order of the file."""
    _begin_section(lines, order)
    known = _with_boundaries(lexicon)
    blocks: list[NgramList] = []
    finished = False
    while not finished:
        text = lines.block()
        capacity = len(text) // (2 * order + 1) + 1
        ids = np.empty((capacity, order), np.uint32)
        log_probs, backoffs = np.empty(capacity, np.float32), np.empty(capacity, np.float32)
        found, read, used, wrong = parse_ngrams(
            text,
            order,
            order == len(counts),
            known.hash_table,
            known.blob,
            known.ends,
            TENS,
            ids,
            log_probs,
            backoffs,
        )
        finished = used < len(text) or not len(text)
        del text
        lines.skip(used, read)
        if wrong != OK:
            lines.wrong(MESSAGES[wrong].format(order=order))
        ids = ids[:found]
        _settle_boundaries(lines, ids, len(lexicon), read)
        blocks.append(
            NgramList(
                ids.copy(),
                np.maximum(log_probs[:found], np.float32(_LEAST)),
                np.maximum(backoffs[:found], np.float32(_LEAST)),
            )
        )
    _check_count(lines, order, sum(len(block.ids) for block in blocks), counts[order - 1])
    return NgramList(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


def _settle_boundaries(lines: Lines, ids: Array, vocab_size: int, read: int) -> None:
    """Replace the ids of boundaries and unknown words in ids (m, n), which come from the last
    `read` lines, by the ids that they have in a table; see `_with_boundaries`."""
    beginning, other_unknown = vocab_size, vocab_size + 2
    misplaced = (ids[:, 1:] == beginning).any(1) | (ids[:, :-1] == EOS).any(1)
    if misplaced.any():
        lines.number += int(np.argmax(misplaced)) - read
        lines.wrong(f"has {BEGINNING} after, or {END} before another word")
    ids[ids == beginning] = EOS
    ids[ids == other_unknown] = UNK


def _with_boundaries(lexicon: Lexicon) -> Lexicon:
    """The words as they are written in a file: `</s>` instead of `<eos>`, and `<s>` as the last
    one."""
    words = lexicon.words()
    words[EOS] = END  # a file contains `</s>` and not `<eos>`
    return Lexicon.of([*words, BEGINNING, END, "<UNK>"])


def _end(lines: Lines) -> None:
    line = _filled(lines)
    if line is None or line.strip() != "\\end\\":
        if line is not None:
            lines.number -= 1
        lines.wrong("\\end\\ is missing; the file is cut off")
