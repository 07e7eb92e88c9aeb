"""The lines of standard input as they arrive, so that each can be answered at once."""

from __future__ import annotations

import io
import select
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from ..errors import InputError

_BYTES = 1 << 16  # read at once at most


class InputLines(Iterator[str]):
    """Iterates over the lines of a pipe, a terminal or a file, without their ends. Unlike a file it
    says whether the next line is there already.

    Raises:
        InputError: a line is not UTF-8 text.
    """

    def __init__(self, stream: BinaryIO, before_waiting: Callable[[], None]) -> None:
        """Read from `stream`, and call `before_waiting` whenever the next line is not there yet:
        the moment to show what has been answered so far."""
        self._read_some = getattr(stream, "read1", stream.read)
        self._before_waiting = before_waiting
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._number = 0
        self._ended = False
        try:
            self._file: int | None = stream.fileno()
        except (OSError, io.UnsupportedOperation):
            self._file = None  # bytes in memory are always there

    def __next__(self) -> str:
        """Return the next line, waiting for it if need be."""
        if self.waits():
            self._before_waiting()
        while not self._lines:
            if self._ended:
                raise StopIteration
            self._read()
        self._number += 1
        try:
            return self._lines.popleft().decode("utf-8").rstrip("\r")
        except UnicodeDecodeError:
            raise InputError(f"line {self._number} of the input is not UTF-8 text") from None

    def waits(self) -> bool:
        """Whether it is not known yet what comes next, a line or the end."""
        while not self._lines and not self._ended and self._ready():
            self._read()
        return not self._lines and not self._ended

    def _ready(self) -> bool:
        """Whether there is something to read, the end included."""
        if self._file is None:
            return True
        try:
            return bool(select.select([self._file], [], [], 0)[0])
        except (OSError, ValueError):  # Windows knows this of sockets only
            return True

    def _read(self) -> None:
        data = self._read_some(_BYTES)
        *whole, self._rest = (self._rest + data).split(b"\n")
        self._lines += whole
        if not data:
            self._ended = True
            if self._rest:
                self._lines.append(self._rest)
                self._rest = b""


def take(texts: Iterable[str], most: int) -> list[str]:
    """Return up to `most` texts of an iterator: one, if there is one, and then those that need not
    be waited for."""
    taken = []
    for text in texts:
        taken.append(text)
        if len(taken) == most or (isinstance(texts, InputLines) and texts.waits()):
            break
    return taken
