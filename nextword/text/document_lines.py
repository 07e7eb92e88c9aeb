"""Reads and writes text with a document a line, and JSON lines; see `documents.py`. A record is
written as it was read, byte by byte."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, KeysView, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from ..arguments import described
from ..errors import InputError, shown
from .compression import damage, decompressed, read_piece
from .documents import BLOCK, Block, Columns, Documents, Records
from .encoding import BOM, other_encoding, wrong_encoding

_LONGEST = 1 << 27  # bytes of a line; more is no text, and memory is bounded


class _Lines:
    """What files of lines have in common."""

    unit = "line"

    def check(self, documents: Documents, field: str) -> None:
        """A line tells what fields it has; another may have others."""

    def blocks(self, documents: Documents, start: int, size: int = BLOCK) -> Iterator[Block]:
        """Cut a file at the first line end after `size` bytes.

        Raises:
            InputError: it is damaged, or a line is too long.
        """
        stream, raw = _opened(documents)
        with nullcontext() if documents.stream else raw:
            if documents.compression is None and start:
                raw.seek(start)
            else:
                _skip(stream, start, documents)
            yield from _blocks(stream, raw, start, size, documents.path)


def _opened(documents: Documents) -> tuple[BinaryIO, BinaryIO]:
    """The decompressed bytes of a file, and the file."""
    path = documents.path
    if documents.stream:
        return decompressed(documents.stream, path, documents.start), documents.stream
    raw = path.open("rb")
    return (decompressed(raw, path) if documents.compression else raw), raw


def _skip(stream: BinaryIO, count: int, documents: Documents) -> None:
    while count > 0:
        try:
            skipped = len(stream.read(min(count, BLOCK)))
        except damage():
            skipped = 0
        if not skipped:
            raise InputError(f"'{documents.path}' has become shorter; start again: --overwrite")
        count -= skipped


def _blocks(stream: BinaryIO, raw: BinaryIO, start: int, size: int, path: Path) -> Iterator[Block]:
    pending = bytearray()
    ended = False
    if start == 0:
        pending += read_piece(stream, path)
        ended = not pending
        if encoding := other_encoding(bytes(pending[:4096])):
            raise wrong_encoding(f"'{path}'", encoding)
        if pending.startswith(BOM):
            del pending[: len(BOM)]
            start = len(BOM)
    while pending or not ended:
        end = pending.find(b"\n", size - 1) + 1
        while not end and not ended:
            seen = len(pending)
            if seen - size > _LONGEST:
                raise InputError(
                    f"a line of '{path}' is longer than {_LONGEST >> 20} MB (after {start:,} bytes)"
                )
            piece = read_piece(stream, path)
            ended = not piece
            pending += piece
            end = pending.find(b"\n", max(size - 1, seen)) + 1
        data = bytes(pending[: end or len(pending)])
        if not data:
            return
        del pending[: len(data)]
        start += len(data)
        yield Block(data, start, _place(raw))


def _place(raw: BinaryIO) -> int:
    try:
        return raw.tell()
    except OSError:  # a pipe
        return 0


class TextLines(_Lines):
    """A document a line. Columns are written before it, separated by tabs."""

    def parse(self, data: bytes, field: str) -> Records:
        lines = data.removesuffix(b"\n").split(b"\n")
        try:
            if b"\0" in data:
                raise ValueError
            texts = data.decode("utf-8").removesuffix("\n").split("\n")
            errors: list[tuple[int, str]] = []
        except ValueError:
            texts, errors, sound = [], [], []
            for index, line in enumerate(lines):
                if wrong := _not_text(line):
                    errors.append((index, wrong))
                else:
                    texts.append(line.decode("utf-8"))
                    sound.append(line)
            count, lines = len(lines), sound
        else:
            count = len(lines)

        def write(chosen: Sequence[int], columns: Columns) -> bytes:
            before = [list(map(_as_text, column)) for column in columns.values()]
            if not before:
                return b"".join(lines[i] + b"\n" for i in chosen)
            heads = ["\t".join(cells).encode() for cells in zip(*before, strict=True)]
            return b"".join(b"%b\t%b\n" % (heads[i], lines[i]) for i in chosen)

        return Records([text.removesuffix("\r") for text in texts], count, errors, write)


def _as_text(value: float | str) -> str:
    return value if isinstance(value, str) else repr(value)


def _not_text(line: bytes) -> str | None:
    """What is wrong with a line that should be UTF-8 text; None = nothing."""
    if b"\0" in line:
        return "has a zero byte in it: it is no text"
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"is not UTF-8 text (byte 0x{line[error.start]:02x} at column {error.start + 1})"
    return None


class JsonLines(_Lines):
    """A JSON object a line. Columns are added to it; blank lines are left out."""

    def __init__(self) -> None:
        try:
            from orjson import loads
        except ImportError:  # an extra of the package
            self._loads: Callable[[bytes], Any] = json.loads
        else:
            self._loads = loads

    def parse(self, data: bytes, field: str) -> Records:
        lines = data.removesuffix(b"\n").split(b"\n")
        texts: list[str] = []
        sound: list[tuple[bytes, dict[str, Any]]] = []
        errors: list[tuple[int, str]] = []
        for index, line in enumerate(lines):
            if not line or line.isspace():
                continue
            try:
                record = self._record(line)
                texts.append(_text_of(record, field))
            except ValueError as error:
                errors.append((index, str(error)))
            else:
                sound.append((line, record))

        def write(chosen: Sequence[int], columns: Columns) -> bytes:
            names = columns.keys()
            heads = [f"{json.dumps(name)}:" for name in names]
            cells = [
                [f"{head}{_as_json(value)}" for value in column]
                for head, column in zip(heads, columns.values(), strict=True)
            ]
            rows = [",".join(row).encode() for row in zip(*cells, strict=True)]
            out = []
            for i in chosen:
                line, record = sound[i]
                if names and not names.isdisjoint(record):
                    line = _without(line, names)
                line = line.strip()
                if names:
                    line = b"%b,%b}" % (line[:-1].rstrip(), rows[i])
                out.append(line)
            return b"".join(line + b"\n" for line in out)

        return Records(texts, len(lines), errors, write)

    def _record(self, line: bytes) -> dict[str, Any]:
        """Raises ValueError: the line is no JSON object."""
        try:
            record = self._loads(line)
        except ValueError:
            record = _lenient(line)
        if not isinstance(record, dict):
            raise ValueError(f"is {described(record)}, not an object with fields")
        return record


def _lenient(line: bytes) -> Any:
    """The value of a line by Python's own parser, which also reads the NaN that it writes."""
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        place = error.start + 1
        raise ValueError(f"is not UTF-8 text (byte 0x{line[place - 1]:02x} at {place})") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON ({error.msg} at column {error.colno})") from None
    except ValueError:
        raise ValueError("has a number of too many digits") from None
    except RecursionError:
        raise ValueError("is nested too deep") from None


def _text_of(record: dict[str, Any], field: str) -> str:
    """Raises ValueError: the field is missing or no text."""
    if field not in record:
        names = ", ".join(shown(name, 40) for name in list(record)[:20]) or "none"
        raise ValueError(f"has no field '{shown(field)}'; its fields: {names}")
    text = record[field]
    if not isinstance(text, str):
        what = "null" if text is None else described(text)
        raise ValueError(f"has {what} in the field '{shown(field)}' where a text belongs")
    try:
        if not text.isascii():
            text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"has half of a character in the field '{shown(field)}'") from None
    return text


def _without(line: bytes, names: KeysView[str]) -> bytes:
    """A record without some of its fields."""
    record = json.loads(line.decode("utf-8"))
    kept = {name: value for name, value in record.items() if name not in names}
    return json.dumps(kept, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _as_json(value: float | str) -> str:
    """JSON has neither NaN nor infinity: both become null."""
    if isinstance(value, str):
        return json.dumps(value)
    return repr(value) if math.isfinite(value) else "null"
