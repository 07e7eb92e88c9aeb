"""A text that grows token by token, up to a given end."""

from __future__ import annotations

from collections.abc import Sequence

from .. import bounds
from ..text.tokenizer import EOS, Tokenizer


class Continuation:
    """Decodes a text token by token, until it is long enough or contains a stop text."""

    def __init__(self, tokenizer: Tokenizer, prompt: str, tokens: int, stop: Sequence[str]) -> None:
        """Begin after `prompt`.

        Raises:
            InputError: `tokens` is negative, or no number.
        """
        bounds.check("tokens", tokens, 0, bounds.COUNT)
        self.ids = [EOS, *tokenizer.encode(prompt)]  # the tokens to read first
        self.over = tokens == 0
        self._left = tokens
        self._stop = [text for text in stop if text]
        self._text: DecodedText | None = DecodedText(tokenizer, self.ids)
        self._held = ""  # perhaps the beginning of a stop text

    def add(self, index: int) -> str:
        """Add a token and return the new text that no later token can change or cut off."""
        self._left -= 1
        self.over = self._left == 0
        assert self._text is not None, "the text is over"
        self._held += self._text.add(index)
        cut = min((at for s in self._stop if (at := self._held.find(s)) >= 0), default=-1)
        if cut >= 0:
            self.over, self._text = True, None
            certain, self._held = self._held[:cut], ""
            return certain
        keep = max((_overlap(self._held, s) for s in self._stop), default=0)
        certain, self._held = (
            self._held[: len(self._held) - keep],
            self._held[len(self._held) - keep :],
        )
        return certain

    def rest(self) -> str:
        """The text that was held back; to be called after the last token."""
        return self._held + (self._text.rest() if self._text else "")


class DecodedText:
    """Decodes ids one by one. A character is returned when its last byte has arrived."""

    def __init__(self, tokenizer: Tokenizer, ids: list[int]) -> None:
        self.tokenizer = tokenizer
        self.ids = ids[-4:]  # enough context to decide about a space
        self.printed = len(tokenizer.decode(self.ids))

    def add(self, index: int) -> str:
        self.ids.append(index)
        text = self.tokenizer.decode(self.ids)
        if text.endswith("\N{REPLACEMENT CHARACTER}") and len(self.ids) < 64:
            return ""
        fresh = text[self.printed :]
        if len(self.ids) >= 32:
            self.ids = self.ids[-4:]
            text = self.tokenizer.decode(self.ids)
        self.printed = len(text)
        return fresh

    def rest(self) -> str:
        return self.tokenizer.decode(self.ids)[self.printed :]


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that is a beginning of `stop`."""
    return next(
        (n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0
    )
