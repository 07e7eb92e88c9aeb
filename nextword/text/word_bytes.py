"""Compiled loops that find the words between white space in the UTF-8 bytes of a text.

White space is the same as for `str.split`, or with `ascii_only` as for `bytes.split`: the blanks of
ASCII, at which KenLM cuts. Each word comes with its hash (64-bit FNV-1a: Fowler,
Noll and Vo), by which `lexicon` and `vocabulary_builder` look it up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import Int, compiled, inlined

Array = np.ndarray[Any, Any]

#: kinds of tokens that `next_token` finds
END_OF_TEXT, WORD, LINE_END = 0, 1, 2

#: Indices that cannot be negative are unsigned: numba counts a negative one from the end, which
#: costs a comparison each time.
ONE = np.uint64(1)

_NEWLINE, _SPACE = ord("\n"), ord(" ")
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


@inlined
def _blank_at(text: Array, place: np.uint64, ascii_only: bool) -> Int:
    """`white_space_at`; most bytes need no call."""
    byte = text[place]
    if 32 < byte < 0xC2:
        return 0
    if byte == _SPACE or byte == _NEWLINE:  # noqa: SIM109  # `in` is slower when compiled
        return 1
    return white_space_at(text, np.int64(place), ascii_only)


@compiled
def _mix(value: np.uint64, byte: Int) -> np.uint64:
    """One step of the FNV-1a hash."""
    return (value ^ np.uint64(byte)) * np.uint64(_FNV_PRIME)


@compiled
def next_token(text: Array, at: Int, ascii_only: bool) -> tuple[Int, Int, Int, np.uint64]:
    """The first token at or after byte `at`: (kind, its first byte, the byte after its last, its
    hash if it is a word)."""
    value = np.uint64(_FNV_OFFSET)
    place, size = np.uint64(at), np.uint64(text.size)
    while place < size:
        byte = text[place]
        if byte == _SPACE:
            place += ONE
            continue
        if byte == _NEWLINE:
            return LINE_END, np.int64(place), np.int64(place + ONE), value
        gap = _blank_at(text, place, ascii_only)
        if gap == 0:
            break
        place += np.uint64(gap)
    start = place
    while place < size and not _blank_at(text, place, ascii_only):
        value = _mix(value, text[place])
        place += ONE
    kind = WORD if place > start else END_OF_TEXT
    return kind, np.int64(start), np.int64(place), value


@compiled
def hash_word(text: Array, start: Int, stop: Int) -> np.uint64:
    """The hash of the bytes start to stop - 1, the same as `next_token` gives."""
    value = np.uint64(_FNV_OFFSET)
    for at in range(np.uint64(start), np.uint64(stop)):
        value = _mix(value, text[at])
    return value
