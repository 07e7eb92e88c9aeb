"""Tokenizers of SentencePiece (Kudo and Richardson 2018, arXiv:1808.06226), from their `.model`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ..errors import InputError, shown
from ..parsing import LARGEST
from ..paths import readable
from .foreign import ForeignTokenizer, PieceMarks, Placed

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

    from ..config import TextConfig

_SPACE = "▁"  # stands for the space that belongs to a piece


class SentencePieceTokenizer(ForeignTokenizer):
    """What `sentencepiece.SentencePieceProcessor` loads: unigram, BPE, word and character models.

    The run keeps the bytes of the file, in base64.
    """

    name: ClassVar[str] = "sentencepiece"

    def __init__(self, model: bytes) -> None:
        """Make a tokenizer from the contents of a `.model`.

        Raises:
            ValueError: the library cannot load it.
            InputError: the library is not installed.
        """
        self.model = model
        self.processor = _loaded(model)
        size = self.processor.get_piece_size()
        pieces = self.processor.id_to_piece(list(range(size)))
        spaced = any(piece.startswith(_SPACE) and len(piece) > 1 for piece in pieces)
        marks = PieceMarks(_SPACE if spaced else None)
        super().__init__(size, self.processor.unk_id(), marks)

    @classmethod
    def train(cls, texts: Iterable[str], config: TextConfig) -> Self:
        path = Path(config.tokenizer_file)
        if not config.tokenizer_file:
            raise InputError(
                "text.tokenizer=sentencepiece needs a file: text.tokenizer=sentencepiece:m.model"
            )
        if readable(path).stat().st_size > LARGEST:
            raise InputError(f"'{path}' is larger than any SentencePiece model")
        try:
            return cls(path.read_bytes()).arranged({"sentences": config.sentences})
        except ValueError as error:
            raise InputError(f"'{path}' is no SentencePiece model: {error}") from None

    def ids_of_lines(self, lines: list[str]) -> list[list[int]]:
        return self.processor.encode(lines)  # type: ignore[no-any-return]

    def spans_of_line(self, line: str) -> list[Placed]:
        found = self.processor.encode_as_offset_mapping(line)
        placed: list[Placed] = []
        place = (len(line), len(line))
        for index, span in reversed(list(zip(found["ids"], found["offsets"], strict=True))):
            # Of the bytes of a character the library gives only the last one its place.
            if not (index in self._bytes and span[0] == span[1] == place[0]):
                place = span
            placed.append((index, place))
        return placed[::-1]

    def lines_of_ids(self, rows: list[list[int]]) -> list[str]:
        return self.processor.decode(rows)  # type: ignore[no-any-return]

    def piece(self, index: int) -> str:
        return self.processor.id_to_piece(index)

    def settings(self) -> dict[str, Any]:
        return {"model": base64.b64encode(self.model).decode("ascii")} | self.arrangement

    @classmethod
    def restore(cls, settings: dict[str, Any]) -> Self:
        try:
            model = base64.b64decode(settings["model"], validate=True)
        except binascii.Error:
            raise ValueError("the SentencePiece model in it is no base64") from None
        return cls(model).arranged(settings)

    @cached_property
    def _bytes(self) -> frozenset[int]:
        """The library's ids of single bytes."""
        return frozenset(filter(self.processor.is_byte, range(self._size)))


def _loaded(model: bytes) -> SentencePieceProcessor:
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError:
        raise InputError(
            "SentencePiece models need a package: pip install 'nextword[sentencepiece]'"
        ) from None
    processor = SentencePieceProcessor()
    try:
        processor.load_from_serialized_proto(model)
    except RuntimeError as error:
        why = shown(" ".join(str(error).split()), 200)
        raise ValueError(f"the library cannot load it ({why})") from None
    return processor
