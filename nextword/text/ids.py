"""A tokenizer for texts that are ids already: whole numbers between white space."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from .. import bounds
from ..errors import InputError, shown
from .foreign import SHIFT
from .tokenizer import EOS, SPECIALS, BadLine, Span, Tokenizer

if TYPE_CHECKING:
    from ..config import TextConfig

Array = np.ndarray[Any, Any]

_LINE_END = 1 << 40  # stands for a newline among ids
_DIGITS = 10  # the most that an id has
_PLAIN = re.compile(r"[0-9 \t\n]*")
_LONG = re.compile(rf"[0-9]{{{_DIGITS + 1}}}")


class IdsTokenizer(Tokenizer):
    """Ids that another program made: 0, 1, 2 and so on. Here they are 2, 3, 4 …, because 0 is
    `<unk>` (which never occurs) and 1 the end of a line.

    Example:
        >>> tokenizer = IdsTokenizer(12, end_id=7)
        >>> tokenizer.encode("0 9\\n3 7")
        [2, 11, 1, 5, 1]
        >>> tokenizer.decode([2, 11, 1, 5, 1])
        '0 9\\n3\\n'
    """

    name: ClassVar[str] = "ids"
    reads: ClassVar[frozenset[str]] = frozenset({"vocab_size", "end_id"})
    spells: ClassVar[bool] = False

    def __init__(self, vocab_size: int, end_id: int | None = None) -> None:
        """Make a tokenizer.

        Args:
            vocab_size: V; the ids of a text run from 0 to V - 3.
            end_id: the id of a text that ends a sequence, as the end of a line does.

        Raises:
            ValueError: there is no such id, or no id at all.
        """
        if not SHIFT < vocab_size <= bounds.PIECES:
            raise ValueError(f"{vocab_size:,} tokens; there may be 3 to {bounds.PIECES:,}")
        if end_id is not None and not 0 <= end_id < vocab_size - SHIFT:
            raise ValueError(f"text.end_id = {end_id} is none of the ids 0 to {vocab_size - 3:,}")
        self._size = vocab_size
        self.end_id = end_id

    @classmethod
    def train(cls, texts: Iterable[str], config: TextConfig) -> Self:
        size = config.vocab_size
        if not isinstance(size, int):
            largest = max((_largest(text) for text in texts), default=0)
            size = max(largest, config.end_id or 0) + SHIFT + 1
        try:
            return cls(size, config.end_id)
        except ValueError as error:
            raise InputError(f"text.tokenizer=ids: {error}") from None

    @property
    def vocab_size(self) -> int:
        return self._size

    def encode(self, text: str) -> list[int]:
        found = _numbers(text)
        if found is None or bool(np.any((found >= self._size - SHIFT) & (found != _LINE_END))):
            self._refuse(text)
            found = np.array([int(word) for word in _words(text)], np.int64)
        ends = found == _LINE_END
        if self.end_id is not None:
            ends |= found == self.end_id
        ids: list[int] = np.where(ends, EOS, found + SHIFT).tolist()
        return ids

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        places = [found.span() for found in re.finditer(r"\n|\S+", text)]
        spans = [(start, start if text[start] == "\n" else stop) for start, stop in places]
        return self.encode(text), spans

    def counted(self, text: str) -> str:
        """Every id with one space or line end after it, however they are set apart; the id that
        ends a sequence is a line end."""
        if self.end_id is not None:
            text = re.sub(rf"(?<!\S){self.end_id}(?!\S)", "\n", text)
        text = re.sub(r"[^\S\n]+", " ", text)
        text = re.sub(r" ?\n ?", "\n", text).strip(" ")
        return text if not text or text.endswith("\n") else f"{text} "

    def decode(self, ids: Iterable[int]) -> str:
        written: list[str] = []
        begins = True  # a line
        for index in ids:
            piece = "\n" if index == EOS else self.token(index)
            written.append(piece if begins or index == EOS else f" {piece}")
            begins = index == EOS
        return "".join(written)

    def token(self, index: int) -> str:
        return SPECIALS[index] if index < SHIFT else str(index - SHIFT)

    def settings(self) -> dict[str, Any]:
        return {"vocab_size": self._size, "end_id": self.end_id}

    @classmethod
    def restore(cls, settings: dict[str, Any]) -> Self:
        size, end = settings["vocab_size"], settings["end_id"]
        if type(size) is not int or type(end) not in (int, type(None)):
            raise ValueError("the number of ids, or the id of the end, is no number")
        return cls(size, end)

    def _refuse(self, text: str) -> None:
        """Raise BadLine for the first word that is no id of the vocabulary."""
        last = self._size - SHIFT - 1
        for number, line in enumerate(text.split("\n")):
            for word in line.split():
                if not (word.isascii() and word.isdigit()):
                    raise BadLine(number, f"'{shown(word, 30)}' is no id; ids are whole numbers")
                if len(word) > _DIGITS or int(word) > last:
                    raise BadLine(
                        number, f"the id {shown(word, 30)} is not in the vocabulary, 0 to {last:,}"
                    )


def _numbers(text: str) -> Array | None:
    """The ids (N,) int64 of a text, `_LINE_END` for a newline; None if there is anything else."""
    if not _PLAIN.fullmatch(text) or _LONG.search(text):
        return None
    if not text.strip(" \t"):
        return np.zeros(0, np.int64)
    return np.fromstring(text.replace("\n", f" {_LINE_END} "), np.int64, sep=" ")


def _words(text: str) -> Iterator[str]:
    """The ids of a text as they are written, `_LINE_END` for a newline."""
    for number, line in enumerate(text.split("\n")):
        if number:
            yield str(_LINE_END)
        yield from line.split()


def _largest(text: str) -> int:
    """The largest id of a text. What is no id is found when the text is encoded."""
    found = _numbers(text)
    if found is None:
        short = (word for word in text.split() if word.isascii() and word.isdigit())
        return max((int(word) for word in short if len(word) <= _DIGITS), default=0)
    return int(found[found != _LINE_END].max(initial=0))
