"""Keeps the arrays of an estimation in memory or in temporary files, with one interface for both.

With a memory bound, every large array is in a temporary file. It is written by ordinary writes (a
full disk raises an error; with a mapping it would crash the process) and mapped for reading. After
every piece of work the mapped pages are released.
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
from numpy.typing import DTypeLike

from ..errors import InputError
from ..threads import chunks, parallel_map, threads

Array = np.ndarray[Any, Any]

_FREE_PIECE = 1 << 18  # n-grams in a piece of work, without a memory bound
_BYTES_AN_NGRAM = 160  # upper estimate of the temporary memory of a piece of work per n-gram
_MMAP_THRESHOLD = -3  # a parameter of `mallopt`, from malloc.h
_ROOMY = 64 << 20  # bytes; a larger budget has room for several threads
_LEAST = 12 << 20  # bytes that an estimation needs besides the program itself
_SHARE = 0.8  # of the memory that the bound leaves is the budget; the rest is a reserve


def resident() -> int:
    """The resident memory of this process in bytes; 0 if the system does not report it."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * mmap.PAGESIZE
    except OSError:
        return 0


def return_freed_memory() -> None:
    """Make the C library return every large array to the system as soon as it is freed. By default
    glibc raises its threshold and keeps ever larger ones."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, 1 << 17)
        libc.malloc_trim(0)


class Storage:
    """Makes and keeps the arrays of an estimation.

    Attributes:
        folder: the folder of temporary files.
        bound: the memory that the process may use, in bytes; None = no bound.
        budget: the part of it that arrays may use; 0 without a bound.
    """

    def __init__(self, folder: Path | None = None, memory: int | None = None) -> None:
        """Keep arrays in memory; or, if the process may use only `memory` bytes, in files in
        `folder`.

        Raises:
            InputError: the bound is too small.
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
        """Whether arrays are in files."""
        return self.bound is not None

    @property
    def workers(self) -> int:
        """The number of threads."""
        return 1 if self.bounded and self.budget < _ROOMY else threads()

    @property
    def piece_size(self) -> int:
        """The number of n-grams in a piece of work."""
        if not self.bounded:
            return _FREE_PIECE
        return max(1 << 12, min(_FREE_PIECE, self.budget // 4 // self.workers // _BYTES_AN_NGRAM))

    @property
    def window(self) -> int:
        """How many four-byte numbers a pass may hold in memory for random access."""
        return self.budget // 4 // 4 if self.bounded else 1 << 62

    def appender(self, dtype: DTypeLike) -> Appender:
        """A new array to which numbers can be appended."""
        if not self.bounded:
            return Appender(np.dtype(dtype), None, self)
        return Appender(np.dtype(dtype), self.path(), self)

    def path(self) -> Path:
        """A new file name in the folder."""
        assert self.folder is not None
        self._names += 1
        return self.folder / f"{self._names}.tmp"

    def track(self, array: Array) -> None:
        """Include an array in `release`, if it is mapped."""
        if isinstance(array, np.memmap):
            self._maps.append(array)

    def release(self) -> None:
        """Release the memory pages of all mapped arrays; the files keep their contents."""
        if self.bounded:
            for array in self._maps:
                array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]

    def zeros(self, length: int, dtype: DTypeLike) -> Array:
        """An array (length,) of zeros, which can be written in any order.

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
        """The array in memory, for random access."""
        if not self.bounded:
            return array
        out = np.empty(len(array), array.dtype)
        for start, stop in self.pieces(len(array)):
            out[start:stop] = array[start:stop]
        return out

    def spans(self, total: int) -> Iterator[tuple[int, int]]:
        """Divide `total` numbers into spans (from, to) that fit into memory, see `window`."""
        yield from chunks(total, min(self.window, max(1, total)))

    def gather(self, values: Array, places: Array) -> Callable[[int, int], Array]:
        """A function (from, to) → values[places[from:to]]."""
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
        """Call `work` on every piece, several at a time, and release pages regularly."""
        step = 2 * self.workers if self.bounded else max(1, len(pieces))
        for start, stop in chunks(len(pieces), step):
            parallel_map(work, pieces[start:stop], self.workers)
            self.release()

    def pieces(self, total: int) -> Iterator[tuple[int, int]]:
        """Yield pieces of work (from, to) over `total` n-grams; pages are released between them."""
        for start, stop in chunks(total, self.piece_size):
            yield start, stop
            self.release()


class Appender:
    """An array to which numbers are appended; `close` returns it."""

    def __init__(self, dtype: np.dtype[Any], path: Path | None, storage: Storage) -> None:
        self.dtype = dtype
        self.length = 0
        self._storage = storage
        self._path = path
        self._parts: list[Array] = []
        self._file: BinaryIO | None = path.open("wb") if path else None

    def append(self, part: Array) -> None:
        """Append numbers (N,), which must fit the type of the array."""
        part = part.astype(self.dtype, copy=False)
        self.length += len(part)
        if self._file:
            self._file.write(np.ascontiguousarray(part).data)
        else:
            self._parts.append(part)

    def close(self) -> Array:
        """The whole array. It is read-only if it is in a file."""
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
