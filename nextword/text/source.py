"""Opens what a text is read from: a file, a compressed file, standard input (`-`) or a FIFO.

Training reads a text several times, and parts of it from their place. A compressed text and a
stream are therefore copied, decompressed, into a temporary file without a name, which disappears
with the process. `streams_kept` makes such a copy last as long as a command needs it.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Protocol

from ..errors import InputError
from ..paths import Kind, kind_of, readable
from .compression import CHUNK, compression_of, decompressed, read_piece

STANDARD_INPUT = "-"
ID_FILES = (".npy", ".bin")  # endings of files of ids, whose first bytes may look compressed


class Bytes(Protocol):
    """The bytes of a text that is not the contents of its file."""

    size: int

    def read_at(self, place: int, buffer: memoryview) -> int:
        """Fill the buffer from byte `place` on; return how many bytes there were."""


@dataclass(frozen=True)
class Source:
    """A text that can be read any number of times, from any place.

    Example:
        with open_source(Path("book.txt.gz")).open() as file:
            first = file.read(100)
    """

    path: Path  # as it was named, for messages
    size: int  # bytes, decompressed
    copy: Bytes | None = None  # None: the file itself is read

    @property
    def is_text(self) -> bool:
        """Whether the file, decompressed, is the text itself, so that its lines are the text's."""
        return self.copy is None or isinstance(self.copy, _Copy)

    def open(self) -> BinaryIO:
        """Open the text at its beginning."""
        if self.copy is None:
            return self.path.open("rb")
        return io.BufferedReader(_CopyReader(self.copy), CHUNK)


def open_source(path: Path) -> Source:
    """Open a file, a compressed file (gzip, bzip2, xz or zstd, known by its content), a FIFO or, if
    the path is `-`, standard input. A stream is read to its end.

    Raises:
        InputError: there is no such file, it is a directory or a device, may not be read, is
            damaged, or zstd is not installed.
    """
    kept = _kept.get()
    key = _key(path)
    if kept is not None and key in kept:
        return Source(path, kept[key].size, kept[key])
    if is_stream(path):
        copy = _copied(decompressed(open_stream(path), path), path)
    else:
        with path.open("rb") as file:
            if path.suffix in ID_FILES or compression_of(file.read(8)) is None:
                return Source(path, path.stat().st_size)
            file.seek(0)
            copy = _copied(decompressed(file, path), path)
    if kept is not None:
        kept[key] = copy
    return Source(path, copy.size, copy)


def _key(path: Path) -> object:
    """What identifies a text, and the state that it is in, while a command runs.

    Raises:
        InputError: there is no such file, or it is not for reading.
    """
    if str(path) == STANDARD_INPUT:
        return STANDARD_INPUT
    found = (path if is_stream(path) else readable(path)).stat()
    if is_stream(path):
        return found.st_dev, found.st_ino
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def is_stream(path: Path) -> bool:
    """Whether a path is standard input (`-`) or a FIFO, which can be read only once."""
    return str(path) == STANDARD_INPUT or kind_of(path) is Kind.PIPE


def open_stream(path: Path) -> BinaryIO:
    """Open a FIFO or standard input (`-`).

    Raises:
        InputError: standard input is closed, or this user may not read the FIFO.
    """
    if str(path) != STANDARD_INPUT:
        if not os.access(path, os.R_OK):
            raise InputError(f"'{path}' cannot be read (no permission)")
        return path.open("rb")
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("standard input is closed; name a file instead of -")
    if _is_endless(sys.stdin.buffer):
        raise InputError("standard input is a device, which may have no end; name a file")
    return sys.stdin.buffer


def _is_endless(stream: BinaryIO) -> bool:
    """Whether a stream comes from a device like /dev/zero, which is no terminal and not empty."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # a stream in memory
        return False
    if stream.isatty() or kind_of(number) is not Kind.DEVICE:
        return False
    return os.fstat(number).st_rdev != os.stat(os.devnull).st_rdev


# ---------------------------------------------------------------- copies


class _Copy:
    """The bytes of a text in a temporary file that has no name."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.size = size
        self._file = file
        self._lock = threading.Lock()  # the file has one place, its readers have many

    def read_at(self, place: int, buffer: memoryview) -> int:
        """Fill the buffer from byte `place` on; return how many bytes there were."""
        with self._lock:
            self._file.seek(place)
            return self._file.readinto(buffer)  # type: ignore[attr-defined, no-any-return]


class _CopyReader(io.RawIOBase):
    """Reads a copy from a place of its own."""

    def __init__(self, copy: Bytes) -> None:
        self._copy, self._place = copy, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self._copy.read_at(self._place, buffer)
        self._place += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = (0, self._place, self._copy.size)[whence]
        self._place = max(0, start + offset)
        return self._place

    def tell(self) -> int:
        return self._place


def _copied(stream: BinaryIO, path: Path) -> _Copy:
    import tempfile  # imported here: most commands make no copy

    file = tempfile.TemporaryFile(prefix="nextword-")  # noqa: SIM115 (it stays open)
    try:
        while piece := read_piece(stream, path):
            file.write(piece)
        file.flush()
    except OSError as error:
        raise InputError(
            f"no copy of '{path}' can be made in '{tempfile.gettempdir()}' ({error.strerror}); "
            "name a folder with more room in the environment variable TMPDIR"
        ) from None
    return _Copy(file, file.tell())


_kept: ContextVar[dict[object, _Copy] | None] = ContextVar("kept", default=None)


@contextmanager
def streams_kept() -> Iterator[None]:
    """While this is open, a stream that is named again gives the same text again (it can be read
    only once), and a compressed file is decompressed once."""
    if _kept.get() is not None:
        yield
        return
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)
