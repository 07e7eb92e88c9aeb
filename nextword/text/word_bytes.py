"""Compiled loops that find the words between white space in the UTF-8 bytes of a text.

White space is the same as for `str.split`, or with `ascii_only` as for `bytes.split`: the blanks of
ASCII, at which KenLM cuts. Each word comes with its hash (64-bit FNV-1a: Fowler,
Noll and Vo), by which `lexicon` and `vocabulary_builder` look it up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import Int, compiled

Array = np.ndarray[Any, Any]

#: kinds of tokens that `next_token` finds
END_OF_TEXT, WORD, LINE_END = 0, 1, 2

_NEWLINE = ord("\n")
_FNV_OFFSET, _FNV_PRIME = 14695981039346656037, 1099511628211


@compiled
def white_space_at(text: Array, at: Int, ascii_only: bool) -> Int:
    """How many bytes the white-space character at byte `at` has; 0 if none begins there."""
    byte = text[at]
    if byte <= 32:
        blank = byte == 32 or 9 <= byte <= 13 or (28 <= byte <= 31 and not ascii_only)
        return 1 if blank else 0
    if byte < 0xC2 or byte > 0xE3 or ascii_only:
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
def _mix(value: np.uint64, byte: Int) -> np.uint64:
    """One step of the FNV-1a hash."""
    return (value ^ np.uint64(byte)) * np.uint64(_FNV_PRIME)


@compiled
def next_token(text: Array, at: Int, ascii_only: bool) -> tuple[Int, Int, Int, np.uint64]:
    """The first token at or after byte `at`: (kind, its first byte, the byte after its last, its
    hash if it is a word)."""
    size = text.size
    value = np.uint64(_FNV_OFFSET)
    while at < size:
        if text[at] == _NEWLINE:
            return LINE_END, at, at + 1, value
        gap = white_space_at(text, at, ascii_only)
        if gap == 0:
            break
        at += gap
    if at >= size:
        return END_OF_TEXT, at, at, value
    start = at
    while at < size and (32 < text[at] < 0xC2 or white_space_at(text, at, ascii_only) == 0):
        value = _mix(value, text[at])
        at += 1
    return WORD, start, at, value


@compiled
def hash_word(text: Array, start: Int, stop: Int) -> np.uint64:
    """The hash of the bytes start to stop - 1, the same as `next_token` gives."""
    value = np.uint64(_FNV_OFFSET)
    for at in range(start, stop):
        value = _mix(value, text[at])
    return value
