"""Lower case and removed accents: what may be done to a text before it is cut into tokens."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..config import TextConfig


# The marks that Latin, Greek and Cyrillic letters carry. Those of other scripts, such as the vowels
# of Hindi and the dots of Japanese, are letters rather than accents.
_ACCENTS = re.compile("[\u0300-\u036f]+")


class Folding(NamedTuple):
    """What is done to a text before it is cut.

    Example:
        >>> Folding(lower=True, strip_accents=True)("Où est Mañana? ぎ")
        'ou est manana? ぎ'
    """

    lower: bool = False
    strip_accents: bool = False

    @classmethod
    def of(cls, config: TextConfig) -> Folding:
        """The folding that settings ask for."""
        return cls(config.lower, bool(config.strip_accents))

    def __call__(self, text: str) -> str:
        """The folded text; newlines stay where they are."""
        if self.strip_accents and not text.isascii():
            bare = _ACCENTS.sub("", unicodedata.normalize("NFD", text))
            text = unicodedata.normalize("NFC", bare)
        return text.lower() if self.lower else text

    def aligned(self, text: str) -> tuple[str, Sequence[int], Sequence[int]]:
        """The folded text, and for each of its characters the first character of `text` that it
        was made from and the one after the last.

        Example:
            >>> Folding(lower=True, strip_accents=True).aligned("E\u0301i")
            ('ei', [0, 2], [2, 3])
        """
        folded = self(text)
        if text.isascii() or not (self.strip_accents or len(folded) != len(text)):
            return folded, range(len(text)), range(1, len(text) + 1)
        starts: list[int] = []
        ends: list[int] = []
        at = 0
        for part in _independent(text) if self.strip_accents else text:
            length = len(self(part))
            starts += [at] * length
            at += len(part)
            ends += [at] * length
        return folded, starts, ends

    def settings(self) -> dict[str, bool]:
        """The folding as values for a tokenizer's JSON."""
        accents = {"strip_accents": True} if self.strip_accents else {}
        return {"lower": self.lower} | accents


def _independent(text: str) -> Iterator[str]:
    """Cut a text into parts whose accents can be stripped independently of each other: no character
    composes with one of another part, or changes places with it."""
    start = 0
    bare = ""  # what is left of the part
    for at, character in enumerate(text):
        more = _ACCENTS.sub("", unicodedata.normalize("NFD", character))
        if not more or not bare or unicodedata.combining(more[0]):
            joins = at > start
        else:
            apart = unicodedata.normalize("NFC", bare) + unicodedata.normalize("NFC", more)
            joins = unicodedata.normalize("NFC", bare + more) != apart
        if not joins and at > start:
            yield text[start:at]
            start, bare = at, ""
        bare += more
    if text:
        yield text[start:]
