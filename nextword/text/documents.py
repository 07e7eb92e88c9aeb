"""Files of documents, and what their formats have in common.

A file is read in blocks of whole records, so that several processes can work on one file. Where
blocks are cut depends only on where they begin. A record is written as it was read, with columns
added to it. `document_lines.py` does so for text and JSON lines, `parquet.py` for Parquet files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from ..errors import InputError, shown
from ..paths import readable
from .compression import compression_of, zstd_package
from .source import is_stream, open_stream

FORMATS = ("txt", "jsonl", "parquet")
BLOCK = 1 << 20  # bytes of a block, to the end of the line
_ENDINGS = {"jsonl": (".jsonl", ".ndjson", ".json"), "parquet": (".parquet", ".pq")}
_COMPRESSED = re.compile(r"\.(gz|bz2|xz|zst|zstd)$", re.IGNORECASE)
_PARQUET = b"PAR1"  # the first bytes of a Parquet file

#: The columns that are added to a record: name → a number, or a text.
Columns = dict[str, Sequence[float] | Sequence[str]]


@dataclass(frozen=True)
class Documents:
    """A file of documents, or a stream that can be read once."""

    path: Path
    format: str  # one of FORMATS
    compression: str | None  # of the whole file, as `compression_of` names it
    size: int  # bytes of the file; 0 = unknown
    stream: BinaryIO | None = None  # what is read only once: standard input or a FIFO
    start: bytes = b""  # the bytes of it that have been read

    @property
    def name(self) -> str:
        """The name of the file; standard input gets one by its format."""
        return f"stdin.{self.format}" if str(self.path) == "-" else self.path.name


class Block(NamedTuple):
    """A part of a file: whole records."""

    data: bytes  # the records as they are in the file; of Parquet, a table in Arrow's stream format
    stop: int  # where the next block begins: in decompressed bytes, or in rows
    read: int  # bytes of the file, compressed if it is, that have been read so far


class Records(NamedTuple):
    """The records of a block. What is wrong with a record, if anything, is in `errors`."""

    texts: list[str]  # of the sound records
    total: int  # lines or rows, broken and blank ones included
    errors: list[tuple[int, str]]  # (number in the block, from 0 on; what is wrong with it)
    #: (the sound records to write, by index; the columns of all sound records) → bytes to append
    write: Callable[[Sequence[int], Columns], bytes]


class Format(Protocol):
    """How files of one format are read and written."""

    unit: str  # what a record is called in messages: line or row

    def check(self, documents: Documents, field: str) -> None:
        """Raise InputError if the file has no such field, as far as its beginning tells."""
        ...

    def blocks(self, documents: Documents, start: int, size: int = BLOCK) -> Iterator[Block]:
        """The blocks of a file from `Block.stop` of an earlier one on; 0 = from the beginning.

        Args:
            size: bytes of a block, about; the same for all blocks of a file.
        """
        ...

    def parse(self, data: bytes, field: str) -> Records:
        """The records of a block."""
        ...


def open_documents(path: Path, format: str | None) -> Documents:
    """Look at a file, or at standard input (`-`), whose format is `format` or, if that is None,
    what its name says; that of a stream is seen from its first bytes.

    Raises:
        InputError: it cannot be read, or there is no such format.
    """
    if format is not None and format not in FORMATS:
        raise InputError(f"no format '{shown(format)}'; there are {', '.join(FORMATS)}")
    if is_stream(path):
        return _open_stream(path, format)
    size = readable(path, "a file of documents").stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
    is_parquet = start.startswith(_PARQUET)
    kind = format or ("parquet" if is_parquet else _named(path))
    if is_parquet != (kind == "parquet"):
        raise InputError(
            f"'{path}' is a Parquet file; leave --format {kind} out"
            if is_parquet
            else f"'{path}' is no Parquet file, or it is damaged"
        )
    return Documents(path, kind, compression_of(start), size)


def _open_stream(path: Path, format: str | None) -> Documents:
    stream = open_stream(path)
    start = stream.read(8)
    compression = compression_of(start)
    if format == "parquet" or start.startswith(_PARQUET):
        raise InputError("a Parquet file cannot be read from a stream; name the file")
    if compression and not format:
        raise InputError("the input is compressed; say what it is: --format txt or --format jsonl")
    guessed = "jsonl" if start.lstrip().startswith(b"{") else "txt"
    return Documents(path, format or guessed, compression, 0, stream, start)


def _named(path: Path) -> str:
    """The format that the name of a file says."""
    name = _COMPRESSED.sub("", path.name).lower()
    return next((kind for kind, ends in _ENDINGS.items() if name.endswith(ends)), "txt")


def compress(data: bytes, kind: str | None) -> bytes:
    """Compress bytes as a member of their own: members can be joined to one file."""
    match kind:
        case None:
            return data
        case "gzip":
            import gzip

            return gzip.compress(data, 6, mtime=0)  # without the time: equal data, equal bytes
        case "bzip2":
            import bz2

            return bz2.compress(data)
        case "xz":
            import lzma

            return lzma.compress(data)
    zstd = zstd_package()
    assert zstd is not None  # it has read the input
    compressed: bytes = zstd.compress(data)
    return compressed
