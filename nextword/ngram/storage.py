"""Arrays in memory, or in files that take no memory, behind the same few calls.

With a memory bound every large array of an estimation lives in a temporary file: it is appended
to with ordinary writes (so that a full disk is an error and not a crash), mapped to be read, and
its pages are let go after every piece of work.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..compiled import chunks, parallel_map, threads
from ..errors import InputError

Array = np.ndarray[Any, Any]

_FREE_PIECE = 1 << 18  # n-grams per piece of work when memory is no concern
_BYTES_AN_NGRAM = 160  # of temporary arrays that a piece of work needs per n-gram, generously
_MMAP_THRESHOLD = -3  # malloc.h
_ROOMY = 64 << 20  # bytes from which on several threads have room to work side by side
_LEAST = 12 << 20  # bytes that an estimation needs beside the program itself
_SHARE = 0.8  # of what the bound leaves: the budget; the rest is for what is not planned for


def resident() -> int:
    """Bytes of memory that this process occupies now (0 where the system does not say)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * mmap.PAGESIZE
    except OSError:
        return 0


def return_freed_memory() -> None:
    """Make the C library give every large array back to the system as soon as it is freed; by
    itself it keeps ever larger ones (glibc's dynamic threshold)."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, 1 << 17)
        libc.malloc_trim(0)


class Storage:
    """Where the arrays of an estimation live.

    Attributes:
        folder: where the files go.
        bound: bytes that the whole process may take, None = no bound.
        budget: bytes of those that are planned for; 0 without a bound.
    """

    def __init__(self, folder: Path | None = None, memory: int | None = None) -> None:
        """In memory; or, with a bound on the memory of the whole process in bytes, in `folder`.

        Raises:
            InputError: the bound leaves too little to work with.
        """
        self.folder = folder
        self.bound = memory
        self._maps: list[np.memmap[Any, Any]] = []
        self._names = 0
        if memory is None:
            self.budget = 0
            return
        assert folder is not None
        return_freed_memory()
        used = resident()
        self.budget = int(_SHARE * (memory - used))
        if self.budget < _LEAST:
            least = -(-int(used + _LEAST / _SHARE) // (1 << 20)) + 8
            raise InputError(
                f"train.memory={memory >> 20}MB is too small to work with: the program itself "
                f"takes {used >> 20} MB; give at least {least}MB"
            )

    @property
    def bounded(self) -> bool:
        """Whether arrays live in files."""
        return self.bound is not None

    @property
    def workers(self) -> int:
        """How many threads work side by side."""
        return 1 if self.bounded and self.budget < _ROOMY else threads()

    @property
    def piece_size(self) -> int:
        """How many n-grams one piece of work is about."""
        if not self.bounded:
            return _FREE_PIECE
        return max(1 << 12, min(_FREE_PIECE, self.budget // 4 // self.workers // _BYTES_AN_NGRAM))

    @property
    def window(self) -> int:
        """How many four-byte numbers a pass may hold for access in any order."""
        return self.budget // 4 // 4 if self.bounded else 1 << 62

    def appender(self, dtype: Any) -> Appender:
        """An array that grows at its end."""
        if not self.bounded:
            return Appender(np.dtype(dtype), None, self)
        return Appender(np.dtype(dtype), self.path(), self)

    def path(self) -> Path:
        """A new name in the folder."""
        assert self.folder is not None
        self._names += 1
        return self.folder / f"{self._names}.tmp"

    def track(self, array: Array) -> None:
        """Have `release` let go of an array's pages too, if it is a mapped one."""
        if isinstance(array, np.memmap):
            self._maps.append(array)

    def release(self) -> None:
        """Let the pages of all mapped arrays go; what is in the files stays."""
        if self.bounded:
            for array in self._maps:
                array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]

    def zeros(self, length: int, dtype: Any) -> Array:
        """An array (length,) of zeros, to be filled in any order.

        Raises:
            OSError: the disk is full.
        """
        dtype = np.dtype(dtype)
        if not self.bounded or not length:
            return np.zeros(length, dtype)
        path = self.path()
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, length * dtype.itemsize)
        mapped = np.memmap(path, dtype, "r+", shape=(length,))
        self.track(mapped)
        return mapped

    def in_memory(self, array: Array) -> Array:
        """The same array in memory, for access in any order."""
        if not self.bounded:
            return array
        out = np.empty(len(array), array.dtype)
        for start, stop in self.pieces(len(array)):
            out[start:stop] = array[start:stop]
        return out

    def spans(self, total: int) -> Iterator[tuple[int, int]]:
        """(from, to) of what may be held in memory at once."""
        yield from chunks(total, min(self.window, max(1, total)))

    def gather(self, values: Array, places: Array) -> Callable[[int, int], Array]:
        """A function of (from, to) that gives values[places[from:to]]."""
        if not self.bounded or len(values) <= self.window:
            here = self.in_memory(values)
            return lambda start, stop: here[places[start:stop]]
        out = self.zeros(len(places), values.dtype)
        for low, high in self.spans(len(values)):
            here = self.in_memory(values[low:high])
            for start, stop in self.pieces(len(places)):
                some = places[start:stop]
                inside = (some >= low) & (some < high)
                out[start:stop][inside] = here[some[inside] - low]
        return lambda start, stop: out[start:stop]

    def each(self, work: Callable[[Any], None], pieces: list[Any]) -> None:
        """`work` on every piece, several at a time; pages are let go now and then."""
        step = 2 * self.workers if self.bounded else max(1, len(pieces))
        for start, stop in chunks(len(pieces), step):
            parallel_map(work, pieces[start:stop], self.workers)
            self.release()

    def pieces(self, total: int) -> Iterator[tuple[int, int]]:
        """(from, to) of pieces of work over `total` n-grams; pages are let go between them."""
        for start, stop in chunks(total, self.piece_size):
            yield start, stop
            self.release()


class Appender:
    """An array in the making; `close` gives it."""

    def __init__(self, dtype: np.dtype[Any], path: Path | None, storage: Storage) -> None:
        self.dtype = dtype
        self.length = 0
        self._storage = storage
        self._path = path
        self._parts: list[Array] = []
        self._file: BinaryIO | None = path.open("wb") if path else None

    def append(self, part: Array) -> None:
        """Numbers (N,) of the array's type, or that fit it."""
        part = part.astype(self.dtype, copy=False)
        self.length += len(part)
        if self._file:
            self._file.write(np.ascontiguousarray(part).data)
        else:
            self._parts.append(part)

    def close(self) -> Array:
        """All that was appended, to read (in memory also to change)."""
        if self._file is None:
            parts, self._parts = self._parts, []
            if len(parts) == 1:
                return parts[0]
            return np.concatenate(parts) if parts else np.zeros(0, self.dtype)
        self._file.close()
        assert self._path is not None
        if not self.length:
            self._path.unlink()
            return np.zeros(0, self.dtype)
        mapped = np.memmap(self._path, self.dtype, "r", shape=(self.length,))
        self._storage.track(mapped)
        return mapped
