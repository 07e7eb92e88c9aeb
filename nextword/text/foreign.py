"""What the tokenizers of other libraries have in common.

They come from a file, and `train` learns nothing. An id of a run is the library's id + 2, because 0
is `<unk>` and 1 the end of a line here; only the library's own unknown piece is 0 too. Lines are
encoded one by one, and no special tokens are put around them.
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import ClassVar

from .tokenizer import EOS, SPECIALS, UNK, Span, Tokenizer, trimmed

SHIFT = len(SPECIALS)  # our id of a piece is the library's and this

Placed = tuple[int, Span]  # the library's id, and the characters that it stands for


class ForeignTokenizer(Tokenizer):
    """A tokenizer of another library.

    The text of a piece may begin with white space, and a piece may span several words; so a line is
    always encoded whole. (A line of more than 4 MB is read, and encoded, in parts.)
    """

    from_file: ClassVar[bool] = True
    places_marks: ClassVar[bool] = False
    reads: ClassVar[frozenset[str]] = frozenset({"normalise", "vectors", "vectors_scale"})

    def __init__(self, size: int, unknown: int | None, mark: str | None) -> None:
        """Keep what the library says of its vocabulary.

        Args:
            size: the library's ids run from 0 to `size` - 1.
            unknown: the library's id of unknown text; None if it has none.
            mark: how a piece begins that begins a word; None if white space is in no piece.
        """
        self._size = size
        self._unknown = unknown
        self._mark = mark
        self._ours = list(range(SHIFT, size + SHIFT))
        if unknown is not None:
            self._ours[unknown] = UNK

    # ---------------------------------------------------------------- what a library answers

    @abstractmethod
    def ids_of_lines(self, lines: list[str]) -> list[list[int]]:
        """The library's ids of lines, which have no line ends."""

    @abstractmethod
    def spans_of_line(self, line: str) -> list[Placed]:
        """The library's ids of one line, each with the characters that it stands for."""

    @abstractmethod
    def lines_of_ids(self, rows: list[list[int]]) -> list[str]:
        """The text of rows of the library's ids."""

    @abstractmethod
    def piece(self, index: int) -> str:
        """The library's name of one of its ids."""

    # ---------------------------------------------------------------- what a tokenizer answers

    @property
    def vocab_size(self) -> int:
        return self._size + SHIFT

    def encode(self, text: str) -> list[int]:
        ours = self._ours.__getitem__
        ids: list[int] = []
        for number, line in enumerate(self.ids_of_lines(text.split("\n"))):
            if number:
                ids.append(EOS)
            ids.extend(map(ours, line))
        return ids

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        ids: list[int] = []
        spans: list[Span] = []
        at = 0  # where the line begins
        for number, line in enumerate(text.split("\n")):
            if number:
                ids.append(EOS)
                spans.append((at - 1, at - 1))
            for index, (start, stop) in self.spans_of_line(line):
                ids.append(self._ours[index])
                blank = self._mark is not None and not self.piece(index).strip(self._mark)
                spans.append(trimmed(text, at + start, at + (start if blank else stop)))
            at += len(line) + 1
        return ids, spans

    def word_boundaries(self) -> list[int] | None:
        if self._mark is None:
            return None
        begin = (i for i in range(self._size) if self.piece(i).startswith(self._mark))
        return [EOS, *(self._ours[index] for index in begin)]

    def encode_parts(self, parts: Sequence[str]) -> list[list[int]]:
        edges = list(accumulate(map(len, parts)))
        found: list[list[int]] = [[] for _ in parts]
        part = 0  # a piece that spans several parts belongs to the first
        for index, (start, _) in zip(*self.encode_with_spans("".join(parts)), strict=True):
            part = min(max(part, bisect_right(edges, start)), len(parts) - 1)
            found[part].append(index)
        return found

    def decode(self, ids: Iterable[int]) -> str:
        rows: list[list[int]] = [[]]
        between: list[str] = []
        for index in ids:
            if index == EOS or (index == UNK and self._unknown is None):
                between.append("\n" if index == EOS else "\N{REPLACEMENT CHARACTER}")
                rows.append([])
            else:
                rows[-1].append(self._theirs(index))
        first, *rest = self.lines_of_ids(rows)
        return first + "".join(gap + line for gap, line in zip(between, rest, strict=True))

    def token(self, index: int) -> str:
        """The library's piece; one that is called `<unk>` or `<eos>` gets its id behind it."""
        if index < SHIFT:
            return SPECIALS[index]
        piece = self.piece(index - SHIFT)
        return f"{piece}:{index - SHIFT}" if piece in SPECIALS else piece

    def unknown(self, text: str) -> list[str]:
        return [piece for line in text.split("\n") for piece in self._unknown_in(line)]

    def known(self, word: str) -> int | None:
        # Inside a text a word has a space before it, and some libraries keep it in the piece.
        for written in (f" {word}", word):
            (ids,) = self.ids_of_lines([written])
            if len(ids) == 1 and ids[0] != self._unknown:
                return self._ours[ids[0]]
        return None

    def _unknown_in(self, line: str) -> Iterator[str]:
        if self._unknown is None:
            return
        own = self.piece(self._unknown)
        for index, (start, stop) in self.spans_of_line(line):
            if index == self._unknown and line[start:stop] != own:
                yield line[start:stop]

    def _theirs(self, index: int) -> int:
        return self._unknown if index == UNK and self._unknown is not None else index - SHIFT
