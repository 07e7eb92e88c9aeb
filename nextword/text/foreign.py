"""What the tokenizers of other libraries have in common.

They come from a file, and `train` learns nothing. An id of a run is the library's id + 2, because 0
is `<unk>` and 1 the end of a line here (+ 5 for BERT, which has three marks more); only the
library's own unknown piece is 0 too. Lines are
encoded one by one, and no special tokens are put around them.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, ClassVar, NamedTuple, Self

from .by_line import joined
from .sentences import places, split_sentences
from .tokenizer import EOS, SPECIALS, UNK, Span, Tokenizer, trimmed
from .word import CJK_CHARACTER
from .wordpiece import MARKS

SHIFT = len(SPECIALS)  # our id of a piece is the library's and this, without BERT's marks

Placed = tuple[int, Span]  # the library's id, and the characters that it stands for


class PieceMarks(NamedTuple):
    """What marks a piece as a part of a word; None if there is no such mark."""

    begins: str | None  # before the first piece of a word that follows white space: "▁the"
    goes_on: str | None = None  # before a piece that goes on with a word: "##ing"
    ends: str | None = None  # after the last piece of a word: "ing</w>"


class ForeignTokenizer(Tokenizer):
    """A tokenizer of another library.

    The text of a piece may begin with white space, and a piece may span several words; so a line is
    always encoded whole. (A line of more than 4 MB is read, and encoded, in parts.)
    """

    from_file: ClassVar[bool] = True
    ends_sentences: ClassVar[bool] = True
    reads: ClassVar[frozenset[str]] = frozenset({"normalise", "vectors", "vectors_scale"})

    def __init__(self, size: int, unknown: int | None, marks: PieceMarks) -> None:
        """Keep what the library says of its vocabulary.

        Args:
            size: the library's ids run from 0 to `size` - 1.
            unknown: the library's id of unknown text; None if it has none.
            marks: how it marks pieces of words.
        """
        self._size = size
        self._unknown = unknown
        self._marks = marks
        self.sentences = False
        self._place(SHIFT)

    def _place(self, first: int) -> None:
        """Give the library's id 0 the id `first` here."""
        self._first = first
        self._ours = list(range(first, self._size + first))
        if self._unknown is not None:
            self._ours[self._unknown] = UNK

    def with_marks(self) -> Self:
        """The tokenizer with ids that are the library's + 5. Marks of its own, such as `[MASK]`,
        stay what they are: pieces of texts in which they are written out."""
        made = copy.copy(self)
        made._place(len(MARKS))
        return made

    def arranged(self, settings: dict[str, Any]) -> Self:
        """The tokenizer with what `arrangement` says, which is in its settings."""
        made = self.with_marks() if settings.get("marks") is True else copy.copy(self)
        made.sentences = settings.get("sentences") is True
        return made

    @property
    def arrangement(self) -> dict[str, bool]:
        """Whether there are ids for BERT's marks, and whether `<eos>` follows every sentence, for
        `settings`; what is not so is left out."""
        chosen = {"marks": self._first > SHIFT, "sentences": self.sentences}
        return {name: True for name, is_so in chosen.items() if is_so}

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
        return self._size + self._first

    def encode(self, text: str) -> list[int]:
        ours = self._ours.__getitem__
        divided = split_sentences(text) if self.sentences else text
        return joined(map(ours, line) for line in self.ids_of_lines(divided.split("\n")))

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        ids: list[int] = []
        spans: list[Span] = []
        divided = split_sentences(text) if self.sentences else text
        at = [*(places(text, divided) if self.sentences else range(len(text))), len(text)]
        begin = 0  # where the line begins
        mark = self._marks.begins
        for number, line in enumerate(divided.split("\n")):
            if number:
                ids.append(EOS)
                spans.append((at[begin - 1], at[begin - 1]))
            for index, (start, stop) in self.spans_of_line(line):
                ids.append(self._ours[index])
                blank = mark is not None and not self.piece(index).strip(mark)
                first = at[begin + start]
                last = first if blank or start == stop else at[begin + stop - 1] + 1
                spans.append(trimmed(text, first, last))
            begin += len(line) + 1
        return ids, spans

    def word_boundaries(self) -> list[int] | None:
        if (mark := self._marks.begins) is None:
            return None
        begin = (i for i in range(self._size) if self.piece(i).startswith(mark))
        return [EOS, *(self._ours[index] for index in begin)]

    def continues_word(self, index: int, before: int) -> bool:
        """As the library marks pieces. Chinese characters, which no white space divides, begin
        words; so do unknown pieces."""
        if index < self._first or before < self._first:
            return False
        piece, marks = self.piece(index - self._first), self._marks
        if marks.goes_on is not None:
            return piece.startswith(marks.goes_on)
        if marks.ends is not None:
            return not self.piece(before - self._first).endswith(marks.ends)
        if marks.begins is None or piece.startswith(marks.begins):
            return False
        (letters,) = self.lines_of_ids([[index - self._first]])
        return not CJK_CHARACTER.match(letters)

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
            if EOS <= index < self._first or (index == UNK and self._unknown is None):
                written = "\N{REPLACEMENT CHARACTER}" if index == UNK else MARKS[index]
                between.append("\n" if index == EOS else written)
                rows.append([])
            else:
                rows[-1].append(self._theirs(index))
        first, *rest = self.lines_of_ids(rows)
        return first + "".join(gap + line for gap, line in zip(between, rest, strict=True))

    def token(self, index: int) -> str:
        """The library's piece; one with the name of a mark of ours, such as `<eos>`, gets its id
        behind it."""
        names = [*SPECIALS, *MARKS[SHIFT : self._first]]
        if index < self._first:
            return names[index]
        piece = self.piece(index - self._first)
        return f"{piece}:{index - self._first}" if piece in names else piece

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
        return self._unknown if index == UNK and self._unknown is not None else index - self._first
