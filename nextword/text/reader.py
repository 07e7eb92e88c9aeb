"""Reads text files in blocks of bounded size, however large the files and long their lines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .encoding import decode
from .input_lines import LONGEST
from .source import Source, open_source

BLOCK = 1 << 20  # bytes read at a time; a line longer than 4 blocks is cut at white space


@dataclass(frozen=True)
class Span:
    """The bytes `start` to `stop` of a text."""

    source: Source
    start: int
    stop: int

    @property
    def path(self) -> Path:
        """The file as it was named."""
        return self.source.path

    @property
    def size(self) -> int:
        return self.stop - self.start


def open_texts(paths: Iterable[str | os.PathLike[str]]) -> list[Span]:
    """Open files, compressed or not, FIFOs and standard input (`-`), each as one span.

    Raises:
        InputError: a text is missing, a directory or a device, unreadable or empty.
    """
    spans = []
    for path in paths:
        source = open_source(Path(path))
        if source.size == 0:
            raise InputError(f"'{path}' is empty; give a file with text in it")
        spans.append(Span(source, 0, source.size))
    if not spans:
        raise InputError("no text file given")
    return spans


def hold_out(spans: list[Span], fraction: float) -> tuple[list[Span], list[Span]]:
    """Split every file: (its beginning, about the last `fraction` of it). The cut is at the end of
    a line, or at white space if there is no line end."""
    kept, held = [], []
    for span in spans:
        cut = _cut_near(span, span.stop - int(span.size * fraction))
        kept.append(Span(span.source, span.start, cut))
        if cut < span.stop:
            held.append(Span(span.source, cut, span.stop))
    return kept, held


def blocks(spans: Iterable[Span], size: int = BLOCK) -> Iterator[tuple[str, int]]:
    """Read (text, number of bytes read) block by block. A block ends at the end of a line; in a
    line longer than 4·`size` bytes it ends before white space, if there is any.

    Windows line ends become `\\n`; a byte-order mark is dropped.

    Raises:
        InputError: a file is not UTF-8 text; see `decode`.
    """
    for span in spans:
        yield from _blocks_of(span, size)


def lines(path: str | os.PathLike[str]) -> Iterator[str]:
    """The lines of a file, without their line ends.

    Raises:
        InputError: the file cannot be read, is empty, is not UTF-8 or looks binary, or a line is
            longer than `LONGEST` characters.
    """
    spans = open_texts([path])

    def read() -> Iterator[str]:
        rest, number = "", 1
        for text, _ in blocks(spans):
            *whole, rest = (rest + text).split("\n")
            yield from whole
            number += len(whole)
            if len(rest) > LONGEST:
                raise InputError(
                    f"line {number:,} of '{path}' is longer than {LONGEST >> 20} MB; break it "
                    "into several"
                )
        if rest:
            yield rest

    return read()


def _blocks_of(span: Span, size: int) -> Iterator[tuple[str, int]]:
    offset = span.start  # where `pending` begins in the file
    pending = b""
    with span.source.open() as file:
        file.seek(span.start)
        left = span.size
        while left or pending:
            fresh = file.read(min(size, left))
            left = left - len(fresh) if fresh else 0
            pending += fresh
            end = len(pending) if not left else _end(pending, 4 * size)
            if end == 0:
                continue
            raw, pending = pending[:end], pending[end:]
            yield decode(raw, span.path, offset, is_file=span.source.copy is None), len(raw)
            offset += len(raw)


def _end(pending: bytes, limit: int) -> int:
    """How many of the pending bytes make a block; 0 = more must be read first."""
    end = pending.rfind(b"\n") + 1
    if end or len(pending) < limit:
        return end
    space = max(pending.rfind(b" "), pending.rfind(b"\t"), 0)
    if before := pending[:space].rstrip():
        return len(before)  # all of the white space goes to the next block
    end = len(pending) - 1
    while end > len(pending) - 4 and pending[end] & 0xC0 == 0x80:  # never inside a UTF-8 character
        end -= 1
    return end


def _cut_near(span: Span, target: int) -> int:
    """The last end of a line at or before `target`, else the last white space before it, else
    `span.stop`."""
    window = 4 * BLOCK
    start = max(span.start, target - window)
    with span.source.open() as file:
        file.seek(start)
        before = file.read(target - start)
    end = before.rfind(b"\n") + 1
    if end == 0:
        end = max(before.rfind(b" "), before.rfind(b"\t"), 0)
    return start + end if end and start + end > span.start else span.stop
