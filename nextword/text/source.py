"""Opens what a text is read from: a file, a compressed file, standard input (`-`) or a FIFO.

Training reads a text several times, and parts of it from their place. A compressed text and a
stream are therefore copied, decompressed, into a temporary file without a name, which disappears
with the process. `streams_kept` makes such a copy last as long as a command needs it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

from ..errors import InputError
from ..paths import Kind, kind_of, readable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    try:
        from backports import zstd
    except ImportError:  # an extra of the package
        zstd = None  # type: ignore[assignment]

STANDARD_INPUT = "-"
_CHUNK = 1 << 20

_KINDS = {  # the first bytes of compressed data
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_OPENERS: dict[str, Callable[[BinaryIO], object]] = {
    "gzip": lambda stream: gzip.GzipFile(fileobj=stream),
    "bzip2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "zstd": lambda stream: zstd.ZstdFile(stream),
}
#: What reading raises if compressed data are damaged or incomplete.
DAMAGED: tuple[type[Exception], ...] = (
    EOFError,
    OSError,
    lzma.LZMAError,
    zlib.error,
    *((zstd.ZstdError,) if zstd else ()),
)


@dataclass(frozen=True)
class Source:
    """A text that can be read any number of times, from any place.

    Example:
        with open_source(Path("book.txt.gz")).open() as file:
            first = file.read(100)
    """

    path: Path  # as it was named, for messages
    size: int  # bytes, decompressed
    copy: _Copy | None = None  # None: the file itself is read

    def open(self) -> BinaryIO:
        """Open the text at its beginning."""
        if self.copy is None:
            return self.path.open("rb")
        return io.BufferedReader(_CopyReader(self.copy), _CHUNK)


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
            if compression_of(file.read(8)) is None:
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

    def __init__(self, copy: _Copy) -> None:
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


# ---------------------------------------------------------------- compression


def compression_of(head: bytes) -> str | None:
    """The name of the compression that data with these first bytes has; None = it has none."""
    return next((name for magic, name in _KINDS.items() if head.startswith(magic)), None)


def undecided(head: bytes) -> bool:
    """Whether more than these first bytes must be read to know a compression."""
    return any(magic.startswith(head) and magic != head for magic in _KINDS)


def decompressed(stream: BinaryIO, path: Path, head: bytes = b"") -> BinaryIO:
    """A stream of the plain bytes of a stream that may be compressed; `head` has been read already.

    Raises:
        InputError: it is compressed with zstd, which is not installed.
    """
    while undecided(head) and (more := stream.read(1)):
        head += more
    rest: BinaryIO = io.BufferedReader(_After(head, stream), _CHUNK)
    kind = compression_of(head)
    if kind == "zstd" and zstd is None:
        raise InputError(
            f"'{path}' is compressed with zstd, which needs a package: "
            "pip install 'nextword[zstd]'; or decompress it first: zstd -d"
        )
    return rest if kind is None else cast(BinaryIO, _OPENERS[kind](rest))


class _After(io.RawIOBase):
    """The bytes that were read from a stream already, and the rest of it."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head, self._stream = head, stream
        self._read_some = getattr(stream, "read1", stream.read)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece, self._head = self._head, b""
        piece = piece or self._read_some(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def read_piece(stream: BinaryIO, path: Path) -> bytes:
    """Read up to 1 MB; b"" is the end.

    Raises:
        InputError: the compressed data are damaged.
    """
    try:
        return stream.read(_CHUNK)
    except DAMAGED as error:
        raise InputError(f"'{path}' is damaged and cannot be read to its end ({error})") from None
