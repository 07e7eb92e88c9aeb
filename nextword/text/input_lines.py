"""Reads the lines of standard input or a FIFO as they arrive, so that each can be processed at
once."""

from __future__ import annotations

import io
import select
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar, runtime_checkable

from ..arguments import check_text
from ..errors import InputError
from .compression import compression_of, decompressed, read_piece, undecided
from .encoding import BOM, other_encoding, wrong_encoding
from .source import STANDARD_INPUT

_BYTES = 1 << 16  # the most that one call reads
Prepared = TypeVar("Prepared")
LONGEST = 1 << 25  # bytes of a line; an endless one would fill the memory


class InputLines(Iterator[str]):
    """Iterates over the lines of a pipe, a terminal or a file, without their line ends. Unlike a
    file object it can tell whether the next line is available without waiting. Compressed data are
    decompressed.

    Raises:
        InputError: a line is not UTF-8 text, or compressed data are damaged.
    """

    def __init__(
        self,
        stream: BinaryIO,
        before_waiting: Callable[[], None],
        path: Path = Path(STANDARD_INPUT),
    ) -> None:
        """Read from `stream`, which messages call `path`. `before_waiting` is called whenever the
        next line is not available yet; the caller can flush its output then."""
        self._stream, self._path = stream, path
        self._begun = False
        self._read_some = getattr(stream, "read1", stream.read)
        self._before_waiting = before_waiting
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._number = 0
        self._ended = False
        try:
            self._file: int | None = stream.fileno()
        except (OSError, io.UnsupportedOperation):
            self._file = None  # a stream in memory never waits

    def __next__(self) -> str:
        """Return the next line; wait for it if necessary."""
        if self.waits():
            self._before_waiting()
        while not self._lines:
            if self._ended:
                raise StopIteration
            self._read()
        self._number += 1
        line = self._lines.popleft()
        if self._number == 1:
            if encoding := other_encoding(line):
                raise wrong_encoding("the input", encoding)
            line = line.removeprefix(BOM)
        try:
            return line.decode("utf-8").rstrip("\r")
        except UnicodeDecodeError:
            raise InputError(f"line {self._number} of the input is not UTF-8 text") from None

    def waits(self) -> bool:
        """Whether `next` would wait: neither a whole line nor the end of input has arrived."""
        while not self._lines and not self._ended and self._ready():
            self._read()
        return not self._lines and not self._ended

    def _ready(self) -> bool:
        """Whether a read would return at once, with bytes or with the end of input."""
        if self._file is None:
            return True
        try:
            return bool(select.select([self._file], [], [], 0)[0])
        except (OSError, ValueError):  # on Windows `select` works for sockets only
            return True

    def _read(self) -> None:
        data = self._read_some(_BYTES)
        if not self._begun:
            self._begun = True
            data = self._begin(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        self._lines += whole
        if len(self._rest) > LONGEST:
            raise InputError(
                f"line {self._number + len(self._lines) + 1} of the input has more than "
                f"{LONGEST >> 20} MB; is it text?"
            )
        if not data:
            self._ended = True
            if self._rest:
                self._lines.append(self._rest)
                self._rest = b""

    def _begin(self, data: bytes) -> bytes:
        """Return the first bytes of the lines, given the first bytes of the input."""
        while undecided(data) and (more := self._read_some(_BYTES)):
            data += more
        if compression_of(data) is None:
            return data
        plain = decompressed(self._stream, self._path, data)
        self._read_some = lambda size: read_piece(plain, self._path)
        self._file = None
        return self._read_some(_BYTES)


@runtime_checkable
class Arriving(Protocol):
    """Lines that arrive one by one."""

    def waits(self) -> bool:
        """Return whether the next line has not arrived yet."""
        ...


def blocks(
    lines: Iterable[str], most: int, prepared: Callable[[int, str], Prepared]
) -> Iterator[list[Prepared]]:
    """Yield blocks of up to `most` lines. A block waits for its first line only.

    Args:
        prepared: makes of a line, given its number from 1 on, what is processed in blocks.

    Raises:
        InputError: an item is no string, cannot be read, or `prepared` refuses it; the lines before
            it are yielded first.

    Example:
        >>> list(blocks(["a", "b", "c"], 2, lambda number, line: f"{number}: {line}"))
        [['1: a', '2: b'], ['3: c']]
    """
    block: list[Prepared] = []
    refused: InputError | None = None
    numbers = count(1)
    try:
        for line in lines:
            block.append(prepared(next(numbers), check_text(line)))
            if len(block) == most or (isinstance(lines, Arriving) and lines.waits()):
                yield block
                block = []
    except InputError as error:
        refused = error
    if block:
        yield block
    if refused:
        raise refused
