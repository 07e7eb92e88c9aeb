"""Reads the lines of an ARPA file, a block at a time, and parses lines of n-grams."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from ..compiled import Int, compiled
from ..errors import InputError
from ..text.compression import damage
from ..text.lexicon import find_word
from ..text.word_bytes import hash_word
from .decimals import parse_number
from .progress import Progress

Array = np.ndarray[Any, Any]

LARGEST_BACKOFF = 1e4  # log10 of a weight; a larger one is an error
_LONGEST = 1 << 20  # bytes of a line; a file without line ends is not read as a whole
_BLOCK = 1 << 24  # bytes parsed at a time
_TAB, _NEWLINE, _RETURN, _SPACE, _BACKSLASH = b"\t\n\r \\"


class Lines:
    """Reads a file in blocks of whole lines and counts the lines."""

    def __init__(self, file: IO[bytes], path: Path, progress: Progress | None) -> None:
        """Read from `file`. `path` appears in messages; `progress` is called with the number of
        bytes read."""
        self.file, self.path, self.progress = file, path, progress
        self.buffer = b""
        self.number = 1
        self.ended = False

    def fill(self) -> None:
        """Read until the buffer holds a whole line or the rest of the file.

        Raises:
            InputError: the file is damaged, or a line is too long.
        """
        while not self.ended and b"\n" not in self.buffer:
            if len(self.buffer) > _LONGEST:
                self.wrong(f"is longer than {_LONGEST >> 20} MB")
            self._read(max(1 << 16, len(self.buffer)))

    def _read(self, size: int) -> None:
        try:
            more = self.file.read(size)
        except damage() as error:
            raise InputError(
                f"'{self.path}' is damaged or cut off after line {self.number:,} ({error})"
            ) from None
        self.ended = not more
        self.buffer += more
        if self.progress:
            self.progress(len(more))

    def next(self) -> str | None:
        """The next line without its line end; None at the end of the file.

        Raises:
            InputError: the line is not UTF-8 text.
        """
        self.fill()
        if not self.buffer:
            return None
        raw, _, self.buffer = self.buffer.partition(b"\n")
        self.number += 1
        try:
            return raw.rstrip(b"\r").decode("utf-8")
        except UnicodeDecodeError:
            self.number -= 1
            self.wrong("is not UTF-8 text")

    def block(self) -> Array:
        """The bytes (N,) uint8 of many whole lines. `skip` must be called with the part that was
        used."""
        if not self.ended and len(self.buffer) < _BLOCK:
            self._read(_BLOCK)
        self.fill()
        end = len(self.buffer) if self.ended else self.buffer.rfind(b"\n") + 1
        return np.frombuffer(self.buffer, np.uint8, end)

    def skip(self, size: int, lines: int) -> None:
        """Skip `size` bytes, which are `lines` lines."""
        self.buffer = self.buffer[size:]
        self.number += lines

    def wrong(self, what: str) -> NoReturn:
        """Raise an InputError that says what is wrong with the current line."""
        raise InputError(f"'{self.path}' line {self.number:,} {what}")


#: the errors of `parse_ngrams`
OK, _NO_NUMBER, _NO_WORDS, _UNKNOWN_WORD, NO_WEIGHT, WEIGHT, _EXTRA, _POSITIVE = range(8)
MESSAGES = {
    _NO_NUMBER: "does not begin with a number",
    _NO_WORDS: "has too few words for a {order}-gram",
    _UNKNOWN_WORD: "has a word that is not among the 1-grams",
    NO_WEIGHT: "ends in something that is no back-off weight",
    WEIGHT: "has a back-off weight that is not 0, although no n-gram of the file is longer",
    _EXTRA: "goes on after the back-off weight",
    _POSITIVE: "has a log-probability above zero",
}


@compiled
def _skip_gap(text: Array, at: Int, stop: Int) -> Int:
    """The index of the first byte from `at` on that is neither a space nor a tab, or `stop`."""
    while at < stop and (text[at] == _SPACE or text[at] == _TAB):
        at += 1
    return at


@compiled
def parse_ngrams(
    text: Array,
    order: Int,
    highest: bool,
    slots: Array,
    blob: Array,
    ends: Array,
    tens: Array,
    ids: Array,
    log_probs: Array,
    backoffs: Array,
) -> tuple[int, int, int, int]:
    """Parse whole lines of n-grams up to an empty line, or one that begins with a backslash.

    Fills ids (m, n), log_probs (m,) and backoffs (m,); slots, blob and ends are the arrays of a
    `Lexicon`, tens is `TENS`. Returns (number of n-grams, number of lines, number of bytes, the
    error in the next line or `OK`).
    """
    at, put, lines = 0, 0, 0
    while at < text.size:
        stop = at
        while stop < text.size and text[stop] != _NEWLINE:
            stop += 1
        after = stop + 1
        if stop > at and text[stop - 1] == _RETURN:
            stop -= 1
        if stop == at or text[at] == _BACKSLASH:
            break
        good, log_prob, here = parse_number(text, at, stop, tens)
        if not good or here >= stop or (text[here] != _TAB and text[here] != _SPACE):
            return put, lines, at, _NO_NUMBER
        if log_prob > 0:
            return put, lines, at, _POSITIVE
        for index in range(order):
            here = _skip_gap(text, here, stop)
            start = here
            while here < stop and text[here] != _SPACE and text[here] != _TAB:
                here += 1
            if start == here:
                return put, lines, at, _NO_WORDS
            value = hash_word(text, start, here)
            _, found = find_word(text, start, here, value, slots, blob, ends)
            if found < 0:
                return put, lines, at, _UNKNOWN_WORD
            ids[put, index] = found
        here = _skip_gap(text, here, stop)
        backoffs[put] = 0
        if here < stop:
            good, backoff, here = parse_number(text, here, stop, tens)
            if not good or backoff > LARGEST_BACKOFF:
                return put, lines, at, NO_WEIGHT
            if highest and backoff != 0:
                return put, lines, at, WEIGHT
            backoffs[put] = backoff
            if _skip_gap(text, here, stop) < stop:
                return put, lines, at, _EXTRA
        log_probs[put] = log_prob
        put += 1
        lines += 1
        at = after
    return put, lines, min(at, text.size), OK
