"""A tokenizer whose tokens are the bytes of UTF-8."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self

from .folding import Folding
from .tokenizer import EOS, SPECIALS, UNK, Span, Tokenizer, trimmed

if TYPE_CHECKING:
    from ..config import TextConfig

_OFFSET = len(SPECIALS)
_NEWLINE = ord("\n")


class ByteTokenizer(Tokenizer):
    """Every byte is a token with the id byte + 2; the newline is `<eos>`. Every text can be
    encoded, and decoding loses nothing.

    Example:
        >>> tokenizer = ByteTokenizer(lower=False)
        >>> tokenizer.encode("ab\\n")
        [99, 100, 1]
        >>> tokenizer.decode([99, 100, 1])
        'ab\\n'
    """

    name: ClassVar[str] = "byte"
    reads = Tokenizer.reads - {"vocab_size", "min_count"}

    def __init__(self, lower: bool, strip_accents: bool = False) -> None:
        self.fold = Folding(lower, strip_accents)

    @classmethod
    def train(cls, texts: Iterable[str], config: TextConfig) -> Self:
        for _ in texts:  # there is nothing to learn; reading raises the error of an unreadable file
            pass
        return cls(*Folding.of(config))

    @property
    def vocab_size(self) -> int:
        return _OFFSET + 256

    def encode(self, text: str) -> list[int]:
        raw = self.fold(text).encode("utf-8")
        return [EOS if byte == _NEWLINE else byte + _OFFSET for byte in raw]

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span]]:
        spans: list[Span] = []
        for character, start, end in zip(*self.fold.aligned(text), strict=True):
            spans += [trimmed(text, start, end)] * len(character.encode("utf-8"))
        return self.encode(text), spans

    def decode(self, ids: Iterable[int]) -> str:
        raw = bytes(_NEWLINE if i == EOS else ord("?") if i == UNK else i - _OFFSET for i in ids)
        return raw.decode("utf-8", errors="replace")

    def token(self, index: int) -> str:
        if index < _OFFSET:
            return SPECIALS[index]
        byte = index - _OFFSET
        return chr(byte) if 32 <= byte < 127 else f"<{byte:02x}>"

    def settings(self) -> dict[str, Any]:
        return dict(self.fold.settings())

    @classmethod
    def restore(cls, settings: dict[str, Any]) -> Self:
        return cls(settings["lower"], settings.get("strip_accents", False))
