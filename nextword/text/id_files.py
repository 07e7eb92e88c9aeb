"""Files of ids: `.npy`, or `.bin` without any header. They are read as texts of numbers.

Each id has as many bytes in such a text as every other, so any part of it is made from the
memory-mapped file when it is read; nothing is copied, and the file is never in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from ..errors import InputError
from ..paths import Kind, kind_of
from .reader import Span
from .source import ID_FILES, Source

Array = np.ndarray[Any, Any]

_DIGITS = {np.dtype("<u2"): 5, np.dtype("<u4"): 10}
_WIDE = ".uint32.bin"


def open_ids(spans: Iterable[Span]) -> list[Span]:
    """The spans, those of `.npy` and `.bin` files as texts of numbers.

    A `.bin` file holds little-endian uint16; if its name ends with `.uint32.bin`, uint32.

    Raises:
        InputError: a file is damaged, empty, or holds something else.
    """
    return [_opened(span) if _names_ids(span.path) else span for span in spans]


def _names_ids(path: Path) -> bool:
    return path.suffix in ID_FILES and kind_of(path) is Kind.FILE


def _opened(span: Span) -> Span:
    if not span.source.is_text:
        return span
    numbers = _Numbers(_mapped(span.path))
    return Span(Source(span.path, numbers.size, numbers), 0, numbers.size)


def _mapped(path: Path) -> Array:
    """The ids (N,) uint16 or uint32 of a file, memory-mapped."""
    if path.suffix == ".bin":
        dtype = np.dtype("<u4" if path.name.endswith(_WIDE) else "<u2")
        if (size := path.stat().st_size) % dtype.itemsize:
            raise InputError(f"'{path}' has {size:,} bytes, which are no ids of {dtype.itemsize}")
        return np.memmap(path, dtype, "r")
    try:
        ids = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OverflowError, SyntaxError, TypeError, TokenError) as error:
        raise InputError(f"'{path}' is no .npy file, or cut off ({_first(error)})") from None
    if ids.ndim != 1 or ids.dtype not in _DIGITS:
        raise InputError(
            f"'{path}' has {ids.dtype} in {ids.ndim} dimensions; ids are uint16 or uint32 in one: "
            "numpy.save(FILE, ids.astype('uint32').ravel())"
        )
    if not len(ids):
        raise InputError(f"'{path}' holds no ids")
    found: Array = ids
    return found


def _first(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]


class _Numbers:
    """The text of ids: each with its leading blanks and one blank before them."""

    def __init__(self, ids: Array) -> None:
        self._ids = ids
        self._width = 1 + _DIGITS[ids.dtype]
        self.size = len(ids) * self._width

    def read_at(self, place: int, buffer: memoryview) -> int:
        """Fill the buffer from byte `place` on; return how many bytes there were."""
        stop = min(self.size, place + len(buffer))
        if stop <= place:
            return 0
        first = place // self._width
        text = self._text(first, -(-stop // self._width))
        offset = place - first * self._width
        buffer[: stop - place] = text[offset : offset + stop - place].tobytes()
        return stop - place

    def _text(self, first: int, stop: int) -> Array:
        """The text (bytes,) uint8 of the ids first to stop - 1."""
        rest = np.asarray(self._ids[first:stop], np.uint32)
        text = np.full((len(rest), self._width), ord(" "), np.uint8)
        for column in range(self._width - 1, 0, -1):
            there = rest > 0 if column < self._width - 1 else np.True_
            text[:, column] = np.where(there, rest % 10 + ord("0"), ord(" "))
            rest = rest // 10
        return text.ravel()
