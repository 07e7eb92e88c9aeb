"""Reads pretrained word vectors: word2vec (text and binary), GloVe, fastText."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..errors import InputError
from ..paths import readable
from .compression import damage, decompressed
from .tokenizer import Tokenizer

Array = np.ndarray[Any, Any]

_SAMPLE = 1000  # lines by which the width is found, if no first line says it
_LONGEST = 1 << 20  # bytes of a line or word, so that a file without line ends is not read whole
_WIDEST = 100_000  # numbers of a vector


class Vectors(NamedTuple):
    """The vectors of the words in a vocabulary."""

    ids: Array  # (N,) int64
    vectors: Array  # (N, D) float32
    skipped: int  # entries of the file that are no word and its D numbers
    first_skipped: int  # which one was the first, from 1; 0 = none


class _Entry(NamedTuple):
    """A word and its vector, or what is not."""

    word: str
    vector: Array | None  # (D,) float32; None = the entry is bad


def read_vectors(path: str | Path, tokenizer: Tokenizer) -> Vectors:
    """The vectors of the words in the tokenizer's vocabulary.

    A text file has a word and its D numbers on each line, separated by spaces. The last D fields
    are the numbers, so a word may contain spaces. Word2vec's first line, `count width`, gives D;
    without it, D is what most of the first lines have. A binary file of word2vec has this first
    line too, and then each word, a space and its numbers in four bytes each. Compressed files
    (gzip, bzip2, xz, zstd) are known by their content. An entry that is no word and its D numbers
    is skipped. If a word of the vocabulary is not in the file, a capitalised form of it is taken
    (`The` for `the`).

    Raises:
        InputError: the file is missing, most of it is no word vectors, or it shares no word with
            the vocabulary.

    Example:
        ids, vectors, _, _ = read_vectors("glove.6B.100d.txt", tokenizer)
    """
    path = readable(path, "a file of word vectors")
    found: dict[int, Array] = {}
    fallback: dict[int, Array] = {}
    entries = skipped = first_skipped = 0
    try:
        with path.open("rb") as file:
            for entries, (word, vector) in enumerate(_entries(decompressed(file, path), path), 1):
                if vector is None:
                    skipped += 1
                    first_skipped = first_skipped or entries
                elif (index := tokenizer.known(word)) is not None:
                    found[index] = vector
                elif (other := tokenizer.known(word.lower())) is not None:
                    fallback.setdefault(other, vector)
    except damage() as error:
        raise InputError(f"'{path}' is damaged and cannot be read to its end ({error})") from None
    if 2 * skipped > entries:
        raise InputError(
            f"'{path}' is no file of word vectors: entry {first_skipped} is not a word and its "
            "numbers"
        )
    found = fallback | found
    if not found:
        raise InputError(f"no word of the vocabulary has a vector in '{path}'")
    ids = np.fromiter(found, dtype=np.int64)
    return Vectors(ids, np.stack([found[index] for index in ids]), skipped, first_skipped)


def _entries(file: BinaryIO, path: Path) -> Iterator[_Entry]:
    first = file.readline(_LONGEST)
    header = _header(first)
    if header is None:
        sample = [line for line in (first, *islice(_lines(file), _SAMPLE)) if line]
        width = _usual_width(sample)
        return _text(chain(sample, _lines(file)), width)
    count, width = header
    head = file.read(_LONGEST)
    line = head.partition(b"\n")[0]
    if not head or _of_line(line, width).vector is not None or not _is_binary(head, width):
        return _text(chain(_split(head, file)), width)
    return _binary(head, file, count, width, path)


def _header(line: bytes) -> tuple[int, int] | None:
    """(count, width) if this is word2vec's first line."""
    fields = line.split()
    if len(fields) != 2 or not all(field.isdigit() and len(field) < 12 for field in fields):
        return None
    count, width = int(fields[0]), int(fields[1])
    return (count, width) if 0 < width <= _WIDEST else None


# ---------------------------------------------------------------- text


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(_LONGEST):
        yield line


def _split(head: bytes, file: BinaryIO) -> Iterator[bytes]:
    """The lines of bytes that were read already and of the rest of the file."""
    *whole, rest = head.split(b"\n")
    yield from whole
    if last := rest + file.readline(_LONGEST):
        yield last
    yield from _lines(file)


def _text(lines: Iterator[bytes], width: int) -> Iterator[_Entry]:
    return (_of_line(line, width) for line in lines)


def _of_line(line: bytes, width: int) -> _Entry:
    try:
        word, *numbers = line.rstrip().decode("utf-8").rsplit(" ", width)
        vector = np.array(numbers, dtype=np.float32)
    except (UnicodeDecodeError, ValueError):
        return _Entry("", None)
    good = width and len(vector) == width and word and np.isfinite(vector).all()
    return _Entry(word, vector if good else None)


def _usual_width(lines: list[bytes]) -> int:
    """How many numbers stand at the end of most lines, 0 if of none."""
    widths = Counter(_numbers_at_end(line.split(b" ")) for line in map(bytes.rstrip, lines))
    del widths[0]
    return widths.most_common(1)[0][0] if widths else 0


def _numbers_at_end(fields: list[bytes]) -> int:
    for count, field in enumerate(reversed(fields[1:])):
        try:
            float(field)
        except ValueError:
            return count
    return len(fields) - 1


# ---------------------------------------------------------------- binary


def _is_binary(head: bytes, width: int) -> bool:
    """Whether a word and `width` numbers of four bytes stand here, and not text."""
    word, space, rest = head.partition(b" ")
    try:
        rest[: 4 * width].decode("ascii")
    except UnicodeDecodeError:
        return bool(word and space)
    return b"\0" in rest[: 4 * width]


def _binary(data: bytes, file: BinaryIO, count: int, width: int, path: Path) -> Iterator[_Entry]:
    size, at = 4 * width, 0
    for done in range(count):
        while True:
            space = data.find(b" ", at)
            if space >= 0 and len(data) >= space + 1 + size:
                break
            more = file.read(_LONGEST)
            if not more or (space < 0 and len(data) - at > _LONGEST):
                raise InputError(
                    f"'{path}' ends after {done:,} of the {count:,} words that its first line names"
                )
            data, at = data[at:] + more, 0
        raw = data[at:space].lstrip(b"\r\n")
        vector = np.frombuffer(data, "<f4", width, space + 1).astype(np.float32)
        at = space + 1 + size
        try:
            word = raw.decode("utf-8")
        except UnicodeDecodeError:
            word = ""
        yield _Entry(word, vector if word and np.isfinite(vector).all() else None)
