"""Lower case and removed accents: what may be done to a text before it is cut into tokens."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

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

    def settings(self) -> dict[str, bool]:
        """The folding as values for a tokenizer's JSON."""
        accents = {"strip_accents": True} if self.strip_accents else {}
        return {"lower": self.lower} | accents
