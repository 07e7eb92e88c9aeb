"""Reads data that may be compressed: gzip, bzip2, xz or zstd, known by their first bytes.

The packages are imported when such data are met: most commands meet none.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, cast

from ..errors import InputError

CHUNK = 1 << 20  # bytes that are read at once

_KINDS = {  # the first bytes of compressed data
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


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
    rest: BinaryIO = io.BufferedReader(_After(head, stream), CHUNK)
    kind = compression_of(head)
    return rest if kind is None else cast(BinaryIO, _opened(kind, rest, path))


def _opened(kind: str, stream: BinaryIO, path: Path) -> object:
    match kind:
        case "gzip":
            import gzip

            return gzip.GzipFile(fileobj=stream)
        case "bzip2":
            import bz2

            return bz2.BZ2File(stream)
        case "xz":
            import lzma

            return lzma.LZMAFile(stream)
    if (zstd := zstd_package()) is None:
        raise InputError(
            f"'{path}' is compressed with zstd, which needs a package: "
            "pip install 'nextword[zstd]'; or decompress it first: zstd -d"
        )
    return zstd.ZstdFile(stream)


def zstd_package() -> ModuleType | None:
    """The package that reads zstd; None if it is not installed."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd  # an extra of the package
    except ImportError:
        return None
    return zstd


def damage() -> tuple[type[Exception], ...]:
    """What reading raises if compressed data are damaged or incomplete.

    Example:
        try:
            piece = stream.read()
        except damage() as error:
            ...
    """
    import lzma
    import zlib

    zstd = zstd_package()
    own = (zstd.ZstdError,) if zstd else ()
    return (EOFError, OSError, lzma.LZMAError, zlib.error, *own)


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
        return stream.read(CHUNK)
    except damage() as error:
        raise InputError(f"'{path}' is damaged and cannot be read to its end ({error})") from None
