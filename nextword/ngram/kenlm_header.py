"""The beginning of KenLM's binary files, as its `build_binary` writes them (Heafield 2011), and
what all kinds of them share. A file is known by its content:

    56 bytes   "mmap lm http://kheafield.com/code format version 5\\n", zeros
    32 bytes   numbers that are other bytes on another machine: 0.0, 1.0, -0.5, 1, 2³² - 1, 1
    20 bytes   the order, the room of hash tables, the kind, whether words are listed, a version
    8n bytes   how many n-grams each order has
    …          vocabulary and n-grams: see `kenlm_trie` and `hashed`
    …          the words, each ending in a zero byte, in the order of KenLM's ids
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..text.lexicon import Lexicon
from ..text.tokenizer import EOS, SPECIALS
from .arpa import BEGINNING, END, UNKNOWN
from .arpa_lines import LARGEST_BACKOFF
from .trie import HIGHEST_ORDER

Array = np.ndarray[Any, Any]

_START = b"mmap lm http://kheafield.com/code "
_VERSION = b"format version "
_SANITY = struct.Struct("<56s3f3I Q")
_FIXED = struct.Struct("<B3xfIB3xI")
_NUMBERS = (0.0, 1.0, -0.5, 1, 0xFFFFFFFF, 0, 1)
_MAGIC = _START + _VERSION + b"5\n"
_LEAST = -1e30  # the smallest logarithm, as in ARPA files
_MOST_NGRAMS = 1 << 32  # of all orders together; a table has 32-bit places


class Kind(IntEnum):
    """How the n-grams are stored."""

    PROBING = 0  # hash tables
    REST_PROBING = 1  # hash tables with an estimate of what may precede
    TRIE = 2
    QUANTISED_TRIE = 3  # build_binary -q -b
    ARRAY_TRIE = 4  # build_binary -a
    QUANTISED_ARRAY_TRIE = 5

    @property
    def version(self) -> int:
        """The version of the layout that is read and written."""
        return 0 if self <= Kind.REST_PROBING else 1


class Header(NamedTuple):
    """What the beginning of a file says."""

    kind: Kind
    counts: tuple[int, ...]  # n-grams of each order
    multiplier: float  # buckets of a hash table per n-gram in it

    @property
    def order(self) -> int:
        return len(self.counts)

    @property
    def size(self) -> int:
        """Bytes before the vocabulary."""
        return rounded(_SANITY.size + _FIXED.size + 8 * self.order)

    def packed(self) -> bytes:
        """The header as bytes; the words are listed."""
        fixed = _FIXED.pack(self.order, self.multiplier, self.kind, 1, self.kind.version)
        start = _SANITY.pack(_MAGIC, *_NUMBERS)
        data = start + fixed + struct.pack(f"<{self.order}Q", *self.counts)
        return data.ljust(self.size, b"\0")


class Words(NamedTuple):
    """The vocabulary of a file."""

    lexicon: Lexicon  # ours: `<unk>`, `<eos>`, and the other words in the order of KenLM's ids
    to_ours: Array  # (W,) uint32: KenLM's id → our id; `<s>` → V
    begin: int  # KenLM's id of `<s>`
    end: int  # KenLM's id of `</s>`


def rounded(size: int) -> int:
    """A number of bytes rounded up to whole groups of 8."""
    return -(-size // 8) * 8


def is_kenlm(path: Path) -> bool:
    """Return whether a path is a binary file of KenLM, of any version, by its content."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(_START)) == _START
    except OSError:
        return False


def read_header(path: Path, data: Array) -> Header:
    """Read the header of a file, whose bytes are `data` (B,) uint8.

    Raises:
        InputError: the file is cut off, of another version or machine, or of a kind that is not
            read.
    """
    _check_start(path, data)
    if len(data) < _SANITY.size + _FIXED.size:
        raise cut_off(path)
    order, multiplier, number, has_words, version = _FIXED.unpack(
        bytes(data[_SANITY.size : _SANITY.size + _FIXED.size])
    )
    if number == Kind.REST_PROBING or number not in list(Kind):
        what = "with rest costs (build_binary -r)" if number == 1 else f"of kind {number}"
        raise InputError(
            f"'{path}' is a KenLM file {what}; probing and trie files are read: build one from the "
            "ARPA file"
        )
    kind = Kind(number)
    if version != kind.version:
        raise InputError(
            f"'{path}' has version {version} of KenLM's search structure, version {kind.version} "
            "is read; build it again from the ARPA file"
        )
    if not has_words:
        raise InputError(
            f"'{path}' does not list its words; build it again, without -v of build_binary"
        )
    if not 2 <= order <= HIGHEST_ORDER:
        raise InputError(f"'{path}' has order {order}; orders 2 to {HIGHEST_ORDER} can be used")
    if not math.isfinite(multiplier) or multiplier < 1:
        raise damaged(path, f"{multiplier} buckets per n-gram")
    if len(data) < _SANITY.size + _FIXED.size + 8 * order:
        raise cut_off(path)
    at = _SANITY.size + _FIXED.size
    counts = tuple(data[at : at + 8 * order].view("<u8").tolist())
    if sum(counts) >= _MOST_NGRAMS:
        raise InputError(f"'{path}' has {sum(counts):,} n-grams; 4 billion can be used")
    return Header(kind, counts, multiplier)


def _check_start(path: Path, data: Array) -> None:
    """Check the version, and that the numbers are written as on this machine."""
    start = bytes(data[: _SANITY.size])
    if start.startswith(_START + b"incomplete"):
        raise InputError(f"'{path}' is a KenLM file whose building did not finish; build it again")
    if len(start) < _SANITY.size:
        raise cut_off(path)
    if not start.startswith(_MAGIC):
        shown = start[len(_START + _VERSION) :].split(b"\n")[0][:9].decode("ascii", "replace")
        raise InputError(
            f"'{path}' is a KenLM file of version {shown!r}, version 5 is read; build it again "
            "from the ARPA file with the current build_binary"
        )
    if _SANITY.unpack(start)[1:] != _NUMBERS:
        raise InputError(
            f"'{path}' is a KenLM file of a machine with another byte order or other sizes of "
            "numbers; build it again from the ARPA file"
        )


def read_words(path: Path, data: Array, start: int, count: int) -> Words:
    """Read the list of `count` words, which begins at byte `start` and ends the file.

    Raises:
        InputError: there are more or fewer words, or the marks are missing.
    """
    if start >= len(data):
        raise cut_off(path)
    try:
        words = data[start:].tobytes().decode("utf-8").split("\0")
    except UnicodeDecodeError:
        raise InputError(f"'{path}' has words that are not UTF-8") from None
    if words[0] != UNKNOWN or words[-1] or len(words) != count + 1 or len({*words}) <= count:
        raise damaged(path, f"its list of words should have {count:,} different ones")
    if SPECIALS[EOS] in words:
        raise InputError(
            f"'{path}' has a word '{SPECIALS[EOS]}', which is the end of a line here; rename it"
        )
    for mark in (BEGINNING, END):
        if mark not in words:
            raise InputError(
                f"'{path}' has no {mark} among its words; build it from an ARPA file that has it"
            )
    begin, end = words.index(BEGINNING), words.index(END)
    plain = [word for word in words[1:-1] if word not in (BEGINNING, END)]
    to_ours = np.zeros(count, np.uint32)
    others = np.ones(count, bool)
    others[[0, begin, end]] = False
    to_ours[others] = np.arange(2, count - 1)
    to_ours[end], to_ours[begin] = EOS, count - 1
    return Words(Lexicon.of([*SPECIALS, *plain]), to_ours, begin, end)


def check_numbers(path: Path, log_probs: Array, backoffs: Sequence[Array]) -> None:
    """Check that logarithms are such as a model has.

    Raises:
        InputError: a log-probability is above zero, or a number is too large or none at all.
    """
    for values, most in ((log_probs, 0.0), *((some, LARGEST_BACKOFF) for some in backoffs)):
        if len(values) and not (values.min() >= _LEAST and values.max() <= most):
            raise damaged(path, "numbers that are no logarithms of probabilities or weights")


def cut_off(path: Path) -> InputError:
    """The error for a file that ends too early."""
    return InputError(f"'{path}' is cut off; copy or build the KenLM file again")


def damaged(path: Path, what: str) -> InputError:
    """The error for a file whose content cannot be right."""
    return InputError(f"'{path}' is a damaged KenLM file ({what}); build it again")
