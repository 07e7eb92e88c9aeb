"""Splits paragraphs into sentences."""

from __future__ import annotations

import re

# A sentence ends with a mark, perhaps closing quotes or brackets, and white space; but not after an
# initial or a title. In tokenised text ("the end . the") the mark stands alone.
_END = re.compile(
    r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\b[A-Z])"
    r"(?P<mark>[.!?][\"'”’)\]]*(?:[ ]+[\"”’)\]](?![^\s]))*)[ \t]+(?=[^\s.!?,;:'’”)\]])"
)
_WIDE_END = re.compile(r"(?P<mark>[。！？…]+[」』”’）]*)[ \t]*(?=[^\s。！？…」』”’）])")


def split_sentences(text: str) -> str:
    """Put every sentence on a line of its own: the space after a sentence becomes a newline.
    Newlines of the text stay.

    Example:
        >>> split_sentences("It rains. We stay.")
        'It rains.\\nWe stay.'
    """
    return _WIDE_END.sub(r"\g<mark>\n", _END.sub(r"\g<mark>\n", text))


def places(text: str, divided: str) -> list[int]:
    """For each character of `divided`, which is `split_sentences(text)`, its place in `text`. A
    newline that was put there is where the sentence before it ends.

    Example:
        >>> places("A. B", "A.\\nB")
        [0, 1, 2, 3]
    """
    found: list[int] = []
    at = 0
    for blank, black in _BLANKS.findall(divided):
        there = _BLANKS.match(text, at)
        assert there is not None
        found += range(at, at + len(blank)) if there[1] == blank else [at]
        at = there.start(2)
        found += range(at, at + len(black))
        at += len(black)
    return found


_BLANKS = re.compile(r"([ \t\n]*)([^ \t\n]*)")
